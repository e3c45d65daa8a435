//! The `extism/v1` runtime as far as it is ours: what a module is told, what becomes of its answer, and what it is given. Running it is the host's
//! [`Runner`](crate::host::Runner)'s part.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};

use plugsmith_protocol::{
    self as messages, Answer, CliInput, CliOutput, GetterOutput, MessageError, PostRendererInput, PostRendererOutput,
    TestInput, TestOutput,
};

use super::invoke::{Input, Output};
use super::{Environment, InvokeError, Subject};
use crate::host::{Ended, Job, Level, Limits, ModuleFile, News, Runner, Streams, WasmError};
use crate::manifest::{Extism, MODULE_NAME};
use crate::report::Report;
use crate::store::{NotListed, Spool};
use crate::text::Plain;

/// Asks `input` of a module.
pub(super) fn invoke(
    subject: Subject<'_>,
    config: &Extism,
    input: Input<'_>,
    environment: &Environment<'_>,
    report: &dyn Report,
) -> Result<Output, InvokeError> {
    let Some(runner) = environment.host().wasm() else {
        return Err(InvokeError::NoWebAssembly { plugin: subject.metadata.name.clone() });
    };
    let caller = Caller { subject, config, environment, report, runner };
    match input {
        Input::Cli { args, .. } => caller.cli(args).map(Output::Cli),
        Input::Getter { request, into } => caller.get(request, into).map(Output::Getter),
        Input::PostRenderer { args, document } => caller.render(args, document).map(Output::PostRenderer),
        Input::Test { name } => caller.greet(name).map(Output::Test),
    }
}

/// Who asks whom.
struct Caller<'a> {
    subject: Subject<'a>,
    config: &'a Extism,
    environment: &'a Environment<'a>,
    report: &'a dyn Report,
    runner: &'a dyn Runner,
}

