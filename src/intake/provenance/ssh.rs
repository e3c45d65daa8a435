//! SSH signatures of git tags and commits, judged by `ssh-keygen` and a file of allowed signers, as git itself does it.
//!
//! The program says whether the signature is good and whose it is. What it signs with is read here before it is asked, so that
//! the floor under RSA keys is the same as for OpenPGP's, and an unknown key can be named.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::checker::ValidSignature;
use crate::files::{self, AllowedWriters, UntrustedFile};
use crate::text;

/// What opens such a signature.
pub(super) const OPENING: &[u8] = b"-----BEGIN SSH SIGNATURE-----";
const CLOSING: &str = "-----END SSH SIGNATURE-----";

/// What git's signatures are made for; one made for something else, such as a mail, says nothing about a tag.
const NAMESPACE: &str = "git";

/// Bits of an RSA key, at least.
const RSA_BITS: usize = 2048;

/// Principals of one key that are tried.
const PRINCIPALS: usize = 16;

/// Why an SSH signature does not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SshError {
    /// It is none.
    #[error("it is malformed: {reason}")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
    /// The key is too weak.
    #[error("its key {fingerprint} is {what}, which is too weak")]
    Weak {
        /// The key.
        fingerprint: String,
        /// What it is.
        what: String,
    },
    /// What it signs was made in the future.
    #[error("what it signs was made in the future ({at})")]
    Future {
        /// When it says it was made.
        at: Timestamp,
    },
    /// The key stands for nobody.
    #[error(
        "its key {fingerprint} is not in {}, or is no longer or not yet valid there; if you trust its owner, add a line with the key",
        path.display()
    )]
    Unknown {
        /// The key.
        fingerprint: String,
        /// The file of allowed signers.
        path: PathBuf,
    },
    /// The signature is bad.
    #[error("ssh-keygen refuses it: {said}")]
    Bad {
        /// What the program says, safe to show.
        said: String,
    },
    /// The file of allowed signers cannot be used.
    #[error("cannot read the allowed signers in {}", path.display())]
    AllowedSigners {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others may change the file of allowed signers.
    #[error(transparent)]
    Changeable(#[from] UntrustedFile),
    /// There is no such program, or no way to hand it the signature.
    #[error("the program `ssh-keygen` cannot be run or talked to; install OpenSSH")]
    NoProgram {
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Decides whether `signature` is one of `payload` by somebody whom the file `allowed` names. With `allow_expired_key` a key
/// need only have been valid when the payload says that it was signed.
pub(super) fn check(
    signature: &[u8],
    payload: &[u8],
    allowed: &Path,
    allow_expired_key: bool,
) -> Result<ValidSignature, SshError> {
    let key = key_of(signature)?;
    let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&key)));
    if let Some(what) = weakness(&key)? {
        return Err(SshError::Weak { fingerprint, what });
    }
    let signed_at = signed_at(payload).ok_or(SshError::Malformed { reason: "what it signs has no date" })?;
    if signed_at > Timestamp::now() {
        return Err(SshError::Future { at: signed_at });
    }
    let unreadable = |source| SshError::AllowedSigners { path: allowed.to_owned(), source };
    let metadata = std::fs::metadata(allowed).map_err(unreadable)?;
    if !metadata.is_file() {
        // A pipe would have to be read twice.
        return Err(unreadable(io::ErrorKind::InvalidInput.into()));
    }
    files::refuse_untrusted(allowed, &metadata, AllowedWriters::Group, 1)?;
    let scratch = tempfile::NamedTempFile::new().and_then(|mut file| file.write_all(signature).map(|()| file));
    let scratch = scratch.map_err(|source| SshError::NoProgram { source })?;
    let run = |action: &str, more: &[&str], time: Option<&str>, input: &[u8]| {
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", action, "-f"]).arg(allowed).arg("-s").arg(scratch.path()).args(more);
        command.args(time.map(|time| format!("-Overify-time={time}")));
        command.env("LC_ALL", "C");
        finish(command, input).map_err(|source| SshError::NoProgram { source })
    };
    let now = None;
    let then = signed_at.strftime("%Y%m%d%H%M%SZ").to_string();
    let mut found = run("find-principals", &[], now, b"")?;
    let mut key_expired = false;
    if !found.status.success() && allow_expired_key {
        found = run("find-principals", &[], Some(&then), b"")?;
        key_expired = true;
    }
    if !found.status.success() {
        return Err(SshError::Unknown { fingerprint, path: allowed.to_owned() });
    }
    let time = key_expired.then_some(then.as_str());
    let mut said = "nobody is named for its key".to_owned();
    for principal in String::from_utf8_lossy(&found.stdout).lines().filter(|line| !line.is_empty()).take(PRINCIPALS) {
        let verified = run("verify", &["-n", NAMESPACE, "-I", principal], time, payload)?;
        if verified.status.success() {
            let user_id = principal.to_owned();
            return Ok(ValidSignature { fingerprint, user_id, subkey: None, signed_at, key_expired });
        }
        let complaint = if verified.stderr.is_empty() { &verified.stdout } else { &verified.stderr };
        said = text::sanitized(String::from_utf8_lossy(complaint).trim_end()).into_owned();
    }
    Err(SshError::Bad { said })
}

