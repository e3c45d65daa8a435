//! What of a verb goes into the audit log: one record for each plugin or key that it changed or was refused.
//!
//! A verb is wrapped as a whole, so that no way out of it is forgotten, and takes notes of what it learns on its way.

use std::error::Error;

use crate::audit::{AuditError, AuditEvent, AuditLog, AuditSubject};
use crate::intake::provenance::Evidence;
use crate::policy::Refusal;
use crate::runtime::HookError;
use crate::store::{GateError, Plugin, Receipt, StagedPlugin, StoreError, VerificationMethod};

use super::{
    AdmitError, FetchLockedError, GetError, InstallError, LimitError, Manager, OwnKeyringError, PullError, RestoreError,
    SyncError, TrustError, UninstallError, UpdateError, VerifyInstalledError, VerifyPackageError,
};

/// Why a change failed of which there is nothing more to say than the store does, or that was not written down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The store could not be changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What would come back may not.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// A policy wants it written down, and that cannot be.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// What is known so far of what a verb does.
#[derive(Debug, Default)]
pub(super) struct AuditNote {
    /// What it is called where it succeeds; nothing where nothing was changed.
    pub(super) event: Option<AuditEvent>,
    /// What it is about.
    pub(super) about: AuditSubject,
    /// What else it is about, of which each gets a record of its own.
    pub(super) others: Vec<AuditSubject>,
}

impl AuditNote {
    /// A note of `event` about the plugin `name`.
    pub(super) fn of_plugin(event: AuditEvent, name: &str) -> Self {
        Self {
            event: Some(event),
            about: AuditSubject { plugin: Some(name.to_owned()), ..AuditSubject::default() },
            ..Self::default()
        }
    }

    /// A note of `event` about what comes from `source`.
    pub(super) fn of_source(event: Option<AuditEvent>, source: &str) -> Self {
        Self { event, about: AuditSubject { source: Some(source.to_owned()), ..AuditSubject::default() }, ..Self::default() }
    }

    /// Adds what is known of something that is about to take its place.
    pub(super) fn staged(&mut self, staged: &StagedPlugin) {
        let metadata = staged.metadata();
        self.about.plugin = Some(metadata.name.to_string());
        self.about.version = metadata.version.as_ref().map(ToString::to_string);
        self.about.digest = staged.package_digest().map(|digest| format!("sha256:{digest}"));
        (self.about.verified_by, self.about.signer) = match staged.evidence() {
            None => (Some(VerificationMethod::Local.as_str()), None),
            Some(Evidence::Skipped) => (Some(VerificationMethod::None.as_str()), None),
            Some(Evidence::Digest(_)) => (Some(VerificationMethod::Digest.as_str()), None),
            Some(Evidence::Signature(signature)) => {
                (Some(VerificationMethod::Signature.as_str()), Some(signer(&signature.user_id, &signature.fingerprint)))
            }
        };
    }

    /// Takes over what a receipt says.
    pub(super) fn receipt(&mut self, receipt: &Receipt) {
        let verified = &receipt.verified;
        self.about = AuditSubject {
            plugin: Some(receipt.name.clone()),
            version: receipt.version.clone(),
            source: Some(receipt.source.asked.clone()),
            verified_by: Some(verified.by.as_str()),
            signer: verified
                .fingerprint
                .as_ref()
                .map(|fingerprint| signer(verified.signer.as_deref().unwrap_or_default(), fingerprint)),
            digest: receipt.archive.as_ref().map(|archive| format!("sha256:{}", archive.sha256)),
        };
    }
}

/// A signer for people and for programs.
fn signer(user_id: &str, fingerprint: &str) -> String {
    if user_id.is_empty() { fingerprint.to_owned() } else { format!("{user_id} ({fingerprint})") }
}

