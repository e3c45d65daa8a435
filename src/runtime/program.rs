//! A command line to a process: finding the program, looking at it, and starting it. Nothing is ever handed to a shell because the
//! system cannot start it: the bytes of a file that is no script are no commands.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

#[cfg(unix)]
use super::exec::Image;
use super::start_error::{StartError, is_here};
use super::{Environment, RunTarget};
use crate::executable::Format;
use crate::manifest::platform::CommandLine;
use crate::store::FileStanding;

/// The system's number for "exec format error".
const NO_EXEC: i32 = 8;

/// How often a program that is being written is tried again, and after how long. Who has just written it may have started another
/// program meanwhile, which holds the file open for a moment.
const BUSY_TRIES: u32 = 100;
const BUSY_NAP: Duration = Duration::from_millis(10);

/// An opened file that is executed, whatever lies at its path by then: the name of a handle can be turned to no other file.
#[cfg_attr(not(unix), expect(dead_code, reason = "programs are started by name"))]
#[derive(Debug)]
struct Handle {
    /// Open until it has been executed.
    _file: File,
    /// How the system is told to execute it.
    path: PathBuf,
}

/// A program that was found, with its arguments.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    /// By which name it is called.
    #[cfg_attr(not(unix), expect(dead_code, reason = "programs are called by their paths"))]
    called: OsString,
    command: Command,
    look: ProgramCheck,
}

/// What was seen of a program before its start.
#[derive(Debug, Default)]
struct ProgramCheck {
    /// What is executed, where that is not whatever lies at the program's path.
    handle: Option<Handle>,
    /// Whether the gate compared the file with a receipt.
    compared: bool,
    /// Whether it is neither a script nor a program for this machine, so that only a helper that the system was told of can run it.
    foreign: bool,
}

impl Program {
    /// Finds the program of `line`, as `execvp` and Go's `exec.Command` do: a name with a separator is a path, relative to the
    /// working directory; any other is looked for on the `PATH` of `environment`.
    pub(super) fn find(
        target: RunTarget<'_>,
        line: &CommandLine,
        environment: &Environment<'_>,
    ) -> Result<Self, StartError> {
        let path = if has_separator(&line.program) {
            PathBuf::from(&line.program)
        } else {
            find_on_path(&line.program, environment.get("PATH").as_deref())?
        };
        Self::at(path, target, line, environment)
    }

    /// Takes the program of `line` from the plugin's directory, whatever it looks like; an absolute one stays where it is. One
    /// that is not there, as `/bin/x.sh` for `bin/x.sh`, is looked for in the directory all the same: to Helm every path is one
    /// in it, and plugins are written for it.
    pub(super) fn within(
        target: RunTarget<'_>,
        line: &CommandLine,
        environment: &Environment<'_>,
    ) -> Result<Self, StartError> {
        let (dir, program) = (target.dir, Path::new(&line.program));
        let beneath = || program.strip_prefix("/").map(|relative| dir.join(relative)).ok().filter(|path| path.is_file());
        let path = match program.is_absolute() && !program.exists() {
            true => beneath().unwrap_or_else(|| program.to_owned()),
            false => dir.join(program),
        };
        Self::at(path, target, line, environment)
    }

    fn at(
        path: PathBuf,
        target: RunTarget<'_>,
        line: &CommandLine,
        environment: &Environment<'_>,
    ) -> Result<Self, StartError> {
        let look = check(&path, target, environment).map_err(|fault| fault.of(&path, target, environment))?;
        check_arguments(line, target, environment)?;
        let mut command = Command::new(look.handle.as_ref().map_or(&path, |handle| &handle.path));
        command.args(&line.args);
        // Programs such as busybox ask by which name they were called.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::arg0(&mut command, &line.program);
        environment.apply(&mut command);
        Ok(Self { path, called: line.program.clone(), command, look })
    }

    /// The process to be, for streams and directory to be chosen.
    pub(super) fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Becomes the process; where that works this does not return.
    #[cfg(unix)]
    pub(super) fn exec(&mut self) -> StartError {
        let arguments = std::iter::once(self.called.as_os_str()).chain(self.command.get_args());
        let environment = self.command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let image = match Image::new(Path::new(self.command.get_program()), arguments, environment) {
            Ok(image) => image,
            Err(error) => return self.explain(error),
        };
        let mut error = image.replace();
        for _ in 0..BUSY_TRIES {
            if error.kind() != io::ErrorKind::ExecutableFileBusy {
                break;
            }
            thread::sleep(BUSY_NAP);
            error = image.replace();
        }
        self.explain(error)
    }

