//! Where a package comes from: the signed message beside it, the keys that may sign, the policy, and the one place that turns
//! a [`crate::package::Fetched`] into a [`Verified`].

use crate::digest::Sha256Digest;
use crate::package::Fetched;

/// A package that may be staged, with the reason why.
///
/// Only this module makes one: so no path through the program can forget to ask.
#[derive(Debug)]
pub struct Verified {
    fetched: Fetched,
    evidence: Evidence,
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

/// A valid signature and what it says.
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
