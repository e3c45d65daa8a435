//! What of an installed plugin is not as its receipt says, and putting it back: the same version again, in the way of every change.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::intake::provenance::Evidence;
use crate::text::quoted;

use super::difference::{self, Difference, DifferenceKind};
use super::error::StoreError;
use super::receipt::{InstallKind, Receipt, ReceiptFile, VerificationMethod, VerifiedBy};
use super::staging::{PACKAGE, StagedPlugin};
use super::tree::{self, FileAuthor, FileRecord};
use super::{InstalledPlugin, Root, Store, StoreLock, copy_up, disk, interrupt, is_one_part, is_package_of, prov};
use crate::digest::Sha256Digest;

/// How an installed plugin differs from its receipt.
#[derive(Debug)]
pub struct Damage {
    /// The receipt.
    pub receipt: Receipt,
    /// Its directory, which may be gone.
    pub directory: PathBuf,
    /// The files that are not as they were installed, those that the user accepted too; sorted by path.
    pub differences: Vec<Difference>,
    /// Its package, where it is kept as it was.
    pub package: Option<PathBuf>,
    /// The version before, where it is kept and its files are not as they were.
    pub previous: Option<Box<PreviousDamage>>,
    root: Root,
    dir: String,
}

/// How the version before of a plugin differs from its receipt.
#[derive(Debug)]
pub struct PreviousDamage {
    /// The receipt.
    pub receipt: Receipt,
    /// The files that are not as they were.
    pub differences: Vec<Difference>,
    /// Its package, where it is kept as it was.
    pub package: Option<PathBuf>,
}

impl Damage {
    /// Whether the package of the receipt should be kept and is not.
    pub fn lacks_package(&self) -> bool {
        let kept = self.receipt.archive.as_ref().and_then(|archive| archive.file.as_ref());
        kept.is_some() && self.package.is_none()
    }

    /// Whether there is nothing to put back.
    pub fn is_none(&self) -> bool {
        self.differences.is_empty() && self.previous.is_none() && !self.lacks_package()
    }
}

impl Store {
    /// Compares the installed plugin `name` with its receipt: also one whose directory is gone, which a receipt alone remembers.
    ///
    /// # Errors
    /// [`StoreError::NotInstalled`], [`StoreError::NoReceipt`], [`StoreError::Receipt`], [`StoreError::Tree`], [`StoreError::Io`].
    pub fn damage(&self, name: &str) -> Result<Damage, StoreError> {
        let (root, dir, directory, receipt) = self.receipt_for(name)?;
        let mut differences = match tree::id_at(&directory)? {
            Some(_) => difference::of_all(&directory, &receipt, &self.limits)?.differences,
            None => vec![Difference { path: String::new(), kind: DifferenceKind::Missing }],
        };
        let by_user = receipt.all_files().into_iter().filter(|file| file.made_by == Some(FileAuthor::User));
        let accepted: BTreeSet<&String> = by_user.map(|file| &file.path).chain(&receipt.accepted).collect();
        for path in accepted {
            let kind = if receipt.file(path).is_some() { DifferenceKind::Changed } else { DifferenceKind::Missing };
            if differences.iter().all(|difference| difference.path != *path) {
                differences.push(Difference { path: path.clone(), kind });
            }
        }
        differences.sort_by(|a, b| a.path.cmp(&b.path));
        let package = kept_package(&receipt, |file| root.0.join(file));
        let previous = self.previous_damage(&root, &dir)?;
        Ok(Damage { receipt, directory, differences, package, previous, root, dir })
    }

    /// The receipt of the plugin `name` with the root that it is in, the name that it bears, and the directory that it is about.
    fn receipt_for(&self, name: &str) -> Result<(Root, String, PathBuf, Receipt), StoreError> {
        if let Some(found) = self.find(name)? {
            let receipt = self.receipt(&found)?.ok_or_else(|| self.no_receipt(name))?;
            let path = found.receipt_path();
            let dir = path.file_stem().map_or_else(|| found.dir.clone(), |stem| stem.to_string_lossy().into_owned());
            return Ok((found.root, dir, found.directory, receipt));
        }
        for root in self.roots.iter().filter(|_| is_one_part(name)) {
            if let Some(receipt) = ReceiptFile::read(&root.receipt(name))?.and_then(|file| file.current) {
                return Ok((root.clone(), name.to_owned(), root.plugin(name), receipt));
            }
        }
        Err(self.not_installed(name).into())
    }

