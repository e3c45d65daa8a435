//! What a command ends with when it fails: the one place that turns the library's errors into exit codes and hints.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::output::{self, Output, OutputError};
use plugsmith::audit::AuditError;
use plugsmith::intake::package::{PackError, UnpackError};
use plugsmith::intake::provenance::{KeyringError, SignError};
use plugsmith::intake::source::{SourceError, similar_paths};
use plugsmith::manager::{
    AdmitError, ChangeError, CreateError, ExplainError, ExportError, FetchLockedError, GetError, InfoError, InstallError,
    LimitError, LockFileError, OwnKeyringError, PullError, PushError, RestoreError, SignPackageError, SyncError, TrustError,
    UninstallError, UnverifiedError, UpdateError, VerifyInstalledError, VerifyPackageError, WriteLockFileError,
};
use plugsmith::manifest::ManifestError;
use plugsmith::policy::Refusal;
use plugsmith::spelling::did_you_mean;
use plugsmith::store::{GateError, StoreError};
use plugsmith::text::Sanitized;
use plugsmith::trust::TrustFileError;

/// The exit codes (command line, conventions).
pub(crate) mod code {
    /// Something failed.
    pub(crate) const FAILED: u8 = 1;
    /// Wrong usage, unknown commands too.
    pub(crate) const USAGE: u8 = 2;
    /// A verification failed.
    pub(crate) const VERIFICATION: u8 = 3;
    /// A plugin, path or URL that is not there.
    pub(crate) const NOT_THERE: u8 = 4;
    /// A server that could not be reached or failed: trying again may help.
    pub(crate) const UNAVAILABLE: u8 = 5;
    /// `outdated --exit-code` and `sync --check` found a difference.
    pub(crate) const DIFFERS: u8 = 10;
    /// Ctrl-C.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// A failed command: what to print and how to exit.
#[derive(Debug)]
pub(crate) struct CommandFailure {
    /// The exit code.
    pub(crate) code: u8,
    /// What failed; `None` where everything has been said already.
    pub(crate) error: Option<Box<dyn Error + Send + Sync>>,
    /// What to do next.
    pub(crate) hints: Vec<String>,
}

/// What a command's `run` gives.
pub(crate) type Result<T = ()> = std::result::Result<T, CommandFailure>;

/// An error that is no more than its text.
#[derive(Debug)]
struct TextError(String);

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for TextError {}

impl CommandFailure {
    /// A failure with `code` because of `error`.
    pub(crate) fn new(code: u8, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { code, error: Some(error.into()), hints: Vec::new() }
    }

    /// A failure that is no more than its text.
    pub(crate) fn text(code: u8, text: impl Into<String>) -> Self {
        Self::new(code, TextError(text.into()))
    }

    /// `path` is not there; says which of the paths that are `offered` was probably meant, else `otherwise`.
    pub(crate) fn not_there(path: &Path, offered: impl Fn(&Path) -> bool, otherwise: &str) -> Self {
        let path = path.to_string_lossy();
        let near: Vec<String> =
            similar_paths(&path, offered).iter().map(|near| plugsmith::text::sanitized(near).into_owned()).collect();
        let next = did_you_mean(&near).unwrap_or_else(|| otherwise.to_owned());
        Self::text(code::NOT_THERE, format!("{} is not there", Sanitized(&path))).hint(next)
    }

