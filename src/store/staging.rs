//! Plugins on their way in: unpacked, copied or linked in a private directory, with everything known that a receipt will say.
//!
//! A [`StagedPlugin`] can only be made from what was verified, or from a directory of this machine. It goes when it is dropped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::digest::{HashingWriter, Sha256Digest};
use crate::files;
use crate::intake::package;
use crate::intake::provenance::{Evidence, VerifiedPackage};
use crate::manifest::{self, Metadata};
use crate::report::Report;
use crate::settings::Limits;

use super::error::StoreError;
use super::lock::{Spool, StoreLock};
use super::receipt::{InstallKind, RecordedSource};
use super::tree::{self, FileRecord, FileStamp, TreeError, TreeId};
use super::{disk, prov};
use crate::text::{Sanitized, without_credentials};

/// The name under which a package waits beside its unpacked tree.
pub(super) const PACKAGE: &str = "package.tgz";

/// A plugin that is ready to take its place.
#[derive(Debug)]
pub struct StagedPlugin {
    pub(super) scratch: Spool,
    pub(super) metadata: Metadata,
    pub(super) kind: InstallKind,
    /// Where it came from, as far as the package knows.
    pub(super) source: RecordedSource,
    pub(super) evidence: Option<Evidence>,
    pub(super) package: Option<StagedPackage>,
    /// Sorted by path, each with its stamp.
    pub(super) files: Vec<FileRecord>,
}

/// The package of a staged plugin, in its scratch directory.
#[derive(Debug)]
pub(super) struct StagedPackage {
    pub(super) digest: Sha256Digest,
    pub(super) size: u64,
    pub(super) provenance: bool,
}

impl StagedPlugin {
    /// What its manifest says.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Its files, sorted by path; none of a link.
    pub fn files(&self) -> &[FileRecord] {
        &self.files
    }

    /// How it came.
    pub fn kind(&self) -> InstallKind {
        self.kind
    }

    /// Where it came from, as far as the package knows.
    pub fn source(&self) -> &RecordedSource {
        &self.source
    }

    /// Why it is trusted; `None` for a directory of this machine.
    pub fn evidence(&self) -> Option<&Evidence> {
        self.evidence.as_ref()
    }

    /// The digest of its package.
    pub fn package_digest(&self) -> Option<Sha256Digest> {
        self.package.as_ref().map(|package| package.digest)
    }

    /// Its directory (or link) in staging.
    pub fn tree(&self) -> PathBuf {
        self.scratch.path().join(self.metadata.name.as_str())
    }

    /// Which tree that is.
    pub(super) fn tree_id(&self) -> Result<TreeId, StoreError> {
        let tree = self.tree();
        tree::id_at(&tree)?.ok_or_else(|| StoreError::io("find", &tree, io::ErrorKind::NotFound.into()))
    }
}

