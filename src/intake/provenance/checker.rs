//! Which signatures count: the policy, rule by rule.
//!
//! The OpenPGP library's own policy decides about self-signatures, algorithms and critical subpackets; the rules that a
//! provenance adds, or that we hold stricter, are spelled out here. A signature counts if and only if:
//!
//! - it is of version 4 or 6, of type text or binary, and over exactly this text;
//! - its digest is SHA-2 or SHA-3 of 256 bits or more; where there are `Hash:` headers, they name the digests of the message's
//!   signatures and no others;
//! - it says when it was made; that is neither in the future nor before its key was; it has not expired;
//! - its key is in the keyring, in a certificate whose self-signatures hold. There SHA-1 is good enough (as it is for Go's
//!   OpenPGP): nobody but the owner chooses what is signed, so collisions do not help an attacker;
//! - neither the certificate nor the key is revoked, whatever the reason or the date: a thief can choose both;
//! - the key may sign; a subkey also says itself that it belongs to the certificate (the back signature);
//! - RSA keys have 2048 bits or more; DSA is too weak or too rare to be worth its risks;
//! - the key had not expired when it signed, and has not since, unless the user allows the latter.

use std::time::SystemTime;

use sequoia_openpgp as openpgp;

use jiff::Timestamp;
use openpgp::cert::ValidCert;
use openpgp::cert::amalgamation::key::{ErasedKeyAmalgamation, PrimaryKey as _, ValidErasedKeyAmalgamation};
use openpgp::packet::key::PublicParts;
use openpgp::packet::{Packet, Signature};
use openpgp::parse::Parse;
use openpgp::policy::{AsymmetricAlgorithm, HashAlgoSecurity, Policy as _, StandardPolicy};
use openpgp::types::{HashAlgorithm, PublicKeyAlgorithm, SignatureType};
use openpgp::{Cert, KeyHandle, PacketPile};

use super::keyring::Keyring;
use crate::text::Sanitized;

/// Bits of an RSA key.
const MIN_RSA_BITS: usize = 2048;

/// How many of the keys that a signature names are tried. It names one, by fingerprint and by key id; whoever names thousands
/// wants to keep us busy.
const MAX_ISSUERS: usize = 4;

/// What may sign, and the time at which it is asked.
pub(super) struct SignatureChecker {
    standard: StandardPolicy<'static>,
    now: SystemTime,
    allow_expired_key: bool,
}