    /// Ends with `code` and prints nothing more.
    pub(crate) fn silent(code: u8) -> Self {
        Self { code, error: None, hints: Vec::new() }
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl CommandFailure {
    /// Tells what failed and what to do next.
    pub(crate) fn tell(&self, output: &Output) {
        match &self.error {
            Some(error) => output.error(error.as_ref(), &self.hints(output.host())),
            None => self.hints.iter().for_each(|hint| output.hint(hint)),
        }
    }

    /// What failed with everything that caused it, and what to do next, for a row.
    pub(crate) fn in_words(&self, host: &str) -> (Option<String>, Option<String>) {
        let texts = self.error.as_ref().map(|error| output::chain(error.as_ref())).unwrap_or_default();
        if texts.is_empty() {
            return (None, None);
        }
        let hints = self.hints(host);
        if !hints.is_empty() {
            return (Some(texts.join(": ")), Some(hints.join("; ")));
        }
        let (texts, steps): (Vec<&str>, Vec<Option<&str>>) = texts.iter().map(|text| without_next_step(text)).unzip();
        (Some(texts.join(": ")), steps.into_iter().flatten().next().map(str::to_owned))
    }

    /// What to do next: first what the system's refusal asks for.
    fn hints(&self, host: &str) -> Vec<String> {
        let system = self.error.as_ref().and_then(|error| system_hint(error.as_ref(), host));
        system.into_iter().chain(self.hints.iter().cloned()).collect()
    }

    /// Tells, and gives the exit code.
    pub(crate) fn end(&self, output: &Output) -> ExitCode {
        self.tell(output);
        ExitCode::from(self.code)
    }
}

/// A message without the next step that it may end with, and that step: it stands behind the last semicolon outside of parentheses.
fn without_next_step(message: &str) -> (&str, Option<&str>) {
    match message.rsplit_once("; ") {
        Some((what, step)) if step.matches(')').count() <= step.matches('(').count() => (what, Some(step)),
        _ => (message, None),
    }
}

/// What to do where the system is what refuses: the library names the file alone.
fn system_hint(error: &(dyn Error + 'static), host: &str) -> Option<String> {
    let directories = format!("`{host} env` shows which directories are used and what sets them");
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::PermissionDenied) => {
                return Some(format!("check who owns it and its mode; {directories}"));
            }
            Some(io::ErrorKind::ReadOnlyFilesystem) => {
                return Some(format!("its file system is read-only; {directories}"));
            }
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                return Some("make room, and try again".to_owned());
            }
            _ => next = error.source(),
        }
    }
    None
}

impl From<OutputError> for CommandFailure {
    fn from(error: OutputError) -> Self {
        // The reader has what it wanted.
        if error.is_broken_pipe() { Self::silent(0) } else { Self::new(code::FAILED, error) }
    }
}

/// For errors whose exit code depends on the case.
macro_rules! failures {
    ($($error:ty => $code:expr),+ $(,)?) => {
        $(impl From<$error> for CommandFailure {
            fn from(error: $error) -> Self {
                let code = $code(&error);
                Self::new(code, error)
            }
        })+
    };
}

