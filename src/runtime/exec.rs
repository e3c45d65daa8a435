//! Becoming another program. The standard library does this too, but by `execvp`, which hands whatever the system cannot start to
//! `/bin/sh`: the bytes of another machine's program would run as shell words.

use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::signal::SigSet;

/// What a process becomes.
#[derive(Debug)]
pub(super) struct Image {
    path: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Image {
    /// The program at `path`, which sees `arguments`, its own name before them, and `environment` alone.
    ///
    /// # Errors
    /// There is a NUL in one of them.
    pub(super) fn new<'a>(
        path: &Path,
        arguments: impl Iterator<Item = &'a OsStr>,
        environment: impl Iterator<Item = (&'a OsStr, &'a OsStr)>,
    ) -> io::Result<Self> {
        let variable = |(name, value): (&OsStr, &OsStr)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat());
        Ok(Self {
            path: CString::new(path.as_os_str().as_bytes())?,
            arguments: arguments.map(|argument| CString::new(argument.as_bytes())).collect::<Result<_, _>>()?,
            environment: environment.map(variable).collect::<Result<_, _>>()?,
        })
    }

    /// Takes the place of this process; where that works this does not return.
    pub(super) fn replace(&self) -> io::Error {
        let replaced = reset_signals()
            .and_then(|()| nix::unistd::execve(&self.path, &self.arguments, &self.environment).map_err(io::Error::from));
        match replaced {
            Err(error) => error,
            Ok::<Infallible, _>(never) => match never {},
        }
    }
}

/// Gives the next program the signals as it expects them: none held back, and SIGPIPE, which Rust programs ignore, as ever. A signal that
/// is caught has its default again after `execve`.
fn reset_signals() -> io::Result<()> {
    signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::new(AtomicBool::new(false)))?;
    Ok(SigSet::empty().thread_set_mask()?)
}
