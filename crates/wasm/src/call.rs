//! One call of a module, in a thread of its own.
//!
//! The one who waits can give up whatever the thread hangs in; a panic in there is an error out here. In the thread, an event loop holds the
//! module and the clock: a module that computes is interrupted every few milliseconds, one that sleeps or reads wherever it does, and its
//! start function no less than its entry.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use wasmtime::{Engine, ExternType, Instance, Linker, Module, Store, Trap, Val};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

use crate::cache::ModuleCache;
use crate::engine::{self, LoadedModule};
use crate::exchange::ExchangeMemory;
use crate::kernel;
use crate::state::{CallState, Event, MemoryLimiter};
use crate::stream::StderrTail;
use plugsmith::host::{CallResult, ModuleCall, ModuleEvent, ModuleStreams, WasmError};
use plugsmith::manifest::HostPattern;

/// How often a module that computes is interrupted to look at the clock.
const TICK: Duration = Duration::from_millis(10);

/// How long compiling may take: a module of 100 MB takes well under a minute.
const COMPILING: Duration = Duration::from_secs(300);

/// How long to wait for a thread that should have ended by itself.
const GRACE: Duration = Duration::from_secs(2);

/// The stack of the thread; the module has one of its own.
const STACK: usize = 8 << 20;

/// Runs `job` to its end; `hear` gets what it says meanwhile.
pub(crate) fn run(
    job: ModuleCall,
    cache: Option<ModuleCache>,
    hear: &mut dyn FnMut(&ModuleEvent),
) -> Result<CallResult, WasmError> {
    let (sender, events) = mpsc::channel();
    let (limit, path) = (job.limits.time, job.module.path.clone());
    let gone = || WasmError::Engine { reason: "its thread broke down".to_owned() };
    let work = move || {
        let ended = work(job, cache.as_ref(), &sender);
        let _ = sender.send(Event::Ended(ended));
    };
    thread::Builder::new()
        .name("wasm".to_owned())
        .stack_size(STACK)
        .spawn(work)
        .map_err(|error| WasmError::Engine { reason: error.to_string() })?;

    let next =
        |events: &Receiver<Event>, until: Instant| events.recv_timeout(until.saturating_duration_since(Instant::now()));
    let mut until = Instant::now() + COMPILING;
    let mut begun = false;
    loop {
        match next(&events, until) {
            Ok(Event::Ended(ended)) => return ended,
            Ok(Event::News(said)) => {
                if let ModuleEvent::Started { .. } = said {
                    begun = true;
                    until = Instant::now() + limit + GRACE;
                }
                hear(&said);
            }
            Err(RecvTimeoutError::Timeout) if begun => return Err(WasmError::TimedOut { limit }),
            Err(RecvTimeoutError::Timeout) => return Err(WasmError::Compiling { path, limit: COMPILING }),
            Err(RecvTimeoutError::Disconnected) => return Err(gone()),
        }
    }
}

/// What the thread does.
fn work(job: ModuleCall, cache: Option<&ModuleCache>, events: &Sender<Event>) -> Result<CallResult, WasmError> {
    let LoadedModule { engine, module, from_cache } = engine::load(&job.module, cache)?;
    let entry = job.manifest.entry_func_name.clone().unwrap_or_else(|| crate::ENTRY.to_owned());
    check_entry(&module, &entry)?;

    let mut linker = Linker::new(&engine);
    let prepared = kernel::add_to_linker(&mut linker)
        .and_then(|()| p1::add_to_linker_async(&mut linker, |state: &mut CallState| &mut state.wasi))
        .and_then(|()| kernel::add_exit(&mut linker))
        .and_then(|()| kernel::add_functions(&mut linker, &module, &job.manifest.host_functions));
    prepared.map_err(explain)?;

    let limits = job.limits;
    let until = Instant::now() + limits.time;
    let hosts = job.manifest.allowed_hosts.iter().map(|host| HostPattern::parse(host)).collect::<Result<_, _>>();
    let hosts = hosts.map_err(|error| WasmError::Engine { reason: error.to_string() })?;
    let tail = match job.streams {
        ModuleStreams::Inherited => None,
        ModuleStreams::Captured => Some(StderrTail::default()),
    };
    let mut exchange = ExchangeMemory::new(limits.exchange_bytes());
    let input = exchange.put(&job.input).map_err(|_| WasmError::Exchange { limit: limits.pages })?;
    let state = CallState {
        wasi: wasi(&job, tail.as_ref())?,
        limits,
        exchange,
        input: (input, job.input.len() as u64),
        output: (0, 0),
        error: 0,
        config: job.manifest.config,
        variables: Default::default(),
        hosts,
        http_status: 0,
        http_headers: None,
        functions: job.functions,
        until,
        level: job.level,
        events: events.clone(),
        logged: 0,
        memory: MemoryLimiter { limit: limits.pages, used: 0, elements: 0 },
    };
    let mut store = Store::new(&engine, state);
    store.limiter(|state| &mut state.memory);
    store.epoch_deadline_async_yield_and_update(1);
    check_imports(&module, &linker, &mut store)?;

    let _ = events.send(Event::News(ModuleEvent::Started { from_cache }));
    let _ticker = Ticker::start(engine);
    let engine_failed = |error: std::io::Error| WasmError::Engine { reason: error.to_string() };
    let events = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(engine_failed)?;
    let outcome = events.block_on(async {
        let call = call(&mut store, &linker, &module, &entry);
        tokio::time::timeout(limits.time, call).await.map_err(|_| WasmError::TimedOut { limit: limits.time })
    });
    // What still reads from a terminal is not waited for.
    events.shutdown_background();
    let state = store.data_mut();
    let error = state.exchange.block(state.error).map(|text| String::from_utf8_lossy(text).into_owned());
    let error = error.filter(|text| !text.is_empty());
    let code = match outcome? {
        Ok(code) => code,
        Err(failure) => match failure.downcast_ref::<I32Exit>() {
            Some(I32Exit(code)) => *code,
            None => return Err(explain(failure)),
        },
    };
    let (offset, length) = state.output;
    let output = state.exchange.bytes(offset, length).to_vec();
    if (output.len() as u64) < length {
        let reason = format!("its output is to be {length} bytes at {offset}, and there are {}", output.len());
        return Err(WasmError::Misuse { function: "output_set", reason });
    }
    let stderr = tail.map(|tail| tail.text()).unwrap_or_default();
    Ok(CallResult { code, output, error, stderr })
}

