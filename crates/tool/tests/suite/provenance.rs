//! Provenance through the library, as an embedding program uses it: each case of the OpenPGP matrix with a message that GnuPG
//! made (`scripts/fixtures-provenance`), and the keyrings in all their forms. What GnuPG does not make is tested beside the
//! code, in `src/intake/provenance/tests.rs`.

use std::path::{Path, PathBuf};

use plugsmith::digest::Sha256Digest;
use plugsmith::host::{Homes, Host};
use plugsmith::intake::provenance::{
    Evidence, Instead, Keyring, KeyringError, MessageError, Requirement, Signature, SignatureProblem, StatementError,
    VerifiedPackage, VerifyError, verify,
};
use plugsmith::intake::source::{self, FetchOptions, Source};
use plugsmith::manifest;
use plugsmith::report::NoReport;
use plugsmith::settings::Limits;

fn testdata(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("testdata").join(path)
}

fn keyring(name: &str) -> Keyring {
    Keyring::load(&testdata("keys").join(name)).unwrap()
}

/// Verifies the package under `file_name`, with this provenance beside it.
fn verify_as(file_name: &str, provenance: Option<&[u8]>, requirement: &Requirement) -> Result<VerifiedPackage, VerifyError> {
    let (dir, spool) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let package = dir.path().join(file_name);
    std::fs::copy(testdata("provenance/foo-1.0.0.tgz"), &package).unwrap();
    if let Some(provenance) = provenance {
        std::fs::write(dir.path().join(format!("{file_name}.prov")), provenance).unwrap();
    }
    let source = Source::parse(package.to_str().unwrap(), &Default::default()).unwrap();
    let options = FetchOptions::default();
    let fetched = source::fetch(&source, &options, spool.path(), &NoReport).unwrap();
    verify(fetched, requirement, &Limits::default())
}

fn verify_with(case: &str, key: &str, allow_expired_key: bool) -> Result<Signature, VerifyError> {
    let provenance = std::fs::read(testdata("provenance").join(format!("{case}.prov"))).unwrap();
    let requirement = Requirement::Signature { keyring: keyring(key), allow_expired_key, instead: Instead::ObjectId };
    let verified = verify_as("foo-1.0.0.tgz", Some(&provenance), &requirement)?;
    let Evidence::Signature(signature) = verified.evidence() else { panic!("{:?}", verified.evidence()) };
    Ok(signature.clone())
}

/// The signature of a case that must verify.
#[track_caller]
fn accepted(case: &str, key: &str) -> Signature {
    verify_with(case, key, false).unwrap_or_else(|e| panic!("{case}: {e:?}"))
}

/// The only reason for which a case must not verify.
#[track_caller]
fn reason(case: &str, key: &str) -> SignatureProblem {
    match verify_with(case, key, false) {
        Err(VerifyError::NoValidSignature { reasons, .. }) if reasons.len() == 1 => reasons.into_iter().next().unwrap(),
        other => panic!("{case}: {other:?}"),
    }
}

/// Why a case is malformed.
#[track_caller]
fn malformed(case: &str) -> MessageError {
    match verify_with(case, "rsa.pgp", false) {
        Err(VerifyError::Malformed { source, .. }) => source,
        other => panic!("{case}: {other:?}"),
    }
}

macro_rules! check {
    ($value:expr, $pattern:pat) => {
        let value = $value;
        assert!(matches!(value, $pattern), "{value:?}");
    };
}

#[test]
fn p1_good_signatures_are_accepted() {
    let signature = accepted("good", "rsa.pgp");
    assert_eq!((&*signature.user_id, signature.subkey, signature.key_expired), ("rsa <rsa@example.org>", None, false));
    assert_eq!(signature.signed_at.to_string(), "2024-03-01T00:00:00Z");
    for (case, key) in
        [("good-helm", "rsa.pgp"), ("good-p256", "p256.pgp"), ("good-sha256", "sub.pgp"), ("good-dashes", "sub.pgp")]
    {
        accepted(case, key);
    }
}