impl Caller<'_> {
    fn cli(&self, args: &[OsString]) -> Result<Vec<u8>, InvokeError> {
        let ignored = self.subject.metadata.cli().is_some_and(|cli| cli.ignore_flags);
        let extra_args = messages::texts(if ignored { &[] } else { args }).map_err(|source| self.message(source))?;
        let answer: CliOutput = self.ask(&CliInput { extra_args }, Streams::Inherited, self.limits())?;
        Ok(answer.to_bytes())
    }

    fn get(&self, request: &super::GetterRequest, into: &mut dyn io::Write) -> Result<u64, InvokeError> {
        let plugin = || self.subject.metadata.name.clone();
        let scheme = request.scheme();
        if !self.subject.metadata.protocols().iter().any(|own| own.eq_ignore_ascii_case(scheme)) {
            return Err(InvokeError::NoSuchScheme { plugin: plugin(), scheme: scheme.to_owned() });
        }
        let mut limits = self.limits();
        let hurried = request.timeout.filter(|timeout| *timeout < limits.time);
        limits.time = hurried.unwrap_or(limits.time);
        let host = self.environment.host();
        let message = request.to_message(&format!("{}/{}", host.name(), host.version()));
        let answer: GetterOutput = match self.ask(&message, Streams::Kept, limits) {
            Err(InvokeError::Wasm { source, .. }) if hurried.is_some() && matches!(*source, WasmError::TimedOut { .. }) => {
                return Err(InvokeError::TimedOut { plugin: plugin() });
            }
            answer => answer?,
        };
        let mut into = Limited { into, left: request.max_bytes, exceeded: false };
        let written = answer.write_to(&mut into).map_err(|source| self.message(source))?;
        match written {
            Ok(bytes) => Ok(bytes),
            Err(_) if into.exceeded => Err(InvokeError::TooMuch { plugin: plugin(), limit: request.max_bytes }),
            Err(source) => Err(InvokeError::Stream { plugin: plugin(), source }),
        }
    }

    fn render(&self, args: &[OsString], document: &File) -> Result<File, InvokeError> {
        let plugin = || self.subject.metadata.name.clone();
        let system = |source| InvokeError::Stream { plugin: plugin(), source };
        let extra_args = messages::texts(args).map_err(|source| self.message(source))?;
        let limits = self.limits();
        let mut document = document.try_clone().map_err(system)?;
        document.rewind().map_err(system)?;
        // What cannot be handed over need not be read.
        let room = limits.exchange_bytes() as u64;
        let mut bytes = Vec::new();
        document.take(room + 1).read_to_end(&mut bytes).map_err(system)?;
        if bytes.len() as u64 > room {
            return Err(self.failed(WasmError::Exchange { limit: limits.pages }));
        }
        let manifests = String::from_utf8(bytes).map_err(|_| self.message(MessageError::Document))?;
        let is_empty = manifests.is_empty();
        let input = PostRendererInput { manifests, extra_args };
        let answer: PostRendererOutput = self.ask(&input, Streams::Kept, limits)?;
        let changed = answer.into_manifests().map_err(|source| self.message(source))?;
        if changed.is_empty() && !is_empty {
            return Err(InvokeError::EmptyResult { plugin: plugin(), stderr: String::new() });
        }
        let mut result = tempfile::tempfile().map_err(system)?;
        result.write_all(changed.as_bytes()).and_then(|()| result.rewind()).map_err(system)?;
        Ok(result)
    }

    fn greet(&self, name: &str) -> Result<String, InvokeError> {
        let input = TestInput { name: name.to_owned() };
        let answer: TestOutput = self.ask(&input, Streams::Kept, self.limits())?;
        answer.into_greeting().map_err(|source| self.message(source))
    }

    fn limits(&self) -> Limits {
        Limits::of(self.config)
    }

    /// Sends a message, and reads the answer.
    fn ask<A: Answer>(&self, input: &impl serde::Serialize, streams: Streams, limits: Limits) -> Result<A, InvokeError> {
        let input = messages::to_bytes(input).map_err(|source| self.message(source))?;
        let ended = self.run(input, streams, limits).map_err(|source| self.failed(source))?;
        let Ended { code, output, error, stderr: said } = ended;
        if code != 0 || error.is_some() {
            let stderr = [said, error.unwrap_or_default()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
            let code = if code == 0 { 1 } else { code };
            return Err(InvokeError::Exit { plugin: self.subject.metadata.name.clone(), code, stderr: stderr.join("\n") });
        }
        said.lines().for_each(|line| self.hear(Level::Info, line));
        A::parse(&output).map_err(|source| self.message(source))
    }

    /// Calls the module with `input`.
    fn run(&self, input: Vec<u8>, streams: Streams, limits: Limits) -> Result<Ended, WasmError> {
        let Subject { metadata, dir, startable } = self.subject;
        let path = dir.join(MODULE_NAME);
        let digest = match startable.map(|list| list.digest(MODULE_NAME)) {
            None => None,
            Some(Ok(digest)) => digest,
            Some(Err(NotListed)) => return Err(WasmError::Changed { path }),
        };
        let module = ModuleFile { path, digest };
        let temp_dir = match self.config.create_temp_dir {
            true => Some(Spool::within(&std::env::temp_dir()).map_err(|error| WasmError::TempDir { source: error.into() })?),
            false => None,
        };
        let environment = self.environment.for_plugin(&metadata.name, dir);
        let debug = self.environment.debug();
        let job = Job {
            name: metadata.name.to_string(),
            module,
            manifest: self.config.clone(),
            limits,
            input,
            // Only what the host itself sets: what else this process has in its environment is none of a module's business.
            environment: environment
                .variables()
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value.to_str()?.to_owned())))
                .collect(),
            streams,
            temp_dir: temp_dir.as_ref().map(|spool| spool.path().to_owned()),
            cache: self.environment.cache().to_owned(),
            functions: self.environment.host().functions().clone(),
            level: if debug { Level::Trace } else { Level::Info },
        };
        self.runner.run(job, &mut |news| match news {
            News::Log(level, text) => self.hear(*level, text),
            News::Begun { from_cache } if debug => {
                let from = if *from_cache { "taken from the cache" } else { "compiled" };
                self.report.notice(&format!("the module of plugin `{}` was {from}", metadata.name));
            }
            News::Begun { .. } => {}
            News::Warning(warning) => self.report.warning(warning),
        })
    }

    /// Passes on a line that the module says.
    fn hear(&self, level: Level, text: &str) {
        let line = format!("{}: {}", self.subject.metadata.name, Plain(text.trim_end()));
        match level {
            Level::Error | Level::Warn => self.report.warning(&line),
            Level::Info | Level::Debug | Level::Trace => self.report.notice(&line),
        }
    }

    fn failed(&self, source: WasmError) -> InvokeError {
        InvokeError::Wasm { plugin: self.subject.metadata.name.clone(), source: Box::new(source) }
    }

    fn message(&self, source: MessageError) -> InvokeError {
        InvokeError::Message { plugin: self.subject.metadata.name.clone(), source }
    }
}

/// A writer that takes no more than it may.
struct Limited<'a> {
    into: &'a mut dyn io::Write,
    left: u64,
    exceeded: bool,
}

impl io::Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            self.exceeded = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let written = self.into.write(bytes)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_getter_gives_no_more_than_it_may() {
        let mut kept = Vec::new();
        let mut limited = Limited { into: &mut kept, left: 4, exceeded: false };
        limited.write_all(b"abc").unwrap();
        assert!(limited.write_all(b"de").is_err() && limited.exceeded);
        assert_eq!(kept, b"abc");
    }
}