/// Starts the module, lets its language set itself up, and calls its entry function; gives the code that this returns.
async fn call(
    store: &mut Store<CallState>,
    linker: &Linker<CallState>,
    module: &Module,
    entry: &str,
) -> wasmtime::Result<i32> {
    let instance = linker.instantiate_async(&mut *store, module).await?;
    // As Extism does: constructors of C, or what a module that is no program of its own has instead; Haskell needs both.
    for (name, arguments) in [("__wasm_call_ctors", 0), ("_initialize", 0), ("hs_init", 2)] {
        let Some(function) = instance.get_func(&mut *store, name) else { continue };
        let kind = function.ty(&*store);
        if kind.params().len() != arguments || name == "_initialize" && has(&instance, store, "__wasm_call_ctors") {
            continue;
        }
        let mut results = vec![Val::I32(0); kind.results().len()];
        function.call_async(&mut *store, &vec![Val::I32(0); arguments], &mut results).await?;
    }
    let Some(function) = instance.get_func(&mut *store, entry) else { return Ok(0) };
    let mut results = vec![Val::I32(0); function.ty(&*store).results().len()];
    function.call_async(&mut *store, &[], &mut results).await?;
    Ok(results.first().and_then(Val::i32).unwrap_or(0))
}

fn has(instance: &Instance, store: &mut Store<CallState>, name: &str) -> bool {
    instance.get_func(store, name).is_some()
}

/// What the module gets of WASI: variables, a clock, randomness, streams, and perhaps one directory. No network, no other file.
fn wasi(job: &ModuleCall, tail: Option<&StderrTail>) -> Result<WasiP1Ctx, WasmError> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.arg(&job.name).envs(&job.environment).allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    // The thread has nothing else to do.
    wasi.allow_blocking_current_thread(true);
    match tail {
        None => wasi.inherit_stdio(),
        Some(tail) => wasi.stderr(tail.clone()),
    };
    if let Some(directory) = &job.temp_dir {
        wasi.preopened_dir(directory, "/tmp", FsPerms::ReadWrite)
            .map_err(|error| WasmError::TempDir { source: error.to_string().into() })?;
    }
    Ok(wasi.build_p1())
}

/// Refuses a module whose entry function is not there, or of another kind.
fn check_entry(module: &Module, entry: &str) -> Result<(), WasmError> {
    let functions = module.exports().filter_map(|export| match export.ty() {
        ExternType::Func(kind) => Some((export.name(), kind)),
        _ => None,
    });
    let mut exports = Vec::new();
    for (name, kind) in functions {
        let mut results = kind.results();
        let fits = kind.params().len() == 0
            && match results.len() {
                0 => true,
                1 => results.next().is_some_and(|only| matches!(only, wasmtime::ValType::I32)),
                _ => false,
            };
        if name == entry && fits {
            return Ok(());
        }
        exports.push(name.to_owned());
    }
    Err(WasmError::NoEntry { entry: entry.to_owned(), exports })
}

/// Refuses a module that imports what is not there.
fn check_imports(module: &Module, linker: &Linker<CallState>, store: &mut Store<CallState>) -> Result<(), WasmError> {
    for import in module.imports() {
        if linker.get(&mut *store, import.module(), import.name()).is_err() {
            return Err(WasmError::UnknownImport { module: import.module().to_owned(), name: import.name().to_owned() });
        }
    }
    Ok(())
}

/// What a failure of the engine means.
fn explain(error: wasmtime::Error) -> WasmError {
    let error = match error.downcast::<WasmError>() {
        Ok(ours) => return ours,
        Err(error) => error,
    };
    let reason = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => first_line(&error),
    };
    WasmError::Trap { reason }
}

/// The innermost cause of an error, without what it says about places in the module.
pub(crate) fn first_line(error: &wasmtime::Error) -> String {
    error.root_cause().to_string().lines().next().unwrap_or_default().to_owned()
}

/// Moves the engine's clock for as long as this lives.
struct Ticker {
    _stop: Sender<()>,
}

impl Ticker {
    fn start(engine: Engine) -> Self {
        let (stop, stopped) = mpsc::channel::<()>();
        // Without a thread the clock stands still; then the one who waits gives up on a module that computes for ever.
        let _ = thread::Builder::new().name("wasm-clock".to_owned()).spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        });
        Self { _stop: stop }
    }
}
