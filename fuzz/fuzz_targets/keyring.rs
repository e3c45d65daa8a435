//! Any bytes as a keyring: binary, armored, concatenated, or a GnuPG keybox.
#![no_main]

use std::io::Write as _;

use plugsmith::provenance::Keyring;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut file = tempfile::NamedTempFile::new_in("/dev/shm").or_else(|_| tempfile::NamedTempFile::new()).unwrap();
    file.write_all(data).unwrap();
    if let Ok(keyring) = Keyring::load(file.path()) {
        let _ = keyring.describe();
        let _ = keyring.signers();
    }
});
