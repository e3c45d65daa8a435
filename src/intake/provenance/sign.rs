//! Makes a provenance: finds the key to sign with, and signs with its secret part or through GnuPG.
//!
//! Whatever comes out has been verified by the same code that verifies everybody's.

use std::fmt;
use std::io;
use std::time::SystemTime;

use sequoia_openpgp as openpgp;

use openpgp::cert::amalgamation::key::PrimaryKey as _;
use openpgp::crypto::Password;
use openpgp::packet::Packet;
use openpgp::packet::key::{SecretKeyMaterial, SecretParts, UnspecifiedRole};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::{Key, UserID};
use openpgp::serialize::MarshalInto;
use openpgp::types::{HashAlgorithm, RevocationStatus, SignatureType};
use openpgp::{Cert, Fingerprint};

use super::checker::{self, SignatureChecker, SignatureProblem};
use super::gpg::{self, GpgError};
use super::keyring::Keyring;
use super::message::{self, Message, MessageError};
use super::{statement, verify};
use crate::digest::Sha256Digest;
use crate::error::{Classified, ErrorKind};
use crate::manifest::Metadata;
use crate::settings::Limits;
use crate::text::Sanitized;

/// A secret that opens a key. It cannot be shown, and its memory is cleared after use.
pub struct Passphrase(Password);

impl Passphrase {
    /// The first line of a file, without its line end, as GnuPG reads such files too.
    pub fn first_line(bytes: &[u8]) -> Self {
        let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
        Self(line.strip_suffix(b"\r").unwrap_or(line).into())
    }
}

impl From<String> for Passphrase {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// A key to sign with.
#[derive(Debug, Clone)]
pub struct SigningKey {
    cert: Cert,
    key: Fingerprint,
    user_id: String,
    here: bool,
    /// What GnuPG is to open the key with, where it is not to ask.
    given: Option<Password>,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// No key fits what the user asked for.
    #[error("no key in {keyring} fits `{}`: give its fingerprint, its key id, an e-mail address or a part of a user id", Sanitized(.selector))]
    NotFound {
        /// What the user asked for.
        selector: String,
        /// The keyring that was searched.
        keyring: String,
    },
    /// Several keys fit.
    #[error("several keys in {keyring} could sign: name one of them with `--key KEY`: {}", .candidates.join(", "))]
    Ambiguous {
        /// The keyring that was searched.
        keyring: String,
        /// The keys, safe to show: fingerprint and user id.
        candidates: Vec<String>,
    },
    /// No key can sign.
    #[error("no key in {keyring} can sign: {}", .reasons.join("; "))]
    Unusable {
        /// The keyring that was searched.
        keyring: String,
        /// A reason for each key, safe to show.
        reasons: Vec<String>,
    },
    /// Neither the keyring nor GnuPG has the secret part.
    #[error(
        "neither {keyring} nor GnuPG holds the secret part of {key}: name a file with it by `--keyring`, or import it into GnuPG"
    )]
    NoSecret {
        /// The keyring that was searched.
        keyring: String,
        /// The keys, safe to show.
        key: String,
    },
    /// GnuPG was needed and failed.
    #[error("cannot sign through GnuPG")]
    Gpg {
        /// Why.
        #[from]
        source: GpgError,
    },
    /// There is no passphrase.
    #[error("cannot get the passphrase for {key}: give it with `--passphrase-file FILE` (`-` is standard input)")]
    Passphrase {
        /// The key, safe to show.
        key: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The passphrase is another.
    #[error("the passphrase does not open the key {key}")]
    WrongPassphrase {
        /// The key, safe to show.
        key: String,
    },
    /// The OpenPGP library could not sign.
    #[error("cannot sign with {key}: {detail}")]
    Library {
        /// The key, safe to show.
        key: String,
        /// What the library says.
        detail: String,
    },
    /// What was made is no message that we would read.
    #[error("what was signed cannot be read back")]
    Unreadable {
        /// Why.
        #[source]
        source: MessageError,
    },
    /// What was made would not verify.
    #[error("what was signed does not verify: {}", .reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    DoesNotVerify {
        /// Why.
        reasons: Vec<SignatureProblem>,
    },
    /// GnuPG signed another text.
    #[error("GnuPG signed another text than it was given; look for options in `gpg.conf` that change it")]
    OtherText,
}

