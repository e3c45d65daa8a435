//! `plugin lock`, `plugin sync` and `plugin export` (`docs/spec/lock.md`): how a fleet of machines gets one set of plugins.
//!
//! What is locked is read from the receipts: no network is asked.

mod document;
mod export;
mod fetch;
mod sync;
mod verify;

use std::path::{Path, PathBuf};

#[doc(hidden)]
pub use document::read_foreign;
pub use document::{FILE_NAME as LOCK_FILE_NAME, LockFile, LockFileError, LockedPlugin, LockedSigner, LockedVerification};
pub(super) use export::with_prov;
pub use export::{ExportError, Exported};
pub use fetch::FetchLockedError;
pub use sync::{SyncChange, SyncError, SyncRequest, SyncResults, Synced};

use super::Manager;
use crate::error::{Classified, ErrorKind};
use crate::intake::source::{self, Source};
use crate::manifest::PluginName;
use crate::store::{InstallKind, Receipt, StoreError, VerificationMethod, VerifiedBy};

/// What [`Manager::lock`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockFileWritten {
    /// The file.
    pub path: PathBuf,
    /// How many plugins are in it.
    pub plugins: usize,
    /// Those of them that nothing verified.
    pub unverified: Vec<String>,
    /// The plugins that are not in it, and why.
    pub left_out: Vec<UnlockablePlugin>,
}

/// A plugin that no lock file can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnlockablePlugin {
    /// Its name.
    pub name: String,
    /// Why not.
    pub why: &'static str,
}

/// Why the installed plugins cannot be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteLockFileError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] LockFileError),
}

impl Classified for WriteLockFileError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::File(error) => error.kind(),
        }
    }
}

impl Manager<'_> {
    /// Writes what is installed to the lock file at `path`. Digests for other platforms that an older file has stay in it, as
    /// far as they are of the same version from the same source.
    ///
    /// # Errors
    /// See [`WriteLockFileError`]. A file that is there and is no lock file is not overwritten.
    pub fn lock(&self, path: &Path) -> Result<LockFileWritten, WriteLockFileError> {
        let (mut file, left_out) = self.locked()?;
        match LockFile::read(path, self.host.name()) {
            Ok(older) => file.keep_other_platforms(&older),
            Err(LockFileError::Missing { .. }) => {}
            Err(e) => return Err(e.into()),
        }
        file.write(path, self.host.name())?;
        Ok(LockFileWritten { path: path.to_owned(), plugins: file.plugins.len(), unverified: file.unverified(), left_out })
    }

    /// What is installed, as a lock file has it.
    fn locked(&self) -> Result<(LockFile, Vec<UnlockablePlugin>), StoreError> {
        let store = self.store();
        let mut file = LockFile::default();
        let mut left_out = Vec::new();
        for name in self.names_to_update()? {
            let Some(found) = store.find(&name)? else { continue };
            let receipt = store.receipt(&found)?;
            let why = match (&receipt, found.link) {
                (_, true) => Err("it is a link to a directory of this machine"),
                (None, _) => Err("it has no receipt: it was copied in by hand or by another program"),
                (Some(receipt), _) => self.entry(receipt),
            };
            match why {
                Ok(entry) => {
                    if entry.source.contains('?') && entry.source.contains("://") {
                        self.report.warning(&format!(
                            "the source of {name} has a query, which the lock file keeps: do not publish it if that is a secret"
                        ));
                    }
                    file.plugins.insert(entry.name.clone(), entry);
                }
                Err(why) => left_out.push(UnlockablePlugin { name, why }),
            }
        }
        Ok((file, left_out))
    }

    /// What a lock file says of the plugin of `receipt`; else why it can say nothing.
    pub(super) fn entry(&self, receipt: &Receipt) -> Result<LockedPlugin, &'static str> {
        let Some(archive) = receipt.archive.as_ref().filter(|_| receipt.kind == InstallKind::Package) else {
            return Err("it is a copy of a directory of this machine");
        };
        let name = PluginName::new(&receipt.name).map_err(|_| "its name is none")?;
        let revision = receipt.source.revision.as_deref();
        let (commit, manifest) = match revision.and_then(|revision| revision.strip_prefix("sha256:")) {
            Some(digest) => (None, digest.parse().ok()),
            None => (revision.map(str::to_owned), None),
        };
        let for_any = match self.parse_source(&receipt.source.asked) {
            Ok(Source::Oci(_) | Source::Index { .. }) => false,
            Ok(Source::GitHub { .. }) => receipt.source.resolved.as_deref().is_some_and(source::is_for_any_platform),
            // A local package that has gone was one for every platform, too.
            Ok(_) | Err(_) => true,
        };
        let mut entry = LockedPlugin {
            name,
            version: receipt.version.as_deref().and_then(|version| semver::Version::parse(version).ok()),
            source: receipt.source.asked.clone(),
            constraint: receipt.constraint.clone(),
            commit,
            manifest,
            verified: vouched(&receipt.verified),
            archives: std::collections::BTreeMap::new(),
        };
        entry.set_archive(archive.sha256, for_any);
        Ok(entry)
    }
}

fn vouched(verified: &VerifiedBy) -> LockedVerification {
    match (verified.by, &verified.fingerprint) {
        (VerificationMethod::Signature, Some(fingerprint)) => LockedVerification::Signature(LockedSigner {
            fingerprint: fingerprint.clone(),
            user_id: verified.signer.clone(),
        }),
        (VerificationMethod::Digest, _) => LockedVerification::Digest,
        (VerificationMethod::Signature | VerificationMethod::Local | VerificationMethod::None, _) => {
            LockedVerification::Nothing
        }
    }
}

impl LockFile {
    /// The plugins that nothing verified.
    fn unverified(&self) -> Vec<String> {
        let of_it = self.plugins.values().filter(|locked| locked.verified == LockedVerification::Nothing);
        of_it.map(|locked| locked.name.to_string()).collect()
    }

    /// Takes over what `older` knows of the same plugins on other platforms.
    fn keep_other_platforms(&mut self, older: &Self) {
        for (name, entry) in &mut self.plugins {
            let same = |old: &&LockedPlugin| {
                old.version == entry.version
                    && old.source == entry.source
                    && old.commit == entry.commit
                    && old.manifest == entry.manifest
                    && !entry.archives.contains_key("any")
            };
            if let Some(old) = older.plugins.get(name).filter(same) {
                for (platform, digest) in &old.archives {
                    entry.archives.entry(platform.clone()).or_insert(*digest);
                }
            }
        }
    }
}
