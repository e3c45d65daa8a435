//! Any bytes as a provenance: the strict reader of the message, the signatures in it and the signed statement. Nothing that
//! nobody signed may ever verify.
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use plugsmith::provenance::{self, Keyring, Message, Requirement};
use plugsmith::report::Silent;
use plugsmith::settings::Limits;
use plugsmith::source::{self, FetchOptions};

/// The key of somebody who signed nothing: whatever verifies with it is a forgery.
static REQUIREMENT: LazyLock<Requirement> = LazyLock::new(|| Requirement::Signature {
    keyring: Keyring::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/keys/stranger.asc"))).unwrap(),
    allow_expired_key: true,
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    if let Ok(message) = Message::read(data, &limits) {
        assert!(!message.text().contains(['\r', '\0', '\u{1b}']));
    }
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let package = dir.path().join("p-1.0.0.tgz");
    fs::write(&package, b"a package").unwrap();
    fs::write(dir.path().join("p-1.0.0.tgz.prov"), data).unwrap();
    let options = FetchOptions { want_provenance: true, limits: limits.clone(), ..FetchOptions::default() };
    let fetched = source::examine(&package, &options, &Silent);
    assert!(fetched.is_err() || provenance::verify(fetched.unwrap(), &REQUIREMENT, &limits).is_err());
});
