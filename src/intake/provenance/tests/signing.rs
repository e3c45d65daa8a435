//! Finding a key and signing with it, in this process.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use openpgp::Cert;
use openpgp::cert::CertBuilder;
use openpgp::serialize::MarshalInto;
use openpgp::types::{KeyFlags, ReasonForRevocation};
use sequoia_openpgp as openpgp;

use super::super::*;
use super::fetched;
use crate::manifest::{self, Metadata};
use crate::settings::Limits;

pub(super) const FILE_NAME: &str = "foo-1.0.0-rc.1+b.tgz";

pub(super) fn metadata() -> Metadata {
    let manifest = "apiVersion: v1\nname: foo\nversion: 1.0.0-rc.1+b\ntype: cli/v1\nruntime: subprocess\n\
                    sourceURL: 'https://example.org/a: b'\nruntimeConfig:\n  platformCommand:\n  - command: echo\n";
    manifest::parse(manifest.as_bytes(), Path::new("plugin.yaml")).unwrap()
}

pub(super) fn digest() -> Sha256Digest {
    Sha256Digest::of(b"package")
}

pub(super) fn keys(names: &[&str]) -> Keyring {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/keys");
    Keyring::open(&names.iter().map(|name| folder.join(name)).collect::<Vec<PathBuf>>()).unwrap()
}

/// For keys that need no passphrase.
pub(super) fn none(_: &str) -> io::Result<Passphrase> {
    panic!("no passphrase should be asked for")
}

/// Verifies what was signed with the public keys of `names`.
pub(super) fn verified(provenance: Vec<u8>, keyring: Keyring) -> Signature {
    let requirement = Requirement::Signature { keyring, allow_expired_key: false, instead: Instead::ObjectId };
    let verified = verify(fetched(FILE_NAME, digest(), Some(provenance)), &requirement, &Limits::default()).unwrap();
    verified.check_manifest(&metadata()).unwrap();
    let Evidence::Signature(signature) = verified.evidence else { panic!() };
    assert_eq!(signature.other_name, None);
    signature
}

fn sign_with(key: &SigningKey) -> Vec<u8> {
    sign(&metadata(), FILE_NAME, &digest(), key, &mut none).unwrap()
}

#[test]
fn k6_rsa_subkeys_and_offline_primaries_sign() {
    for (secret, public, subkey) in
        [("rsa.secret", "rsa.pgp", false), ("sub.secret", "sub.pgp", true), ("offline.secret", "sub.pgp", true)]
    {
        let key = SigningKey::find(&keys(&[secret]), None).unwrap();
        assert!(!key.is_in_gnupg());
        let signature = verified(sign_with(&key), keys(&[public]));
        assert_eq!(signature.fingerprint, key.fingerprint());
        assert_eq!(signature.subkey.is_some(), subkey, "{secret}");
    }
}

#[test]
fn the_text_has_the_manifests_spelling() {
    let key = SigningKey::find(&keys(&["sub.secret"]), None).unwrap();
    let provenance = String::from_utf8(sign_with(&key)).unwrap();
    let expected = format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\napiVersion: v1\nname: foo\ntype: cli/v1\nruntime: subprocess\n\
         version: 1.0.0-rc.1+b\nsourceURL: \"https://example.org/a: b\"\n...\nfiles:\n  {FILE_NAME}: sha256:{}\n\
         -----BEGIN PGP SIGNATURE-----\n\n",
        digest()
    );
    assert!(provenance.starts_with(&expected), "{provenance}");
    let last = provenance.lines().rev().nth(1).unwrap();
    assert!(last.len() == 5 && last.starts_with('='), "the checksum is missing: {last}");
}

#[test]
fn k6_selectors() {
    let keyring = keys(&["rsa.secret", "sub.secret"]);
    let found = |selector: &str| SigningKey::find(&keyring, Some(selector)).map(|key| key.fingerprint());
    let sub = SigningKey::find(&keys(&["sub.secret"]), None).unwrap().fingerprint();
    let spaced: Vec<_> = sub.as_bytes().chunks(4).map(|part| std::str::from_utf8(part).unwrap()).collect();
    for selector in [
        sub.clone(),
        format!("0x{sub}"),
        sub.to_lowercase(),
        spaced.join(" "),
        sub[24..].to_owned(),
        format!("0x{}", &sub[24..]),
        format!("0x{}", &sub[32..]),
        "sub@example.org".to_owned(),
        "SUB@example.org".to_owned(),
        "<sub@example.org>".to_owned(),
        "sub <sub@example.org>".to_owned(),
        "sub@exam".to_owned(),
    ] {
        assert_eq!(found(&selector).unwrap(), sub, "{selector}");
    }
    let Err(SignError::Ambiguous { candidates, .. }) = found("example.org") else { panic!() };
    assert_eq!(candidates.len(), 2);
    assert!(matches!(SigningKey::find(&keyring, None), Err(SignError::Ambiguous { .. })));
    for nobody in ["nobody@example.org", &"0".repeat(40), "0x1234567812345678", ""] {
        assert!(matches!(found(nobody), Err(SignError::NotFound { .. })), "{nobody}");
    }
}

