//! What a command ends with when it fails: the one place that turns the library's errors into exit codes and hints.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::output::{self, Output, OutputError};
use plugsmith::error::{Classified, ErrorKind};
use plugsmith::intake::source::similar_paths;
use plugsmith::spelling::did_you_mean;
use plugsmith::text::Sanitized;

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

impl<E: Classified + Send + Sync + 'static> From<E> for CommandFailure {
    fn from(error: E) -> Self {
        Self::new(exit_code(error.kind()), error)
    }
}

/// The exit code for a failure of this `kind`.
fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Failed | ErrorKind::UnsafeFiles | ErrorKind::Policy => code::FAILED,
        ErrorKind::Usage => code::USAGE,
        ErrorKind::Unverified | ErrorKind::Mismatch | ErrorKind::ChangedFiles | ErrorKind::PolicyVerification => {
            code::VERIFICATION
        }
        ErrorKind::NotFound | ErrorKind::NotInstalled | ErrorKind::KeyringNotFound => code::NOT_THERE,
        ErrorKind::Unavailable | ErrorKind::ProofUnavailable => code::UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use plugsmith::intake::provenance::{KeyringError, VerifyError};
    use plugsmith::intake::source::{GitError, HttpError, OciError, SourceError};
    use plugsmith::manager::{
        AdmitError, ChangeError, CreateError, GetError, InfoError, InstallError, LimitError, LockFileError, OwnKeyringError,
        RestoreError, TrustError, UninstallError, UnverifiedError, UpdateError, VerifyInstalledError, VerifyPackageError,
    };
    use plugsmith::manifest::{ManifestError, NameError, PluginName};
    use plugsmith::runtime::{InvokeError, StartError};
    use plugsmith::store::{GateError, NotInstalled, StoreError};

    use super::CommandFailure;

    fn code(error: impl Into<CommandFailure>) -> u8 {
        error.into().code
    }

    fn text() -> String {
        "x".to_owned()
    }

    fn name() -> PluginName {
        PluginName::new("x").unwrap()
    }

    fn invalid_name() -> NameError {
        PluginName::new("/").unwrap_err()
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

    fn changed() -> GateError {
        GateError::Changed { name: text(), differences: Vec::new(), ways_out: text() }
    }

    fn write_refused() -> io::Error {
        io::Error::from(io::ErrorKind::PermissionDenied)
    }

    fn no_version() -> SourceError {
        OciError::UnknownVersion { reference: text(), version: text(), nearest: text() }.into()
    }

    fn status(status: u16) -> HttpError {
        HttpError::Status { url: text(), status, said: plugsmith::intake::source::ServerMessage::default() }
    }

    #[test]
    fn exit_code_of_sources() {
        assert_eq!(code(SourceError::Malformed { argument: text() }), 2);
        assert_eq!(code(SourceError::from(GitError::BadVersion { version: text() })), 2);
        assert_eq!(code(no_version()), 4);
        assert_eq!(code(SourceError::Read { path: "p".into(), source: io::Error::from(io::ErrorKind::NotFound) }), 4);
        assert_eq!(code(SourceError::Read { path: "p".into(), source: write_refused() }), 1);
        assert_eq!(code(SourceError::from(GitError::Empty { url: text() })), 4);
        assert_eq!(code(SourceError::from(GitError::Timeout { url: text(), seconds: 1 })), 5);
        assert_eq!(code(SourceError::from(GitError::WhoAsks { url: text() })), 1);
        assert_eq!(code(SourceError::from(GitError::TagName { reference: text(), own: text() })), 3);
        assert_eq!(code(SourceError::from(OciError::Size { what: text(), expected: 1, actual: 2 })), 3);
        assert_eq!(code(SourceError::from(status(500))), 5);
        assert_eq!(code(SourceError::from(status(418))), 1);
        assert_eq!(code(SourceError::ProvenanceFailing { at: text(), status: 500 }), 5);
        assert_eq!(code(SourceError::ProvenanceFailing { at: text(), status: 418 }), 3);
        assert_eq!(code(SourceError::ProvenanceUnreachable { at: text(), source: status(503).into() }), 5);
        assert_eq!(code(SourceError::ProvenanceUnreachable { at: text(), source: status(418).into() }), 3);
        assert_eq!(code(SourceError::ProvenanceForbidden { at: text(), status: 403, logged_in: false }), 3);
        let no_file = Box::new(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(code(SourceError::from(HttpError::TlsFile { path: "p".into(), what: "a key", source: no_file })), 4);
    }

    #[test]
    fn exit_code_of_the_store_and_the_gate() {
        assert_eq!(code(StoreError::from(not_installed())), 4);
        assert_eq!(code(StoreError::NotADirectory { path: "p".into() }), 4);
        assert_eq!(code(StoreError::from(ManifestError::Missing { path: "p".into() })), 4);
        assert_eq!(code(StoreError::Io { action: "read", path: "p".into(), source: write_refused() }), 1);
        assert_eq!(code(StoreError::Verify(empty_provenance())), 3);
        assert_eq!(code(StoreError::PreviousChanged { name: text(), differences: Vec::new(), next: text() }), 3);
        assert_eq!(code(StoreError::NoPrevious { name: text() }), 1);
        assert_eq!(code(GateError::from(not_installed())), 4);
        assert_eq!(code(GateError::from(invalid_name())), 4);
        assert_eq!(code(changed()), 3);
        assert_eq!(code(GateError::WorldWritable { name: text(), path: "p".into() }), 1);
        assert_eq!(code(InfoError::from(StoreError::from(not_installed()))), 4);
    }

    #[test]
    fn exit_code_of_what_comes_in() {
        assert_eq!(code(missing_keyring()), 4);
        assert_eq!(code(KeyringError::TooLarge { path: "k".into() }), 3);
        assert_eq!(code(InstallError::from(missing_keyring())), 4);
        assert_eq!(code(InstallError::from(empty_provenance())), 3);
        assert_eq!(code(InstallError::from(no_version())), 4);
        assert_eq!(code(InstallError::Gate { name: name(), source: changed() }), 3);
        assert_eq!(code(InstallError::Gate { name: name(), source: not_installed().into() }), 4);
        assert_eq!(code(InstallError::from(AdmitError::from(UnverifiedError::from(missing_keyring())))), 4);
        assert_eq!(code(InstallError::from(AdmitError::from(UnverifiedError::from(empty_provenance())))), 3);
        assert_eq!(code(InstallError::from(AdmitError::Revoked { name: text(), signer: text(), revoked: true })), 3);
        let getter = |source| GetError::Getter { plugin: text(), url: text(), source: Box::new(source) };
        let replaced = InvokeError::Start { plugin: name(), source: StartError::Replaced { path: "p".into() } };
        assert_eq!(code(getter(replaced)), 3);
        let missing = InvokeError::Start { plugin: name(), source: StartError::Missing { path: "p".into() } };
        assert_eq!(code(getter(missing)), 1);
        let timed_out = InvokeError::TimedOut { plugin: name() };
        assert_eq!(code(GetError::Provenance { plugin: text(), at: text(), source: timed_out.into() }), 3);
        assert_eq!(code(GetError::Gate { plugin: text(), source: Box::new(changed()) }), 3);
        assert_eq!(code(VerifyPackageError::from(missing_keyring())), 4);
        assert_eq!(code(VerifyPackageError::from(empty_provenance())), 3);
    }

    #[test]
    fn exit_code_of_verbs() {
        let install = || Box::new(InstallError::from(no_version()));
        assert_eq!(code(UpdateError::Unavailable { name: text(), version: text(), source: install() }), 4);
        assert_eq!(code(UpdateError::Older { name: text(), installed: text(), offered: text() }), 1);
        assert_eq!(code(UninstallError::Gate { name: text(), source: changed() }), 3);
        assert_eq!(code(ChangeError::from(StoreError::from(not_installed()))), 4);
        assert_eq!(code(RestoreError::from(no_version())), 4);
        assert_eq!(code(LockFileError::Missing { path: "p".into(), host: text() }), 4);
        assert_eq!(code(LockFileError::TooLarge { path: "p".into() }), 1);
        assert_eq!(code(CreateError::Reserved { name: name(), host: text() }), 2);
        assert_eq!(code(CreateError::Exists { path: "p".into() }), 1);
        assert_eq!(code(TrustError::Unknown { name: text(), host: text(), nearest: Vec::new() }), 4);
        let unknown = || OwnKeyringError::Unknown { selector: text(), path: text(), host: text() };
        assert_eq!(code(unknown()), 4);
        assert_eq!(code(LimitError::from(unknown())), 4);
        assert_eq!(code(OwnKeyringError::OtherKey { from: text(), wanted: text(), found: Vec::new() }), 3);
        assert_eq!(code(OwnKeyringError::from(missing_keyring())), 1);
        assert_eq!(code(VerifyInstalledError::NotThere { name: text(), host: text(), nearest: Vec::new() }), 4);
        assert_eq!(code(VerifyInstalledError::Nothing { name: text(), why: text() }), 3);
        let package = Box::new(VerifyPackageError::from(missing_keyring()));
        assert_eq!(code(VerifyInstalledError::Package { name: text(), source: package }), 4);
    }
}
