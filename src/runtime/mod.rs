//! How a plugin is asked something: messages, environment, programs, subprocess invocations, WebAssembly, hooks.
//!
//! Whether it may be started is decided before, by the store's gate; here it is only prepared, run, and its end understood.

mod environment;
#[cfg(unix)]
mod exec;
mod getter;
pub mod hooks;
mod invoke;
mod module;
mod post_renderer;
mod process;
mod program;
mod sandbox;
mod start_error;
mod subprocess;

use std::path::Path;

pub use self::environment::Environment;
pub use self::getter::GetterRequest;
pub use self::hooks::{HookError, HookEvent, HookOutcome, StdoutUse, has_hook, hook_line, run_hook};
pub use self::invoke::{InvokeInput, InvokeOutput, ProcessMode};
pub use self::sandbox::{Confinement, SandboxError};
pub use self::start_error::{StartError, is_noexec};
pub use self::subprocess::{InvokeError, ask};

use crate::manifest::Metadata;
use crate::store::{Plugin, StartAllowlist};

/// What is run: a manifest, and the directory in which its files lie.
#[derive(Debug, Clone, Copy)]
pub struct RunTarget<'a> {
    /// What the manifest says.
    pub metadata: &'a Metadata,
    /// The plugin's directory, absolute; where it is a link, the link.
    pub dir: &'a Path,
    /// What of it may be started: the gate's list, where it came through the gate.
    pub allowlist: Option<&'a StartAllowlist>,
}

impl<'a> From<&'a Plugin> for RunTarget<'a> {
    fn from(plugin: &'a Plugin) -> Self {
        Self { metadata: &plugin.metadata, dir: &plugin.dir, allowlist: Some(&plugin.allowlist) }
    }
}

/// The exit code with which a shell reports a death by `signal`.
pub const SIGNAL_BASE: i32 = 128;

/// Ends this process as a plugin ended that died of `signal`, so that whoever waits for us sees what happened.
///
/// Our own handlers must not catch it, and only a new process image is sure to have none: hence the detour over a shell.
#[cfg(unix)]
pub fn end_by_signal(signal: i32) -> ! {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    let script = "kill -s \"$1\" $$; exit $((128 + $1))";
    let _ = Command::new("/bin/sh").args(["-c", script, "sh"]).arg(signal.to_string()).exec();
    std::process::exit(SIGNAL_BASE + signal)
}

/// Ends this process; there are no signals here.
#[cfg(not(unix))]
pub fn end_by_signal(signal: i32) -> ! {
    std::process::exit(SIGNAL_BASE + signal)
}
