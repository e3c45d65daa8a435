//! Runs plugins that are modules of WebAssembly, which get a message and give one back, and can reach nothing that their manifest does not ask for.
//!
//! The interface is Extism's, so that what its plug-in kits make runs here; it is served on wasmtime. Why, says `docs/dependencies.md`.
//! What a module is told, and what becomes of its answer, the engine decides (`plugsmith::runtime`): this crate is a
//! [`Runner`] for it. `call` runs a module, `kernel` is what the module can call, `state` what it may use.

mod cache;
mod call;
mod engine;
mod exchange;
mod http;
mod kernel;
mod state;
mod stream;

use plugsmith::host::{CallResult, ModuleCall, ModuleEvent, Runner, WasmError};

/// The function that is called, unless the manifest names another.
const ENTRY: &str = "helm_plugin_main";

/// Where compiled modules are kept, in the host's cache.
const COMPILED: &str = "wasm";

/// Runs modules on wasmtime, and keeps what it has compiled in the host's cache.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wasmtime;

impl Runner for Wasmtime {
    fn run(&self, job: ModuleCall, hear: &mut dyn FnMut(&ModuleEvent)) -> Result<CallResult, WasmError> {
        let cache = cache::at(&job.cache.join(COMPILED)).unwrap_or_else(|warning| {
            hear(&ModuleEvent::Warning(warning));
            None
        });
        call::run(job, cache, hear)
    }
}
