//! What a file looks like from outside: as long as none of it changes, its bytes are taken to be the same. The gate writes
//! stamps into receipts and compares them; whoever starts a program compares the opened file with what the gate saw.
//!
//! What is done about a difference is theirs to say.

use std::fs::{File, Metadata};
use std::io::{self, Seek};

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;

/// How coarse the clocks of file systems are. What was written less than this before its stamp was taken could be written
/// again without the stamp showing it.
pub const CLOCK_TICK_NS: i64 = 10_000_000;

/// What a file looks like from outside, but for its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// When its bytes changed, in nanoseconds since 1970.
    pub modified: i64,
    /// When its bytes, mode, owner or links changed; 0 where the system does not tell.
    pub changed: i64,
    /// Its number in the file system; 0 where the system does not tell.
    pub inode: u64,
}

impl FileStamp {
    /// The stamp in `metadata`.
    #[cfg(unix)]
    pub fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let ns = |seconds: i64, ns: i64| seconds.saturating_mul(1_000_000_000).saturating_add(ns);
        Self {
            modified: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed: ns(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }

    /// The stamp in `metadata`.
    #[cfg(not(unix))]
    pub fn of(metadata: &Metadata) -> Self {
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
            .and_then(|since| i64::try_from(since.as_nanos()).ok())
            .unwrap_or_default();
        Self { modified, changed: 0, inode: 0 }
    }

    /// Whether a change after `taken_at`, when the stamp was taken, would show in it.
    pub fn shows_changes_after(&self, taken_at: i64) -> bool {
        self.modified.max(self.changed) < taken_at.saturating_sub(CLOCK_TICK_NS)
    }
}

/// The files that a check found to be good, as they were then: what is executed must still be one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckedFiles(Vec<CheckedFile>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct CheckedFile {
    path: String,
    sha256: Sha256Digest,
    size: u64,
    stamp: FileStamp,
}

impl CheckedFiles {
    /// Notes that the file at `path`, relative to the plugin's directory and with `/`, had the bytes of `sha256` when it had
    /// `metadata`.
    pub fn add(&mut self, path: &str, sha256: Sha256Digest, metadata: &Metadata) {
        self.0.push(CheckedFile { path: path.to_owned(), sha256, size: metadata.len(), stamp: FileStamp::of(metadata) });
    }

    /// Whether the file that was checked at `path` looked like `metadata`; `None` where none was.
    pub fn looked_like(&self, path: &str, metadata: &Metadata) -> Option<bool> {
        Some(self.find(path)?.looks_like(metadata))
    }

    /// Whether the opened `file` is what was checked at `path`; `None` where nothing was. Its bytes are read only where it looks
    /// other than then.
    pub fn is_unchanged(&self, path: &str, file: &File, metadata: &Metadata) -> Option<io::Result<bool>> {
        let checked = self.find(path)?;
        if checked.looks_like(metadata) {
            return Some(Ok(true));
        }
        if checked.size != metadata.len() {
            return Some(Ok(false));
        }
        let mut reader = file;
        let digest = reader.rewind().and_then(|()| Sha256Digest::of_reader(reader));
        Some(digest.map(|(sha256, _)| sha256 == checked.sha256))
    }

    /// The digest of what was checked at `path`, for who has its bytes anyway.
    pub fn digest(&self, path: &str) -> Option<Sha256Digest> {
        Some(self.find(path)?.sha256)
    }

    fn find(&self, path: &str) -> Option<&CheckedFile> {
        self.0.iter().find(|file| file.path == path)
    }
}

impl CheckedFile {
    fn looks_like(&self, metadata: &Metadata) -> bool {
        self.size == metadata.len() && self.stamp == FileStamp::of(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn s_an_opened_file_is_what_was_checked_or_has_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        fs::write(&path, "good").unwrap();
        let mut checked = CheckedFiles::default();
        checked.add("run", Sha256Digest::of(b"good"), &fs::metadata(&path).unwrap());
        let is = |path: &std::path::Path| {
            let file = File::open(path).unwrap();
            checked.is_unchanged("run", &file, &file.metadata().unwrap()).unwrap().unwrap()
        };
        assert!(is(&path));
        for (bytes, same) in [("evil", false), ("longer", false), ("good", true)] {
            let other = dir.path().join("other");
            fs::write(&other, bytes).unwrap();
            assert_eq!(is(&other), same, "{bytes}");
        }
        let file = File::open(&path).unwrap();
        assert!(checked.is_unchanged("other", &file, &file.metadata().unwrap()).is_none());
    }
}