impl StoreLock<'_> {
    /// Unpacks a verified package into staging, and checks that it is the package that was signed and may be installed.
    ///
    /// # Errors
    /// [`StoreError::Unpack`], [`StoreError::Verify`], [`StoreError::Reserved`], [`StoreError::Io`].
    pub fn stage(&self, verified: VerifiedPackage, report: &dyn Report) -> Result<StagedPlugin, StoreError> {
        let scratch = self.spool()?;
        let into = scratch.path().join("unpack.d");
        create_dir(&into)?;
        let fetched = verified.fetched();
        let unpacked = package::unpack(fetched.path(), &fetched.display_name(), &into, self.store.limits(), report)?;
        verified.check_manifest(&unpacked.metadata)?;
        self.check_fit(&unpacked.metadata)?;
        let tree = scratch.path().join(unpacked.metadata.name.as_str());
        disk::rename(&unpacked.root, &tree).map_err(|source| StoreError::io("rename", &unpacked.root, source))?;

        let mut files = Vec::with_capacity(unpacked.files.len());
        for file in unpacked.files {
            let path = tree.join(&file.path);
            let metadata = fs::symlink_metadata(&path).map_err(|source| StoreError::io("look at", &path, source))?;
            files.push(FileRecord {
                path: file.path,
                sha256: file.digest,
                size: file.size,
                mode: tree::mode(&metadata),
                link: false,
                made_by: None,
                stamp: Some(FileStamp::of(&metadata)),
            });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        allow_programs(&tree, &unpacked.metadata, &mut files, report)?;

        let evidence = verified.evidence().clone();
        let fetched = verified.into_fetched();
        let kept = scratch.path().join(PACKAGE);
        move_file(fetched.path(), &kept)?;
        if let Some(bytes) = fetched.provenance() {
            let path = prov(&kept);
            files::write_new_private(&path, bytes)
                .and_then(|()| files::publish(&path, 0o644))
                .map_err(|source| StoreError::io("write", &path, source))?;
        }
        // It is kept beside the plugin, for whoever may read that.
        files::publish(&kept, 0o644).map_err(|source| StoreError::io("write", &kept, source))?;
        let package =
            StagedPackage { digest: fetched.digest(), size: fetched.size(), provenance: fetched.provenance().is_some() };
        let origin = fetched.origin();
        let source = RecordedSource {
            asked: without_credentials(&origin.asked),
            resolved: Some(without_credentials(&origin.resolved)).filter(|resolved| !resolved.is_empty()),
            revision: origin.revision.clone(),
            validator: origin.validator.clone(),
        };
        Ok(StagedPlugin {
            scratch,
            metadata: unpacked.metadata,
            kind: InstallKind::Package,
            source,
            evidence: Some(evidence),
            package: Some(package),
            files,
        })
    }

    /// Copies a directory of this machine into staging under the rules of packages: no `.git`, links that stay inside become
    /// what they point to, anything else that is no file or directory is refused, modes become 0644 and 0755.
    ///
    /// # Errors
    /// [`StoreError::NotADirectory`], [`StoreError::Manifest`], [`StoreError::LinkLeaves`], [`StoreError::BadName`],
    /// [`StoreError::Tree`], [`StoreError::IntoItself`], [`StoreError::Reserved`], [`StoreError::Io`].
    pub fn stage_directory_copy(&self, dir: &Path, report: &dyn Report) -> Result<StagedPlugin, StoreError> {
        let (dir, real, metadata) = self.local_directory(dir)?;
        let scratch = self.spool()?;
        let tree = scratch.path().join(metadata.name.as_str());
        create_dir(&tree)?;
        if self.root().0.canonicalize().is_ok_and(|root| root.starts_with(&real)) {
            return Err(StoreError::IntoItself { path: dir, directory: self.root().0.clone() });
        }
        let mut copy = Copy { from: &real, to: &tree, limits: self.store.limits(), entries: 0, bytes: 0, files: Vec::new() };
        copy.directory(&real, "", &mut vec![real.clone()])?;
        let mut files = copy.files;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        allow_programs(&tree, &metadata, &mut files, report)?;
        Ok(StagedPlugin {
            scratch,
            metadata,
            kind: InstallKind::Copy,
            source: directory_source(&dir),
            evidence: None,
            package: None,
            files,
        })
    }

    /// Makes a symbolic link to a directory of this machine in staging: a local development install, whose files are used as
    /// they are, whatever becomes of them.
    ///
    /// # Errors
    /// [`StoreError::NotADirectory`], [`StoreError::Manifest`], [`StoreError::IntoItself`], [`StoreError::Reserved`],
    /// [`StoreError::Io`].
    pub fn stage_link(&self, dir: &Path) -> Result<StagedPlugin, StoreError> {
        let (dir, real, metadata) = self.local_directory(dir)?;
        let place = self.root().plugin(metadata.name.as_str());
        if place.canonicalize().is_ok_and(|place| place == real) && !place.is_symlink() {
            return Err(StoreError::IntoItself { path: dir, directory: place });
        }
        let scratch = self.spool()?;
        let link = scratch.path().join(metadata.name.as_str());
        symlink_dir(&dir, &link).map_err(|source| StoreError::io("link to", &dir, source))?;
        let source = directory_source(&dir);
        Ok(StagedPlugin {
            scratch,
            metadata,
            kind: InstallKind::Link,
            source,
            evidence: None,
            package: None,
            files: Vec::new(),
        })
    }

    /// The absolute path of `dir`, its real path, and its manifest.
    fn local_directory(&self, dir: &Path) -> Result<(PathBuf, PathBuf, Metadata), StoreError> {
        let real = dir.canonicalize().ok().filter(|real| real.is_dir());
        let Some(real) = real else { return Err(StoreError::NotADirectory { path: dir.to_owned() }) };
        // A link on the way is the user's choice and stays; `..` behind one would mean something else in our link.
        let winding = dir.components().any(|part| part == std::path::Component::ParentDir);
        let absolute = if winding { real.clone() } else { std::path::absolute(dir).unwrap_or_else(|_| real.clone()) };
        let metadata = manifest::load(&absolute, self.store.limits())?;
        self.check_fit(&metadata)?;
        Ok((absolute, real, metadata))
    }

    /// A built-in command keeps its name, and a module that needs more than this host has is of no use here.
    fn check_fit(&self, metadata: &Metadata) -> Result<(), StoreError> {
        let name = metadata.name.as_str();
        if self.store.host.is_reserved(name) {
            return Err(StoreError::Reserved { name: name.to_owned(), host: self.store.host.name().to_owned() });
        }
        self.store.host.check_functions(metadata, Path::new(""))?;
        Ok(())
    }
}