failures! {
    SourceError => source,
    CreateError => |error: &CreateError| match error {
        CreateError::Reserved { .. } => code::USAGE,
        _ => code::FAILED,
    },
    GetError => get,
    LockFileError => lock_file,
    KeyringError => keyring,
    StoreError => store,
    GateError => gate,
    PackError => pack,
    UnpackError => unpack,
    SignError => |_: &SignError| code::FAILED,
    InstallError => install,
    UpdateError => update,
    ChangeError => |error: &ChangeError| match error {
        ChangeError::Store(error) => store(error),
        ChangeError::Admit(error) => admit(error),
        _ => code::FAILED,
    },
    RestoreError => |error: &RestoreError| match error {
        RestoreError::Store(error) => store(error),
        RestoreError::Admit(error) => admit(error),
        RestoreError::Source(error) => source(error),
        RestoreError::Unavailable { source, .. } => obtain(source),
        RestoreError::Audit(_) => code::FAILED,
        _ => code::FAILED,
    },
    AuditError => |_: &AuditError| code::FAILED,
    UninstallError => uninstall,
    PullError => |error: &PullError| match error {
        PullError::Fetch(error) => install(error),
        PullError::Package { source, .. } => unpack(source),
        _ => code::FAILED,
    },
    WriteLockFileError => |error: &WriteLockFileError| match error {
        WriteLockFileError::Store(error) => store(error),
        WriteLockFileError::File(error) => lock_file(error),
        _ => code::FAILED,
    },
    SyncError => |error: &SyncError| match error {
        SyncError::File(error) => lock_file(error),
        SyncError::Store(error) => store(error),
        SyncError::Fetch(error) => obtain(error),
        SyncError::Admit(error) => admit(error),
        SyncError::OtherPlugin { .. } => code::VERIFICATION,
        SyncError::Install { source, .. } => install(source),
        SyncError::Update(error) => update(error),
        SyncError::Uninstall(error) => uninstall(error),
        SyncError::Audit(_) => code::FAILED,
        _ => code::FAILED,
    },
    ExportError => |error: &ExportError| match error {
        ExportError::Store(error) => store(error),
        ExportError::Obtain(error) => obtain(error),
        ExportError::File(error) => lock_file(error),
        _ => code::FAILED,
    },
    InfoError => |error: &InfoError| match error {
        InfoError::Store(error) => store(error),
        _ => code::FAILED,
    },
    SignPackageError => |error: &SignPackageError| match error {
        SignPackageError::Source(error) => source(error),
        SignPackageError::Package { source, .. } => unpack(source),
        SignPackageError::Sign(_) | SignPackageError::Unversioned { .. } | SignPackageError::Write { .. } => code::FAILED,
        _ => code::FAILED,
    },
    PushError => |error: &PushError| match error {
        PushError::Source(error) => source(error),
        PushError::Package { source, .. } => unpack(source),
        PushError::Provenance { .. } => code::VERIFICATION,
        PushError::Unsigned { .. } | PushError::Unversioned { .. } => code::FAILED,
        _ => code::FAILED,
    },
    TrustError => |error: &TrustError| match error {
        TrustError::Unknown { .. } => code::NOT_THERE,
        TrustError::Store(error) => store(error),
        _ => code::FAILED,
    },
    ExplainError => |error: &ExplainError| match error {
        ExplainError::NotThere { .. } => code::NOT_THERE,
        ExplainError::Source(error) => source(error),
        ExplainError::Store(error) => store(error),
        _ => code::FAILED,
    },
    TrustFileError => |_: &TrustFileError| code::FAILED,
    LimitError => |error: &LimitError| match error {
        LimitError::Key(OwnKeyringError::Unknown { .. }) => code::NOT_THERE,
        _ => code::FAILED,
    },
    VerifyPackageError => verify_package,
    OwnKeyringError => |error: &OwnKeyringError| match error {
        OwnKeyringError::Source(error) => source(error),
        OwnKeyringError::NotThere { .. } | OwnKeyringError::Unknown { .. } => code::NOT_THERE,
        OwnKeyringError::OtherKey { .. } => code::VERIFICATION,
        // Nothing was to be verified, so nothing failed to verify.
        _ => code::FAILED,
    },
    VerifyInstalledError => |error: &VerifyInstalledError| match error {
        VerifyInstalledError::NotThere { .. } => code::NOT_THERE,
        VerifyInstalledError::Store(error) => store(error),
        VerifyInstalledError::Gate(error) => gate(error),
        VerifyInstalledError::Changed { .. } | VerifyInstalledError::Nothing { .. } => code::VERIFICATION,
        VerifyInstalledError::Package { source, .. } => verify_package(source),
        _ => code::FAILED,
    },
}

fn source(error: &SourceError) -> u8 {
    match error {
        error if error.is_not_found() => code::NOT_THERE,
        error if error.is_unavailable() => code::UNAVAILABLE,
        error if error.is_verification() => code::VERIFICATION,
        error if error.is_usage() => code::USAGE,
        _ => code::FAILED,
    }
}

fn get(error: &GetError) -> u8 {
    match error {
        GetError::Source(error) => source(error),
        GetError::Admit(error) => admit(error),
        GetError::Gate { source, .. } => gate(source),
        GetError::Provenance { .. } => code::VERIFICATION,
        GetError::Store(error) => store(error),
        GetError::Getter { source, .. } if source.is_refusal() => code::VERIFICATION,
        GetError::Getter { .. } | GetError::Write { .. } => code::FAILED,
        _ => code::FAILED,
    }
}

