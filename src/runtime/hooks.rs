//! Hooks: the programs that a plugin wants run when it has been installed or updated, or is about to be deleted.

use std::fmt;
use std::io;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use super::program::Program;
use super::subprocess::End;
use super::{Environment, StartError, Subject};
use crate::manifest::PluginName;
use crate::manifest::platform::{Platform, PlatformError, prepare};
use crate::settings::{HookEnvironment, HookSettings, Sandbox};

/// How long to sleep at most between two looks at whether a hook has ended.
const LONGEST_NAP: Duration = Duration::from_millis(20);

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
/// Ctrl-C reaches it without our help.
///
/// # Errors
/// It could not be started, failed, or took too long.
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
    let mut child = match program.command().spawn() {
        Ok(child) => child,
        Err(error) => return Err(start_error(program.explain(error))),
    };
    let end = wait(&mut child, limit).map_err(|source| HookError::Wait { plugin: plugin(), event, source })?;
    match end {
        Some(End::Code(0)) => Ok(HookOutcome::Ran),
        Some(End::Code(code)) => Err(HookError::Exit { plugin: plugin(), event, code }),
        Some(End::Signal(signal)) => Err(HookError::Signal { plugin: plugin(), event, signal }),
        None => {
            kill_tree(&mut child, subject);
            Err(HookError::TimedOut { plugin: plugin(), event, limit })
        }
    }
}

/// Waits for `child` to end; `None` where it did not within `limit`.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<End>> {
    let start = Instant::now();
    let mut nap = Duration::from_micros(500);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(End::of(status)));
        }
        let left = limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        thread::sleep(nap.min(left));
        nap = (nap * 2).min(LONGEST_NAP);
    }
}

/// Ends `child` and all that it started. They share our process group, so the group cannot be ended as a whole.
fn kill_tree(child: &mut Child, subject: Subject<'_>) {
    #[cfg(unix)]
    family::end(child.id(), subject);
    #[cfg(not(unix))]
    {
        let _ = subject;
        let id = child.id().to_string();
        let _ = std::process::Command::new("taskkill").args(["/T", "/F", "/PID", &id]).output();
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Finding and ending the processes that a hook started.
#[cfg(unix)]
mod family {
    use rustix::process::{Pid, Signal, getpgrp, getpid, kill_process};

    use super::Subject;

    /// A process: its id, its parent's, its group's.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) struct Process {
        pub(super) id: u32,
        parent: u32,
        group: u32,
    }

    /// Stops the family of `head` until it no longer grows, then ends it: one that has not been stopped could start another
    /// while we look.
    pub(super) fn end(head: u32, subject: Subject<'_>) {
        let mut found: Vec<u32> = Vec::new();
        for _ in 0..10 {
            let all = processes();
            let new: Vec<u32> = members(&all, head, subject).into_iter().filter(|id| !found.contains(id)).collect();
            if new.is_empty() {
                break;
            }
            new.iter().for_each(|&id| signal(id, Signal::STOP));
            found.extend(new);
        }
        found.iter().for_each(|&id| signal(id, Signal::KILL));
    }

    fn signal(id: u32, signal: Signal) {
        if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// `head`, its descendants, and those of its descendants whose parents have gone.
    fn members(all: &[Process], head: u32, subject: Subject<'_>) -> Vec<u32> {
        let us = getpid().as_raw_nonzero().get().unsigned_abs();
        let group = getpgrp().as_raw_nonzero().get().unsigned_abs();
        let mut members = vec![head];
        for process in all {
            // An orphan of the hook is in our group and has the plugin's directory in its environment; nobody else is.
            let orphan =
                process.group == group && process.id != us && process.parent != us && is_of_plugin(process.id, subject);
            if orphan && !members.contains(&process.id) {
                members.push(process.id);
            }
        }
        let mut seen = 0;
        while let Some(&parent) = members.get(seen) {
            seen += 1;
            for process in all.iter().filter(|process| process.parent == parent && process.id != us) {
                if !members.contains(&process.id) {
                    members.push(process.id);
                }
            }
        }
        members
    }

    #[cfg(target_os = "linux")]
    fn is_of_plugin(id: u32, subject: Subject<'_>) -> bool {
        use std::os::unix::ffi::OsStrExt;
        let mut entry = b"HELM_PLUGIN_DIR=".to_vec();
        entry.extend_from_slice(subject.dir.as_os_str().as_bytes());
        std::fs::read(format!("/proc/{id}/environ")).is_ok_and(|all| all.split(|&byte| byte == 0).any(|own| own == entry))
    }

    #[cfg(not(target_os = "linux"))]
    fn is_of_plugin(_: u32, _: Subject<'_>) -> bool {
        false
    }

    /// All processes that can be seen.
    #[cfg(target_os = "linux")]
    pub(super) fn processes() -> Vec<Process> {
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter_map(|id: u32| {
            let stat = std::fs::read(format!("/proc/{id}/stat")).ok()?;
            // The program's name stands in parentheses and may hold any; what follows the last one is numbers.
            let stat = String::from_utf8_lossy(&stat[stat.iter().rposition(|&byte| byte == b')')? + 1..]).into_owned();
            let mut fields = stat.split_whitespace().skip(1).map(str::parse);
            Some(Process { id, parent: fields.next()?.ok()?, group: fields.next()?.ok()? })
        })
        .collect()
    }

    /// All processes that can be seen.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn processes() -> Vec<Process> {
        let Ok(output) = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid=,pgid="]).output() else {
            return Vec::new();
        };
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        lines
            .lines()
            .filter_map(|line| {
                let mut fields = line.split_whitespace().map(str::parse);
                Some(Process { id: fields.next()?.ok()?, parent: fields.next()?.ok()?, group: fields.next()?.ok()? })
            })
            .collect()
    }
}
