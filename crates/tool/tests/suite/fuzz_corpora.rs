//! The fuzzers' corpora (`fuzz/corpus`), replayed through the functions that the fuzz targets call: what a fuzzer once found stays
//! mended, and no nightly toolchain is needed for that.

#[path = "../../../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is a library of its own for the fuzz targets")]
mod targets;

use std::fs;

use super::support::repository;

#[track_caller]
fn replay(target: &str, run: fn(&[u8])) {
    let mut paths: Vec<_> =
        fs::read_dir(repository("fuzz/corpus").join(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 20, "{target} has {} files", paths.len());
    for path in paths {
        let bytes = fs::read(&path).unwrap();
        let ended = std::panic::catch_unwind(|| run(&bytes));
        assert!(ended.is_ok(), "{}", path.display());
    }
}

#[test]
fn manifests() {
    replay("manifest", targets::manifest);
}

#[test]
fn provenances() {
    replay("provenance", targets::provenance);
}

#[test]
fn statements() {
    replay("statement", targets::statement);
}

#[test]
fn keyrings() {
    replay("keyring", targets::keyring);
}

#[test]
fn archives() {
    replay("archive", targets::archive);
}

#[test]
fn answers() {
    replay("answers", targets::answers);
}

#[test]
fn records() {
    replay("records", targets::records);
}

/// A statement of the corpus verifies: else the fuzzer would never get past the signature.
#[test]
fn a_good_statement_gets_through() {
    let good = fs::read(repository("fuzz/corpus/statement/good")).unwrap();
    assert!(targets::verifies(&good));
}
