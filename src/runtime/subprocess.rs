//! The `subprocess` runtime: commands of the host that are programs.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::process::ProcessEnd;
use super::program::Program;
use super::{Environment, RunTarget, StartError};
use crate::error::{Classified, ErrorKind};
use crate::manifest::platform::{CommandLine, Platform, PlatformError, prepare};
use crate::manifest::{PluginName, Subprocess};
use crate::text::Sanitized;
use plugsmith_protocol::MessageError;

/// How long an answer of a plugin's helper program may be.
const ANSWER_BYTES: u64 = 1 << 20;

/// Why an invocation of a plugin gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvokeError {
    /// The plugin is for something else.
    #[error("plugin `{plugin}` is of type {plugin_type}, and no command")]
    NotACommand {
        /// The plugin.
        plugin: PluginName,
        /// Its type.
        plugin_type: String,
    },
    /// The plugin is for something else.
    #[error("plugin `{plugin}` is of type {plugin_type}, and greets nobody")]
    NotATest {
        /// The plugin.
        plugin: PluginName,
        /// Its type.
        plugin_type: String,
    },
    /// The plugin is a module of WebAssembly, and failed.
    #[error("cannot run plugin `{plugin}`")]
    Wasm {
        /// The plugin.
        plugin: PluginName,
        /// Why.
        #[source]
        source: Box<crate::host::WasmError>,
    },
    /// The plugin is a module of WebAssembly, and nothing here runs one.
    #[error(
        "plugin `{plugin}` needs the runtime extism/v1, and this program was built without WebAssembly; build it with the feature `wasm`"
    )]
    NoWebAssembly {
        /// The plugin.
        plugin: PluginName,
    },
    /// What the plugin is told, or what it answered, is no message.
    #[error("plugin `{plugin}` does not understand, or is not understood")]
    Message {
        /// The plugin.
        plugin: PluginName,
        /// Why.
        #[source]
        source: MessageError,
    },
    /// Nothing to run on this platform.
    #[error("cannot run plugin `{plugin}`")]
    Prepare {
        /// The plugin.
        plugin: PluginName,
        /// Why.
        #[source]
        source: PlatformError,
    },
    /// The program did not start.
    #[error("cannot run plugin `{plugin}`")]
    Start {
        /// The plugin.
        plugin: PluginName,
        /// Why.
        #[source]
        source: StartError,
    },
    /// The program ran and ended with an exit code other than 0; the host ends with the same.
    #[error("plugin `{plugin}` exited with code {code}{}", QuotedStderr(stderr))]
    Exit {
        /// The plugin.
        plugin: PluginName,
        /// The exit code.
        code: i32,
        /// What it said on standard error, where that did not go to ours.
        stderr: String,
    },
    /// The program died of a signal; the host ends by the same.
    #[error("plugin `{plugin}` was ended by signal {signal}{}", QuotedStderr(stderr))]
    Signal {
        /// The plugin.
        plugin: PluginName,
        /// The signal's number.
        signal: i32,
        /// What it said on standard error, where that did not go to ours.
        stderr: String,
    },
    /// The plugin downloads other URLs, or none.
    #[error("plugin `{plugin}` does not serve `{}` URLs", Sanitized(scheme))]
    NoSuchScheme {
        /// The plugin.
        plugin: PluginName,
        /// The scheme asked for.
        scheme: String,
    },
    /// A download is larger than it may be.
    #[error("plugin `{plugin}` sent more than {limit} bytes; `http.maxBytes` in config.yaml sets the limit")]
    TooMuch {
        /// The plugin.
        plugin: PluginName,
        /// How many bytes may come.
        limit: u64,
    },
    /// A download takes longer than it may.
    #[error("plugin `{plugin}` was ended because it took too long; `--timeout` sets the limit")]
    TimedOut {
        /// The plugin.
        plugin: PluginName,
    },
    /// The plugin changes no documents.
    #[error("plugin `{plugin}` is of type {plugin_type}, and no post-renderer")]
    NotAPostRenderer {
        /// The plugin.
        plugin: PluginName,
        /// Its type.
        plugin_type: String,
    },
    /// A post-renderer made nothing of something.
    #[error("plugin `{plugin}` gave back nothing for a document that is not empty{}", QuotedStderr(stderr))]
    EmptyResult {
        /// The plugin.
        plugin: PluginName,
        /// What it said on standard error.
        stderr: String,
    },
    /// Bytes did not get from or to the plugin.
    #[error("cannot exchange data with plugin `{plugin}`")]
    Stream {
        /// The plugin.
        plugin: PluginName,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program took too long, or said too much.
    #[error("{file} of plugin `{plugin}` gave no answer in time, or one that is too long")]
    NoAnswer {
        /// The plugin.
        plugin: PluginName,
        /// The program's file.
        file: String,
    },
    /// The system did not say how the program ended.
    #[error("cannot learn how plugin `{plugin}` ended")]
    Wait {
        /// The plugin.
        plugin: PluginName,
        /// What it said instead.
        #[source]
        source: io::Error,
    },
}

