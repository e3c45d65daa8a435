//! What of a verb goes into the audit log: one record for each plugin or key that it changed or was refused.
//!
//! A verb is wrapped as a whole, so that no way out of it is forgotten, and takes notes of what it learns on its way.

use std::error::Error;

use crate::audit::{AuditError, AuditEvent, AuditLog, AuditSubject};
use crate::error::{Classified, ErrorKind};
use crate::intake::provenance::Evidence;
use crate::store::{GateError, Plugin, Receipt, StagedPlugin, StoreError, VerificationMethod};

use super::{AdmitError, Manager};

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

impl Classified for ChangeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Admit(error) => error.kind(),
            Self::Audit(error) => error.kind(),
        }
    }
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
        E: Classified + From<AuditError> + 'static,
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
    pub(super) fn with_refusal_audit<T, E: Classified + 'static>(
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

    fn write_down(&self, note: &AuditNote, error: Option<&(dyn Classified + 'static)>) -> Result<(), AuditError> {
        let event = match error {
            None => note.event,
            Some(error) => event_of_failure(error.kind(), note.event),
        };
        let Some(event) = event else { return Ok(()) };
        let log = self.audit_log();
        let mut all = std::iter::once(&note.about).chain(&note.others);
        all.try_for_each(|about| log.write(event, about, error.map(|error| error as _)))
    }

    fn warn_about(&self, error: &AuditError) {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        self.report.warning(&format!("{error}{cause}"));
    }
}

