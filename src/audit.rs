//! The audit log: one line of JSON for every change of what is installed and trusted, and for every refusal
//! (`docs/using.md#the-audit-log`). It answers "since when, from where, by whom" long after receipts have been replaced.
//!
//! A line is appended in one write to a file that only grows, so that writers need not wait for each other. Where the file has grown
//! past its limit, whoever notices puts it aside as `.1`, under a lock that writers do not take. What is worth a line, and whether
//! a log that cannot be written stops the work, is [`crate::manager`]'s to say.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::error::{Classified, ErrorKind};
use crate::files;
use crate::host::Homes;
use crate::settings::AuditSettings;
use crate::text::{self, Sanitized};

/// The log's name in the data directory.
pub const FILE_NAME: &str = "audit.jsonl";

/// How many full files are kept beside the one that is written to.
pub const KEPT: u32 = 5;

/// Characters of one value: what a server or a plugin says must not fill the log.
const MAX_CHARS: usize = 2000;

/// What is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditEvent {
    /// A plugin was installed.
    Install,
    /// A plugin was updated.
    Update,
    /// A plugin went back to the version before.
    Rollback,
    /// The files of a plugin were put back.
    Restore,
    /// A plugin was uninstalled.
    Uninstall,
    /// A package or an installed plugin was not verified.
    VerifyFailed,
    /// The gate did not let a plugin run.
    GateRefused,
    /// A policy did not let something happen.
    PolicyRefused,
    /// Something was trusted.
    Trust,
    /// The keyring was changed.
    Keyring,
    /// A plugin was run.
    Run,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// It was done.
    Ok,
    /// It was not.
    Failed,
}

/// What is known of the plugin that an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditSubject {
    /// Its name.
    pub plugin: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Where it came from; what a URL should not tell is taken out when it is written.
    pub source: Option<String>,
    /// Why it was trusted: the word of receipts.
    pub verified_by: Option<&'static str>,
    /// Who signed it.
    pub signer: Option<String>,
    /// The digest of its package, as `sha256:...`.
    pub digest: Option<String>,
}

/// One line of the log: exactly these keys, in this order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AuditRecord<'a> {
    time: String,
    event: AuditEvent,
    plugin: Option<String>,
    version: Option<String>,
    source: Option<String>,
    verified_by: Option<&'a str>,
    signer: Option<String>,
    digest: Option<String>,
    user: String,
    outcome: AuditOutcome,
    error: Option<String>,
}

/// Why nothing was written down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The system refused.
    #[error("cannot write the audit log {}; check its mode and owner, or name another file in `audit.file` of config.yaml", Sanitized(&.path.to_string_lossy()))]
    Io {
        /// The log.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is there is nothing to append to: somebody may want another file to be written.
    #[error("the audit log {} is {what}, and is not written to; remove it, or name another file in `audit.file` of config.yaml", Sanitized(&.path.to_string_lossy()))]
    Odd {
        /// The log.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A policy wants every change written down, so that nothing is begun.
    #[error("the policy {at} asks for the audit log (`audit: required`), which cannot be written")]
    Required {
        /// The policy's file and line, safe to show.
        at: String,
        /// Why it cannot.
        source: Box<Self>,
    },
}

impl Classified for AuditError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }
}

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLog {
    path: PathBuf,
    max_bytes: u64,
}

impl AuditLog {
    /// The log of a host. Nothing is opened.
    pub fn of(homes: &Homes, settings: &AuditSettings) -> Self {
        let data = &homes.data.path;
        // A relative name must not depend on where the user is.
        let path = settings.file.as_ref().map_or_else(|| data.join(FILE_NAME), |file| data.join(file));
        Self { path, max_bytes: settings.max_bytes }
    }

    /// The file that is written to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that records can be written, for those who must not begin without.
    ///
    /// # Errors
    /// See [`AuditError`].
    pub fn ready(&self) -> Result<(), AuditError> {
        self.open().map(drop)
    }