fn install(error: &InstallError) -> u8 {
    match error {
        InstallError::Source(error) => source(error),
        InstallError::Get(error) => get(error),
        InstallError::Gate { source, .. } => gate(source),
        InstallError::Keyring(error) => keyring(error),
        InstallError::Verify(_) => code::VERIFICATION,
        InstallError::Admit(error) => admit(error),
        InstallError::Store(error) => store(error),
        InstallError::Conflict { .. } | InstallError::Hook { .. } | InstallError::Audit(_) => code::FAILED,
        _ => code::FAILED,
    }
}

fn update(error: &UpdateError) -> u8 {
    match error {
        UpdateError::Store(error) => store(error),
        UpdateError::Failed { source, .. } | UpdateError::Unavailable { source, .. } => install(source),
        UpdateError::NeedsDigest { .. } => code::VERIFICATION,
        UpdateError::Gate { source, .. } => gate(source),
        _ => code::FAILED,
    }
}

fn uninstall(error: &UninstallError) -> u8 {
    match error {
        UninstallError::Store(error) => store(error),
        UninstallError::Gate { source, .. } => gate(source),
        UninstallError::Hook { .. } | UninstallError::Audit(_) => code::FAILED,
        _ => code::FAILED,
    }
}

fn lock_file(error: &LockFileError) -> u8 {
    match error {
        LockFileError::Missing { .. } => code::NOT_THERE,
        _ => code::FAILED,
    }
}

fn obtain(error: &FetchLockedError) -> u8 {
    match error {
        FetchLockedError::NoDigest { .. } | FetchLockedError::Unsigned { .. } | FetchLockedError::OtherSigner { .. } => {
            code::VERIFICATION
        }
        FetchLockedError::Admit(error) => admit(error),
        FetchLockedError::Offline { .. } => code::NOT_THERE,
        FetchLockedError::Credentials { .. } => code::USAGE,
        FetchLockedError::Failed { source, .. } => install(source),
        _ => code::FAILED,
    }
}

fn keyring(error: &KeyringError) -> u8 {
    if error.is_missing() { code::NOT_THERE } else { code::VERIFICATION }
}

fn store(error: &StoreError) -> u8 {
    match error {
        StoreError::Verify(_) | StoreError::OtherFiles { .. } | StoreError::PreviousChanged { .. } => code::VERIFICATION,
        StoreError::Policy { source, .. } => refusal(source),
        StoreError::Manifest(ManifestError::Missing { .. }) | StoreError::NotADirectory { .. } => code::NOT_THERE,
        error if error.is_not_found() => code::NOT_THERE,
        _ => code::FAILED,
    }
}

fn gate(error: &GateError) -> u8 {
    match error {
        error if error.is_not_found() => code::NOT_THERE,
        GateError::Changed { .. } => code::VERIFICATION,
        GateError::Policy { source, .. } => refusal(source),
        _ => code::FAILED,
    }
}

fn admit(error: &AdmitError) -> u8 {
    match error {
        AdmitError::Policy { source, .. } => refusal(source),
        AdmitError::Unverified(UnverifiedError::Keyring(error)) => keyring(error),
        AdmitError::Raised { .. }
        | AdmitError::Unverified(_)
        | AdmitError::Limited { .. }
        | AdmitError::Revoked { .. }
        | AdmitError::SignerMissing { .. }
        | AdmitError::SignerChanged { .. } => code::VERIFICATION,
        _ => code::FAILED,
    }
}

fn refusal(refusal: &Refusal) -> u8 {
    if refusal.is_verification() { code::VERIFICATION } else { code::FAILED }
}

fn pack(error: &PackError) -> u8 {
    match error {
        PackError::Manifest { source, .. } if matches!(**source, ManifestError::Missing { .. }) => code::NOT_THERE,
        _ => code::FAILED,
    }
}

fn unpack(_: &UnpackError) -> u8 {
    code::FAILED
}

fn verify_package(error: &VerifyPackageError) -> u8 {
    match error {
        VerifyPackageError::Source(error) => source(error),
        VerifyPackageError::Keyring(error) => keyring(error),
        VerifyPackageError::Verify(_) => code::VERIFICATION,
        VerifyPackageError::Package { source, .. } => unpack(source),
        _ => code::FAILED,
    }
}
