//! What of a plugin may be started or read as instructions: one list, which the gate makes and every start asks.
//!
//! What the gate compared stands in it as it was then. Anything else in the plugin's directory is looked up in the receipt at the
//! moment when it is wanted, and is refused where the receipt does not know it.

use std::fs::{self, File};
use std::io::{self, Seek as _};
use std::path::{Component, Path, PathBuf};

use crate::digest::Sha256Digest;
use crate::stamp::CheckedFiles;

use super::receipt::{Receipt, ReceiptFile};
use super::tree::{FileRecord, TreeId};

/// What of a plugin may be started or read as instructions.
#[derive(Debug, Clone, Default)]
pub struct StartAllowlist {
    /// The plugin's directory.
    dir: PathBuf,
    /// Nothing where nobody knows what belongs to it: a link for development, a plugin without a receipt, a gate that is off.
    known: Option<KnownFiles>,
}

#[derive(Debug, Clone)]
struct KnownFiles {
    checked: CheckedFiles,
    receipt: PathBuf,
}

/// What [`StartAllowlist`] says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileStanding {
    /// Nobody knows what belongs to the plugin, or the file is not in its directory.
    Unchecked,
    /// It is what was installed.
    Installed,
    /// It is not what was installed, or what was compared a moment ago.
    Replaced,
    /// It was not installed.
    Unknown,
}

impl StartAllowlist {
    /// The list of what was `checked` in `dir`, and beyond it of what the receipt at `receipt` knows.
    pub(crate) fn new(dir: &Path, checked: CheckedFiles, receipt: PathBuf) -> Self {
        Self { dir: dir.to_owned(), known: Some(KnownFiles { checked, receipt }) }
    }

    /// What the list says of the opened `file` at `path`; `metadata` is the file's own.
    pub(crate) fn standing(&self, path: &Path, file: &File, metadata: &fs::Metadata) -> io::Result<FileStanding> {
        let (Some(known), Some(name)) = (&self.known, self.name_of(path)) else { return Ok(FileStanding::Unchecked) };
        let same = match known.checked.is_unchanged(&name, file, metadata) {
            Some(same) => same?,
            None => match known.record(&self.dir, &name)? {
                None => return Ok(FileStanding::Unknown),
                Some(record) => {
                    let mut reader = file;
                    reader.rewind()?;
                    record.size == metadata.len() && Sha256Digest::of_reader(reader)?.0 == record.sha256
                }
            },
        };
        Ok(if same { FileStanding::Installed } else { FileStanding::Replaced })
    }

    /// What the list says of the file called `name` with these `bytes`, which are all that is used of it.
    pub fn standing_of_bytes(&self, name: &str, bytes: &[u8]) -> io::Result<FileStanding> {
        let Some(known) = &self.known else { return Ok(FileStanding::Unchecked) };
        let digest = match known.checked.digest(name) {
            Some(digest) => Some(digest),
            None => known.record(&self.dir, name)?.map(|record| record.sha256),
        };
        Ok(match digest {
            None => FileStanding::Unknown,
            Some(digest) if digest == Sha256Digest::of(bytes) => FileStanding::Installed,
            Some(_) => FileStanding::Replaced,
        })
    }

    /// Whether the list is about the file at `path`.
    pub(crate) fn covers(&self, path: &Path) -> bool {
        self.known.is_some() && self.name_of(path).is_some()
    }

    /// The digest of what was compared at `name`, for who has its bytes anyway; an error where the list does not hold it.
    pub(crate) fn digest(&self, name: &str) -> Result<Option<Sha256Digest>, NotListed> {
        match &self.known {
            None => Ok(None),
            Some(known) => known.checked.digest(name).map(Some).ok_or(NotListed),
        }
    }

    /// The paths in the plugin's directory that `text` names by their full path.
    pub(crate) fn paths_in(&self, text: &str) -> Vec<PathBuf> {
        let Some(dir) = self.dir.to_str().filter(|dir| self.known.is_some() && !dir.is_empty()) else { return Vec::new() };
        let is_end = |c: char| c.is_whitespace() || c.is_control() || "\"'`;&|<>(){},:".contains(c);
        let mut found = Vec::new();
        for (at, _) in text.match_indices(dir) {
            let Some(rest) = text.get(at + dir.len()..).filter(|rest| rest.starts_with('/')) else { continue };
            // The whole text first: a file's name may hold spaces.
            let run = rest.split(is_end).next().unwrap_or_default();
            found.extend([rest, run].map(|path| PathBuf::from(format!("{dir}{path}"))));
            if found.len() > MAX_NAMED {
                break;
            }
        }
        found.dedup();
        found
    }

    /// `path` relative to the plugin's directory, with `/`; nothing where it is not in there.
    fn name_of(&self, path: &Path) -> Option<String> {
        let path = normalized(&std::path::absolute(path).ok()?);
        let mut name = String::new();
        for part in path.strip_prefix(normalized(&self.dir)).ok()?.components() {
            if !name.is_empty() {
                name.push('/');
            }
            // What is not UTF-8 is in no receipt: this name is in none either.
            name.push_str(&part.as_os_str().to_string_lossy());
        }
        Some(name)
    }
}

/// Files that one argument may name: the rest of one that names more is not looked at.
const MAX_NAMED: usize = 64;

/// The list does not hold a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotListed;

impl KnownFiles {
    /// What the receipt knows of the file called `name`, beyond what the gate compares: all of it is read for that.
    fn record(&self, dir: &Path, name: &str) -> io::Result<Option<FileRecord>> {
        let file = ReceiptFile::read(&self.receipt).map_err(io::Error::other)?;
        let receipt: Option<Receipt> = file.and_then(|file| file.of_tree(TreeId::of(dir).ok().flatten()));
        Ok(receipt.and_then(|receipt| receipt.file(name).cloned()))
    }
}

/// `path` without `.` and `..`, by its text alone.
fn normalized(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}
