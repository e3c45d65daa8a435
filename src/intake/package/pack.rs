//! A plugin's directory to its package: `<name>-<version>.tgz`, and never half of one.
//!
//! The same tree gives the same bytes on any machine: entries are in the order of their paths' bytes, without owners, with
//! one time and two modes, and the compressor's version is pinned by `Cargo.lock`. The time is `SOURCE_DATE_EPOCH`, else a
//! fixed one.
//!
//! Nothing is synced to disk: a package can be made again.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::blocks;
use super::fault::PackageFault;
use super::gzip::{self, GzipError, GzipSummary, Input};
use super::header::{BLOCK, NewEntry, NewEntryKind, OCTAL_MAX};
use super::pointer;
use super::walk::{self, Item, ItemKind, TEMPORARY};
use crate::digest::{HashingWriter, Sha256Digest};
use crate::error::{Classified, ErrorKind};
use crate::files;
use crate::manifest::{self, ManifestError, Metadata};
use crate::report::{Report, ReportEvent};
use crate::settings::Limits;
use crate::text::sanitized;

/// The time of entries where `SOURCE_DATE_EPOCH` is not set: 1980-01-01, the earliest that every archive format can hold.
const FIXED_TIME: u64 = 315_532_800;

/// The variable by which a build says which time its products bear (reproducible-builds.org).
const TIME_VARIABLE: &str = "SOURCE_DATE_EPOCH";

/// A finished package that nobody can see yet. Dropped, it leaves nothing behind.
#[derive(Debug)]
#[must_use = "a package that is not published is deleted"]
pub struct Unpublished {
    /// What the plugin's manifest says.
    pub metadata: Metadata,
    /// The name it will have.
    pub file_name: String,
    /// Its digest.
    pub digest: Sha256Digest,
    /// Its size in bytes.
    pub size: u64,
    temporary: TempPath,
    destination: PathBuf,
}

/// A package in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The package.
    pub package: PathBuf,
    /// The provenance beside it, where there is one.
    pub provenance: Option<PathBuf>,
    /// Whether an older provenance, which no longer fitted, was removed.
    pub removed_provenance: bool,
}

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The directory holds no valid plugin.
    #[error("{} cannot be packaged", shown(.dir))]
    Manifest {
        /// The directory.
        dir: PathBuf,
        /// What is wrong.
        source: Box<ManifestError>,
    },
    /// The manifest gives no version.
    #[error("{} has no version, which a package needs for its name: add a line such as `version: 0.1.0`", shown(.path))]
    NoVersion {
        /// The manifest.
        path: PathBuf,
    },
    /// An ignore file keeps the manifest out.
    #[error("{} is ignored by .helmignore or .pluginignore: a package needs it, so change the pattern", shown(.path))]
    ManifestIgnored {
        /// The manifest.
        path: PathBuf,
    },
    /// An ignore file cannot be understood.
    #[error("{}{} is not in gitignore syntax: {why}", shown(.path), at_line(*.line))]
    IgnoreFile {
        /// The file.
        path: PathBuf,
        /// The line, from 1; 0 for the file as a whole.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A file or directory cannot be read.
    #[error("cannot read {}", shown(.path))]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A socket, fifo or device.
    #[error("{} is {kind}, which a package cannot hold: remove it, or add it to .pluginignore", shown(.path))]
    NotStorable {
        /// Where it is.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// A symbolic link to something outside the plugin.
    #[error(
        "the symbolic link {} leads out of the plugin, to {}: replace it by what it leads to, or add it to .pluginignore",
        shown(.path),
        shown(.target)
    )]
    LinkLeaves {
        /// The link.
        path: PathBuf,
        /// Its target as written.
        target: PathBuf,
    },
    /// A symbolic link to nothing.
    #[error("the symbolic link {} leads nowhere ({} is not there): mend it, or add it to .pluginignore", shown(.path), shown(.target))]
    LinkDangling {
        /// The link.
        path: PathBuf,
        /// Its target as written.
        target: PathBuf,
    },
    /// A symbolic link into git's own directory, which never goes into a package.
    #[error("the symbolic link {} leads into `.git` ({}), which is never packaged", shown(.path), shown(.target))]
    LinkIntoGit {
        /// The link.
        path: PathBuf,
        /// Its target as written.
        target: PathBuf,
    },
    /// A symbolic link to a directory that it lies in.
    #[error("the symbolic link {} leads back to a directory that it lies in: a cycle cannot be packaged", shown(.path))]
    LinkCycle {
        /// The link.
        path: PathBuf,
    },
    /// A file that was not the same from beginning to end.
    #[error("{} changed while it was packaged: try again when nothing writes to it", shown(.path))]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// It would be refused when it is unpacked.
    #[error("{} cannot be packaged: what is in it would not be unpacked again", shown(.dir))]
    Refused {
        /// The directory.
        dir: PathBuf,
        /// The rule.
        source: Box<PackageFault>,
    },
    /// `SOURCE_DATE_EPOCH` is no time.
    #[error("the environment variable {TIME_VARIABLE} is `{}`: expected seconds since 1970 in decimal digits", sanitized(.value))]
    Time {
        /// Its value.
        value: String,
    },
    /// The package or its provenance could not be written.
    #[error("cannot write {}: nothing was changed", shown(.path))]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Classified for PackError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Manifest { source, .. } => source.kind(),
            Self::NoVersion { .. }
            | Self::ManifestIgnored { .. }
            | Self::IgnoreFile { .. }
            | Self::Read { .. }
            | Self::NotStorable { .. }
            | Self::LinkLeaves { .. }
            | Self::LinkDangling { .. }
            | Self::LinkIntoGit { .. }
            | Self::LinkCycle { .. }
            | Self::Changed { .. }
            | Self::Refused { .. }
            | Self::Time { .. }
            | Self::Write { .. } => ErrorKind::Failed,
        }
    }
}