/// What is recorded of a failure of this `kind`, if the verb itself is recorded as `verb`; nothing if nothing was tried.
fn event_of_failure(kind: ErrorKind, verb: Option<AuditEvent>) -> Option<AuditEvent> {
    match kind {
        ErrorKind::Failed | ErrorKind::Usage | ErrorKind::NotFound | ErrorKind::Unavailable | ErrorKind::Mismatch => verb,
        ErrorKind::NotInstalled => None,
        ErrorKind::Unverified | ErrorKind::KeyringNotFound | ErrorKind::ProofUnavailable => Some(AuditEvent::VerifyFailed),
        ErrorKind::ChangedFiles | ErrorKind::UnsafeFiles => Some(AuditEvent::GateRefused),
        ErrorKind::Policy | ErrorKind::PolicyVerification => Some(AuditEvent::PolicyRefused),
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::AuditEvent;
    use crate::error::Classified;
    use crate::intake::provenance::{KeyringError, VerifyError};
    use crate::intake::source::{HttpError, OciError, ServerMessage, SourceError};
    use crate::manager::{
        AdmitError, ChangeError, GetError, InstallError, LimitError, LockFileError, OwnKeyringError, RestoreError,
        SyncError, TrustError, UninstallError, UnverifiedError, UpdateError, VerifyInstalledError, VerifyPackageError,
    };
    use crate::manifest::PluginName;
    use crate::policy::Refusal;
    use crate::runtime::{HookError, HookEvent, InvokeError, StartError};
    use crate::store::{GateError, NotInstalled, StoreError};

    use super::event_of_failure;

    /// The event that is recorded if `AuditEvent::Install` was being done.
    #[expect(clippy::needless_pass_by_value, reason = "every caller makes the error for this question")]
    fn event(error: impl Classified) -> Option<AuditEvent> {
        event_of_failure(error.kind(), Some(AuditEvent::Install))
    }

    fn text() -> String {
        "x".to_owned()
    }

    fn name() -> PluginName {
        PluginName::new("x").unwrap()
    }

    fn not_installed() -> NotInstalled {
        NotInstalled { name: text(), host: text(), nearest: Vec::new() }
    }

    fn missing_keyring() -> KeyringError {
        KeyringError::Missing { path: "k".into(), named_by: text() }
    }

    fn empty_provenance() -> VerifyError {
        VerifyError::Empty { at: text() }
    }

    fn denied() -> Refusal {
        let at = crate::policy::RulePosition { file: std::sync::Arc::from(std::path::Path::new("p")), line: 1 };
        Refusal::PluginDenied { at, name: text() }
    }

    fn admission_denied() -> AdmitError {
        AdmitError::Policy { what: text(), source: Box::new(denied()) }
    }

    fn no_version() -> SourceError {
        OciError::UnknownVersion { reference: text(), version: text(), nearest: text() }.into()
    }

    fn no_server() -> Box<HttpError> {
        Box::new(HttpError::Status { url: text(), status: 503, said: ServerMessage::default() })
    }

    fn changed() -> GateError {
        GateError::Changed { name: text(), differences: Vec::new(), ways_out: text() }
    }

    #[test]
    fn a_failure_is_recorded_as_the_event_it_failed_in() {
        let failed = Some(AuditEvent::Install);
        assert_eq!(event(InstallError::from(no_version())), failed);
        assert_eq!(event(InstallError::from(SourceError::from(*no_server()))), failed);
        assert_eq!(event(InstallError::Gate { name: name(), source: not_installed().into() }), failed);
        assert_eq!(event(InstallError::from(StoreError::from(not_installed()))), failed);
        assert_eq!(event(SyncError::from(StoreError::from(not_installed()))), failed);
        assert_eq!(event(SyncError::from(LockFileError::Missing { path: "p".into(), host: text() })), failed);
        let replaced = InvokeError::Start { plugin: name(), source: StartError::Replaced { path: "p".into() } };
        assert_eq!(event(GetError::Getter { plugin: text(), url: text(), source: replaced.into() }), failed);
        let unknown = OwnKeyringError::Unknown { selector: text(), path: text(), host: text() };
        assert_eq!(event(LimitError::from(unknown)), failed);
        assert_eq!(event(OwnKeyringError::OtherKey { from: text(), wanted: text(), found: Vec::new() }), failed);
        assert_eq!(event(OwnKeyringError::from(missing_keyring())), failed);
    }

    #[test]
    fn a_plugin_that_is_not_installed_is_not_recorded() {
        assert_eq!(event(GateError::from(not_installed())), None);
        assert_eq!(event(UpdateError::from(StoreError::from(not_installed()))), None);
        assert_eq!(event(ChangeError::from(StoreError::from(not_installed()))), None);
        assert_eq!(event(TrustError::Unknown { name: text(), host: text(), nearest: Vec::new() }), None);
        assert_eq!(event(VerifyInstalledError::NotThere { name: text(), host: text(), nearest: Vec::new() }), None);
    }

    #[test]
    fn what_is_not_verified_is_recorded_as_such() {
        let unverified = Some(AuditEvent::VerifyFailed);
        assert_eq!(event(InstallError::from(empty_provenance())), unverified);
        assert_eq!(event(InstallError::from(missing_keyring())), unverified);
        assert_eq!(event(InstallError::from(AdmitError::from(UnverifiedError::from(missing_keyring())))), unverified);
        assert_eq!(event(InstallError::from(StoreError::from(empty_provenance()))), unverified);
        let no_proof = || SourceError::ProvenanceUnreachable { at: text(), source: no_server() };
        assert_eq!(event(InstallError::from(no_proof())), unverified);
        assert_eq!(event(RestoreError::from(no_proof())), unverified);
        assert_eq!(event(RestoreError::from(StoreError::from(empty_provenance()))), unverified);
        let timed_out = InvokeError::TimedOut { plugin: name() };
        assert_eq!(event(GetError::Provenance { plugin: text(), at: text(), source: timed_out.into() }), unverified);
        assert_eq!(event(VerifyPackageError::from(missing_keyring())), unverified);
        let package = Box::new(VerifyPackageError::from(no_proof()));
        assert_eq!(event(VerifyInstalledError::Package { name: text(), source: package }), unverified);
        assert_eq!(event(SyncError::OtherPlugin { name: text(), found: text(), locked: text() }), unverified);
    }

    #[test]
    fn who_refuses_is_recorded() {
        let (gate, policy) = (Some(AuditEvent::GateRefused), Some(AuditEvent::PolicyRefused));
        assert_eq!(event(changed()), gate);
        assert_eq!(event(GateError::WorldWritable { name: text(), path: "p".into() }), gate);
        assert_eq!(event(UninstallError::Gate { name: text(), source: changed() }), gate);
        assert_eq!(event(GateError::Policy { name: text(), source: Box::new(denied()) }), policy);
        assert_eq!(event(StoreError::Policy { name: text(), source: Box::new(denied()) }), policy);
        assert_eq!(event(InstallError::from(admission_denied())), policy);
        assert_eq!(event(SyncError::from(admission_denied())), policy);
        let forbidden = HookError::Forbidden { plugin: name(), event: HookEvent::Install, at: text() };
        assert_eq!(event(InstallError::Hook { name: name(), source: forbidden }), policy);
    }
}