fn directory_source(dir: &Path) -> RecordedSource {
    RecordedSource { asked: dir.to_string_lossy().into_owned(), ..RecordedSource::default() }
}

/// Copies a directory under the rules of packages.
struct Copy<'a> {
    from: &'a Path,
    to: &'a Path,
    limits: &'a Limits,
    entries: u64,
    bytes: u64,
    files: Vec<FileRecord>,
}

impl Copy<'_> {
    /// Copies what is in `dir`, which becomes the directory `relative`. `within` holds the real paths of `dir` and the
    /// directories above it: a link to one of them is a circle.
    fn directory(&mut self, dir: &Path, relative: &str, within: &mut Vec<PathBuf>) -> Result<(), StoreError> {
        let unreadable = |source| StoreError::io("read", dir, source);
        for entry in fs::read_dir(dir).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let path = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str() else { return Err(TreeError::Name { path }.into()) };
            if name == ".git" {
                continue;
            }
            let relative = if relative.is_empty() { name.to_owned() } else { format!("{relative}/{name}") };
            self.check(&path, name, &relative)?;

            let real = path.canonicalize().ok().filter(|real| real.starts_with(self.from));
            let is_link = entry.file_type().map_err(unreadable)?.is_symlink();
            let Some(real) = real else {
                if is_link {
                    return Err(StoreError::LinkLeaves { path });
                }
                return Err(StoreError::io("find", &path, io::ErrorKind::NotFound.into()));
            };
            let metadata = fs::metadata(&real).map_err(unreadable)?;
            if metadata.is_dir() {
                if within.contains(&real) || real.components().any(|part| part.as_os_str() == ".git") && is_link {
                    return Err(StoreError::LinkLeaves { path });
                }
                create_dir(&self.to.join(&relative))?;
                within.push(real.clone());
                self.directory(&real, &relative, within)?;
                within.pop();
            } else if metadata.is_file() {
                self.file(&real, relative, &metadata)?;
            } else {
                return Err(TreeError::Special { path }.into());
            }
        }
        Ok(())
    }

    /// Refuses what no package could hold.
    fn check(&mut self, path: &Path, name: &str, relative: &str) -> Result<(), StoreError> {
        let limit = |what, limit| Err(TreeError::Limit { path: path.to_owned(), what, limit }.into());
        self.entries += 1;
        if self.entries > self.limits.entries {
            return limit("files", self.limits.entries);
        }
        if relative.len() > self.limits.path_bytes {
            return limit("bytes in its path", self.limits.path_bytes as u64);
        }
        if relative.split('/').count() > self.limits.path_levels {
            return limit("levels", self.limits.path_levels as u64);
        }
        if name.len() > self.limits.part_bytes {
            return limit("bytes in its name", self.limits.part_bytes as u64);
        }
        let why = if name.chars().any(char::is_control) {
            "it holds a control character"
        } else if name.contains(['\\', ':']) {
            "it holds a `\\` or `:`"
        } else if name.ends_with(['.', ' ']) {
            "it ends in a dot or space"
        } else {
            return Ok(());
        };
        Err(StoreError::BadName { path: path.to_owned(), why })
    }

    fn file(&mut self, from: &Path, relative: String, metadata: &fs::Metadata) -> Result<(), StoreError> {
        let limits = self.limits;
        let limit = |what, limit| Err(TreeError::Limit { path: from.to_owned(), what, limit }.into());
        let unreadable = |source| StoreError::io("read", from, source);
        let to = self.to.join(&relative);
        let unwritable = |source| StoreError::io("write", &to, source);

        let executable = cfg!(unix) && tree::mode(metadata) & 0o111 != 0;
        let mut source = File::open(from).map_err(unreadable)?.take(limits.file_bytes.saturating_add(1));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, if executable { 0o755 } else { 0o644 });
        let mut writer = HashingWriter::new(options.open(&to).map_err(unwritable)?);
        io::copy(&mut source, &mut writer).map_err(unwritable)?;
        let (file, sha256, size) = writer.finish();
        self.bytes = self.bytes.saturating_add(size);
        if size > limits.file_bytes {
            return limit("bytes", limits.file_bytes);
        }
        if self.bytes > limits.total_bytes {
            return Err(TreeError::Limit { path: self.from.to_owned(), what: "bytes", limit: limits.total_bytes }.into());
        }
        let written = file.metadata().map_err(unwritable)?;
        let (mode, stamp) = (tree::mode(&written), Some(FileStamp::of(&written)));
        self.files.push(FileRecord { path: relative, sha256, size, mode, link: false, made_by: None, stamp });
        Ok(())
    }
}

