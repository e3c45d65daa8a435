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

use jiff::Timestamp;

use crate::manifest::{self, Metadata};
use crate::text::without_credentials;

use super::copy_up::{self, CopyUpTarget};
use super::error::StoreError;
use super::interrupt;
use super::lock::{Spool, StoreLock};
use super::receipt::{
    Archive, ChangeKind, HookState, HostVersion, InstallKind, NetworkSettings, PendingChange, Receipt, ReceiptError,
    ReceiptFile, RecordedSource, VerifiedBy, now_ns,
};
use super::recover::{finalize, finish_removal, has_previous, recover};
use super::staging::StagedPlugin;
use super::tree::{self, FileAuthor, FileRecord, TreeId};
use super::{InstalledPlugin, disk};

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

/// A tree that is about to change place with that of a plugin.
struct Exchange {
    kind: ChangeKind,
    /// The name of the plugin's directory.
    dir: String,
    /// The tree that comes, below `.state`.
    tree: PathBuf,
    new: TreeId,
    /// What its manifest says.
    metadata: Metadata,
    /// Whether what is replaced becomes the version before.
    keep_old: bool,
    current: Option<Receipt>,
    next: Option<Receipt>,
    /// What was staged, sorted by path.
    files: Vec<FileRecord>,
    /// Where it was staged, which keeps the old tree.
    scratch: Option<Spool>,
}

impl Exchange {
    /// A staged plugin that comes into `dir` with the receipt `next`.
    fn of_staged(
        dir: String,
        staged: StagedPlugin,
        new: TreeId,
        keep_old: bool,
        current: Option<Receipt>,
        next: Receipt,
    ) -> Self {
        let tree = staged.tree();
        let StagedPlugin { scratch, metadata, files, .. } = staged;
        Self {
            kind: ChangeKind::Install,
            dir,
            tree,
            new,
            metadata,
            keep_old,
            current,
            next: Some(next),
            files,
            scratch: Some(scratch),
        }
    }
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
        let there = self.check_place(&dir, replace)?;
        let current = match &there {
            Some(_) => self.current_receipt(&dir)?,
            None => None,
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
        let new = staged.tree_id()?;
        let next = self.new_receipt(&staged, details, new, current.as_ref(), hook);
        let mut transaction = self.exchange(Exchange::of_staged(dir, staged, new, keep_old, current, next))?;
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
        let new = staged.tree_id()?;
        next.stamped_at = now_ns();
        self.exchange(Exchange::of_staged(dir.to_owned(), staged, new, false, Some(current), next))?.finalize()
    }

    /// Begins a change: writes it ahead and lets the trees change place. It is not final yet.
    fn exchange(&self, exchange: Exchange) -> Result<StoreTransaction<'_>, StoreError> {
        let Exchange { kind, dir, tree, new, metadata, keep_old, current, mut next, files, scratch } = exchange;
        let interrupts_wait = interrupt::InterruptGuard::begin();
        if let Some(next) = &mut next {
            next.tree = new;
        }
        let change = PendingChange {
            kind,
            plugin: metadata.name.as_str().to_owned(),
            staged: self.relative_to_state(&tree)?,
            new: Some(new),
            old: tree::id_at(&self.root().plugin(&dir))?,
            keep_old,
        };
        let mut transaction = StoreTransaction {
            lock: self,
            dir,
            metadata,
            change,
            current,
            next,
            files,
            pending: true,
            _scratch: scratch,
            _interrupts_wait: interrupts_wait,
        };
        transaction.exchange()?;
        Ok(transaction)
    }

    /// Puts the version before back in its place; the present one becomes the version before.
    ///
    /// # Errors
    /// [`StoreError::NotInstalled`], [`StoreError::NoPrevious`], [`StoreError::Manifest`], [`StoreError::Receipt`],
    /// [`StoreError::Policy`], [`StoreError::Io`].
    pub fn rollback(&self, name: &str) -> Result<StoreTransaction<'_>, StoreError> {
        let found = self.installed(name)?;
        let dir = found.dir;
        let previous = self.root().previous(&dir);
        let Some(new) = tree::id_at(&previous)?.filter(|_| has_previous(&dir)) else {
            return Err(StoreError::NoPrevious { name: name.to_owned() });
        };
        let mut next = ReceiptFile::read(&self.root().previous_receipt(&dir))?.and_then(|file| file.current);
        self.check_previous(name, &previous, next.as_ref())?;
        let metadata = manifest::load(&previous, self.store.limits())?;
        // What could not run then stays where it is.
        self.store
            .judge_installed(metadata.name.as_str(), next.as_ref())
            .map_err(|source| StoreError::Policy { name: name.to_owned(), source: Box::new(source) })?;
        let current = self.current_receipt(&dir)?;
        if let Some(next) = &mut next {
            next.updated_at = Timestamp::now();
            next.hook = None;
            // That it is held speaks of the plugin, not of one version of it.
            next.held = current.as_ref().map_or(next.held, |current| current.held);
        }
        let mut transaction = self.exchange(Exchange {
            kind: ChangeKind::Rollback,
            dir,
            tree: previous,
            new,
            metadata,
            keep_old: true,
            current,
            next,
            files: Vec::new(),
            scratch: None,
        })?;
        transaction.finalize()?;
        Ok(transaction)
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
            old: tree::id_at(&found.directory)?,
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

    /// The plugin `name` in the directory that is written to.
    pub(super) fn installed(&self, name: &str) -> Result<InstalledPlugin, StoreError> {
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
            tree::wait_for_the_clock(&next.executables, now_ns());
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
