//! The lock that writers hold, and what the next writer does with what a killed one left.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::files;
use crate::report::Report;

use super::error::StoreError;
use super::receipt::{ReceiptError, refuse_untrusted_directory};
use super::{Root, Store, copy_up, disk, interrupt, private, recover, tree};

/// Proof that nobody else changes the store. Everything that changes it is a method of this.
#[derive(Debug)]
#[must_use = "the store is locked only as long as this lives"]
pub struct StoreLock<'s> {
    pub(super) store: &'s Store,
    /// Closing the file gives the lock back, also when the process is killed.
    _file: File,
}

impl Store {
    /// Takes the lock of the directory that is written to, which is made where it is missing, and finishes or undoes what a
    /// killed writer left. Where another writer has it, a notice says so and we wait; readers never do.
    ///
    /// # Errors
    /// [`StoreError::Busy`] where the other one does not finish; [`StoreError::Io`], [`StoreError::Receipt`] where the
    /// store cannot be written or mended.
    pub fn lock(&self, report: &dyn Report) -> Result<StoreLock<'_>, StoreError> {
        let root = self.root();
        let created = |dir: &Path, made: io::Result<()>| made.map_err(|source| StoreError::io("create", dir, source));
        // Where the user says where plugins are they may be for all; a home is nobody else's.
        let made = if self.is_chosen { files::create_public_dir(&root.0) } else { files::create_private_dir(&root.0) };
        created(&root.0, made)?;
        for dir in [root.state(), root.previous_dir()] {
            created(&dir, files::create_public_dir(&dir))?;
        }
        created(&root.staging(), files::create_private_dir(&root.staging()))?;
        for dir in [root.state(), root.previous_dir()] {
            refuse_untrusted_directory(&dir).map_err(ReceiptError::from)?;
        }
        let path = root.lock();
        let file = acquire(&path, self.lock_wait, report)?;
        let lock = StoreLock { store: self, _file: file };
        lock.recover(report)?;
        Ok(lock)
    }
}

impl StoreLock<'_> {
    /// The store that is locked.
    pub fn store(&self) -> &Store {
        self.store
    }

    pub(super) fn root(&self) -> &Root {
        self.store.root()
    }

    /// A fresh private directory for a download; it goes when the value is dropped, or when the user interrupts.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn spool(&self) -> Result<Spool, StoreError> {
        Spool::new(&self.root().staging())
    }

    /// Finishes or undoes every change that was under way, then clears staging. In this order: what goes back may lie there.
    fn recover(&self, report: &dyn Report) -> Result<(), StoreError> {
        let root = self.root();
        let state = root.state();
        let entries = fs::read_dir(&state).map_err(|source| StoreError::io("read", &state, source))?;
        let _change = interrupt::InterruptGuard::begin();
        copy_up::finish(root)?;
        for entry in entries {
            let entry = entry.map_err(|source| StoreError::io("read", &state, source))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(dir) = name.strip_suffix(".json") {
                match recover::recover(root, dir) {
                    Ok(None) => {}
                    Ok(Some(what)) => report.notice(&what),
                    // One damaged receipt must not keep all other plugins from being changed; the gate refuses its plugin.
                    Err(StoreError::Receipt(e)) => report.warning(&e.to_string()),
                    Err(e) => return Err(e),
                }
            }
        }
        private::prune_all(root).map_err(|source| StoreError::io("change", &root.private(), source))?;
        make_state_readable(root)?;
        clear(&root.staging(), "")?;
        // A writer of a receipt that was killed leaves its temporary file.
        clear(&state, disk::TEMPORARY)?;
        clear(&root.previous_dir(), disk::TEMPORARY)?;
        Ok(())
    }
}

/// Lets others read the state of plugins that they may read, as far as the umask lets them: earlier versions kept it to the user.
fn make_state_readable(root: &Root) -> Result<(), StoreError> {
    for dir in [root.state(), root.previous_dir()] {
        let failed = |source| StoreError::io("change", &dir, source);
        let (ours, theirs) = (fs::metadata(&dir).map_err(failed)?, fs::metadata(&root.0).map_err(failed)?);
        if cfg!(unix) && tree::mode(&ours) == 0o700 && tree::mode(&theirs) & 0o055 != 0 {
            files::publish(&dir, tree::mode(&theirs) & 0o755).map_err(failed)?;
        }
    }
    Ok(())
}

/// Removes what is in `dir` under names that begin with `prefix`.
fn clear(dir: &Path, prefix: &str) -> Result<(), StoreError> {
    let entries = fs::read_dir(dir).map_err(|source| StoreError::io("read", dir, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| StoreError::io("read", dir, source))?;
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            disk::remove_tree(&entry.path()).map_err(|source| StoreError::io("remove", &entry.path(), source))?;
        }
    }
    Ok(())
}

/// Opens and locks the file at `path`.
fn acquire(path: &Path, wait: Duration, report: &dyn Report) -> Result<File, StoreError> {
    let failed = |action| move |source| StoreError::io(action, path, source);
    let started = Instant::now();
    let mut pause = Duration::from_millis(5);
    let mut told = false;
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(failed("open"))?;
        match file.try_lock() {
            // Somebody may have removed the file while we waited: then another one has, or will have, a lock of its own.
            Ok(()) if is_same_file(&file, path) => return Ok(file),
            Ok(()) => continue,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => {
                report.warning(&format!(
                    "the file system of {} has no locks; do not change plugins with two programs at once",
                    path.display()
                ));
                return Ok(file);
            }
            Err(TryLockError::Error(e)) => return Err(failed("lock")(e)),
        }
        if started.elapsed() >= wait {
            return Err(StoreError::Busy { path: path.to_owned(), seconds: wait.as_secs() });
        }
        if !told {
            told = true;
            report.notice(&format!("another program is changing the plugins: waiting for {}", path.display()));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Whether the open `file` is the one at `path`.
fn is_same_file(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let id = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
        matches!((file.metadata(), fs::metadata(path)), (Ok(a), Ok(b)) if id(&a) == id(&b))
    }
    #[cfg(not(unix))]
    {
        // An open file cannot be removed there.
        let _ = (file, path);
        true
    }
}

/// A private directory in staging. It goes when this is dropped, or when the user interrupts.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
}

impl Spool {
    /// A private directory in `directory`, for what is no plugin: no store knows of it.
    ///
    /// # Errors
    /// [`StoreError::Io`], where it cannot be made.
    pub fn within(directory: &Path) -> Result<Self, StoreError> {
        Self::named(".plugsmith-", directory)
    }

    fn new(staging: &Path) -> Result<Self, StoreError> {
        Self::named("", staging)
    }

    fn named(prefix: &str, staging: &Path) -> Result<Self, StoreError> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(prefix).rand_bytes(12);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let dir = builder.tempdir_in(staging).map_err(|source| StoreError::io("create a directory in", staging, source))?;
        let path = dir.keep();
        interrupt::register(&path);
        Ok(Self { path })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What cannot be removed now goes with the next writer.
        let _ = disk::remove_tree(&self.path);
        interrupt::unregister(&self.path);
    }
}
