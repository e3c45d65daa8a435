//! The engine and the compilation cache.
//!
//! The cache is wasmtime's: entries are named by the module's digest, the engine's version and its settings, written whole or not at all,
//! and made anew where they cannot be read. It holds native code that is run as it is, so it is only used where nobody else can write.

use std::fs;
use std::path::Path;

use wasmtime::{Cache, CacheConfig, Config, Engine, Strategy};

use super::WasmError;
use crate::files;
use crate::text::Plain;

/// The engine, and its cache where there is one.
pub(super) struct Compiler {
    pub(super) engine: Engine,
    cache: Option<Cache>,
}

impl Compiler {
    /// An engine that keeps what it compiles in `directory`, where that can be used.
    pub(super) fn new(directory: Option<&Path>) -> Result<Self, WasmError> {
        let failed = |error: wasmtime::Error| WasmError::Engine { reason: error.to_string() };
        let cache = directory.and_then(|directory| Cache::new(CacheConfig::new().with_directory(directory).clone()).ok());
        let mut config = Config::new();
        config
            // Not Winch, whatever the default becomes: it had the advisories.
            .strategy(Strategy::Cranelift)
            .epoch_interruption(true)
            .wasm_backtrace_max_frames(None)
            .cache(cache.clone());
        Ok(Self { engine: Engine::new(&config).map_err(failed)?, cache })
    }

    /// Whether all that was compiled so far came from the cache.
    pub(super) fn was_cached(&self) -> bool {
        self.cache.as_ref().is_some_and(|cache| cache.cache_hits() > 0 && cache.cache_misses() == 0)
    }
}

/// Whether `directory` can hold compiled modules; it is made where it is not there yet.
///
/// # Errors
/// Why not, where that is worth a warning: somebody else could put code into it. That it cannot be made, on a read-only
/// disk say, is none.
pub(super) fn usable(directory: &Path) -> Result<bool, String> {
    if files::create_private_dir(directory).is_err() {
        return Ok(false);
    }
    for directory in [Some(directory), directory.parent()].into_iter().flatten() {
        let Ok(metadata) = fs::symlink_metadata(directory) else { return Ok(false) };
        if let Some(reason) = exposed(&metadata) {
            let shown = Plain(&directory.to_string_lossy()).to_string();
            return Err(format!("compiled modules are not kept: {shown} {reason}"));
        }
    }
    Ok(true)
}

/// Why somebody else can change what lies in a directory.
#[cfg(unix)]
fn exposed(metadata: &fs::Metadata) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    if metadata.is_symlink() {
        return Some("is a symbolic link; remove it".to_owned());
    }
    if metadata.mode() & 0o022 != 0 {
        return Some("can be written by others; mend it with `chmod go-w`".to_owned());
    }
    let owner = metadata.uid();
    (owner != 0 && owner != rustix::process::geteuid().as_raw()).then(|| "belongs to another user; remove it".to_owned())
}

#[cfg(not(unix))]
fn exposed(_: &fs::Metadata) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::Module;

    #[test]
    fn a_module_is_compiled_once() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("wasm");
        assert_eq!(usable(&cache), Ok(true));
        let module = wat::parse_str("(module (func (export \"f\") (result i32) i32.const 7))").unwrap();
        let compile = |cache: Option<&Path>| {
            let compiler = Compiler::new(cache).unwrap();
            Module::new(&compiler.engine, &module).unwrap();
            compiler.was_cached()
        };
        assert_eq!([compile(Some(&cache)), compile(Some(&cache)), compile(None)], [false, true, false]);
        // Another module is another entry; a broken entry is made anew.
        let entries = || {
            let all = walkdir::WalkDir::new(&cache).into_iter().map(Result::unwrap);
            all.filter(|entry| entry.file_type().is_file() && entry.path().extension().is_none()).collect::<Vec<_>>()
        };
        let [entry] = entries().try_into().unwrap();
        let good = fs::read(entry.path()).unwrap();
        for bad in [&b""[..], b"garbage", &good[..good.len() / 2]] {
            fs::write(entry.path(), bad).unwrap();
            assert_eq!([compile(Some(&cache)), compile(Some(&cache))], [false, true], "{} bytes", bad.len());
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_cache_that_others_can_write_to_is_not_used() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        let (cache, parent) = (dir.path().join("cache/wasm"), dir.path().join("cache"));
        assert_eq!(usable(&cache), Ok(true));
        assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
        for (path, mode) in [(&cache, 0o777), (&cache, 0o720), (&parent, 0o702)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(usable(&cache).unwrap_err().contains("chmod go-w"), "{mode:o}");
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        assert_eq!(usable(&cache), Ok(true));
        fs::remove_dir(&cache).unwrap();
        symlink(dir.path(), &cache).unwrap();
        assert!(usable(&cache).is_err());
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(usable(&dir.path().join("file/wasm")), Ok(false), "something is in the way");
    }
}