    fn previous_damage(&self, root: &Root, dir: &str) -> Result<Option<Box<PreviousDamage>>, StoreError> {
        let directory = root.previous(dir);
        let receipt = match ReceiptFile::read(&root.previous_receipt(dir))?.and_then(|file| file.current) {
            Some(receipt) if disk::exists(&directory) => receipt,
            _ => return Ok(None),
        };
        let differences = difference::of_all(&directory, &receipt, &self.limits)?.differences;
        let package = kept_package(&receipt, |_| root.previous_package(dir));
        Ok((!differences.is_empty()).then(|| Box::new(PreviousDamage { receipt, differences, package })))
    }

    /// The command that puts the files of the plugin `name` back.
    pub(crate) fn restore_command(&self, name: &str) -> String {
        format!("{} plugin restore {}", self.host.name(), quoted(name))
    }
}

/// The package of `receipt`, at the place that `at` says, where it is as it was.
fn kept_package(receipt: &Receipt, at: impl Fn(&str) -> PathBuf) -> Option<PathBuf> {
    let archive = receipt.archive.as_ref()?;
    // A receipt is a file like any other: it names no path.
    let path = at(archive.file.as_deref().filter(|file| is_package_of(file, &receipt.name))?);
    Sha256Digest::of_file(&path).is_ok_and(|(digest, _)| digest == archive.sha256).then_some(path)
}

