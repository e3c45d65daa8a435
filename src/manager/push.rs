//! `plugin push`: a package and the provenance beside it, to a registry.

use std::path::Path;

use crate::package::{self, UnpackError};
use crate::source::{self, FetchOptions, OciReference, Publication, Pushed, SourceError};

use super::Manager;

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
    /// It has no version.
    #[error(
        "{file} cannot be pushed: its `plugin.yaml` has no version, which becomes the tag; add one, such as `version: 1.0.0`, and package it again"
    )]
    Unversioned {
        /// The package, safe to show.
        file: String,
    },
}

impl Manager<'_> {
    /// Pushes the package `file`, which [`package::inspect`] must accept, and `<file>.prov` where that is there, to
    /// `reference` (`oci://registry/path`).
    ///
    /// # Errors
    /// See [`PushError`].
    pub fn push(&self, file: &Path, reference: &str, options: &FetchOptions) -> Result<Pushed, PushError> {
        let reference = OciReference::from_argument(reference)?;
        let shown = || crate::text::plain(&file.to_string_lossy()).into_owned();
        let wanted = FetchOptions { want_provenance: true, limits: options.limits.clone(), ..FetchOptions::default() };
        let fetched = source::examine(file, &wanted, self.report)?;
        let metadata =
            package::inspect(file, &self.settings.limits).map_err(|source| PushError::Package { file: shown(), source })?;
        let version = metadata.version.as_ref().ok_or_else(|| PushError::Unversioned { file: shown() })?;
        if fetched.provenance.is_none() {
            self.report
                .warning(&format!("{0} is not signed ({0}.prov is not there): nobody can verify what is pushed", shown()));
        } else if fetched.file_name() != format!("{}-{version}.tgz", metadata.name) {
            self.report.warning(&format!(
                "{} was signed under that name and is called {}-{version}.tgz in the registry: Helm will not verify it",
                shown(),
                metadata.name
            ));
        }
        let publication = Publication {
            file,
            digest: fetched.digest(),
            size: fetched.size,
            provenance: fetched.provenance.as_deref(),
            name: metadata.name.as_str(),
            version,
            description: metadata.cli().map_or("", |cli| cli.short_help.as_str()),
            source_url: metadata.source_url.as_deref(),
        };
        Ok(source::push(&reference, &publication, options, self.report)?)
    }
}
