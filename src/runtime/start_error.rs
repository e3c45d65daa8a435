//! Why a program cannot be started, and finding that out where the system only gave a number: the cause decides what users are told
//! to do.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Classified, ErrorKind};
use crate::executable::{self, Format, Machine};
use crate::manifest::PluginName;
use crate::manifest::platform::Platform;
use crate::text::{Sanitized, quoted};

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A name without a directory that is on no directory of `PATH`.
    #[error("there is no program `{}` on PATH; install it, or add its directory to PATH", Sanitized(program))]
    NotOnPath {
        /// The program's name.
        program: String,
    },
    /// Nothing lies at the program's path.
    #[error("there is no program {}; a reinstall of the plugin may bring it back", shown(path))]
    Missing {
        /// The program.
        path: PathBuf,
    },
    /// Something lies there that is no file.
    #[error("{} is not a file, and cannot be started", shown(path))]
    NotAFile {
        /// The program.
        path: PathBuf,
    },
    /// The file lacks the permission.
    #[error("{} has no execute bit; set it with `chmod +x {}`", shown(path), quoted(&path.to_string_lossy()))]
    NotExecutable {
        /// The program.
        path: PathBuf,
    },
    /// The same, and the file is known from a receipt, which knows the bit too.
    #[error("{} has no execute bit; another install of the plugin sets it", shown(path))]
    InstalledWithoutBit {
        /// The program.
        path: PathBuf,
    },
    /// The file has the permission for others.
    #[error("{} may be executed by others, and not by you; ask its owner to allow it", shown(path))]
    NotForYou {
        /// The program.
        path: PathBuf,
    },
    /// The file lies on a file system from which nothing is executed.
    #[error(
        "{} lies on a file system that is mounted with `noexec`, so nothing on it can be started; have it mounted with `exec`, or \
        keep plugins on another file system",
        shown(path)
    )]
    NoExec {
        /// The program.
        path: PathBuf,
    },
    /// A text that does not say what is to interpret it.
    #[error("{} is a script without a `#!` line; add one, such as `#!/bin/sh`", shown(path))]
    NoInterpreterLine {
        /// The program.
        path: PathBuf,
    },
    /// It is not the file that was compared with the plugin's receipt a moment ago.
    #[error("{} was replaced while it was being checked, so it is not started", shown(path))]
    Replaced {
        /// The program.
        path: PathBuf,
    },
    /// It is in the plugin's directory, and was not installed there.
    #[error(
        "{} was not installed with the plugin, so it is neither started nor handed to a program; `{host} plugin verify {plugin}` names what was added",
        shown(path)
    )]
    NotInstalled {
        /// The program, or the file that an argument names.
        path: PathBuf,
        /// The plugin.
        plugin: PluginName,
        /// The host's name.
        host: String,
    },
    /// A file of no bytes.
    #[error("{} is empty; a reinstall of the plugin may bring its content back", shown(path))]
    Empty {
        /// The program.
        path: PathBuf,
    },
    /// A script with the line ends of Windows: the interpreter's name ends in a carriage return.
    #[error(
        "the first line of {} ends in a carriage return, which no interpreter's name does; save the file with Unix line ends",
        shown(path)
    )]
    CarriageReturn {
        /// The program.
        path: PathBuf,
    },
    /// The interpreter of a script is not there.
    #[error(
        "the interpreter `{}` that the first line of {} names is not there, or cannot be executed; install it, or change that line",
        Sanitized(interpreter),
        shown(path)
    )]
    NoInterpreter {
        /// The program.
        path: PathBuf,
        /// What its `#!` line names.
        interpreter: String,
    },
    /// What loads the program into memory is not there.
    #[error(
        "the loader `{}` of {} is not there: the program was built for another C library, or for another kind of this machine; \
        the plugin needs a build for this system, or the loader must be installed",
        Sanitized(loader),
        shown(path)
    )]
    NoLoader {
        /// The program.
        path: PathBuf,
        /// The loader that it names.
        loader: String,
    },
    /// The system does not know how to run it.
    #[error("{} is not a program for this system ({}): it is {what}", shown(path), this_platform())]
    WrongFormat {
        /// The program.
        path: PathBuf,
        /// What it is instead, and what helps.
        what: String,
    },
    /// Whatever else the system says.
    #[error("cannot start {}", shown(path))]
    System {
        /// The program.
        path: PathBuf,
        /// What it says.
        #[source]
        source: io::Error,
    },
}