#[test]
fn p2_a_signing_subkey_is_accepted() {
    let signature = accepted("good-sub", "sub.pgp");
    assert_ne!(signature.subkey.unwrap(), signature.fingerprint);
}

#[test]
fn p3_a_sha1_digest_is_refused() {
    check!(reason("sha1", "rsa.pgp"), SignatureProblem::WeakDigest { .. });
}

#[test]
fn p4_an_md5_digest_is_refused() {
    check!(reason("md5", "rsa.pgp"), SignatureProblem::WeakDigest { .. });
}

#[test]
fn p5_an_expired_signature_is_refused() {
    check!(reason("sigexp", "rsa.pgp"), SignatureProblem::Expired { .. });
}

#[test]
fn p6_a_signature_of_the_future_is_refused() {
    check!(reason("sigfuture", "rsa.pgp"), SignatureProblem::Future { .. });
}

#[test]
fn p7_a_key_that_expired_since_is_accepted_only_when_asked_for() {
    for (case, key) in [("exp_inlife", "expiring.pgp"), ("subexp_inlife", "subexpiring.pgp")] {
        check!(reason(case, key), SignatureProblem::KeyExpired { .. });
        assert!(verify_with(case, key, true).unwrap().key_expired, "{case}");
    }
    // A newer self-signature has prolonged the key's life.
    for case in ["exp_inlife", "exp_after"] {
        assert!(!accepted(case, "extended.pgp").key_expired);
    }
}

#[test]
fn p7_a_key_that_had_expired_is_refused_even_then() {
    for allow in [false, true] {
        let Err(VerifyError::NoValidSignature { reasons, .. }) = verify_with("exp_after", "expiring.pgp", allow) else {
            panic!()
        };
        check!(&reasons[..], [SignatureProblem::KeyExpiredBefore { .. }]);
    }
}

#[test]
fn p8_a_revoked_key_is_refused_whatever_the_reason_and_date() {
    check!(reason("rev", "revoked.pgp"), SignatureProblem::Revoked { .. });
    accepted("rev", "not-yet-revoked.pgp");
    // The revocation lies in a block of its own, or in another keyring.
    check!(reason("rev", "revoked-apart.asc"), SignatureProblem::Revoked { .. });
    let paths = ["not-yet-revoked.pgp", "revoked.pgp"].map(|name| testdata("keys").join(name));
    let requirement = Requirement::Signature {
        keyring: Keyring::open(&paths).unwrap(),
        allow_expired_key: true,
        instead: Instead::ObjectId,
    };
    let provenance = std::fs::read(testdata("provenance/rev.prov")).unwrap();
    let error = verify_as("foo-1.0.0.tgz", Some(&provenance), &requirement).unwrap_err();
    check!(error, VerifyError::NoValidSignature { .. });
}

#[test]
fn p24_a_revoked_subkey_is_refused() {
    check!(reason("subrev", "subrevoked.pgp"), SignatureProblem::Revoked { .. });
}

#[test]
fn p9_text_before_the_block_is_refused() {
    check!(malformed("lead"), MessageError::TextBefore { line: 1 });
}

#[test]
fn p10_text_after_the_block_is_refused() {
    check!(malformed("trail"), MessageError::TextAfter { .. });
}

#[test]
fn p11_a_second_block_is_refused() {
    check!(malformed("two"), MessageError::SecondBlock { .. });
}

#[test]
fn p12_an_unknown_header_is_refused() {
    check!(malformed("hdr"), MessageError::Header { line: 3, .. });
    check!(malformed("notdash"), MessageError::NotDashEscaped { line: 3 });
}

#[test]
fn p13_a_false_hash_header_is_refused() {
    check!(reason("hashmismatch", "rsa.pgp"), SignatureProblem::FalseHashHeader { .. });
    check!(reason("hashtoomany", "rsa.pgp"), SignatureProblem::UnusedHash);
}

