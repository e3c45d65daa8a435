//! The gate (life cycle, section 8): the one function that every run, hook, help and completion gets its plugin from.
//!
//! It looks at the name, at who may write to the directory and the program, where there is a receipt at the files that can be
//! executed, and where there is a policy at its rules. A file is read again only where its size or stamp is another than when its digest was taken. One
//! directory, one manifest and one receipt are looked at, however many plugins are installed; of the receipt, only what
//! concerns files that can be executed.
//!
//! It notices what changed by accident, by another program or by another user. Whoever may write to `.state` can write a new
//! receipt, and to them this is no obstacle.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::files::{self, Changeable};
use crate::manifest::platform::Platform;
use crate::manifest::{FILE_NAME, MODULE_NAME, ManifestError, Metadata, NameError, PluginName, RuntimeConfig};
use crate::policy::{Proof, Refusal, Subject};
use crate::settings::Gate;
use crate::stamp::Checked;
use crate::text::{Plain, quoted};

use super::difference::{self, Comparison, Difference, DifferenceKind, compare, listed};
use super::error::StoreError;
use super::missing::NotInstalled;
use super::race::Race;
use super::receipt::{Kind, Receipt, ReceiptError, ReceiptFile};
use super::tree::{self, TreeError, TreeId};
use super::{Found, Startable, Store, disk};

/// A plugin that may be run. Only the gate makes one.
#[derive(Debug)]
pub struct Plugin {
    /// Its name.
    pub name: PluginName,
    /// Its directory.
    pub dir: PathBuf,
    /// Whether the directory is a link for development, whose files nobody checks.
    pub link: bool,
    /// What its manifest says.
    pub metadata: Metadata,
    /// Its receipt, where it has one; [`Receipt::files`] may be left out of it.
    pub receipt: Option<Receipt>,
    /// What the gate would have refused if it were not told to warn only.
    pub warnings: Vec<String>,
    /// What of it may be started or read as instructions; anything where nothing was compared, or was only warned of.
    pub startable: Startable,
    /// How it was opened.
    opened: (Store, Gate),
}

impl Plugin {
    /// Does `work`, which starts something of the plugin. Where that `did_not_start`, since an update came in between, the plugin goes
    /// through the gate again, and then it is tried again.
    pub(crate) fn start<T, E>(
        &self,
        mut work: impl FnMut(&Self) -> Result<T, E>,
        did_not_start: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let (store, mode) = &self.opened;
        let mut race = Race::new(store, self.name.as_str());
        let mut result = work(self);
        while result.as_ref().is_err_and(&did_not_start) && race.goes_on() {
            // What the gate says now is for the next run: this one has its reason.
            let Ok(again) = store.open_plugin(self.name.as_str(), *mode) else { break };
            result = work(&again);
        }
        result
    }
}

/// Why the gate hands out nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// No plugin can have that name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A variable says that no plugin may be started.
    #[error("{variable} is set, so plugin `{name}` is not started; unset it to use plugins")]
    SwitchedOff {
        /// The plugin's name.
        name: PluginName,
        /// The variable's full name.
        variable: String,
    },
    /// No plugin has that name.
    #[error(transparent)]
    NotInstalled(#[from] NotInstalled),
    /// The plugin does not load.
    #[error("plugin `{}` in {} is broken; {}remove it with `{host} plugin uninstall {}`", Plain(name), directory.display(), or_restore(*has_receipt, host, name), Plain(name))]
    Broken {
        /// Its name.
        name: String,
        /// Its directory.
        directory: PathBuf,
        /// The host's name.
        host: String,
        /// Whether it has a receipt, by which it can be put back.
        has_receipt: bool,
        /// What is wrong with its manifest.
        source: Box<ManifestError>,
    },
    /// Everybody may write to something that decides what is run.
    #[error("everybody may change {}, so plugin `{}` is not run; mend it with `chmod o-w {}`", path.display(), Plain(name), quoted(&path.to_string_lossy()))]
    WorldWritable {
        /// The plugin's name.
        name: String,
        /// The directory or file.
        path: PathBuf,
    },
    /// Another user put it there.
    #[error("plugin `{}` is not run: {why}", Plain(name))]
    Planted {
        /// The plugin's name.
        name: String,
        /// What belongs to whom.
        why: Changeable,
    },
    /// Files are not as they were installed.
    #[error("plugin `{}` is not as it was installed: {}; {ways_out}", Plain(name), listed(differences))]
    Changed {
        /// The plugin's name.
        name: String,
        /// How it differs.
        differences: Vec<Difference>,
        /// The commands to choose from, in words.
        ways_out: String,
    },
    /// The receipt cannot be read.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// A policy does not let it run.
    #[error("plugin `{}` must not run", Plain(name))]
    Policy {
        /// Its name.
        name: String,
        /// The rule, and where it stands.
        source: Box<Refusal>,
    },
    /// A file of the plugin cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The plugin directory cannot be read.
    #[error(transparent)]
    Store(#[from] Box<StoreError>),
}

impl GateError {
    /// Whether the plugin is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotInstalled { .. } | Self::Name(_))
    }

    /// Whether the plugin was refused for what was found of it: exit code 3 rather than 1.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::WorldWritable { .. } | Self::Planted { .. })
    }
}

