//! Compiled modules on disk, so that a second call need not compile.
//!
//! An entry is what the engine wrote, and after it a check sum: a file that was cut off or has gone bad is as if it were not there. The check
//! sum keeps nobody out: an entry is native code that is run as it is, so none is taken from where somebody else could have written
//! it. Entries are named by the digest of their module; that the engine, its version, its settings and the processor are those that an
//! entry was made with, the engine sees for itself.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use plugsmith::digest::Sha256Digest;
use plugsmith::files::{self, OtherWriters};
use plugsmith::text::Sanitized;

/// What stands at the end of an entry, after the check sum.
const END: [u8; 8] = *b"psm-wasm";

/// The check sum and [`END`].
const TRAILER: u64 = 4 + END.len() as u64;

/// How large a compiled module may be: some eight times the largest module.
const ENTRY_BYTES: u64 = 2 << 30;

/// How much may be kept. What was not used for longest goes first.
const KEPT: (usize, u64) = (1000, 1 << 30);

/// An entry that is used is marked as used, but not at every call.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A directory of compiled modules.
#[derive(Debug, Clone)]
pub(crate) struct ModuleCache {
    directory: PathBuf,
}

impl ModuleCache {
    /// The entry of the module with this digest, read through once and found whole.
    pub(crate) fn find(&self, module: Sha256Digest) -> Option<File> {
        let mut file = open(&self.path(module)).ok()?;
        let metadata = file.metadata().ok()?;
        let size = metadata.len();
        if !metadata.is_file() || OtherWriters::of(&metadata).is_some() || !(TRAILER..=ENTRY_BYTES).contains(&size) {
            return None;
        }
        let mut crc = flate2::Crc::new();
        let mut buffer = vec![0; 256 << 10];
        let mut left = size - TRAILER;
        while left > 0 {
            let part = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            file.read_exact(&mut buffer[..part]).ok()?;
            crc.update(&buffer[..part]);
            left -= part as u64;
        }
        let mut trailer = [0; TRAILER as usize];
        file.read_exact(&mut trailer).ok()?;
        if trailer != trailer_of(&crc) {
            return None;
        }
        file.rewind().ok()?;
        if metadata.modified().is_ok_and(|used| used.elapsed().is_ok_and(|ago| ago > DAY)) {
            // On a read-only disk it stays as old as it is.
            let _ = file.set_modified(SystemTime::now());
        }
        Some(file)
    }

    /// Keeps `code`, which the engine made of the module with this digest. A cache that cannot be written to is done without.
    pub(crate) fn keep(&self, module: Sha256Digest, mut code: Vec<u8>) {
        let mut crc = flate2::Crc::new();
        crc.update(&code);
        code.extend(trailer_of(&crc));
        if code.len() as u64 <= ENTRY_BYTES {
            self.make_room(code.len() as u64);
            // Whole or not at all, and not changed ever after: somebody may run what lay there before.
            let _ = files::write_private(&self.path(module), &code);
        }
    }

    /// The processor's kind is in the name, since a home may be used from several machines.
    fn path(&self, module: Sha256Digest) -> PathBuf {
        self.directory.join(format!("{}-{}-{}", module, std::env::consts::ARCH, std::env::consts::OS))
    }

    /// Lets the entries go that were not used for longest, until `bytes` more fit. What was left half written a day ago goes with them.
    fn make_room(&self, bytes: u64) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        entries.sort();
        let mut total = entries.iter().fold(bytes, |total, (_, size, _)| total.saturating_add(*size));
        let mut count = entries.len() + 1;
        for (used, size, path) in entries {
            let unfinished = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            let stale = unfinished && used.elapsed().is_ok_and(|ago| ago > DAY);
            if (stale || count > KEPT.0 || total > KEPT.1) && fs::remove_file(path).is_ok() {
                count -= 1;
                total = total.saturating_sub(size);
            }
        }
    }
}

fn trailer_of(crc: &flate2::Crc) -> [u8; TRAILER as usize] {
    let mut trailer = [0; TRAILER as usize];
    let (sum, end) = trailer.split_at_mut(4);
    sum.copy_from_slice(&crc.sum().to_le_bytes());
    end.copy_from_slice(&END);
    trailer
}

/// Opens an entry: no link, and nothing that one would have to wait for.
fn open(path: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits().cast_signed());
    }
    options.open(path)
}

