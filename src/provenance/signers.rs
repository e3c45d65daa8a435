//! Whose keys a keyring holds, as far as people ask: who they are, whether they may sign today, and which one a fingerprint or
//! an e-mail address means. The answer to "does this signature count" is [`super::policy`]'s alone.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use sequoia_openpgp::Cert;
use sequoia_openpgp::packet::UserID;
use serde::{Serialize, Serializer};

use super::keyring::Keyring;
use super::policy::{Policy, Reason};
use super::sign::{key_digits, names};

/// A certificate of a keyring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signer {
    /// The fingerprint of its primary key, upper-case hexadecimal.
    pub fingerprint: String,
    /// All its user ids, not yet safe to show; whether the owner confirms them is not asked.
    pub user_ids: Vec<String>,
    /// When its primary key was made.
    #[serde(serialize_with = "as_text")]
    pub created: Timestamp,
    /// When its last signing key expires, or did.
    #[serde(serialize_with = "as_optional_text")]
    pub expires: Option<Timestamp>,
    /// Whether its signatures count.
    pub state: SignerState,
    /// Why they do not.
    pub problem: Option<String>,
}

/// Whether the signatures of a certificate count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SignerState {
    /// They do.
    Valid,
    /// It has expired: they count only where the user allows it.
    Expired,
    /// It is revoked: they never count.
    Revoked,
    /// It is too weak, may not sign, or does not confirm itself: they never count.
    Unusable,
}

impl SignerState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Unusable => "unusable",
        }
    }
}

/// A whole fingerprint: shorter ids can be forged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullFingerprint(String);

/// What is no whole fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a whole fingerprint, 40 or 64 hexadecimal digits, as `gpg --fingerprint` shows it")]
pub struct NotAFingerprint;

impl FromStr for FullFingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let digits = key_digits(text.trim()).filter(|digits| matches!(digits.len(), 40 | 64));
        digits.map(Self).ok_or(NotAFingerprint)
    }
}

impl fmt::Display for FullFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FullFingerprint {
    /// Upper-case hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Keyring {
    /// Whose keys they are, in the order of the keyring.
    pub fn signers(&self) -> Vec<Signer> {
        let policy = Policy::new(false);
        self.certs().iter().map(|cert| signer(cert, self, &policy)).collect()
    }

    /// The certificates that `selector` means: the fingerprint or key id of one of their keys, or else a whole user id or the
    /// e-mail address in one.
    pub fn select(&self, selector: &str) -> Vec<Signer> {
        let policy = Policy::new(false);
        let certs = self.certs();
        let with = |fits: &dyn Fn(&Cert) -> bool| -> Vec<_> {
            certs.iter().filter(|cert| fits(cert)).map(|cert| signer(cert, self, &policy)).collect()
        };
        let selector = selector.trim();
        if let Some(digits) = key_digits(selector) {
            let by_key = with(&|cert| cert.keys().any(|ka| names(&digits, &ka.key().fingerprint())));
            if !by_key.is_empty() {
                return by_key;
            }
        }
        let lower = selector.to_lowercase();
        let address = lower.trim_matches(['<', '>']);
        let fits = |user_id: &UserID| {
            let own = user_id.email().ok().flatten().map(str::to_lowercase);
            text(user_id).to_lowercase() == lower || own.is_some_and(|own| own == address)
        };
        if address.is_empty() { Vec::new() } else { with(&|cert| cert.userids().any(|user| fits(user.userid()))) }
    }
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

fn as_optional_text<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(serializer)
}

fn text(user_id: &UserID) -> String {
    String::from_utf8_lossy(user_id.value()).into_owned()
}

fn signer(cert: &Cert, keyring: &Keyring, policy: &Policy) -> Signer {
    let (expires, problem) = policy.signing_life(cert, keyring);
    let state = match &problem {
        None => SignerState::Valid,
        Some(Reason::KeyExpired { .. }) => SignerState::Expired,
        Some(Reason::Revoked { .. }) => SignerState::Revoked,
        Some(_) => SignerState::Unusable,
    };
    // The reason of an expiry speaks of a signature, and there is none here.
    let problem = match (&problem, expires) {
        (Some(Reason::KeyExpired { key, .. }), Some(end)) => Some(format!("the key {key} expired on {end}")),
        (problem, _) => problem.as_ref().map(ToString::to_string),
    };
    Signer {
        fingerprint: cert.fingerprint().to_hex(),
        user_ids: cert.userids().map(|user| text(user.userid())).collect(),
        created: Timestamp::try_from(cert.primary_key().key().creation_time()).unwrap_or(Timestamp::MAX),
        expires,
        state,
        problem,
    }
}
