//! `plugin create`: a new plugin to start from, whole or not at all.
//!
//! What it looks like is [`crate::scaffold`]'s affair; here it is written beside its place, built where that can be done, and moved there
//! in one step.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Manager;
use crate::error::{Classified, ErrorKind};
use crate::manifest::PluginName;
use crate::report::ReportEvent;
use crate::scaffold::{self, File, PluginType, Toolchain};
use crate::store::interrupt;
use crate::text::Sanitized;

/// How much of what a failed build says is shown: the end, where the reason stands.
const SAID_BYTES: usize = 8 << 10;

/// What is to be made.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// The plugin's name, and its directory's.
    pub name: PluginName,
    /// What it is for.
    pub kind: PluginType,
    /// What runs it, and what it is written in.
    pub flavour: Toolchain,
    /// Where its directory is made.
    pub destination: PathBuf,
    /// Whether a program that has to be built is built, where Cargo is there.
    pub build: bool,
}

/// A plugin that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its directory.
    pub directory: PathBuf,
    /// Its files, by their paths in it, sorted.
    pub files: Vec<String>,
    /// Whether its program is there.
    pub program: Readiness,
}

/// Whether a new plugin can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It is as it came, or was built.
    Ready,
    /// Nobody built it, since that was not wanted.
    NotBuilt,
    /// Nobody built it, since there is no Cargo on `PATH`.
    NoCargo,
}

/// Why a plugin was not made. Nothing of it is left then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The host has a command of that name.
    #[error("`{name}` is a command of {} itself, and no plugin can take its place; choose another name", Sanitized(host))]
    Reserved {
        /// The name.
        name: PluginName,
        /// The host.
        host: String,
    },
    /// Something is there already.
    #[error("{} is there already, and not an empty directory; choose another name, or another place with `--destination DIR`",
        Sanitized(&path.to_string_lossy()))]
    Exists {
        /// Where the plugin was to be.
        path: PathBuf,
    },
    /// The system refused something.
    #[error("cannot {action} {}", Sanitized(&path.to_string_lossy()))]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Cargo failed.
    #[error("cargo could not build the plugin; `--no-build` leaves that to you; it said:{}", indented(said))]
    Build {
        /// What Cargo said.
        said: String,
    },
}

impl Classified for CreateError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Reserved { .. } => ErrorKind::Usage,
            Self::Exists { .. } | Self::Io { .. } | Self::Build { .. } => ErrorKind::Failed,
        }
    }
}

/// Each line on one of its own, set off as somebody else's.
fn indented(said: &str) -> String {
    said.lines().map(|line| format!("\n  {}", Sanitized(line))).collect()
}

impl Manager<'_> {
    /// Makes a new plugin.
    ///
    /// # Errors
    /// See [`CreateError`]. Nothing is left of it then, and nothing is ever overwritten.
    pub fn create(&self, request: &CreateRequest) -> Result<Created, CreateError> {
        let CreateRequest { name, kind, flavour, destination, .. } = request;
        if *kind == PluginType::Cli && self.host.is_reserved(name.as_str()) {
            return Err(CreateError::Reserved { name: name.clone(), host: self.host.name().to_owned() });
        }
        let directory = destination.join(name.as_str());
        if !is_free(&directory) {
            return Err(CreateError::Exists { path: directory });
        }
        let made = NewDirectory::new(destination)?;
        let staged = made.staging.path().join(name.as_str());
        create_dir(&staged)?;
        let files = scaffold::files(name, *kind, *flavour, self.host);
        files.iter().try_for_each(|file| write(&staged, file))?;
        let program = match flavour {
            Toolchain::Sh | Toolchain::Module => Readiness::Ready,
            Toolchain::Rust if !request.build => Readiness::NotBuilt,
            Toolchain::Rust => self.build(name, &staged, made.staging.path())?,
        };
        let mut files: Vec<String> = files.into_iter().map(|file| file.path).collect();
        if *flavour == Toolchain::Rust && program == Readiness::Ready {
            files.extend(["Cargo.lock".to_owned(), scaffold::program(name)]);
            files.sort();
        }
        made.move_to(&staged, &directory)?;
        Ok(Created { directory, files, program })
    }

    /// Builds the program of the plugin in `staged` with Cargo, which needs no network for it; `scratch` is for what that leaves behind.
    fn build(&self, name: &PluginName, staged: &Path, scratch: &Path) -> Result<Readiness, CreateError> {
        let target = scratch.join("target");
        let what = format!("building {name} with cargo");
        self.report.event(ReportEvent::Started { what: &what, total: None });
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--offline", "--quiet", "--color", "never", "--target-dir"]).arg(&target);
        cargo.current_dir(staged).env_remove("CARGO_BUILD_TARGET").stdin(Stdio::null());
        let ended = cargo.output();
        self.report.event(ReportEvent::Finished);
        let output = match ended {
            Ok(output) => output,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Readiness::NoCargo),
            Err(source) => return Err(CreateError::Io { action: "run", path: "cargo".into(), source }),
        };
        let said = String::from_utf8_lossy(&output.stderr[output.stderr.len().saturating_sub(SAID_BYTES)..]).into_owned();
        if !output.status.success() {
            return Err(CreateError::Build { said });
        }
        let file_name = format!("{}{}", scaffold::crate_name(name), std::env::consts::EXE_SUFFIX);
        let built = find_built(&target, &file_name)
            .ok_or_else(|| CreateError::Build { said: format!("{said}\nthere is no program {file_name}") })?;
        let program = staged.join(scaffold::program(name));
        create_dir(&staged.join("bin"))?;
        let failed = |source| CreateError::Io { action: "copy the program to", path: program.clone(), source };
        fs::copy(&built, &program).map_err(failed)?;
        set_mode(&program, 0o755).map_err(failed)?;
        // Cargo made this one under the user's umask, which may let a group write.
        let lock = staged.join("Cargo.lock");
        set_mode(&lock, 0o644).map_err(|source| CreateError::Io { action: "set the mode of", path: lock, source })?;
        Ok(Readiness::Ready)
    }
}