    /// Starts the process.
    ///
    /// The standard library does it by `posix_spawn`, which asks no shell, unless the C library cannot change the directory so: glibc
    /// before 2.29. Then it is `execvp`, which does, and what is foreign is not started.
    pub(super) fn spawn(&mut self) -> Result<Child, StartError> {
        if self.look.foreign && self.command.get_current_dir().is_some() {
            return Err(self.explain(io::Error::from_raw_os_error(NO_EXEC)));
        }
        let mut tries = 0;
        loop {
            match self.command.spawn() {
                // A process that another thread starts holds, for a moment, every file that this one is writing: also the
                // program that has just been unpacked.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                    tries += 1;
                    thread::sleep(BUSY_NAP);
                }
                started => return started.map_err(|error| self.explain(error)),
            }
        }
    }

    /// What it means that the system refused to start this with `error`.
    fn explain(&self, error: io::Error) -> StartError {
        StartError::explain(&self.path, error, self.look.compared)
    }
}

fn has_separator(program: &OsStr) -> bool {
    program.as_encoded_bytes().iter().any(|&byte| std::path::is_separator(byte.into()))
}

/// The first executable file called `program` on the list `path`. Relative entries are passed over: what stands in the working
/// directory must not take the place of a program (Go refuses it for the same reason).
#[cfg(unix)]
fn find_on_path(program: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, StartError> {
    let path = path.unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
    let mut denied = None;
    for dir in std::env::split_paths(path).filter(|dir| dir.is_absolute()) {
        let candidate = dir.join(program);
        if !candidate.is_file() {
            continue;
        }
        if is_executable(&candidate) {
            return Ok(candidate);
        }
        denied.get_or_insert(candidate);
    }
    Err(match denied {
        Some(path) => StartError::denied(&path, false),
        None => StartError::NotOnPath { program: program.to_string_lossy().into_owned() },
    })
}

/// Windows itself looks for programs, with the extensions that it knows.
#[cfg(not(unix))]
fn find_on_path(program: &OsStr, _: Option<&OsStr>) -> Result<PathBuf, StartError> {
    Ok(program.into())
}

#[cfg(unix)]
pub(super) fn is_executable(path: &Path) -> bool {
    may_execute(path).is_ok()
}

#[cfg(unix)]
fn may_execute(path: &Path) -> rustix::io::Result<()> {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK)
}

#[cfg(not(unix))]
pub(super) fn is_executable(_: &Path) -> bool {
    true
}

/// Looks at the file at `path` through one handle: whether it can be started, and whether it is what the gate saw. Keeps the
/// handle where it is to be executed itself.
///
/// A script without a `#!` line is refused. Some programs hand such a file to `/bin/sh`, others and Helm do not: a plugin that
/// runs on one machine should run on all.
///
/// A script with one is executed by its name all the same. Its interpreter opens it again by the path that the system hands
/// over, which would be that of a handle: one that must then stay open in the interpreter and all that it starts, and `$0` would
/// be `/dev/fd/3`, where nearly every script of a plugin looks for its directory. It has been compared a moment ago. The same holds for
/// programs of other machines, which only a helper can run.
#[cfg(unix)]
fn check(path: &Path, target: RunTarget<'_>, environment: &Environment<'_>) -> Result<ProgramCheck, StartFault> {
    let system = |source| StartError::System { path: path.to_owned(), source };
    let Some((mut file, metadata)) = open(path)? else {
        // Unless it lies where the gate has its list.
        return match target.allowlist {
            Some(list) if list.covers(path) => Err(StartFault::NotInstalled),
            _ => Ok(ProgramCheck::default()),
        };
    };
    let format = Format::of(&mut file).map_err(system)?;
    let compared = is_installed(path, &file, &metadata, target)?;
    let native = matches!(format, Format::Program(machine) if is_here(machine));
    // The handle is asked, so that the answer is about the same file; it also tells whether there is a `/proc`.
    let by_handle = cfg!(target_os = "linux") && compared && native;
    let by_handle = by_handle.then(|| PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file))));
    let (executable, handle) = match by_handle.map(|handle| (may_execute(&handle), handle)) {
        Some((Ok(()), path)) => (true, Some(Handle { _file: file, path })),
        Some((Err(rustix::io::Errno::ACCESS), _)) => (false, None),
        _ => (is_executable(path), None),
    };
    if !executable {
        return Err(StartError::denied(path, compared).into());
    }
    check_format(path, &format, environment)?;
    Ok(ProgramCheck { handle, compared, foreign: !native && !matches!(format, Format::Script(_)) })
}