impl StoreLock<'_> {
    /// Puts the files of the installed version back: those of `staged`, which must be what the receipt speaks of, and those that its
    /// hook made. The receipt stays what it was but for the files.
    ///
    /// # Errors
    /// [`StoreError::OtherFiles`], [`StoreError::MadeByHook`], [`StoreError::ReadOnlyRoot`], [`StoreError::Receipt`],
    /// [`StoreError::Io`]; the plugin is then as it was.
    pub fn restore(&self, mut staged: StagedPlugin, damage: Damage) -> Result<(), StoreError> {
        let Damage { receipt, directory, root, dir, .. } = damage;
        if &root != self.root() {
            let (name, written) = (receipt.name, self.root().0.clone());
            return Err(StoreError::ReadOnlyRoot { name, directory: root.0, written });
        }
        self.check_same(&mut staged, &receipt)?;
        self.copy_hook_files(&mut staged, &receipt, &directory)?;
        let mut next = Receipt { accepted: Vec::new(), ..receipt.clone() };
        if let (Some(archive), Some(package)) = (&mut next.archive, &staged.package) {
            // The same commit may be packed differently by another version of this program.
            (archive.sha256, archive.size) = (package.digest, package.size);
        }
        (next.executables, next.files) = tree::split(staged.files.clone(), &staged.metadata);
        self.replace_with_same(&dir, staged, receipt, next)
    }

    /// Puts the files of the version before of a plugin back, which [`Self::rollback`] would put in its place.
    ///
    /// # Errors
    /// As [`Self::restore`].
    pub fn restore_previous(&self, mut staged: StagedPlugin, damage: &Damage) -> Result<(), StoreError> {
        let Some(previous) = damage.previous.as_deref() else { return Ok(()) };
        let directory = self.root().previous(&damage.dir);
        self.check_same(&mut staged, &previous.receipt)?;
        self.copy_hook_files(&mut staged, &previous.receipt, &directory)?;
        let _interrupts_wait = interrupt::InterruptGuard::begin();
        copy_up::put_previous(self.root(), &damage.dir, &staged.tree())
    }

    /// Takes over into the receipt of `found` what `staged`, the same package, was verified by, where that is worth more; with its
    /// provenance. Says whether it was.
    ///
    /// # Errors
    /// [`StoreError::Receipt`], [`StoreError::Io`].
    pub fn upgrade_verification(&self, found: &InstalledPlugin, staged: &StagedPlugin) -> Result<bool, StoreError> {
        let path = self.root().receipt(&found.dir);
        let Some(mut receipt) = ReceiptFile::read(&path)?.and_then(|file| file.current) else { return Ok(false) };
        let verified = VerifiedBy::new(staged.evidence());
        // What a lock file's digest vouched for names its signer already.
        let other_signer = match (receipt.verified.signed_by(), verified.signed_by()) {
            (Some((old, _)), Some((new, _))) => !old.eq_ignore_ascii_case(new),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if &found.root != self.root() || other_signer || strength(verified.by) <= strength(receipt.verified.by) {
            return Ok(false);
        }
        if let Some(archive) = &mut receipt.archive
            && let Some(file) = archive.file.clone().filter(|file| is_package_of(file, &receipt.name))
        {
            // The package goes along: what is kept may have gone.
            let (from, to) = (staged.scratch.path().join(PACKAGE), self.root().0.join(file));
            for (from, to) in [(prov(&from), prov(&to)), (from, to)] {
                disk::rename_if_there(&from, &to).map_err(|source| StoreError::io("rename", &from, source))?;
            }
            archive.provenance |= staged.package.as_ref().is_some_and(|package| package.provenance);
        }
        receipt.verified = verified;
        ReceiptFile::at_rest(receipt).write(&path)?;
        Ok(true)
    }

    /// Refuses a version before whose files are not as they were: the gate would not run it.
    pub(super) fn check_previous(&self, name: &str, directory: &Path, receipt: Option<&Receipt>) -> Result<(), StoreError> {
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

    /// Refuses files that are not those of `receipt`. Of a directory that was copied, what has come since stays behind.
    fn check_same(&self, staged: &mut StagedPlugin, receipt: &Receipt) -> Result<(), StoreError> {
        let known = receipt.all_files();
        if receipt.kind == InstallKind::Copy {
            let tree = staged.tree();
            let (old, new): (Vec<_>, Vec<_>) = std::mem::take(&mut staged.files)
                .into_iter()
                .partition(|file| known.binary_search_by(|one| one.path.cmp(&file.path)).is_ok());
            for file in new {
                let path = tree.join(&file.path);
                fs::remove_file(&path).map_err(|source| StoreError::io("remove", &path, source))?;
            }
            staged.files = old;
        }
        let differs = |record: &&&FileRecord| {
            let came = staged.files.iter().find(|file| file.path == record.path);
            came.is_none_or(|came| came.sha256 != record.sha256 || came.is_executable() != record.is_executable())
        };
        let paths: Vec<String> = known
            .iter()
            .filter(|record| record.made_by.is_none() && !receipt.accepted.contains(&record.path))
            .filter(differs)
            .map(|record| record.path.clone())
            .collect();
        if paths.is_empty() && staged.metadata.name.as_str() == receipt.name {
            return Ok(());
        }
        Err(StoreError::OtherFiles {
            name: receipt.name.clone(),
            from: receipt.shown_source(),
            paths,
            host: self.store.host.name().to_owned(),
        })
    }

    /// Copies what a hook made or changed, as long as it is as the hook left it: hooks do not run again.
    fn copy_hook_files(&self, staged: &mut StagedPlugin, receipt: &Receipt, from: &Path) -> Result<(), StoreError> {
        let tree = staged.tree();
        for record in receipt.all_files().into_iter().filter(|file| file.made_by == Some(FileAuthor::Hook)) {
            if !difference::is_as_recorded(from, record)? {
                let (name, path) = (receipt.name.clone(), record.path.clone());
                let again = self.store.reinstall_command(receipt);
                return Err(StoreError::MadeByHook { name, path, again });
            }
            let (from, to) = (from.join(&record.path), tree.join(&record.path));
            let copied = to.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| disk::copy_entry(&from, &to));
            let metadata = copied.and_then(|()| fs::symlink_metadata(&to));
            let metadata = metadata.map_err(|source| StoreError::io("copy", &from, source))?;
            let stamp = Some(tree::FileStamp::of(&metadata));
            staged.files.retain(|file| file.path != record.path);
            staged.files.push(FileRecord { stamp, ..record.clone() });
        }
        staged.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(())
    }
}

/// How much a proof is worth beside another one.
fn strength(means: VerificationMethod) -> u8 {
    match means {
        VerificationMethod::None | VerificationMethod::Local => 0,
        VerificationMethod::Digest => 1,
        VerificationMethod::Signature => 2,
    }
}

impl Receipt {
    /// Why it was trusted when it was installed, as evidence; `None` for a directory of the user's own.
    pub fn evidence(&self) -> Option<Evidence> {
        let archive = self.archive.as_ref()?;
        Some(match self.verified.by {
            VerificationMethod::None => Evidence::Skipped,
            VerificationMethod::Digest | VerificationMethod::Local => Evidence::Digest(archive.sha256),
            VerificationMethod::Signature => {
                self.verified.signature().map_or(Evidence::Digest(archive.sha256), Evidence::Signature)
            }
        })
    }
}