/// A signature that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ValidSignature {
    /// The certificate's fingerprint, upper-case hexadecimal.
    pub(super) fingerprint: String,
    /// Its primary user id.
    pub(super) user_id: String,
    /// The fingerprint of the subkey that signed, if one did.
    pub(super) subkey: Option<String>,
    /// When it was signed.
    pub(super) signed_at: Timestamp,
    /// Whether the key has expired since.
    pub(super) key_expired: bool,
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureProblem {
    /// The packet cannot be parsed, or has an unknown version.
    #[error("it cannot be read, or is of an unsupported version")]
    Unreadable,
    /// It does not say who made it.
    #[error("it does not name the key that made it")]
    NoIssuer,
    /// The keyring does not hold the key.
    #[error("it was made by the key {issuer}, which is not in the keyring")]
    UnknownSigner {
        /// The fingerprint or key id that it names.
        issuer: String,
    },
    /// It signs something else than a text.
    #[error("it is not a signature of a text but {kind}")]
    WrongType {
        /// What it is.
        kind: String,
    },
    /// Its digest is too weak.
    #[error("its digest algorithm {hash} is not accepted: it must be SHA-2 or SHA-3 of 256 bits or more")]
    WeakDigest {
        /// The algorithm.
        hash: String,
    },
    /// The header above the text names other digests.
    #[error("the `Hash:` header is false: the signature's digest algorithm is {hash}")]
    FalseHashHeader {
        /// The signature's algorithm.
        hash: String,
    },
    /// The header above the text names a digest that no signature has.
    #[error("the `Hash:` header is false: it names a digest algorithm that no signature uses")]
    UnusedHash,
    /// It does not say when it was made.
    #[error("it does not say when it was made")]
    NoTime,
    /// It was made in the future.
    #[error("it was made in the future ({at})")]
    Future {
        /// When it says it was made.
        at: Timestamp,
    },
    /// It has expired.
    #[error("it expired on {at}")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// It was made before its key.
    #[error("it says that it was made before its key {key} was")]
    BeforeKey {
        /// The key's fingerprint.
        key: String,
    },
    /// It is not by this key over this text: one of them has been changed.
    #[error("it does not fit the text: one of them has been changed since {key} signed")]
    Bad {
        /// The key's fingerprint.
        key: String,
    },
    /// The key's algorithm is none that can be checked here.
    #[error(
        "the algorithm of the key {key} cannot be checked by this program ({detail}); ask its owner to sign with RSA or Ed25519"
    )]
    UnsupportedKey {
        /// The key's fingerprint.
        key: String,
        /// What the library says.
        detail: String,
    },
    /// The policy refuses something critical in it.
    #[error("it makes a demand that this program does not know: {detail}")]
    Critical {
        /// What the library says.
        detail: String,
    },
    /// The certificate is revoked.
    #[error("the key {key} is revoked")]
    Revoked {
        /// The fingerprint of the certificate or subkey.
        key: String,
    },
    /// The certificate has no self-signature that holds.
    #[error("the key {key} is not usable: {detail}")]
    NoSelfSignature {
        /// The fingerprint.
        key: String,
        /// What the library says.
        detail: String,
    },
    /// The key may not sign.
    #[error("the key {key} may not sign")]
    CannotSign {
        /// The fingerprint.
        key: String,
    },
    /// The subkey does not say that it belongs to its certificate.
    #[error("the subkey {key} has no valid back signature")]
    NoBackSignature {
        /// The fingerprint.
        key: String,
    },
    /// The key's algorithm or size is too weak.
    #[error("the key {key} is too weak ({algorithm})")]
    WeakKey {
        /// The fingerprint.
        key: String,
        /// Algorithm and size.
        algorithm: String,
    },
    /// The key has expired after it signed.
    #[error("the key {key} expired on {at}, after it signed; `--allow-expired-key` accepts that")]
    KeyExpired {
        /// The fingerprint.
        key: String,
        /// When.
        at: Timestamp,
    },
    /// The key had expired when it signed.
    #[error("the key {key} had expired on {at}, before it signed")]
    KeyExpiredBefore {
        /// The fingerprint.
        key: String,
        /// When.
        at: Timestamp,
    },
}

impl SignatureChecker {
    /// The policy as of now.
    pub(super) fn new(allow_expired_key: bool) -> Self {
        Self::at(SystemTime::now(), allow_expired_key)
    }

    /// The policy as of `now`.
    pub(super) fn at(now: SystemTime, allow_expired_key: bool) -> Self {
        let mut standard = StandardPolicy::new();
        standard.accept_hash_property(HashAlgorithm::SHA1, HashAlgoSecurity::SecondPreImageResistance);
        for weak in [
            AsymmetricAlgorithm::RSA1024,
            AsymmetricAlgorithm::DSA1024,
            AsymmetricAlgorithm::DSA2048,
            AsymmetricAlgorithm::DSA3072,
            AsymmetricAlgorithm::DSA4096,
        ] {
            standard.reject_asymmetric_algo(weak);
        }
        Self { standard, now, allow_expired_key }
    }

