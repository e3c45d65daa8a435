//! Changes of the store that a `kill -9` cannot halve (`docs/spec/store.md`, section 5).
//!
//! A directory and its receipt cannot change in one step, so the receipt is written ahead:
//!
//! 1. `{change, next, current}` is written: what will be, what is, and how to tell the two trees apart.
//! 2. The trees change place, in one exchange. (Removing: the tree leaves its place in one rename.)
//! 3. With a hook: it runs now, and `next` says `hook: pending`. When it is done the receipt is written ahead again, with
//!    the digests of what the hook left, and without the mark.
//! 4. Packages and the version before find their places; `{current}` is written.
//!
//! [`super::recover`] is the other half: it looks on which side of step 2 a killed writer stopped. Before it, or with the mark, the
//! change is undone; after it, step 4 is done again, each part of which can be. So what the next writer leaves is the old
//! state or the new one. In between readers see either tree with a receipt for it.
//!
//! Nothing is synced to disk, as with `tar`: a sync costs more than the rest of a small install. A killed process loses
//! nothing by it. A power failure may take back the last seconds; file systems with a journal keep the order of the renames,
//! so what is left is an earlier one of the states above, and bytes that did not reach the disk are noticed by the gate.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::manifest::{self, Metadata};
use crate::text::{quoted, without_credentials};
use crate::trust::{AcceptedFile, InstalledFile};

use super::copy_up::{self, CopyUpTarget};
use super::difference::{self, Comparison, Difference};
use super::error::StoreError;
use super::interrupt;
use super::lock::{Spool, StoreLock};
use super::receipt::{
    Archive, ChangeKind, HookState, HostVersion, InstallKind, NetworkSettings, PendingChange, Receipt, ReceiptError,
    ReceiptFile, RecordedSource, VerifiedBy, now_ns,
};
use super::recover::{finalize, finish_removal, has_previous, recover};
use super::staging::StagedPlugin;
use super::tree::{self, CLOCK_TICK_NS, FileAuthor, FileRecord, TreeId};
use super::{InstalledPlugin, disk};

/// Bytes that the gate may have to hash again before every run rather than have the install wait for the clock.
const REHASH_LIMIT: u64 = 256 << 10;

/// What the receipt says of an arrival beyond what the staged plugin itself knows.
#[derive(Debug, Clone, Default)]
pub struct InstallDetails {
    /// Where it came from, where the caller knows better than the package; user names and passwords of URLs are taken out.
    pub source: Option<RecordedSource>,
    /// The version or range that the user asked for.
    pub constraint: Option<String>,
    /// How its server was reached, as far as that had to be said.
    pub network: NetworkSettings,
    /// Whether updates are to skip it.
    pub held: bool,
}

/// A plugin that has taken its place. With a hook to run, the change is not final before [`Self::finish`]; dropped without
/// it, it is undone.
#[must_use = "a change whose hook is pending is undone when this is dropped"]
#[derive(Debug)]
pub struct StoreTransaction<'l> {
    lock: &'l StoreLock<'l>,
    dir: String,
    metadata: Metadata,
    change: PendingChange,
    current: Option<Receipt>,
    next: Option<Receipt>,
    /// What was staged, sorted by path, with the stamps of all files.
    files: Vec<FileRecord>,
    pending: bool,
    /// Keeps the old tree until the change is final.
    _scratch: Option<Spool>,
    _interrupts_wait: interrupt::InterruptGuard,
}

/// What [`StoreLock::trust`] accepted.
#[derive(Debug, Clone, Default)]
pub struct TrustChanges {
    /// How the files differed from the receipt.
    pub differences: Vec<Difference>,
    /// Each of them as it is now, and as it was in the receipt.
    pub files: Vec<ChangedFile>,
}

/// What was taken back of accepted changes.
#[derive(Debug, Clone, Default)]
pub struct WithdrawnChanges {
    /// The paths whose changes are no longer accepted.
    pub files: Vec<String>,
    /// Those whose changes still are: nobody knows what was installed there.
    pub unknown: Vec<String>,
}