/// Runs a program that reads all of a small input, or stops reading it.
fn finish(mut command: Command, input: &[u8]) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take();
    let written = stdin.map_or(Ok(()), |mut stdin| stdin.write_all(input));
    let output = child.wait_with_output()?;
    match written {
        // It has said why on standard error.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(output),
        written => written.map(|()| output),
    }
}

/// The public key in an armored signature (`PROTOCOL.sshsig`).
fn key_of(signature: &[u8]) -> Result<Vec<u8>, SshError> {
    let malformed = |reason| SshError::Malformed { reason };
    let text = std::str::from_utf8(signature).map_err(|_| malformed("it is no text"))?.trim();
    let body = text.strip_prefix("-----BEGIN SSH SIGNATURE-----").and_then(|rest| rest.strip_suffix(CLOSING));
    let body: String = body.ok_or(malformed("it does not end"))?.split_whitespace().collect();
    let bytes = STANDARD.decode(body).map_err(|_| malformed("it is no base64"))?;
    let rest = bytes.strip_prefix(b"SSHSIG\0\0\0\x01").ok_or(malformed("it is of an unknown version"))?;
    let (key, rest) = string(rest).ok_or(malformed("it ends early"))?;
    match string(rest) {
        Some((namespace, _)) if namespace == NAMESPACE.as_bytes() => Ok(key.to_vec()),
        Some(_) => Err(malformed("it was made for something else than git")),
        None => Err(malformed("it ends early")),
    }
}

/// Why a key is too weak, if it is.
fn weakness(key: &[u8]) -> Result<Option<String>, SshError> {
    let early = SshError::Malformed { reason: "its key ends early" };
    let Some((kind, rest)) = string(key) else { return Err(early) };
    match kind {
        b"ssh-dss" => Ok(Some("a DSA key".to_owned())),
        b"ssh-rsa" => {
            let modulus = string(rest).and_then(|(_, rest)| string(rest));
            let Some((modulus, _)) = modulus else { return Err(early) };
            let leading = modulus.iter().take_while(|byte| **byte == 0).count();
            let bits =
                modulus.get(leading).map_or(0, |first| (modulus.len() - leading) * 8 - first.leading_zeros() as usize);
            Ok((bits < RSA_BITS).then(|| format!("an RSA key of {bits} bits")))
        }
        // A certificate is as good as the authority behind it, and that stands in the file of allowed signers.
        _ => Ok(None),
    }
}

/// A string of SSH's: four bytes of length, the bytes, and the rest.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// When a tag or commit says that it was made.
fn signed_at(payload: &[u8]) -> Option<Timestamp> {
    let mut headers = payload.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    let line = headers.find(|line| line.starts_with(b"tagger ") || line.starts_with(b"committer "))?;
    let line = String::from_utf8_lossy(line);
    let (_, time) = line.rsplit_once("> ")?;
    Timestamp::from_second(time.split(' ').next()?.parse().ok()?).ok()
}