    /// The library's part of the policy.
    pub(super) fn standard(&self) -> &StandardPolicy<'static> {
        &self.standard
    }

    /// Judges one signature packet over `bytes`. `hashes` are the algorithms that the message names; none is fine.
    pub(super) fn check(
        &self,
        packet: &[u8],
        bytes: &[u8],
        hashes: &[HashAlgorithm],
        keyring: &Keyring,
    ) -> Result<ValidSignature, SignatureProblem> {
        let signature = parse(packet).ok_or(SignatureProblem::Unreadable)?;
        let signed_at = self.check_signature(&signature, hashes)?;
        let issuers = signature.get_issuers();
        let issuer = issuers.first().ok_or(SignatureProblem::NoIssuer)?;
        let mut reason = None;
        for handle in issuers.iter().take(MAX_ISSUERS) {
            for cert in keyring.find(handle) {
                for ka in cert.keys().filter(|ka| ka.key().key_handle().aliases(handle)) {
                    match self.check_key(&signature, signed_at, bytes, &cert, &ka, keyring) {
                        Ok(valid) => return Ok(valid),
                        // Key ids are short: another key may have the same one. That it did not sign says nothing.
                        Err(SignatureProblem::Bad { .. }) if reason.is_some() => {}
                        Err(other) => reason = Some(other),
                    }
                }
            }
        }
        Err(reason.unwrap_or_else(|| SignatureProblem::UnknownSigner { issuer: issuer.to_hex() }))
    }

    /// The rules that need no key. Gives the time of signing.
    fn check_signature(&self, signature: &Signature, hashes: &[HashAlgorithm]) -> Result<SystemTime, SignatureProblem> {
        if !matches!(signature.typ(), SignatureType::Text | SignatureType::Binary) {
            return Err(SignatureProblem::WrongType { kind: signature.typ().to_string() });
        }
        let hash = signature.hash_algo();
        if !hashes.is_empty() && !hashes.contains(&hash) {
            return Err(SignatureProblem::FalseHashHeader { hash: hash.to_string() });
        }
        if !matches!(
            hash,
            HashAlgorithm::SHA256
                | HashAlgorithm::SHA384
                | HashAlgorithm::SHA512
                | HashAlgorithm::SHA3_256
                | HashAlgorithm::SHA3_512
        ) {
            return Err(SignatureProblem::WeakDigest { hash: hash.to_string() });
        }
        if let Err(e) = self.standard.signature(signature, HashAlgoSecurity::CollisionResistance) {
            return Err(SignatureProblem::Critical { detail: detail(&e) });
        }
        let signed_at = signature.signature_creation_time().ok_or(SignatureProblem::NoTime)?;
        if signed_at > self.now {
            return Err(SignatureProblem::Future { at: timestamp(signed_at) });
        }
        match signature.signature_expiration_time() {
            Some(end) if end <= self.now => Err(SignatureProblem::Expired { at: timestamp(end) }),
            _ => Ok(signed_at),
        }
    }

    /// The rules about the key that is said to have signed.
    fn check_key(
        &self,
        signature: &Signature,
        signed_at: SystemTime,
        bytes: &[u8],
        cert: &Cert,
        ka: &ErasedKeyAmalgamation<'_, PublicParts>,
        keyring: &Keyring,
    ) -> Result<ValidSignature, SignatureProblem> {
        let key = ka.key().fingerprint().to_hex();
        if signed_at < ka.key().creation_time() {
            return Err(SignatureProblem::BeforeKey { key });
        }
        if let Err(error) = signature.verify_message(ka.key(), bytes) {
            use openpgp::Error::{UnsupportedEllipticCurve, UnsupportedPublicKeyAlgorithm};
            return Err(match error.downcast_ref() {
                Some(UnsupportedEllipticCurve(_) | UnsupportedPublicKeyAlgorithm(_)) => {
                    SignatureProblem::UnsupportedKey { key, detail: detail(&error) }
                }
                _ => SignatureProblem::Bad { key },
            });
        }
        let valid = self.usable(cert, keyring)?;
        let signing = self.may_sign(&valid, ka)?;
        let mut key_expired = false;
        for (of, end) in expirations(&valid, &signing) {
            if end <= signed_at {
                return Err(SignatureProblem::KeyExpiredBefore { key: of, at: timestamp(end) });
            }
            if end <= self.now {
                key_expired = true;
                if !self.allow_expired_key {
                    return Err(SignatureProblem::KeyExpired { key: of, at: timestamp(end) });
                }
            }
        }
        Ok(ValidSignature {
            fingerprint: cert.fingerprint().to_hex(),
            user_id: user_id(&valid),
            subkey: (!ka.primary()).then_some(key),
            signed_at: timestamp(signed_at),
            key_expired,
        })
    }

    /// The certificate as it stands now, where it may be used at all. It may have expired.
    pub(super) fn usable<'a>(&'a self, cert: &'a Cert, keyring: &Keyring) -> Result<ValidCert<'a>, SignatureProblem> {
        let key = cert.fingerprint().to_hex();
        let primary = cert.primary_key();
        if primary.self_revocations().next().is_some() || self.revoked_by_another(cert, keyring) {
            return Err(SignatureProblem::Revoked { key });
        }
        if weak(primary.key().pk_algo(), primary.key().mpis().bits()) {
            return Err(SignatureProblem::WeakKey {
                key,
                algorithm: algorithm(primary.key().pk_algo(), primary.key().mpis().bits()),
            });
        }
        cert.with_policy(&self.standard, self.now).map_err(|e| SignatureProblem::NoSelfSignature { key, detail: detail(&e) })
    }

    /// The key within its certificate, where it may make signatures at all. It may have expired.
    pub(super) fn may_sign<'a>(
        &'a self,
        valid: &ValidCert<'a>,
        ka: &ErasedKeyAmalgamation<'a, PublicParts>,
    ) -> Result<ValidErasedKeyAmalgamation<'a, PublicParts>, SignatureProblem> {
        let key = ka.key().fingerprint().to_hex();
        if ka.self_revocations().next().is_some() {
            return Err(SignatureProblem::Revoked { key });
        }
        if weak(ka.key().pk_algo(), ka.key().mpis().bits()) {
            return Err(SignatureProblem::WeakKey { key, algorithm: algorithm(ka.key().pk_algo(), ka.key().mpis().bits()) });
        }
        if !ka.key().pk_algo().for_signing() {
            return Err(SignatureProblem::CannotSign { key });
        }
        let found = valid.keys().find(|valid| valid.key().fingerprint() == ka.key().fingerprint());
        let Some(found) = found else {
            return Err(match lacks_back_signature(valid.cert(), ka) {
                true => SignatureProblem::NoBackSignature { key },
                false => SignatureProblem::NoSelfSignature { key, detail: "it has no valid binding signature".to_owned() },
            });
        };
        // Only very old certificates say nothing about what their primary key is for; then it may do everything.
        let says_nothing = found.primary() && found.key_flags().is_none();
        if !found.for_signing() && !says_nothing {
            return Err(SignatureProblem::CannotSign { key });
        }
        if !found.primary() && found.primary_key_binding_signature().is_none() {
            return Err(SignatureProblem::NoBackSignature { key });
        }
        Ok(found)
    }

    /// Whether the key, its certificate included, is within its life now.
    pub(super) fn expired(
        &self,
        valid: &ValidCert<'_>,
        key: &ValidErasedKeyAmalgamation<'_, PublicParts>,
    ) -> Option<SignatureProblem> {
        let (key, end) = expirations(valid, key).into_iter().find(|(_, end)| *end <= self.now)?;
        Some(SignatureProblem::KeyExpired { key, at: timestamp(end) })
    }

    /// Until when signatures of the certificate can count, where that ends, and why none counts now.
    pub(super) fn signing_life(&self, cert: &Cert, keyring: &Keyring) -> (Option<Timestamp>, Option<SignatureProblem>) {
        let valid = match self.usable(cert, keyring) {
            Ok(valid) => valid,
            Err(reason) => return (None, Some(reason)),
        };
        let mut last: Option<(Option<SystemTime>, String)> = None;
        let mut problem = None;
        for ka in cert.keys() {
            match self.may_sign(&valid, &ka) {
                Ok(signing) => {
                    let end = expirations(&valid, &signing).into_iter().min_by_key(|(_, end)| *end);
                    let (of, end) = end.map_or_else(|| (String::new(), None), |(of, end)| (of, Some(end)));
                    let longer = match &last {
                        None => true,
                        Some((None, _)) => false,
                        Some((Some(last), _)) => end.is_none_or(|end| end > *last),
                    };
                    if longer {
                        last = Some((end, of));
                    }
                }
                // A subkey for encryption may not sign, and nobody asks it to: what is wrong with a signing key says more.
                Err(reason @ SignatureProblem::CannotSign { .. }) => {
                    problem.get_or_insert(reason);
                }
                Err(reason) => problem = Some(reason),
            }
        }
        match last {
            None => (None, problem.or_else(|| Some(SignatureProblem::CannotSign { key: cert.fingerprint().to_hex() }))),
            Some((Some(end), key)) if end <= self.now => {
                let at = timestamp(end);
                (Some(at), Some(SignatureProblem::KeyExpired { key, at }))
            }
            Some((end, _)) => (end.map(timestamp), None),
        }
    }

    /// Whether a key that the owner named as revoker, and that the keyring holds, has revoked the certificate.
    fn revoked_by_another(&self, cert: &Cert, keyring: &Keyring) -> bool {
        let primary = cert.primary_key();
        primary.other_revocations().any(|revocation| {
            let named = cert.revocation_keys(&self.standard);
            named.map(|revoker| KeyHandle::from(revoker.revoker().1.clone())).any(|handle| {
                revocation.get_issuers().iter().any(|issuer| issuer.aliases(&handle))
                    && keyring.find(&handle).iter().any(|revoker| {
                        let key = revoker.primary_key().key();
                        revocation.verify_primary_key_revocation(key, primary.key()).is_ok()
                    })
            })
        })
    }
}