impl Classified for SignError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }
}

/// A certificate that fits, and the key in it that would sign.
struct KeyCandidate {
    cert: Cert,
    user_id: String,
    /// The keys that may sign, the best first, each with whether its secret part is here.
    keys: Result<Vec<(Fingerprint, bool)>, SignatureProblem>,
}

/// Why a key cannot sign now, in words. What would accept its old signatures makes no new ones.
fn unusable_reason(reason: &SignatureProblem) -> String {
    match reason {
        SignatureProblem::KeyExpired { key, at } | SignatureProblem::KeyExpiredBefore { key, at } => {
            format!("the key {key} expired on {at}; its owner can prolong it with `gpg --quick-set-expire {key} 1y`")
        }
        reason => reason.to_string(),
    }
}

impl SigningKey {
    /// Finds the key in `keyring` that `selector` names, or the only one that can sign.
    ///
    /// A selector is a fingerprint or key id (`0x` may stand before it), an e-mail address or a part of a user id; an exact
    /// address or user id wins over parts. Keys whose secret part is in the keyring win over those that GnuPG must have.
    ///
    /// # Errors
    /// [`SignError::NotFound`], [`SignError::Ambiguous`], [`SignError::Unusable`], [`SignError::NoSecret`], and
    /// [`SignError::Gpg`] where GnuPG had to be asked.
    pub fn find(keyring: &Keyring, selector: Option<&str>) -> Result<Self, SignError> {
        let policy = SignatureChecker::new(false);
        let place = keyring.describe();
        let fitting = match selector {
            Some(selector) => {
                let selector = selector.trim();
                let fitting = fitting(keyring, selector);
                if fitting.is_empty() {
                    return Err(SignError::NotFound { selector: selector.to_owned(), keyring: place });
                }
                fitting
            }
            None => keyring.certs().into_iter().map(|cert| (cert, None)).collect(),
        };
        let (mut usable, mut reasons) = (Vec::new(), Vec::new());
        for (cert, only) in fitting {
            let candidate = candidate(cert, only.as_ref(), keyring, &policy);
            match &candidate.keys {
                Ok(_) => usable.push(candidate),
                Err(reason) => reasons.push(format!("{}: {}", candidate.describe(), unusable_reason(reason))),
            }
        }
        if usable.is_empty() {
            return Err(SignError::Unusable { keyring: place, reasons });
        }
        let here: Vec<_> = usable.iter().filter_map(|candidate| candidate.choose(|_, here| here)).collect();
        let found = if here.is_empty() {
            let agent = gpg::secret_keys()?;
            let found: Vec<_> =
                usable.iter().filter_map(|candidate| candidate.choose(|key, _| agent.contains(key))).collect();
            if found.is_empty() {
                let key = usable.iter().map(KeyCandidate::describe).collect::<Vec<_>>().join(", ");
                return Err(SignError::NoSecret { keyring: place, key });
            }
            found
        } else {
            here
        };
        match <[_; 1]>::try_from(found) {
            Ok([key]) => Ok(key),
            Err(several) => {
                Err(SignError::Ambiguous { keyring: place, candidates: several.iter().map(Self::describe).collect() })
            }
        }
    }

    /// The fingerprint of the certificate, upper-case hexadecimal.
    pub fn fingerprint(&self) -> String {
        self.cert.fingerprint().to_hex()
    }

    /// The primary user id of the certificate, not yet safe to show.
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// Whether GnuPG will sign, since the keyring holds the public part alone.
    pub fn is_in_gnupg(&self) -> bool {
        !self.here
    }

    /// Hands GnuPG the passphrase of a key of its own, which its agent would ask for on the terminal.
    #[must_use]
    pub fn with_passphrase(self, passphrase: Passphrase) -> Self {
        Self { given: Some(passphrase.0), ..self }
    }

    /// The key for messages, safe to show.
    pub fn describe(&self) -> String {
        describe(&self.cert, &self.user_id)
    }

