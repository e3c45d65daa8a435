//! The engine, and how a module gets into it: from the cache of compiled ones, else from its file through the compiler.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;

use wasmtime::{Config, Engine, Module, Strategy};

use crate::cache::ModuleCache;
use plugsmith::digest::Sha256Digest;
use plugsmith::files;
use plugsmith::host::{ModuleFile, WasmError};

/// How large a module may be.
const MODULE_BYTES: u64 = 256 << 20;

/// A module that is ready to run, in its engine.
pub(crate) struct LoadedModule {
    pub(crate) engine: Engine,
    pub(crate) module: Module,
    pub(crate) from_cache: bool,
}

/// Gets the module in `file` ready. Where the gate knows its digest and the cache has it, the file is not even opened: what runs is
/// made of the bytes that the gate saw.
pub(crate) fn load(file: &ModuleFile, cache: Option<&ModuleCache>) -> Result<LoadedModule, WasmError> {
    let found = |digest| cached(cache?.find(digest)?);
    if let Some(loaded) = file.digest.and_then(found) {
        return Ok(loaded);
    }
    let bytes = read(&file.path)?;
    // Without a cache nobody asks for the digest of a module that the gate did not look at.
    let digest = (file.digest.is_some() || cache.is_some()).then(|| Sha256Digest::of(&bytes));
    if file.digest.is_some() && file.digest != digest {
        return Err(WasmError::Changed { path: file.path.clone() });
    }
    if file.digest.is_none()
        && let Some(loaded) = digest.and_then(found)
    {
        return Ok(loaded);
    }
    let engine = engine(true).map_err(|error| WasmError::Engine { reason: error.to_string() })?;
    let module = Module::new(&engine, &bytes)
        .map_err(|error| WasmError::Invalid { path: file.path.clone(), reason: crate::call::first_line(&error) })?;
    if let (Some(cache), Some(digest)) = (cache, digest)
        && let Ok(code) = module.serialize()
    {
        cache.keep(digest, code);
    }
    Ok(LoadedModule { engine, module, from_cache: false })
}

/// An engine. One that only runs what is compiled already is made in a tenth of the time.
fn engine(compiles: bool) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        // Not Winch, whatever the default becomes: it had the advisories.
        .strategy(Strategy::Cranelift)
        .epoch_interruption(true)
        // Nobody is shown where in a module something went wrong: what finding that out needs makes code a third larger.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .enable_compiler(compiles);
    if !cfg!(windows) {
        config.native_unwind_info(false);
    }
    Engine::new(&config)
}

/// What the cache has, unless it is not for this engine or this machine.
fn cached(entry: File) -> Option<LoadedModule> {
    let engine = engine(false).ok()?;
    let module = run_as_it_is(&engine, entry)?;
    Some(LoadedModule { engine, module, from_cache: true })
}

/// The module in an entry of the cache.
#[expect(unsafe_code, reason = "the engine cannot check native code; who may have written it is the cache's matter")]
fn run_as_it_is(engine: &Engine, mut entry: File) -> Option<Module> {
    let copy = entry.try_clone().ok()?;
    // SAFETY: the engine wants code that an engine wrote and nobody changed since, also not while the file is mapped. `ModuleCache::find` gives
    // files that only this user or the administrator can write, in directories of which the same is true; it has compared their
    // check sum; and `ModuleCache::keep` puts a new file in the place of an old one, never new bytes into it.
    if let Ok(module) = unsafe { Module::deserialize_open_file(engine, copy) } {
        return Some(module);
    }
    // A disk may be mounted so that nothing on it can be executed in place.
    let mut bytes = Vec::new();
    entry.rewind().and_then(|()| entry.read_to_end(&mut bytes)).ok()?;
    // SAFETY: as above; they are the same bytes.
    unsafe { Module::deserialize(engine, &bytes) }.ok()
}

/// Reads a module once.
fn read(path: &Path) -> Result<Vec<u8>, WasmError> {
    let bytes = match files::read_bounded(path, MODULE_BYTES) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(WasmError::TooLarge { path: path.to_owned(), limit: MODULE_BYTES }),
        Err(source) => return Err(WasmError::Read { path: path.to_owned(), source }),
    };
    // The engine would also read the text form, which nobody means to ship.
    if !bytes.starts_with(b"\0asm") {
        let reason = if bytes.is_empty() { "it is empty" } else { "it does not begin as one" };
        return Err(WasmError::Invalid { path: path.to_owned(), reason: reason.to_owned() });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cache;

    #[test]
    fn a_module_is_compiled_once() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("wasm");
        let cache = cache::at(&kept).unwrap().unwrap();
        let path = dir.path().join("plugin.wasm");
        let module = wat::parse_str("(module (func (export \"f\") (result i32) i32.const 7))").unwrap();
        fs::write(&path, &module).unwrap();
        let from_cache = |digest, cache: Option<&ModuleCache>| {
            load(&ModuleFile { path: path.clone(), digest }, cache).unwrap().from_cache
        };
        let seen = Some(Sha256Digest::of(&module));
        assert_eq!(
            [from_cache(None, Some(&cache)), from_cache(None, Some(&cache)), from_cache(None, None)],
            [false, true, false]
        );
        assert!(from_cache(seen, Some(&cache)));
        // An entry that is whole, and no compiled module; one that has gone bad.
        cache.keep(Sha256Digest::of(&module), b"\x7fELF, or is it?".to_vec());
        assert_eq!([from_cache(None, Some(&cache)), from_cache(seen, Some(&cache))], [false, true]);
        let [entry] =
            fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>().try_into().unwrap();
        let good = fs::read(&entry).unwrap();
        for bad in [&b""[..], b"garbage", &good[..good.len() / 2]] {
            fs::write(&entry, bad).unwrap();
            assert_eq!(
                [from_cache(seen, Some(&cache)), from_cache(None, Some(&cache))],
                [false, true],
                "{} bytes",
                bad.len()
            );
        }
    }

    #[test]
    fn w11_only_the_bytes_that_the_gate_saw_are_run() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache::at(&dir.path().join("wasm")).unwrap().unwrap();
        let path = dir.path().join("plugin.wasm");
        let module = b"\0asm\x01\0\0\0";
        let seen = Some(Sha256Digest::of(module));
        let file = ModuleFile { path: path.clone(), digest: seen };
        let unseen = ModuleFile { path: path.clone(), digest: None };
        fs::write(&path, b"\0asm\x01\0\0\0\0\0").unwrap();
        assert!(matches!(load(&file, Some(&cache)), Err(WasmError::Changed { .. })));
        fs::write(&path, module).unwrap();
        assert!(!load(&file, Some(&cache)).unwrap().from_cache);
        // What lies there now does not matter once the checked bytes are compiled.
        for bad in [&b""[..], b"(module)", b"\0as"] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(load(&unseen, Some(&cache)), Err(WasmError::Invalid { .. })));
            assert!(load(&file, Some(&cache)).unwrap().from_cache);
        }
        let directory = ModuleFile { path: dir.path().to_owned(), digest: None };
        assert!(matches!(load(&directory, None), Err(WasmError::Read { .. })));
    }
}
