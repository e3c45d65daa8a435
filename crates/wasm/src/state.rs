//! What belongs to one call of a module: its limits, what it was given, what it has left behind.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::time::Instant;

use wasmtime::ResourceLimiter;
use wasmtime_wasi::p1::WasiP1Ctx;

use crate::exchange::{ExchangeFull, ExchangeMemory};
use plugsmith::host::{CallLimits, CallResult, HostFunctions, LogLevel, ModuleEvent, PAGE, WasmError};
use plugsmith::manifest::HostPattern;

/// How much a module can have at most in tables: a large program in Go has some ten thousand functions.
const TABLE_ELEMENTS: usize = 1 << 20;

/// How much a module can say: enough to find out why, too little to hide anything or fill a disk.
const LOG_BYTES: usize = 1 << 20;

/// What the thread of a module tells the one that waits for it.
#[derive(Debug)]
pub(crate) enum Event {
    /// It goes on.
    News(ModuleEvent),
    /// It is over.
    Ended(Result<CallResult, WasmError>),
}

/// The state of one call.
pub(crate) struct CallState {
    pub(crate) wasi: WasiP1Ctx,
    pub(crate) limits: CallLimits,
    pub(crate) exchange: ExchangeMemory,
    pub(crate) input: (u64, u64),
    pub(crate) output: (u64, u64),
    pub(crate) error: u64,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) variables: BTreeMap<String, Vec<u8>>,
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) http_status: u16,
    pub(crate) http_headers: Option<String>,
    pub(crate) functions: HostFunctions,
    pub(crate) until: Instant,
    /// From which level on somebody listens.
    pub(crate) level: LogLevel,
    pub(crate) events: Sender<Event>,
    pub(crate) logged: usize,
    pub(crate) memory: MemoryLimiter,
}

impl CallState {
    /// A block of `bytes` for the module.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<u64, WasmError> {
        self.exchange.put(bytes).map_err(|ExchangeFull| WasmError::Exchange { limit: self.limits.pages })
    }

    /// The text of the block at `offset`, which is let go.
    pub(crate) fn take_text(&mut self, function: &'static str, offset: u64) -> Result<String, WasmError> {
        let bytes = self.take(function, offset)?;
        let wrong = |_| WasmError::Misuse { function, reason: "it is given something that is not UTF-8".to_owned() };
        String::from_utf8(bytes).map_err(wrong)
    }

    /// The bytes of the block at `offset`, which is let go.
    pub(crate) fn take(&mut self, function: &'static str, offset: u64) -> Result<Vec<u8>, WasmError> {
        if offset == 0 {
            return Ok(Vec::new());
        }
        let bytes = self.exchange.block(offset).map(<[u8]>::to_vec);
        self.exchange.free(offset);
        bytes.ok_or_else(|| WasmError::Misuse { function, reason: format!("there is no block of memory at {offset}") })
    }

    /// Passes on what the module says, until it has said too much.
    pub(crate) fn log(&mut self, level: LogLevel, text: String) {
        if level < self.level || self.logged > LOG_BYTES {
            return;
        }
        self.logged += text.len() + 1;
        let text = if self.logged > LOG_BYTES { "says too much; the rest is not shown".to_owned() } else { text };
        let _ = self.events.send(Event::News(ModuleEvent::Log(level, text)));
    }
}

/// What the module's memories and tables have grown to.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    pub(crate) limit: u32,
    pub(crate) used: usize,
    pub(crate) elements: usize,
}

impl ResourceLimiter for MemoryLimiter {
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
    fn w4_memories_and_tables_are_counted_together() {
        let mut memory = MemoryLimiter { limit: 2, used: 0, elements: 0 };
        assert!(memory.memory_growing(0, PAGE, None).unwrap());
        assert!(memory.memory_growing(0, PAGE, Some(PAGE)).unwrap());
        let error = memory.memory_growing(PAGE, 2 * PAGE, None).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(WasmError::Memory { needed: 3, limit: 2 })));
        assert!(memory.table_growing(0, TABLE_ELEMENTS, None).unwrap());
        assert!(memory.table_growing(0, 1, None).is_err());
    }
}
