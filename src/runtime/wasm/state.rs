//! What belongs to one call of a module: its limits, what it was given, what it has left behind.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;
use wasmtime_wasi::p1::WasiP1Ctx;

use super::WasmError;
use super::exchange::{Exchange, Full};
use crate::host::HostFunctions;
use crate::manifest::{Extism, HostPattern};

/// A page of WebAssembly's memory.
const PAGE: usize = 64 << 10;

/// How much a module can have at most in tables: a large program in Go has some ten thousand functions.
const TABLE_ELEMENTS: usize = 1 << 20;

/// How much a module can say: enough to find out why, too little to hide anything or fill a disk.
const LOG_BYTES: usize = 1 << 20;

/// What a module may use. Helm documents the defaults, and passes none of them on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) pages: u32,
    pub(super) response_bytes: u64,
    pub(super) variable_bytes: u64,
    pub(super) time: Duration,
}

impl Limits {
    /// The limits that a manifest sets. A negative number of bytes is Extism's word for its own limits.
    pub(super) fn of(config: &Extism) -> Self {
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
}

/// How much it matters what a module says, as Extism numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// What the thread of a module tells the one that waits for it.
#[derive(Debug)]
pub(super) enum News {
    /// The module has been compiled, or was in the cache, and begins.
    Begun { from_cache: bool },
    /// The module says something.
    Log(Level, String),
    /// It is over.
    Ended(Result<Ended, WasmError>),
}

/// How a call ended that came to an end by itself.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) code: i32,
    pub(super) output: Vec<u8>,
    /// What the module gave as the reason of its failure.
    pub(super) error: Option<String>,
}

/// The state of one call.
pub(super) struct State {
    pub(super) wasi: WasiP1Ctx,
    pub(super) limits: Limits,
    pub(super) exchange: Exchange,
    pub(super) input: (u64, u64),
    pub(super) output: (u64, u64),
    pub(super) error: u64,
    pub(super) config: BTreeMap<String, String>,
    pub(super) variables: BTreeMap<String, Vec<u8>>,
    pub(super) hosts: Vec<HostPattern>,
    pub(super) http_status: u16,
    pub(super) http_headers: Option<String>,
    pub(super) functions: HostFunctions,
    pub(super) until: Instant,
    /// From which level on somebody listens.
    pub(super) level: Level,
    pub(super) news: Sender<News>,
    pub(super) logged: usize,
    pub(super) memory: Memory,
}

impl State {
    /// A block of `bytes` for the module.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<u64, WasmError> {
        self.exchange.put(bytes).map_err(|Full| WasmError::Exchange { limit: self.limits.pages })
    }

    /// The text of the block at `offset`, which is let go.
    pub(super) fn take_text(&mut self, function: &'static str, offset: u64) -> Result<String, WasmError> {
        let bytes = self.take(function, offset)?;
        let wrong = |_| WasmError::Misuse { function, reason: "it is given something that is not UTF-8".to_owned() };
        String::from_utf8(bytes).map_err(wrong)
    }

    /// The bytes of the block at `offset`, which is let go.
    pub(super) fn take(&mut self, function: &'static str, offset: u64) -> Result<Vec<u8>, WasmError> {
        if offset == 0 {
            return Ok(Vec::new());
        }
        let bytes = self.exchange.block(offset).map(<[u8]>::to_vec);
        self.exchange.free(offset);
        bytes.ok_or_else(|| WasmError::Misuse { function, reason: format!("there is no block of memory at {offset}") })
    }

    /// Passes on what the module says, until it has said too much.
    pub(super) fn log(&mut self, level: Level, text: String) {
        if level < self.level || self.logged > LOG_BYTES {
            return;
        }
        self.logged += text.len() + 1;
        let text = if self.logged > LOG_BYTES { "says too much; the rest is not shown".to_owned() } else { text };
        let _ = self.news.send(News::Log(level, text));
    }

    /// The bytes that all blocks may have together.
    pub(super) fn exchange_bytes(limits: &Limits) -> usize {
        limits.pages as usize * PAGE
    }
}

/// What the module's memories and tables have grown to.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) limit: u32,
    pub(super) used: usize,
    pub(super) elements: usize,
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit as usize * PAGE {
            // The module could be told that there is no more; what it then says has rarely anything to do with memory.
            return Err(WasmError::Memory { needed: used.div_ceil(PAGE) as u64, limit: self.limit }.into());
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.elements.saturating_add(desired.saturating_sub(current));
        if elements > TABLE_ELEMENTS {
            return Err(WasmError::Table { limit: TABLE_ELEMENTS }.into());
        }
        self.elements = elements;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w4_what_nobody_sets_is_what_helm_documents() {
        let limits = Limits::of(&Extism::default());
        assert_eq!((limits.pages, limits.response_bytes, limits.variable_bytes), (4, 4096, 4096));
        assert_eq!(limits.time, Duration::from_secs(60));
        let config = Extism {
            max_pages: Some(u32::MAX),
            max_http_response_bytes: Some(0),
            max_var_bytes: Some(-1),
            timeout: Some(u64::MAX),
            ..Extism::default()
        };
        let limits = Limits::of(&config);
        assert_eq!((limits.pages, limits.response_bytes, limits.variable_bytes), (65536, 0, 1 << 20));
        assert!(Instant::now().checked_add(limits.time).is_some());
        let unset = Extism { max_pages: Some(0), timeout: Some(0), ..Extism::default() };
        assert_eq!((Limits::of(&unset).pages, Limits::of(&unset).time), (4, Duration::from_secs(60)));
    }

    #[test]
    fn w4_memories_and_tables_are_counted_together() {
        let mut memory = Memory { limit: 2, used: 0, elements: 0 };
        assert!(memory.memory_growing(0, PAGE, None).unwrap());
        assert!(memory.memory_growing(0, PAGE, Some(PAGE)).unwrap());
        let error = memory.memory_growing(PAGE, 2 * PAGE, None).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(WasmError::Memory { needed: 3, limit: 2 })));
        assert!(memory.table_growing(0, TABLE_ELEMENTS, None).unwrap());
        assert!(memory.table_growing(0, 1, None).is_err());
    }
}
