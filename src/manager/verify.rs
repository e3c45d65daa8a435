//! `plugin verify`: a package, or an installed plugin with its kept package and every file of it.

use std::path::Path;

use crate::audit::AuditEvent;
use crate::error::{Classified, ErrorKind};
use crate::intake::package::{self, UnpackError};
use crate::intake::provenance::{self, Alternatives, Evidence, KeyringError, VerifyError};
use crate::intake::source::{self, FetchOptions, SourceError};
use crate::spelling::did_you_mean;
use crate::store::{Comparison, Difference, GateError, InstalledPlugin, StoreError, VerificationMethod};

use super::audit::AuditNote;
use super::{Manager, VerificationMode};

/// What is known of a package that was verified.
#[derive(Debug, Clone)]
pub struct PackageVerification {
    /// The plugin's name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Whether it is a plugin's package. What is signed in the same way may be none, such as a chart of Helm's.
    pub is_plugin: bool,
    /// The package's digest.
    pub digest: crate::digest::Sha256Digest,
    /// Why it is trusted.
    pub evidence: Evidence,
}

/// What is known of an installed plugin that was verified.
#[derive(Debug, Clone)]
pub struct PluginVerification {
    /// The plugin's name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// How many files were compared with the receipt.
    pub files: usize,
    /// Those of them that are not as they were installed, which the user accepted; not yet safe to show.
    pub accepted: Vec<String>,
    /// The files that it made beside its own when it ran; not yet safe to show.
    pub made: Vec<String>,
    /// Why its package is trusted, where a package is kept; `None` for a copy of a directory.
    pub package: Option<PackageVerification>,
}

/// Why a package is not verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyPackageError {
    /// It cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is no keyring to verify with.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// Its signature or digest is not good.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// It is signed, but no package of a plugin.
    #[error("{file} is signed, but it cannot be installed")]
    Package {
        /// The package, safe to show.
        file: String,
        /// Why not.
        source: UnpackError,
    },
}

impl Classified for VerifyPackageError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Source(error) => error.kind(),
            Self::Keyring(error) => error.kind(),
            Self::Verify(error) => error.kind(),
            Self::Package { source, .. } => source.kind(),
        }
    }
}

/// Why an installed plugin is not verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyInstalledError {
    /// No such plugin, and no such file.
    #[error(
        "`{name}` is neither a package nor an installed plugin; {}",
        did_you_mean(nearest).unwrap_or_else(|| format!("check the path, or look for the name in `{host} plugin list`"))
    )]
    NotThere {
        /// The name as given, safe to show.
        name: String,
        /// The host's name.
        host: String,
        /// Installed plugins whose names are near, safe to show.
        nearest: Vec<String>,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The plugin's files cannot be compared.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// Files are not those that were installed.
    #[error("plugin `{name}` is not as it was installed: {}; {next}", differences.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Changed {
        /// The plugin's name.
        name: String,
        /// How it differs.
        differences: Vec<Difference>,
        /// What to do about it.
        next: String,
    },
    /// There is nothing to compare it with.
    #[error("plugin `{name}` cannot be verified: {why}")]
    Nothing {
        /// The plugin's name.
        name: String,
        /// Why not.
        why: String,
    },
    /// The package that is kept of it is not verified.
    #[error("the package that is kept of plugin `{name}` is not verified")]
    Package {
        /// The plugin's name.
        name: String,
        /// Why not.
        source: Box<VerifyPackageError>,
    },
}

impl Classified for VerifyInstalledError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotThere { .. } => ErrorKind::NotInstalled,
            Self::Store(error) => error.kind(),
            Self::Gate(error) => error.kind(),
            Self::Changed { .. } | Self::Nothing { .. } => ErrorKind::Unverified,
            Self::Package { source, .. } => source.kind(),
        }
    }
}