/// Whether the `Hash:` headers name an algorithm that none of the signatures uses. Where one of these cannot be read, nothing
/// can be said.
pub(super) fn names_unused_hash(hashes: &[HashAlgorithm], packets: &[Vec<u8>]) -> bool {
    let used: Option<Vec<_>> = packets.iter().map(|packet| Some(parse(packet)?.hash_algo())).collect();
    used.is_some_and(|used| hashes.iter().any(|hash| !used.contains(hash)))
}

/// The signature in a packet.
fn parse(packet: &[u8]) -> Option<Signature> {
    match PacketPile::from_bytes(packet).ok()?.into_children().next()? {
        Packet::Signature(signature) if matches!(signature.version(), 4 | 6) => Some(signature),
        _ => None,
    }
}

/// Whether a subkey that the library does not accept as bound has a binding that says it signs, and that it does not confirm.
fn lacks_back_signature(cert: &Cert, ka: &ErasedKeyAmalgamation<'_, PublicParts>) -> bool {
    let primary = cert.primary_key().key();
    let subkey = ka.key().role_as_subordinate();
    cert.bad_signatures().filter(|binding| binding.typ() == SignatureType::SubkeyBinding).any(|binding| {
        binding.key_flags().is_some_and(|flags| flags.for_signing())
            && !binding.embedded_signatures().any(|back| back.verify_primary_key_binding(primary, subkey).is_ok())
    })
}

