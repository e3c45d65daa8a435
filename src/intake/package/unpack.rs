//! A package to a directory, or only to what its manifest says.
//!
//! Two threads: one reads and inflates, this one checks, hashes and writes. Neither ever holds more than a few blocks.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;

use super::entries::{Entries, Entry};
use super::fault::{PackageFault, ShownName};
use super::gunzip::GunzipStream;
use super::pointer;
use crate::digest::{Hasher, Sha256Digest};
use crate::error::{Classified, ErrorKind};
use crate::manifest::{self, ManifestError, Metadata};
use crate::report::{NoReport, Report, ReportEvent};
use crate::settings::Limits;
use crate::text::sanitized;

/// What came out of a package.
#[derive(Debug)]
pub struct Unpacked {
    /// The plugin's directory, which is the staging directory itself or one directly in it.
    pub root: PathBuf,
    /// What its manifest says.
    pub metadata: Metadata,
    /// The files in [`Unpacked::root`], in the archive's order.
    pub files: Vec<UnpackedFile>,
}

/// One file that came out of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackedFile {
    /// The path within the plugin's directory, with `/` between its parts.
    pub path: String,
    /// The size in bytes.
    pub size: u64,
    /// The digest, taken from the bytes that were written.
    pub digest: Sha256Digest,
    /// Whether it may be executed.
    pub executable: bool,
}

/// Why a package was not unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The file cannot be opened.
    #[error("cannot open the package {}", shown(.archive))]
    Open {
        /// The package.
        archive: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It breaks a rule. Nothing of it is used.
    #[error("the package {} is refused and nothing of it is used", shown(.archive))]
    Refused {
        /// The package.
        archive: PathBuf,
        /// The rule.
        source: Box<PackageFault>,
    },
    /// Its manifest is not valid.
    #[error("the package {} holds no valid plugin", shown(.archive))]
    Manifest {
        /// The package.
        archive: PathBuf,
        /// What is wrong.
        source: Box<ManifestError>,
    },
    /// A file or directory could not be written.
    #[error("cannot write {}", shown(.path))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Classified for UnpackError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }
}

impl UnpackError {
    /// Whether it is a sound archive of something that is no plugin.
    pub fn is_no_plugin(&self) -> bool {
        matches!(self, Self::Refused { source, .. } if matches!(**source, PackageFault::NoManifest))
    }
}

/// A path for a message.
fn shown(path: &Path) -> String {
    format!("`{}`", sanitized(&path.to_string_lossy()))
}

/// Unpacks `archive`, which messages speak of as `called`, into `into`, which must be there, empty, and closed to all other
/// users.
///
/// Whether the package can be trusted must have been decided before. Nothing is written outside `into`, whatever the
/// archive holds. Modes are 0755 for directories and programs, 0644 for other files, less the umask.
///
/// # Errors
/// The archive breaks a rule, holds no valid plugin, or writing failed. What is in `into` is then for the caller to delete.
pub fn unpack(
    archive: &Path,
    called: &Path,
    into: &Path,
    limits: &Limits,
    report: &dyn Report,
) -> Result<Unpacked, UnpackError> {
    let file = open(archive)?;
    let size = file.metadata().ok().map(|metadata| metadata.len());
    let name = called.file_name().unwrap_or(called.as_os_str()).to_string_lossy();
    // A URL may have a query, which is masked and tells nobody what is unpacked.
    let name = name.strip_suffix("?***").unwrap_or(&name);
    report.event(ReportEvent::Started { what: &format!("unpacking {}", sanitized(name)), total: size });
    let contents = read(called, file, limits, report, Some(into));
    report.event(ReportEvent::Finished);
    let Contents { directory, metadata, mut files } = contents?;
    if let Some(directory) = &directory {
        files.retain_mut(|file| match file.path.strip_prefix(directory.as_str()).and_then(|path| path.strip_prefix('/')) {
            Some(path) => {
                file.path = path.to_owned();
                true
            }
            None => false,
        });
    }
    let root = directory.map_or_else(|| into.to_owned(), |directory| into.join(directory));
    Ok(Unpacked { root, metadata, files })
}

