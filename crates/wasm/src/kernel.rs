//! The functions of `extism:host/env`, which every plug-in kit builds on, and those of `extism:host/user`, which a host adds.
//!
//! Handles are offsets of blocks in [`crate::exchange`]. As in Extism, a function that is given the handle of a key, a value or a request
//! lets the block go.

use wasmtime::{Caller, ExternType, FuncType, Linker, Module, Val, ValType};
use wasmtime_wasi::I32Exit;

use crate::http;
use crate::state::CallState;
use plugsmith::host::{LogLevel, WasmError};

/// What plug-in kits import.
pub(crate) const ENV: &str = "extism:host/env";

/// What an embedding program offers.
pub(crate) const USER: &str = "extism:host/user";

/// Adds the functions of [`ENV`].
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    type HostCaller<'a> = Caller<'a, CallState>;

    linker.func_wrap(ENV, "alloc", |mut here: HostCaller<'_>, length: u64| -> wasmtime::Result<u64> {
        let state = here.data_mut();
        let full = |_| WasmError::Exchange { limit: state.limits.pages };
        Ok(state.exchange.alloc(length).map_err(full)?)
    })?;
    linker.func_wrap(ENV, "free", |mut here: HostCaller<'_>, offset: u64| here.data_mut().exchange.free(offset))?;
    for name in ["length", "length_unsafe"] {
        linker.func_wrap(ENV, name, |here: HostCaller<'_>, offset: u64| here.data().exchange.length(offset))?;
    }
    linker.func_wrap(ENV, "load_u8", |mut here: HostCaller<'_>, at: u64| u32::from(here.data_mut().exchange.load_u8(at)))?;
    linker.func_wrap(ENV, "load_u64", |mut here: HostCaller<'_>, at: u64| here.data_mut().exchange.load_u64(at))?;
    linker.func_wrap(ENV, "store_u8", |mut here: HostCaller<'_>, at: u64, byte: u32| {
        here.data_mut().exchange.store_u8(at, byte as u8);
    })?;
    linker.func_wrap(ENV, "store_u64", |mut here: HostCaller<'_>, at: u64, word: u64| {
        here.data_mut().exchange.store_u64(at, word);
    })?;
    linker.func_wrap(ENV, "memory_bytes", |here: HostCaller<'_>| here.data().exchange.used() as u64)?;

    linker.func_wrap(ENV, "input_set", |mut here: HostCaller<'_>, offset: u64, length: u64| {
        here.data_mut().input = (offset, length);
    })?;
    linker.func_wrap(ENV, "input_offset", |here: HostCaller<'_>| here.data().input.0)?;
    linker.func_wrap(ENV, "input_length", |here: HostCaller<'_>| here.data().input.1)?;
    linker.func_wrap(ENV, "input_load_u8", |mut here: HostCaller<'_>, at: u64| {
        let state = here.data_mut();
        u32::from(state.exchange.load_u8(state.input.0.saturating_add(at)))
    })?;
    linker.func_wrap(ENV, "input_load_u64", |mut here: HostCaller<'_>, at: u64| {
        let state = here.data_mut();
        state.exchange.load_u64(state.input.0.saturating_add(at))
    })?;
    linker.func_wrap(ENV, "output_set", |mut here: HostCaller<'_>, offset: u64, length: u64| {
        here.data_mut().output = (offset, length);
    })?;
    linker.func_wrap(ENV, "output_offset", |here: HostCaller<'_>| here.data().output.0)?;
    linker.func_wrap(ENV, "output_length", |here: HostCaller<'_>| here.data().output.1)?;
    linker.func_wrap(ENV, "error_set", |mut here: HostCaller<'_>, offset: u64| here.data_mut().error = offset)?;
    linker.func_wrap(ENV, "error_get", |here: HostCaller<'_>| here.data().error)?;
    // Between calls it would let all blocks go; there is one call alone.
    linker.func_wrap(ENV, "reset", |_: HostCaller<'_>| {})?;

    linker.func_wrap(ENV, "config_get", |mut here: HostCaller<'_>, key: u64| -> wasmtime::Result<u64> {
        let state = here.data_mut();
        let key = state.take_text("config_get", key)?;
        let Some(value) = state.config.get(&key).cloned() else { return Ok(0) };
        Ok(state.put(value.as_bytes())?)
    })?;
    linker.func_wrap(ENV, "var_get", |mut here: HostCaller<'_>, key: u64| -> wasmtime::Result<u64> {
        let state = here.data_mut();
        let key = state.take_text("var_get", key)?;
        let Some(value) = state.variables.get(&key).cloned() else { return Ok(0) };
        Ok(state.put(&value)?)
    })?;
    linker.func_wrap(ENV, "var_set", |mut here: HostCaller<'_>, key: u64, value: u64| -> wasmtime::Result<()> {
        Ok(set_variable(here.data_mut(), key, value)?)
    })?;

    linker.func_wrap(ENV, "http_request", |mut here: HostCaller<'_>, request: u64, body: u64| -> wasmtime::Result<u64> {
        let state = here.data_mut();
        (state.http_status, state.http_headers) = (0, None);
        let request = state.take("http_request", request)?;
        let body = match body {
            0 => None,
            body => Some(state.take("http_request", body)?),
        };
        let response = http::request(&request, body, &state.hosts, &state.limits, state.until)?;
        state.http_status = response.status;
        state.http_headers = serde_json::to_string(&response.headers).ok();
        Ok(state.put(&response.body)?)
    })?;
    linker.func_wrap(ENV, "http_status_code", |here: HostCaller<'_>| u32::from(here.data().http_status))?;
    linker.func_wrap(ENV, "http_headers", |mut here: HostCaller<'_>| -> wasmtime::Result<u64> {
        let state = here.data_mut();
        let Some(headers) = state.http_headers.clone() else { return Ok(0) };
        Ok(state.put(headers.as_bytes())?)
    })?;

    for (name, level) in [
        ("log_trace", LogLevel::Trace),
        ("log_debug", LogLevel::Debug),
        ("log_info", LogLevel::Info),
        ("log_warn", LogLevel::Warn),
        ("log_error", LogLevel::Error),
    ] {
        linker.func_wrap(ENV, name, move |mut here: HostCaller<'_>, text: u64| -> wasmtime::Result<()> {
            let state = here.data_mut();
            let text = state.take(name, text)?;
            state.log(level, String::from_utf8_lossy(&text).into_owned());
            Ok(())
        })?;
    }
    linker.func_wrap(ENV, "get_log_level", |here: HostCaller<'_>| match here.data().level {
        LogLevel::Trace => 0,
        LogLevel::Debug => 1,
        LogLevel::Info => 2,
        LogLevel::Warn => 3,
        LogLevel::Error => 4,
    })?;
    Ok(())
}