/// A plugin in the making, and whatever had to be made for it: all of it goes, unless it is moved to its place.
struct NewDirectory {
    staging: tempfile::TempDir,
    /// The first directory that was not there, where the destination was none.
    parent: Option<PathBuf>,
}

impl NewDirectory {
    fn new(destination: &Path) -> Result<Self, CreateError> {
        let failed = |source| CreateError::Io { action: "create a directory in", path: destination.to_owned(), source };
        let missing = destination.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).last();
        let parent = missing.map(Path::to_owned);
        fs::create_dir_all(destination).map_err(failed)?;
        // Absolute, so that it is found again wherever an interrupt comes.
        let absolute = std::path::absolute(destination).map_err(failed)?;
        let staging = tempfile::Builder::new().prefix(".create-").tempdir_in(absolute).map_err(failed)?;
        interrupt::register(staging.path());
        Ok(Self { staging, parent })
    }

    /// Moves what is `staged` to `directory`, where nothing is, or nothing but an empty directory.
    fn move_to(mut self, staged: &Path, directory: &Path) -> Result<(), CreateError> {
        // A system that cannot replace an empty directory by another needs it gone; one that is not empty stays.
        if cfg!(not(unix)) {
            let _ = fs::remove_dir(directory);
        }
        match fs::rename(staged, directory) {
            Ok(()) => {
                self.parent = None;
                Ok(())
            }
            Err(_) if !is_free(directory) => Err(CreateError::Exists { path: directory.to_owned() }),
            Err(source) => Err(CreateError::Io { action: "move the plugin to", path: directory.to_owned(), source }),
        }
    }
}

impl Drop for NewDirectory {
    fn drop(&mut self) {
        interrupt::unregister(self.staging.path());
        if let Some(parent) = self.parent.take() {
            // We made it a moment ago, and hold the only thing in it.
            let _ = fs::remove_dir_all(self.staging.path());
            let mut empty = Some(self.staging.path().parent().unwrap_or(&parent).to_owned());
            let until = std::path::absolute(&parent).unwrap_or(parent);
            while let Some(path) = empty.filter(|path| path.starts_with(&until)) {
                if fs::remove_dir(&path).is_err() {
                    break;
                }
                empty = path.parent().map(Path::to_owned);
            }
        }
    }
}

/// Whether a directory can be put at `path`.
fn is_free(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()),
        Ok(_) => false,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Writes `file` of the plugin in `directory`. The modes are the same whatever the user's umask allows beyond them: what a group could
/// write to is no place for programs.
fn write(directory: &Path, file: &File) -> Result<(), CreateError> {
    let path = directory.join(&file.path);
    path.parent().map_or(Ok(()), create_dir)?;
    let failed = |source| CreateError::Io { action: "write", path: path.clone(), source };
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if file.executable { 0o755 } else { 0o644 });
    options.open(&path).and_then(|mut new| new.write_all(&file.content)).map_err(failed)
}

/// Makes the directory `path` and those above it, as far as they are not there.
fn create_dir(path: &Path) -> Result<(), CreateError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
    builder.create(path).map_err(|source| CreateError::Io { action: "create the directory", path: path.to_owned(), source })
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// The program `name` that Cargo built: below `release`, or below that of the target that the user's configuration names.
fn find_built(target: &Path, name: &str) -> Option<PathBuf> {
    let direct = target.join("release").join(name);
    if direct.is_file() {
        return Some(direct);
    }
    let targets = fs::read_dir(target).ok()?.flatten().map(|entry| entry.path().join("release").join(name));
    targets.into_iter().find(|path| path.is_file())
}
