//! Getters of the `subprocess` runtime: plugins that download URLs of their schemes.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::process::{ProcessEnd, kill_tree, wait};
use super::program::Program;
use super::subprocess::{InvokeError, prepare_error, start_error};
use super::{Environment, RunTarget};
use crate::manifest::Subprocess;
use crate::manifest::platform::{Platform, prepare};
use plugsmith_protocol::{GetterInput, GetterOptions};

/// How much is read from a getter at once, and how many such pieces may wait to be written.
const PIECE: usize = 64 << 10;
const PIECES: usize = 16;

/// What a getter is asked for. Empty options are handed on as empty words and values, as plugins for Helm expect.
#[derive(Clone, Default)]
pub struct GetterRequest {
    /// What to download. It must not hold a user name or password: arguments can be seen by everyone.
    pub url: String,
    /// The client's certificate.
    pub cert_file: Option<PathBuf>,
    /// The key of that.
    pub key_file: Option<PathBuf>,
    /// Certificates of authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// Who asks.
    pub username: Option<String>,
    /// The password; it goes into the environment alone.
    pub password: Option<String>,
    /// Whether credentials may go to other hosts, too.
    pub pass_credentials_all: bool,
    /// How many bytes may come.
    pub max_bytes: u64,
    /// How long it may take in all.
    pub timeout: Option<Duration>,
}

impl GetterRequest {
    /// The scheme of the URL.
    pub(super) fn scheme(&self) -> &str {
        self.url.split_once(':').map_or("", |(scheme, _)| scheme)
    }

    /// This as a message, to a plugin whose host calls itself `user_agent`.
    pub fn to_message(&self, user_agent: &str) -> GetterInput {
        let file = |path: &Option<PathBuf>| path.as_deref().unwrap_or(Path::new("")).to_string_lossy().into_owned();
        let options = GetterOptions {
            url: self.url.clone(),
            cert_file: file(&self.cert_file),
            key_file: file(&self.key_file),
            ca_file: file(&self.ca_file),
            username: self.username.clone().unwrap_or_default(),
            password: self.password.clone().unwrap_or_default(),
            pass_credentials_all: self.pass_credentials_all,
            user_agent: user_agent.to_owned(),
            timeout: self.timeout.map_or(0, |timeout| i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX)),
            ..GetterOptions::default()
        };
        GetterInput { href: self.url.clone(), protocol: self.scheme().to_owned(), options }
    }
}

impl fmt::Debug for GetterRequest {
    /// Without the secret: what is printed for debugging is read by others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetterRequest").field("url", &self.url).field("username", &self.username).finish_non_exhaustive()
    }
}

/// Lets a getter download into `into` what `request` asks for; gives the number of bytes. What the plugin says on standard
/// error goes to ours.
///
/// # Errors
/// The plugin serves no such scheme, could not be started, failed, sent too much or took too long, or `into` failed. What has
/// been written by then is worthless.
pub(super) fn run_getter(
    target: RunTarget<'_>,
    subprocess: &Subprocess,
    request: &GetterRequest,
    environment: &Environment<'_>,
    into: &mut dyn Write,
) -> Result<u64, InvokeError> {
    let plugin = || target.metadata.name.clone();
    let system = |source| InvokeError::Stream { plugin: plugin(), source };
    let folder = tempfile::Builder::new().prefix("plugin-").tempdir().map_err(system)?;
    let mut program = getter_program(target, subprocess, request, environment)?;
    program.command().current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = program.spawn().map_err(|source| start_error(target, source))?;

    // The pipe is read by another thread, because only a channel can be waited for with a limit.
    let (sender, pieces) = mpsc::sync_channel::<io::Result<Vec<u8>>>(PIECES);
    if let Some(mut stdout) = child.stdout.take() {
        thread::spawn(move || {
            loop {
                let mut piece = vec![0; PIECE];
                let read = stdout.read(&mut piece).map(|length| {
                    piece.truncate(length);
                    piece
                });
                let last = !matches!(&read, Ok(piece) if !piece.is_empty());
                if sender.send(read).is_err() || last {
                    break;
                }
            }
        });
    }
    let until = request.timeout.map(|timeout| Instant::now() + timeout);
    let left = || until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
    let mut bytes = 0;
    let copied = loop {
        match pieces.recv_timeout(left()) {
            Ok(Ok(piece)) if piece.is_empty() => break Ok(()),
            Ok(Ok(piece)) => {
                bytes += piece.len() as u64;
                if bytes > request.max_bytes {
                    break Err(InvokeError::TooMuch { plugin: plugin(), limit: request.max_bytes });
                }
                if let Err(error) = into.write_all(&piece) {
                    break Err(system(error));
                }
            }
            Ok(Err(error)) => break Err(system(error)),
            Err(RecvTimeoutError::Disconnected) => break Ok(()),
            Err(RecvTimeoutError::Timeout) => break Err(InvokeError::TimedOut { plugin: plugin() }),
        }
    };
    if let Err(error) = copied {
        kill_tree(&mut child, target);
        return Err(error);
    }
    match wait(&mut child, left()).map_err(system)? {
        Some(ProcessEnd::Code(0)) => Ok(bytes),
        Some(ProcessEnd::Code(code)) => Err(InvokeError::Exit { plugin: plugin(), code, stderr: String::new() }),
        Some(ProcessEnd::Signal(signal)) => Err(InvokeError::Signal { plugin: plugin(), signal, stderr: String::new() }),
        None => {
            kill_tree(&mut child, target);
            Err(InvokeError::TimedOut { plugin: plugin() })
        }
    }
}

/// The program for the request: of the first protocol command that lists the scheme, or the plugin's only one.
fn getter_program(
    target: RunTarget<'_>,
    subprocess: &Subprocess,
    request: &GetterRequest,
    environment: &Environment<'_>,
) -> Result<Program, InvokeError> {
    let metadata = target.metadata;
    let scheme = request.scheme();
    let serves = |protocols: &[String]| protocols.iter().any(|own| own.eq_ignore_ascii_case(scheme));
    let commands = if subprocess.protocol_commands.is_empty() && serves(metadata.protocols()) {
        Some(&subprocess.platform_commands)
    } else {
        let mut all = subprocess.protocol_commands.iter();
        all.find(|command| serves(&command.protocols)).map(|command| &command.platform_commands)
    };
    let commands =
        commands.ok_or_else(|| InvokeError::NoSuchScheme { plugin: metadata.name.clone(), scheme: scheme.to_owned() })?;

    let mut environment = environment.for_plugin(&metadata.name, target.dir);
    // Set in any case: credentials for another program in our own environment are none of the plugin's business.
    environment.set("PLUGIN_USERNAME", request.username.as_deref().unwrap_or_default());
    environment.set("PLUGIN_PASSWORD", request.password.as_deref().unwrap_or_default());
    environment.set("PLUGIN_PASS_CREDENTIALS_ALL", if request.pass_credentials_all { "true" } else { "false" });
    let file = |path: &Option<PathBuf>| path.clone().unwrap_or_default().into_os_string();
    let extra = [file(&request.cert_file), file(&request.key_file), file(&request.ca_file), request.url.clone().into()];
    let line = prepare(commands, &Platform::current(), false, &|name| environment.get(name), &extra)
        .map_err(|source| prepare_error(target, source))?;
    Program::within(target, &line, &environment).map_err(|source| start_error(target, source))
}