/// Reads `data` as a signature of git's, for the fuzz targets: see [`crate::intake::source::read_foreign`].
pub(super) fn read_foreign(data: &[u8]) {
    if let Ok(key) = key_of(data) {
        let _ = weakness(&key);
    }
    let _ = weakness(data);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Key {
        dir: tempfile::TempDir,
        allowed: PathBuf,
    }

    impl Key {
        /// A new key, allowed as `principal` under `options`; `None` where there is no `ssh-keygen`.
        fn new(kind: &[&str], principal: &str, options: &str) -> Option<Self> {
            let dir = tempfile::tempdir().unwrap();
            let made = Command::new("ssh-keygen")
                .args(["-q", "-N", "", "-C", "", "-f"])
                .arg(dir.path().join("key"))
                .args(kind)
                .status()
                .ok()?;
            assert!(made.success());
            let public = std::fs::read_to_string(dir.path().join("key.pub")).unwrap();
            let allowed = dir.path().join("allowed_signers");
            std::fs::write(&allowed, format!("{principal} {options} {public}")).unwrap();
            Some(Self { dir, allowed })
        }

        fn sign(&self, payload: &[u8], namespace: &str) -> Vec<u8> {
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(self.dir.path().join("key"));
            let output = finish(command, payload).unwrap();
            assert!(output.status.success());
            output.stdout
        }
    }

    const TAG: &[u8] = b"object 1\ntype commit\ntag v1.0.0\ntagger A <a@example.com> 1700000000 +0100\n\nm\n";

    #[test]
    fn v_an_allowed_signer_is_believed_and_nobody_else() {
        let Some(key) = Key::new(&["-t", "ed25519"], "ann@example.com,bob@example.com", "namespaces=\"git\"") else {
            return eprintln!("skipped: there is no ssh-keygen");
        };
        let signature = key.sign(TAG, "git");
        let valid = check(&signature, TAG, &key.allowed, false).unwrap();
        assert_eq!((valid.user_id.as_str(), valid.signed_at.as_second()), ("ann@example.com", 1_700_000_000));
        let listed = Command::new("ssh-keygen").arg("-lf").arg(key.dir.path().join("key")).output().unwrap();
        assert!(String::from_utf8(listed.stdout).unwrap().contains(&valid.fingerprint), "{}", valid.fingerprint);

        let changed = [TAG, b"x"].concat();
        assert!(matches!(check(&signature, &changed, &key.allowed, false), Err(SshError::Bad { .. })));
        let other = Key::new(&["-t", "ed25519"], "ann@example.com", "").unwrap();
        assert!(matches!(check(&signature, TAG, &other.allowed, false), Err(SshError::Unknown { .. })));
        let mail = key.sign(TAG, "email");
        assert!(matches!(check(&mail, TAG, &key.allowed, false), Err(SshError::Malformed { .. })));
        let late = b"object 1\ntagger A <a@example.com> 32503680000 +0000\n\n";
        assert!(matches!(check(&key.sign(late, "git"), late, &key.allowed, false), Err(SshError::Future { .. })));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let chmod = |mode| std::fs::set_permissions(&key.allowed, std::fs::Permissions::from_mode(mode)).unwrap();
            chmod(0o666);
            assert!(matches!(check(&signature, TAG, &key.allowed, false), Err(SshError::Changeable(_))));
            chmod(0o644);
        }
        let gone = key.dir.path().join("gone");
        assert!(matches!(check(&signature, TAG, &gone, false), Err(SshError::AllowedSigners { .. })));
        let payload = b"object 1\n\ntagger A <a> 1 +0\n";
        assert!(matches!(check(&key.sign(payload, "git"), payload, &key.allowed, false), Err(SshError::Malformed { .. })));
    }

    #[test]
    fn v_an_expired_ssh_key_counts_only_where_it_is_allowed() {
        let Some(key) = Key::new(&["-t", "ed25519"], "ann@example.com", "valid-before=\"20231201\"") else {
            return eprintln!("skipped: there is no ssh-keygen");
        };
        let signature = key.sign(TAG, "git");
        assert!(matches!(check(&signature, TAG, &key.allowed, false), Err(SshError::Unknown { .. })));
        assert!(check(&signature, TAG, &key.allowed, true).unwrap().key_expired);
        let late = b"tagger A <a> 1702000000 +0000\n\n";
        assert!(matches!(check(&key.sign(late, "git"), late, &key.allowed, true), Err(SshError::Unknown { .. })));
    }

    #[test]
    fn v_weak_ssh_keys_are_refused() {
        for (bits, valid) in [("1024", false), ("2048", true)] {
            let Some(key) = Key::new(&["-t", "rsa", "-b", bits], "ann@example.com", "") else {
                return eprintln!("skipped: there is no ssh-keygen");
            };
            let judged = check(&key.sign(TAG, "git"), TAG, &key.allowed, false);
            assert_eq!(judged.is_ok(), valid, "{bits}");
            assert!(valid || matches!(judged, Err(SshError::Weak { .. })));
        }
    }

    proptest! {
        #[test]
        fn v_no_ssh_signature_panics(bytes in prop::collection::vec(any::<u8>(), 0..80), cut in 0_usize..40) {
            let _ = weakness(&bytes);
            let mut blob = b"SSHSIG\0\0\0\x01\0\0\0\x0b\0\0\0\x07ssh-rsa\0\0\0\x03git".to_vec();
            blob.truncate(cut.max(10));
            blob.extend(&bytes);
            let armored = format!("-----BEGIN SSH SIGNATURE-----\n{}\n{CLOSING}\n", STANDARD.encode(&blob));
            let _ = key_of(armored.as_bytes());
            let _ = key_of(&bytes);
            let _ = signed_at(&bytes);
        }
    }
}
