//! What each fuzz target does with its input, and what must hold then. The end-to-end tests run the same functions over the
//! corpus (`tests/suite/fuzz_corpora.rs`), so that every build replays it without a fuzzer.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use plugsmith::intake::package;
use plugsmith::intake::provenance::{self, Evidence, Instead, Keyring, Message, Requirement, VerifiedPackage};
use plugsmith::intake::source::{self, FetchOptions};
use plugsmith::policy::PolicyFile;
use plugsmith::report::NoReport;
use plugsmith::settings::Limits;
use plugsmith_protocol::{self as messages, OutputMessage as _};
use sequoia_openpgp as openpgp;

use openpgp::Cert;
use openpgp::parse::Parse as _;
use openpgp::policy::StandardPolicy;
use openpgp::serialize::stream;

/// Any bytes as `plugin.yaml`, `config.yaml` and `completion.yaml`: an error or a value, never a panic, and soon.
pub fn manifest(data: &[u8]) {
    let _ = plugsmith::yaml::parse(data);
    let _ = plugsmith::settings::Settings::parse(data);
    let _ = plugsmith::manifest::completion::parse(data, Path::new("completion.yaml"));
    if let Ok(metadata) = plugsmith::manifest::parse(data, Path::new("plugin.yaml")) {
        // What was accepted is fit for a path.
        let name = metadata.name.as_str();
        assert!(!name.is_empty() && name.len() <= 100 && !name.starts_with('-') && !name.contains(['/', '\\', '.', ':']));
    }
}

/// Any bytes as what a server, git, or another program's file says: an error or a value, never a panic, and soon.
pub fn answers(data: &[u8]) {
    plugsmith::intake::source::read_foreign(data);
    plugsmith::intake::provenance::read_foreign(data);
    let _ = messages::CliOutput::parse(data).map(|answer| answer.data);
    let _ = messages::GetterOutput::parse(data);
    let _ = messages::PostRendererOutput::parse(data).map(messages::PostRendererOutput::into_manifests);
    let _ = messages::TestOutput::parse(data).map(messages::TestOutput::into_greeting);
}

/// Any bytes as the files that decide what is allowed and what is installed: lock file, policy, trust and receipt.
pub fn records(data: &[u8]) {
    plugsmith::manager::read_foreign(data);
    plugsmith::store::read_foreign(data);
    let _ = plugsmith::trust::TrustFile::parse(data);
    let _ = PolicyFile::parse(data, Path::new("policy.yaml"));
}

/// Any bytes as a keyring: binary, armored, concatenated, or a GnuPG keybox. Its public part can be read again.
pub fn keyring(data: &[u8]) {
    let Ok(keyring) = Keyring::from_bytes(data, Path::new("keyring")) else { return };
    let _ = keyring.describe();
    let signers = keyring.signers();
    assert!(signers.len() <= keyring.len());
    for written in [keyring.armored(), keyring.export()] {
        for (fingerprint, bytes) in written {
            let Ok(bytes) = bytes else { continue };
            assert!(bytes.is_ascii() && !String::from_utf8_lossy(&bytes).contains("PRIVATE KEY"));
            let again = Keyring::from_bytes(&bytes, Path::new("again")).expect("we wrote it");
            assert_eq!(again.signers().into_iter().map(|signer| signer.fingerprint).collect::<Vec<_>>(), [fingerprint]);
        }
    }
}

/// The package beside every provenance here.
const PACKAGE: &[u8] = b"a package";

/// Its digest.
const DIGEST: &str = "c0cd5ccfdb563a59366e33e73001b78fdb8cca5a6c48e2f90fffcde44b81f1f6";

/// Any bytes as a provenance: the strict reader of the message, the signatures in it and the signed statement. The keys have
/// signed much, but never this package: so nothing may verify.
pub fn provenance(data: &[u8]) {
    static REQUIREMENT: LazyLock<Requirement> = LazyLock::new(|| {
        requirement(&[
            include_bytes!("../../testdata/keys/rsa.pgp"),
            include_bytes!("../../testdata/keys/sub.pgp"),
            include_bytes!("../../testdata/keys/p256.pgp"),
            include_bytes!("../../testdata/keys/expiring.pgp"),
            include_bytes!("../../testdata/keys/stranger.asc"),
        ])
    });
    if let Ok(message) = Message::read(data, &Limits::default()) {
        assert!(!message.text().contains(['\r', '\0', '\u{1b}']));
    }
    assert!(verify(data, &REQUIREMENT).is_err());
}

