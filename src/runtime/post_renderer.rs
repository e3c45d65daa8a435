//! Post-renderers of the `subprocess` runtime: plugins that read a document and write a changed one.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::process::{ProcessEnd, kill_tree};
use super::program::Program;
use super::subprocess::{InvokeError, prepare_error, start_error};
use super::{Environment, RunTarget};
use crate::manifest::Subprocess;
use crate::manifest::platform::{Platform, prepare};

/// How much of what a post-renderer says on standard error is kept: the end, where the reason stands.
const STDERR_BYTES: usize = 64 << 10;

/// How long to wait for the rest of that once the plugin has ended: somebody else may keep the pipe open.
const STDERR_REST: Duration = Duration::from_secs(1);

/// Gives `document`, from its beginning, to a post-renderer with `args`, and what it makes of it to a new file, which is at its
/// beginning too. Neither is ever in memory as a whole.
///
/// # Errors
/// The plugin could not be started, failed (the error holds what it said), or made nothing of something.
pub(super) fn run_post_renderer(
    target: RunTarget<'_>,
    subprocess: &Subprocess,
    args: &[OsString],
    environment: &Environment<'_>,
    document: &File,
) -> Result<File, InvokeError> {
    let plugin = || target.metadata.name.clone();
    let system = |source| InvokeError::Stream { plugin: plugin(), source };
    let mut program = renderer_program(target, subprocess, args, environment)?;
    let mut document = document.try_clone().map_err(system)?;
    document.rewind().map_err(system)?;
    let size = document.metadata().map_err(system)?.len();
    let mut result = tempfile::tempfile().map_err(system)?;

    // The plugin reads the file itself: no copy through a pipe, and nobody who could wait for it, whether it reads or not.
    program.command().stdin(Stdio::from(document)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().map_err(|source| start_error(target, source))?;
    let (sender, stderr) = mpsc::channel();
    if let Some(pipe) = child.stderr.take() {
        thread::spawn(move || sender.send(last_bytes(pipe)));
    }
    if let Some(mut stdout) = child.stdout.take()
        && let Err(error) = io::copy(&mut stdout, &mut result)
    {
        // Where the result cannot be kept, as on a full disk, nobody reads any more, and nobody should go on writing.
        kill_tree(&mut child, target);
        return Err(system(error));
    }
    let end = ProcessEnd::of(child.wait().map_err(system)?);
    let said = |stderr: mpsc::Receiver<Vec<u8>>| {
        String::from_utf8_lossy(&stderr.recv_timeout(STDERR_REST).unwrap_or_default()).trim_end().to_owned()
    };
    match end {
        ProcessEnd::Code(0) => {}
        ProcessEnd::Code(code) => return Err(InvokeError::Exit { plugin: plugin(), code, stderr: said(stderr) }),
        ProcessEnd::Signal(signal) => return Err(InvokeError::Signal { plugin: plugin(), signal, stderr: said(stderr) }),
    }
    result.flush().map_err(system)?;
    if size > 0 && result.stream_position().map_err(system)? == 0 {
        return Err(InvokeError::EmptyResult { plugin: plugin(), stderr: said(stderr) });
    }
    result.rewind().map_err(system)?;
    Ok(result)
}

fn renderer_program(
    target: RunTarget<'_>,
    subprocess: &Subprocess,
    args: &[OsString],
    environment: &Environment<'_>,
) -> Result<Program, InvokeError> {
    let environment = environment.for_plugin(&target.metadata.name, target.dir);
    let line = prepare(&subprocess.platform_commands, &Platform::current(), true, &|name| environment.get(name), args)
        .map_err(|source| prepare_error(target, source))?;
    Program::find(target, &line, &environment).map_err(|source| start_error(target, source))
}

/// The last [`STDERR_BYTES`] of `pipe`; all of it is read, so that nobody waits for us.
fn last_bytes(mut pipe: impl Read) -> Vec<u8> {
    let mut kept: Vec<u8> = Vec::new();
    let mut piece = [0; 8 << 10];
    loop {
        match pipe.read(&mut piece) {
            Ok(0) => return kept,
            Ok(length) => {
                kept.extend_from_slice(&piece[..length]);
                if kept.len() > 2 * STDERR_BYTES {
                    kept.drain(..kept.len() - STDERR_BYTES);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return kept,
        }
    }
}