#[test]
fn p14_a_missing_hash_header_is_fine_where_the_digest_is() {
    accepted("nohash", "rsa.pgp");
    check!(reason("nohash-sha1", "rsa.pgp"), SignatureProblem::WeakDigest { .. });
}

#[test]
fn p15_white_space_at_line_ends_and_p16_crlf_are_accepted() {
    let good = accepted("good", "rsa.pgp");
    for case in ["trailws", "crlf", "nocrc"] {
        assert_eq!(accepted(case, "rsa.pgp"), good, "{case}");
    }
    check!(malformed("badcrc"), MessageError::Armor(_));
}

#[test]
fn p17_junk_armor_is_refused() {
    check!(malformed("junkarmor"), MessageError::UnescapedDash { line: 5 });
}

#[test]
fn p18_a_form_feed_and_p19_a_nul_are_refused() {
    check!(malformed("ff"), MessageError::ControlCharacter { code: 0x0c, .. });
    check!(malformed("nul"), MessageError::ControlCharacter { code: 0, .. });
}

#[test]
fn a_changed_text_is_refused() {
    check!(reason("tampered", "rsa.pgp"), SignatureProblem::Bad { .. });
}

#[test]
fn p20_a_digest_under_another_name_is_accepted_and_reported() {
    assert_eq!(accepted("good-other-name", "sub.pgp").other_name.as_deref(), Some("renamed.tgz"));
    assert_eq!(accepted("good-sub", "sub.pgp").other_name, None);
    check!(verify_with("text-own-entry-wrong", "sub.pgp", false), Err(VerifyError::DigestMismatch { .. }));
    check!(verify_with("text-mismatch", "sub.pgp", false), Err(VerifyError::DigestMismatch { .. }));
}

#[test]
fn p21_odd_texts() {
    accepted("good-upper-case", "sub.pgp");
    check!(verify_with("text-no-entries", "sub.pgp", false), Err(VerifyError::NotListed { .. }));
    check!(verify_with("text-sha512", "sub.pgp", false), Err(VerifyError::UnsupportedDigest { .. }));
    let statement = |case| match verify_with(case, "sub.pgp", false) {
        Err(VerifyError::Statement { source, .. }) => source,
        other => panic!("{case}: {other:?}"),
    };
    check!(statement("text-no-files"), StatementError::Field { field: "files" });
    check!(statement("text-one-part"), StatementError::Parts { found: 1 });
    check!(statement("text-three-parts"), StatementError::Parts { found: 3 });
    check!(statement("text-duplicate-file"), StatementError::Yaml { .. });
    check!(statement("text-duplicate-name"), StatementError::Yaml { .. });
}

#[test]
fn p22_the_signed_name_and_version_must_be_the_packages_own() {
    let manifest = b"apiVersion: v1\nname: foo\nversion: 1.0.0\ntype: cli/v1\nruntime: subprocess\nruntimeConfig:\n  platformCommand:\n  - command: echo\n";
    let metadata = manifest::parse(manifest, Path::new("plugin.yaml")).unwrap();
    let checked = |case: &str, key: &str| {
        let provenance = std::fs::read(testdata("provenance").join(format!("{case}.prov"))).unwrap();
        let requirement =
            Requirement::Signature { keyring: keyring(key), allow_expired_key: false, instead: Instead::ObjectId };
        verify_as("foo-1.0.0.tgz", Some(&provenance), &requirement).unwrap().check_manifest(&metadata)
    };
    checked("good", "rsa.pgp").unwrap();
    checked("good-helm", "rsa.pgp").unwrap();
    check!(checked("text-other-plugin", "sub.pgp"), Err(VerifyError::MetadataMismatch { field: "name", .. }));
    check!(checked("text-other-version", "sub.pgp"), Err(VerifyError::MetadataMismatch { field: "version", .. }));
}

