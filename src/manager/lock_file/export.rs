//! `plugin export`: a mirror of the installed plugins, from which `plugin sync --offline --mirror` needs nothing else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::fetch::FetchContext;
use super::{FetchLockedError, LOCK_FILE_NAME, LockFileError, LockedPlugin, UnlockablePlugin};
use crate::digest::Sha256Digest;
use crate::error::{Classified, ErrorKind};
use crate::files;
use crate::intake::source::FetchOptions;
use crate::manager::{Manager, VerificationMode};
use crate::store::{StoreError, interrupt};

/// What [`Manager::export`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The mirror's lock file.
    pub lock_file: PathBuf,
    /// How many packages it holds.
    pub packages: usize,
    /// Those of them that nothing verified.
    pub unverified: Vec<String>,
    /// The plugins that are not in it, and why.
    pub left_out: Vec<UnlockablePlugin>,
}

/// Why there is no mirror.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A package is not kept, and cannot be had again.
    #[error(transparent)]
    Obtain(#[from] FetchLockedError),
    /// The mirror's lock file cannot be written.
    #[error(transparent)]
    File(#[from] LockFileError),
    /// The mirror cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The user interrupted.
    #[error("interrupted: {} is not complete", path.display())]
    Interrupted {
        /// The mirror.
        path: PathBuf,
    },
}

impl Classified for ExportError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Obtain(error) => error.kind(),
            Self::File(error) => error.kind(),
            Self::Write { .. } | Self::Interrupted { .. } => ErrorKind::Failed,
        }
    }
}

impl Manager<'_> {
    /// Writes a mirror of the installed plugins to `directory`: `plugins.lock`, and `packages/<file>` each with its provenance.
    /// The packages are those that are kept beside the plugins; one that is not, or is not what was installed, is fetched
    /// again with `fetch` and verified as its entry says, for whoever syncs does so too. The lock file comes last, so that it never names what is not there.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn export(&self, directory: &Path, fetch: &FetchOptions) -> Result<Exported, ExportError> {
        let (file, left_out) = self.locked()?;
        self.check_credentials(file.plugins.values(), fetch)?;
        let packages = directory.join("packages");
        fs::create_dir_all(&packages).map_err(|source| ExportError::Write { path: packages.clone(), source })?;
        for locked in file.plugins.values() {
            if interrupt::requested() {
                return Err(ExportError::Interrupted { path: directory.to_owned() });
            }
            self.export_package(locked, &packages.join(locked.file_name()), fetch)?;
        }
        let lock_file = directory.join(LOCK_FILE_NAME);
        file.write(&lock_file, self.host.name())?;
        Ok(Exported { lock_file, packages: file.plugins.len(), unverified: file.unverified(), left_out })
    }

    fn export_package(&self, locked: &LockedPlugin, to: &Path, fetch: &FetchOptions) -> Result<(), ExportError> {
        let is_it = |path: &Path| {
            let digest = Sha256Digest::of_file(path).map(|(digest, _)| digest).ok();
            digest.is_some() && digest == locked.archive()
        };
        let prov = with_prov(to);
        let mut kept = self.store().directories().map(|root| root.join(locked.file_name())).collect::<Vec<_>>().into_iter();
        if let Some(kept) = kept.find(|kept| is_it(kept)) {
            let kept_prov = Some(with_prov(&kept)).filter(|prov| prov.is_file());
            if kept_prov.is_some() || !locked.has_provenance() {
                if !is_it(to) {
                    copy(&kept, to)?;
                }
                return kept_prov.map_or_else(|| remove(&prov), |kept| copy(&kept, &prov));
            }
        }
        let scratch = crate::manager::update::scratch()?;
        let trust = VerificationMode::signature();
        let context =
            FetchContext { fetch, mirror: None, offline: false, frozen: true, trust: &trust, accept_signer: false };
        let fetched = self.fetch_and_verify_locked(locked, &context, scratch.path(), self.report)?.verified.into_fetched();
        copy(fetched.path(), to)?;
        match fetched.provenance() {
            Some(bytes) => {
                files::write_public(&prov, bytes).map_err(|source| ExportError::Write { path: prov.clone(), source })
            }
            None => remove(&prov),
        }
    }
}

pub(in crate::manager) fn with_prov(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".prov");
    path.into()
}

/// Copies a file in one rename at the end.
pub(in crate::manager) fn copy(from: &Path, to: &Path) -> Result<(), ExportError> {
    files::copy_public(from, to).map_err(|source| ExportError::Write { path: to.to_owned(), source })
}

/// Removes what an older export left.
fn remove(path: &Path) -> Result<(), ExportError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ExportError::Write { path: path.to_owned(), source }),
        _ => Ok(()),
    }
}