/// Writes certificates with their secret parts as one keyring.
fn keyring(certs: &[&Cert]) -> Keyring {
    let file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = certs.iter().flat_map(|cert| cert.as_tsk().to_vec().unwrap()).collect();
    std::fs::write(file.path(), bytes).unwrap();
    Keyring::load(file.path()).unwrap()
}

fn builder(user_id: &'static str) -> CertBuilder<'static> {
    let at = SystemTime::now() - Duration::from_secs(1000);
    CertBuilder::new().add_userid(user_id).set_creation_time(at).set_primary_key_flags(KeyFlags::empty().set_signing())
}

#[test]
fn k6_an_exact_address_wins_over_parts() {
    let [ann, joann] =
        ["ann@example.org", "Joann <joann@example.org>"].map(|user_id| builder(user_id).generate().unwrap().0);
    let keyring = keyring(&[&joann, &ann]);
    let found = |selector| SigningKey::find(&keyring, Some(selector)).unwrap().fingerprint();
    assert_eq!(found("ann@example.org"), ann.fingerprint().to_hex());
    assert_eq!(found("joann"), joann.fingerprint().to_hex());
    assert!(matches!(SigningKey::find(&keyring, Some("ann@")), Err(SignError::Ambiguous { .. })));
}

#[test]
fn k6_keys_that_may_not_sign_are_refused_and_never_in_the_way() {
    let (revoked, revocation) = builder("a <a@example.org>").generate().unwrap();
    let mut primary = revoked.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let revocation_now = revoked.revoke(&mut primary, ReasonForRevocation::KeySuperseded, b"").unwrap();
    drop(revocation);
    let revoked = revoked.insert_packets([revocation_now]).unwrap().0;
    let expired = builder("b <b@example.org>").set_validity_period(Duration::from_secs(10)).generate().unwrap().0;
    let certifies =
        builder("c <c@example.org>").set_primary_key_flags(KeyFlags::empty().set_certification()).generate().unwrap().0;
    let good = builder("d <d@example.org>").generate().unwrap().0;
    let all = keyring(&[&revoked, &expired, &certifies, &good]);
    assert_eq!(SigningKey::find(&all, None).unwrap().user_id(), "d <d@example.org>");
    for selector in ["a@example.org", "b@example.org", "c@example.org"] {
        let error = SigningKey::find(&all, Some(selector)).unwrap_err();
        assert!(matches!(error, SignError::Unusable { .. }), "{selector}: {error}");
    }
    assert!(matches!(SigningKey::find(&keyring(&[&expired]), None), Err(SignError::Unusable { .. })));
}

#[test]
fn k6_encrypted_keys_open_with_their_passphrase_alone() {
    let key = SigningKey::find(&keys(&["locked.secret"]), None).unwrap();
    let with = |given: &'static [u8]| {
        let mut asked = 0;
        let result = sign(&metadata(), FILE_NAME, &digest(), &key, &mut |what| {
            assert!(what.contains("locked@example.org"), "{what}");
            asked += 1;
            Ok(Passphrase::first_line(given))
        });
        assert_eq!(asked, 1);
        result
    };
    for right in [&b"correct horse"[..], b"correct horse\n", b"correct horse\r\nsecond line"] {
        verified(with(right).unwrap(), keys(&["locked.secret"]));
    }
    for wrong in [&b"wrong"[..], b"", b"correct horse ", b"\ncorrect horse"] {
        assert!(matches!(with(wrong), Err(SignError::WrongPassphrase { .. })));
    }
    let error = sign(&metadata(), FILE_NAME, &digest(), &key, &mut |_| Err(io::Error::other("no terminal"))).unwrap_err();
    assert!(matches!(error, SignError::Passphrase { .. }));
    assert_eq!(format!("{:?}", Passphrase::from("secret".to_owned())), "Passphrase(..)");
}
