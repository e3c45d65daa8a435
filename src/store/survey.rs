//! What is wrong with the store, for those who ask: every directory, receipt, file and package is looked at, and nothing is
//! changed. What can be put right without a loss, [`Store::tidy`] does.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Sha256Digest;
use crate::files::{self, UntrustedFile};
use crate::report::Report;

use super::difference::{self, Comparison, Difference};
use super::error::StoreError;
use super::list::{self, IndexUse, ListedPlugin, ScannedPlugin, Status};
use super::receipt::{Receipt, ReceiptError, ReceiptFile};
use super::tree::{self, TreeError};
use super::{Root, Store, disk, is_package_of, prov};

/// Something that is not as it should be.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreProblem {
    /// Something cannot be read.
    Unreadable {
        /// What.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Others may write to it.
    Writable {
        /// The plugin, where it is one's.
        plugin: Option<String>,
        /// The file or directory.
        path: PathBuf,
        /// Whether everybody may, and not a group alone.
        everybody: bool,
        /// Whether it is in the store, rather than in a directory that is linked.
        ours: bool,
    },
    /// Another user put the plugin where everybody may put things.
    Planted {
        /// The plugin.
        plugin: String,
        /// What belongs to whom.
        source: UntrustedFile,
    },
    /// Others may read what is private.
    Exposed {
        /// The file or directory.
        path: PathBuf,
    },
    /// A killed command left it behind.
    Leftover {
        /// The file or directory.
        path: PathBuf,
    },
    /// A change was interrupted, and nobody has finished or undone it yet.
    Interrupted {
        /// The plugin.
        plugin: String,
        /// Its receipt.
        path: PathBuf,
    },
    /// Another program is changing the store.
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// A receipt cannot be used.
    Receipt {
        /// The plugin.
        plugin: String,
        /// The receipt.
        path: PathBuf,
        /// Why not.
        source: ReceiptError,
    },
    /// A receipt, or a version before, of no plugin.
    Orphan {
        /// What it is.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
    },
    /// A package of no plugin.
    StrayPackage {
        /// The file.
        path: PathBuf,
    },
    /// A file lies where the directory of an installed plugin was.
    FileInPlace {
        /// The plugin's name.
        plugin: String,
        /// The file.
        path: PathBuf,
    },
    /// A link that leads nowhere.
    DanglingLink {
        /// The plugin.
        plugin: String,
        /// The link.
        path: PathBuf,
    },
    /// A plugin does not load.
    Broken {
        /// The plugin.
        plugin: String,
        /// Its directory.
        path: PathBuf,
        /// Why not, safe to show.
        problem: String,
    },
    /// Another plugin, or a command of the host, is used in the place of a plugin.
    Shadowed {
        /// The plugin.
        plugin: String,
        /// Its directory.
        path: PathBuf,
        /// By what, safe to show.
        problem: String,
    },
    /// A plugin's directory bears another name.
    OtherName {
        /// The plugin.
        plugin: String,
        /// Its directory.
        path: PathBuf,
        /// Whether it was renamed since it was installed.
        renamed: bool,
    },
    /// A plugin has no receipt.
    NoReceipt {
        /// The plugin.
        plugin: String,
        /// Its directory.
        path: PathBuf,
    },
    /// Files are not as they were installed.
    Changed {
        /// The plugin.
        plugin: String,
        /// Its directory.
        path: PathBuf,
        /// How they differ.
        differences: Vec<Difference>,
        /// What to do about it.
        ways_out: String,
    },
    /// A plugin made files beside its own when it ran.
    Made {
        /// The plugin.
        plugin: String,
        /// Its directory.
        path: PathBuf,
        /// The files, relative to it.
        files: Vec<String>,
    },
    /// The package that was kept of a plugin is gone.
    PackageMissing {
        /// The plugin.
        plugin: String,
        /// Where it was.
        path: PathBuf,
    },
    /// The package that was kept of a plugin is another one now.
    PackageChanged {
        /// The plugin.
        plugin: String,
        /// The package.
        path: PathBuf,
    },
    /// The index of manifests cannot be used.
    Index {
        /// The file.
        path: PathBuf,
    },
}

/// What [`Store::survey`] found.
#[derive(Debug, Default)]
pub struct Survey {
    /// What is wrong.
    pub problems: Vec<StoreProblem>,
    /// The plugins, with their receipts where they have good ones.
    pub plugins: Vec<(ListedPlugin, Option<Receipt>)>,
}

