//! How the files of a plugin differ from what was installed.
//!
//! What a program makes beside itself when it runs, such as Python's `__pycache__`, is told apart: nothing executes it, and it lies where
//! the plugin has its files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::digest::Sha256Digest;
use crate::manifest::{self, FILE_NAME, MODULE_NAME, Metadata, completion};
use crate::settings::Limits;
use crate::text::Sanitized;

use super::receipt::{InstallKind, Receipt};
use super::tree::{self, FileRecord, FileStamp, TreeError};

/// Where Python keeps what it compiled.
const PYTHON_CACHE: &str = "__pycache__";

/// How the names of files end that interpreters and loaders take for programs, whatever their mode.
const PROGRAMS: [&str; 25] = [
    "sh", "bash", "zsh", "fish", "py", "pyc", "pyo", "pth", "rb", "pl", "pm", "js", "mjs", "cjs", "lua", "php", "ps1",
    "psm1", "so", "dylib", "dll", "exe", "jar", "class", "wasm",
];

/// How an installed file differs from its receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The file, relative to the plugin's directory; empty for the directory itself.
    pub path: String,
    /// What is different.
    pub kind: DifferenceKind,
}

/// What is different about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifferenceKind {
    /// Its bytes are others.
    Changed,
    /// It is gone.
    Missing,
    /// It was not installed.
    Added,
    /// It has become executable, or is no longer.
    Mode,
    /// It is something else: a link instead of a file, or the other way round.
    Kind,
}

impl DifferenceKind {
    /// What it is in one word, for lists and `-o json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Added => "added",
            Self::Mode => "mode",
            Self::Kind => "kind",
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str("its directory ")?,
            path => write!(f, "`{}` ", Sanitized(path))?,
        }
        f.write_str(match self.kind {
            DifferenceKind::Changed => "has changed",
            DifferenceKind::Missing => "is missing",
            DifferenceKind::Added => "was added",
            DifferenceKind::Mode => "may now be executed, or no longer may",
            DifferenceKind::Kind => "is something else now (a link, a file or a directory)",
        })
    }
}

/// What is found where all files of a plugin are compared with what was installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The differences, sorted by path.
    pub differences: Vec<Difference>,
    /// The files that were made when the plugin ran, sorted by path: no fault of anybody's.
    pub made: Vec<String>,
}

impl Comparison {
    /// Whether everything is as it was installed, and nothing more is there.
    pub fn is_empty(&self) -> bool {
        self.differences.is_empty() && self.made.is_empty()
    }
}

/// Tells what a program made when it ran from what somebody added.
struct GeneratedFiles<'a> {
    /// The directories that the plugin has.
    directories: BTreeSet<&'a str>,
    /// What its commands name.
    named: BTreeSet<String>,
}

impl<'a> GeneratedFiles<'a> {
    /// The rules for a plugin of these `files`. One that does not load made nothing.
    fn new(files: impl Iterator<Item = &'a str>, metadata: Option<&Metadata>) -> Self {
        let mut directories = BTreeSet::new();
        for file in files.filter(|_| metadata.is_some()) {
            directories.insert("");
            directories.extend(file.match_indices('/').filter_map(|(at, _)| file.get(..at)));
        }
        let named = metadata.map(|metadata| tree::named_paths(metadata, None)).unwrap_or_default();
        Self { directories, named }
    }

    /// Whether the file at `path`, which was not installed, was made when the plugin ran: nothing executes it, and it lies in a directory that
    /// the plugin has, or in a `__pycache__` there.
    fn is_made(&self, path: &str, metadata: &fs::Metadata) -> bool {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let (above, last) = directory.rsplit_once('/').unwrap_or(("", directory));
        let in_cache = last == PYTHON_CACHE && self.directories.contains(above);
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        let is_program = extension.is_some_and(|extension| PROGRAMS.contains(&extension.as_str())) && !in_cache;
        let is_instructions = matches!(path, FILE_NAME | MODULE_NAME | completion::FILE_NAME | completion::PROGRAM_NAME);
        (in_cache || self.directories.contains(directory))
            && metadata.is_file()
            && !tree::is_executable_mode(tree::mode(metadata), path)
            && !is_program
            && !is_instructions
            && !self.named.contains(path)
    }
}

