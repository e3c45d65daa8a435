//! What GnuPG refuses to make, made here.

use std::time::{Duration, SystemTime};

use openpgp::Cert;
use openpgp::cert::amalgamation::key::PrimaryKey as _;
use openpgp::cert::{CertBuilder, CipherSuite};
use openpgp::packet::key::Key4;
use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::signature::subpacket::NotationDataFlags;
use openpgp::packet::{Key, Packet, UserID, key};
use openpgp::serialize::MarshalInto;
use openpgp::types::{Curve, HashAlgorithm, KeyFlags, SignatureType};
use sequoia_openpgp as openpgp;

use proptest::prelude::*;

use super::super::checker::SignatureChecker;
use super::super::*;
use super::super::{message, packets, verify as verifying};
use super::fetched;
use crate::intake::package::{GitOrigin, SignedObject, Vouched};
use crate::settings::Limits;

type SecretKey = Key<key::SecretParts, key::UnspecifiedRole>;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn digest() -> Sha256Digest {
    Sha256Digest::of(b"package")
}

fn text() -> String {
    format!("name: foo\nversion: 1.0.0\n...\nfiles:\n  foo-1.0.0.tgz: sha256:{}\n", digest())
}

fn builder() -> SignatureBuilder {
    SignatureBuilder::new(SignatureType::Text).set_hash_algo(HashAlgorithm::SHA512)
}

/// Signs the text with any key at all.
fn signed_by(key: &SecretKey, signature: SignatureBuilder) -> String {
    let hash = signature.hash_algo().to_string();
    let mut pair = key.clone().into_keypair().unwrap();
    let bytes = message::canonical(&text()).replace('\n', "\r\n");
    let signature = signature.sign_message(&mut pair, bytes).unwrap();
    message::write(&text(), &hash, &Packet::from(signature).to_vec().unwrap())
}

fn verdict(provenance: &str, cert: &Cert) -> Result<Signature, VerifyError> {
    verdict_under(provenance, &Keyring::of(std::slice::from_ref(cert)), &SignatureChecker::new(false))
}

fn verdict_under(provenance: &str, keyring: &Keyring, policy: &SignatureChecker) -> Result<Signature, VerifyError> {
    let fetched = fetched("foo-1.0.0.tgz", digest(), Some(provenance.as_bytes().to_vec()));
    let verified = verifying::verify_signature(fetched, keyring, policy, &Limits::default())?;
    let Evidence::Signature(signature) = verified.evidence else { panic!() };
    Ok(signature)
}