impl WithdrawnChanges {
    /// Takes the changes of `files` out of `receipt`, which is at `path` and speaks of the plugin with this `metadata`.
    fn withdraw_from(
        &mut self,
        path: &Path,
        mut receipt: Receipt,
        files: &[AcceptedFile],
        metadata: impl FnOnce() -> Result<Metadata, StoreError>,
    ) -> Result<(), StoreError> {
        let mut records: Vec<FileRecord> = receipt.all_files().into_iter().cloned().collect();
        let (taken, unknown) = std::mem::take(&mut receipt.accepted)
            .into_iter()
            .partition(|path| files.iter().filter(|file| file.path == *path).any(|file| restore_record(&mut records, file)));
        receipt.accepted = unknown;
        self.unknown.extend(receipt.accepted.iter().cloned());
        let taken: Vec<String> = taken;
        if !taken.is_empty() {
            records.sort_by(|a, b| a.path.cmp(&b.path));
            (receipt.executables, receipt.files) = tree::split(records, &metadata()?);
            ReceiptFile::at_rest(receipt).write(path)?;
        }
        self.files.extend(taken);
        Ok(())
    }
}

/// Puts into `records` what was installed where `file` was accepted. Says whether it was accepted as it is there: another version
/// may have been installed since.
fn restore_record(records: &mut Vec<FileRecord>, file: &AcceptedFile) -> bool {
    let now = records.iter().position(|record| record.path == file.path);
    let record = now.and_then(|now| records.get(now));
    let is_it = record.map(|record| record.sha256) == file.sha256
        && record.is_none_or(|record| record.made_by == Some(FileAuthor::User));
    if !is_it {
        return false;
    }
    if let Some(now) = now {
        records.remove(now);
    }
    records.extend(file.installed.as_ref().map(|installed| FileRecord {
        path: file.path.clone(),
        sha256: installed.sha256,
        size: installed.size,
        mode: installed.mode,
        link: installed.link,
        made_by: None,
        stamp: None,
    }));
    true
}

/// A file whose change was accepted.
#[derive(Debug, Clone)]
pub struct ChangedFile {
    /// What it is now, and what was installed, as far as the receipt knew.
    pub file: AcceptedFile,
    /// Whether the receipt spoke of an earlier change that had been accepted: then it knows no more what was installed.
    pub again: bool,
}

/// What [`StoreLock::remove`] removed.
#[derive(Debug, Clone)]
pub struct RemovedPlugin {
    /// The plugin's name; of a broken one, its directory's.
    pub name: String,
    /// Its version; empty where it had none or was broken.
    pub version: String,
    /// The directory that it was in.
    pub directory: PathBuf,
    /// Whether it was a link, which was unlinked.
    pub link: bool,
}

