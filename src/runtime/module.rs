//! The `extism/v1` runtime as far as it is ours: what a module is told, what becomes of its answer, and what it is given. Running it is the host's
//! [`Runner`]'s part.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};

use plugsmith_protocol::{
    self as messages, CliInput, CliOutput, GetterOutput, MessageError, OutputMessage, PostRendererInput, PostRendererOutput,
    TestInput, TestOutput,
};

use super::invoke::{InvokeInput, InvokeOutput};
use super::{Environment, InvokeError, RunTarget};
use crate::host::{CallLimits, CallResult, LogLevel, ModuleCall, ModuleEvent, ModuleFile, ModuleStreams, Runner, WasmError};
use crate::manifest::{Extism, MODULE_NAME};
use crate::report::Report;
use crate::store::{NotListed, Spool};
use crate::text::Sanitized;

/// Asks `input` of a module.
pub(super) fn invoke(
    target: RunTarget<'_>,
    config: &Extism,
    input: InvokeInput<'_>,
    environment: &Environment<'_>,
    report: &dyn Report,
) -> Result<InvokeOutput, InvokeError> {
    let Some(runner) = environment.host().wasm() else {
        return Err(InvokeError::NoWebAssembly { plugin: target.metadata.name.clone() });
    };
    let caller = ModuleClient { target, config, environment, report, runner };
    match input {
        InvokeInput::Cli { args, .. } => caller.cli(args).map(InvokeOutput::Cli),
        InvokeInput::Getter { request, into } => caller.get(request, into).map(InvokeOutput::Getter),
        InvokeInput::PostRenderer { args, document } => caller.render(args, document).map(InvokeOutput::PostRenderer),
        InvokeInput::Test { name } => caller.greet(name).map(InvokeOutput::Test),
    }
}

/// Who asks whom.
struct ModuleClient<'a> {
    target: RunTarget<'a>,
    config: &'a Extism,
    environment: &'a Environment<'a>,
    report: &'a dyn Report,
    runner: &'a dyn Runner,
}

impl ModuleClient<'_> {
    fn cli(&self, args: &[OsString]) -> Result<Vec<u8>, InvokeError> {
        let ignored = self.target.metadata.cli().is_some_and(|cli| cli.ignore_flags);
        let extra_args = messages::texts(if ignored { &[] } else { args }).map_err(|source| self.message(source))?;
        let answer: CliOutput = self.ask(&CliInput { extra_args }, ModuleStreams::Inherited, self.limits())?;
        Ok(answer.to_bytes())
    }

    fn get(&self, request: &super::GetterRequest, into: &mut dyn io::Write) -> Result<u64, InvokeError> {
        let plugin = || self.target.metadata.name.clone();
        let scheme = request.scheme();
        if !self.target.metadata.protocols().iter().any(|own| own.eq_ignore_ascii_case(scheme)) {
            return Err(InvokeError::NoSuchScheme { plugin: plugin(), scheme: scheme.to_owned() });
        }
        let mut limits = self.limits();
        let hurried = request.timeout.filter(|timeout| *timeout < limits.time);
        limits.time = hurried.unwrap_or(limits.time);
        let host = self.environment.host();
        let message = request.to_message(&format!("{}/{}", host.name(), host.version()));
        let answer: GetterOutput = match self.ask(&message, ModuleStreams::Captured, limits) {
            Err(InvokeError::Wasm { source, .. }) if hurried.is_some() && matches!(*source, WasmError::TimedOut { .. }) => {
                return Err(InvokeError::TimedOut { plugin: plugin() });
            }
            answer => answer?,
        };
        let mut into = LimitedWriter { into, left: request.max_bytes, exceeded: false };
        let written = answer.write_to(&mut into).map_err(|source| self.message(source))?;
        match written {
            Ok(bytes) => Ok(bytes),
            Err(_) if into.exceeded => Err(InvokeError::TooMuch { plugin: plugin(), limit: request.max_bytes }),
            Err(source) => Err(InvokeError::Stream { plugin: plugin(), source }),
        }
    }

    fn render(&self, args: &[OsString], document: &File) -> Result<File, InvokeError> {
        let plugin = || self.target.metadata.name.clone();
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
        let answer: PostRendererOutput = self.ask(&input, ModuleStreams::Captured, limits)?;
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
        let answer: TestOutput = self.ask(&input, ModuleStreams::Captured, self.limits())?;
        answer.into_greeting().map_err(|source| self.message(source))
    }

    fn limits(&self) -> CallLimits {
        CallLimits::of(self.config)
    }

    /// Sends a message, and reads the answer.
    fn ask<A: OutputMessage>(
        &self,
        input: &impl serde::Serialize,
        streams: ModuleStreams,
        limits: CallLimits,
    ) -> Result<A, InvokeError> {
        let input = messages::to_bytes(input).map_err(|source| self.message(source))?;
        let ended = self.run(input, streams, limits).map_err(|source| self.failed(source))?;
        let CallResult { code, output, error, stderr: said } = ended;
        if code != 0 || error.is_some() {
            let stderr = [said, error.unwrap_or_default()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
            let code = if code == 0 { 1 } else { code };
            return Err(InvokeError::Exit { plugin: self.target.metadata.name.clone(), code, stderr: stderr.join("\n") });
        }
        said.lines().for_each(|line| self.report_log(LogLevel::Info, line));
        A::parse(&output).map_err(|source| self.message(source))
    }

    /// Calls the module with `input`.
    fn run(&self, input: Vec<u8>, streams: ModuleStreams, limits: CallLimits) -> Result<CallResult, WasmError> {
        let RunTarget { metadata, dir, allowlist } = self.target;
        let path = dir.join(MODULE_NAME);
        let digest = match allowlist.map(|list| list.digest(MODULE_NAME)) {
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
        let job = ModuleCall {
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
            level: if debug { LogLevel::Trace } else { LogLevel::Info },
        };
        self.runner.run(job, &mut |news| match news {
            ModuleEvent::Log(level, text) => self.report_log(*level, text),
            ModuleEvent::Started { from_cache } if debug => {
                let from = if *from_cache { "taken from the cache" } else { "compiled" };
                self.report.notice(&format!("the module of plugin `{}` was {from}", metadata.name));
            }
            ModuleEvent::Started { .. } => {}
            ModuleEvent::Warning(warning) => self.report.warning(warning),
        })
    }

    /// Passes on a line that the module says.
    fn report_log(&self, level: LogLevel, text: &str) {
        let line = format!("{}: {}", self.target.metadata.name, Sanitized(text.trim_end()));
        match level {
            LogLevel::Error | LogLevel::Warn => self.report.warning(&line),
            LogLevel::Info | LogLevel::Debug | LogLevel::Trace => self.report.notice(&line),
        }
    }

    fn failed(&self, source: WasmError) -> InvokeError {
        InvokeError::Wasm { plugin: self.target.metadata.name.clone(), source: Box::new(source) }
    }

    fn message(&self, source: MessageError) -> InvokeError {
        InvokeError::Message { plugin: self.target.metadata.name.clone(), source }
    }
}

/// A writer that takes no more than it may.
struct LimitedWriter<'a> {
    into: &'a mut dyn io::Write,
    left: u64,
    exceeded: bool,
}

impl io::Write for LimitedWriter<'_> {
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
        let mut limited = LimitedWriter { into: &mut kept, left: 4, exceeded: false };
        limited.write_all(b"abc").unwrap();
        assert!(limited.write_all(b"de").is_err() && limited.exceeded);
        assert_eq!(kept, b"abc");
    }
}
