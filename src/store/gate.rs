//! The gate (`docs/spec/gate.md`): the one function that every run, hook, help and completion gets its plugin from.
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

use crate::error::{Classified, ErrorKind};
use crate::files::{self, UntrustedFile};
use crate::manifest::platform::Platform;
use crate::manifest::{FILE_NAME, MODULE_NAME, ManifestError, Metadata, NameError, PluginName, RuntimeConfig};
use crate::policy::{PolicyRequest, Proof, Refusal};
use crate::settings::GateMode;
use crate::stamp::CheckedFiles;
use crate::text::{Sanitized, quoted};

use super::difference::{self, Comparison, Difference, DifferenceKind, compare, listed};
use super::error::StoreError;
use super::missing::NotInstalled;
use super::receipt::{InstallKind, Receipt, ReceiptError, ReceiptFile};
use super::retry::ReadRetry;
use super::tree::{self, TreeError, TreeId};
use super::{InstalledPlugin, StartAllowlist, Store, disk};

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
    pub allowlist: StartAllowlist,
    /// How it was opened.
    opened: (Store, GateMode),
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
        let mut retry = ReadRetry::new(store, self.name.as_str());
        let mut result = work(self);
        while result.as_ref().is_err_and(&did_not_start) && retry.should_retry() {
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
    #[error("plugin `{}` in {} is broken; {}remove it with `{host} plugin uninstall {}`", Sanitized(name), directory.display(), restore_hint(*has_receipt, host, name), Sanitized(name))]
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
    #[error("everybody may change {}, so plugin `{}` is not run; mend it with `chmod o-w {}`", path.display(), Sanitized(name), quoted(&path.to_string_lossy()))]
    WorldWritable {
        /// The plugin's name.
        name: String,
        /// The directory or file.
        path: PathBuf,
    },
    /// Another user put it there.
    #[error("plugin `{}` is not run: {why}", Sanitized(name))]
    ForeignOwner {
        /// The plugin's name.
        name: String,
        /// What belongs to whom.
        why: UntrustedFile,
    },
    /// Files are not as they were installed.
    #[error("plugin `{}` is not as it was installed: {}; {ways_out}", Sanitized(name), listed(differences))]
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
    #[error("plugin `{}` must not run", Sanitized(name))]
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

impl Classified for GateError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotInstalled(error) => error.kind(),
            Self::Name(_) => ErrorKind::NotInstalled,
            Self::Changed { .. } => ErrorKind::ChangedFiles,
            Self::WorldWritable { .. } | Self::ForeignOwner { .. } => ErrorKind::UnsafeFiles,
            Self::Policy { source, .. } => source.kind(),
            Self::Receipt(error) => error.kind(),
            Self::Tree(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::SwitchedOff { .. } | Self::Broken { .. } => ErrorKind::Failed,
        }
    }
}

impl Store {
    /// Opens the installed plugin `name` for use, or says why it may not be used. While it is being changed it is looked at again
    /// before it is refused.
    ///
    /// # Errors
    /// Every variant of [`GateError`].
    pub fn open_plugin(&self, name: &str, mode: GateMode) -> Result<Plugin, GateError> {
        let name = PluginName::new(name)?;
        if let Some(variable) = self.host.plugins_off() {
            return Err(GateError::SwitchedOff { name, variable });
        }
        self.read_with_retries(name.as_str(), || self.check_gate(&name, mode))
    }

