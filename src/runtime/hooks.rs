//! Hooks: the programs that a plugin wants run when it has been installed or updated, or is about to be deleted.

use std::fmt;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::process::{ProcessEnd, kill_tree, wait_unless_interrupted};
use super::program::Program;
use super::sandbox::{self, Confinement, SandboxError};
use super::{Environment, RunTarget, SIGNAL_BASE, StartError};
use crate::error::{Classified, ErrorKind};
use crate::interrupt::{self, SIGINT};
use crate::manifest::platform::{Platform, PlatformError, prepare, select};
use crate::manifest::{Metadata, PlatformCommand, PluginName, Subprocess};
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

/// What the host writes to its standard output, and with that where a hook's goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StdoutUse {
    /// Lines for people, among which those of a hook may stand.
    Text,
    /// A document for a program: hooks write to standard error.
    Document,
}

/// What became of a hook that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookOutcome {
    /// It ran, as far confined as this says, and ended with exit code 0.
    Ran(Confinement),
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
        "the {event} hook of plugin `{plugin}` cannot be confined, as {} asks; `--no-hooks` goes on without it",
        policy.as_ref().map_or_else(|| "`hooks.sandbox: require`".to_owned(), |at| format!("the policy {at}"))
    )]
    NoSandbox {
        /// The plugin.
        plugin: PluginName,
        /// The event.
        event: HookEvent,
        /// The file and line of the policy that asks for it, safe to show; else the settings do.
        policy: Option<String>,
        /// Why not.
        #[source]
        source: SandboxError,
    },
    /// The hook has no place for temporary files.
    #[error(
        "cannot make a temporary directory for the {event} hook of plugin `{plugin}`; `hooks.sandbox: off` in config.yaml needs none"
    )]
    Temporary {
        /// The plugin.
        plugin: PluginName,
        /// The event.
        event: HookEvent,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A policy forbids hooks.
    #[error("the policy at {at} forbids the {event} hook of plugin `{plugin}`; `--no-hooks` goes on without it")]
    Forbidden {
        /// The plugin.
        plugin: PluginName,
        /// The event.
        event: HookEvent,
        /// The policy's file and line, safe to show.
        at: String,
    },
    /// A variable says that no plugin may be started.
    #[error("{variable} is set, so the {event} hook of plugin `{plugin}` is not started; `--no-hooks` goes on without it")]
    SwitchedOff {
        /// The plugin.
        plugin: PluginName,
        /// The event.
        event: HookEvent,
        /// The variable's full name.
        variable: String,
    },
    /// Nothing verified the plugin, and nobody can be asked about the hook.
    #[error(
        "nothing verified plugin `{plugin}`, and nobody can be asked whether its {event} hook may run: `--yes` lets it run, `--no-hooks` goes on without it"
    )]
    Unasked {
        /// The plugin.
        plugin: PluginName,
        /// The event.
        event: HookEvent,
    },
    /// The user was shown the hook, and said no.
    #[error("you did not let the {event} hook of plugin `{plugin}` run; `--no-hooks` goes on without it")]
    Declined {
        /// The plugin.
        plugin: PluginName,
        /// The event.
        event: HookEvent,
    },
    /// The program ended with an exit code other than 0.
    #[error("the {event} hook of plugin `{plugin}` failed with exit code {code}{}; `--no-hooks` goes on without it", Confined { confined: *confined, policy: policy.as_deref() })]
    Exit {
        /// The plugin.
        plugin: PluginName,
        /// The event.
        event: HookEvent,
        /// The exit code.
        code: i32,
        /// Whether it was confined, which may be why.
        confined: bool,
        /// The file and line of the policy that asks for it, safe to show; else the settings do.
        policy: Option<String>,
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

impl Classified for HookError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Forbidden { .. } => ErrorKind::Policy,
            Self::Prepare { .. }
            | Self::Start { .. }
            | Self::NoSandbox { .. }
            | Self::Temporary { .. }
            | Self::SwitchedOff { .. }
            | Self::Unasked { .. }
            | Self::Declined { .. }
            | Self::Exit { .. }
            | Self::Signal { .. }
            | Self::TimedOut { .. }
            | Self::Interrupted { .. }
            | Self::Wait { .. } => ErrorKind::Failed,
        }
    }
}

impl HookError {
    /// What happened to the hook, in a sentence that begins with it: that it failed, or did not run at all.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Exit { .. } | Self::Signal { .. } | Self::TimedOut { .. } | Self::Wait { .. } => "failed",
            Self::Interrupted { .. } => "was interrupted",
            _ => "did not run",
        }
    }

    /// The same where it is the policy at `at`, not the settings, that asks for the hook to be confined.
    #[must_use]
    pub fn confined_by(mut self, at: &str) -> Self {
        if let Self::NoSandbox { policy, .. } | Self::Exit { policy, .. } = &mut self {
            *policy = Some(at.to_owned());
        }
        self
    }

    /// The hook's own exit code, where it came to one.
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Exit { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// What a hook that failed while it was confined may have missed.
struct Confined<'a> {
    confined: bool,
    policy: Option<&'a str>,
}

