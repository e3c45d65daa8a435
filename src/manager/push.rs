//! `plugin push`: a package and the provenance beside it, to a registry.

use std::path::PathBuf;

use crate::error::{Classified, ErrorKind};
use crate::intake::package::{self, FetchedPackage, UnpackError};
use crate::intake::provenance::{self, VerifyError};
use crate::intake::source::{self, FetchOptions, OciReference, Publication, Pushed, SourceError};
use crate::text::{quoted, sanitized};

use super::Manager;

/// What to push, and where to.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// The package; its provenance is `<file>.prov`.
    pub file: PathBuf,
    /// `oci://registry/path`.
    pub reference: String,
    /// How to reach the registry.
    pub fetch: FetchOptions,
    /// Whether other bytes under the same tag are replaced.
    pub force: bool,
    /// Whether a package without a provenance may be pushed.
    pub unsigned: bool,
}

/// Why a package was not pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// It cannot be read, the reference is no place for it, or the registry failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It is no package of a plugin.
    #[error("{file} cannot be pushed: it could not be installed")]
    Package {
        /// The package, safe to show.
        file: String,
        /// Why not.
        source: UnpackError,
    },
    /// It is not signed.
    #[error(
        "{file} is not signed ({file}.prov is not there), so nobody could verify it: sign it with `{host} plugin sign {quoted}`, or push it as it is with `--unsigned`"
    )]
    Unsigned {
        /// The package, safe to show.
        file: String,
        /// The package for a shell.
        quoted: String,
        /// The host's name.
        host: String,
    },
    /// What lies beside it is not its provenance.
    #[error("{file} cannot be pushed with {file}.prov: nobody could verify it; sign it again")]
    Provenance {
        /// The package, safe to show.
        file: String,
        /// What is wrong with it.
        source: Box<VerifyError>,
    },
    /// It has no version.
    #[error(
        "{file} cannot be pushed: its `plugin.yaml` has no version, which becomes the tag; add one, such as `version: 1.0.0`, and package it again"
    )]
    Unversioned {
        /// The package, safe to show.
        file: String,
    },
}

impl Classified for PushError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Source(error) => error.kind(),
            Self::Package { source, .. } => source.kind(),
            Self::Provenance { source, .. } => source.kind(),
            Self::Unsigned { .. } | Self::Unversioned { .. } => ErrorKind::Failed,
        }
    }
}

impl Manager<'_> {
    /// Pushes a package, which [`package::inspect`] must accept, and its provenance.
    ///
    /// # Errors
    /// See [`PushError`].
    pub fn push(&self, request: &PushRequest) -> Result<Pushed, PushError> {
        let PushRequest { file, fetch: options, .. } = request;
        let reference = OciReference::from_argument(&request.reference)?;
        let shown = || sanitized(&file.to_string_lossy()).into_owned();
        let wanted = FetchOptions { limits: options.limits.clone(), ..FetchOptions::default() };
        let fetched = source::examine(file, &wanted, self.report)?;
        let metadata =
            package::inspect(file, &self.settings.limits).map_err(|source| PushError::Package { file: shown(), source })?;
        let version = metadata.version.as_ref().ok_or_else(|| PushError::Unversioned { file: shown() })?;
        self.check_signed(&fetched, request)?;
        if fetched.provenance().is_some() && fetched.file_name() != format!("{}-{version}.tgz", metadata.name) {
            self.report.warning(&format!(
                "{} was signed under that name and is called {}-{version}.tgz in the registry: Helm will not verify it",
                shown(),
                metadata.name
            ));
        }
        let publication = Publication {
            file,
            digest: fetched.digest(),
            size: fetched.size(),
            provenance: fetched.provenance(),
            name: metadata.name.as_str(),
            version,
            description: metadata.cli().map_or("", |cli| cli.short_help.as_str()),
            source_url: metadata.source_url.as_deref(),
            replaces: request.force,
        };
        Ok(source::push(&reference, &publication, options, self.report)?)
    }

    /// What is published can be verified, unless the user knows that it cannot.
    fn check_signed(&self, fetched: &FetchedPackage, request: &PushRequest) -> Result<(), PushError> {
        let name = request.file.to_string_lossy();
        let file = sanitized(&name).into_owned();
        if fetched.provenance().is_some() {
            return provenance::check_provenance(fetched, &self.settings.limits)
                .map_err(|source| PushError::Provenance { file, source: Box::new(source) });
        }
        if !request.unsigned {
            let host = self.host.name().to_owned();
            return Err(PushError::Unsigned { file, quoted: quoted(&name), host });
        }
        self.report.warning(&format!("{file} is not signed ({file}.prov is not there): nobody can verify what is pushed"));
        Ok(())
    }
}