    fn check_gate(&self, name: &PluginName, mode: GateMode) -> Result<Plugin, GateError> {
        // A name that is denied is refused whatever bears it.
        self.policy
            .judge(&PolicyRequest { name: Some(name.as_str()), installed: true, ..PolicyRequest::default() })
            .map_err(|why| GateError::Policy { name: name.to_string(), source: Box::new(why) })?;
        let found = self.find(name.as_str()).map_err(Box::new)?;
        let found = found.ok_or_else(|| self.not_installed(name.as_str()))?;
        let receipt_path = found.receipt_path();
        let InstalledPlugin { root, directory, link, metadata, manifest_seen, .. } = found;
        let metadata = metadata.map_err(|source| GateError::Broken {
            name: name.to_string(),
            directory: directory.clone(),
            host: self.host.name().to_owned(),
            has_receipt: disk::exists(&receipt_path),
            source: Box::new(source),
        })?;
        let mut plugin = self.unchecked_plugin(directory, link, metadata, mode);
        let file = match ReceiptFile::read_head(&receipt_path) {
            Err(_) if mode == GateMode::Off && self.policy.is_empty() => None,
            file => file?,
        };
        let mode = if self.policy_requires_check(name.as_str(), file.as_ref()) { GateMode::Require } else { mode };
        let allowlist = match mode {
            GateMode::Off => Ok(StartAllowlist::default()),
            GateMode::Warn | GateMode::Require => check_root(&root.0, name.as_str())
                .and_then(|()| self.check_files(&plugin, file.as_ref(), manifest_seen.as_ref()))
                .map(|checked| match checked {
                    Some(checked) => StartAllowlist::new(&plugin.dir, checked, receipt_path),
                    None => StartAllowlist::default(),
                }),
        };
        match allowlist {
            Err(e) if mode == GateMode::Warn && matches!(e.kind(), ErrorKind::ChangedFiles | ErrorKind::UnsafeFiles) => {
                plugin.warnings.push(e.to_string());
            }
            allowlist => plugin.allowlist = allowlist?,
        }
        let tree = TreeId::of(&plugin.dir).ok().flatten();
        plugin.receipt = file.and_then(|file| file.of_tree(tree));
        self.judge_installed(plugin.name.as_str(), plugin.receipt.as_ref())
            .map_err(|why| GateError::Policy { name: plugin.name.to_string(), source: Box::new(why) })?;
        Ok(plugin)
    }