impl Classified for InvokeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotACommand { .. } | Self::NotAPostRenderer { .. } => ErrorKind::Usage,
            Self::Start { source, .. } => source.kind(),
            Self::NotATest { .. }
            | Self::Wasm { .. }
            | Self::NoWebAssembly { .. }
            | Self::Message { .. }
            | Self::Prepare { .. }
            | Self::Exit { .. }
            | Self::Signal { .. }
            | Self::NoSuchScheme { .. }
            | Self::TooMuch { .. }
            | Self::TimedOut { .. }
            | Self::EmptyResult { .. }
            | Self::Stream { .. }
            | Self::NoAnswer { .. }
            | Self::Wait { .. } => ErrorKind::Failed,
        }
    }
}

impl InvokeError {
    /// Whether what was to be started was not there, or was not what the gate saw: nothing has been run then.
    pub(crate) fn is_before_the_start(&self) -> bool {
        if let Self::Wasm { source, .. } = self {
            return source.is_before_the_start();
        }
        matches!(self, Self::Start { .. })
    }
}

/// What a plugin said, for the end of a message: its lines are its own, and set off as such.
struct QuotedStderr<'a>(&'a str);

impl fmt::Display for QuotedStderr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        f.write_str("; it said:")?;
        self.0.lines().try_for_each(|line| write!(f, "\n  {}", Sanitized(line)))
    }
}

/// Runs the command of a cli plugin in the place of this process, so that signals, job control and the exit status are the
/// plugin's own. Where the system cannot do that it is [`run_cli`].
///
/// # Errors
/// The plugin could not be started; this returns for no other reason where processes can be replaced.
pub(super) fn replace_by_cli(
    target: RunTarget<'_>,
    subprocess: &Subprocess,
    args: &[OsString],
    environment: &Environment<'_>,
) -> Result<(), InvokeError> {
    #[cfg(unix)]
    {
        Err(start_error(target, cli_program(target, subprocess, args, environment)?.exec()))
    }
    #[cfg(not(unix))]
    run_cli(target, subprocess, args, environment)
}

/// Runs the command of a cli plugin as a child with our standard streams, and waits for it: for those who have something to
/// tidy up afterwards.
///
/// # Errors
/// The plugin could not be started, or did not end with exit code 0.
pub(super) fn run_cli(
    target: RunTarget<'_>,
    subprocess: &Subprocess,
    args: &[OsString],
    environment: &Environment<'_>,
) -> Result<(), InvokeError> {
    let mut program = cli_program(target, subprocess, args, environment)?;
    let mut child = program.spawn().map_err(|source| start_error(target, source))?;
    let status = child.wait().map_err(|source| InvokeError::Wait { plugin: target.metadata.name.clone(), source })?;
    let plugin = target.metadata.name.clone();
    match ProcessEnd::of(status) {
        ProcessEnd::Code(0) => Ok(()),
        ProcessEnd::Code(code) => Err(InvokeError::Exit { plugin, code, stderr: String::new() }),
        ProcessEnd::Signal(signal) => Err(InvokeError::Signal { plugin, signal, stderr: String::new() }),
    }
}

