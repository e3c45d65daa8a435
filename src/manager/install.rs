//! `plugin install`: source -> fetched -> verified -> staged -> installed -> install hook.

use std::path::PathBuf;

use crate::audit::{AuditError, AuditEvent};
use crate::digest::Sha256Digest;
use crate::error::{Classified, ErrorKind};
use crate::intake::provenance::{Alternatives, Evidence, Instead, Keyring, KeyringError, Requirement, VerifyError};
use crate::intake::source::version::Range;
use crate::intake::source::{FetchOptions, Source, SourceError, Wanted};
use crate::manifest::PluginName;
use crate::policy::SourceLocation;
use crate::runtime::HookError;
use crate::store::{GateError, InstallDetails, InstalledPlugin, Receipt, ReceiptError, StagedPlugin, StoreError, StoreLock};

use super::audit::AuditNote;
use super::conflict::InstallConflict;
use super::intake::{Intake, VerifiedIntake};
use super::network::network_settings;
use super::place::{PlaceError, Replaces};
use super::{AdmitError, GetError, Manager};

/// What to install, and how.
#[derive(Debug, Clone)]
pub struct InstallRequest {
    /// The argument as the user gave it: a path or a URL.
    pub source: String,
    /// How to fetch it.
    pub fetch: FetchOptions,
    /// What makes it trusted.
    pub trust: VerificationMode,
    /// Whether an installed version, or whatever is in the way, is replaced.
    pub force: bool,
    /// Whether a directory is copied rather than linked.
    pub copy: bool,
    /// Whether the install hook runs.
    pub hooks: bool,
    /// Whether another signer than before is fine.
    pub accept_signer: bool,
}

/// What makes a package trusted.
#[derive(Debug, Clone)]
pub enum VerificationMode {
    /// A signature by a key of these keyrings; of the default keyring where there are none.
    Signature {
        /// Paths of keyrings.
        keyrings: Vec<PathBuf>,
        /// The file with the SSH keys that may sign in git; `<config>/allowed_signers` where there is none.
        allowed_signers: Option<PathBuf>,
        /// Whether a signature made while its key was valid is good after the key expired.
        allow_expired_key: bool,
    },
    /// The package's digest, known from elsewhere.
    Digest(Sha256Digest),
    /// The user's word.
    Nothing,
}

impl VerificationMode {
    /// A signature by a key of the default keyring, which has not expired.
    pub fn signature() -> Self {
        Self::Signature { keyrings: Vec::new(), allowed_signers: None, allow_expired_key: false }
    }

    /// What must be fetched to verify a package like this.
    pub(super) fn wanted(&self) -> Wanted {
        match self {
            Self::Signature { .. } => Wanted::default(),
            Self::Digest(digest) => Wanted::with_digest(*digest),
            Self::Nothing => Wanted::package(),
        }
    }
}

/// How an install ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Installation {
    /// The plugin's name.
    pub name: PluginName,
    /// Its version, where it has one.
    pub version: Option<String>,
    /// Where it is.
    pub directory: PathBuf,
    /// Why it was trusted; `None` for a directory of the user's own.
    pub evidence: Option<Evidence>,
    /// Whether this very version was there already, so that nothing was done.
    pub already_there: bool,
    /// The version that it replaced, where one with a version was there.
    pub replaced: Option<String>,
}

/// Why an install failed. Nothing is left of it then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The argument could not be understood.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Its bytes could not be had.
    #[error(transparent)]
    Get(#[from] GetError),
    /// There is no keyring to verify with.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The package was not verified.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The plugin may not come in.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// A policy wants it written down, and that cannot be.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The package could not be unpacked or put in place.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another plugin of that name is there.
    #[error("plugin `{name}` is already installed in {there}, and this is {offered}: {next}")]
    Conflict {
        /// The plugin's name.
        name: PluginName,
        /// What is there, safe to show.
        there: String,
        /// What was to be installed, safe to show.
        offered: String,
        /// What to do about it.
        next: String,
    },
    /// What was installed may not be run, and so neither may its hook; the install was undone.
    #[error("the install hook of plugin `{name}` must not run, so the plugin was not installed")]
    Gate {
        /// The plugin's name.
        name: PluginName,
        /// Why not.
        source: GateError,
    },
    /// The install hook failed; the install was undone.
    #[error("the install hook of plugin `{name}` {}, so the plugin was not installed", .source.what())]
    Hook {
        /// The plugin's name.
        name: PluginName,
        /// How it failed.
        source: HookError,
    },
}