impl Manager<'_> {
    /// Verifies the package at `file`, where it lies: the digest, the signature, and that what is signed is the name and the
    /// version of the plugin in it.
    ///
    /// # Errors
    /// See [`VerifyPackageError`].
    pub fn verify_package(&self, file: &Path, trust: &VerificationMode) -> Result<PackageVerification, VerifyPackageError> {
        let note = AuditNote::of_source(None, &file.to_string_lossy());
        self.with_refusal_audit(note, |note| self.examine_package(file, trust, note))
    }

    fn examine_package(
        &self,
        file: &Path,
        trust: &VerificationMode,
        note: &mut AuditNote,
    ) -> Result<PackageVerification, VerifyPackageError> {
        let options =
            FetchOptions { wanted: trust.wanted(), limits: self.settings.limits.clone(), ..FetchOptions::default() };
        let fetched = source::examine(file, &options, self.report)?;
        let digest = fetched.digest();
        note.about.digest = Some(format!("sha256:{digest}"));
        let requirement = self.requirement(trust)?;
        let verified = provenance::verify(fetched, &requirement, &self.settings.limits)
            .map_err(|error| error.with_alternatives(Alternatives::Digest))?;
        let (name, version, is_plugin) = match (package::inspect(file, &self.settings.limits), verified.signed_as()) {
            (Ok(metadata), _) => {
                verified.check_manifest(&metadata)?;
                (metadata.name.to_string(), metadata.version.as_ref().map(ToString::to_string), true)
            }
            // The signature holds all the same: whoever asks is told both.
            (Err(error), Some((name, version))) if error.is_no_plugin() => {
                (name.to_owned(), Some(version.to_owned()), false)
            }
            (Err(source), _) => {
                let file = crate::text::sanitized(&file.to_string_lossy()).into_owned();
                return Err(VerifyPackageError::Package { file, source });
            }
        };
        Ok(PackageVerification { name, version, is_plugin, digest, evidence: verified.evidence().clone() })
    }

    /// Verifies the installed plugin `name`: every file against the receipt, and the package that is kept of it against what
    /// made it trusted.
    ///
    /// # Errors
    /// See [`VerifyInstalledError`].
    pub fn verify_installed(
        &self,
        name: &str,
        trust: &VerificationMode,
    ) -> Result<PluginVerification, VerifyInstalledError> {
        let note = AuditNote { event: None, ..AuditNote::of_plugin(AuditEvent::VerifyFailed, name) };
        self.with_refusal_audit(note, |note| {
            self.store().read_with_retries(name, || self.examine_installed(name, trust, note))
        })
    }

    fn examine_installed(
        &self,
        name: &str,
        asked: &VerificationMode,
        note: &mut AuditNote,
    ) -> Result<PluginVerification, VerifyInstalledError> {
        let store = self.store();
        let Some(found) = store.find(name)? else {
            return Err(VerifyInstalledError::NotThere {
                name: crate::text::sanitized(name).into_owned(),
                host: self.host.name().to_owned(),
                nearest: store.near(name),
            });
        };
        let Some(receipt) = store.receipt(&found)? else {
            return self.verify_without_receipt(name, &found, asked, note);
        };
        note.receipt(&receipt);
        if found.link {
            let why = "it is a link to a directory of yours, whose files are used as they are".to_owned();
            return Err(VerifyInstalledError::Nothing { name: receipt.name, why });
        }
        let Comparison { differences, made } = store.check_all_files(name)?;
        if !differences.is_empty() {
            let next = store.remedies(name, &receipt);
            return Err(VerifyInstalledError::Changed { name: receipt.name, differences, next });
        }
        let mut plugin = PluginVerification {
            files: receipt.all_files().len(),
            accepted: self.trusted().map(|trusted| trusted.accepted_files(name)).unwrap_or_default(),
            made,
            package: None,
            version: receipt.version.clone(),
            name: receipt.name.clone(),
        };
        if let Some((archive, file)) = receipt.archive.as_ref().and_then(|archive| Some((archive, archive.file.as_ref()?))) {
            // What signed a commit is its tag, which stays in the repository: the receipt remembers that it was good.
            let remembered = receipt.verified.signature().filter(|_| !archive.provenance);
            let trust = match receipt.verified.by {
                _ if matches!(asked, VerificationMode::Digest(_)) => asked.clone(),
                VerificationMethod::Signature if remembered.is_some() => VerificationMode::Digest(archive.sha256),
                VerificationMethod::Signature => asked.clone(),
                // There is no signature: the digest of the receipt is what was verified, or all that there is.
                VerificationMethod::Digest | VerificationMethod::Local | VerificationMethod::None => {
                    VerificationMode::Digest(archive.sha256)
                }
            };
            // Beside the plugin, which may be in another than the first of several directories.
            let kept = found.directory.with_file_name(file);
            if !kept.exists() {
                let why = format!(
                    "the package that was kept of it is gone; `{}` gets it again",
                    store.restore_command(&receipt.name)
                );
                return Err(VerifyInstalledError::Nothing { name: receipt.name, why });
            }
            let mut package = self
                .examine_package(&kept, &trust, note)
                .map_err(|source| VerifyInstalledError::Package { name: name.to_owned(), source: Box::new(source) })?;
            if let Some(signature) = remembered {
                self.report.notice("the signature of its git tag or commit was verified when it was installed");
                package.evidence = Evidence::Signature(signature);
            }
            if receipt.verified.by == VerificationMethod::None && matches!(asked, VerificationMode::Signature { .. }) {
                // The digest of the receipt says that these are the bytes that came, and nothing of who made them.
                package.evidence = Evidence::Skipped;
            }
            plugin.package = Some(package);
        }
        if receipt.verified.by == VerificationMethod::None {
            // Files that are as they came are not the same as files that somebody signed (CVE-2025-25204).
            let name = crate::text::sanitized(name);
            let warning = format!("plugin `{name}` was installed without verification, so only its files could be checked");
            self.report.warning(&warning);
        }
        Ok(plugin)
    }

    /// A plugin that another program installed, such as Helm: its package lies beside it, and its files must be those of the
    /// package.
    fn verify_without_receipt(
        &self,
        name: &str,
        found: &InstalledPlugin,
        trust: &VerificationMode,
        note: &mut AuditNote,
    ) -> Result<PluginVerification, VerifyInstalledError> {
        let nothing = |why: &str| VerifyInstalledError::Nothing {
            name: crate::text::sanitized(name).into_owned(),
            why: why.to_owned(),
        };
        let metadata = found.metadata.as_ref().map_err(|_| nothing("it is broken and has no receipt"))?;
        let kept = found.directory.with_file_name(format!("{}-{}.tgz", metadata.name, metadata.version_text()));
        if !kept.is_file() || found.link {
            return Err(nothing("it has no receipt, and its package is not kept beside it"));
        }
        let package_error = |source: VerifyPackageError| VerifyInstalledError::Package {
            name: metadata.name.to_string(),
            source: Box::new(source),
        };
        let package = self.examine_package(&kept, trust, note).map_err(package_error)?;
        let scratch = super::update::scratch()?;
        let into = scratch.path().join("unpacked");
        std::fs::create_dir(&into).map_err(|source| StoreError::Io { action: "create", path: into.clone(), source })?;
        let unpacked = package::unpack(&kept, &kept, &into, &self.settings.limits, self.report).map_err(|source| {
            package_error(VerifyPackageError::Package {
                file: crate::text::sanitized(&kept.to_string_lossy()).into_owned(),
                source,
            })
        })?;
        let files = unpacked.files.iter().map(|file| (file.path.clone(), file.digest, file.size));
        let Comparison { differences, made } =
            crate::store::compare_with_package(&found.directory, files, Some(metadata), &self.settings.limits)
                .map_err(GateError::from)?;
        if !differences.is_empty() {
            let next = format!(
                "restore it with `{} plugin install --force {}`",
                self.host.name(),
                crate::text::quoted(&kept.to_string_lossy())
            );
            return Err(VerifyInstalledError::Changed { name: metadata.name.to_string(), differences, next });
        }
        Ok(PluginVerification {
            name: metadata.name.to_string(),
            version: metadata.version.as_ref().map(ToString::to_string),
            files: unpacked.files.len(),
            accepted: Vec::new(),
            made,
            package: Some(package),
        })
    }
}