/// What the manifest in a package says, without writing anything.
///
/// For packages that [`super::pack()`] made this reads the manifest alone; see the module `pointer` for what that does and
/// does not promise. Others are read as a whole, under all the rules.
///
/// # Errors
/// The file cannot be read, the archive breaks a rule, or holds no valid plugin.
pub fn inspect(archive: &Path, limits: &Limits) -> Result<Metadata, UnpackError> {
    let opened = |source| UnpackError::Open { archive: archive.to_owned(), source };
    let mut file = open(archive)?;
    if let Some((path, bytes)) = pointer::follow(&mut file, limits).map_err(opened)? {
        return parse(archive, &path, &bytes);
    }
    io::Seek::rewind(&mut file).map_err(opened)?;
    Ok(read(archive, file, limits, &NoReport, None)?.metadata)
}

/// Opens the package, which must be a file: a fifo would keep us waiting.
fn open(archive: &Path) -> Result<File, UnpackError> {
    let open = || {
        if !fs::metadata(archive)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        File::open(archive)
    };
    open().map_err(|source| UnpackError::Open { archive: archive.to_owned(), source })
}

fn parse(archive: &Path, path: &str, bytes: &[u8]) -> Result<Metadata, UnpackError> {
    manifest::parse(bytes, Path::new(path))
        .map_err(|source| UnpackError::Manifest { archive: archive.to_owned(), source: Box::new(source) })
}

/// What an archive holds.
struct Contents {
    /// The first-level directory that is the plugin; `None` where the archive's root is.
    directory: Option<String>,
    metadata: Metadata,
    /// All files, by their paths in the archive; none where nothing is written.
    files: Vec<UnpackedFile>,
}

/// An error while reading, which does not know the package's name yet.
enum ReadError {
    Fault(PackageFault),
    Write { path: PathBuf, source: io::Error },
}

impl From<PackageFault> for ReadError {
    fn from(fault: PackageFault) -> Self {
        Self::Fault(fault)
    }
}

/// Reads the whole archive, and writes it into `into` where there is one.
fn read(
    archive: &Path,
    file: File,
    limits: &Limits,
    report: &dyn Report,
    into: Option<&Path>,
) -> Result<Contents, UnpackError> {
    let mut manifests = Manifests::default();
    let mut files = Vec::new();
    let outcome = thread::scope(|scope| {
        let mut entries = Entries::new(GunzipStream::start(scope, file, limits), limits);
        let mut writer = into.map(Writer::new);
        let mut packed = 0;
        while let Some(entry) = entries.next()? {
            let mut manifest = manifests.wants(&entry, limits);
            let mut keep = |bytes: &[u8]| {
                if let Some(manifest) = &mut manifest {
                    manifest.extend_from_slice(bytes);
                }
            };
            match &mut writer {
                Some(writer) => files.extend(writer.write(&entry, &mut entries, &mut keep)?),
                None => entries.content(|bytes| {
                    keep(bytes);
                    Ok::<(), ReadError>(())
                })?,
            }
            if let Some(bytes) = manifest {
                manifests.take(&entry.path, bytes);
            }
            if entries.packed() != packed {
                packed = entries.packed();
                report.event(ReportEvent::Advanced { done: packed });
            }
        }
        Ok(())
    });
    let refused = |fault| UnpackError::Refused { archive: archive.to_owned(), source: Box::new(fault) };
    match outcome {
        Ok(()) => {}
        Err(ReadError::Fault(fault)) => return Err(refused(fault)),
        Err(ReadError::Write { path, source }) => return Err(UnpackError::Write { path, source }),
    }
    let FoundManifest { directory, bytes } = manifests.choose().map_err(refused)?;
    let path = match &directory {
        Some(directory) => format!("{directory}/{}", manifest::FILE_NAME),
        None => manifest::FILE_NAME.to_owned(),
    };
    let Some(bytes) = bytes else {
        return Err(refused(PackageFault::ManifestBytes { name: ShownName::new(path), limit: limits.manifest_bytes }));
    };
    Ok(Contents { metadata: parse(archive, &path, &bytes)?, directory, files })
}

