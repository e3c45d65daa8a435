//! Why a module gave no answer.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::text::Sanitized;

/// Why a module gave no answer. Those that are limits name the setting of the manifest that sets them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WasmError {
    /// The module's file cannot be read.
    #[error("cannot read {}", Sanitized(&path.to_string_lossy()))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The module's file is larger than any module may be.
    #[error("{} has more than {limit} bytes, and no module may be larger", Sanitized(&path.to_string_lossy()))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The module is another one than the gate has seen a moment before.
    #[error("{} changed while it was opened; try again, and install the plugin anew if it happens again", Sanitized(&path.to_string_lossy()))]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The file is no module.
    #[error("{} is no WebAssembly module ({}); build it again, or install the plugin anew", Sanitized(&path.to_string_lossy()), Sanitized(reason))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What the engine says.
        reason: String,
    },
    /// The module takes too long to compile.
    #[error("{} took longer than {} s to compile", Sanitized(&path.to_string_lossy()), limit.as_secs())]
    Compiling {
        /// The file.
        path: PathBuf,
        /// How long it may take.
        limit: Duration,
    },
    /// The module lacks its entry function.
    #[error(
        "the module exports no function `{}`, which takes nothing and gives at most one i32{}; `runtimeConfig.entryFuncName` says which one is called",
        Sanitized(entry),
        Exports(exports)
    )]
    NoEntry {
        /// The function.
        entry: String,
        /// Functions that it exports.
        exports: Vec<String>,
    },
    /// The module needs something that nobody has.
    #[error(
        "the module imports `{}` from `{}`, which no host of extism/v1 plugins has; it was perhaps built for another runtime",
        Sanitized(name),
        Sanitized(module)
    )]
    UnknownImport {
        /// Where from.
        module: String,
        /// What.
        name: String,
    },
    /// The module uses a function of the host that its manifest does not ask for.
    #[error(
        "the module imports the host function `{}`, which `runtimeConfig.hostFunctions` does not list; add it there",
        Sanitized(name)
    )]
    UnlistedFunction {
        /// The function.
        name: String,
    },
    /// The function of the host is of another kind.
    #[error(
        "the module takes the host function `{}` to be {}; it takes and gives at most one i64",
        Sanitized(name),
        Sanitized(found)
    )]
    FunctionType {
        /// The function.
        name: String,
        /// How it is imported.
        found: String,
    },
    /// A function of the host failed.
    #[error("the host function `{}` failed: {}", Sanitized(name), Sanitized(reason))]
    FunctionFailed {
        /// The function.
        name: String,
        /// Why.
        reason: String,
    },
    /// The module wants more memory than it may have.
    #[error(
        "the module needs {needed} pages of memory (64 KiB each), and may have {limit}; `runtimeConfig.memory.maxPages` sets the limit"
    )]
    Memory {
        /// How many it needs.
        needed: u64,
        /// How many it may have.
        limit: u32,
    },
    /// What goes in and out takes more memory than it may.
    #[error(
        "what the module was given and gave back takes more than {limit} pages (64 KiB each) at once; `runtimeConfig.memory.maxPages` sets the limit"
    )]
    Exchange {
        /// How many it may take.
        limit: u32,
    },
    /// The module wants more table than any may have.
    #[error("the module needs more than {limit} elements of tables, which none may have")]
    Table {
        /// The limit.
        limit: usize,
    },
    /// The module keeps more in variables than it may.
    #[error("the module's variables take more than {limit} bytes; `runtimeConfig.memory.maxVarBytes` sets the limit")]
    Variables {
        /// The limit.
        limit: u64,
    },
    /// The module took too long.
    #[error("the module took longer than {} ms; `runtimeConfig.timeout` sets the limit", limit.as_millis())]
    TimedOut {
        /// How long it may take.
        limit: Duration,
    },
    /// The module calls a host that it may not call.
    #[error("the module may not call `{}`; `runtimeConfig.allowedHosts` lists the hosts that it may call", Sanitized(host))]
    HostNotAllowed {
        /// The host and the port.
        host: String,
    },
    /// An HTTP response is larger than it may be.
    #[error("the response of {url} has more than {limit} bytes; `runtimeConfig.memory.maxHttpResponseBytes` sets the limit")]
    ResponseTooLarge {
        /// Of which URL; safe to show.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// An HTTP request got no answer.
    #[error("cannot request {url} for the module: {}", Sanitized(reason))]
    Http {
        /// The URL; safe to show.
        url: String,
        /// Why.
        reason: String,
    },
    /// The module gave one of its functions something that makes no sense.
    #[error("the module misuses `{function}`: {}", Sanitized(reason))]
    Misuse {
        /// The function.
        function: &'static str,
        /// How.
        reason: String,
    },
    /// The module did something that ends it.
    #[error("the module broke down: {}", Sanitized(reason))]
    Trap {
        /// What.
        reason: String,
    },
    /// There is no private directory for it.
    #[error("cannot make the temporary directory that `runtimeConfig.fileSystem.createTempDir` asks for")]
    TempDir {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine itself failed.
    #[error("the WebAssembly engine failed: {}", Sanitized(reason))]
    Engine {
        /// How.
        reason: String,
    },
}

/// The functions that a module does have, for messages.
struct Exports<'a>(&'a [String]);

impl WasmError {
    /// Whether the module's file was not there, or was not what the gate saw.
    pub(crate) fn is_before_the_start(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Changed { .. })
    }
}

impl std::fmt::Display for Exports<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 5;
        for (index, name) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{} `{}`", if index == 0 { " (it has" } else { "," }, Sanitized(name))?;
        }
        match self.0.len() {
            0 => Ok(()),
            1..=SHOWN => f.write_str(")"),
            _ => f.write_str(" and others)"),
        }
    }
}