/// Sets the execute bit of the programs that the manifest names, where they came without it: a package that was made on Windows, or by a
/// service that keeps no modes, could not be run, and the gate would refuse who sets it later.
fn allow_programs(
    tree: &Path,
    metadata: &Metadata,
    files: &mut [FileRecord],
    report: &dyn Report,
) -> Result<(), StoreError> {
    let programs = metadata.programs();
    for file in files.iter_mut().filter(|file| cfg!(unix) && !file.is_executable() && programs.contains(&file.path)) {
        let path = tree.join(&file.path);
        allow(&path, file.mode | (file.mode & 0o444) >> 2)
            .map_err(|source| StoreError::io("allow to execute", &path, source))?;
        let seen = fs::symlink_metadata(&path).map_err(|source| StoreError::io("look at", &path, source))?;
        (file.mode, file.stamp) = (tree::mode(&seen), Some(FileStamp::of(&seen)));
        let (name, file) = (&metadata.name, Sanitized(&file.path));
        report.notice(&format!(
            "`{file}` of plugin `{name}` had lost its execute bit, which was set: the manifest names it as a program"
        ));
    }
    Ok(())
}

#[cfg(unix)]
fn allow(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
fn allow(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// Makes a directory that others may read but only we may write to, whatever the umask.
fn create_dir(path: &Path) -> Result<(), StoreError> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
    builder.create(path).map_err(|source| StoreError::io("create", path, source))
}

/// Renames a file, or copies it where it lies on another file system.
fn move_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    match disk::rename(from, to) {
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {
            fs::copy(from, to).map_err(|source| StoreError::io("copy", from, source))?;
            Ok(())
        }
        result => result.map_err(|source| StoreError::io("rename", from, source)),
    }
}

#[cfg(unix)]
fn symlink_dir(to: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, link)
}

#[cfg(windows)]
fn symlink_dir(to: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(to, link)
}