/// A path for a message.
fn shown(path: &Path) -> String {
    format!("`{}`", sanitized(&path.to_string_lossy()))
}

fn at_line(line: usize) -> String {
    if line == 0 { String::new() } else { format!(", line {line},") }
}

/// Packs the plugin in `dir`, to be published in `destination`, which is made if it is not there.
///
/// # Errors
/// The plugin is not valid or has no version; something in it cannot be stored or would not be unpacked again; reading or
/// writing failed. Nothing is left behind then.
pub fn pack(dir: &Path, destination: &Path, limits: &Limits, report: &dyn Report) -> Result<Unpublished, PackError> {
    let mtime = match env::var_os(TIME_VARIABLE) {
        None => FIXED_TIME,
        Some(value) => parse_time(&value.to_string_lossy())?,
    };
    pack_with(dir, destination, limits, report, mtime, gzip::threads())
}

pub(super) fn parse_time(value: &str) -> Result<u64, PackError> {
    let time = value.parse().ok().filter(|time| *time <= OCTAL_MAX && value.bytes().all(|b| b.is_ascii_digit()));
    time.ok_or_else(|| PackError::Time { value: value.to_owned() })
}

/// Reads the manifest of `dir` as [`pack`] does: it must be valid and have a version. For whoever would know before anything
/// costly, or a question to the user.
///
/// # Errors
/// [`PackError::Manifest`], [`PackError::NoVersion`].
pub fn packable(dir: &Path, limits: &Limits) -> Result<(Metadata, String), PackError> {
    let metadata = manifest::load(dir, limits)
        .map_err(|source| PackError::Manifest { dir: dir.to_owned(), source: Box::new(source) })?;
    let Some(version) = &metadata.version else {
        return Err(PackError::NoVersion { path: dir.join(manifest::FILE_NAME) });
    };
    let file_name = format!("{}-{version}.tgz", metadata.name);
    Ok((metadata, file_name))
}

/// [`pack`] with what it takes from its surroundings.
pub(super) fn pack_with(
    dir: &Path,
    destination: &Path,
    limits: &Limits,
    report: &dyn Report,
    mtime: u64,
    threads: usize,
) -> Result<Unpublished, PackError> {
    let (metadata, file_name) = packable(dir, limits)?;
    let root = fs::canonicalize(dir).map_err(|source| PackError::Read { path: dir.to_owned(), source })?;
    let unwritable = |source| PackError::Write { path: destination.to_owned(), source };
    // Created before the walk, so that the first package is made of the same tree as the second.
    fs::create_dir_all(destination).map_err(unwritable)?;
    let real_destination = fs::canonicalize(destination).map_err(unwritable)?;
    let items = walk::walk(&root, &metadata.name, &real_destination, limits, report)?;

    let total = items.iter().map(Item::size).sum();
    report.event(ReportEvent::Started { what: &format!("packing {file_name}"), total: Some(total) });
    // Where everything is in one block anyway, knowing where the manifest lies saves nothing.
    let pointer = total + (items.len() * BLOCK) as u64 > gzip::BLOCK as u64;
    let packed = Packer { root: &root, metadata: &metadata, limits, report, mtime, pointer, done: 0 }.write(
        &items,
        destination,
        threads,
    );
    report.event(ReportEvent::Finished);
    let (temporary, digest, size) = packed?;
    Ok(Unpublished { metadata, file_name, digest, size, temporary, destination: destination.to_owned() })
}

impl Item {
    fn size(&self) -> u64 {
        match self.kind {
            ItemKind::Directory => 0,
            ItemKind::File { size, .. } => size,
        }
    }
}

