//! The `subprocess` runtime: commands of the host that are programs.

use std::ffi::OsString;
use std::io;
use std::process::ExitStatus;

use super::program::Program;
use super::{Environment, StartError, Subject};
use crate::manifest::PluginName;
use crate::manifest::platform::{Platform, PlatformError, prepare};

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
    /// The plugin needs a runtime that this program does not have.
    #[error("plugin `{plugin}` needs the runtime {runtime}, which this program cannot run")]
    NoSuchRuntime {
        /// The plugin.
        plugin: PluginName,
        /// Its runtime.
        runtime: String,
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
    #[error("plugin `{plugin}` exited with code {code}")]
    Exit {
        /// The plugin.
        plugin: PluginName,
        /// The exit code.
        code: i32,
    },
    /// The program died of a signal; the host ends by the same.
    #[error("plugin `{plugin}` was ended by signal {signal}")]
    Signal {
        /// The plugin.
        plugin: PluginName,
        /// The signal's number.
        signal: i32,
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

/// Runs the command of a cli plugin in the place of this process, so that signals, job control and the exit status are the
/// plugin's own. Where the system cannot do that it is [`run_cli`].
///
/// # Errors
/// The plugin could not be started; this returns for no other reason where processes can be replaced.
pub fn replace_by_cli(subject: Subject<'_>, args: &[OsString], environment: &Environment<'_>) -> Result<(), InvokeError> {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        let mut program = cli_program(subject, args, environment)?;
        // The standard library gives the new program the default for SIGPIPE, which it had changed for us, and an empty mask.
        let error = program.command().exec();
        Err(start_error(subject, program.explain(error)))
    }
    #[cfg(not(unix))]
    run_cli(subject, args, environment)
}

/// Runs the command of a cli plugin as a child with our standard streams, and waits for it: for those who have something to
/// tidy up afterwards.
///
/// # Errors
/// The plugin could not be started, or did not end with exit code 0.
pub fn run_cli(subject: Subject<'_>, args: &[OsString], environment: &Environment<'_>) -> Result<(), InvokeError> {
    let mut program = cli_program(subject, args, environment)?;
    let status = match program.command().spawn() {
        Ok(mut child) => {
            child.wait().map_err(|source| InvokeError::Wait { plugin: subject.metadata.name.clone(), source })?
        }
        Err(error) => return Err(start_error(subject, program.explain(error))),
    };
    let plugin = subject.metadata.name.clone();
    match End::of(status) {
        End::Code(0) => Ok(()),
        End::Code(code) => Err(InvokeError::Exit { plugin, code }),
        End::Signal(signal) => Err(InvokeError::Signal { plugin, signal }),
    }
}

/// The program of a cli plugin with the user's arguments, unless the plugin wants none.
fn cli_program(subject: Subject<'_>, args: &[OsString], environment: &Environment<'_>) -> Result<Program, InvokeError> {
    let metadata = subject.metadata;
    let plugin = || metadata.name.clone();
    let Some(cli) = metadata.cli() else {
        return Err(InvokeError::NotACommand { plugin: plugin(), plugin_type: metadata.plugin_type().to_owned() });
    };
    let Some(subprocess) = metadata.subprocess() else {
        return Err(InvokeError::NoSuchRuntime { plugin: plugin(), runtime: metadata.runtime_name().to_owned() });
    };
    let environment = environment.for_plugin(&metadata.name, subject.dir);
    let args = if cli.ignore_flags { &[] } else { args };
    let line = prepare(&subprocess.platform_commands, &Platform::current(), true, &|name| environment.get(name), args)
        .map_err(|source| InvokeError::Prepare { plugin: plugin(), source })?;
    Program::find(&line, &environment).map_err(|source| start_error(subject, source))
}

fn start_error(subject: Subject<'_>, source: StartError) -> InvokeError {
    InvokeError::Start { plugin: subject.metadata.name.clone(), source }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl End {
    pub(super) fn of(status: ExitStatus) -> Self {
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
            return Self::Signal(signal);
        }
        Self::Code(status.code().unwrap_or(1))
    }
}

#[cfg(all(test, unix))]
mod tests;
