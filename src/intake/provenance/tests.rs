//! Tests of the whole room on real messages: what other programs wrote, and what we write ourselves.

mod made;
mod peers;
mod signing;

use std::path::{Path, PathBuf};

use super::*;
use crate::settings::Limits;

/// The folder of other projects' provenance, where it is there.
fn corpus() -> Option<PathBuf> {
    let root = match std::env::var_os("PLUGSMITH_CORPUS") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"),
    };
    let folder = root.join("provenance");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: {} does not exist; set PLUGSMITH_CORPUS", folder.display());
    None
}

/// A package as fetched, with this provenance.
fn fetched(file_name: &str, digest: Sha256Digest, provenance: Option<Vec<u8>>) -> FetchedPackage {
    let mut fetched = FetchedPackage::new(PathBuf::from("/nowhere"), file_name.to_owned(), digest, 0);
    fetched.provenance = provenance;
    fetched.provenance_at = format!("{file_name}.prov");
    fetched
}

fn requirement(keyring: &Path) -> Requirement {
    Requirement::Signature { keyring: Keyring::load(keyring).unwrap(), allow_expired_key: false, instead: Instead::ObjectId }
}

#[test]
fn k4_helms_own_vectors() {
    let Some(corpus) = corpus() else { return };
    let (digest, _) = Sha256Digest::of_file(&corpus.join("hashtest-1.2.3.tgz")).unwrap();
    let read = |name: &str| std::fs::read(corpus.join(name)).unwrap();
    let check = |prov: &str, keyring: &str| {
        verify(
            fetched("hashtest-1.2.3.tgz", digest, Some(read(prov))),
            &requirement(&corpus.join(keyring)),
            &Limits::default(),
        )
    };
    // Signed by Helm 3's old OpenPGP library, which writes wrong bit counts.
    for keyring in ["helm-test-key.pub", "helm-mixed-keyring.pub"] {
        for prov in ["hashtest-1.2.3.tgz.prov", "msgblock.yaml.asc"] {
            let verified = check(prov, keyring).unwrap();
            let Evidence::Signature(signature) = verified.evidence() else { panic!() };
            assert_eq!(signature.fingerprint, "5E615389B53CA37F0EE60BD3843BBF981FC18762");
            assert!(signature.user_id.ends_with("<helm-testing@helm.sh>"));
            assert_eq!(signature.other_name, None);
        }
    }
    let error = check("msgblock.yaml.tampered", "helm-test-key.pub").unwrap_err();
    assert!(
        matches!(&error, VerifyError::NoValidSignature { reasons, .. } if matches!(reasons[..], [SignatureProblem::Bad { .. }])),
        "{error:?}"
    );
    let error = check("hashtest-1.2.3.tgz.prov", "helm-password-key.secret").unwrap_err();
    assert!(
        matches!(&error, VerifyError::NoValidSignature { reasons, .. } if matches!(reasons[..], [SignatureProblem::UnknownSigner { .. }]))
    );
}