    /// What lies in `dir`, before anything of it has been looked at but its manifest.
    fn unchecked_plugin(&self, dir: PathBuf, link: bool, metadata: Metadata, mode: GateMode) -> Plugin {
        Plugin {
            name: metadata.name.clone(),
            dir,
            link,
            metadata,
            receipt: None,
            warnings: Vec::new(),
            allowlist: StartAllowlist::default(),
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
    ) -> Result<Option<CheckedFiles>, GateError> {
        check_modes(plugin)?;
        // A link that a receipt knows as a link, or that nobody has a receipt of, is a link for development: its files
        // may change, but where everybody may write anybody could have made the link.
        if plugin.link && file.is_none_or(records_link) {
            return Ok(None);
        }
        self.check_receipt(plugin, file, read)
    }

    /// What the gate would refuse the plugin in `dir` for, whatever the settings are; where a policy refuses it is another question, and
    /// who may write to the directory of all plugins as well.
    pub(super) fn gate_problem(
        &self,
        dir: &Path,
        link: bool,
        metadata: &Metadata,
        file: Option<&ReceiptFile>,
        read: Option<&fs::Metadata>,
    ) -> Option<String> {
        let plugin = self.unchecked_plugin(dir.to_owned(), link, metadata.clone(), GateMode::Require);
        self.check_files(&plugin, file, read).err().map(|error| error.to_string())
    }

    /// Whether a policy wants the plugin `name` verified, so that no setting lets it run changed.
    fn policy_requires_check(&self, name: &str, file: Option<&ReceiptFile>) -> bool {
        let receipts = file.into_iter().flat_map(|file| [&file.next, &file.current]).flatten();
        !self.policy.is_empty()
            && (self.policy.required_level(Some(name), &[]).is_some()
                || receipts
                    .into_iter()
                    .any(|receipt| self.policy.required_level(Some(name), &receipt.locations()).is_some()))
    }

    /// Asks the policy about the installed plugin `name` with this receipt. No setting makes less of the answer: it is the
    /// organisation's.
    pub(super) fn judge_installed(&self, name: &str, receipt: Option<&Receipt>) -> Result<(), Refusal> {
        if self.policy.is_empty() {
            return Ok(());
        }
        self.with_policy_request(name, receipt, |request| self.policy.judge(request))
    }

    /// Asks something about the installed plugin `name` with this receipt as a policy sees it.
    pub(crate) fn with_policy_request<T>(
        &self,
        name: &str,
        receipt: Option<&Receipt>,
        ask: impl FnOnce(&PolicyRequest<'_>) -> T,
    ) -> T {
        let locations = receipt.map(Receipt::locations).unwrap_or_default();
        let proof = receipt.map_or(Proof::Nothing, |receipt| receipt.verified.proof());
        let changed = receipt.filter(|receipt| !receipt.accepted.is_empty());
        let restore = changed.map(|receipt| self.restore_command(&receipt.name));
        ask(&PolicyRequest {
            name: Some(name),
            locations: &locations,
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
    ) -> Result<Option<CheckedFiles>, GateError> {
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
            let mut checked = CheckedFiles::default();
            let mut differences = differences_of_executables(plugin, receipt, &named, &mut checked)?;
            if read.is_some_and(|read| checked.looked_like(FILE_NAME, read) == Some(false)) {
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
        let ways_out = self.remedies(plugin.name.as_str(), receipt);
        GateError::Changed { name: plugin.name.to_string(), differences, ways_out }
    }

    /// What to do about a plugin that is not as it was installed. A change cannot be accepted where a policy wants what was
    /// verified.
    pub(crate) fn remedies(&self, name: &str, receipt: &Receipt) -> String {
        let restore = self.restore_command(name);
        match self.policy.required_level(Some(name), &receipt.locations()) {
            None => format!(
                "restore it with `{restore}`, or accept the change with `{} plugin trust {}`",
                self.host.name(),
                Sanitized(name)
            ),
            Some(rule) => format!("restore it with `{restore}`; the policy {} lets no change be accepted", rule.at),
        }
    }

    /// The command that installs again what `receipt` speaks of.
    pub(crate) fn reinstall_command(&self, receipt: &Receipt) -> String {
        let mut again = format!("{} plugin install --force {}", self.host.name(), quoted(&receipt.shown_source()));
        if receipt.kind == InstallKind::Copy {
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
        // A difference is looked at again as an error is: it may come of a change that is under way.
        let looked = self.read_with_retries(name, || match self.compare_all_files(name) {
            Ok(found) if found.differences.is_empty() => Ok(found),
            found => Err(found),
        });
        looked.or_else(|found| found)
    }

    fn compare_all_files(&self, name: &str) -> Result<Comparison, GateError> {
        let found = self.find(name).map_err(Box::new)?;
        let found = found.ok_or_else(|| self.not_installed(name))?;
        let Some(receipt) = self.receipt(&found).map_err(Box::new)? else { return Ok(Comparison::default()) };
        Ok(difference::of_all(&found.directory, &receipt, &self.limits)?)
    }
}

fn records_link(file: &ReceiptFile) -> bool {
    [&file.current, &file.next].into_iter().flatten().any(|receipt| receipt.kind == InstallKind::Link)
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
    files::refuse_foreign_owner(&plugin.dir)
        .map_err(|why| GateError::ForeignOwner { name: plugin.name.to_string(), why })?;
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
    checked: &mut CheckedFiles,
) -> Result<Vec<Difference>, GateError> {
    let difference = |path: &str, kind| Difference { path: path.to_owned(), kind };
    if (receipt.kind == InstallKind::Link) != plugin.link {
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
fn restore_hint(has_receipt: bool, host: &str, name: &str) -> String {
    if has_receipt { format!("restore it with `{host} plugin restore {}`, or ", quoted(name)) } else { String::new() }
}
