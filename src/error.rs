//! What kind of failure an error is. Each error is classified once, where it is defined.
//!
//! An error that wraps another one takes over its kind. The command line turns a kind into an exit code, the audit log into the event that it
//! records; both match on every kind, so a new kind is a question to both.

use crate::manifest::ManifestError;

/// What a failure means to whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// It failed, for a reason that only the message tells.
    Failed,
    /// What was asked for is not valid.
    Usage,
    /// A file, URL, version or key that was named does not exist.
    NotFound,
    /// The plugin that was named is not installed, so there was nothing to work on.
    NotInstalled,
    /// A server cannot be reached or has trouble: another attempt may succeed.
    Unavailable,
    /// A package or a plugin is not verified: its signature, digest or provenance is missing or says something else.
    Unverified,
    /// The keyring that was named to verify with does not exist.
    KeyringNotFound,
    /// The server that has the provenance or checksums of a package cannot be reached or has trouble, so nothing is verified.
    ProofUnavailable,
    /// A key or a file is not the one that was expected, and no package was being verified.
    Mismatch,
    /// The gate refuses a plugin because its files are not as they were installed.
    ChangedFiles,
    /// The gate refuses a plugin because other users may change its files, or own them.
    UnsafeFiles,
    /// A policy refuses what something is or where it comes from.
    Policy,
    /// A policy refuses how something is verified.
    PolicyVerification,
}

impl ErrorKind {
    /// The kind of the same error in the middle of an operation, which was begun in the belief that the plugin is installed.
    pub(crate) fn once_begun(self) -> Self {
        if self == Self::NotInstalled { Self::NotFound } else { self }
    }

    /// The kind of the failure to get what a package is verified by, if the request for it failed in this way.
    pub(crate) fn of_proof(self) -> Self {
        if self == Self::Unavailable { Self::ProofUnavailable } else { Self::Unverified }
    }
}

/// An error that knows its kind.
pub trait Classified: std::error::Error {
    /// What kind of failure it is.
    fn kind(&self) -> ErrorKind;
}

impl Classified for ManifestError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } => ErrorKind::NotFound,
            // Of another crate, which says in each message what is wrong with the file: that makes no difference here.
            _ => ErrorKind::Failed,
        }
    }
}
