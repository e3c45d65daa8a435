//! `plugin pull`: a package and its provenance, fetched and verified without installing anything.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::audit::AuditNote;
use super::install::InstallError;
use super::intake::VerifiedIntake;
use super::update::scratch;
use super::{Manager, VerificationMode};
use crate::error::{Classified, ErrorKind};
use crate::files;
use crate::intake::package::{self, UnpackError, is_archive_name};
use crate::intake::provenance::Evidence;
use crate::intake::source::FetchOptions;

/// What to pull, and how.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// The argument as the user gave it.
    pub source: String,
    /// How to fetch it.
    pub fetch: FetchOptions,
    /// What makes it trusted.
    pub trust: VerificationMode,
    /// Whether another signer than before is fine.
    pub accept_signer: bool,
    /// Where the package and its provenance go.
    pub directory: PathBuf,
}

/// A package that was pulled.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The plugin's name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Where the package is.
    pub package: PathBuf,
    /// Where its provenance is, where it has one.
    pub provenance: Option<PathBuf>,
    /// Why it is trusted.
    pub evidence: Evidence,
}

/// Why a package was not pulled. Nothing was written then, but where a variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// It could not be fetched or verified.
    #[error(transparent)]
    Fetch(#[from] InstallError),
    /// It is no package of a plugin.
    #[error("{source_text} cannot be pulled: it could not be installed")]
    Package {
        /// The source, safe to show.
        source_text: String,
        /// Why not.
        source: UnpackError,
    },
    /// It cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Classified for PullError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Fetch(error) => error.kind(),
            Self::Package { source, .. } => source.kind(),
            Self::Write { .. } => ErrorKind::Failed,
        }
    }
}

impl Manager<'_> {
    /// Fetches a package, verifies it as an install would, and writes it and its provenance to [`PullRequest::directory`].
    ///
    /// # Errors
    /// See [`PullError`].
    pub fn pull(&self, request: &PullRequest) -> Result<Pulled, PullError> {
        self.with_refusal_audit(AuditNote::of_source(None, &request.source), |note| self.fetch_and_write(request, note))
    }

    fn fetch_and_write(&self, request: &PullRequest, note: &mut AuditNote) -> Result<Pulled, PullError> {
        let directory = &request.directory;
        // Until the package is written, everything is as it is for an install.
        let source = self.parse_source(&request.source).map_err(InstallError::from)?;
        let intake = self.intake(&source, &request.fetch, &request.trust).map_err(InstallError::from)?;
        let scratch = scratch().map_err(InstallError::from)?;
        let VerifiedIntake { package: verified, locations } = self.fetch_and_verify(&intake, scratch.path(), note)?;
        let fetched = verified.fetched();
        let metadata = package::inspect(fetched.path(), &self.settings.limits)
            .map_err(|e| PullError::Package { source_text: source.to_string(), source: e })?;
        verified.check_manifest(&metadata).map_err(InstallError::from)?;
        let name = metadata.name.as_str();
        let asked = intake.admission(name, &locations, Some(verified.evidence()), None, request.accept_signer);
        // Nothing is installed, and so no signer is remembered.
        drop(self.admit(&asked).map_err(InstallError::from)?);
        intake.fetch.check_version(fetched.origin(), metadata.version.as_ref()).map_err(InstallError::from)?;

        let version = metadata.version.as_ref().map(ToString::to_string);
        // The provenance lists the package by its name at the source; a repository or a bare URL has none to speak of.
        let own = fetched.file_name();
        let file_name = match &version {
            _ if is_archive_name(own) && fetched.origin().git.is_none() => own.to_owned(),
            Some(version) => format!("{}-{version}.tgz", metadata.name),
            None => format!("{}.tgz", metadata.name),
        };
        let package = directory.join(file_name);
        let prov = super::lock_file::with_prov(&package);
        let failed_to_write = |path: &Path| {
            let path = path.to_owned();
            move |source| PullError::Write { path, source }
        };
        fs::create_dir_all(directory).map_err(failed_to_write(directory))?;
        files::copy_public(fetched.path(), &package).map_err(failed_to_write(&package))?;
        let provenance = match fetched.provenance() {
            Some(bytes) => {
                files::write_public(&prov, bytes).map_err(failed_to_write(&prov))?;
                Some(prov)
            }
            None => {
                // One that lies there is of another package.
                match fs::remove_file(&prov) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed_to_write(&prov)(e)),
                    _ => None,
                }
            }
        };
        let evidence = verified.evidence().clone();
        Ok(Pulled { name: metadata.name.to_string(), version, package, provenance, evidence })
    }
}