/// The cache in `directory`, which is made where it is not there yet; `None` where that cannot be, on a read-only disk say.
///
/// # Errors
/// Why it is not used, where that is worth a warning: somebody else could put code into it.
pub(crate) fn at(directory: &Path) -> Result<Option<ModuleCache>, String> {
    if files::create_private_dir(directory).is_err() {
        return Ok(None);
    }
    for looked_at in [Some(directory), directory.parent()].into_iter().flatten() {
        let Ok(metadata) = fs::symlink_metadata(looked_at) else { return Ok(None) };
        if let Some(reason) = exposed(&metadata) {
            let shown = Sanitized(&looked_at.to_string_lossy()).to_string();
            return Err(format!("compiled modules are not kept: {shown} {reason}"));
        }
    }
    Ok(Some(ModuleCache { directory: directory.to_owned() }))
}

/// Why somebody else can change what lies in a directory.
fn exposed(metadata: &fs::Metadata) -> Option<&'static str> {
    if metadata.is_symlink() {
        return Some("is a symbolic link; remove it");
    }
    Some(match OtherWriters::of(metadata)? {
        OtherWriters::Mode => "can be written by others; mend it with `chmod go-w`",
        OtherWriters::Owner => "belongs to another user; remove it",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(directory: &Path) -> ModuleCache {
        at(directory).unwrap().unwrap()
    }

    #[test]
    fn only_a_whole_entry_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(&dir.path().join("wasm"));
        let module = Sha256Digest::of(b"module");
        assert!(cache.find(module).is_none());
        cache.keep(module, b"code".to_vec());
        assert!(cache.find(Sha256Digest::of(b"another")).is_none());
        let mut found = Vec::new();
        cache.find(module).unwrap().read_to_end(&mut found).unwrap();
        assert!(found.starts_with(b"code"));
        // Every byte counts, and so does every byte that is missing.
        let path = cache.path(module);
        for at in 0..found.len() {
            let mut bad = found.clone();
            bad[at] ^= 1;
            for bad in [&bad[..], &found[..at], &[]] {
                fs::write(&path, bad).unwrap();
                assert!(cache.find(module).is_none(), "byte {at}, {} bytes", bad.len());
            }
        }
        cache.keep(module, b"code".to_vec());
        assert!(cache.find(module).is_some());
    }

    #[test]
    fn what_was_not_used_for_longest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(&dir.path().join("wasm"));
        let old = |name: &str, size: u64, days: u32| {
            let file = File::create(cache.directory.join(name)).unwrap();
            file.set_len(size).unwrap();
            file.set_modified(SystemTime::now() - DAY * days).unwrap();
        };
        old("oldest", 1 << 29, 9);
        old("older", 1 << 29, 8);
        old(".new-x", 1, 3);
        old(".new-y", 1, 0);
        let module = Sha256Digest::of(b"module");
        cache.keep(module, vec![7; 100]);
        assert!(cache.find(module).is_some());
        let left = ["oldest", "older", ".new-x", ".new-y"].map(|name| cache.directory.join(name).exists());
        assert_eq!(left, [false, true, false, true]);
        // Using an entry makes it young again.
        File::open(cache.path(module)).unwrap().set_modified(SystemTime::now() - DAY * 30).unwrap();
        cache.find(module).unwrap();
        assert!(fs::metadata(cache.path(module)).unwrap().modified().unwrap().elapsed().unwrap() < DAY);
    }

    #[test]
    #[cfg(unix)]
    fn an_entry_that_others_can_write_to_is_not_run() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(&dir.path().join("wasm"));
        let module = Sha256Digest::of(b"module");
        cache.keep(module, b"code".to_vec());
        let path = cache.path(module);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o622)).unwrap();
        assert!(cache.find(module).is_none());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(cache.find(module).is_some());
        fs::rename(&path, dir.path().join("elsewhere")).unwrap();
        symlink(dir.path().join("elsewhere"), &path).unwrap();
        assert!(cache.find(module).is_none());
    }

    #[test]
    #[cfg(unix)]
    fn a_cache_that_others_can_write_to_is_not_used() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        let (cache, parent) = (dir.path().join("cache/wasm"), dir.path().join("cache"));
        assert!(at(&cache).unwrap().is_some());
        assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
        for (path, mode) in [(&cache, 0o777), (&cache, 0o720), (&parent, 0o702)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(at(&cache).unwrap_err().contains("chmod go-w"), "{mode:o}");
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        assert!(at(&cache).unwrap().is_some());
        fs::remove_dir(&cache).unwrap();
        symlink(dir.path(), &cache).unwrap();
        assert!(at(&cache).is_err());
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(at(&dir.path().join("file/wasm")).unwrap().is_none(), "something is in the way");
    }
}