#[test]
fn p23_keyrings_in_every_form() {
    let names =
        ["two.pgp", "KEYS", "pubring.kbx", "directory", "rsa.asc", "rsa.secret", "extended.pgp", "not-yet-revoked.pgp"];
    for name in names {
        let holds_rsa = !matches!(name, "extended.pgp" | "not-yet-revoked.pgp");
        match verify_with("good", name, false) {
            Ok(_) => assert!(holds_rsa, "{name}"),
            Err(VerifyError::NoValidSignature { reasons, .. }) => {
                assert!(!holds_rsa, "{name}");
                check!(&reasons[..], [SignatureProblem::UnknownSigner { .. }]);
            }
            Err(other) => panic!("{name}: {other:?}"),
        }
    }
    for name in ["two.pgp", "KEYS", "pubring.kbx", "directory", "sub.secret", "offline.secret"] {
        accepted("good-sub", name);
    }
    assert_eq!(keyring("KEYS").len(), 2);
}

#[test]
fn p23_keyrings_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = |bytes: &[u8]| {
        let path = dir.path().join("keyring");
        std::fs::write(&path, bytes).unwrap();
        Keyring::load(&path)
    };
    let read = |name: &str| std::fs::read(testdata("keys").join(name)).unwrap();
    check!(file(b""), Err(KeyringError::Empty { .. }));
    check!(file(b"no key\n"), Err(KeyringError::Empty { .. }));
    let two = read("two.pgp");
    check!(file(&two[..two.len() - 1]), Err(KeyringError::Damaged { .. }));
    let keybox = read("pubring.kbx");
    check!(file(&keybox[..keybox.len() - 1]), Err(KeyringError::Keybox { .. }));
    check!(Keyring::load(&dir.path().join("absent")), Err(KeyringError::Missing { .. }));
    // A damaged block does not spoil the next one.
    let armored = String::from_utf8(read("rsa.asc")).unwrap();
    let both = format!("{}{armored}", armored.replacen("mQ", "!!", 1));
    let keyring = file(both.as_bytes()).unwrap();
    assert_eq!((keyring.len(), keyring.skipped().len()), (1, 1));
    // Nor does a key of a version that nobody supports.
    let mixed = [&[0x99, 0, 6, 3, 0, 0, 0, 0, 0][..], &read("rsa.pgp")].concat();
    let keyring = file(&mixed).unwrap();
    assert_eq!((keyring.len(), keyring.skipped().len()), (1, 1));
}

#[test]
fn p23_the_database_of_keyboxd_is_explained() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("public-keys.d")).unwrap();
    std::fs::write(home.path().join("public-keys.d/pubring.db"), "x").unwrap();
    let error = Keyring::load(home.path()).unwrap_err();
    assert!(error.to_string().contains("gpg --export"), "{error}");
}

#[test]
fn p23_the_hosts_own_keyring_is_a_file_or_a_folder_and_a_named_one_wins() {
    // No variable of this host is set anywhere.
    let host = Host::new("plugsmith-suite", semver::Version::new(1, 0, 0));
    let mut homes = Homes::find(&host);
    let config = tempfile::tempdir().unwrap();
    homes.config.path = config.path().to_path_buf();
    let own = config.path().join("keyring");
    std::fs::copy(testdata("keys/rsa.pgp"), &own).unwrap();
    let located = Keyring::locate(&[], &host, &homes).unwrap();
    assert_eq!((located.describe(), located.len()), (own.display().to_string(), 1));

    std::fs::remove_file(&own).unwrap();
    std::fs::create_dir(&own).unwrap();
    check!(Keyring::locate(&[], &host, &homes), Err(KeyringError::Empty { .. }));
    std::fs::copy(testdata("keys/rsa.pgp"), own.join("A.pgp")).unwrap();
    std::fs::copy(testdata("keys/sub.pgp"), own.join("B.pgp")).unwrap();
    assert_eq!(Keyring::locate(&[], &host, &homes).unwrap().len(), 2);

    let named = testdata("keys/p256.pgp");
    assert_eq!(
        Keyring::locate(std::slice::from_ref(&named), &host, &homes).unwrap().describe(),
        named.display().to_string()
    );
    check!(Keyring::locate(&[named, config.path().join("absent")], &host, &homes), Err(KeyringError::Missing { .. }));
}

