//! A command line to a process: finding the program, starting it, and saying what is wrong where that fails.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use super::{Environment, Subject};
use crate::manifest::PluginName;
use crate::manifest::platform::CommandLine;
use crate::store::Standing;
use crate::text::Plain;

/// How often a program that is being written is tried again, and after how long. Who has just written it may have started another
/// program meanwhile, which holds the file open for a moment.
const BUSY_TRIES: u32 = 100;
const BUSY_NAP: Duration = Duration::from_millis(10);

/// How much of a program is looked at, for a `#!` line.
const FIRST_BYTES: u64 = 256;

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A name without a directory that is on no directory of `PATH`.
    #[error("there is no program `{}` on PATH; install it, or add its directory to PATH", Plain(program))]
    NotOnPath {
        /// The program's name.
        program: String,
    },
    /// Nothing lies at the program's path.
    #[error("there is no program {}; a reinstall of the plugin may bring it back", Plain(&path.to_string_lossy()))]
    Missing {
        /// The program.
        path: PathBuf,
    },
    /// Something lies there that is no file.
    #[error("{} is not a file, and cannot be started", Plain(&path.to_string_lossy()))]
    NotAFile {
        /// The program.
        path: PathBuf,
    },
    /// The file lacks the permission, or lies on a file system that is mounted without it.
    #[error("{path} may not be executed; allow it with `chmod +x '{path}'`", path = Plain(&path.to_string_lossy()))]
    NotExecutable {
        /// The program.
        path: PathBuf,
    },
    /// A text that does not say what is to interpret it.
    #[error("{} is a script without a `#!` line; add one, such as `#!/bin/sh`", Plain(&path.to_string_lossy()))]
    NoInterpreterLine {
        /// The program.
        path: PathBuf,
    },
    /// It is not the file that was compared with the plugin's receipt a moment ago.
    #[error("{} was replaced while it was being checked, so it is not started", Plain(&path.to_string_lossy()))]
    Replaced {
        /// The program.
        path: PathBuf,
    },
    /// It is in the plugin's directory, and was not installed there.
    #[error("{} was not installed with the plugin, so it is neither started nor handed to a program; `{host} plugin trust {plugin}` accepts it",
        Plain(&path.to_string_lossy()))]
    NotInstalled {
        /// The program, or the file that an argument names.
        path: PathBuf,
        /// The plugin.
        plugin: PluginName,
        /// The host's name.
        host: String,
    },
    /// A file of no bytes.
    #[error("{} is empty; a reinstall of the plugin may bring its content back", Plain(&path.to_string_lossy()))]
    Empty {
        /// The program.
        path: PathBuf,
    },
    /// A script with the line ends of Windows: the interpreter's name ends in a carriage return.
    #[error("the first line of {} ends in a carriage return, which no interpreter's name does; save the file with Unix line ends",
        Plain(&path.to_string_lossy()))]
    CarriageReturn {
        /// The program.
        path: PathBuf,
    },
    /// The interpreter of a script is not there.
    #[error("the interpreter `{}` that the first line of {} names is not there, or may not be executed; install it, or change that line",
        Plain(interpreter), Plain(&path.to_string_lossy()))]
    NoInterpreter {
        /// The program.
        path: PathBuf,
        /// What its `#!` line names.
        interpreter: String,
    },
    /// The system does not know how to run it.
    #[error("{} is not a program for this system ({}/{})", Plain(&path.to_string_lossy()), std::env::consts::OS, std::env::consts::ARCH)]
    WrongFormat {
        /// The program.
        path: PathBuf,
    },
    /// Whatever else the system says.
    #[error("cannot start {}", Plain(&path.to_string_lossy()))]
    System {
        /// The program.
        path: PathBuf,
        /// What it says.
        #[source]
        source: io::Error,
    },
}

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
    command: Command,
    /// What `command` executes, where that is not whatever lies at `path`.
    _handle: Option<Handle>,
}

impl Program {
    /// Finds the program of `line`, as `execvp` and Go's `exec.Command` do: a name with a separator is a path, relative to the
    /// working directory; any other is looked for on the `PATH` of `environment`.
    pub(super) fn find(subject: Subject<'_>, line: &CommandLine, environment: &Environment<'_>) -> Result<Self, StartError> {
        let path = if has_separator(&line.program) {
            PathBuf::from(&line.program)
        } else {
            find_on_path(&line.program, environment.get("PATH").as_deref())?
        };
        Self::at(path, subject, line, environment)
    }

    /// Takes the program of `line` from the plugin's directory, whatever it looks like; an absolute one stays where it is. One
    /// that is not there, as `/bin/x.sh` for `bin/x.sh`, is looked for in the directory all the same: to Helm every path is one
    /// in it, and plugins are written for it.
    pub(super) fn within(
        subject: Subject<'_>,
        line: &CommandLine,
        environment: &Environment<'_>,
    ) -> Result<Self, StartError> {
        let (dir, program) = (subject.dir, Path::new(&line.program));
        let beneath = || program.strip_prefix("/").map(|relative| dir.join(relative)).ok().filter(|path| path.is_file());
        let path = match program.is_absolute() && !program.exists() {
            true => beneath().unwrap_or_else(|| program.to_owned()),
            false => dir.join(program),
        };
        Self::at(path, subject, line, environment)
    }

