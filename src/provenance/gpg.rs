//! Signing through GnuPG, for keys that only its agent or a smart card holds: they never leave it.
//!
//! What `gpg` writes is not trusted: [`super::sign`] reads and verifies it like anybody's.

use std::collections::HashSet;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use sequoia_openpgp::Fingerprint;
use sequoia_openpgp::crypto::Password;

use crate::text::Plain;

/// The program.
const GPG: &str = "gpg";

/// Why GnuPG did not sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpgError {
    /// The program is not there.
    #[error(
        "`{GPG}` is not installed, and the keyring holds the public part of the key alone: install GnuPG, or name a file with the secret key"
    )]
    NotInstalled,
    /// It cannot be started, or talking with it failed.
    #[error("cannot run `{GPG}`")]
    Run {
        /// What starting it or talking with it gave.
        #[source]
        source: io::Error,
    },
    /// It said no.
    #[error("`{GPG}` failed: {message}")]
    Failed {
        /// What it said, safe to show.
        message: String,
    },
}

/// The fingerprints of the keys whose secret part GnuPG has, in its agent or on a card.
pub(super) fn secret_keys() -> Result<HashSet<Fingerprint>, GpgError> {
    let mut command = Command::new(GPG);
    command.args(["--batch", "--with-colons", "--list-secret-keys"]);
    let (listing, _) = run(command, b"")?;
    Ok(read_listing(&String::from_utf8_lossy(&listing)))
}

/// Reads a listing: a line for a key, where field 15 is `#` if its secret part is elsewhere, then one with its fingerprint.
fn read_listing(listing: &str) -> HashSet<Fingerprint> {
    let mut keys = HashSet::new();
    let mut here = false;
    for line in listing.lines() {
        let fields: Vec<_> = line.split(':').collect();
        match fields.first() {
            Some(&("sec" | "ssb")) => here = fields.get(14) != Some(&"#"),
            Some(&"fpr") if here => keys.extend(fields.get(9).and_then(|hex| hex.parse::<Fingerprint>().ok())),
            _ => {}
        }
    }
    keys
}

/// A cleartext-signed message with `text`, signed by exactly this key. Its agent asks for the passphrase, if it needs one, unless
/// it is given here.
pub(super) fn clearsign(key: &Fingerprint, text: &str, passphrase: Option<&Password>) -> Result<Vec<u8>, GpgError> {
    let mut input = Vec::new();
    let mut command = Command::new(GPG);
    command
        .args(["--batch", "--status-fd", "2", "--no-emit-version", "--no-comments", "--digest-algo", "SHA512"])
        // Without the exclamation mark it may take another key of the same certificate.
        .args(["--local-user", &format!("{}!", key.to_hex()), "--output", "-"]);
    if let Some(passphrase) = passphrase {
        // Before the text, since nothing but the first line is read as the passphrase: so it is in no argument and no file.
        command.args(["--pinentry-mode", "loopback", "--passphrase-fd", "0"]);
        passphrase.map(|bytes| input.extend_from_slice(bytes));
        input.push(b'\n');
    }
    input.extend_from_slice(text.as_bytes());
    command.arg("--clearsign");
    let (message, said) = run(command, &input)?;
    // The exit code alone does not tell: it is zero after some failures.
    if said.lines().any(|line| line.starts_with("[GNUPG:] SIG_CREATED ")) { Ok(message) } else { Err(failed(&said)) }
}

/// Runs `command` with `input`; gives standard output and standard error.
fn run(mut command: Command, input: &[u8]) -> Result<(Vec<u8>, String), GpgError> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => GpgError::NotInstalled,
        _ => GpgError::Run { source },
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A text of a few lines fits into the pipe, so this cannot wait for a reader. That it has gone shows in its exit code.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(|source| GpgError::Run { source })?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok((output.stdout, said)) } else { Err(failed(&said)) }
}

/// What it said to people, without the status lines that are for programs.
fn failed(said: &str) -> GpgError {
    let lines =
        said.lines().filter(|line| !line.starts_with("[GNUPG:]")).map(|line| line.trim_start_matches("gpg: ").trim());
    let message = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let message = if message.is_empty() { "it gave no reason" } else { &message };
    GpgError::Failed { message: Plain(message).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_whose_secret_part_is_elsewhere_are_left_out() {
        let listing = "\
sec:u:255:22:AAAAAAAAAAAAAAAA:1:::u:::scESC:::#::ed25519:::0:
fpr:::::::::1111111111111111111111111111111111111111:
grp:::::::::2222222222222222222222222222222222222222:
uid:u::::1::X::a <a@b.c>::::::::::0:
ssb:u:255:22:BBBBBBBBBBBBBBBB:1::::::s:::+::ed25519::
fpr:::::::::3333333333333333333333333333333333333333:
ssb:u:255:22:CCCCCCCCCCCCCCCC:1::::::s:::D2760001240102000005000012345678::ed25519::
fpr:::::::::4444444444444444444444444444444444444444:
";
        let keys: Vec<_> = ["3", "4"].iter().map(|digit| digit.repeat(40).parse().unwrap()).collect();
        assert_eq!(read_listing(listing), keys.into_iter().collect());
    }

    #[test]
    fn a_failure_names_what_it_said() {
        let error = failed("[GNUPG:] KEYEXPIRED 1\ngpg: signing failed: No secret key\n\n");
        assert_eq!(error.to_string(), "`gpg` failed: signing failed: No secret key");
    }
}