/// Runs the program `file` of the plugin's directory with `args`, without input, and gives what it wrote to standard output: for
/// small answers that must come soon. What it says on standard error is dropped.
///
/// # Errors
/// It could not be started, did not end with exit code 0, took longer than `limit` or wrote more than 1 MiB.
pub fn ask(
    target: RunTarget<'_>,
    file: &str,
    args: &[OsString],
    environment: &Environment<'_>,
    limit: Duration,
) -> Result<Vec<u8>, InvokeError> {
    let environment = environment.for_plugin(&target.metadata.name, target.dir);
    let line = CommandLine { program: file.into(), args: args.to_vec(), own_args: 0 };
    let mut program = Program::within(target, &line, &environment).map_err(|source| start_error(target, source))?;
    program.command().stderr(Stdio::null());
    answer(target, program, file, limit)
}

/// Lets a test plugin greet `name`: its command gets the name as an argument, and what it prints is the greeting.
///
/// # Errors
/// As [`ask`].
pub(super) fn greet(
    target: RunTarget<'_>,
    subprocess: &Subprocess,
    name: &str,
    environment: &Environment<'_>,
) -> Result<String, InvokeError> {
    const LIMIT: Duration = Duration::from_secs(60);
    let program = cli_program(target, subprocess, &[name.into()], environment)?;
    let greeting = answer(target, program, "the command", LIMIT)?;
    Ok(String::from_utf8_lossy(&greeting).trim_end_matches('\n').to_owned())
}

/// Runs `program`, called `file`, without input, and gives what it wrote to standard output, which is not much and comes soon.
fn answer(target: RunTarget<'_>, mut program: Program, file: &str, limit: Duration) -> Result<Vec<u8>, InvokeError> {
    let plugin = || target.metadata.name.clone();
    program.command().stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = program.spawn().map_err(|source| start_error(target, source))?;

    // Somebody whom the program left behind may keep the pipe open for ever: so nobody joins this thread.
    let (sender, said) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stdout.take(ANSWER_BYTES + 1).read_to_end(&mut bytes);
            let _ = sender.send(read.map(|_| bytes));
        });
    }
    let until = Instant::now() + limit;
    let bytes = match said.recv_timeout(limit) {
        Ok(Ok(bytes)) if bytes.len() as u64 <= ANSWER_BYTES => bytes,
        Ok(Err(source)) => {
            super::process::kill_tree(&mut child, target);
            return Err(InvokeError::Wait { plugin: plugin(), source });
        }
        Ok(Ok(_)) | Err(_) => {
            super::process::kill_tree(&mut child, target);
            return Err(InvokeError::NoAnswer { plugin: plugin(), file: file.to_owned() });
        }
    };
    match super::process::wait(&mut child, until.saturating_duration_since(Instant::now())) {
        Ok(Some(ProcessEnd::Code(0))) => Ok(bytes),
        Ok(Some(ProcessEnd::Code(code))) => Err(InvokeError::Exit { plugin: plugin(), code, stderr: String::new() }),
        Ok(Some(ProcessEnd::Signal(signal))) => Err(InvokeError::Signal { plugin: plugin(), signal, stderr: String::new() }),
        Ok(None) => {
            super::process::kill_tree(&mut child, target);
            Err(InvokeError::NoAnswer { plugin: plugin(), file: file.to_owned() })
        }
        Err(source) => Err(InvokeError::Wait { plugin: plugin(), source }),
    }
}

/// The program of a cli plugin with the user's arguments, unless the plugin wants none.
fn cli_program(
    target: RunTarget<'_>,
    subprocess: &Subprocess,
    args: &[OsString],
    environment: &Environment<'_>,
) -> Result<Program, InvokeError> {
    let environment = environment.for_plugin(&target.metadata.name, target.dir);
    let args = if target.metadata.cli().is_some_and(|cli| cli.ignore_flags) { &[] } else { args };
    let line = prepare(&subprocess.platform_commands, &Platform::current(), true, &|name| environment.get(name), args)
        .map_err(|source| prepare_error(target, source))?;
    Program::find(target, &line, &environment).map_err(|source| start_error(target, source))
}

pub(super) fn prepare_error(target: RunTarget<'_>, source: PlatformError) -> InvokeError {
    InvokeError::Prepare { plugin: target.metadata.name.clone(), source }
}

pub(super) fn start_error(target: RunTarget<'_>, source: StartError) -> InvokeError {
    InvokeError::Start { plugin: target.metadata.name.clone(), source }
}

#[cfg(all(test, unix))]
mod tests;