    /// The secret part, opened with a passphrase where it needs one.
    fn open(
        &self,
        passphrase: &mut dyn FnMut(&str) -> io::Result<Passphrase>,
    ) -> Result<Key<SecretParts, UnspecifiedRole>, SignError> {
        let library = |detail: String| SignError::Library { key: self.describe(), detail };
        let mut keys = self.cert.keys().secret();
        let key = keys
            .find(|ka| ka.key().fingerprint() == self.key)
            .ok_or_else(|| library("its secret part is gone".to_owned()))?;
        let key = key.key().clone();
        if !key.secret().is_encrypted() {
            return Ok(key);
        }
        let given = passphrase(&format!("passphrase for {}", self.describe()))
            .map_err(|source| SignError::Passphrase { key: self.describe(), source })?;
        key.decrypt_secret(&given.0).map_err(|_| SignError::WrongPassphrase { key: self.describe() })
    }
}

impl KeyCandidate {
    /// The first of its keys that `fits` takes.
    fn choose(&self, fits: impl Fn(&Fingerprint, bool) -> bool) -> Option<SigningKey> {
        let (key, here) = self.keys.as_ref().ok()?.iter().find(|(key, here)| fits(key, *here))?;
        Some(SigningKey {
            cert: self.cert.clone(),
            key: key.clone(),
            user_id: self.user_id.clone(),
            here: *here,
            given: None,
        })
    }

    fn describe(&self) -> String {
        describe(&self.cert, &self.user_id)
    }
}

fn describe(cert: &Cert, user_id: &str) -> String {
    format!("{} {}", cert.fingerprint().to_hex(), Sanitized(user_id)).trim_end().to_owned()
}

/// Writes and signs the provenance of a package. `passphrase` is asked where the key needs one, with a text that says for what.
///
/// # Errors
/// See [`SignError`].
pub fn sign(
    metadata: &Metadata,
    file_name: &str,
    digest: &Sha256Digest,
    key: &SigningKey,
    passphrase: &mut dyn FnMut(&str) -> io::Result<Passphrase>,
) -> Result<Vec<u8>, SignError> {
    let text = statement::write(metadata, file_name, digest);
    let provenance =
        if key.here { sign_here(&text, key, passphrase)? } else { gpg::clearsign(&key.key, &text, key.given.as_ref())? };

    let message = Message::read(&provenance, &Limits::default()).map_err(|source| SignError::Unreadable { source })?;
    if message.text() != message::canonical(&text) {
        return Err(SignError::OtherText);
    }
    let keyring = Keyring::of(std::slice::from_ref(&key.cert));
    verify::check(&message, &keyring, &SignatureChecker::new(false))
        .map_err(|reasons| SignError::DoesNotVerify { reasons })?;
    Ok(provenance)
}

fn sign_here(
    text: &str,
    key: &SigningKey,
    passphrase: &mut dyn FnMut(&str) -> io::Result<Passphrase>,
) -> Result<Vec<u8>, SignError> {
    let secret = key.open(passphrase)?;
    let signed = || -> openpgp::Result<Vec<u8>> {
        let mut pair = secret.into_keypair()?;
        let signature = SignatureBuilder::new(SignatureType::Text)
            .set_hash_algo(HashAlgorithm::SHA512)
            .set_signature_creation_time(SystemTime::now())?
            .sign_message(&mut pair, message::canonical(text).replace('\n', "\r\n"))?;
        Packet::from(signature).to_vec()
    };
    let packet = signed().map_err(|e| SignError::Library { key: key.describe(), detail: checker::detail(&e) })?;
    Ok(message::write(text, "SHA512", &packet).into_bytes())
}

/// The certificates that a selector names. Where it names a key of one, that key alone is meant.
fn fitting(keyring: &Keyring, selector: &str) -> Vec<(Cert, Option<Fingerprint>)> {
    let certs = keyring.certs();
    if let Some(digits) = key_digits(selector) {
        let by_key: Vec<_> = certs
            .iter()
            .filter_map(|cert| {
                let key = cert.keys().map(|ka| ka.key().fingerprint()).find(|key| names(&digits, key))?;
                // The primary key's name stands for the whole certificate.
                let only = (key != cert.fingerprint()).then_some(key);
                Some((cert.clone(), only))
            })
            .collect();
        if !by_key.is_empty() {
            return by_key;
        }
    }
    let lower = selector.to_lowercase();
    let with = |fits: &dyn Fn(&UserID) -> bool| -> Vec<_> {
        certs.iter().filter(|cert| user_ids(cert).iter().any(fits)).map(|cert| (cert.clone(), None)).collect()
    };
    let text = |user_id: &UserID| String::from_utf8_lossy(user_id.value()).to_lowercase();
    let exact = with(&|user_id| {
        let address = user_id.email().ok().flatten().map(str::to_lowercase);
        text(user_id) == lower || address.is_some_and(|address| address == lower.trim_matches(['<', '>']))
    });
    if exact.is_empty() && !lower.is_empty() { with(&|user_id| text(user_id).contains(&lower)) } else { exact }
}

