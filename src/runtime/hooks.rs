//! Hooks: the programs that a plugin wants run when it has been installed or updated, or is about to be deleted.

use std::fmt;
use std::io;
use std::time::Duration;

use super::process::{End, kill_tree, wait_unless_interrupted};
use super::program::Program;
use super::{Environment, StartError, Subject};
use crate::interrupt;
use crate::manifest::PluginName;
use crate::manifest::platform::{Platform, PlatformError, prepare};
use crate::settings::{HookEnvironment, HookSettings, Sandbox};

/// The events that have hooks. Manifests may name others; those are never run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookEvent {
    /// The plugin has been installed.
    Install,
    /// The plugin has been updated.
    Update,
    /// The plugin is about to be uninstalled.
    Delete,
}

impl HookEvent {
    /// The event's name in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for HookEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What became of a hook that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookOutcome {
    /// It ran and ended with exit code 0.
    Ran,
    /// The plugin has none for the event.
    None,
}

/// Why a hook failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// The plugin has hooks for the event, but none for this platform.
    #[error("cannot run the {event} hook of plugin `{plugin}`; `--no-hooks` goes on without it")]
    Prepare {
        /// The plugin.
        plugin: PluginName,
        /// The event.
        event: HookEvent,
        /// Why.
        #[source]
        source: PlatformError,
    },
    /// The program did not start.
    #[error("cannot run the {event} hook of plugin `{plugin}`; `--no-hooks` goes on without it")]
    Start {
        /// The plugin.
        plugin: PluginName,
        /// The event.
        event: HookEvent,
        /// Why.
        #[source]
        source: StartError,
    },
    /// Hooks must be confined, and cannot be.
    #[error(
        "the {event} hook of plugin `{plugin}` cannot be confined, as `hooks.sandbox: require` asks; `--no-hooks` goes on without it"
    )]
    NoSandbox {
        /// The plugin.
        plugin: PluginName,
        /// The event.
        event: HookEvent,
    },
    /// The program ended with an exit code other than 0.
    #[error("the {event} hook of plugin `{plugin}` failed with exit code {code}; `--no-hooks` goes on without it")]
    Exit {
        /// The plugin.
        plugin: PluginName,
        /// The event.
        event: HookEvent,
        /// The exit code.
        code: i32,
    },
    /// The program died of a signal.
    #[error("the {event} hook of plugin `{plugin}` was ended by signal {signal}")]
    Signal {
        /// The plugin.
        plugin: PluginName,
        /// The event.
        event: HookEvent,
        /// The signal's number.
        signal: i32,
    },
    /// It took longer than it may, and was ended with all that it had started.
    #[error("the {event} hook of plugin `{plugin}` was ended because it took longer than {}; `hooks.timeout` in config.yaml sets the limit",
        Seconds(*limit))]
    TimedOut {
        /// The plugin.
        plugin: PluginName,
        /// The event.
        event: HookEvent,
        /// How long it may take.
        limit: Duration,
    },
    /// The user interrupted; it was ended with all that it had started.
    #[error("the {event} hook of plugin `{plugin}` was ended by the interrupt")]
    Interrupted {
        /// The plugin.
        plugin: PluginName,
        /// The event.
        event: HookEvent,
    },
    /// The system did not say how the program ended.
    #[error("cannot learn how the {event} hook of plugin `{plugin}` ended")]
    Wait {
        /// The plugin.
        plugin: PluginName,
        /// The event.
        event: HookEvent,
        /// What it said instead.
        #[source]
        source: io::Error,
    },
}

impl HookError {
    /// The hook's own exit code, where it came to one.
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Exit { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// A duration for people: `10m`, `1.5s`.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (self.0.subsec_nanos(), seconds % 60) {
            (0, 0) if seconds > 0 => write!(f, "{}m", seconds / 60),
            _ => write!(f, "{}s", self.0.as_secs_f64()),
        }
    }
}

/// Runs the hook of `subject` for `event`, as `settings` say.
///
/// Working directory and standard streams are ours. The hook stays in our process group, so that it can ask the terminal and
/// Ctrl-C reaches it without our help. Where the signal reached this process alone the hook is ended soon after.
///
/// # Errors
/// It could not be started, failed, took too long, or was interrupted.
pub fn run_hook(
    subject: Subject<'_>,
    event: HookEvent,
    environment: &Environment<'_>,
    settings: &HookSettings,
) -> Result<HookOutcome, HookError> {
    let limit = settings.timeout;
    let plugin = || subject.metadata.name.clone();
    let Some(subprocess) = subject.metadata.subprocess() else { return Ok(HookOutcome::None) };
    let commands = match subprocess.hooks.get(event.as_str()) {
        Some(commands) if !commands.is_empty() => commands,
        _ => return Ok(HookOutcome::None),
    };
    // Nothing here can confine a program yet; who requires it must not get less.
    if settings.sandbox == Sandbox::Require {
        return Err(HookError::NoSandbox { plugin: plugin(), event });
    }
    let mut environment = environment.for_plugin(&subject.metadata.name, subject.dir);
    if settings.environment == HookEnvironment::Clean {
        environment = environment.clean();
    }
    let line = prepare(commands, &Platform::current(), subprocess.expand_hooks, &|name| environment.get(name), &[])
        .map_err(|source| HookError::Prepare { plugin: plugin(), event, source })?;
    let start_error = |source| HookError::Start { plugin: plugin(), event, source };
    let mut program = Program::find(&line, &environment).map_err(start_error)?;
    let mut child = program.spawn().map_err(start_error)?;
    let end =
        wait_unless_interrupted(&mut child, limit).map_err(|source| HookError::Wait { plugin: plugin(), event, source })?;
    match end {
        Some(End::Code(0)) => Ok(HookOutcome::Ran),
        Some(End::Code(code)) => Err(HookError::Exit { plugin: plugin(), event, code }),
        Some(End::Signal(signal)) => Err(HookError::Signal { plugin: plugin(), event, signal }),
        None => {
            kill_tree(&mut child, subject);
            if interrupt::requested() {
                return Err(HookError::Interrupted { plugin: plugin(), event });
            }
            Err(HookError::TimedOut { plugin: plugin(), event, limit })
        }
    }
}