impl Manager<'_> {
    /// The audit log.
    pub fn audit_log(&self) -> AuditLog {
        AuditLog::of(self.homes, &self.settings.audit)
    }

    /// Does `work` and writes down how it ended. Where a policy wants a log, nothing is begun without.
    pub(super) fn with_audit<T, E>(&self, note: AuditNote, work: impl FnOnce(&mut AuditNote) -> Result<T, E>) -> Result<T, E>
    where
        E: AuditedError + From<AuditError>,
    {
        let mut note = note;
        if self.policy.audit_required().is_some() {
            self.audit_log().ready().map_err(|error| self.required(error))?;
        }
        let result = work(&mut note);
        match (self.write_down(&note, result.as_ref().map_err(|error| error as _).err()), &result) {
            (Err(error), Ok(_)) if self.policy.audit_required().is_some() => return Err(self.required(error).into()),
            (Err(error), _) => self.warn_about(&error),
            (Ok(()), _) => {}
        }
        result
    }

    /// As [`Self::with_audit`], for what changes nothing: only a refusal is written down.
    pub(super) fn with_refusal_audit<T, E: AuditedError>(
        &self,
        note: AuditNote,
        work: impl FnOnce(&mut AuditNote) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut note = note;
        let result = work(&mut note);
        if let Err(error) = self.write_down(&note, result.as_ref().map_err(|error| error as _).err()) {
            self.warn_about(&error);
        }
        result
    }

    /// Opens the installed plugin `name` through the gate for a run. Its warnings are passed on, a refusal is written down.
    ///
    /// # Errors
    /// See [`GateError`].
    pub fn open(&self, name: &str) -> Result<Plugin, GateError> {
        let note = AuditNote { event: None, ..AuditNote::of_plugin(AuditEvent::GateRefused, name) };
        let plugin = self.with_refusal_audit(note, |_| self.store().open_plugin(name, self.settings.gate))?;
        plugin.warnings.iter().for_each(|warning| self.report.warning(warning));
        Ok(plugin)
    }

    /// Writes down that `plugin` is about to run, where `audit.runs` asks for it; else nothing is looked at.
    ///
    /// # Errors
    /// [`AuditError`], where a policy wants it written down.
    pub fn record_run(&self, plugin: &Plugin) -> Result<(), AuditError> {
        if !self.settings.audit.runs {
            return Ok(());
        }
        let mut note = AuditNote::of_plugin(AuditEvent::Run, plugin.name.as_str());
        note.about.version = plugin.metadata.version.as_ref().map(ToString::to_string);
        if let Some(receipt) = &plugin.receipt {
            note.receipt(receipt);
        }
        match self.audit_log().write(AuditEvent::Run, &note.about, None) {
            Err(error) if self.policy.audit_required().is_none() => {
                self.warn_about(&error);
                Ok(())
            }
            written => written.map_err(|error| self.required(error)),
        }
    }

    /// `error` with the policy that makes it one.
    fn required(&self, error: AuditError) -> AuditError {
        match self.policy.audit_required() {
            Some(at) => AuditError::Required { at: at.to_string(), source: Box::new(error) },
            None => error,
        }
    }

    fn write_down(&self, note: &AuditNote, error: Option<&dyn AuditedError>) -> Result<(), AuditError> {
        let event = match error.map(|error| (error.failure_class(), error.as_error())) {
            None => note.event,
            Some((_, error)) if has_cause::<Refusal>(error) => Some(AuditEvent::PolicyRefused),
            Some((FailureClass::Failed, _)) => note.event,
            Some((FailureClass::NotFound, _)) => None,
            Some((FailureClass::Unverified, _)) => Some(AuditEvent::VerifyFailed),
            Some((FailureClass::Gate, _)) => Some(AuditEvent::GateRefused),
            Some((FailureClass::Policy, _)) => Some(AuditEvent::PolicyRefused),
        };
        let Some(event) = event else { return Ok(()) };
        let log = self.audit_log();
        let mut all = std::iter::once(&note.about).chain(&note.others);
        all.try_for_each(|about| log.write(event, about, error.map(AuditedError::as_error)))
    }

    fn warn_about(&self, error: &AuditError) {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        self.report.warning(&format!("{error}{cause}"));
    }
}

/// Whether a `T` is among the causes of `error`, boxed or not.
fn has_cause<T: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<T>() || error.is::<Box<T>>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// What an error means to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureClass {
    /// The work failed.
    Failed,
    /// There was nothing to work on, so that nothing was tried.
    NotFound,
    /// Something is not what it should be by signature, digest or receipt.
    Unverified,
    /// The gate refused.
    Gate,
    /// A policy refused.
    Policy,
}

/// An error that the log can tell from others.
pub(super) trait AuditedError: Error + 'static {
    /// What it means.
    fn failure_class(&self) -> FailureClass;

    /// Itself as an error.
    fn as_error(&self) -> &(dyn Error + 'static);
}

macro_rules! audited_errors {
    ($($error:ty => $classify:expr),+ $(,)?) => {
        $(impl AuditedError for $error {
            fn failure_class(&self) -> FailureClass {
                let classify: fn(&$error) -> FailureClass = $classify;
                classify(self)
            }

            fn as_error(&self) -> &(dyn Error + 'static) {
                self
            }
        })+
    };
}