/// Opens the program at `path`; nothing where we may run but not read it, which is for the system to judge.
#[cfg(unix)]
fn open(path: &Path) -> Result<Option<(File, std::fs::Metadata)>, StartError> {
    let path_buf = || path.to_owned();
    let system = |source| StartError::System { path: path_buf(), source };
    let mut options = File::options();
    options.read(true);
    // A fifo would keep us waiting for its writer.
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(StartError::Missing { path: path_buf() });
        }
        Err(error) => {
            return match std::fs::metadata(path) {
                Ok(metadata) if metadata.is_file() => Ok(None),
                Ok(_) => Err(StartError::NotAFile { path: path_buf() }),
                Err(_) => Err(system(error)),
            };
        }
    };
    let metadata = file.metadata().map_err(system)?;
    if metadata.is_file() { Ok(Some((file, metadata))) } else { Err(StartError::NotAFile { path: path_buf() }) }
}

/// Refuses what can be told to start nowhere before the system is asked. The rest is for the system to say, which may have been told how to
/// run it: Linux knows helpers for other machines' programs, Java archives and the like.
#[cfg(unix)]
fn check_format(path: &Path, format: &Format, environment: &Environment<'_>) -> Result<(), StartError> {
    let wrong = || Err(StartError::wrong_format(path, format));
    match format {
        Format::Empty | Format::Text | Format::Marked | Format::Utf16 => wrong(),
        Format::Script(script) if script.interpreter.is_empty() => wrong(),
        Format::Script(script) if script.interpreter.contains('\r') => {
            Err(StartError::CarriageReturn { path: path.to_owned() })
        }
        Format::Script(script) => match script.searched() {
            Some(name) if name.ends_with('\r') => Err(StartError::CarriageReturn { path: path.to_owned() }),
            Some(name) if find_on_path(OsStr::new(name), environment.get("PATH").as_deref()).is_err() => {
                Err(StartError::NoInterpreter { path: path.to_owned(), interpreter: name.to_owned() })
            }
            _ => Ok(()),
        },
        Format::Universal if cfg!(target_os = "macos") => Ok(()),
        Format::Program(machine) if cfg!(target_os = "macos") == (machine.os == "darwin") && machine.os != "windows" => {
            Ok(())
        }
        Format::Program(_)
        | Format::Universal
        | Format::Object
        | Format::Zip
        | Format::JavaClass
        | Format::Module
        | Format::Component
        | Format::Unknown => only_by_helper(wrong),
    }
}

/// Lets Linux judge, which asks no shell; other systems' C libraries do, where a child is started.
#[cfg(unix)]
fn only_by_helper(wrong: impl Fn() -> Result<(), StartError>) -> Result<(), StartError> {
    if cfg!(target_os = "linux") { Ok(()) } else { wrong() }
}

/// Windows looks for programs itself; what lies at the path as it was written must be on the gate's list there too.
#[cfg(not(unix))]
fn check(path: &Path, target: RunTarget<'_>, _: &Environment<'_>) -> Result<ProgramCheck, StartFault> {
    check_file(path, target)?;
    Ok(ProgramCheck::default())
}

/// Why a file is not started.
enum StartFault {
    /// It is not on the gate's list.
    NotInstalled,
    Start(StartError),
}