    fn at(
        path: PathBuf,
        subject: Subject<'_>,
        line: &CommandLine,
        environment: &Environment<'_>,
    ) -> Result<Self, StartError> {
        let handle = check(&path, subject).map_err(|fault| fault.of(&path, subject, environment))?;
        check_arguments(line, subject, environment)?;
        let mut command = Command::new(handle.as_ref().map_or(&path, |handle| &handle.path));
        command.args(&line.args);
        // Programs such as busybox ask by which name they were called.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::arg0(&mut command, &line.program);
        environment.apply(&mut command);
        Ok(Self { path, command, _handle: handle })
    }

    /// The process to be, for streams and directory to be chosen.
    pub(super) fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Becomes the process; where that works this does not return.
    #[cfg(unix)]
    pub(super) fn exec(&mut self) -> StartError {
        // The standard library gives the new program the default for SIGPIPE, which it had changed for us, and an empty mask.
        let mut error = std::os::unix::process::CommandExt::exec(&mut self.command);
        for _ in 0..BUSY_TRIES {
            if error.kind() != io::ErrorKind::ExecutableFileBusy {
                break;
            }
            thread::sleep(BUSY_NAP);
            error = std::os::unix::process::CommandExt::exec(&mut self.command);
        }
        self.explain(error)
    }

    /// Starts the process.
    pub(super) fn spawn(&mut self) -> Result<Child, StartError> {
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
        let path = self.path.clone();
        match error.kind() {
            io::ErrorKind::NotFound => match interpreter(&path) {
                Some(interpreter) if interpreter.ends_with('\r') => StartError::CarriageReturn { path },
                Some(interpreter) => StartError::NoInterpreter { path, interpreter },
                None if path.exists() => StartError::WrongFormat { path },
                None => StartError::Missing { path },
            },
            io::ErrorKind::PermissionDenied if path.is_file() => match interpreter(&path).filter(|_| is_executable(&path)) {
                Some(interpreter) => StartError::NoInterpreter { path, interpreter },
                None => StartError::NotExecutable { path },
            },
            _ if is_format_error(&error) => StartError::WrongFormat { path },
            _ => StartError::System { path, source: error },
        }
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
        Some(path) => StartError::NotExecutable { path },
        None => StartError::NotOnPath { program: program.to_string_lossy().into_owned() },
    })
}

/// Windows itself looks for programs, with the extensions that it knows.
#[cfg(not(unix))]
fn find_on_path(program: &OsStr, _: Option<&OsStr>) -> Result<PathBuf, StartError> {
    Ok(program.into())
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    may_execute(path).is_ok()
}

#[cfg(unix)]
fn may_execute(path: &Path) -> rustix::io::Result<()> {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK)
}

#[cfg(not(unix))]
fn is_executable(_: &Path) -> bool {
    true
}

fn is_format_error(error: &io::Error) -> bool {
    cfg!(unix) && error.raw_os_error() == Some(8)
}

/// Looks at the file at `path` through one handle: whether it can be started, and whether it is what the gate saw. Gives the
/// handle where it is to be executed itself.
///
/// A script without a `#!` line is refused. Some C libraries hand such a file to `/bin/sh`, others and Helm do not: a plugin that
/// runs on one machine should run on all.
///
/// A script with one is executed by its name all the same. Its interpreter opens it again by the path that the system hands
/// over, which would be that of a handle: one that must then stay open in the interpreter and all that it starts, and `$0` would
/// be `/dev/fd/3`, where nearly every script of a plugin looks for its directory. It has been compared a moment ago.
#[cfg(unix)]
fn check(path: &Path, subject: Subject<'_>) -> Result<Option<Handle>, Fault> {
    let path_buf = || path.to_owned();
    let system = |source| StartError::System { path: path_buf(), source };
    let mut options = File::options();
    options.read(true);
    // A fifo would keep us waiting for its writer.
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(StartError::Missing { path: path_buf() }.into());
        }
        Err(error) => {
            return match std::fs::metadata(path) {
                // What we may run but not read is for the system to judge, unless it lies where the gate has its list.
                Ok(metadata) if metadata.is_file() && subject.startable.is_none_or(|list| !list.speaks_of(path)) => Ok(None),
                Ok(metadata) if metadata.is_file() => Err(Fault::NotInstalled),
                Ok(_) => Err(StartError::NotAFile { path: path_buf() }.into()),
                Err(_) => Err(system(error).into()),
            };
        }
    };
    let metadata = file.metadata().map_err(system)?;
    if !metadata.is_file() {
        return Err(StartError::NotAFile { path: path_buf() }.into());
    }
    let mut start = Vec::with_capacity(FIRST_BYTES as usize);
    (&file).take(FIRST_BYTES).read_to_end(&mut start).map_err(system)?;
    let same = is_installed(path, &file, &metadata, subject)?;
    // The handle is asked, so that the answer is about the same file; it also tells whether there is a `/proc`.
    let by_handle = cfg!(target_os = "linux") && same && start.contains(&0) && !start.starts_with(b"#!");
    let by_handle = by_handle.then(|| PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file))));
    let executable = match by_handle.map(|handle| (may_execute(&handle), handle)) {
        Some((Ok(()), path)) => return Ok(Some(Handle { _file: file, path })),
        Some((Err(rustix::io::Errno::ACCESS), _)) => false,
        _ => is_executable(path),
    };
    if !executable {
        return Err(StartError::NotExecutable { path: path_buf() }.into());
    }
    match start.as_slice() {
        [] => Err(StartError::Empty { path: path_buf() }.into()),
        [b'#', b'!', ..] => Ok(None),
        text if !text.contains(&0) => Err(StartError::NoInterpreterLine { path: path_buf() }.into()),
        _ => Ok(None),
    }
}

