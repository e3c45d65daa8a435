//! What of a verb goes into the audit log: one record for each plugin or key that it changed or was refused.
//!
//! A verb is wrapped as a whole, so that no way out of it is forgotten, and takes notes of what it learns on its way.

use std::error::Error;

use crate::audit::{About, AuditError, Event, Log};
use crate::intake::provenance::Evidence;
use crate::policy::Refusal;
use crate::runtime::HookError;
use crate::store::{GateError, Means, Plugin, Receipt, Staged, StoreError};

use super::{
    AdmitError, GetError, InstallError, LimitError, Manager, ObtainError, OwnKeyringError, PullError, RestoreError,
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
pub(super) struct Note {
    /// What it is called where it succeeds; nothing where nothing was changed.
    pub(super) event: Option<Event>,
    /// What it is about.
    pub(super) about: About,
    /// What else it is about, of which each gets a record of its own.
    pub(super) others: Vec<About>,
}

impl Note {
    /// A note of `event` about the plugin `name`.
    pub(super) fn of_plugin(event: Event, name: &str) -> Self {
        Self { event: Some(event), about: About { plugin: Some(name.to_owned()), ..About::default() }, ..Self::default() }
    }

    /// A note of `event` about what comes from `source`.
    pub(super) fn of_source(event: Option<Event>, source: &str) -> Self {
        Self { event, about: About { source: Some(source.to_owned()), ..About::default() }, ..Self::default() }
    }

    /// Adds what is known of something that is about to take its place.
    pub(super) fn staged(&mut self, staged: &Staged) {
        let metadata = staged.metadata();
        self.about.plugin = Some(metadata.name.to_string());
        self.about.version = metadata.version.as_ref().map(ToString::to_string);
        self.about.digest = staged.package_digest().map(|digest| format!("sha256:{digest}"));
        (self.about.verified_by, self.about.signer) = match staged.evidence() {
            None => (Some(Means::Local.as_str()), None),
            Some(Evidence::Skipped) => (Some(Means::None.as_str()), None),
            Some(Evidence::Digest(_)) => (Some(Means::Digest.as_str()), None),
            Some(Evidence::Signature(signature)) => {
                (Some(Means::Signature.as_str()), Some(signer(&signature.user_id, &signature.fingerprint)))
            }
        };
    }

    /// Takes over what a receipt says.
    pub(super) fn receipt(&mut self, receipt: &Receipt) {
        let verified = &receipt.verified;
        self.about = About {
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
    pub fn audit_log(&self) -> Log {
        Log::of(self.homes, &self.settings.audit)
    }

    /// Does `work` and writes down how it ended. Where a policy wants a log, nothing is begun without.
    pub(super) fn recorded<T, E>(&self, note: Note, work: impl FnOnce(&mut Note) -> Result<T, E>) -> Result<T, E>
    where
        E: Judged + From<AuditError>,
    {
        let mut note = note;
        if self.policy.audit_required().is_some() {
            self.audit_log().ready().map_err(|error| self.required(error))?;
        }
        let result = work(&mut note);
        match (self.write_down(&note, result.as_ref().map_err(|error| error as _).err()), &result) {
            (Err(error), Ok(_)) if self.policy.audit_required().is_some() => return Err(self.required(error).into()),
            (Err(error), _) => self.warn_of(&error),
            (Ok(()), _) => {}
        }
        result
    }

    /// As [`Self::recorded`], for what changes nothing: only a refusal is written down.
    pub(super) fn refusal_recorded<T, E: Judged>(
        &self,
        note: Note,
        work: impl FnOnce(&mut Note) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut note = note;
        let result = work(&mut note);
        if let Err(error) = self.write_down(&note, result.as_ref().map_err(|error| error as _).err()) {
            self.warn_of(&error);
        }
        result
    }

    /// Opens the installed plugin `name` through the gate for a run. Its warnings are passed on, a refusal is written down.
    ///
    /// # Errors
    /// See [`GateError`].
    pub fn open(&self, name: &str) -> Result<Plugin, GateError> {
        let note = Note { event: None, ..Note::of_plugin(Event::GateRefused, name) };
        let plugin = self.refusal_recorded(note, |_| self.store().open_plugin(name, self.settings.gate))?;
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
        let mut note = Note::of_plugin(Event::Run, plugin.name.as_str());
        note.about.version = plugin.metadata.version.as_ref().map(ToString::to_string);
        if let Some(receipt) = &plugin.receipt {
            note.receipt(receipt);
        }
        match self.audit_log().write(Event::Run, &note.about, None) {
            Err(error) if self.policy.audit_required().is_none() => {
                self.warn_of(&error);
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

    fn write_down(&self, note: &Note, error: Option<&dyn Judged>) -> Result<(), AuditError> {
        let event = match error.map(|error| (error.verdict(), error.as_error())) {
            None => note.event,
            Some((_, error)) if find::<Refusal>(error) => Some(Event::PolicyRefused),
            Some((Verdict::Failed, _)) => note.event,
            Some((Verdict::NotThere, _)) => None,
            Some((Verdict::Unverified, _)) => Some(Event::VerifyFailed),
            Some((Verdict::Gate, _)) => Some(Event::GateRefused),
            Some((Verdict::Policy, _)) => Some(Event::PolicyRefused),
        };
        let Some(event) = event else { return Ok(()) };
        let log = self.audit_log();
        let mut all = std::iter::once(&note.about).chain(&note.others);
        all.try_for_each(|about| log.write(event, about, error.map(Judged::as_error)))
    }

    fn warn_of(&self, error: &AuditError) {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        self.report.warning(&format!("{error}{cause}"));
    }
}

/// Whether a `T` is among the causes of `error`, boxed or not.
fn find<T: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
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
pub(super) enum Verdict {
    /// The work failed.
    Failed,
    /// There was nothing to work on, so that nothing was tried.
    NotThere,
    /// Something is not what it should be by signature, digest or receipt.
    Unverified,
    /// The gate refused.
    Gate,
    /// A policy refused.
    Policy,
}

/// An error that the log can tell from others.
pub(super) trait Judged: Error + 'static {
    /// What it means.
    fn verdict(&self) -> Verdict;

    /// Itself as an error.
    fn as_error(&self) -> &(dyn Error + 'static);
}

macro_rules! judged {
    ($($error:ty => $verdict:expr),+ $(,)?) => {
        $(impl Judged for $error {
            fn verdict(&self) -> Verdict {
                let verdict: fn(&$error) -> Verdict = $verdict;
                verdict(self)
            }

            fn as_error(&self) -> &(dyn Error + 'static) {
                self
            }
        })+
    };
}

judged! {
    GateError => |error| match error {
        error if error.is_not_found() => Verdict::NotThere,
        error if error.is_refusal() => Verdict::Gate,
        _ => Verdict::Failed,
    },
    HookError => |error| match error {
        HookError::Forbidden { .. } => Verdict::Policy,
        _ => Verdict::Failed,
    },
    StoreError => |error| match error {
        StoreError::Verify(_) | StoreError::OtherFiles { .. } | StoreError::PreviousChanged { .. } => Verdict::Unverified,
        StoreError::NotInstalled { .. } => Verdict::NotThere,
        _ => Verdict::Failed,
    },
    GetError => |error| match error {
        GetError::Admit(error) => error.verdict(),
        GetError::Source(error) if error.is_verification() => Verdict::Unverified,
        GetError::Provenance { .. } => Verdict::Unverified,
        GetError::Gate { source, .. } => refused(source),
        _ => Verdict::Failed,
    },
    InstallError => |error| match error {
        InstallError::Source(error) if error.is_verification() => Verdict::Unverified,
        InstallError::Verify(_) | InstallError::Keyring(_) => Verdict::Unverified,
        InstallError::Get(error) => error.verdict(),
        InstallError::Admit(error) => error.verdict(),
        InstallError::Gate { source, .. } => refused(source),
        InstallError::Hook { source, .. } => source.verdict(),
        InstallError::Store(StoreError::Verify(_)) => Verdict::Unverified,
        _ => Verdict::Failed,
    },
    UpdateError => |error| match error {
        UpdateError::Store(error) => error.verdict(),
        UpdateError::Failed { source, .. } | UpdateError::Unavailable { source, .. } => source.verdict(),
        UpdateError::NeedsDigest { .. } => Verdict::Unverified,
        UpdateError::Gate { source, .. } => refused(source),
        UpdateError::Hook { source, .. } => source.verdict(),
        _ => Verdict::Failed,
    },
    UninstallError => |error| match error {
        UninstallError::Store(error) => error.verdict(),
        UninstallError::Gate { source, .. } => refused(source),
        UninstallError::Hook { source, .. } => source.verdict(),
        _ => Verdict::Failed,
    },
    ObtainError => |error| match error {
        ObtainError::Unsettled { .. } | ObtainError::Unsigned { .. } | ObtainError::OtherSigner { .. } => {
            Verdict::Unverified
        }
        ObtainError::Admit(error) => error.verdict(),
        ObtainError::Failed { source, .. } => source.verdict(),
        _ => Verdict::Failed,
    },
    SyncError => |error| match error {
        SyncError::Obtain(error) => error.verdict(),
        SyncError::Admit(error) => error.verdict(),
        SyncError::OtherPlugin { .. } => Verdict::Unverified,
        SyncError::Install { source, .. } => source.verdict(),
        SyncError::Update(source) => source.verdict(),
        SyncError::Uninstall(source) => source.verdict(),
        _ => Verdict::Failed,
    },
    RestoreError => |error| match error {
        RestoreError::Store(error) => error.verdict(),
        RestoreError::Admit(error) => error.verdict(),
        RestoreError::Unavailable { source, .. } => source.verdict(),
        RestoreError::Source(error) if error.is_verification() => Verdict::Unverified,
        RestoreError::Source(_) | RestoreError::Audit(_) => Verdict::Failed,
    },
    PullError => |error| match error {
        PullError::Fetch(error) => error.verdict(),
        _ => Verdict::Failed,
    },
    VerifyPackageError => |error| match error {
        VerifyPackageError::Keyring(_) | VerifyPackageError::Verify(_) => Verdict::Unverified,
        VerifyPackageError::Source(error) if error.is_verification() => Verdict::Unverified,
        _ => Verdict::Failed,
    },
    VerifyInstalledError => |error| match error {
        VerifyInstalledError::NotThere { .. } => Verdict::NotThere,
        VerifyInstalledError::Changed { .. } | VerifyInstalledError::Nothing { .. } => Verdict::Unverified,
        VerifyInstalledError::Package { source, .. } => source.verdict(),
        _ => Verdict::Failed,
    },
    ChangeError => |error| match error {
        ChangeError::Store(error) => error.verdict(),
        ChangeError::Admit(error) => error.verdict(),
        ChangeError::Audit(_) => Verdict::Failed,
    },
    OwnKeyringError => |_| Verdict::Failed,
    AdmitError => |error| match error {
        AdmitError::Policy { .. } | AdmitError::Raised { .. } => Verdict::Policy,
        AdmitError::Unverified(_)
        | AdmitError::Limited { .. }
        | AdmitError::Revoked { .. }
        | AdmitError::NoSigner { .. }
        | AdmitError::OtherSigner { .. } => Verdict::Unverified,
        AdmitError::Trusted(_) => Verdict::Failed,
    },
    TrustError => |error| match error {
        TrustError::Unknown { .. } => Verdict::NotThere,
        TrustError::Store(error) => error.verdict(),
        TrustError::NotKnown { .. } | TrustError::File(_) | TrustError::Audit(_) => Verdict::Failed,
    },
    LimitError => |_| Verdict::Failed,
}

/// A gate that does not open within another verb: what is not there was expected to be.
fn refused(error: &GateError) -> Verdict {
    match error.verdict() {
        Verdict::NotThere => Verdict::Failed,
        verdict => verdict,
    }
}