    /// Appends a record: `error` is why it failed, where it did.
    ///
    /// # Errors
    /// See [`AuditError`].
    pub fn write(
        &self,
        event: AuditEvent,
        about: &AuditSubject,
        error: Option<&(dyn Error + 'static)>,
    ) -> Result<(), AuditError> {
        let bounded = |text: &String| text::sanitized(text).chars().take(MAX_CHARS).collect::<String>();
        let record = AuditRecord {
            time: format!("{:.3}", Timestamp::now()),
            event,
            plugin: about.plugin.as_ref().map(bounded),
            version: about.version.as_ref().map(bounded),
            source: about.source.as_deref().map(text::bare_source).as_ref().map(bounded),
            verified_by: about.verified_by,
            signer: about.signer.as_ref().map(bounded),
            digest: about.digest.as_ref().map(bounded),
            user: user(),
            outcome: if error.is_some() { AuditOutcome::Failed } else { AuditOutcome::Ok },
            error: error.map(|error| bounded(&text::bare_urls(&chain(error)))),
        };
        let mut line = serde_json::to_vec(&record).map_err(|e| self.failed(e.into()))?;
        line.push(b'\n');
        self.append(&line)
    }

    fn append(&self, line: &[u8]) -> Result<(), AuditError> {
        // Others may be faster, and then the file is another one; but a line is never left out for want of order.
        for _ in 0..100 {
            let (file, metadata) = self.open()?;
            let full = metadata.len() > 0 && metadata.len().saturating_add(line.len() as u64) > self.max_bytes;
            if !full {
                return self.write_whole(&file, line);
            }
            match file.try_lock() {
                Ok(()) => self.rotate(&metadata).map_err(|source| self.failed(source))?,
                Err(fs::TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(2)),
                // A file system without locks: two who rotate at once could lose a file, so nobody does.
                Err(fs::TryLockError::Error(_)) => break,
            }
        }
        self.write_whole(&self.open()?.0, line)
    }

    /// One write, which the system appends as a whole.
    fn write_whole(&self, mut file: &File, line: &[u8]) -> Result<(), AuditError> {
        match file.write(line) {
            Ok(written) if written == line.len() => Ok(()),
            Ok(_) => Err(self.failed(io::ErrorKind::WriteZero.into())),
            Err(source) => Err(self.failed(source)),
        }
    }

    /// Opens the log, and makes it where it is not there. Never what lies behind a link of any kind: in a directory of several
    /// users that would let one choose what another writes to.
    fn open(&self) -> Result<(File, fs::Metadata), AuditError> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // Not waiting is for fifos; to a file it means nothing.
            let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
            options.mode(0o600).custom_flags(flags.bits().cast_signed());
        }
        let opened = match options.open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = self.path.parent().unwrap_or(Path::new("/"));
                files::create_private_dir(parent).and_then(|()| options.open(&self.path))
            }
            opened => opened,
        };
        let odd = |what| AuditError::Odd { path: self.path.clone(), what };
        let file = match opened {
            Ok(file) => file,
            Err(_) if fs::symlink_metadata(&self.path).is_ok_and(|found| found.is_symlink()) => {
                return Err(odd("a symbolic link"));
            }
            Err(source) => return Err(self.failed(source)),
        };
        let metadata = file.metadata().map_err(|source| self.failed(source))?;
        if !metadata.is_file() {
            return Err(odd("no regular file"));
        }
        #[cfg(unix)]
        if std::os::unix::fs::MetadataExt::nlink(&metadata) > 1 {
            return Err(odd("a file with several names"));
        }
        Ok((file, metadata))
    }

    /// Puts the file aside that `full` describes, with the lock on it. Others may have done so before the lock was ours.
    fn rotate(&self, full: &fs::Metadata) -> io::Result<()> {
        if !self.is_same_file(full) {
            return Ok(());
        }
        for number in (1..KEPT).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.numbered(1))
    }

    fn is_same_file(&self, metadata: &fs::Metadata) -> bool {
        let there = fs::symlink_metadata(&self.path);
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            there.is_ok_and(|there| (there.dev(), there.ino()) == (metadata.dev(), metadata.ino()))
        }
        #[cfg(not(unix))]
        there.is_ok_and(|there| there.len() >= metadata.len())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut path = self.path.as_os_str().to_owned();
        path.push(format!(".{number}"));
        path.into()
    }

    fn failed(&self, source: io::Error) -> AuditError {
        AuditError::Io { path: self.path.clone(), source }
    }
}

/// An error and its causes in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut last = error.to_string();
    let mut text = last.clone();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        // Transparent wrappers say the same again.
        if said != last {
            text.push_str(": ");
            text.push_str(&said);
            last = said;
        }
        next = cause.source();
    }
    text
}

