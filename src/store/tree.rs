//! The files of a plugin's directory as they are: digests, modes, and the stamps by which a change is noticed without reading.

use std::collections::BTreeSet;
use std::fs::{self, Metadata as FileMetadata};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::error::{Classified, ErrorKind};
use crate::manifest::platform::{self, Platform};
use crate::manifest::{FILE_NAME, MODULE_NAME, Metadata, PlatformCommand};
use crate::settings::Limits;

use super::error::StoreError;
pub(super) use crate::stamp::CLOCK_TICK_NS;
pub use crate::stamp::FileStamp;

/// The executable that completes a plugin's arguments.
const COMPLETER: &str = "plugin.complete";

/// One installed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileRecord {
    /// Its path relative to the plugin's directory, with `/`.
    pub path: String,
    /// Its digest; of a symbolic link, the digest of its target's path.
    pub sha256: Sha256Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its permission bits.
    pub mode: u32,
    /// Whether it is a symbolic link; packages hold none, but a hook may make one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub link: bool,
    /// Who made or changed it, where it is not as it was in its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<FileAuthor>,
    /// What it looked like when its digest was taken; only for files that the gate checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<FileStamp>,
}

impl FileRecord {
    /// Whether anybody may execute it.
    pub fn is_executable(&self) -> bool {
        is_executable_mode(self.mode, &self.path)
    }
}

/// Who made or changed an installed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileAuthor {
    /// A life-cycle hook of the plugin.
    Hook,
    /// Somebody, and the user accepted it.
    User,
}

/// Which directory (or link) something is, whatever its name: so that recovery knows on which side of an exchange it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeId {
    /// The number of the directory or link in its file system; where the system has none, the time of its making, which
    /// renames leave alone too.
    pub inode: u64,
}