#[test]
fn p24_weak_keys_are_refused_and_sha1_self_signatures_are_not() {
    check!(reason("rsa1024", "rsa1024.pgp"), SignatureProblem::WeakKey { .. });
    check!(reason("dsa", "dsa.pgp"), SignatureProblem::WeakKey { .. });
    accepted("good-sha1-self-signature", "sha1self.pgp");
}

#[test]
fn p25_missing_empty_and_malformed_are_three_errors() {
    let requirement =
        Requirement::Signature { keyring: keyring("rsa.pgp"), allow_expired_key: false, instead: Instead::ObjectId };
    let error = verify_as("foo-1.0.0.tgz", None, &requirement).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, VerifyError::Missing { .. }));
    for way_out in ["foo-1.0.0.tgz.prov", "--digest sha256:", "--verify=false"] {
        assert!(text.contains(way_out), "{text}");
    }
    for case in ["empty", "blank"] {
        check!(verify_with(case, "rsa.pgp", false), Err(VerifyError::Empty { .. }));
    }
    check!(malformed("nosig"), MessageError::CutShort { .. });
}

#[test]
fn p26_unknown_issuers_alone_are_a_failure() {
    check!(reason("unknown", "rsa.pgp"), SignatureProblem::UnknownSigner { .. });
    let error = verify_with("good-two-signatures", "extended.pgp", false).unwrap_err();
    assert!(error.to_string().contains("; if you trust its owner, add the key to it"), "{error}");
    // One known signer of two is enough, whichever it is.
    for key in ["rsa.pgp", "sub.pgp"] {
        accepted("good-two-signatures", key);
    }
}

#[test]
fn p27_a_large_provenance_is_refused() {
    let requirement =
        Requirement::Signature { keyring: keyring("rsa.pgp"), allow_expired_key: false, instead: Instead::ObjectId };
    let spool = tempfile::tempdir().unwrap();
    let package = spool.path().join("foo-1.0.0.tgz");
    std::fs::copy(testdata("provenance/foo-1.0.0.tgz"), &package).unwrap();
    let mut large = std::fs::read(testdata("provenance/good.prov")).unwrap();
    large.resize(10 << 20, b' ');
    std::fs::write(spool.path().join("foo-1.0.0.tgz.prov"), large).unwrap();
    let source = Source::parse(package.to_str().unwrap(), &Default::default()).unwrap();
    let options = FetchOptions::default();
    let into = tempfile::tempdir().unwrap();
    // Whoever reads it first refuses it.
    if let Ok(fetched) = source::fetch(&source, &options, into.path(), &NoReport) {
        check!(verify(fetched, &requirement, &Limits::default()), Err(VerifyError::TooLarge { .. }));
    }
}

#[test]
fn a_digest_counts_as_verified_and_nothing_as_skipped() {
    let (digest, _) = Sha256Digest::of_file(&testdata("provenance/foo-1.0.0.tgz")).unwrap();
    let verified = verify_as("foo-1.0.0.tgz", None, &Requirement::Digest(digest)).unwrap();
    assert_eq!(*verified.evidence(), Evidence::Digest(digest));
    let other = Sha256Digest::of(b"another");
    check!(verify_as("foo-1.0.0.tgz", None, &Requirement::Digest(other)), Err(VerifyError::DigestMismatch { .. }));
    assert_eq!(*verify_as("foo-1.0.0.tgz", None, &Requirement::Nothing).unwrap().evidence(), Evidence::Skipped);
}