/// Compares the files below `dir` with those that a package holds: path, digest and size of each.
///
/// # Errors
/// [`TreeError`], where a file cannot be read.
pub fn compare_with_package(
    dir: &Path,
    files: impl IntoIterator<Item = (String, Sha256Digest, u64)>,
    metadata: Option<&Metadata>,
    limits: &Limits,
) -> Result<Comparison, TreeError> {
    let mut expected: BTreeMap<String, (Sha256Digest, u64)> =
        files.into_iter().map(|(path, digest, size)| (path, (digest, size))).collect();
    let packed: Vec<String> = expected.keys().cloned().collect();
    let rules = GeneratedFiles::new(packed.iter().map(String::as_str), metadata);
    let (mut differences, mut made) = (Vec::new(), Vec::new());
    for (path, metadata) in tree::walk(dir, limits)? {
        let kind = match expected.remove(&path) {
            None if rules.is_made(&path, &metadata) => {
                made.push(path);
                continue;
            }
            None => DifferenceKind::Added,
            Some(_) if metadata.is_symlink() => DifferenceKind::Kind,
            Some((digest, size)) => {
                let same = metadata.len() == size && tree::record(dir, path.clone(), &metadata)?.sha256 == digest;
                if same {
                    continue;
                }
                DifferenceKind::Changed
            }
        };
        differences.push(Difference { path, kind });
    }
    differences.extend(expected.into_keys().map(|path| Difference { path, kind: DifferenceKind::Missing }));
    differences.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Comparison { differences, made })
}

/// What the file that `record` describes is now, or how it differs. Its bytes are read only where its stamp, taken at
/// `stamped_at`, does not settle it; what is given back then is of the very file that was read.
pub(super) fn compare(
    dir: &Path,
    record: &FileRecord,
    stamped_at: i64,
) -> Result<Result<fs::Metadata, DifferenceKind>, TreeError> {
    let path = dir.join(&record.path);
    let metadata = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Err(DifferenceKind::Missing));
        }
        Err(source) => return Err(TreeError::Io { path, source }),
    };
    if metadata.is_symlink() != record.link || metadata.is_dir() {
        return Ok(Err(DifferenceKind::Kind));
    }
    let unchanged = |stamp: &FileStamp| {
        metadata.len() == record.size && *stamp == FileStamp::of(&metadata) && stamp.shows_changes_after(stamped_at)
    };
    if record.stamp.as_ref().is_some_and(unchanged) {
        return Ok(Ok(metadata));
    }
    if metadata.len() != record.size {
        return Ok(Err(DifferenceKind::Changed));
    }
    let (now, metadata) = tree::record_seen(dir, record.path.clone(), &metadata)?;
    if now.sha256 != record.sha256 {
        return Ok(Err(DifferenceKind::Changed));
    }
    Ok(if now.is_executable() == record.is_executable() { Ok(metadata) } else { Err(DifferenceKind::Mode) })
}

/// Whether the file that `record` describes is in `dir` as it says: it is read.
pub(super) fn is_as_recorded(dir: &Path, record: &FileRecord) -> Result<bool, TreeError> {
    Ok(compare(dir, record, i64::MIN)?.is_ok())
}

/// How the directory `dir` differs from `receipt`, sorted by path: every file is read.
pub(super) fn of_all(dir: &Path, receipt: &Receipt, limits: &Limits) -> Result<Comparison, TreeError> {
    if receipt.kind == InstallKind::Link {
        return Ok(Comparison::default());
    }
    if fs::symlink_metadata(dir).is_ok_and(|metadata| metadata.is_symlink()) {
        let differences = vec![Difference { path: String::new(), kind: DifferenceKind::Kind }];
        return Ok(Comparison { differences, made: Vec::new() });
    }
    let known = receipt.all_files();
    let metadata = manifest::load(dir, limits).ok();
    let rules = GeneratedFiles::new(known.iter().map(|file| file.path.as_str()), metadata.as_ref());
    let (mut differences, mut made) = (Vec::new(), Vec::new());
    for file in &known {
        // Stamps that show no change after the beginning of time settle nothing.
        if let Err(kind) = compare(dir, file, i64::MIN)? {
            differences.push(Difference { path: file.path.clone(), kind });
        }
    }
    for (path, metadata) in tree::walk(dir, limits)? {
        if known.binary_search_by(|file| file.path.as_str().cmp(&path)).is_ok() {
            continue;
        }
        if rules.is_made(&path, &metadata) {
            made.push(path);
        } else {
            differences.push(Difference { path, kind: DifferenceKind::Added });
        }
    }
    differences.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Comparison { differences, made })
}

/// The first differences, in words.
pub(super) fn listed(differences: &[Difference]) -> String {
    const SHOWN: usize = 3;
    let mut text = differences.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if differences.len() > SHOWN {
        text.push_str(&format!(" and {} more", differences.len() - SHOWN));
    }
    text
}