impl Store {
    /// Opens the installed plugin `name` for use, or says why it may not be used. While it is being changed it is looked at again
    /// before it is refused.
    ///
    /// # Errors
    /// Every variant of [`GateError`].
    pub fn open_plugin(&self, name: &str, mode: Gate) -> Result<Plugin, GateError> {
        let name = PluginName::new(name)?;
        if let Some(variable) = self.host.plugins_off() {
            return Err(GateError::SwitchedOff { name, variable });
        }
        self.look_at(name.as_str(), || self.look_through_gate(&name, mode))
    }

    fn look_through_gate(&self, name: &PluginName, mode: Gate) -> Result<Plugin, GateError> {
        // A name that is denied is refused whatever bears it.
        self.policy
            .judge(&Subject { name: Some(name.as_str()), installed: true, ..Subject::default() })
            .map_err(|why| GateError::Policy { name: name.to_string(), source: Box::new(why) })?;
        let found = self.find(name.as_str()).map_err(Box::new)?;
        let found = found.ok_or_else(|| self.not_installed(name.as_str()))?;
        let receipt_path = found.receipt_path();
        let Found { root, directory, link, metadata, manifest_seen, .. } = found;
        let metadata = metadata.map_err(|source| GateError::Broken {
            name: name.to_string(),
            directory: directory.clone(),
            host: self.host.name().to_owned(),
            has_receipt: disk::exists(&receipt_path),
            source: Box::new(source),
        })?;
        let mut plugin = self.unjudged(directory, link, metadata, mode);
        let file = match ReceiptFile::read_head(&receipt_path) {
            Err(_) if mode == Gate::Off && self.policy.is_empty() => None,
            file => file?,
        };
        let mode = if self.is_raised(name.as_str(), file.as_ref()) { Gate::Require } else { mode };
        let startable = match mode {
            Gate::Off => Ok(Startable::default()),
            Gate::Warn | Gate::Require => check_root(&root.0, name.as_str())
                .and_then(|()| self.check_files(&plugin, file.as_ref(), manifest_seen.as_ref()))
                .map(|checked| match checked {
                    Some(checked) => Startable::only(&plugin.dir, checked, receipt_path),
                    None => Startable::default(),
                }),
        };
        match startable {
            Err(e) if mode == Gate::Warn && e.is_refusal() => plugin.warnings.push(e.to_string()),
            startable => plugin.startable = startable?,
        }
        let tree = TreeId::of(&plugin.dir).ok().flatten();
        plugin.receipt = file.and_then(|file| file.of_tree(tree));
        self.judge_installed(plugin.name.as_str(), plugin.receipt.as_ref())
            .map_err(|why| GateError::Policy { name: plugin.name.to_string(), source: Box::new(why) })?;
        Ok(plugin)
    }

    /// What lies in `dir`, before anything of it has been looked at but its manifest.
    fn unjudged(&self, dir: PathBuf, link: bool, metadata: Metadata, mode: Gate) -> Plugin {
        Plugin {
            name: metadata.name.clone(),
            dir,
            link,
            metadata,
            receipt: None,
            warnings: Vec::new(),
            startable: Startable::default(),
            opened: (self.clone(), mode),
        }
    }

    /// Looks at who may write to the files of `plugin`, and compares those that can be executed with the receipt. Gives nothing where no
    /// receipt speaks of what is there.
    fn check_files(
        &self,
        plugin: &Plugin,
        file: Option<&ReceiptFile>,
        read: Option<&fs::Metadata>,
    ) -> Result<Option<Checked>, GateError> {
        check_modes(plugin)?;
        // A link that a receipt knows as a link, or that nobody has a receipt of, is a link for development: its files
        // may change, but where everybody may write anybody could have made the link.
        if plugin.link && file.is_none_or(knows_link) {
            return Ok(None);
        }
        self.check_receipt(plugin, file, read)
    }

