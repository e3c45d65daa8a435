//! Changed files of an installed plugin that the user accepts, and no longer accepts.

use std::path::Path;

use crate::manifest::{self, Metadata};
use crate::trust::{AcceptedFile, InstalledFile};

use super::difference::{self, Comparison, Difference};
use super::error::StoreError;
use super::lock::StoreLock;
use super::receipt::{InstallKind, Receipt, ReceiptFile, now_ns};
use super::tree::{self, FileAuthor, FileRecord};

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

impl StoreLock<'_> {
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
        if let Some(tree) = tree::id_at(&found.directory)? {
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