impl Store {
    /// Looks at everything. Nothing is changed, but for the index of manifests, as with every list.
    pub fn survey(&self) -> Survey {
        let mut survey = Survey::default();
        for root in &self.roots {
            let index = self.index_path(root);
            if disk::exists(&index) && !list::is_index(&index) {
                survey.problems.push(StoreProblem::Index { path: index });
            }
        }
        match self.list() {
            Ok(listing) => {
                for listed in listing.plugins {
                    let receipt = self.survey_plugin(&listed, &mut survey.problems);
                    survey.plugins.push((listed, receipt));
                }
            }
            Err(e) => survey.problems.push(unreadable(self.directory(), e)),
        }
        for root in &self.roots {
            self.survey_root(root, &mut survey);
        }
        survey
    }

    /// Looks at one plugin; its receipt, where it has a good one.
    fn survey_plugin(&self, listed: &ListedPlugin, problems: &mut Vec<StoreProblem>) -> Option<Receipt> {
        let plugin = listed.name.clone();
        let path = listed.directory.clone();
        let (Some(parent), Some(dir)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else { return None };
        let root = Root(parent.to_owned());
        match (listed.status, &listed.problem) {
            _ if listed.link && !path.exists() => {
                problems.push(StoreProblem::DanglingLink { plugin: plugin.clone(), path: path.clone() });
            }
            (Status::Broken, problem) => problems.push(StoreProblem::Broken {
                plugin: plugin.clone(),
                path: path.clone(),
                problem: problem.clone().unwrap_or_default(),
            }),
            (Status::Shadowed, problem) => problems.push(StoreProblem::Shadowed {
                plugin: plugin.clone(),
                path: path.clone(),
                problem: problem.clone().unwrap_or_default(),
            }),
            (Status::Ok | Status::Changed | Status::Accepted | Status::Refused, _) if dir != plugin => {
                let renamed = disk::exists(&root.receipt(&plugin));
                problems.push(StoreProblem::OtherName { plugin: plugin.clone(), path: path.clone(), renamed });
            }
            (Status::Ok | Status::Changed | Status::Accepted | Status::Refused, _) => {}
        }
        survey_modes(&plugin, &path, listed.link, problems);
        let receipt_path = root.receipt_of(dir, Some(&plugin));
        let receipt = match ReceiptFile::read(&receipt_path) {
            Ok(file) => file.and_then(|file| file.of_tree(super::TreeId::of(&path).ok().flatten())),
            // Who may write to it is told of with all that is in `.state`.
            Err(ReceiptError::Changeable(_)) => return None,
            Err(source) => {
                problems.push(StoreProblem::Receipt { plugin, path: receipt_path, source });
                return None;
            }
        };
        let Some(receipt) = receipt else {
            if listed.status != Status::Broken {
                problems.push(StoreProblem::NoReceipt { plugin, path });
            }
            return None;
        };
        match difference::of_all(&path, &receipt, &self.limits) {
            // A link that leads nowhere has been told of.
            Ok(_) if listed.link && !path.exists() => {}
            Ok(Comparison { differences, made }) => {
                if !made.is_empty() {
                    problems.push(StoreProblem::Made { plugin: plugin.clone(), path: path.clone(), files: made });
                }
                if !differences.is_empty() {
                    let ways_out = self.remedies(&plugin, &receipt);
                    problems.push(StoreProblem::Changed {
                        plugin: plugin.clone(),
                        path: path.clone(),
                        differences,
                        ways_out,
                    });
                }
            }
            Err(TreeError::Io { path, source }) => problems.push(unreadable(&path, source)),
            Err(e) => problems.push(unreadable(&path, e)),
        }
        survey_package(&plugin, &root, &receipt, problems);
        Some(receipt)
    }

    /// Puts right what can be without a loss: finishes or undoes interrupted changes, clears what killed commands left, removes
    /// receipts and former versions of plugins that are gone, and an index that cannot be used.
    ///
    /// # Errors
    /// [`StoreError`], where the store cannot be locked or changed.
    pub fn tidy(&self, report: &dyn Report) -> Result<(), StoreError> {
        for root in &self.roots {
            let index = self.index_path(root);
            if disk::exists(&index) && !list::is_index(&index) {
                disk::remove_file(&index).map_err(|source| StoreError::io("remove", &index, source))?;
            }
        }
        if !self.directory().is_dir() {
            return Ok(());
        }
        // Taking the lock clears up by itself. What is an orphan is only sure with it.
        let lock = self.lock(report)?;
        for entry in self.list()?.plugins {
            lock.restore_directory_name(&entry.name)?;
        }
        for path in self.orphans(self.root()).into_iter().map(|(_, path)| path) {
            disk::remove_tree(&path).map_err(|source| StoreError::io("remove", &path, source))?;
        }
        Ok(())
    }

    /// Looks at what is in a plugin directory beside the plugins.
    fn survey_root(&self, root: &Root, survey: &mut Survey) {
        let Ok(metadata) = fs::metadata(&root.0) else { return };
        let problems = &mut survey.problems;
        let mode = tree::mode(&metadata);
        if cfg!(unix) && mode & 0o022 != 0 && mode & 0o1000 == 0 {
            let everybody = mode & 0o002 != 0;
            problems.push(StoreProblem::Writable { plugin: None, path: root.0.clone(), everybody, ours: true });
        }
        let files = names(&root.state());
        let receipts_in = |dir: PathBuf| {
            let receipts = names(&dir).into_iter().filter(|name| name.ends_with(".json"));
            receipts.map(|name| dir.join(name)).filter(|path| path.is_file()).collect::<Vec<_>>()
        };
        let directories = [root.state(), root.previous_dir()].into_iter();
        for path in directories.chain(receipts_in(root.state())).chain(receipts_in(root.previous_dir())) {
            problems.extend(survey_state(path, false));
        }
        let private = [root.private(), root.staging()].into_iter().chain(receipts_in(root.private()));
        private.for_each(|path| problems.extend(survey_state(path, true)));
        // What a command that is at work has under way is no leftover.
        if is_locked(&root.lock()) {
            problems.push(StoreProblem::Busy { path: root.lock() });
            return;
        }
        // Until the next writer ends that, the plugins that it is about may seem not to be there.
        if root.renewed().exists() {
            problems.push(StoreProblem::Leftover { path: root.renewed() });
            return;
        }
        for name in names(&root.staging()) {
            problems.push(StoreProblem::Leftover { path: root.staging().join(name) });
        }
        problems.extend(Some(root.renewed()).filter(|path| disk::exists(path)).map(|path| StoreProblem::Leftover { path }));
        for dir in [root.state(), root.previous_dir()] {
            for name in names(&dir).into_iter().filter(|name| name.starts_with(disk::TEMPORARY)) {
                problems.push(StoreProblem::Leftover { path: dir.join(name) });
            }
        }
        for name in &files {
            let path = root.state().join(name);
            let Some(plugin) = name.strip_suffix(".json").map(str::to_owned) else { continue };
            let place = root.plugin(&plugin);
            if has_pending_change(&path) {
                problems.push(StoreProblem::Interrupted { plugin, path });
            } else if fs::symlink_metadata(&place).is_ok_and(|there| there.is_file()) {
                problems.push(StoreProblem::FileInPlace { plugin, path: place });
            }
        }
        problems.extend(self.orphans(root).into_iter().map(|(what, path)| StoreProblem::Orphan { what, path }));
        let packages = names(&root.0).into_iter().filter(|name| name.ends_with(".tgz"));
        for file in packages.filter(|file| file.rsplit_once(".tgz").is_some()) {
            let named = |(listed, _): &&(ListedPlugin, Option<Receipt>)| is_package_of(&file, &listed.name);
            let of = |(_, receipt): &(ListedPlugin, Option<Receipt>)| {
                let kept = receipt.as_ref().and_then(|receipt| receipt.archive.as_ref()?.file.as_deref());
                kept.is_none_or(|kept| kept == file)
            };
            let is_kept = match survey.plugins.iter().find(named) {
                Some(plugin) => of(plugin),
                // What has left its place is put back from it.
                None => files.iter().filter_map(|name| name.strip_suffix(".json")).any(|dir| is_package_of(&file, dir)),
            };
            if !is_kept {
                survey.problems.push(StoreProblem::StrayPackage { path: root.0.join(&file) });
            }
        }
    }

    /// Receipts and former versions of plugins that are not there, with what they are. A change that is under way speaks of none.
    fn orphans(&self, root: &Root) -> Vec<(&'static str, PathBuf)> {
        // A plugin whose directory was renamed keeps what bears its name.
        let entries = self.entries(root, IndexUse::Names).unwrap_or_default();
        let named: BTreeSet<&str> = entries.iter().filter_map(ScannedPlugin::name).collect();
        let is_there = |dir: &str| disk::exists(&root.plugin(dir)) || named.contains(dir);
        let mut found = Vec::new();
        let mut busy = BTreeSet::new();
        for name in names(&root.state()) {
            let path = root.state().join(&name);
            let Some(dir) = name.strip_suffix(".json").filter(|dir| !dir.starts_with('.')) else { continue };
            if has_pending_change(&path) {
                busy.insert(dir.to_owned());
            } else if !is_there(dir) {
                found.push(("a receipt", path));
            }
        }
        for name in names(&root.previous_dir()) {
            let dir = ["", ".json", ".tgz", ".tgz.prov"].into_iter().rev().find_map(|end| name.strip_suffix(end));
            let Some(dir) = dir.filter(|dir| !dir.starts_with('.') && !busy.contains(*dir)) else { continue };
            if !is_there(dir) {
                found.push(("a former version", root.previous_dir().join(&name)));
            }
        }
        found
    }
}

/// Whether the package that is kept of a plugin is the one that was installed.
fn survey_package(plugin: &str, root: &Root, receipt: &Receipt, problems: &mut Vec<StoreProblem>) {
    let Some((archive, file)) = receipt.archive.as_ref().and_then(|archive| Some((archive, archive.file.as_ref()?))) else {
        return;
    };
    // A receipt is a file like any other: it names no path.
    if !is_package_of(file, &receipt.name) {
        return;
    }
    let path = root.0.join(file);
    match Sha256Digest::of_file(&path) {
        Ok((digest, _)) if digest == archive.sha256 => {}
        Ok(_) => problems.push(StoreProblem::PackageChanged { plugin: plugin.to_owned(), path: path.clone() }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            problems.push(StoreProblem::PackageMissing { plugin: plugin.to_owned(), path: path.clone() });
        }
        Err(e) => problems.push(unreadable(&path, e)),
    }
    if archive.provenance && !prov(&path).exists() {
        problems.push(StoreProblem::PackageMissing { plugin: plugin.to_owned(), path: prov(&path) });
    }
}

/// Who may write to a plugin: each file for everybody, and the first one for a group.
fn survey_modes(plugin: &str, path: &Path, link: bool, problems: &mut Vec<StoreProblem>) {
    if let Err(source) = files::refuse_foreign_owner(path) {
        problems.push(StoreProblem::Planted { plugin: plugin.to_owned(), source });
    }
    let mut group = false;
    // Behind a link nothing is ours but the question who could change what is run.
    let depth = if link { 0 } else { usize::MAX };
    for entry in walkdir::WalkDir::new(path).follow_root_links(true).max_depth(depth).into_iter().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_symlink() || !cfg!(unix) {
            continue;
        }
        let mode = tree::mode(&metadata);
        let everybody = mode & 0o002 != 0;
        if everybody || (mode & 0o020 != 0 && !std::mem::replace(&mut group, true)) {
            let plugin = Some(plugin.to_owned());
            problems.push(StoreProblem::Writable { plugin, path: entry.path().to_owned(), everybody, ours: !link });
        }
    }
}

/// Who may write to, or read where it is `private`, a file or directory of ours.
fn survey_state(path: PathBuf, private: bool) -> Option<StoreProblem> {
    let metadata = fs::metadata(&path).ok()?;
    if files::everybody_may_write(&metadata) {
        return Some(StoreProblem::Writable { plugin: None, path, everybody: true, ours: true });
    }
    (private && cfg!(unix) && tree::mode(&metadata) & 0o077 != 0).then_some(StoreProblem::Exposed { path })
}

/// Whether the receipt at `path` was written ahead of a change that has not ended.
fn has_pending_change(path: &Path) -> bool {
    ReceiptFile::may_have_change(path).unwrap_or_default()
        && ReceiptFile::read(path).is_ok_and(|file| file.is_some_and(|file| file.change.is_some()))
}

/// Whether somebody holds the lock at `path`.
fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// The names in a directory, sorted; none where it cannot be read.
fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn unreadable(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreProblem {
    StoreProblem::Unreadable { path: path.to_owned(), source: source.into() }
}
