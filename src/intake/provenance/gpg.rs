//! Signing through GnuPG, for keys that only its agent or a smart card holds: they never leave it.
//!
//! What `gpg` writes is not trusted: [`mod@super::sign`] reads and verifies it like anybody's.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sequoia_openpgp::Fingerprint;
use sequoia_openpgp::crypto::Password;

use crate::text::Sanitized;

/// The program.
const GPG: &str = "gpg";

/// How long it may take where nobody is asked for anything, as agents and cards go.
const UNASKED: Duration = Duration::from_secs(60);

/// How long it may take where somebody may have to find their passphrase, or their card.
const ASKED: Duration = Duration::from_secs(600);

/// How long to sleep between two looks at whether it has ended.
const NAP: Duration = Duration::from_millis(10);

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
    /// The key has a passphrase, and nobody can be asked for it.
    #[error(
        "the key has a passphrase that `{GPG}` could not ask for: give it with `--passphrase-file FILE` (`-` is standard input)"
    )]
    NoPassphrase,
    /// It did not end.
    #[error("`{GPG}` did not answer within {} seconds and was ended; if it waits for a passphrase, give it with `--passphrase-file FILE` (`-` is standard input)", limit.as_secs())]
    TimedOut {
        /// How long it was waited for.
        limit: Duration,
    },
    /// It said no.
    #[error("`{GPG}` failed: {message}")]
    Failed {
        /// What it said, safe to show.
        message: String,
        /// Whether it needed a passphrase that nobody gave it.
        no_passphrase: bool,
    },
}

/// The fingerprints of the keys whose secret part GnuPG has, in its agent or on a card.
pub(super) fn secret_keys() -> Result<HashSet<Fingerprint>, GpgError> {
    let mut command = Command::new(GPG);
    command.args(["--batch", "--with-colons", "--list-secret-keys"]);
    let (listing, _) = run(command, b"", UNASKED)?;
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
    let asks = passphrase.is_none() && can_ask();
    if let Some(passphrase) = passphrase {
        // Before the text, since nothing but the first line is read as the passphrase: so it is in no argument and no file.
        command.args(["--pinentry-mode", "loopback", "--passphrase-fd", "0"]);
        passphrase.map(|bytes| input.extend_from_slice(bytes));
        input.push(b'\n');
    } else if !asks {
        // What its agent knows, or needs no passphrase, still signs.
        command.args(["--pinentry-mode", "error"]);
    }
    input.extend_from_slice(text.as_bytes());
    command.arg("--clearsign");
    let signed = run(command, &input, if asks { ASKED } else { UNASKED });
    let (message, said) = signed.map_err(|error| match error {
        GpgError::Failed { no_passphrase: true, .. } if passphrase.is_none() => GpgError::NoPassphrase,
        error => error,
    })?;
    // The exit code alone does not tell: it is zero after some failures.
    if said.lines().any(|line| line.starts_with("[GNUPG:] SIG_CREATED ")) { Ok(message) } else { Err(failed(&said)) }
}

/// Whether its agent could ask somebody: on a terminal, or in a window.
fn can_ask() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    // Elsewhere windows need no variable.
    cfg!(not(target_os = "linux"))
        || std::fs::File::open("/dev/tty").is_ok()
        || ["DISPLAY", "WAYLAND_DISPLAY", "GPG_TTY"].into_iter().any(set)
}

/// Runs `command` with `input`, for no longer than `limit`; gives standard output and standard error.
fn run(mut command: Command, input: &[u8], limit: Duration) -> Result<(Vec<u8>, String), GpgError> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => GpgError::NotInstalled,
        _ => GpgError::Run { source },
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A text of a few lines fits into the pipe, so this cannot wait for a reader. That it has gone shows in its exit code.
        let _ = stdin.write_all(input);
    }
    let (stdout, stderr) = (read_all(child.stdout.take()), read_all(child.stderr.take()));
    let failed_to_run = |source| GpgError::Run { source };
    let Some(status) = wait(&mut child, limit).map_err(failed_to_run)? else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(GpgError::TimedOut { limit });
    };
    let all = |reader: thread::JoinHandle<io::Result<Vec<u8>>>| {
        reader.join().unwrap_or_else(|_| Err(io::Error::other("its reader ended early"))).map_err(failed_to_run)
    };
    let (stdout, stderr) = (all(stdout)?, all(stderr)?);
    let said = String::from_utf8_lossy(&stderr).into_owned();
    if status.success() { Ok((stdout, said)) } else { Err(failed(&said)) }
}

/// Reads a pipe to its end, beside others.
fn read_all(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<io::Result<Vec<u8>>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        match pipe {
            Some(mut pipe) => pipe.read_to_end(&mut bytes).map(|_| bytes),
            None => Ok(bytes),
        }
    })
}

/// Waits for `child` to end; `None` where it did not within `limit`.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        match child.try_wait()? {
            None if start.elapsed() < limit => thread::sleep(NAP),
            ended => return Ok(ended),
        }
    }
}

/// Whether it failed because nobody gave it a passphrase: by the codes of its library, which no language changes.
fn lacks_passphrase(said: &str) -> bool {
    const TIMEOUT: u32 = 62;
    const NO_PIN_ENTRY: u32 = 85;
    const NO_PASSPHRASE: u32 = 177;
    // Errors of the system, as where the program that asks finds no terminal.
    const SYSTEM: u32 = 0x8000;
    let codes = said.lines().filter_map(|line| line.strip_prefix("[GNUPG:] FAILURE sign "));
    let mut codes = codes.filter_map(|code| code.trim().parse::<u32>().ok()).map(|code| code & 0xffff);
    codes.any(|code| matches!(code, TIMEOUT | NO_PIN_ENTRY | NO_PASSPHRASE) || code & SYSTEM != 0)
}

/// What it said to people, without the status lines that are for programs.
fn failed(said: &str) -> GpgError {
    let lines =
        said.lines().filter(|line| !line.starts_with("[GNUPG:]")).map(|line| line.trim_start_matches("gpg: ").trim());
    let message = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let message = if message.is_empty() { "it gave no reason" } else { &message };
    GpgError::Failed { message: Sanitized(message).to_string(), no_passphrase: lacks_passphrase(said) }
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
        for (code, expected) in [(67_108_949, true), (83_918_950, true), (67_108_881, false), (83_886_179, false)] {
            assert_eq!(lacks_passphrase(&format!("[GNUPG:] FAILURE sign {code}\n")), expected, "{code}");
        }
    }
}
