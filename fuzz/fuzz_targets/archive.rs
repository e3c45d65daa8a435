//! Any bytes as a tar archive, compressed by us so that the fuzzer need not find gzip's checksums, and any bytes as a whole
//! package. Nothing is ever written outside the directory, and what unpacks has its manifest.
#![no_main]

use std::fs;
use std::io::Write as _;

use plugsmith::package;
use plugsmith::report::Silent;
use plugsmith::settings::Limits;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    let base = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (archive, into) = (base.path().join("a.tgz"), base.path().join("into"));
    fs::create_dir(&into).unwrap();
    if kind % 4 == 0 {
        fs::write(&archive, data).unwrap();
    } else {
        let mut encoder = flate2::write::GzEncoder::new(fs::File::create(&archive).unwrap(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap();
    }
    let limits = Limits { entries: 1000, file_bytes: 1 << 20, total_bytes: 4 << 20, ..Limits::default() };
    let inspected = package::inspect(&archive, &limits);
    let unpacked = package::unpack(&archive, &archive, &into, &limits, &Silent);
    if let Ok(unpacked) = &unpacked {
        assert!(unpacked.root.starts_with(&into) && unpacked.root.join("plugin.yaml").is_file());
        assert!(inspected.is_ok());
    }
    let mut names: Vec<_> = fs::read_dir(base.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.tgz", "into"]);
});