/// An error while packing, before it knows which file is being written.
enum ProduceError {
    Pack(PackError),
    Gzip(GzipError),
}

impl From<PackError> for ProduceError {
    fn from(error: PackError) -> Self {
        Self::Pack(error)
    }
}

impl From<GzipError> for ProduceError {
    fn from(error: GzipError) -> Self {
        Self::Gzip(error)
    }
}

struct Packer<'a> {
    root: &'a Path,
    metadata: &'a Metadata,
    limits: &'a Limits,
    report: &'a dyn Report,
    mtime: u64,
    /// Whether the package tells where its manifest is.
    pointer: bool,
    done: u64,
}

impl Packer<'_> {
    /// Writes the package into a hidden file in `destination`.
    fn write(
        mut self,
        items: &[Item],
        destination: &Path,
        threads: usize,
    ) -> Result<(TempPath, Sha256Digest, u64), PackError> {
        let unwritable = |source| PackError::Write { path: destination.to_owned(), source };
        let temporary = temporary_in(destination).map_err(unwritable)?;
        let out = HashingWriter::new(temporary.as_file());
        let compressed = gzip::compress(out, threads, self.limits, |input| {
            items.iter().try_for_each(|item| self.item(item, input))?;
            // Two empty blocks end the archive.
            Ok(input.write(&[0; 2 * BLOCK])?)
        });
        let GzipSummary { mut out, packed, sizes, marks } = compressed.map_err(|error| match error {
            ProduceError::Pack(error) => error,
            ProduceError::Gzip(GzipError::Write(source)) => unwritable(source),
            ProduceError::Gzip(GzipError::Fault(fault)) => {
                PackError::Refused { dir: self.root.to_owned(), source: Box::new(fault) }
            }
            ProduceError::Gzip(GzipError::Stopped) => unwritable(io::ErrorKind::BrokenPipe.into()),
        })?;
        // The manifest's is the only block that was begun by itself.
        if let [mark] = marks[..] {
            let sizes = blocks::encode(&sizes).unwrap_or_default();
            out.write_all(&[sizes, pointer::encode(mark, packed)].concat()).map_err(unwritable)?;
        }
        let (_, digest, size) = out.finish();
        Ok((temporary.into_temp_path(), digest, size))
    }

    fn item(&mut self, item: &Item, input: &mut Input) -> Result<(), ProduceError> {
        let kind = match item.kind {
            ItemKind::Directory => NewEntryKind::Directory,
            ItemKind::File { executable: true, .. } => NewEntryKind::Program,
            ItemKind::File { executable: false, .. } => NewEntryKind::Plain,
        };
        let is_manifest = self.is_manifest(item);
        if is_manifest && self.pointer {
            input.begin_block()?;
        }
        input.write(&NewEntry { path: &item.path, size: item.size(), kind, mtime: self.mtime }.encode())?;
        match item.kind {
            ItemKind::Directory => return Ok(()),
            ItemKind::File { .. } if is_manifest => self.manifest(item, input)?,
            ItemKind::File { size, .. } => self.file(&item.source, size, input)?,
        }
        let padding = item.size().next_multiple_of(BLOCK as u64) - item.size();
        input.write(&[0; BLOCK][..padding as usize])?;
        Ok(())
    }

    fn is_manifest(&self, item: &Item) -> bool {
        item.path.strip_prefix(self.metadata.name.as_str()).and_then(|rest| rest.strip_prefix('/'))
            == Some(manifest::FILE_NAME)
    }

    /// Adds the manifest, which must still say what it said when the package got its name.
    fn manifest(&mut self, item: &Item, input: &mut Input) -> Result<(), ProduceError> {
        let bytes = files::read_bounded(&item.source, item.size())
            .map_err(|source| PackError::Read { path: item.source.clone(), source })?
            .filter(|bytes| bytes.len() as u64 == item.size())
            .filter(|bytes| manifest::parse(bytes, &item.source).is_ok_and(|metadata| metadata == *self.metadata))
            .ok_or_else(|| PackError::Changed { path: item.source.clone() })?;
        self.advance(bytes.len());
        Ok(input.write(&bytes)?)
    }

    /// Adds a file's content, which must be as long as it was.
    fn file(&mut self, path: &Path, size: u64, input: &mut Input) -> Result<(), ProduceError> {
        let read = |source| PackError::Read { path: path.to_owned(), source };
        let changed = || PackError::Changed { path: path.to_owned() };
        let mut file = open(path).map_err(read)?;
        let metadata = file.metadata().map_err(read)?;
        if !metadata.is_file() || metadata.len() != size {
            return Err(changed().into());
        }
        let mut left = size;
        while left > 0 {
            match input.read_from(&mut file, left)?.map_err(read)? {
                0 => return Err(changed().into()),
                n => {
                    left -= n as u64;
                    self.advance(n);
                }
            }
        }
        match io::Read::read(&mut file, &mut [0]).map_err(read)? {
            0 => Ok(()),
            _ => Err(changed().into()),
        }
    }

    fn advance(&mut self, n: usize) {
        self.done += n as u64;
        self.report.event(ReportEvent::Advanced { done: self.done });
    }
}