    /// What the gate would refuse the plugin in `dir` for, whatever the settings are; where a policy refuses it is another question, and
    /// who may write to the directory of all plugins as well.
    pub(super) fn trouble_of(
        &self,
        dir: &Path,
        link: bool,
        metadata: &Metadata,
        file: Option<&ReceiptFile>,
        read: Option<&fs::Metadata>,
    ) -> Option<String> {
        let plugin = self.unjudged(dir.to_owned(), link, metadata.clone(), Gate::Require);
        self.check_files(&plugin, file, read).err().map(|error| error.to_string())
    }

    /// Whether a policy wants the plugin `name` verified, so that no setting lets it run changed.
    fn is_raised(&self, name: &str, file: Option<&ReceiptFile>) -> bool {
        let receipts = file.into_iter().flat_map(|file| [&file.next, &file.current]).flatten();
        !self.policy.is_empty()
            && (self.policy.least(Some(name), &[]).is_some()
                || receipts.into_iter().any(|receipt| self.policy.least(Some(name), &receipt.places()).is_some()))
    }

    /// Asks the policy about the installed plugin `name` with this receipt. No setting makes less of the answer: it is the
    /// organisation's.
    pub(super) fn judge_installed(&self, name: &str, receipt: Option<&Receipt>) -> Result<(), Refusal> {
        if self.policy.is_empty() {
            return Ok(());
        }
        self.as_subject(name, receipt, |subject| self.policy.judge(subject))
    }