/// Who runs this program, by the system's word: a variable could say anything.
#[cfg(unix)]
fn user() -> String {
    let id = rustix::process::geteuid().as_raw();
    if id == 0 {
        return "root".to_owned();
    }
    // Where names come from elsewhere the number must do.
    const MAX_BYTES: u64 = 4 << 20;
    let passwd = files::read_bounded(Path::new("/etc/passwd"), MAX_BYTES).ok().flatten().unwrap_or_default();
    let name = String::from_utf8_lossy(&passwd).lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| id.to_string())
}

/// Who runs this program.
#[cfg(not(unix))]
fn user() -> String {
    std::env::var("USERNAME").unwrap_or_else(|_| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &Path, max_bytes: u64) -> AuditLog {
        AuditLog { path: dir.join("deep/audit.jsonl"), max_bytes }
    }

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_record_has_exactly_its_keys() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path(), 1 << 20);
        let about = AuditSubject {
            plugin: Some("p".to_owned()),
            source: Some("https://ann:pw@h/p.tgz?token=1".to_owned()),
            ..AuditSubject::default()
        };
        let error = io::Error::other("cannot fetch `https://ann:pw@h/p.tgz?token=1`");
        log.write(AuditEvent::VerifyFailed, &about, Some(&error)).unwrap();
        let line = &lines(log.path())[0];
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            ["time", "event", "plugin", "version", "source", "verifiedBy", "signer", "digest", "user", "outcome", "error"]
        );
        assert_eq!(line["event"], "verify-failed");
        assert_eq!(line["source"], "https://h/p.tgz");
        assert_eq!(line["error"], "cannot fetch `https://h/p.tgz`");
        assert_eq!(line["outcome"], "failed");
        assert!(line["version"].is_null());
        line["time"].as_str().unwrap().parse::<Timestamp>().unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(log.path()), mode(log.path().parent().unwrap())), (0o600, 0o700));
        }
    }

    #[test]
    fn what_others_say_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path(), 1 << 20);
        let about = AuditSubject { plugin: Some("é\n".repeat(100_000)), ..AuditSubject::default() };
        log.write(AuditEvent::Install, &about, Some(&io::Error::other("x".repeat(100_000)))).unwrap();
        assert!(fs::metadata(log.path()).unwrap().len() < 20_000);
        assert_eq!(lines(log.path()).len(), 1);
    }

    #[test]
    fn full_files_are_put_aside_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path(), 1);
        for number in 0..10 {
            let about = AuditSubject { version: Some(number.to_string()), ..AuditSubject::default() };
            log.write(AuditEvent::Install, &about, None).unwrap();
        }
        assert_eq!(lines(log.path())[0]["version"], "9");
        for number in 1..=KEPT {
            assert_eq!(lines(&log.numbered(number))[0]["version"], (9 - number).to_string());
        }
        assert!(!log.numbered(KEPT + 1).exists());
    }

    #[test]
    fn writers_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        // Room for all in the files that are kept, so that what is missing was lost.
        let log = log(dir.path(), 8000);
        thread::scope(|scope| {
            for writer in 0..8 {
                let log = &log;
                scope.spawn(move || {
                    for number in 0..20 {
                        let about = AuditSubject { plugin: Some(format!("{writer}-{number}")), ..AuditSubject::default() };
                        log.write(AuditEvent::Install, &about, None).unwrap();
                    }
                });
            }
        });
        let mut names: Vec<String> = (1..=KEPT)
            .map(|n| log.numbered(n))
            .chain([log.path.clone()])
            .flat_map(|path| lines(&path))
            .map(|line| line["plugin"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 160);
        assert!(log.numbered(1).exists());
    }

    #[cfg(unix)]
    #[test]
    fn s_links_and_odd_files_are_not_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path(), 1 << 20);
        fs::create_dir(dir.path().join("deep")).unwrap();
        let precious = dir.path().join("precious");
        fs::write(&precious, "x").unwrap();
        let write = || log.write(AuditEvent::Install, &AuditSubject::default(), None).unwrap_err().to_string();

        std::os::unix::fs::symlink(&precious, log.path()).unwrap();
        assert!(write().contains("a symbolic link"));
        fs::remove_file(log.path()).unwrap();
        fs::hard_link(&precious, log.path()).unwrap();
        assert!(write().contains("several names"));
        assert_eq!(fs::read(&precious).unwrap(), b"x");
        fs::remove_file(log.path()).unwrap();
        fs::create_dir(log.path()).unwrap();
        assert!(write().contains("cannot write"));
        fs::remove_dir(log.path()).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, log.path(), rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        // Nobody reads it, which the system says at once.
        assert!(write().contains("audit log"));
    }
}
