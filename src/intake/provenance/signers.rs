//! Whose keys a keyring holds, as far as people ask: who they are, whether they may sign today, and which one a fingerprint or
//! an e-mail address means. The answer to "does this signature count" is [`super::checker`]'s alone.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use sequoia_openpgp::Cert;
use sequoia_openpgp::packet::UserID;
use serde::{Serialize, Serializer};

use super::checker::{SignatureChecker, SignatureProblem};
use super::keyring::Keyring;
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
        let policy = SignatureChecker::new(false);
        self.certs().iter().map(|cert| signer(cert, self, &policy)).collect()
    }

    /// The certificates that `selector` means: the fingerprint or key id of one of their keys, or else a whole user id or the
    /// e-mail address in one.
    pub fn select(&self, selector: &str) -> Vec<Signer> {
        let policy = SignatureChecker::new(false);
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

fn signer(cert: &Cert, keyring: &Keyring, policy: &SignatureChecker) -> Signer {
    let (expires, problem) = policy.signing_life(cert, keyring);
    let state = match &problem {
        None => SignerState::Valid,
        Some(SignatureProblem::KeyExpired { .. }) => SignerState::Expired,
        Some(SignatureProblem::Revoked { .. }) => SignerState::Revoked,
        Some(_) => SignerState::Unusable,
    };
    // The reason of an expiry speaks of a signature, and there is none here.
    let problem = match (&problem, expires) {
        (Some(SignatureProblem::KeyExpired { key, .. }), Some(end)) => Some(format!("the key {key} expired on {end}")),
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn keyring(name: &str) -> Keyring {
        Keyring::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/keys").join(name)).unwrap()
    }

    #[test]
    fn p23_the_state_says_whether_signatures_count() {
        for (name, state, expires) in [
            ("rsa.pgp", SignerState::Valid, None),
            ("sub.pgp", SignerState::Valid, None),
            ("sha1self.pgp", SignerState::Valid, None),
            ("extended.pgp", SignerState::Valid, None),
            ("expiring.pgp", SignerState::Expired, Some("2024-06-01T12:00:00Z")),
            ("subexpiring.pgp", SignerState::Expired, Some("2024-06-01T12:00:00Z")),
            ("revoked.pgp", SignerState::Revoked, None),
            ("subrevoked.pgp", SignerState::Revoked, None),
            ("rsa1024.pgp", SignerState::Unusable, None),
            ("dsa.pgp", SignerState::Unusable, None),
        ] {
            let signers = keyring(name).signers();
            let signer = &signers[0];
            assert_eq!(signer.state, state, "{name}: {:?}", signer.problem);
            assert_eq!(signer.expires.map(|end| end.to_string()).as_deref(), expires, "{name}");
            assert_eq!(signer.problem.is_none(), state == SignerState::Valid, "{name}");
        }
    }

    #[test]
    fn k6_a_selector_names_keys_user_ids_and_addresses_and_nothing_shorter() {
        let keyring = keyring("sub.pgp");
        let fingerprint = "7444A5086AC899084E07CA42DE140300D812217E";
        for selector in [
            fingerprint,
            "7444 A508 6AC8 9908 4E07  CA42 DE14 0300 D812 217E",
            "0xde140300d812217e",
            "D812217E",
            // The signing subkey.
            "ABEC2DAE8331978F",
            "sub@example.org",
            "<SUB@EXAMPLE.ORG>",
            "sub <sub@example.org>",
        ] {
            let selected: Vec<_> = keyring.select(selector).into_iter().map(|signer| signer.fingerprint).collect();
            assert_eq!(selected, [fingerprint], "{selector}");
        }
        for selector in ["", " ", "<>", "sub", "example.org", "@", "12217E", "7444A5086AC899084E07CA42DE140300D812217F"] {
            assert!(keyring.select(selector).is_empty(), "{selector}");
        }
    }

    #[test]
    fn only_a_whole_fingerprint_pins_a_key() {
        for good in ["7444a5086ac899084e07ca42de140300d812217e", " 0x7444 A508 6AC8 9908 4E07  CA42 DE14 0300 D812 217E "] {
            assert_eq!(good.parse::<FullFingerprint>().unwrap().as_str(), "7444A5086AC899084E07CA42DE140300D812217E");
        }
        assert!("A".repeat(64).parse::<FullFingerprint>().is_ok());
        for bad in ["", "D812217E", "DE140300D812217E", "7444A5086AC899084E07CA42DE140300D812217G", &"A".repeat(41)] {
            assert_eq!(bad.parse::<FullFingerprint>(), Err(NotAFingerprint), "{bad}");
        }
    }
}