audited_errors! {
    GateError => |error| match error {
        error if error.is_not_found() => FailureClass::NotFound,
        error if error.is_refusal() => FailureClass::Gate,
        _ => FailureClass::Failed,
    },
    HookError => |error| match error {
        HookError::Forbidden { .. } => FailureClass::Policy,
        _ => FailureClass::Failed,
    },
    StoreError => |error| match error {
        StoreError::Verify(_) | StoreError::OtherFiles { .. } | StoreError::PreviousChanged { .. } => FailureClass::Unverified,
        StoreError::NotInstalled { .. } => FailureClass::NotFound,
        _ => FailureClass::Failed,
    },
    GetError => |error| match error {
        GetError::Admit(error) => error.failure_class(),
        GetError::Source(error) if error.is_verification() => FailureClass::Unverified,
        GetError::Provenance { .. } => FailureClass::Unverified,
        GetError::Gate { source, .. } => nested_gate_failure(source),
        _ => FailureClass::Failed,
    },
    InstallError => |error| match error {
        InstallError::Source(error) if error.is_verification() => FailureClass::Unverified,
        InstallError::Verify(_) | InstallError::Keyring(_) => FailureClass::Unverified,
        InstallError::Get(error) => error.failure_class(),
        InstallError::Admit(error) => error.failure_class(),
        InstallError::Gate { source, .. } => nested_gate_failure(source),
        InstallError::Hook { source, .. } => source.failure_class(),
        InstallError::Store(StoreError::Verify(_)) => FailureClass::Unverified,
        _ => FailureClass::Failed,
    },
    UpdateError => |error| match error {
        UpdateError::Store(error) => error.failure_class(),
        UpdateError::Failed { source, .. } | UpdateError::Unavailable { source, .. } => source.failure_class(),
        UpdateError::NeedsDigest { .. } => FailureClass::Unverified,
        UpdateError::Gate { source, .. } => nested_gate_failure(source),
        UpdateError::Hook { source, .. } => source.failure_class(),
        _ => FailureClass::Failed,
    },
    UninstallError => |error| match error {
        UninstallError::Store(error) => error.failure_class(),
        UninstallError::Gate { source, .. } => nested_gate_failure(source),
        UninstallError::Hook { source, .. } => source.failure_class(),
        _ => FailureClass::Failed,
    },
    FetchLockedError => |error| match error {
        FetchLockedError::NoDigest { .. } | FetchLockedError::Unsigned { .. } | FetchLockedError::OtherSigner { .. } => {
            FailureClass::Unverified
        }
        FetchLockedError::Admit(error) => error.failure_class(),
        FetchLockedError::Failed { source, .. } => source.failure_class(),
        _ => FailureClass::Failed,
    },
    SyncError => |error| match error {
        SyncError::Fetch(error) => error.failure_class(),
        SyncError::Admit(error) => error.failure_class(),
        SyncError::OtherPlugin { .. } => FailureClass::Unverified,
        SyncError::Install { source, .. } => source.failure_class(),
        SyncError::Update(source) => source.failure_class(),
        SyncError::Uninstall(source) => source.failure_class(),
        _ => FailureClass::Failed,
    },
    RestoreError => |error| match error {
        RestoreError::Store(error) => error.failure_class(),
        RestoreError::Admit(error) => error.failure_class(),
        RestoreError::Unavailable { source, .. } => source.failure_class(),
        RestoreError::Source(error) if error.is_verification() => FailureClass::Unverified,
        RestoreError::Source(_) | RestoreError::Audit(_) => FailureClass::Failed,
    },
    PullError => |error| match error {
        PullError::Fetch(error) => error.failure_class(),
        _ => FailureClass::Failed,
    },
    VerifyPackageError => |error| match error {
        VerifyPackageError::Keyring(_) | VerifyPackageError::Verify(_) => FailureClass::Unverified,
        VerifyPackageError::Source(error) if error.is_verification() => FailureClass::Unverified,
        _ => FailureClass::Failed,
    },
    VerifyInstalledError => |error| match error {
        VerifyInstalledError::NotThere { .. } => FailureClass::NotFound,
        VerifyInstalledError::Changed { .. } | VerifyInstalledError::Nothing { .. } => FailureClass::Unverified,
        VerifyInstalledError::Package { source, .. } => source.failure_class(),
        _ => FailureClass::Failed,
    },
    ChangeError => |error| match error {
        ChangeError::Store(error) => error.failure_class(),
        ChangeError::Admit(error) => error.failure_class(),
        ChangeError::Audit(_) => FailureClass::Failed,
    },
    OwnKeyringError => |_| FailureClass::Failed,
    AdmitError => |error| match error {
        AdmitError::Policy { .. } | AdmitError::Raised { .. } => FailureClass::Policy,
        AdmitError::Unverified(_)
        | AdmitError::Limited { .. }
        | AdmitError::Revoked { .. }
        | AdmitError::SignerMissing { .. }
        | AdmitError::SignerChanged { .. } => FailureClass::Unverified,
        AdmitError::Trusted(_) => FailureClass::Failed,
    },
    TrustError => |error| match error {
        TrustError::Unknown { .. } => FailureClass::NotFound,
        TrustError::Store(error) => error.failure_class(),
        TrustError::NotKnown { .. } | TrustError::File(_) | TrustError::Audit(_) => FailureClass::Failed,
    },
    LimitError => |_| FailureClass::Failed,
}

/// A gate that does not open within another verb: what is not there was expected to be.
fn nested_gate_failure(error: &GateError) -> FailureClass {
    match error.failure_class() {
        FailureClass::NotFound => FailureClass::Failed,
        verdict => verdict,
    }
}
