//! What the engine knows of a runner of WebAssembly: one call, as plain data, and how it ended.
//!
//! The engine decides what a module is given and what becomes of its answer; a [`Runner`] compiles the module, gives it memory and a
//! clock, and serves the functions that it calls. The crate `plugsmith-wasm` is one; a host without a runner refuses to run modules.

mod error;

use std::path::PathBuf;
use std::time::Duration;

pub use error::WasmError;

use super::HostFunctions;
use crate::digest::Sha256Digest;
use crate::manifest::Extism;

/// A page of WebAssembly's memory.
pub const PAGE: usize = 64 << 10;

/// Runs modules of WebAssembly that speak Extism's interface.
pub trait Runner: Send + Sync {
    /// Calls the entry function of a module, and waits for its end. `hear` gets what happens meanwhile.
    ///
    /// # Errors
    /// The module could not be read, is not what `job` says, or came to no end of its own.
    fn run(&self, job: ModuleCall, hear: &mut dyn FnMut(&ModuleEvent)) -> Result<CallResult, WasmError>;
}

/// Everything that a call needs.
#[derive(Debug)]
pub struct ModuleCall {
    /// The plugin's name, by which the module is called, too.
    pub name: String,
    /// The module.
    pub module: ModuleFile,
    /// What the manifest asks for: the entry function, hosts, settings, functions of the host.
    pub manifest: Extism,
    /// What the module may use.
    pub limits: CallLimits,
    /// The message.
    pub input: Vec<u8>,
    /// The variables of its environment.
    pub environment: Vec<(String, String)>,
    /// What it finds at its standard streams.
    pub streams: ModuleStreams,
    /// The directory that it sees as `/tmp`.
    pub temp_dir: Option<PathBuf>,
    /// The directory below which compiled modules may be kept.
    pub cache: PathBuf,
    /// The functions of the host that it may call, as far as its manifest lists them.
    pub functions: HostFunctions,
    /// From which level on somebody listens.
    pub level: LogLevel,
}

/// A module's file, and the digest that it must have; without one it is used as it is.
#[derive(Debug, Clone)]
pub struct ModuleFile {
    /// Where it is.
    pub path: PathBuf,
    /// What the gate saw.
    pub digest: Option<Sha256Digest>,
}

/// What a module finds at its standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleStreams {
    /// Ours: it is a command.
    Inherited,
    /// No input; output goes nowhere, and the end of what it says about errors comes back in [`CallResult::stderr`].
    Captured,
}

/// What a module may use. Helm documents the defaults, and passes none of them on.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    /// Pages of memory, and as many again for what goes in and out.
    pub pages: u32,
    /// Bytes of a response that it requests.
    pub response_bytes: u64,
    /// Bytes of all its variables.
    pub variable_bytes: u64,
    /// How long it may run.
    pub time: Duration,
}

impl CallLimits {
    /// The limits that a manifest sets. A negative number of bytes is Extism's word for its own limits.
    pub fn of(config: &Extism) -> Self {
        let bytes = |set: Option<i64>, extism: u64| match set {
            None => 4096,
            Some(bytes) => u64::try_from(bytes).unwrap_or(extism),
        };
        Self {
            pages: config.pages(),
            response_bytes: bytes(config.max_http_response_bytes, 50 << 20),
            variable_bytes: bytes(config.max_var_bytes, 1 << 20),
            time: Duration::from_millis(config.time_ms()),
        }
    }

    /// The bytes of all that goes in and out together.
    pub fn exchange_bytes(&self) -> usize {
        self.pages as usize * PAGE
    }
}

/// How much it matters what a module says, as Extism numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Every step.
    Trace,
    /// For who looks for an error.
    Debug,
    /// For the user.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something failed.
    Error,
}

/// What happens while a module runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum ModuleEvent {
    /// The module has been compiled, or was in the cache, and begins.
    Started {
        /// Whether it was in the cache.
        from_cache: bool,
    },
    /// The module says something.
    Log(LogLevel, String),
    /// The runner itself warns of something that does not stop it.
    Warning(String),
}

/// How a call ended that came to an end by itself.
#[derive(Debug, Default)]
pub struct CallResult {
    /// The code that its entry function returned, or with which it exited.
    pub code: i32,
    /// Its answer.
    pub output: Vec<u8>,
    /// What the module gave as the reason of its failure.
    pub error: Option<String>,
    /// The end of what it said about errors, if the streams were [`ModuleStreams::Captured`].
    pub stderr: String,
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn w4_what_nobody_sets_is_what_helm_documents() {
        let limits = CallLimits::of(&Extism::default());
        assert_eq!((limits.pages, limits.response_bytes, limits.variable_bytes), (4, 4096, 4096));
        assert_eq!(limits.time, Duration::from_secs(60));
        let config = Extism {
            max_pages: Some(u32::MAX),
            max_http_response_bytes: Some(0),
            max_var_bytes: Some(-1),
            timeout: Some(u64::MAX),
            ..Extism::default()
        };
        let limits = CallLimits::of(&config);
        assert_eq!((limits.pages, limits.response_bytes, limits.variable_bytes), (65536, 0, 1 << 20));
        assert!(Instant::now().checked_add(limits.time).is_some());
        let unset = Extism { max_pages: Some(0), timeout: Some(0), ..Extism::default() };
        assert_eq!((CallLimits::of(&unset).pages, CallLimits::of(&unset).time), (4, Duration::from_secs(60)));
    }
}
