//! `plugin package` and `plugin lint`: from a directory to a package and its provenance, and what is wrong with either.

use std::path::{Path, PathBuf};

use crate::digest::Sha256Digest;
use crate::intake::package::{self, PackError};
use crate::intake::provenance::SignError;
use crate::intake::source::is_package;
use crate::manifest::lint::{LintReport, lint, lint_programs};
use crate::manifest::{Metadata, Problem, Severity};
use crate::store::StoreError;
use crate::text::Sanitized;

use super::Manager;
use super::update::scratch;

/// A package that was made.
#[derive(Debug, Clone)]
pub struct Packaged {
    /// What its manifest says.
    pub metadata: Metadata,
    /// Where it is.
    pub package: PathBuf,
    /// Where its provenance is, if it is signed.
    pub provenance: Option<PathBuf>,
    /// Its digest.
    pub digest: Sha256Digest,
    /// How many bytes it has.
    pub size: u64,
}

impl Manager<'_> {
    /// Packs the plugin in `directory` into `destination`. Once the manifest is known to be good, `signer` finds what makes the
    /// provenance of the manifest, the package's name and its digest, or nothing if the package is not to be signed: to pack a large
    /// plugin and then find no key would be a waste.
    ///
    /// # Errors
    /// [`PackError`], [`SignError`], and what `signer` gives. Nothing is written then.
    pub fn package<S, E>(
        &self,
        directory: &Path,
        destination: &Path,
        signer: impl FnOnce() -> Result<Option<S>, E>,
    ) -> Result<Packaged, E>
    where
        S: FnOnce(&Metadata, &str, &Sha256Digest) -> Result<Vec<u8>, SignError>,
        E: From<PackError> + From<SignError>,
    {
        let limits = &self.settings.limits;
        package::packable(directory, limits)?;
        let sign = signer()?;
        for problem in lint_programs(directory, limits) {
            self.report.warning(&format!("{}:{problem}", Sanitized(&problem.file)));
        }
        let unpublished = package::pack(directory, destination, limits, self.report)?;
        let provenance = match sign {
            Some(sign) => Some(sign(&unpublished.metadata, &unpublished.file_name, &unpublished.digest)?),
            None => None,
        };
        let (metadata, digest, size) = (unpublished.metadata.clone(), unpublished.digest, unpublished.size);
        let published = unpublished.publish(provenance.as_deref())?;
        if provenance.is_none() {
            self.report.warning(
                "the package is not signed: whoever installs it has to name its digest, or to do without verification",
            );
        }
        if published.removed_provenance {
            let gone = format!("{}.prov", published.package.display());
            self.report.warning(&format!("removed {}: it signed an older package", Sanitized(&gone)));
        }
        Ok(Packaged { metadata, package: published.package, provenance: published.provenance, digest, size })
    }

    /// What is wrong with the plugin in the directory `path`, with its `plugin.yaml`, or with what a package would install. If that
    /// would not install at all, that is the one problem.
    ///
    /// # Errors
    /// There is no place to unpack the package.
    pub fn lint(&self, path: &Path) -> Result<LintReport, StoreError> {
        let limits = &self.settings.limits;
        if !(path.is_file() && is_package(path)) {
            return Ok(lint(path, limits));
        }
        let scratch = scratch()?;
        let shown = path.to_string_lossy().into_owned();
        Ok(match package::unpack(path, path, scratch.path(), limits, self.report) {
            Ok(unpacked) => LintReport { path: shown, ..lint(&unpacked.root, limits) },
            Err(error) => {
                let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
                let message = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
                let help = "whoever installs it gets the same error; package the plugin again".to_owned();
                let problem = Problem { severity: Severity::Error, code: "package-invalid", message, file, at: None, help };
                LintReport { path: shown, ok: false, problems: vec![problem] }
            }
        })
    }
}