impl Classified for InstallError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Source(error) => error.kind(),
            Self::Get(error) => error.kind(),
            Self::Keyring(error) => error.kind(),
            Self::Verify(error) => error.kind(),
            Self::Admit(error) => error.kind(),
            Self::Audit(error) => error.kind(),
            Self::Store(error) => error.kind().once_begun(),
            Self::Gate { source, .. } => source.kind().once_begun(),
            Self::Hook { source, .. } => source.kind(),
            Self::Conflict { .. } => ErrorKind::Failed,
        }
    }
}

impl InstallError {
    /// Why the plugin `name` did not take its place.
    pub(super) fn placed(name: &PluginName, error: PlaceError) -> Self {
        let name = name.clone();
        match error {
            PlaceError::Store(error) => Self::Store(error),
            PlaceError::Gate(source) => Self::Gate { name, source },
            PlaceError::Hook(source) => Self::Hook { name, source },
        }
    }

    /// The same where no more than `others` may be named instead of a signature.
    pub(super) fn with_alternatives(self, others: Alternatives) -> Self {
        match self {
            Self::Verify(error) => Self::Verify(error.with_alternatives(others)),
            Self::Admit(error) => Self::Admit(error.with_alternatives(others)),
            other => other,
        }
    }

    /// The same for who only looks at the plugin, which `command` would update.
    pub(super) fn for_preview(self, command: &str) -> Self {
        match self.with_alternatives(Alternatives::Nothing) {
            Self::Admit(error) => Self::Admit(error.for_preview(command)),
            other => other,
        }
    }
}