/// Any text as one that somebody whom the user trusts has signed. It verifies only where it names the package's digest.
pub fn statement(data: &[u8]) {
    if verifies(data) {
        assert!(String::from_utf8_lossy(data).to_ascii_lowercase().contains(DIGEST));
    }
}

/// Whether the package verifies with `text`, signed by somebody whom the user trusts.
pub fn verifies(text: &[u8]) -> bool {
    static KEY: LazyLock<Cert> =
        LazyLock::new(|| Cert::from_bytes(include_bytes!("../../testdata/keys/tour.sec.asc")).expect("a key"));
    static REQUIREMENT: LazyLock<Requirement> =
        LazyLock::new(|| requirement(&[include_bytes!("../../testdata/keys/tour.asc")]));
    let message = sign(text, &KEY).expect("a text can be signed");
    verify(&message, &REQUIREMENT).is_ok_and(|verified| matches!(verified.evidence(), Evidence::Signature(_)))
}

fn requirement(keys: &[&[u8]]) -> Requirement {
    let mut keyring = Keyring::from_bytes(&[], Path::new("keyring")).expect("nothing in it can be wrong");
    for key in keys {
        keyring.merge(Keyring::from_bytes(key, Path::new("keyring")).expect("a key"));
    }
    Requirement::Signature { keyring, allow_expired_key: true, instead: Instead::ObjectId }
}

/// Verifies the package with `provenance` beside it.
fn verify(provenance: &[u8], requirement: &Requirement) -> Result<VerifiedPackage, ()> {
    let limits = Limits::default();
    let dir = directory();
    let package = dir.path().join("p-1.0.0.tgz");
    fs::write(&package, PACKAGE).expect("the directory can be written");
    fs::write(dir.path().join("p-1.0.0.tgz.prov"), provenance).expect("the directory can be written");
    let options = FetchOptions { limits: limits.clone(), ..FetchOptions::default() };
    let fetched = source::examine(&package, &options, &NoReport).map_err(drop)?;
    assert_eq!(fetched.digest().to_string(), DIGEST);
    provenance::verify(fetched, requirement, &limits).map_err(drop)
}

/// `text` in a signed message.
fn sign(text: &[u8], key: &Cert) -> openpgp::Result<Vec<u8>> {
    let policy = StandardPolicy::new();
    let mut keys = key.keys().with_policy(&policy, None).for_signing().secret();
    let key = keys.next().ok_or_else(|| openpgp::Error::InvalidArgument("no key that signs".to_owned()))?;
    let mut message = Vec::new();
    let signer = stream::Signer::new(stream::Message::new(&mut message), key.key().clone().into_keypair()?)?;
    let mut signer = signer.cleartext().build()?;
    signer.write_all(text)?;
    signer.finalize()?;
    Ok(message)
}

/// Any bytes as a tar archive, compressed by us so that the fuzzer need not find gzip's checksums, or as a whole package where the
/// first byte says so. Nothing is ever written outside the directory, and what unpacks has its manifest.
pub fn archive(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let base = directory();
    let (archive, into) = (base.path().join("a.tgz"), base.path().join("into"));
    fs::create_dir(&into).expect("the directory can be written");
    if kind % 4 == 0 {
        fs::write(&archive, data).expect("the directory can be written");
    } else {
        let file = fs::File::create(&archive).expect("the directory can be written");
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        encoder.write_all(data).and_then(|()| encoder.try_finish()).expect("the directory can be written");
    }
    let limits = Limits { entries: 1000, file_bytes: 1 << 20, total_bytes: 4 << 20, ..Limits::default() };
    let inspected = package::inspect(&archive, &limits);
    let unpacked = package::unpack(&archive, &archive, &into, &limits, &NoReport);
    if let Ok(unpacked) = &unpacked {
        assert!(unpacked.root.starts_with(&into) && unpacked.root.join("plugin.yaml").is_file());
        assert!(inspected.is_ok());
    }
    let names = fs::read_dir(base.path()).expect("the directory is there");
    let mut names: Vec<_> = names.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    names.sort();
    assert_eq!(names, ["a.tgz", "into"]);
}

/// A directory for one input, in memory where that can be had.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary directory")
}