/// The manifests that decide which directory is the plugin: that of the archive's root, else that of its one first-level
/// directory. Deeper ones are files like any other.
#[derive(Default)]
struct Manifests {
    root: Option<FoundManifest>,
    first: Option<FoundManifest>,
    /// Another directory after the first: only its name matters, so that many of them cost nothing.
    second: Option<String>,
}

struct FoundManifest {
    directory: Option<String>,
    /// `None` where it is larger than the limit.
    bytes: Option<Vec<u8>>,
}

impl Manifests {
    /// Notes a file that is a manifest; a buffer where its bytes are wanted.
    fn wants(&mut self, entry: &Entry, limits: &Limits) -> Option<Vec<u8>> {
        if entry.directory {
            return None;
        }
        let (slot, directory) = match entry.path.split_once('/') {
            None if entry.path == manifest::FILE_NAME => (&mut self.root, None),
            Some((directory, manifest::FILE_NAME)) if self.first.is_none() => (&mut self.first, Some(directory.to_owned())),
            Some((directory, manifest::FILE_NAME)) => {
                self.second.get_or_insert_with(|| directory.to_owned());
                return None;
            }
            _ => return None,
        };
        *slot = Some(FoundManifest { directory, bytes: None });
        (entry.size <= limits.manifest_bytes).then(Vec::new)
    }

    /// Takes the bytes that were wanted for the file at `path`.
    fn take(&mut self, path: &str, bytes: Vec<u8>) {
        let slot = if path == manifest::FILE_NAME { &mut self.root } else { &mut self.first };
        if let Some(candidate) = slot {
            candidate.bytes = Some(bytes);
        }
    }

    fn choose(self) -> Result<FoundManifest, PackageFault> {
        if let Some(root) = self.root {
            return Ok(root);
        }
        let first = self.first.ok_or(PackageFault::NoManifest)?;
        match (&first.directory, self.second) {
            (Some(name), Some(second)) => {
                Err(PackageFault::Ambiguous { first: ShownName::new(name), second: ShownName::new(second) })
            }
            _ => Ok(first),
        }
    }
}

/// Writes entries into a directory.
struct Writer<'a> {
    into: &'a Path,
    /// The directory of the last entry, which is there.
    parent: PathBuf,
}

impl<'a> Writer<'a> {
    fn new(into: &'a Path) -> Self {
        Self { into, parent: into.to_owned() }
    }

    /// Writes an entry, whose bytes also go to `keep`. Only a file gives an [`UnpackedFile`].
    fn write(
        &mut self,
        entry: &Entry,
        entries: &mut Entries<'_>,
        keep: &mut impl FnMut(&[u8]),
    ) -> Result<Option<UnpackedFile>, ReadError> {
        if entry.path.is_empty() {
            return Ok(None);
        }
        let path = self.into.join(&entry.path);
        let failed = |source| ReadError::Write { path: path.clone(), source };
        if entry.directory {
            create_dir(&path).map_err(failed)?;
            return Ok(None);
        }
        if let Some(parent) = path.parent().filter(|parent| *parent != self.parent) {
            create_dir(parent).map_err(failed)?;
            self.parent = parent.to_owned();
        }
        // Never over something that is there, and with its mode from the beginning: so there is no moment, and no path, to
        // change one by (RUSTSEC-2026-0067).
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, if entry.executable { 0o755 } else { 0o644 });
        let mut file = options.open(&path).map_err(failed)?;
        let mut hasher = Hasher::new();
        entries.content(|bytes| {
            keep(bytes);
            hasher.update(bytes);
            file.write_all(bytes).map_err(failed)
        })?;
        let (digest, size) = hasher.finish();
        Ok(Some(UnpackedFile { path: entry.path.clone(), size, digest, executable: entry.executable }))
    }
}

/// Makes a directory and those above it, unless they are there.
fn create_dir(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
    builder.create(path)
}