/// Lets a module end with any code: the engine's own function takes those under 126 alone, and programs use all of them.
pub(crate) fn add_exit(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let exit = |code: i32| -> wasmtime::Result<()> { Err(I32Exit(code).into()) };
    linker.func_wrap("wasi_snapshot_preview1", "proc_exit", exit)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Sets a variable, or lets it go where there is no value.
fn set_variable(state: &mut CallState, key: u64, value: u64) -> Result<(), WasmError> {
    let key = state.take_text("var_set", key)?;
    if value == 0 {
        state.variables.remove(&key);
        return Ok(());
    }
    let value = state.take("var_set", value)?;
    let limit = state.limits.variable_bytes;
    let others = state.variables.iter().filter(|(own, _)| **own != key).map(|(key, value)| key.len() + value.len());
    if (others.sum::<usize>() + key.len() + value.len()) as u64 > limit {
        return Err(WasmError::Variables { limit });
    }
    state.variables.insert(key, value);
    Ok(())
}

/// Adds the functions of [`USER`] that `module` imports, as far as its manifest lists them in `listed`.
pub(crate) fn add_functions(linker: &mut Linker<CallState>, module: &Module, listed: &[String]) -> wasmtime::Result<()> {
    for import in module.imports().filter(|import| import.module() == USER) {
        let name = import.name();
        if !listed.iter().any(|own| own == name) {
            return Err(WasmError::UnlistedFunction { name: name.to_owned() }.into());
        }
        let wrong = |found: String| WasmError::FunctionType { name: name.to_owned(), found };
        let ExternType::Func(kind) = import.ty() else { return Err(wrong("something else".to_owned()).into()) };
        if !takes_and_gives_bytes(&kind) {
            return Err(wrong(kind.to_string()).into());
        }
        let name = name.to_owned();
        // One function can be imported as several types, and several times.
        linker.allow_shadowing(true);
        linker.func_new(USER, &name.clone(), kind, move |mut here, arguments, results| {
            let state: &mut CallState = here.data_mut();
            let input = match arguments.first().and_then(Val::i64) {
                Some(offset) => state.take("a host function", offset as u64)?,
                None => Vec::new(),
            };
            let functions = state.functions.clone();
            let output =
                functions.call(&name, &input).map_err(|reason| WasmError::FunctionFailed { name: name.clone(), reason })?;
            if let Some(result) = results.first_mut() {
                *result = Val::I64(state.put(&output)? as i64);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Whether a function takes at most one handle and gives at most one.
fn takes_and_gives_bytes(kind: &FuncType) -> bool {
    let handles = |mut types: Vec<ValType>| types.len() < 2 && types.pop().is_none_or(|only| matches!(only, ValType::I64));
    handles(kind.params().collect()) && handles(kind.results().collect())
}