    /// Asks something about the installed plugin `name` with this receipt as a policy sees it.
    pub(crate) fn as_subject<T>(&self, name: &str, receipt: Option<&Receipt>, ask: impl FnOnce(&Subject<'_>) -> T) -> T {
        let places = receipt.map(Receipt::places).unwrap_or_default();
        let proof = receipt.map_or(Proof::Nothing, |receipt| receipt.verified.proof());
        let changed = receipt.filter(|receipt| !receipt.accepted.is_empty());
        let restore = changed.map(|receipt| self.restore_command(&receipt.name));
        ask(&Subject {
            name: Some(name),
            places: &places,
            proof: Some(proof),
            accepted: restore.as_deref(),
            installed: true,
        })
    }

    /// Compares the files that can be executed with the receipt; while a change is under way, with either receipt. The manifest
    /// must be the very file that was `read`. Gives nothing where no receipt speaks of what is there.
    fn check_receipt(
        &self,
        plugin: &Plugin,
        file: Option<&ReceiptFile>,
        read: Option<&fs::Metadata>,
    ) -> Result<Option<Checked>, GateError> {
        let Some(file) = file else { return Ok(None) };
        if let Some(change) = &file.change
            && file.current.is_none()
            && change.old.is_some()
            && change.old == TreeId::of(&plugin.dir).ok().flatten()
        {
            // What is about to be replaced, or was brought back, has no receipt.
            return Ok(None);
        }
        let named = tree::named_paths(&plugin.metadata, None);
        let mut refusal = Ok(None);
        for receipt in [&file.next, &file.current].into_iter().flatten() {
            let mut checked = Checked::default();
            let mut differences = differences_of_executables(plugin, receipt, &named, &mut checked)?;
            if read.is_some_and(|read| checked.saw(FILE_NAME, read) == Some(false)) {
                // Somebody changes it at this moment.
                differences.push(Difference { path: FILE_NAME.to_owned(), kind: DifferenceKind::Changed });
            }
            if differences.is_empty() {
                return Ok(Some(checked));
            }
            refusal = Err(self.changed(plugin, differences, receipt));
        }
        refusal
    }

    fn changed(&self, plugin: &Plugin, differences: Vec<Difference>, receipt: &Receipt) -> GateError {
        let ways_out = self.ways_out(plugin.name.as_str(), receipt);
        GateError::Changed { name: plugin.name.to_string(), differences, ways_out }
    }

    /// What to do about a plugin that is not as it was installed. A change cannot be accepted where a policy wants what was
    /// verified.
    pub(crate) fn ways_out(&self, name: &str, receipt: &Receipt) -> String {
        let restore = self.restore_command(name);
        match self.policy.least(Some(name), &receipt.places()) {
            None => format!(
                "restore it with `{restore}`, or accept the change with `{} plugin trust {}`",
                self.host.name(),
                Plain(name)
            ),
            Some(rule) => format!("restore it with `{restore}`; the policy {} lets no change be accepted", rule.at),
        }
    }

    /// The command that installs again what `receipt` speaks of.
    pub(crate) fn reinstall_command(&self, receipt: &Receipt) -> String {
        let mut again = format!("{} plugin install --force {}", self.host.name(), quoted(&receipt.shown_source()));
        if receipt.kind == Kind::Copy {
            again.push_str(" --copy");
        }
        if let Some(constraint) = &receipt.constraint {
            again.push_str(&format!(" --version {}", quoted(constraint)));
        }
        again
    }

    /// Compares every file of the plugin `name` with its receipt, and says what was added too; nothing for a link or a
    /// plugin without a receipt.
    ///
    /// # Errors
    /// [`GateError::NotInstalled`], [`GateError::Receipt`], [`GateError::Tree`]. A plugin that does not load is compared all
    /// the same.
    pub fn check_all_files(&self, name: &str) -> Result<Comparison, GateError> {
        let mut race = Race::new(self, name);
        loop {
            let found = self.find(name).map_err(Box::new)?;
            let found = found.ok_or_else(|| self.not_installed(name))?;
            let Some(receipt) = self.receipt(&found).map_err(Box::new)? else { return Ok(Comparison::default()) };
            match difference::of_all(&found.directory, &receipt, &self.limits) {
                Ok(found) if found.differences.is_empty() => return Ok(found),
                _ if race.goes_on() => {}
                found => return Ok(found?),
            }
        }
    }
}

fn knows_link(file: &ReceiptFile) -> bool {
    [&file.current, &file.next].into_iter().flatten().any(|receipt| receipt.kind == Kind::Link)
        || (file.current.is_none() && file.change.is_some())
}

/// Refuses all plugins where everybody may write to the directory of the plugins, unless it is sticky.
pub(super) fn check_root(root: &Path, name: &str) -> Result<(), GateError> {
    match fs::metadata(root) {
        Ok(metadata) if files::everybody_may_write(&metadata) && !files::is_sticky(&metadata) => {
            Err(GateError::WorldWritable { name: name.to_owned(), path: root.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Refuses what everybody may write to (CVE-2025-15558): the plugin's directory, and the files that its commands name with the
/// directories on the way to them. Refuses what another user put beside the plugins too.
fn check_modes(plugin: &Plugin) -> Result<(), GateError> {
    files::refuse_planted(&plugin.dir).map_err(|why| GateError::Planted { name: plugin.name.to_string(), why })?;
    let refused = |path: PathBuf| Err(GateError::WorldWritable { name: plugin.name.to_string(), path });
    let writable = |path: &Path| fs::metadata(path).is_ok_and(|metadata| files::everybody_may_write(&metadata));
    if writable(&plugin.dir) {
        return refused(plugin.dir.clone());
    }
    let programs = match plugin.metadata.runtime {
        RuntimeConfig::Subprocess(_) => tree::named_paths(&plugin.metadata, Some(&Platform::current())),
        RuntimeConfig::Extism(_) => BTreeSet::from([MODULE_NAME.to_owned()]),
    };
    for program in programs {
        let mut path = plugin.dir.clone();
        for part in program.split('/') {
            path.push(part);
            if writable(&path) {
                return refused(path);
            }
        }
    }
    Ok(())
}

/// How the files of `plugin` that can be executed differ from `receipt`.
fn differences_of_executables(
    plugin: &Plugin,
    receipt: &Receipt,
    named: &BTreeSet<String>,
    checked: &mut Checked,
) -> Result<Vec<Difference>, GateError> {
    let difference = |path: &str, kind| Difference { path: path.to_owned(), kind };
    if (receipt.kind == Kind::Link) != plugin.link {
        return Ok(vec![difference("", DifferenceKind::Kind)]);
    }
    let mut differences = Vec::new();
    for file in &receipt.executables {
        match compare(&plugin.dir, file, receipt.stamped_at)? {
            Ok(metadata) if files::everybody_may_write(&metadata) => {
                let path = plugin.dir.join(&file.path);
                return Err(GateError::WorldWritable { name: plugin.name.to_string(), path });
            }
            Ok(metadata) if !metadata.is_symlink() => checked.add(&file.path, file.sha256, &metadata),
            Ok(_) => {}
            Err(kind) => differences.push(difference(&file.path, kind)),
        }
    }
    // A file that a command names and that was not there when the receipt was written.
    let known: HashSet<&str> = receipt.executables.iter().map(|file| file.path.as_str()).collect();
    for path in named.iter().filter(|path| !known.contains(path.as_str())) {
        if fs::symlink_metadata(plugin.dir.join(path)).is_ok_and(|metadata| !metadata.is_dir()) {
            differences.push(difference(path, DifferenceKind::Added));
        }
    }
    Ok(differences)
}

/// The command that puts a broken plugin back, where something knows what it was.
fn or_restore(has_receipt: bool, host: &str, name: &str) -> String {
    if has_receipt { format!("restore it with `{host} plugin restore {}`, or ", quoted(name)) } else { String::new() }
}