impl fmt::Display for Confined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.confined {
            return Ok(());
        }
        f.write_str(", and could write to its plugin's directory and `$TMPDIR` alone ")?;
        match self.policy {
            Some(at) => write!(f, "(the policy {at} asks for it)"),
            None => f.write_str("(`hooks.sandbox: off` in config.yaml lets it write elsewhere)"),
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

/// The commands of a plugin's hook for `event`, where it has any.
fn commands(metadata: &Metadata, event: HookEvent) -> Option<(&Subprocess, &[PlatformCommand])> {
    let subprocess = metadata.subprocess()?;
    let commands = subprocess.hooks.get(event.as_str()).filter(|commands| !commands.is_empty())?;
    Some((subprocess, commands))
}

/// Whether the plugin has a hook for `event`, whatever the platform.
pub fn has_hook(metadata: &Metadata, event: HookEvent) -> bool {
    commands(metadata, event).is_some()
}

/// What the hook for `event` runs on this platform, as the manifest has it: the program and its arguments. Nothing where there
/// is none.
pub fn hook_line(metadata: &Metadata, event: HookEvent) -> Option<Vec<&str>> {
    let command = select(commands(metadata, event)?.1, &Platform::current())?;
    Some(std::iter::once(&command.command).chain(&command.args).map(String::as_str).collect())
}

/// Runs the hook of `subject` for `event`, as `settings` say.
///
/// Working directory and standard streams are ours, but for standard output as `results` has it. The hook stays in our process group, so that it can ask the terminal and
/// Ctrl-C reaches it without our help. Where the signal reached this process alone the hook is ended soon after.
///
/// # Errors
/// It could not be started, failed, took too long, or was interrupted.
pub fn run_hook(
    target: RunTarget<'_>,
    event: HookEvent,
    environment: &Environment<'_>,
    settings: &HookSettings,
    results: StdoutUse,
) -> Result<HookOutcome, HookError> {
    let limit = settings.timeout;
    let plugin = || target.metadata.name.clone();
    let Some((subprocess, commands)) = commands(target.metadata, event) else { return Ok(HookOutcome::None) };
    let required = settings.sandbox == Sandbox::Require;
    let mut environment = environment.for_plugin(&target.metadata.name, target.dir);
    if settings.environment == HookEnvironment::Clean {
        environment = environment.clean();
    }
    let temporary = if settings.sandbox != Sandbox::Off {
        let made = tempfile::Builder::new().prefix("plugin-hook-").tempdir();
        let made = made.map_err(|source| HookError::Temporary { plugin: plugin(), event, source })?;
        environment.set_temporary(made.path());
        Some(made)
    } else {
        None
    };
    let line = prepare(commands, &Platform::current(), subprocess.expand_hooks, &|name| environment.get(name), &[])
        .map_err(|source| HookError::Prepare { plugin: plugin(), event, source })?;
    let start_error = |source| HookError::Start { plugin: plugin(), event, source };
    let mut program = Program::find(target, &line, &environment).map_err(start_error)?;
    if results == StdoutUse::Document {
        program.command().stdout(io::stderr());
    }
    let (mut child, confinement) = match &temporary {
        None => (program.spawn().map_err(start_error)?, Confinement::Off),
        Some(temporary) => {
            sandbox::spawn(&mut program, [target.dir, temporary.path()], required).map_err(|failed| match failed {
                sandbox::ConfinedStartError::Start(source) => start_error(source),
                sandbox::ConfinedStartError::Sandbox(source) => {
                    HookError::NoSandbox { plugin: plugin(), event, policy: None, source }
                }
            })?
        }
    };
    let end =
        wait_unless_interrupted(&mut child, limit).map_err(|source| HookError::Wait { plugin: plugin(), event, source })?;
    if end.is_some_and(is_interrupt) {
        return Err(HookError::Interrupted { plugin: plugin(), event });
    }
    match end {
        Some(ProcessEnd::Code(0)) => Ok(HookOutcome::Ran(confinement)),
        Some(ProcessEnd::Code(code)) => {
            Err(HookError::Exit { plugin: plugin(), event, code, confined: confinement.is_some(), policy: None })
        }
        Some(ProcessEnd::Signal(signal)) => Err(HookError::Signal { plugin: plugin(), event, signal }),
        None => {
            kill_tree(&mut child, target);
            if interrupt::requested() {
                return Err(HookError::Interrupted { plugin: plugin(), event });
            }
            Err(HookError::TimedOut { plugin: plugin(), event, limit })
        }
    }
}

/// Whether a hook ended so because the user interrupted.
///
/// Ctrl-C reaches the hook and us at once. Its end can be seen here before our own signal has been noted, which another thread
/// does. So a death of this very signal counts as the user's word, as it does for a shell; and where a shell says that
/// something died of it, ours is waited for.
fn is_interrupt(end: ProcessEnd) -> bool {
    match end {
        ProcessEnd::Code(0) => return false,
        ProcessEnd::Signal(signal) if signal == SIGINT => interrupt::request(SIGINT),
        ProcessEnd::Code(code) if code == SIGNAL_BASE + SIGINT => {
            let until = Instant::now() + Duration::from_millis(250);
            while !interrupt::requested() && Instant::now() < until {
                thread::sleep(Duration::from_millis(5));
            }
        }
        ProcessEnd::Code(_) | ProcessEnd::Signal(_) => {}
    }
    interrupt::requested()
}