/// The user ids that a certificate's owner confirms and has not revoked.
fn user_ids(cert: &Cert) -> Vec<UserID> {
    let policy = SignatureChecker::new(false);
    let valid = cert.userids().filter(|user_id| {
        user_id.binding_signature(policy.standard(), None).is_ok()
            && !matches!(user_id.revocation_status(policy.standard(), None), RevocationStatus::Revoked(_))
    });
    valid.map(|user_id| user_id.userid().clone()).collect()
}

/// The digits of a fingerprint or key id: 8, 16, 40 or 64 hexadecimal ones, which may come with `0x` before them, an exclamation
/// mark behind them, and spaces between them as GnuPG shows them.
pub(super) fn key_digits(selector: &str) -> Option<String> {
    let digits: String = selector.chars().filter(|c| *c != ' ').collect();
    let digits = digits.strip_suffix('!').unwrap_or(&digits);
    let digits = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).unwrap_or(digits);
    let known = matches!(digits.len(), 8 | 16 | 40 | 64) && digits.chars().all(|c| c.is_ascii_hexdigit());
    known.then(|| digits.to_ascii_uppercase())
}

/// Whether these digits are the fingerprint of `key` or its key id: the last digits up to version 4, the first ones since.
pub(super) fn names(digits: &str, key: &Fingerprint) -> bool {
    let fingerprint = key.to_hex();
    match key {
        Fingerprint::V4(_) => fingerprint.ends_with(digits),
        _ => fingerprint == digits || (digits.len() == 16 && fingerprint.starts_with(digits)),
    }
}

/// Which keys of `cert` may sign now: subkeys before the primary key, the newest first. `only` names one of them.
fn candidate(cert: Cert, only: Option<&Fingerprint>, keyring: &Keyring, policy: &SignatureChecker) -> KeyCandidate {
    let (user_id, keys) = match policy.usable(&cert, keyring) {
        Err(reason) => (
            user_ids(&cert).first().map(|id| String::from_utf8_lossy(id.value()).into_owned()).unwrap_or_default(),
            Err(reason),
        ),
        Ok(valid) => {
            let mut keys = Vec::new();
            let mut reason = None;
            for ka in cert.keys().filter(|ka| only.is_none_or(|only| ka.key().fingerprint() == *only)) {
                let signing = policy.may_sign(&valid, &ka).and_then(|signing| match policy.expired(&valid, &signing) {
                    Some(reason) => Err(reason),
                    None => Ok(()),
                });
                match signing {
                    Ok(()) => keys.push((
                        ka.primary(),
                        std::cmp::Reverse(ka.key().creation_time()),
                        ka.key().fingerprint(),
                        is_here(&cert, &ka.key().fingerprint()),
                    )),
                    // What an encryption subkey cannot do is no news.
                    Err(SignatureProblem::CannotSign { .. }) if reason.is_some() => {}
                    Err(other) => reason = Some(other),
                }
            }
            keys.sort_by_key(|(primary, newest, ..)| (*primary, *newest));
            let keys: Vec<_> = keys.into_iter().map(|(_, _, key, here)| (key, here)).collect();
            let none = reason.unwrap_or_else(|| SignatureProblem::CannotSign { key: cert.fingerprint().to_hex() });
            (checker::user_id(&valid), if keys.is_empty() { Err(none) } else { Ok(keys) })
        }
    };
    KeyCandidate { cert, user_id, keys }
}

/// Whether the secret part of a key is really in the certificate: GnuPG writes stubs for keys that are offline or on a card.
fn is_here(cert: &Cert, key: &Fingerprint) -> bool {
    cert.keys().secret().filter(|ka| ka.key().fingerprint() == *key).any(|ka| match ka.key().secret() {
        SecretKeyMaterial::Unencrypted(_) => true,
        SecretKeyMaterial::Encrypted(encrypted) => encrypted.s2k().is_supported(),
    })
}
