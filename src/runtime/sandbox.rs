//! Confining a hook: it and all that it starts can write beneath its plugin's directory and a temporary one, and nowhere else.
//!
//! Linux's Landlock does it, which needs no rights of its own. What is confined is a thread that is made for the purpose, and from
//! which the hook is started: children inherit the confinement, and this program's other threads stay as free as they were.
//! Reading, executing and the network are not restricted. Neither are modes, owners, times and extended attributes of files, for
//! which Landlock has no right. What the user should know of this stands in `docs/security.md`.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::Child;

use super::StartError;
use super::program::Program;

/// How far a hook was confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confinement {
    /// It could write beneath its directories and nowhere else.
    Whole,
    /// The same, but the kernel (before Linux 6.2) lets it cut off files elsewhere.
    ExceptTruncation,
    /// Not at all, since the system cannot.
    Impossible,
    /// Not at all, as `hooks.sandbox` asks.
    Off,
}

impl Confinement {
    /// Whether a hook that failed may have failed because of it.
    pub(super) fn is_some(self) -> bool {
        matches!(self, Self::Whole | Self::ExceptTruncation)
    }
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "it can write to its own directory and a temporary one alone",
            Self::ExceptTruncation => {
                "it can write to its own directory and a temporary one alone; this kernel cannot keep it from cutting off other files"
            }
            Self::Impossible => "this system cannot confine it (Linux with Landlock can)",
            Self::Off => "it is not confined",
        })
    }
}

/// Why a hook was not confined, and not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The system has no Landlock, or one that cannot do all that is promised.
    #[error("this system cannot confine programs: that takes Landlock, of Linux 6.2 or newer")]
    Unsupported,
    /// A rule could not be made.
    #[error("the system refused to confine it")]
    Refused {
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why a confined program did not start.
#[derive(Debug)]
pub(super) enum ConfinedStartError {
    /// It was not confined.
    Sandbox(SandboxError),
    /// It was, and did not start.
    Start(StartError),
}

/// Starts `program` so that it can write beneath the directories `writable` alone. Where `required`, it is that or nothing; else
/// it is as much of it as the system can.
#[cfg(target_os = "linux")]
pub(super) fn spawn(
    program: &mut Program,
    writable: [&Path; 2],
    required: bool,
) -> Result<(Child, Confinement), ConfinedStartError> {
    let confined = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let confinement = match linux::confine(writable, required) {
                Ok(Confinement::Impossible) => return Ok(None),
                Ok(confinement) => confinement,
                Err(error) if required => return Err(ConfinedStartError::Sandbox(error)),
                // Whatever stands in the way, such as a filter of system calls: the system cannot.
                Err(_) => return Ok(None),
            };
            program.spawn().map(|child| Some((child, confinement))).map_err(ConfinedStartError::Start)
        });
        let gone =
            || ConfinedStartError::Sandbox(SandboxError::Refused { source: io::Error::other("its thread ended early") });
        thread.join().unwrap_or_else(|_| Err(gone()))
    })?;
    match confined {
        Some(started) => Ok(started),
        // Not from that thread, which may have given up rights all the same.
        None => program.spawn().map(|child| (child, Confinement::Impossible)).map_err(ConfinedStartError::Start),
    }
}

/// Starts `program`; nothing here can confine it.
#[cfg(not(target_os = "linux"))]
pub(super) fn spawn(
    program: &mut Program,
    _: [&Path; 2],
    required: bool,
) -> Result<(Child, Confinement), ConfinedStartError> {
    if required {
        return Err(ConfinedStartError::Sandbox(SandboxError::Unsupported));
    }
    program.spawn().map(|child| (child, Confinement::Impossible)).map_err(ConfinedStartError::Start)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsFd;
    use std::path::Path;

    use landlock::{
        ABI, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
        RulesetCreatedAttr, RulesetError, RulesetStatus,
    };

    use super::{Confinement, SandboxError};

    /// The first version with which no file elsewhere can be changed: before it, files could be truncated.
    const WHOLE: ABI = ABI::V3;

    /// Devices that programs write to in passing.
    const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty"];

    /// Confines this thread and all that it starts from now on.
    pub(super) fn confine(writable: [&Path; 2], required: bool) -> Result<Confinement, SandboxError> {
        let whole = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_write(WHOLE))
            .and_then(|ruleset| {
                // What newer kernels know beyond that: commands to devices.
                ruleset.set_compatibility(CompatLevel::BestEffort).handle_access(AccessFs::IoctlDev)
            });
        let (ruleset, confinement) = match whole {
            Ok(ruleset) => (ruleset, Confinement::Whole),
            Err(_) if required => return Err(SandboxError::Unsupported),
            Err(_) => {
                let some = Ruleset::default().handle_access(AccessFs::from_write(WHOLE)).map_err(refused)?;
                (some, Confinement::ExceptTruncation)
            }
        };
        let mut ruleset = ruleset.create().map_err(refused)?;
        let everything = AccessFs::from_write(ABI::V5);
        for path in writable {
            let path = PathFd::new(path).map_err(|error| SandboxError::Refused { source: io::Error::other(error) })?;
            ruleset = ruleset.add_rule(PathBeneath::new(path, everything)).map_err(refused)?;
        }
        let file = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
        for device in DEVICES {
            if let Ok(device) = PathFd::new(device) {
                ruleset = ruleset.add_rule(PathBeneath::new(device, file)).map_err(refused)?;
            }
        }
        // A script writes to `/dev/stderr` by opening what our stream is again.
        ruleset = allow_stream(ruleset, io::stdout(), file)?;
        ruleset = allow_stream(ruleset, io::stderr(), file)?;
        let status = ruleset.restrict_self().map_err(refused)?;
        Ok(if status.ruleset == RulesetStatus::NotEnforced { Confinement::Impossible } else { confinement })
    }

    /// Lets the file or terminal behind `stream` be opened again for writing; pipes always can.
    fn allow_stream(
        ruleset: RulesetCreated,
        stream: impl AsFd,
        access: BitFlags<AccessFs>,
    ) -> Result<RulesetCreated, SandboxError> {
        use std::os::unix::fs::FileTypeExt;
        // A stream that was closed, or a copy of which cannot be had, is none to open again.
        let Ok(copy) = stream.as_fd().try_clone_to_owned() else { return Ok(ruleset) };
        let file = File::from(copy);
        match file.metadata().map(|metadata| metadata.file_type()) {
            Ok(kind) if kind.is_file() || kind.is_char_device() => {
                ruleset.add_rule(PathBeneath::new(file, access)).map_err(refused)
            }
            _ => Ok(ruleset),
        }
    }

    fn refused(error: RulesetError) -> SandboxError {
        SandboxError::Refused { source: io::Error::other(error) }
    }
}