impl From<StartError> for StartFault {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl StartFault {
    fn of(self, path: &Path, target: RunTarget<'_>, environment: &Environment<'_>) -> StartError {
        match self {
            Self::Start(error) => error,
            Self::NotInstalled => StartError::NotInstalled {
                path: path.to_owned(),
                plugin: target.metadata.name.clone(),
                host: environment.host().name().to_owned(),
            },
        }
    }
}

/// Whether the opened `file` at `path` is one that the gate compared; what it would not let be started is an error.
fn is_installed(path: &Path, file: &File, metadata: &std::fs::Metadata, target: RunTarget<'_>) -> Result<bool, StartFault> {
    let Some(list) = target.allowlist else { return Ok(false) };
    let system = |source| StartError::System { path: path.to_owned(), source };
    match list.standing(path, file, metadata).map_err(system)? {
        FileStanding::Unchecked => Ok(false),
        FileStanding::Installed => Ok(true),
        FileStanding::Replaced => Err(StartError::Replaced { path: path.to_owned() }.into()),
        FileStanding::Unknown => Err(StartFault::NotInstalled),
    }
}

/// Refuses a command whose own arguments name a file in the plugin's directory that is not on the gate's list: a program may take
/// it for instructions.
fn check_arguments(line: &CommandLine, target: RunTarget<'_>, environment: &Environment<'_>) -> Result<(), StartError> {
    let Some(list) = target.allowlist else { return Ok(()) };
    for argument in line.args.iter().take(line.own_args) {
        for path in list.paths_in(&argument.to_string_lossy()) {
            check_file(&path, target).map_err(|fault| fault.of(&path, target, environment))?;
        }
    }
    Ok(())
}

/// Refuses the file at `path`, if one is there, where it is not on the gate's list.
fn check_file(path: &Path, target: RunTarget<'_>) -> Result<(), StartFault> {
    if !path.is_file() {
        return Ok(());
    }
    let system = |source| StartError::System { path: path.to_owned(), source };
    let file = File::open(path).map_err(system)?;
    let metadata = file.metadata().map_err(system)?;
    is_installed(path, &file, &metadata, target).map(|_| ())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "helpers of tests")]

    use super::*;
    use crate::digest::Sha256Digest;
    use crate::host::{ChosenDirectory, Homes, Host, SettingOrigin};
    use crate::manifest::{self, Metadata};
    use crate::stamp::CheckedFiles;
    use crate::store::StartAllowlist;
    use std::fs;
    use std::process::Stdio;

    struct Fixture {
        dir: tempfile::TempDir,
        metadata: Metadata,
        checked: CheckedFiles,
        host: Host,
    }

    impl Fixture {
        /// A directory with the program `run`, a copy of `of`, that was checked.
        fn new(of: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("run");
            fs::copy(of, &path).unwrap();
            let mut checked = CheckedFiles::default();
            checked.add("run", Sha256Digest::of_file(&path).unwrap().0, &fs::metadata(&path).unwrap());
            let metadata = manifest::parse(b"name: p\nversion: 1.0.0\n", Path::new("plugin.yaml")).unwrap();
            Self { dir, metadata, checked, host: Host::tool() }
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("run")
        }

        /// Puts a copy of `of` at the program's place.
        fn replace(&self, of: &str) {
            let other = self.dir.path().join("other");
            fs::copy(of, &other).unwrap();
            fs::rename(&other, self.path()).unwrap();
        }

        fn find(&self) -> Result<Program, StartError> {
            let home = || ChosenDirectory { path: self.dir.path().into(), origin: SettingOrigin::Default };
            let plugins = vec![self.dir.path().into()];
            let homes =
                Homes { data: home(), cache: home(), config: home(), plugins, plugins_origin: SettingOrigin::Default };
            let list = StartAllowlist::new(self.dir.path(), self.checked.clone(), self.dir.path().join("receipt.json"));
            let target = RunTarget { metadata: &self.metadata, dir: self.dir.path(), allowlist: Some(&list) };
            let line = CommandLine { program: self.path().into(), args: vec!["said".into()], own_args: 0 };
            Program::find(target, &line, &Environment::new(&self.host, &homes, false))
        }
    }

    fn output(mut program: Program) -> String {
        program.command().stdout(Stdio::piped());
        String::from_utf8(program.spawn().unwrap().wait_with_output().unwrap().stdout).unwrap()
    }

    #[test]
    fn s_what_was_checked_is_executed_whatever_lies_there_by_then() {
        let fixture = Fixture::new("/bin/echo");
        let program = fixture.find().unwrap();
        fixture.replace("/bin/false");
        assert_eq!(output(program), "said\n");
        // Nor does it help to turn the whole directory to another.
        let fixture = Fixture::new("/bin/echo");
        let program = fixture.find().unwrap();
        let moved = fixture.dir.path().with_extension("moved");
        fs::rename(fixture.dir.path(), &moved).unwrap();
        assert_eq!(output(program), "said\n");
        fs::rename(&moved, fixture.dir.path()).unwrap();
    }

    #[test]
    fn s_what_was_replaced_since_it_was_checked_is_not_started() {
        let fixture = Fixture::new("/bin/echo");
        fixture.replace("/bin/false");
        assert!(matches!(fixture.find(), Err(StartError::Replaced { .. })));
        // Scripts too, though they are executed by name.
        fs::write(fixture.path(), "#!/bin/sh\nexit 0\n").unwrap();
        assert!(matches!(fixture.find(), Err(StartError::Replaced { .. })));
        // The same bytes are the same program.
        fixture.replace("/bin/echo");
        assert_eq!(output(fixture.find().unwrap()), "said\n");
    }

    #[test]
    fn s_a_link_leads_to_one_file_once() {
        let fixture = Fixture::new("/bin/echo");
        fs::rename(fixture.path(), fixture.dir.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", fixture.path()).unwrap();
        // What lies behind it is the file that was checked, by its handle.
        let program = fixture.find().unwrap();
        fs::remove_file(fixture.path()).unwrap();
        std::os::unix::fs::symlink("/bin/false", fixture.path()).unwrap();
        assert_eq!(output(program), "said\n");
        assert!(matches!(fixture.find(), Err(StartError::Replaced { .. })));
    }
}