/// Opens a file for reading. What was a file a moment ago and is a fifo now must not keep us waiting.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    options.open(path)
}

/// A hidden file that is readable for everybody whom the umask does not keep out, as packages are.
fn temporary_in(directory: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY).suffix(".tmp");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder.tempfile_in(directory)
}

impl Unpublished {
    /// Puts the package in its place, and its provenance beside it; without one, an older provenance is removed, since it
    /// no longer fits.
    ///
    /// The pair changes as one: where something fails, the older pair is what it was. Killed in between, a provenance may
    /// be there that does not fit the package, which no verification accepts.
    ///
    /// # Errors
    /// Writing or renaming failed.
    pub fn publish(self, provenance: Option<&[u8]>) -> Result<Published, PackError> {
        let package = self.destination.join(&self.file_name);
        let beside = self.destination.join(format!("{}.prov", self.file_name));
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| PackError::Write { path, source }
        };
        let new = provenance.map(|bytes| self.write_temporary(bytes)).transpose().map_err(failed(&beside))?;
        let old = set_aside(&beside).map_err(failed(&beside))?;
        // The provenance goes first: if that fails, the package has not been touched.
        let placed = match new {
            Some(new) => new.persist(&beside).map_err(|e| failed(&beside)(e.error)),
            None => Ok(()),
        };
        let placed = placed.and_then(|()| self.temporary.persist(&package).map_err(|e| failed(&package)(e.error)));
        if let Err(error) = placed {
            // Best effort: the first error is the one to tell.
            let _ = match old {
                Some(old) => old.persist(&beside).map_err(|e| e.error),
                None if provenance.is_some() => fs::remove_file(&beside),
                None => Ok(()),
            };
            return Err(error);
        }
        Ok(Published {
            package,
            removed_provenance: provenance.is_none() && old.is_some(),
            provenance: provenance.is_some().then_some(beside),
        })
    }

    fn write_temporary(&self, bytes: &[u8]) -> io::Result<TempPath> {
        let mut file = temporary_in(&self.destination)?;
        file.write_all(bytes)?;
        Ok(file.into_temp_path())
    }
}

/// Moves the file at `path`, if there is one, to a hidden name beside it, where it is deleted when the result is dropped.
fn set_aside(path: &Path) -> io::Result<Option<TempPath>> {
    if fs::symlink_metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let aside = temporary_in(path.parent().unwrap_or(Path::new(".")))?.into_temp_path();
    fs::rename(path, &aside)?;
    Ok(Some(aside))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::NoReport;

    const MANIFEST: &str = "apiVersion: v1\nname: foo\nversion: 1.0.0\ntype: test/v1\nruntime: subprocess\n";

    #[test]
    fn what_changes_while_it_is_packed_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let out = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("plugin.yaml"), MANIFEST).unwrap();
        fs::write(dir.path().join("file"), "12345").unwrap();
        let limits = Limits::default();
        let metadata = manifest::load(dir.path(), &limits).unwrap();
        let items = walk::walk(dir.path(), &metadata.name, out.path(), &limits, &NoReport).unwrap();
        let write =
            |change: &dyn Fn()| {
                change();
                let root = dir.path();
                Packer { root, metadata: &metadata, limits: &limits, report: &NoReport, mtime: 0, pointer: true, done: 0 }
                    .write(&items, out.path(), 2)
            };
        let put = |name: &str, content: &str| fs::write(dir.path().join(name), content).unwrap();
        write(&|| ()).unwrap();
        for change in ["1234", "123456", ""] {
            assert!(matches!(write(&|| put("file", change)), Err(PackError::Changed { .. })), "{change}");
        }
        put("file", "12345");
        for change in [MANIFEST.replace("foo", "bar"), MANIFEST.replace("foo", "fo"), "x".repeat(MANIFEST.len())] {
            assert!(matches!(write(&|| put("plugin.yaml", &change)), Err(PackError::Changed { .. })), "{change}");
        }
        put("plugin.yaml", MANIFEST);
        assert!(matches!(write(&|| fs::remove_file(dir.path().join("file")).unwrap()), Err(PackError::Read { .. })));
        #[cfg(unix)]
        {
            let fifo = || {
                rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("file"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
                    .unwrap();
            };
            assert!(matches!(write(&fifo), Err(PackError::Changed { .. })));
        }
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0, "nothing is left behind");
    }
}