impl Manager<'_> {
    /// Installs one plugin.
    ///
    /// # Errors
    /// Any [`InstallError`]; the store is then as it was before.
    pub fn install(&self, request: &InstallRequest) -> Result<Installation, InstallError> {
        let note = AuditNote::of_source(Some(AuditEvent::Install), &request.source);
        self.with_audit(note, |note| self.fetch_and_install(request, note))
    }

    fn fetch_and_install(&self, request: &InstallRequest, note: &mut AuditNote) -> Result<Installation, InstallError> {
        let source = self.parse_source(&request.source)?;
        let store = self.store();
        let intake = self.intake(&source, &request.fetch, &request.trust)?;
        if let Source::Directory(directory) = &source {
            intake.fetch.check(&source)?;
            let locations = self.locations_of(&source);
            self.admit_locations(&locations, &source)?;
            let lock = store.lock(self.report)?;
            let staged =
                if request.copy { lock.stage_directory_copy(directory, self.report)? } else { lock.stage_link(directory)? };
            return self.admit_and_commit(&lock, staged, request, &intake, &locations, note);
        }
        let lock = store.lock(self.report)?;
        let spool = lock.spool()?;
        let VerifiedIntake { package, locations } = self.fetch_and_verify(&intake, spool.path(), note)?;
        let origin = package.fetched().origin().clone();
        let staged = lock.stage(package, self.report)?;
        intake.fetch.check_version(&origin, staged.metadata().version.as_ref())?;
        self.admit_and_commit(&lock, staged, request, &intake, &locations, note)
    }

    /// What `trust` asks of a package.
    pub(super) fn requirement(&self, trust: &VerificationMode) -> Result<Requirement, KeyringError> {
        Ok(match trust {
            VerificationMode::Signature { keyrings, allowed_signers, allow_expired_key } => {
                if let Some(path) = allowed_signers.as_ref().filter(|path| !path.exists()) {
                    return Err(KeyringError::MissingSigners { path: path.clone() });
                }
                let own = || Some(self.homes.config.path.join("allowed_signers")).filter(|path| path.exists());
                let allowed_signers = allowed_signers.clone().or_else(own);
                let keyring = Keyring::locate(keyrings, self.host, self.homes)?;
                self.report.step(&format!("keyring {}: keys in it: {}", keyring.describe(), keyring.len()));
                Requirement::Signature {
                    keyring: keyring.with_allowed_signers(allowed_signers),
                    allow_expired_key: *allow_expired_key,
                    instead: Instead::ObjectId,
                }
            }
            VerificationMode::Digest(digest) => Requirement::Digest(*digest),
            VerificationMode::Nothing => Requirement::Nothing,
        })
    }

    /// Puts a staged plugin in place, if it may come in, and runs its install hook.
    fn admit_and_commit(
        &self,
        lock: &StoreLock<'_>,
        staged: StagedPlugin,
        request: &InstallRequest,
        intake: &Intake<'_>,
        locations: &[SourceLocation],
        note: &mut AuditNote,
    ) -> Result<Installation, InstallError> {
        let source = intake.source;
        note.staged(&staged);
        let metadata = staged.metadata().clone();
        let name = metadata.name.clone();
        let version = metadata.version.as_ref().map(ToString::to_string);
        let evidence = staged.evidence().cloned();
        let installed = lock.store().find(name.as_str())?;
        let replaced = self.replaced_receipt(installed.as_ref())?;
        let replaced_by_force = replaced.as_ref().filter(|_| request.force);
        let asked = intake.admission(name.as_str(), locations, evidence.as_ref(), replaced_by_force, request.accept_signer);
        let admission = self.admit(&asked)?;
        if let (Some(found), false) = (&installed, request.force) {
            let there =
                self.resolve_conflict(lock, &InstallConflict { found, receipt: replaced.as_ref(), staged, source }, note)?;
            self.remember_signer(admission);
            return Ok(there);
        }
        let was_there = installed.map(|found| found.version_text()).filter(|version| !version.is_empty());
        let details = install_details(request, source, &staged, replaced);
        let replaces = if request.force { Replaces::Anything } else { Replaces::Nothing };
        let directory = self
            .place(lock, staged, details, replaces, request.hooks, note)
            .map_err(|error| InstallError::placed(&name, error))?;
        self.remember_signer(admission);
        Ok(Installation { name, version, directory, evidence, already_there: false, replaced: was_there })
    }

    /// The receipt of what is replaced.
    fn replaced_receipt(&self, replaced: Option<&InstalledPlugin>) -> Result<Option<Receipt>, StoreError> {
        match replaced.map(|found| self.store().receipt(found)) {
            // A damaged receipt is one of the reasons to install by force.
            None | Some(Err(StoreError::Receipt(ReceiptError::Damaged { .. } | ReceiptError::TooLarge { .. }))) => Ok(None),
            Some(receipt) => receipt,
        }
    }
}

/// What the receipt of an install says beyond what the package knows. Where an installed plugin is replaced it stays held,
/// and follows the range that it followed as long as what came is in it, from the same source, and nobody says otherwise.
fn install_details(
    request: &InstallRequest,
    source: &Source,
    staged: &StagedPlugin,
    replaced: Option<Receipt>,
) -> InstallDetails {
    let constraint = request.fetch.version.clone();
    let network = network_settings(&request.fetch, source);
    let Some(receipt) = replaced else { return InstallDetails { constraint, network, ..InstallDetails::default() } };
    let same = staged.source().asked == receipt.source.asked;
    let version = staged.metadata().version.as_ref();
    let still = |range: &String| {
        same && Range::parse(range).is_ok_and(|range| version.is_some_and(|version| range.matches(version)))
    };
    let constraint = constraint.or_else(|| receipt.constraint.filter(still));
    InstallDetails { constraint, network, held: receipt.held, ..InstallDetails::default() }
}