impl Classified for StartError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Replaced { .. } | Self::NotInstalled { .. } => ErrorKind::Mismatch,
            Self::NotOnPath { .. }
            | Self::Missing { .. }
            | Self::NotAFile { .. }
            | Self::NotExecutable { .. }
            | Self::InstalledWithoutBit { .. }
            | Self::NotForYou { .. }
            | Self::NoExec { .. }
            | Self::NoInterpreterLine { .. }
            | Self::Empty { .. }
            | Self::CarriageReturn { .. }
            | Self::NoInterpreter { .. }
            | Self::NoLoader { .. }
            | Self::WrongFormat { .. }
            | Self::System { .. } => ErrorKind::Failed,
        }
    }
}

fn shown(path: &Path) -> String {
    Sanitized(&path.to_string_lossy()).to_string()
}

/// This machine in words.
fn this_platform() -> String {
    let platform = Platform::current();
    format!("{}/{}", platform.os, platform.arch)
}

impl StartError {
    /// The system cannot run the file at `path`, which is of this `format`.
    pub(super) fn wrong_format(path: &Path, format: &Format) -> Self {
        let what = match format {
            Format::Empty => return Self::Empty { path: path.to_owned() },
            Format::Text => return Self::NoInterpreterLine { path: path.to_owned() },
            Format::Script(script) => {
                let interpreter = script.interpreter.clone();
                return match interpreter.is_empty() {
                    true => Self::NoInterpreterLine { path: path.to_owned() },
                    false => Self::NoInterpreter { path: path.to_owned(), interpreter },
                };
            }
            Format::Program(machine) if is_here(*machine) => "a damaged one".to_owned(),
            Format::Marked => format!("{}; save it without that mark", format.what()),
            Format::Utf16 => format!("{}; save it as UTF-8", format.what()),
            Format::Module | Format::Component => format!("{}; such a plugin has `runtime: extism/v1`", format.what()),
            Format::Program(_) | Format::Universal | Format::Object | Format::Zip | Format::JavaClass | Format::Unknown => {
                format.what()
            }
        };
        Self::WrongFormat { path: path.to_owned(), what }
    }

    /// The file at `path` may not be executed. `compared`: its mode stands in a receipt.
    pub(super) fn denied(path: &Path, compared: bool) -> Self {
        let path = path.to_owned();
        match path.metadata() {
            _ if is_noexec(&path) => Self::NoExec { path },
            Ok(metadata) if has_bit(&metadata) => Self::NotForYou { path },
            _ if compared => Self::InstalledWithoutBit { path },
            _ => Self::NotExecutable { path },
        }
    }

    /// What it means that the system refused to start the program at `path` with `error`.
    pub(super) fn explain(path: &Path, error: io::Error, compared: bool) -> Self {
        let format = || File::open(path).and_then(|mut file| Format::of(&mut file)).ok();
        match error.kind() {
            io::ErrorKind::NotFound => match format() {
                Some(format) => Self::part_missing(path, &format),
                None => Self::Missing { path: path.to_owned() },
            },
            io::ErrorKind::PermissionDenied if path.is_file() => match format() {
                Some(format @ Format::Script(_)) if super::program::is_executable(path) => Self::wrong_format(path, &format),
                _ => Self::denied(path, compared),
            },
            _ if is_format_error(&error) => Self::wrong_format(path, &format().unwrap_or(Format::Unknown)),
            _ => Self::System { path: path.to_owned(), source: error },
        }
    }

    /// The file at `path` is there, and the system says that something is not.
    fn part_missing(path: &Path, format: &Format) -> Self {
        let program = match format {
            Format::Script(script) if script.has_carriage_return() => return Self::CarriageReturn { path: path.to_owned() },
            // The interpreter may be a program that lacks its own loader.
            Format::Script(script) => Path::new(&script.interpreter),
            _ => path,
        };
        match File::open(program).ok().and_then(|mut file| executable::loader(&mut file)) {
            Some(loader) if !Path::new(&loader).exists() => Self::NoLoader { path: program.to_owned(), loader },
            _ => Self::wrong_format(path, format),
        }
    }
}

/// Whether a program for `machine` is for this one.
pub(super) fn is_here(machine: Machine) -> bool {
    let here = Platform::current();
    machine.os == here.os && machine.arch == here.arch
}

/// The system's "exec format error", which has no kind of its own.
fn is_format_error(error: &io::Error) -> bool {
    cfg!(unix) && error.raw_os_error() == Some(8)
}

#[cfg(unix)]
fn has_bit(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0
}

#[cfg(not(unix))]
fn has_bit(_: &std::fs::Metadata) -> bool {
    true
}

/// Whether `path` lies on a file system from which nothing is executed.
#[cfg(target_os = "linux")]
pub fn is_noexec(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|system| system.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC))
}

/// Whether `path` lies on a file system from which nothing is executed.
#[cfg(not(target_os = "linux"))]
pub fn is_noexec(_: &Path) -> bool {
    false
}
