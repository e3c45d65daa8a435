//! Why a package could not be had from a registry.

use std::io;
use std::path::PathBuf;

use crate::digest::Sha256Digest;
use crate::error::{Classified, ErrorKind};
use crate::intake::source::http::ServerMessage;

/// Why a package could not be had from a registry, beyond what HTTP says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OciError {
    /// A manifest or list is not as the specification has it.
    #[error("the registry's answer for `{reference}` cannot be used: {reason}")]
    Manifest {
        /// The reference.
        reference: String,
        /// What is wrong, safe to show.
        reason: String,
    },
    /// Another artifact is under the tag that was to be pushed.
    #[error("`{reference}` holds other bytes already (sha256:{found}): push a new version, or replace it with `--force`")]
    Taken {
        /// The reference.
        reference: String,
        /// The digest of the manifest that is there.
        found: Sha256Digest,
    },
    /// The artifact is something else.
    #[error("`{reference}` is no plugin: its type is `{found}`, and a plugin's is `{expected}`; check the reference")]
    ArtifactType {
        /// The reference.
        reference: String,
        /// Its type, safe to show.
        found: String,
        /// A plugin's type.
        expected: &'static str,
    },
    /// None of the layers is the package.
    #[error("`{reference}` holds no package: one layer must be titled `{expected}`, and the titles are {titles}")]
    NoPackage {
        /// The reference.
        reference: String,
        /// How the package must be called.
        expected: String,
        /// How the layers are called, safe to show.
        titles: String,
    },
    /// Several layers could be the package or its provenance.
    #[error("`{reference}` is ambiguous: several layers are titled like `{title}`; ask its author to push it anew")]
    Ambiguous {
        /// The reference.
        reference: String,
        /// One of the titles.
        title: String,
    },
    /// Nothing for this platform.
    #[error("`{reference}` has nothing for {platform}; it has {known}")]
    Platform {
        /// The reference.
        reference: String,
        /// Ours.
        platform: String,
        /// Those that it is there for, safe to show.
        known: String,
    },
    /// Bytes that are not those that were named.
    #[error("{what} is not what it should be: expected sha256:{expected}, got sha256:{actual}")]
    Digest {
        /// What was fetched, safe to show.
        what: String,
        /// The digest that was named.
        expected: Sha256Digest,
        /// The digest that it has.
        actual: Sha256Digest,
    },
    /// Another number of bytes than was named.
    #[error("{what} is not what it should be: expected {expected} bytes, got {actual}")]
    Size {
        /// What was fetched, safe to show.
        what: String,
        /// The size that was named.
        expected: u64,
        /// The size that it has.
        actual: u64,
    },
    /// The registry knows nothing of that name.
    #[error(
        "`{reference}` is not there: its registry has no such repository; check the reference, and the credentials where it is private"
    )]
    NoRepository {
        /// The reference.
        reference: String,
    },
    /// More bytes than were named, however many.
    #[error("{what} is not what it should be: expected {expected} bytes, and there are more")]
    Longer {
        /// What was fetched, safe to show.
        what: String,
        /// The size that was named.
        expected: u64,
    },
    /// A tag or range that nothing fits.
    #[error("`{reference}` has no version `{version}`; {nearest}")]
    UnknownVersion {
        /// The reference.
        reference: String,
        /// The version that was asked for, safe to show.
        version: String,
        /// The nearest versions that there are, as a sentence.
        nearest: String,
    },
    /// The registry wants to know who asks, and nobody told us what to say.
    #[error(
        "the registry of `{reference}` asks who you are (HTTP {status}){said}; it is private, or not there under this name: check \
         the spelling, log in with `docker login {registry}`, or give `--username` and `--password-stdin`"
    )]
    Unknown {
        /// The reference.
        reference: String,
        /// The registry.
        registry: String,
        /// 401 or 403.
        status: u16,
        /// What the registry says about it.
        said: ServerMessage,
    },
    /// The registry knows who asks, and refuses.
    #[error(
        "the registry of `{reference}` refuses {login} (HTTP {status}){said}; check the spelling, the password, and what that user \
         may do there"
    )]
    Refused {
        /// The reference.
        reference: String,
        /// Whose credentials they are.
        login: &'static str,
        /// 401 or 403.
        status: u16,
        /// What the registry says about it.
        said: ServerMessage,
    },
    /// The registry sends us for a token to somebody who may not see its credentials.
    #[error(
        "the registry `{registry}` asks to send its user name and password to `{realm}`, which is not its own; where that is \
         right, set `registries.{registry}.tokenHosts: [{host}]` in config.yaml"
    )]
    TokenHost {
        /// The registry.
        registry: String,
        /// The realm, safe to show.
        realm: String,
        /// Its host.
        host: String,
    },
    /// The registry wants to be asked in a way that we do not know.
    #[error("the registry `{registry}` asks for credentials in a way that is not known: {reason}")]
    Challenge {
        /// The registry.
        registry: String,
        /// What is wrong, safe to show.
        reason: String,
    },
    /// Docker's credential file cannot be used.
    #[error("cannot use the credential file `{}`; mend it, or point DOCKER_CONFIG elsewhere", path.display())]
    CredentialFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A credential helper failed.
    #[error("the credential helper `{helper}` failed: {reason}; run it by hand, or log in anew")]
    Helper {
        /// The helper's program.
        helper: String,
        /// How, safe to show.
        reason: String,
        /// Why it could not be run, where it could not.
        #[source]
        source: Option<io::Error>,
    },
}

impl Classified for OciError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownVersion { .. } | Self::NoRepository { .. } => ErrorKind::NotFound,
            Self::Digest { .. } | Self::Size { .. } | Self::Longer { .. } => ErrorKind::Unverified,
            Self::Manifest { .. }
            | Self::Taken { .. }
            | Self::ArtifactType { .. }
            | Self::NoPackage { .. }
            | Self::Ambiguous { .. }
            | Self::Platform { .. }
            | Self::Unknown { .. }
            | Self::Refused { .. }
            | Self::TokenHost { .. }
            | Self::Challenge { .. }
            | Self::CredentialFile { .. }
            | Self::Helper { .. } => ErrorKind::Failed,
        }
    }
}