impl TreeId {
    /// The identity of what is at `path`, links unfollowed; `None` where nothing is.
    pub(super) fn of(path: &Path) -> io::Result<Option<Self>> {
        match fs::symlink_metadata(path) {
            #[cfg(unix)]
            Ok(metadata) => Ok(Some(Self { inode: FileStamp::of(&metadata).inode })),
            #[cfg(not(unix))]
            Ok(metadata) => {
                let made = metadata.created()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Ok(Some(Self { inode: u64::try_from(made.as_nanos()).unwrap_or(u64::MAX) }))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// The permission bits in `metadata`; a plain guess where the system has none.
pub(super) fn mode(metadata: &FileMetadata) -> u32 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        metadata.permissions().mode() & 0o7777
    }
    #[cfg(not(unix))]
    {
        if metadata.permissions().readonly() { 0o444 } else { 0o644 }
    }
}

/// Whether a file of this mode and name can be started.
pub(super) fn is_executable_mode(mode: u32, path: &str) -> bool {
    if cfg!(windows) {
        let extension = path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        return matches!(extension.as_deref(), Some("exe" | "bat" | "cmd" | "com" | "ps1"));
    }
    mode & 0o111 != 0
}

/// Why the files of a directory cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// Something cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// A path that a receipt or a package cannot hold.
    #[error("the name of {} is not UTF-8; rename it", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// Neither a file, a directory nor a link.
    #[error("{} is neither a file, a directory nor a symbolic link; remove it", path.display())]
    Special {
        /// What was found.
        path: PathBuf,
    },
    /// More files, or a larger one, than the limits allow.
    #[error("{} has more than {limit} {what}; the limit is a setting of `config.yaml`", path.display())]
    Limit {
        /// The directory or file.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

impl Classified for TreeError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }
}

/// Everything but directories below `dir`, sorted by path, without digests.
pub(super) fn walk(dir: &Path, limits: &Limits) -> Result<Vec<(String, FileMetadata)>, TreeError> {
    let mut found = Vec::new();
    let mut entries = 0;
    for entry in walkdir::WalkDir::new(dir).follow_links(false).min_depth(1) {
        let entry = entry.map_err(|e| {
            let path = e.path().unwrap_or(dir).to_owned();
            TreeError::Io { path, source: e.into() }
        })?;
        entries += 1;
        // What hooks and users add is not in the limit of the package: ten times that is still a bound.
        let limit = limits.entries.saturating_mul(10);
        if entries > limit {
            return Err(TreeError::Limit { path: dir.to_owned(), what: "files", limit });
        }
        if entry.file_type().is_dir() {
            continue;
        }
        let metadata = entry.metadata().map_err(|e| TreeError::Io { path: entry.path().to_owned(), source: e.into() })?;
        let relative = entry.path().strip_prefix(dir).unwrap_or(entry.path());
        let Some(path) = slashed(relative) else { return Err(TreeError::Name { path: entry.path().to_owned() }) };
        found.push((path, metadata));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// A relative path with `/` between its parts; `None` where it is not UTF-8.
fn slashed(path: &Path) -> Option<String> {
    let mut text = String::new();
    for part in path.components() {
        if !text.is_empty() {
            text.push('/');
        }
        text.push_str(part.as_os_str().to_str()?);
    }
    Some(text)
}

/// The record of the file or link at `dir/path`, whose `metadata` was taken without following links, with a fresh digest.
pub(super) fn record(dir: &Path, path: String, metadata: &FileMetadata) -> Result<FileRecord, TreeError> {
    Ok(record_seen(dir, path, metadata)?.0)
}

/// As [`record`], and what the file was whose digest was taken: another may have come to its place since.
pub(super) fn record_seen(
    dir: &Path,
    path: String,
    metadata: &FileMetadata,
) -> Result<(FileRecord, FileMetadata), TreeError> {
    let full = dir.join(&path);
    let failed = |source| TreeError::Io { path: full.clone(), source };
    let (sha256, size, link, metadata) = if metadata.is_symlink() {
        let target = fs::read_link(&full).map_err(failed)?;
        let target = target.as_os_str().as_encoded_bytes();
        (Sha256Digest::of(target), target.len() as u64, true, metadata.clone())
    } else if metadata.is_file() {
        let file = fs::File::open(&full).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let (sha256, size) = Sha256Digest::of_reader(file).map_err(failed)?;
        (sha256, size, false, metadata)
    } else {
        return Err(TreeError::Special { path: full });
    };
    // A link has no mode of its own that would mean anything.
    let mode = if link { 0o777 } else { mode(&metadata) };
    let stamp = Some(FileStamp::of(&metadata));
    Ok((FileRecord { path, sha256, size, mode, link, made_by: None, stamp }, metadata))
}

/// The records of everything below `dir`. A digest of `known` (sorted by path, with stamps) is kept where size and stamp are
/// the same as then; whatever differs, or is new, is `made_by` somebody.
pub(super) fn records(
    dir: &Path,
    known: &[FileRecord],
    made_by: Option<FileAuthor>,
    limits: &Limits,
) -> Result<Vec<FileRecord>, TreeError> {
    let mut records = Vec::with_capacity(known.len());
    for (path, metadata) in walk(dir, limits)? {
        let before = known.binary_search_by(|file| file.path.as_str().cmp(&path)).ok().and_then(|i| known.get(i));
        if let Some(before) = before
            && before.size == metadata.len()
            && before.stamp == Some(FileStamp::of(&metadata))
        {
            records.push(before.clone());
            continue;
        }
        let mut file = record(dir, path, &metadata)?;
        file.made_by = match before {
            Some(before) if before.sha256 == file.sha256 && before.link == file.link => before.made_by,
            _ => made_by,
        };
        records.push(file);
    }
    Ok(records)
}

/// Splits `files` into those that the gate checks and the others; only the former keep their stamps.
pub(super) fn split(files: Vec<FileRecord>, metadata: &Metadata) -> (Vec<FileRecord>, Vec<FileRecord>) {
    let named = named_paths(metadata, None);
    let (executables, mut others): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| {
        matches!(file.path.as_str(), FILE_NAME | MODULE_NAME | COMPLETER)
            || (!file.link && file.is_executable())
            || named.contains(&file.path)
    });
    for file in &mut others {
        file.stamp = None;
    }
    (executables, others)
}

/// The relative paths that the manifest's commands, hooks and their arguments could mean, whatever the values of variables
/// and, unless one is given, whatever the platform of the command: every run of path characters in them, and every end of
/// one that begins behind a `/`. Most are no file at all; a file is one that an argument names if its path is among them.
pub(super) fn named_paths(metadata: &Metadata, platform: Option<&Platform>) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let Some(subprocess) = metadata.subprocess() else { return paths };
    let only = platform.and_then(|platform| platform::select(&subprocess.platform_commands, platform));
    let commands = only.map_or(subprocess.platform_commands.as_slice(), std::slice::from_ref).iter();
    let commands = commands.chain(subprocess.hooks.values().flatten());
    let commands = commands.chain(subprocess.protocol_commands.iter().flat_map(|protocol| &protocol.platform_commands));
    for PlatformCommand { command, args, .. } in commands {
        for text in std::iter::once(command).chain(args) {
            add_named_paths(text, &mut paths);
        }
    }
    paths
}

fn add_named_paths(text: &str, paths: &mut BTreeSet<String>) {
    // The whole text first: a file's name may hold spaces.
    let ends = |c: char| c.is_whitespace() || c.is_control() || "$\"'`;&|<>(){}=:,".contains(c);
    for run in std::iter::once(text).chain(text.split(ends)) {
        let run = run.replace('\\', "/");
        let mut rest = run.as_str();
        // As many levels as a package's path may have: a long text of slashes must not cost its square.
        for _ in 0..64 {
            let path = rest.trim_start_matches("./").trim_start_matches('/');
            if path.is_empty() {
                break;
            }
            // What holds a `$` is a path only when the variable has its value.
            let is_path = path.len() <= 1024 && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
            if is_path && !path.contains('$') {
                paths.insert(path.to_owned());
            }
            match path.split_once('/') {
                Some((_, behind)) => rest = behind,
                None => break,
            }
        }
    }
}

/// Which tree is at `path`.
pub(super) fn id_at(path: &Path) -> Result<Option<TreeId>, StoreError> {
    TreeId::of(path).map_err(|source| StoreError::io("look at", path, source))
}

/// Bytes that the gate may have to hash again before every run rather than have the install wait for the clock.
const REHASH_LIMIT: u64 = 256 << 10;

/// Where much was written only just now, waits until a later change of it would show in its stamps: a moment now rather than
/// a digest before every run.
pub(super) fn wait_for_the_clock(files: &[FileRecord], now: i64) {
    let (mut bytes, mut newest) = (0, i64::MIN);
    for file in files {
        if let Some(stamp) = file.stamp.filter(|stamp| !stamp.shows_changes_after(now)) {
            bytes += file.size;
            newest = newest.max(stamp.modified.max(stamp.changed));
        }
    }
    if bytes > REHASH_LIMIT {
        // A stamp from the future, of a wrong clock, is not waited for.
        let wait = newest.saturating_add(CLOCK_TICK_NS + 1).saturating_sub(now).clamp(0, CLOCK_TICK_NS + 1);
        std::thread::sleep(std::time::Duration::from_nanos(wait.unsigned_abs()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s_files_that_an_argument_names_are_found() {
        for (text, path) in [
            ("$HELM_PLUGIN_DIR/bin/run.sh", "bin/run.sh"),
            ("${TOOL_PLUGIN_DIR}/run.sh", "run.sh"),
            ("cd $HELM_PLUGIN_DIR; ./scripts/install.sh -v", "scripts/install.sh"),
            ("--script=lib/main.py", "lib/main.py"),
            ("$HELM_PLUGIN_DIR\\run.ps1", "run.ps1"),
            ("\"$HELM_PLUGIN_DIR\"/x.sh", "x.sh"),
            ("/usr/share/plugins/foo/x.sh", "x.sh"),
            ("my file.sh", "my file.sh"),
        ] {
            let mut paths = BTreeSet::new();
            add_named_paths(text, &mut paths);
            assert!(paths.contains(path), "{text}: {paths:?}");
        }
        let mut paths = BTreeSet::new();
        add_named_paths("../../etc/.. a//b ./", &mut paths);
        assert!(paths.iter().all(|path| !path.contains("..")), "{paths:?}");
        add_named_paths(&"a/".repeat(100_000), &mut paths);
        assert!(paths.len() < 1000);
    }
}