#[track_caller]
fn reason(provenance: &str, cert: &Cert) -> SignatureProblem {
    match verdict(provenance, cert) {
        Err(VerifyError::NoValidSignature { reasons, .. }) if reasons.len() == 1 => reasons.into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn signer() -> CertBuilder<'static> {
    CertBuilder::new().add_userid("made <made@example.org>").set_creation_time(SystemTime::now() - 30 * DAY)
}

fn generate(builder: CertBuilder<'static>) -> Cert {
    builder.generate().unwrap().0
}

fn secret(cert: &Cert, subkey: bool) -> SecretKey {
    let mut keys = cert.keys().secret().filter(|ka| ka.primary() != subkey);
    keys.next().unwrap().key().clone()
}

#[test]
fn every_curve_and_version_signs_and_verifies() {
    for suite in [CipherSuite::Cv25519, CipherSuite::P256, CipherSuite::P384, CipherSuite::P521] {
        for profile in [openpgp::Profile::RFC4880, openpgp::Profile::RFC9580] {
            let cert = generate(
                signer()
                    .set_profile(profile)
                    .unwrap()
                    .set_cipher_suite(suite)
                    .set_primary_key_flags(KeyFlags::empty().set_signing()),
            );
            for hash in [HashAlgorithm::SHA256, HashAlgorithm::SHA384, HashAlgorithm::SHA512, HashAlgorithm::SHA3_256] {
                let provenance = signed_by(&secret(&cert, false), builder().set_hash_algo(hash));
                verdict(&provenance, &cert).unwrap_or_else(|e| panic!("{suite:?} {profile:?} {hash}: {e:?}"));
            }
        }
    }
}

#[test]
fn binary_signatures_are_accepted_and_other_types_are_not() {
    let cert = generate(signer().set_primary_key_flags(KeyFlags::empty().set_signing()));
    let key = secret(&cert, false);
    verdict(&signed_by(&key, builder().set_type(SignatureType::Binary)), &cert).unwrap();
    let other = signed_by(&key, builder().set_type(SignatureType::Unknown(0x05)));
    assert!(matches!(reason(&other, &cert), SignatureProblem::WrongType { .. }));
    let mut pair = key.into_keypair().unwrap();
    let standalone = SignatureBuilder::new(SignatureType::Standalone).sign_standalone(&mut pair).unwrap();
    let standalone = message::write(&text(), "SHA512", &Packet::from(standalone).to_vec().unwrap());
    assert!(matches!(reason(&standalone, &cert), SignatureProblem::WrongType { .. }));
}

#[test]
fn weak_digests_and_critical_demands_are_refused() {
    let cert = generate(signer().set_primary_key_flags(KeyFlags::empty().set_signing()));
    let key = secret(&cert, false);
    for hash in [HashAlgorithm::SHA1, HashAlgorithm::SHA224] {
        assert!(
            matches!(reason(&signed_by(&key, builder().set_hash_algo(hash)), &cert), SignatureProblem::WeakDigest { .. }),
            "{hash}"
        );
    }
    let notation = |critical| builder().set_notation("x@example.org", b"y", NotationDataFlags::empty(), critical).unwrap();
    verdict(&signed_by(&key, notation(false)), &cert).unwrap();
    assert!(matches!(reason(&signed_by(&key, notation(true)), &cert), SignatureProblem::Critical { .. }));
}

#[test]
fn a_signature_from_before_its_key_is_refused() {
    let cert = generate(signer().set_primary_key_flags(KeyFlags::empty().set_signing()));
    let early = builder().set_signature_creation_time(SystemTime::now() - 31 * DAY).unwrap();
    assert!(matches!(reason(&signed_by(&secret(&cert, false), early), &cert), SignatureProblem::BeforeKey { .. }));
}

#[test]
fn time_decides_to_the_second() {
    let cert = generate(signer().set_primary_key_flags(KeyFlags::empty().set_signing()).set_validity_period(60 * DAY));
    let signed = cert.primary_key().key().creation_time() + 29 * DAY;
    let signature = builder().set_signature_creation_time(signed).unwrap().set_signature_validity_period(10 * DAY).unwrap();
    let provenance = signed_by(&secret(&cert, false), signature);
    let keyring = Keyring::of(std::slice::from_ref(&cert));
    let second = Duration::from_secs(1);
    for (now, accepted) in
        [(signed - second, false), (signed, true), (signed + 10 * DAY - second, true), (signed + 10 * DAY, false)]
    {
        assert_eq!(verdict_under(&provenance, &keyring, &SignatureChecker::at(now, false)).is_ok(), accepted, "{now:?}");
    }
}

#[test]
fn p24_a_primary_key_that_only_certifies_is_refused() {
    let cert = generate(signer().add_signing_subkey());
    assert!(matches!(reason(&signed_by(&secret(&cert, false), builder()), &cert), SignatureProblem::CannotSign { .. }));
    verdict(&signed_by(&secret(&cert, true), builder()), &cert).unwrap();
}

#[test]
fn p24_a_subkey_without_the_signing_flag_is_refused() {
    let cert = generate(signer().add_authentication_subkey());
    assert!(matches!(reason(&signed_by(&secret(&cert, true), builder()), &cert), SignatureProblem::CannotSign { .. }));
}

/// A certificate to which a key was bound as a subkey that signs, with or without its consent.
fn with_subkey(back_signature: Option<&SecretKey>) -> (Cert, SecretKey) {
    let cert = generate(signer());
    let at = SystemTime::now() - 20 * DAY;
    let mut subkey: Key<key::SecretParts, key::SubordinateRole> = Key4::generate_ecc(true, Curve::Ed25519).unwrap().into();
    subkey.set_creation_time(at).unwrap();
    let mut primary = secret(&cert, false).into_keypair().unwrap();
    let mut binding = SignatureBuilder::new(SignatureType::SubkeyBinding)
        .set_signature_creation_time(at)
        .unwrap()
        .set_key_flags(KeyFlags::empty().set_signing())
        .unwrap();
    if let Some(by) = back_signature {
        let mut pair = by.clone().into_keypair().unwrap();
        let back = SignatureBuilder::new(SignatureType::PrimaryKeyBinding)
            .set_signature_creation_time(at)
            .unwrap()
            .sign_primary_key_binding(&mut pair, cert.primary_key().key(), &subkey)
            .unwrap();
        binding = binding.set_embedded_signature(back).unwrap();
    }
    let binding = binding.sign_subkey_binding(&mut primary, cert.primary_key().key(), &subkey).unwrap();
    let secret = subkey.clone().role_into_unspecified();
    let cert = cert.insert_packets([Packet::from(subkey), binding.into()]).unwrap().0;
    (cert, secret)
}

#[test]
fn p24_a_subkey_without_a_back_signature_is_refused() {
    let (cert, subkey) = with_subkey(None);
    assert!(matches!(reason(&signed_by(&subkey, builder()), &cert), SignatureProblem::NoBackSignature { .. }));
    // One by another key than the subkey is none.
    let (_, another) = with_subkey(None);
    let (cert, subkey) = with_subkey(Some(&another));
    assert!(matches!(reason(&signed_by(&subkey, builder()), &cert), SignatureProblem::NoBackSignature { .. }));
}

#[test]
fn p24_a_forged_self_signature_is_refused() {
    let cert = generate(signer().set_primary_key_flags(KeyFlags::empty().set_signing()));
    let provenance = signed_by(&secret(&cert, false), builder());
    // The user id is another than the one that was signed, and nothing else vouches for the key.
    let mut packets: Vec<_> = cert.into_packets().collect();
    packets.retain(|packet| !matches!(packet, Packet::Signature(signature) if signature.typ() == SignatureType::DirectKey));
    for packet in &mut packets {
        if let Packet::UserID(user_id) = packet {
            *user_id = UserID::from("forged <forged@example.org>");
        }
    }
    let forged = Cert::from_packets(packets.into_iter()).unwrap();
    assert!(matches!(reason(&provenance, &forged), SignatureProblem::NoSelfSignature { .. }));
}

#[test]
fn p26_signatures_by_strangers_and_by_nobody_are_refused() {
    let cert = generate(signer().set_primary_key_flags(KeyFlags::empty().set_signing()));
    let provenance = signed_by(&secret(&cert, false), builder());
    assert!(matches!(reason(&provenance, &generate(signer())), SignatureProblem::UnknownSigner { .. }));
    // Version 4, text, EdDSA, SHA-512; the time is its only subpacket.
    let body = [4, 1, 22, 10, 0, 6, 5, 2, 0x60, 0, 0, 0, 0, 0, 0xaa, 0xbb, 0, 1, 1, 0, 1, 1];
    let anonymous = message::write(&text(), "SHA512", &packets::frame(2, &body));
    assert_eq!(reason(&anonymous, &cert), SignatureProblem::NoIssuer);
    for unreadable in [&b"\x04"[..], b"\x07\x01\x16\x0a\0\0\0\0\0\0"] {
        let unreadable = message::write(&text(), "SHA512", &packets::frame(2, unreadable));
        assert_eq!(reason(&unreadable, &cert), SignatureProblem::Unreadable);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever byte is changed, the signature fails or the very same text was signed.
    #[test]
    fn no_change_of_a_byte_changes_what_is_signed(at: prop::sample::Index, with: u8, insert: bool) {
        let (provenance, cert) = shared();
        let mut bytes = provenance.clone().into_bytes();
        let at = at.index(bytes.len());
        if insert { bytes.insert(at, with) } else { bytes[at] = with }
        if let Ok(message) = Message::read(&bytes, &Limits::default())
            && verifying::check(&message, &Keyring::of(std::slice::from_ref(cert)), &SignatureChecker::new(false)).is_ok()
        {
            prop_assert_eq!(message.text(), message::canonical(&text()));
        }
    }
}

/// One good message and its signer, made once.
fn shared() -> &'static (String, Cert) {
    static SHARED: std::sync::OnceLock<(String, Cert)> = std::sync::OnceLock::new();
    SHARED.get_or_init(|| {
        let cert = generate(signer().set_primary_key_flags(KeyFlags::empty().set_signing()));
        (signed_by(&secret(&cert, false), builder()), cert)
    })
}

#[test]
fn git_tags_and_commits_are_verified_by_their_own_signatures() {
    let cert = generate(signer().set_primary_key_flags(KeyFlags::empty().set_signing()));
    let payload = b"tree 1\nauthor a\n\nmessage\n";
    let mut pair = secret(&cert, false).into_keypair().unwrap();
    let signature = builder().set_type(SignatureType::Binary).sign_message(&mut pair, payload).unwrap();
    let armored = message::write("", "SHA512", &Packet::from(signature).to_vec().unwrap());
    let armored = armored[armored.find("-----BEGIN PGP SIGNATURE-----").unwrap()..].to_owned();
    let commit = "0123456789012345678901234567890123456789";
    let judge = |payload: &[u8], signature: Option<&str>, exact: bool| {
        let mut fetched = fetched("foo", digest(), None);
        let signed = signature.map(|signature| SignedObject {
            what: "tag `v1`".to_owned(),
            payload: payload.to_vec(),
            signature: signature.as_bytes().to_vec(),
        });
        fetched.origin.git = Some(GitOrigin { commit: commit.to_owned(), reference: Some("v1".to_owned()), signed });
        fetched.vouched = if exact { Vouched::ObjectId } else { Vouched::Nothing };
        let keyring = Keyring::of(std::slice::from_ref(&cert));
        verify(
            fetched,
            &Requirement::Signature { keyring, allow_expired_key: false, instead: Instead::ObjectId },
            &Limits::default(),
        )
    };
    assert!(matches!(judge(payload, Some(&armored), false).unwrap().evidence, Evidence::Signature(_)));
    assert!(matches!(judge(b"other", Some(&armored), false), Err(VerifyError::GitNoValidSignature { .. })));
    assert!(matches!(judge(payload, Some("-----BEGIN SSH SIGNATURE-----"), false), Err(VerifyError::GitSsh { .. })));
    assert!(matches!(judge(payload, Some("x"), false), Err(VerifyError::GitMalformed { .. })));
    assert_eq!(judge(payload, None, true).unwrap().evidence, Evidence::Digest(digest()));
    let error = judge(payload, None, false).unwrap_err();
    assert!(matches!(error, VerifyError::GitUnsigned { .. }));
    assert!(error.to_string().contains(commit) && error.to_string().contains("--verify=false"), "{error}");
}
