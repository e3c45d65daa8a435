//! GnuPG and Helm as peers: they verify what we sign, and we what they sign; GnuPG also signs for us. These tests run where
//! `PLUGSMITH_PEERS` is `1`; those with Helm want a Helm 4 on the `PATH`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::super::*;
use super::fetched;
use super::signing::{FILE_NAME, digest, keys, metadata, none, verified};
use crate::manifest;
use crate::settings::Limits;

fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(path)
}

/// A home directory of GnuPG with these keys in it, or nothing where peers are not asked for.
struct Home(tempfile::TempDir);

impl Home {
    fn with(names: &[&str]) -> Option<Self> {
        if std::env::var_os("PLUGSMITH_PEERS").is_none_or(|value| value != "1") {
            eprintln!("skipped: set PLUGSMITH_PEERS=1 to test against GnuPG");
            return None;
        }
        // The agent's socket lies in it, and the name of a socket must be short.
        let home = Self(tempfile::Builder::new().prefix("g").tempdir_in("/tmp").unwrap());
        for name in names {
            let output = home.run(Command::new("gpg").args(["--batch", "--import"]).arg(testdata("keys").join(name)));
            assert!(output.status.success(), "{output:?}");
        }
        Some(home)
    }

    fn run(&self, command: &mut Command) -> Output {
        command.env("GNUPGHOME", self.0.path()).output().unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.run(Command::new("gpgconf").args(["--kill", "all"]));
    }
}

#[test]
fn k4_gnupg_verifies_what_we_sign() {
    let Some(home) = Home::with(&["rsa.pgp", "sub.pgp"]) else { return };
    for secret in ["rsa.secret", "sub.secret", "offline.secret"] {
        let key = SigningKey::find(&keys(&[secret]), None).unwrap();
        let file = home.0.path().join("provenance");
        std::fs::write(&file, sign(&metadata(), FILE_NAME, &digest(), &key, &mut none).unwrap()).unwrap();
        let output = home.run(Command::new("gpg").args(["--batch", "--status-fd", "1", "--verify"]).arg(&file));
        let status = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && status.contains("[GNUPG:] VALIDSIG"), "{secret}: {output:?}");
    }
}

/// Runs the test `name` of this module in a process of its own, whose GnuPG has this home directory.
fn in_home(home: &Home, name: &str) {
    let test = format!("{}::{name}", module_path!().split_once("::").unwrap().1);
    let output = home.run(Command::new(std::env::current_exe().unwrap()).args(["--exact", &test, "--ignored"]));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn k6_gnupg_signs_where_the_keyring_has_the_public_part_alone() {
    for secret in ["sub.secret", "offline.secret"] {
        let Some(home) = Home::with(&[secret]) else { return };
        in_home(&home, "inner_gnupg_signs");
    }
}

#[test]
#[ignore = "needs a home directory of GnuPG; another test runs it"]
fn inner_gnupg_signs() {
    // Of two public keys the one is taken whose secret part GnuPG has.
    for keyring in [keys(&["sub.pgp"]), keys(&["rsa.pgp", "sub.pgp"])] {
        let key = SigningKey::find(&keyring, None).unwrap();
        assert!(key.is_in_gnupg());
        let provenance = sign(&metadata(), FILE_NAME, &digest(), &key, &mut none).unwrap();
        assert!(verified(provenance, keys(&["sub.pgp"])).subkey.is_some());
    }
    let error = SigningKey::find(&keys(&["rsa.pgp"]), None).unwrap_err();
    assert!(matches!(error, SignError::NoSecret { .. }), "{error}");
}

#[test]
fn p23_gnupgs_own_keybox_is_read() {
    let Some(home) = Home::with(&["rsa.pgp", "sub.pgp", "p256.pgp"]) else { return };
    assert_eq!(Keyring::load(&home.0.path().join("pubring.kbx")).unwrap().len(), 3);
    assert_eq!(Keyring::load(home.0.path()).unwrap().len(), 3);
}

/// The manifest of the package in the fixtures.
const MANIFEST: &str = "apiVersion: v1\nname: foo\nversion: 1.0.0\ntype: cli/v1\nruntime: subprocess\n\
                        runtimeConfig:\n  platformCommand:\n  - command: echo\n";

/// Runs `helm` with a home directory of its own; nothing where there is none.
fn helm(home: &Home, arguments: &[&std::ffi::OsStr]) -> Option<Output> {
    let output = Command::new("helm").args(arguments).env("HOME", home.0.path()).output();
    match output {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: there is no helm on the PATH");
            None
        }
        output => Some(output.unwrap()),
    }
}

#[test]
fn k4_helm_verifies_what_we_sign() {
    let Some(home) = Home::with(&[]) else { return };
    let copy = home.0.path().join("foo-1.0.0.tgz");
    std::fs::copy(testdata("provenance/foo-1.0.0.tgz"), &copy).unwrap();
    let (digest, _) = Sha256Digest::of_file(&copy).unwrap();
    let metadata = manifest::parse(MANIFEST.as_bytes(), Path::new("plugin.yaml")).unwrap();
    for (secret, public) in [("rsa.secret", "rsa.pgp"), ("sub.secret", "sub.pgp"), ("offline.secret", "sub.pgp")] {
        let key = SigningKey::find(&keys(&[secret]), None).unwrap();
        let provenance = sign(&metadata, "foo-1.0.0.tgz", &digest, &key, &mut none).unwrap();
        std::fs::write(home.0.path().join("foo-1.0.0.tgz.prov"), provenance).unwrap();
        let keyring = testdata("keys").join(public);
        let arguments = ["plugin".as_ref(), "verify".as_ref(), copy.as_os_str(), "--keyring".as_ref(), keyring.as_os_str()];
        let Some(output) = helm(&home, &arguments) else { return };
        assert!(output.status.success(), "{secret}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(&key.fingerprint()), "{output:?}");
    }
}

#[test]
fn k4_we_verify_what_helm_signs() {
    let Some(home) = Home::with(&[]) else { return };
    let folder = home.0.path().join("foo");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("plugin.yaml"), MANIFEST).unwrap();
    let keyring = testdata("keys/rsa.secret");
    let arguments = [
        "plugin".as_ref(),
        "package".as_ref(),
        folder.as_os_str(),
        "--sign".as_ref(),
        "--key".as_ref(),
        "rsa".as_ref(),
        "--keyring".as_ref(),
        keyring.as_os_str(),
        "--destination".as_ref(),
        home.0.path().as_os_str(),
    ];
    let Some(output) = helm(&home, &arguments) else { return };
    assert!(output.status.success(), "{output:?}");
    let (digest, _) = Sha256Digest::of_file(&home.0.path().join("foo-1.0.0.tgz")).unwrap();
    let provenance = std::fs::read(home.0.path().join("foo-1.0.0.tgz.prov")).unwrap();
    let requirement =
        Requirement::Signature { keyring: keys(&["rsa.pgp"]), allow_expired_key: false, instead: Instead::ObjectId };
    let verified = verify(fetched("foo-1.0.0.tgz", digest, Some(provenance)), &requirement, &Limits::default()).unwrap();
    verified.check_manifest(&manifest::parse(MANIFEST.as_bytes(), Path::new("plugin.yaml")).unwrap()).unwrap();
}
