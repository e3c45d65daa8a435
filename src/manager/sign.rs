//! `plugin sign`: a provenance for a package that exists.

use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Sha256Digest;
use crate::error::{Classified, ErrorKind};
use crate::files;
use crate::intake::package::{self, UnpackError};
use crate::intake::provenance::SignError;
use crate::intake::source::{self, FetchOptions, SourceError};
use crate::manifest::Metadata;

use super::Manager;

/// Why a package was not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignPackageError {
    /// It cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It is no package of a plugin.
    #[error("{file} cannot be signed: it could not be installed")]
    Package {
        /// The package, safe to show.
        file: String,
        /// Why not.
        source: UnpackError,
    },
    /// It has no version.
    #[error(
        "{file} cannot be signed: its `plugin.yaml` has no version; add one, such as `version: 1.0.0`, and package it again"
    )]
    Unversioned {
        /// The package, safe to show.
        file: String,
    },
    /// The key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The provenance cannot be written.
    #[error("cannot write the provenance {}", path.display())]
    Write {
        /// The provenance.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Classified for SignPackageError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Source(error) => error.kind(),
            Self::Package { source, .. } => source.kind(),
            Self::Sign(error) => error.kind(),
            Self::Unversioned { .. } | Self::Write { .. } => ErrorKind::Failed,
        }
    }
}

impl Manager<'_> {
    /// Writes `<file>.prov` beside the package `file`, which [`package::inspect`] must accept; `sign` makes it from the
    /// manifest, the file's name and its digest. Gives the path of the provenance.
    ///
    /// # Errors
    /// See [`SignPackageError`]; an older provenance is then as it was.
    pub fn sign_package(
        &self,
        file: &Path,
        sign: impl FnOnce(&Metadata, &str, &Sha256Digest) -> Result<Vec<u8>, SignError>,
    ) -> Result<PathBuf, SignPackageError> {
        let shown = || crate::text::sanitized(&file.to_string_lossy()).into_owned();
        let examined = source::examine(file, &FetchOptions::default(), self.report)?;
        let metadata = package::inspect(file, &self.settings.limits)
            .map_err(|source| SignPackageError::Package { file: shown(), source })?;
        if metadata.version.is_none() {
            return Err(SignPackageError::Unversioned { file: shown() });
        }
        let provenance = sign(&metadata, examined.file_name(), &examined.digest())?;
        let mut path = file.as_os_str().to_owned();
        path.push(".prov");
        let path = PathBuf::from(path);
        files::write_public(&path, &provenance).map_err(|source| SignPackageError::Write { path: path.clone(), source })?;
        Ok(path)
    }
}