impl StoreLock<'_> {
    /// Puts a staged plugin in its place, with its receipt and its package. `replace` allows it to take the place of what
    /// is there, which becomes the version before unless it is the same version. With `hook` the change is final only when
    /// [`StoreTransaction::finish`] is called.
    ///
    /// # Errors
    /// [`StoreError::AlreadyInstalled`], [`StoreError::InTheWay`], [`StoreError::Elsewhere`], [`StoreError::CaseTwin`],
    /// [`StoreError::Receipt`], [`StoreError::Io`].
    pub fn commit(
        &self,
        staged: StagedPlugin,
        details: InstallDetails,
        replace: bool,
        hook: bool,
    ) -> Result<StoreTransaction<'_>, StoreError> {
        let dir = staged.metadata.name.as_str().to_owned();
        let place = self.root().plugin(&dir);
        let there = self.check_place(&dir, replace)?;
        let interrupts_wait = interrupt::InterruptGuard::begin();

        let current = match &there {
            Some(_) => self.current_receipt(&dir)?,
            None => None,
        };
        let staged_tree = staged.tree();
        let id = |path: &Path| TreeId::of(path).map_err(|source| StoreError::io("look at", path, source));
        let Some(new) = id(&staged_tree)? else {
            return Err(StoreError::io("find", &staged_tree, io::ErrorKind::NotFound.into()));
        };
        let version = staged.metadata.version_text();
        let digest = staged.package_digest();
        let keep_old = match (&current, &there) {
            (Some(receipt), _) => {
                // A branch moves without a new version.
                let other = digest.is_some() && receipt.archive.as_ref().is_some_and(|a| Some(a.sha256) != digest);
                receipt.version.as_deref().unwrap_or_default() != version || other
            }
            (None, Some(Some(found))) => found.version_text() != version,
            (None, _) => false,
        };
        let change = PendingChange {
            kind: ChangeKind::Install,
            plugin: dir.clone(),
            staged: self.relative_to_state(&staged_tree)?,
            new: Some(new),
            old: id(&place)?,
            keep_old,
        };
        let next = self.new_receipt(&staged, details, new, current.as_ref(), hook);
        let StagedPlugin { scratch, metadata, files, .. } = staged;
        let mut transaction = StoreTransaction {
            lock: self,
            dir,
            metadata,
            change,
            current,
            next: Some(next),
            files,
            pending: true,
            _scratch: Some(scratch),
            _interrupts_wait: interrupts_wait,
        };
        transaction.exchange()?;
        if !hook {
            transaction.finalize()?;
        }
        Ok(transaction)
    }

    /// Puts `staged`, which is the version that is there once more, in the place of `dir` with the receipt `next`.
    pub(super) fn replace_with_same(
        &self,
        dir: &str,
        staged: StagedPlugin,
        current: Receipt,
        mut next: Receipt,
    ) -> Result<(), StoreError> {
        let (tree, place) = (staged.tree(), self.root().plugin(dir));
        let id = |path: &Path| TreeId::of(path).map_err(|source| StoreError::io("look at", path, source));
        let Some(new) = id(&tree)? else { return Err(StoreError::io("find", &tree, io::ErrorKind::NotFound.into())) };
        next.tree = new;
        next.stamped_at = now_ns();
        let interrupts_wait = interrupt::InterruptGuard::begin();
        let change = PendingChange {
            kind: ChangeKind::Install,
            plugin: next.name.clone(),
            staged: self.relative_to_state(&tree)?,
            new: Some(new),
            old: id(&place)?,
            keep_old: false,
        };
        let StagedPlugin { scratch, metadata, files, .. } = staged;
        let mut transaction = StoreTransaction {
            lock: self,
            dir: dir.to_owned(),
            metadata,
            change,
            current: Some(current),
            next: Some(next),
            files,
            pending: true,
            _scratch: Some(scratch),
            _interrupts_wait: interrupts_wait,
        };
        transaction.exchange()?;
        transaction.finalize()
    }

    /// Puts the version before back in its place; the present one becomes the version before.
    ///
    /// # Errors
    /// [`StoreError::NotInstalled`], [`StoreError::NoPrevious`], [`StoreError::Manifest`], [`StoreError::Receipt`],
    /// [`StoreError::Policy`], [`StoreError::Io`].
    pub fn rollback(&self, name: &str) -> Result<StoreTransaction<'_>, StoreError> {
        let found = self.installed(name)?;
        let dir = found.dir.clone();
        let previous = self.root().previous(&dir);
        let id = |path: &Path| TreeId::of(path).map_err(|source| StoreError::io("look at", path, source));
        let Some(new) = id(&previous)?.filter(|_| has_previous(&dir)) else {
            return Err(StoreError::NoPrevious { name: name.to_owned() });
        };
        let mut next = ReceiptFile::read(&self.root().previous_receipt(&dir))?.and_then(|file| file.current);
        self.check_previous(name, &previous, next.as_ref())?;
        let metadata = manifest::load(&previous, self.store.limits())?;
        // What could not run then stays where it is.
        self.store
            .judge_installed(metadata.name.as_str(), next.as_ref())
            .map_err(|source| StoreError::Policy { name: name.to_owned(), source: Box::new(source) })?;
        let interrupts_wait = interrupt::InterruptGuard::begin();
        let current = self.current_receipt(&dir)?;
        if let Some(next) = &mut next {
            next.tree = new;
            next.updated_at = Timestamp::now();
            next.hook = None;
            // That it is held speaks of the plugin, not of one version of it.
            next.held = current.as_ref().map_or(next.held, |current| current.held);
        }
        let change = PendingChange {
            kind: ChangeKind::Rollback,
            plugin: metadata.name.as_str().to_owned(),
            staged: self.relative_to_state(&previous)?,
            new: Some(new),
            old: id(&found.directory)?,
            keep_old: true,
        };
        let mut transaction = StoreTransaction {
            lock: self,
            dir,
            metadata,
            change,
            current,
            next,
            files: Vec::new(),
            pending: true,
            _scratch: None,
            _interrupts_wait: interrupts_wait,
        };
        transaction.exchange()?;
        transaction.finalize()?;
        Ok(transaction)
    }

    /// Refuses a version before whose files are not as they were: the gate would not run it.
    fn check_previous(&self, name: &str, directory: &Path, receipt: Option<&Receipt>) -> Result<(), StoreError> {
        let Some(receipt) = receipt else { return Ok(()) };
        let differences = difference::of_all(directory, receipt, self.store.limits())?.differences;
        if differences.is_empty() {
            return Ok(());
        }
        let host = self.store.host.name();
        let next = match (&receipt.archive, &receipt.version) {
            (Some(archive), _) if archive.file.is_some() => format!("`{}` restores it", self.store.restore_command(name)),
            (_, Some(version)) => {
                format!("`{host} plugin update {} --to {}` gets it from its source", quoted(name), quoted(version))
            }
            (_, None) => format!("`{}` installs it", self.store.reinstall_command(receipt)),
        };
        Err(StoreError::PreviousChanged { name: name.to_owned(), differences, next })
    }

    /// Removes the plugin `name`, by its name or, where it no longer loads, by its directory's: with its receipt, its
    /// package and provenance, and the version before. A link is unlinked, never followed.
    ///
    /// # Errors
    /// [`StoreError::NotInstalled`], [`StoreError::ReadOnlyRoot`], [`StoreError::Receipt`], [`StoreError::Io`].
    pub fn remove(&self, name: &str) -> Result<RemovedPlugin, StoreError> {
        let found = self.installed(name)?;
        let root = self.root();
        let current = self.current_receipt(&found.dir)?;
        let plugin = match (&found.metadata, &current) {
            (Ok(metadata), _) => metadata.name.as_str().to_owned(),
            (Err(_), Some(receipt)) => receipt.name.clone(),
            (Err(_), None) => found.dir.clone(),
        };
        let removed = RemovedPlugin {
            name: plugin.clone(),
            version: found.version_text(),
            directory: found.directory.clone(),
            link: found.link,
        };
        let scratch = self.spool()?;
        let _interrupts_wait = interrupt::InterruptGuard::begin();
        let away = scratch.path().join(&found.dir);
        let change = PendingChange {
            kind: ChangeKind::Remove,
            plugin,
            staged: self.relative_to_state(&away)?,
            new: None,
            old: TreeId::of(&found.directory).map_err(|source| StoreError::io("look at", &found.directory, source))?,
            keep_old: false,
        };
        match self.move_out_and_remove(&found.dir, &change, current.clone()) {
            Err(e) if e.crosses_devices() => {
                let old = copy_up::copy_up(root, CopyUpTarget::Plugin(&found.dir))?;
                self.move_out_and_remove(&found.dir, &PendingChange { old, ..change }, current)?;
            }
            result => result?,
        }
        Ok(removed)
    }

    /// Takes the tree in `dir` out of its place, and all that belongs to it away.
    fn move_out_and_remove(&self, dir: &str, change: &PendingChange, current: Option<Receipt>) -> Result<(), StoreError> {
        let (root, place) = (self.root(), self.root().plugin(dir));
        let away = root.state().join(&change.staged);
        ReceiptFile::with_change(change.clone(), current, None).write(&root.receipt(dir))?;
        let taken = disk::rename(&place, &away).map_err(|source| StoreError::io("remove", &place, source));
        let result = taken.and_then(|()| finish_removal(root, dir, change));
        if result.is_err() {
            // Whichever side it stopped on: what cannot be mended now, the next writer tries again.
            let _ = recover(root, dir);
        }
        result
    }

    /// Makes updates skip the plugin `name`, or no longer. Says whether that is news.
    ///
    /// # Errors
    /// [`StoreError::NotInstalled`], [`StoreError::NoReceipt`], [`StoreError::Receipt`].
    pub fn set_held(&self, name: &str, held: bool) -> Result<bool, StoreError> {
        let found = self.installed(name)?;
        let path = found.receipt_path();
        let Some(mut receipt) = ReceiptFile::read(&path)?.and_then(|file| file.current) else {
            return Err(self.store().no_receipt(name));
        };
        if receipt.held == held {
            return Ok(false);
        }
        receipt.held = held;
        ReceiptFile::at_rest(receipt).write(&path)?;
        Ok(true)
    }

    /// Accepts the files of the plugin `name` as they are now, and says how they differed from its receipt, and what was there
    /// before.
    ///
    /// # Errors
    /// [`StoreError::NotInstalled`], [`StoreError::NoReceipt`], [`StoreError::Manifest`], [`StoreError::Tree`],
    /// [`StoreError::Receipt`].
    pub fn trust(&self, name: &str) -> Result<TrustChanges, StoreError> {
        let found = self.installed(name)?;
        let path = found.receipt_path();
        let Some(mut receipt) = ReceiptFile::read(&path)?.and_then(|file| file.current) else {
            return Err(self.store().no_receipt(name));
        };
        if receipt.kind == InstallKind::Link {
            return Ok(TrustChanges::default());
        }
        let limits = self.store.limits();
        let metadata = found.metadata?;
        // What the plugin makes when it runs is as little accepted as it is refused.
        let Comparison { differences, made } = difference::of_all(&found.directory, &receipt, limits)?;
        if differences.is_empty() {
            return Ok(TrustChanges::default());
        }
        let stamped_at = now_ns();
        let mut known: Vec<FileRecord> = receipt.all_files().into_iter().cloned().collect();
        // Without stamps every digest is taken again.
        known.iter_mut().for_each(|file| file.stamp = None);
        let mut files = tree::records(&found.directory, &known, Some(FileAuthor::User), limits)?;
        files.retain(|file| !made.contains(&file.path));
        let changed = differences.iter().filter(|difference| !difference.path.is_empty());
        let changed = changed.map(|difference| changed_file(&difference.path, &known, &files)).collect();
        (receipt.executables, receipt.files) = tree::split(files, &metadata);
        receipt.accepted.extend(differences.iter().map(|difference| difference.path.clone()));
        receipt.accepted.sort_unstable();
        receipt.accepted.dedup();
        receipt.stamped_at = stamped_at;
        receipt.version = metadata.version.as_ref().map(ToString::to_string);
        if let Some(tree) =
            TreeId::of(&found.directory).map_err(|source| StoreError::io("look at", &found.directory, source))?
        {
            receipt.tree = tree;
        }
        ReceiptFile::at_rest(receipt).write(&path)?;
        Ok(TrustChanges { differences, files: changed })
    }

    /// Takes accepted changes of files of the plugin `name` back, those of the version before too: its receipt says again what was
    /// installed, so that the gate or a rollback notices the difference. That is done for those that were accepted as they are in `files`.
    ///
    /// # Errors
    /// [`StoreError::NotInstalled`], [`StoreError::NoReceipt`], [`StoreError::Manifest`], [`StoreError::Receipt`].
    pub fn withdraw_accepted(&self, name: &str, files: &[AcceptedFile]) -> Result<WithdrawnChanges, StoreError> {
        let found = self.installed(name)?;
        let path = found.receipt_path();
        let Some(receipt) = ReceiptFile::read(&path)?.and_then(|file| file.current) else {
            return Err(self.store().no_receipt(name));
        };
        let mut taken = WithdrawnChanges::default();
        taken.withdraw_from(&path, receipt, files, || Ok(found.metadata?))?;
        let (path, previous) = (self.root().previous_receipt(&found.dir), self.root().previous(&found.dir));
        if let Some(receipt) = ReceiptFile::read(&path)?.and_then(|file| file.current) {
            let mut before = WithdrawnChanges::default();
            before.withdraw_from(&path, receipt, files, || Ok(manifest::load(&previous, self.store.limits())?))?;
            // What is not known of it counts when it comes back.
            before.files.retain(|path| !taken.files.contains(path));
            taken.files.append(&mut before.files);
        }
        Ok(taken)
    }

    /// The plugin `name` in the directory that is written to.
    fn installed(&self, name: &str) -> Result<InstalledPlugin, StoreError> {
        let found = self.store.installed(name)?;
        if &found.root != self.root() {
            return Err(StoreError::ReadOnlyRoot {
                name: name.to_owned(),
                directory: found.root.0,
                written: self.root().0.clone(),
            });
        }
        if self.restore_directory_name(name)? { self.store.installed(name) } else { Ok(found) }
    }

    /// Gives the directory of the plugin `name` its name back, where somebody renamed it since it was installed and nothing took
    /// its place: whatever belongs to the plugin bears that name. Says whether it did.
    pub(crate) fn restore_directory_name(&self, name: &str) -> Result<bool, StoreError> {
        let root = self.root();
        let Some(found) = self.store.find(name)?.filter(|found| &found.root == root && found.dir != name) else {
            return Ok(false);
        };
        let place = root.plugin(name);
        if !disk::exists(&root.receipt(name)) || disk::exists(&place) {
            return Ok(false);
        }
        copy_up::rename(root, &found.dir, &place)?;
        Ok(true)
    }

    /// The receipt of what is in `dir`. A damaged one is none: whoever calls is about to replace or remove its plugin.
    fn current_receipt(&self, dir: &str) -> Result<Option<Receipt>, StoreError> {
        match ReceiptFile::read(&self.root().receipt(dir)) {
            Ok(file) => Ok(file.and_then(|file| file.current)),
            Err(ReceiptError::Damaged { .. } | ReceiptError::TooLarge { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether the plugin `name` may take the place of its name: `None` where that is free, `Some(None)` where something is
    /// replaced that is no plugin.
    fn check_place(&self, name: &str, replace: bool) -> Result<Option<Option<InstalledPlugin>>, StoreError> {
        let root = self.root();
        if replace {
            self.restore_directory_name(name)?;
        }
        let unreadable = |source| StoreError::io("read", &root.0, source);
        for entry in fs::read_dir(&root.0).map_err(unreadable)? {
            let other = entry.map_err(unreadable)?.file_name();
            let Some(other) = other.to_str().filter(|other| *other != name) else { continue };
            if other.eq_ignore_ascii_case(name) {
                return Err(StoreError::CaseTwin { name: name.to_owned(), other: other.to_owned() });
            }
        }
        for (other_root, dir) in self.store.directories_of(name) {
            // In another root it stays where it is, and ours comes first: that is for the user to say.
            let in_the_way = if other_root == root { dir != name } else { !replace };
            if in_the_way {
                return Err(StoreError::Elsewhere { name: name.to_owned(), directory: other_root.plugin(&dir) });
            }
        }
        let place = root.plugin(name);
        let Ok(entry) = fs::symlink_metadata(&place) else { return Ok(None) };
        let found = self.store.load_installed(root, name)?;
        let dangling = entry.is_symlink() && !place.exists();
        if replace {
            return Ok(Some(found.filter(|_| !dangling)));
        }
        match found {
            Some(found) if !dangling => {
                Err(StoreError::AlreadyInstalled { name: name.to_owned(), version: found.version_text() })
            }
            _ => {
                let what = if dangling {
                    "a symbolic link that points nowhere"
                } else if entry.is_dir() {
                    "a directory without a plugin"
                } else {
                    "a file"
                };
                Err(StoreError::InTheWay { path: place, what })
            }
        }
    }

    fn relative_to_state(&self, path: &Path) -> Result<PathBuf, StoreError> {
        let relative = path.strip_prefix(self.root().state()).map(Path::to_owned);
        relative.map_err(|e| StoreError::io("change place with", path, io::Error::other(e)))
    }

    fn new_receipt(
        &self,
        staged: &StagedPlugin,
        details: InstallDetails,
        tree: TreeId,
        current: Option<&Receipt>,
        hook: bool,
    ) -> Receipt {
        let metadata = &staged.metadata;
        let version = metadata.version.as_ref().map(ToString::to_string);
        let now = Timestamp::now();
        let mut source = details.source.unwrap_or_else(|| staged.source.clone());
        source.asked = without_credentials(&source.asked);
        source.resolved = source.resolved.as_deref().map(without_credentials);
        let archive = staged.package.as_ref().map(|package| Archive {
            file: version.as_ref().map(|version| format!("{}-{version}.tgz", metadata.name)),
            sha256: package.digest,
            size: package.size,
            provenance: package.provenance && version.is_some(),
        });
        let (executables, files) = tree::split(staged.files.clone(), metadata);
        Receipt {
            name: metadata.name.as_str().to_owned(),
            version,
            plugin_type: metadata.plugin_type().to_owned(),
            runtime: metadata.runtime_name().to_owned(),
            kind: staged.kind,
            source,
            constraint: details.constraint,
            network: details.network,
            held: details.held,
            archive,
            verified: VerifiedBy::new(staged.evidence.as_ref()),
            host: HostVersion { name: self.store.host.name().to_owned(), version: self.store.host.version().to_string() },
            installed_at: current.map_or(now, |receipt| receipt.installed_at),
            updated_at: now,
            hook: hook.then_some(HookState::Pending),
            tree,
            accepted: Vec::new(),
            stamped_at: now_ns(),
            executables,
            files,
        }
    }
}

impl StoreTransaction<'_> {
    /// The plugin's directory.
    pub fn directory(&self) -> PathBuf {
        self.lock.root().plugin(&self.dir)
    }

    /// What its manifest says.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Its receipt; a rollback to a version that was copied in by hand has none.
    pub fn receipt(&self) -> Option<&Receipt> {
        self.next.as_ref()
    }

    /// The receipt of what was replaced.
    pub fn replaced(&self) -> Option<&Receipt> {
        self.current.as_ref()
    }

    /// Makes the change final, where a hook was pending: takes the digests again, and notes what the hook made or changed
    /// as the hook's. Without a hook this does nothing.
    ///
    /// # Errors
    /// [`StoreError::Manifest`], [`StoreError::Tree`], [`StoreError::Receipt`], [`StoreError::Io`]. Where the hook left no
    /// plugin of this name the change is undone.
    pub fn finish(mut self) -> Result<(), StoreError> {
        if !self.pending {
            return Ok(());
        }
        self.record_hook_files()?;
        // The mark goes: from here on, a killed change is finished, not undone.
        self.write_pending_receipt()?;
        self.finalize()
    }

    /// Takes a change back whose hook failed; without a hook this does nothing.
    ///
    /// # Errors
    /// [`StoreError::Receipt`], [`StoreError::Io`]; the next writer tries again.
    pub fn undo(mut self) -> Result<(), StoreError> {
        self.roll_back()
    }

    fn roll_back(&mut self) -> Result<(), StoreError> {
        if !std::mem::take(&mut self.pending) {
            return Ok(());
        }
        recover(self.lock.root(), &self.dir).map(|_| ())
    }

    /// Brings the receipt in line with what the hook left.
    fn record_hook_files(&mut self) -> Result<(), StoreError> {
        let place = self.directory();
        let metadata = manifest::load(&place, self.lock.store.limits())?;
        if metadata.name.as_str() != self.dir {
            let name = metadata.name.to_string();
            return Err(StoreError::Elsewhere { name, directory: place });
        }
        let Some(next) = &mut self.next else { return Ok(()) };
        if next.kind != InstallKind::Link {
            next.stamped_at = now_ns();
            let files = tree::records(&place, &self.files, Some(FileAuthor::Hook), self.lock.store.limits())?;
            (next.executables, next.files) = tree::split(files, &metadata);
        }
        next.version = metadata.version.as_ref().map(ToString::to_string);
        next.hook = Some(HookState::Done);
        self.metadata = metadata;
        Ok(())
    }

    fn write_pending_receipt(&self) -> Result<(), StoreError> {
        let file = ReceiptFile::with_change(self.change.clone(), self.current.clone(), self.next.clone());
        Ok(file.write(&self.lock.root().receipt(&self.dir))?)
    }

    /// Steps 1 and 2, with trees that can be renamed.
    fn exchange(&mut self) -> Result<(), StoreError> {
        match self.try_exchange() {
            Err(e) if e.crosses_devices() => {
                self.copy_up_trees()?;
                self.pending = true;
                self.try_exchange()
            }
            result => result,
        }
    }

    /// Steps 1 and 2. Where the second fails the first is taken back.
    fn try_exchange(&mut self) -> Result<(), StoreError> {
        let root = self.lock.root();
        let place = root.plugin(&self.dir);
        self.write_pending_receipt()?;
        let staged = root.state().join(&self.change.staged);
        let result = disk::exchange(&staged, &place).map_err(|source| StoreError::io("change", &place, source));
        if result.is_err() {
            let _ = self.roll_back();
        }
        result
    }

    /// Renews the trees of this change, which has not begun.
    fn copy_up_trees(&mut self) -> Result<(), StoreError> {
        let root = self.lock.root();
        self.change.old = copy_up::copy_up(root, CopyUpTarget::Plugin(&self.dir))?;
        if self.change.kind == ChangeKind::Rollback {
            self.change.new = copy_up::copy_up(root, CopyUpTarget::Previous(&self.dir))?;
            if let (Some(next), Some(new)) = (&mut self.next, self.change.new) {
                next.tree = new;
            }
        }
        Ok(())
    }

    /// Step 4. Where it fails, the next writer goes on with it.
    fn finalize(&mut self) -> Result<(), StoreError> {
        self.pending = false;
        if let Some(next) = &mut self.next {
            wait_for_the_clock(next);
            next.stamped_at = now_ns();
        }
        finalize(self.lock.root(), &self.dir, &self.change, self.current.as_ref(), self.next.as_ref())
    }
}

impl Drop for StoreTransaction<'_> {
    fn drop(&mut self) {
        // An early return or a panic between the exchange and the end of the hook; what fails here the next writer mends.
        let _ = self.roll_back();
    }
}

/// The file at `path` in the records `before` and `after` a change.
fn changed_file(path: &str, before: &[FileRecord], after: &[FileRecord]) -> ChangedFile {
    let find = |records: &[FileRecord]| records.iter().find(|record| record.path == path).cloned();
    let (before, after) = (find(before), find(after));
    let again = before.as_ref().is_some_and(|record| record.made_by == Some(FileAuthor::User));
    let installed = before.filter(|_| !again);
    ChangedFile {
        file: AcceptedFile {
            path: path.to_owned(),
            sha256: after.map(|record| record.sha256),
            installed: installed.map(|FileRecord { sha256, size, mode, link, .. }| InstalledFile {
                sha256,
                size,
                mode,
                link,
            }),
        },
        again,
    }
}

/// Where much was written only just now, waits until a later change of it would show in its stamps: a moment now rather than
/// a digest before every run.
fn wait_for_the_clock(receipt: &Receipt) {
    let now = now_ns();
    let (mut bytes, mut newest) = (0, i64::MIN);
    for file in &receipt.executables {
        if let Some(stamp) = file.stamp.filter(|stamp| !stamp.shows_changes_after(now)) {
            bytes += file.size;
            newest = newest.max(stamp.modified.max(stamp.changed));
        }
    }
    if bytes > REHASH_LIMIT {
        // A stamp from the future, of a wrong clock, is not waited for.
        let wait = newest.saturating_add(CLOCK_TICK_NS + 1).saturating_sub(now).clamp(0, CLOCK_TICK_NS + 1);
        std::thread::sleep(Duration::from_nanos(wait.unsigned_abs()));
    }
}