/// Whether a key is too weak to be asked, whatever it signed.
#[expect(deprecated, reason = "deprecated algorithms have to be named to be refused")]
fn weak(algorithm: PublicKeyAlgorithm, bits: Option<usize>) -> bool {
    match algorithm {
        PublicKeyAlgorithm::DSA => true,
        PublicKeyAlgorithm::RSAEncryptSign | PublicKeyAlgorithm::RSASign => bits.is_none_or(|bits| bits < MIN_RSA_BITS),
        _ => false,
    }
}

/// Algorithm and size, for a message.
#[expect(deprecated, reason = "deprecated algorithms have to be named to be refused")]
fn algorithm(algorithm: PublicKeyAlgorithm, bits: Option<usize>) -> String {
    match (algorithm, bits) {
        (PublicKeyAlgorithm::DSA, _) => "DSA".to_owned(),
        (_, Some(bits)) => format!("RSA with {bits} bits; {MIN_RSA_BITS} are the least"),
        (other, None) => other.to_string(),
    }
}

/// The ends of life of the certificate and of the key in it, where they have any, each with whose it is.
fn expirations(valid: &ValidCert<'_>, key: &ValidErasedKeyAmalgamation<'_, PublicParts>) -> Vec<(String, SystemTime)> {
    let primary = valid.primary_key();
    let ends =
        [(primary.key().fingerprint(), primary.key_expiration_time()), (key.key().fingerprint(), key.key_expiration_time())];
    ends.into_iter().filter_map(|(key, end)| Some((key.to_hex(), end?))).collect()
}

/// The user id to show for a certificate: the primary one, unless that is revoked.
pub(super) fn user_id(valid: &ValidCert<'_>) -> String {
    let primary = valid.primary_userid();
    primary.map(|user_id| String::from_utf8_lossy(user_id.userid().value()).into_owned()).unwrap_or_default()
}

/// What the library says, with all its causes: its errors are chains of `anyhow`, which no type of ours could carry.
pub(super) fn detail(error: &openpgp::anyhow::Error) -> String {
    let text = error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    Sanitized(&text).to_string()
}

/// `time` in the type of this program. Times of OpenPGP are seconds of 32 bits, so all of them fit.
fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::MAX)
}
