//! Where a package comes from: the signed message beside it, the keys that may sign, the policy, and the one place that turns
//! a [`crate::intake::package::FetchedPackage`] into a [`VerifiedPackage`].
//!
//! | file | what it decides |
//! |---|---|
//! | `message` | the outer form: one cleartext-signed block, read in one way only |
//! | `statement` | what the signed text says: name, version, files and digests |
//! | `keyring`, `keybox` | which keys there are |
//! | `signers` | whose they are, and whether they may sign today |
//! | `checker` | which signatures count |
//! | `verify` | the order of all of that, and what a failure is called |
//! | `sign`, `gpg` | making a provenance, with a key at hand or through GnuPG |
//! | `ssh` | SSH signatures of git tags and commits |
//! | `armor`, `packets` | OpenPGP's encodings, as far as they are needed before the OpenPGP library |
//!
//! Whom a user trusts for which plugin, and where the keys come from, is decided elsewhere.

use std::fmt;

use crate::digest::Sha256Digest;
use crate::intake::package::FetchedPackage;
use crate::text::Sanitized;

mod armor;
mod checker;
mod gpg;
mod keybox;
mod keyring;
mod message;
mod packets;
mod sign;
mod signers;
mod ssh;
mod statement;
mod verify;

/// Reads `data` as an SSH signature, for the fuzz targets: see [`crate::intake::source::read_foreign`].
#[doc(hidden)]
pub fn read_foreign(data: &[u8]) {
    ssh::read_foreign(data);
}

#[cfg(test)]
mod tests;

pub use armor::ArmorError;
pub use checker::SignatureProblem;
pub use gpg::GpgError;
pub use keybox::KeyboxError;
pub use keyring::{Keyring, KeyringError};
pub use message::{Message, MessageError};
pub use packets::FramingError;
pub use sign::{Passphrase, SignError, SigningKey, sign};
pub use signers::{FullFingerprint, NotAFingerprint, Signer, SignerState};
pub use ssh::SshError;
pub use statement::StatementError;
pub use verify::{Alternatives, Instead, Requirement, VerifyError, verify};
pub(crate) use verify::{check_provenance, expect_digest};

/// A package that may be staged, with the reason why.
///
/// Only this module makes one: so no path through the program can forget to ask.
#[derive(Debug)]
pub struct VerifiedPackage {
    fetched: FetchedPackage,
    evidence: Evidence,
    /// The name and version that a signature covers, where one does.
    signed: Option<(String, String)>,
}

/// Why a package is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// A key of the keyring signed its digest.
    Signature(Signature),
    /// The user, a lock file or an index named its digest.
    Digest(Sha256Digest),
    /// The user said `--verify=false`.
    Skipped,
}

/// A valid signature and what it says. It is shown as `user id (fingerprint)`, safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The fingerprint of the certificate (primary key), upper-case hexadecimal.
    pub fingerprint: String,
    /// The primary user id of the certificate, not yet safe to show.
    pub user_id: String,
    /// The fingerprint of the key that signed, where it is a subkey.
    pub subkey: Option<String>,
    /// When it was signed.
    pub signed_at: jiff::Timestamp,
    /// Whether the key has expired since, which the user allowed.
    pub key_expired: bool,
    /// The name under which the digest stands in the provenance, where it is not the file's own.
    pub other_name: Option<String>,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.user_id {
            "" => f.pad(&self.fingerprint),
            user_id => write!(f, "{} ({})", Sanitized(user_id), self.fingerprint),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature(signature) => write!(f, "signed by {signature}"),
            Self::Digest(digest) => write!(f, "by digest sha256:{digest}"),
            Self::Skipped => f.write_str("not verified"),
        }
    }
}

impl VerifiedPackage {
    /// Why the package is trusted.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The name and version that a signature covers, where one does; not yet safe to show.
    pub fn signed_as(&self) -> Option<(&str, &str)> {
        self.signed.as_ref().map(|(name, version)| (name.as_str(), version.as_str()))
    }

    /// The package.
    pub fn fetched(&self) -> &FetchedPackage {
        &self.fetched
    }

    /// Gives the package away, for whoever keeps its files.
    pub fn into_fetched(self) -> FetchedPackage {
        self.fetched
    }
}