/// Windows looks for programs itself; what lies at the path as it was written must be on the gate's list there too.
#[cfg(not(unix))]
fn check(path: &Path, subject: Subject<'_>) -> Result<Option<Handle>, Fault> {
    check_file(path, subject)?;
    Ok(None)
}

/// Why a file is not started.
enum Fault {
    /// It is not on the gate's list.
    NotInstalled,
    Start(StartError),
}

impl From<StartError> for Fault {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl Fault {
    fn of(self, path: &Path, subject: Subject<'_>, environment: &Environment<'_>) -> StartError {
        match self {
            Self::Start(error) => error,
            Self::NotInstalled => StartError::NotInstalled {
                path: path.to_owned(),
                plugin: subject.metadata.name.clone(),
                host: environment.host().name().to_owned(),
            },
        }
    }
}

/// Whether the opened `file` at `path` is one that the gate compared; what it would not let be started is an error.
fn is_installed(path: &Path, file: &File, metadata: &std::fs::Metadata, subject: Subject<'_>) -> Result<bool, Fault> {
    let Some(list) = subject.startable else { return Ok(false) };
    let system = |source| StartError::System { path: path.to_owned(), source };
    match list.standing(path, file, metadata).map_err(system)? {
        Standing::Unchecked => Ok(false),
        Standing::Installed => Ok(true),
        Standing::Replaced => Err(StartError::Replaced { path: path.to_owned() }.into()),
        Standing::Unknown => Err(Fault::NotInstalled),
    }
}

/// Refuses a command whose own arguments name a file in the plugin's directory that is not on the gate's list: a program may take
/// it for instructions.
fn check_arguments(line: &CommandLine, subject: Subject<'_>, environment: &Environment<'_>) -> Result<(), StartError> {
    let Some(list) = subject.startable else { return Ok(()) };
    for argument in line.args.iter().take(line.own_args) {
        for path in list.paths_in(&argument.to_string_lossy()) {
            check_file(&path, subject).map_err(|fault| fault.of(&path, subject, environment))?;
        }
    }
    Ok(())
}

/// Refuses the file at `path`, if one is there, where it is not on the gate's list.
fn check_file(path: &Path, subject: Subject<'_>) -> Result<(), Fault> {
    if !path.is_file() {
        return Ok(());
    }
    let system = |source| StartError::System { path: path.to_owned(), source };
    let file = File::open(path).map_err(system)?;
    let metadata = file.metadata().map_err(system)?;
    is_installed(path, &file, &metadata, subject).map(|_| ())
}

/// What the `#!` line of the file at `path` names.
fn interpreter(path: &Path) -> Option<String> {
    let start = first_bytes(path)?;
    let line = start.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line).into_owned();
    let name = line.trim_start_matches([' ', '\t']).split([' ', '\t']).next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

fn first_bytes(path: &Path) -> Option<Vec<u8>> {
    let mut start = Vec::with_capacity(FIRST_BYTES as usize);
    File::open(path).ok()?.take(FIRST_BYTES).read_to_end(&mut start).ok()?;
    Some(start)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "helpers of tests")]

    use super::*;
    use crate::digest::Sha256Digest;
    use crate::host::{Chosen, Homes, Host, Origin};
    use crate::manifest::{self, Metadata};
    use crate::stamp::Checked;
    use crate::store::Startable;
    use std::fs;
    use std::process::Stdio;

    struct Fixture {
        dir: tempfile::TempDir,
        metadata: Metadata,
        checked: Checked,
        host: Host,
    }

    impl Fixture {
        /// A directory with the program `run`, a copy of `of`, that was checked.
        fn new(of: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("run");
            fs::copy(of, &path).unwrap();
            let mut checked = Checked::default();
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
            let home = || Chosen { path: self.dir.path().into(), origin: Origin::Default };
            let plugins = vec![self.dir.path().into()];
            let homes = Homes { data: home(), cache: home(), config: home(), plugins, plugins_origin: Origin::Default };
            let list = Startable::only(self.dir.path(), self.checked.clone(), self.dir.path().join("receipt.json"));
            let subject = Subject { metadata: &self.metadata, dir: self.dir.path(), startable: Some(&list) };
            let line = CommandLine { program: self.path().into(), args: vec!["said".into()], own_args: 0 };
            Program::find(subject, &line, &Environment::new(&self.host, &homes, false))
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
