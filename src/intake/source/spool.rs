//! A package's way into the spool: written and hashed at once, on two threads, so that the slower of the two decides the pace
//! and not their sum.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::error::SourceError;
use crate::digest::{Hasher, Sha256Digest};
use crate::report::{Report, ReportEvent};

/// How much is read, written and hashed at a time.
const BLOCK: usize = 256 * 1024;

/// Blocks that may wait for the hashing thread: bounds the memory, whatever the size of the package.
const AHEAD: usize = 4;

/// The file's name, which owes nothing to the source.
const NAME: &str = "package.tgz";

/// The name of one that was replaced, as long as it is read.
const ASIDE: &str = "package.sent";

/// A block of bytes of which the first `used` count.
pub(super) struct Block {
    bytes: Vec<u8>,
    used: usize,
}

impl Block {
    /// The part that is still free.
    pub(super) fn free(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.used..).unwrap_or_default()
    }

    /// Counts `n` more bytes as used.
    pub(super) fn advance(&mut self, n: usize) {
        self.used = (self.used + n).min(self.bytes.len());
    }

    /// The bytes that count.
    pub(super) fn used(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }
}

/// A file in the spool that is being written.
pub(super) struct SpoolFile {
    path: PathBuf,
    file: File,
    size: u64,
    hashing: Hashing,
}

/// The thread that hashes, and the channels to and from it.
struct Hashing {
    blocks: SyncSender<Block>,
    emptied: Receiver<Block>,
    thread: JoinHandle<Hasher>,
}

impl Hashing {
    fn start() -> io::Result<Self> {
        let (blocks, filled) = sync_channel::<Block>(AHEAD);
        // One place more than blocks can be under way, so that giving one back never waits.
        let (give_back, emptied) = sync_channel::<Block>(AHEAD + 2);
        let thread = thread::Builder::new().name("hash".to_owned()).spawn(move || {
            let mut hasher = Hasher::new();
            for mut block in filled {
                hasher.update(block.used());
                block.used = 0;
                // Nobody takes blocks back any more once the last one is written.
                let _ = give_back.try_send(block);
            }
            hasher
        })?;
        Ok(Self { blocks, emptied, thread })
    }

    fn finish(self) -> io::Result<(Sha256Digest, u64)> {
        drop(self.blocks);
        self.thread.join().map(Hasher::finish).map_err(|_| io::Error::other("the hashing thread ended early"))
    }
}

impl SpoolFile {
    /// Removes what an earlier attempt left in `spool`.
    pub(super) fn discard(spool: &Path) -> Result<(), SourceError> {
        let path = spool.join(NAME);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(SourceError::Spool { path, source }),
            _ => Ok(()),
        }
    }

    /// Makes the file.
    pub(super) fn create(spool: &Path) -> Result<Self, SourceError> {
        let path = spool.join(NAME);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let opened = options.open(&path).and_then(|file| Ok((file, Hashing::start()?)));
        match opened {
            Ok((file, hashing)) => Ok(Self { path, file, size: 0, hashing }),
            Err(source) => Err(SourceError::Spool { path, source }),
        }
    }

    /// How many bytes are written.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// An empty block, used before where one came back.
    pub(super) fn block(&self) -> Block {
        self.hashing.emptied.try_recv().unwrap_or_else(|_| Block { bytes: vec![0; BLOCK], used: 0 })
    }

    /// Writes what `block` holds.
    pub(super) fn write(&mut self, block: Block) -> Result<(), SourceError> {
        self.file.write_all(block.used()).map_err(|source| self.failed(source))?;
        self.size += block.used as u64;
        self.hashing.blocks.send(block).map_err(|_| self.failed(io::Error::other("the hashing thread ended early")))
    }

    /// Throws away what is written.
    pub(super) fn restart(&mut self) -> Result<(), SourceError> {
        let again = (|| {
            self.file.set_len(0)?;
            self.file.rewind()?;
            Hashing::start()
        })();
        self.hashing = again.map_err(|source| self.failed(source))?;
        self.size = 0;
        Ok(())
    }

    /// The bytes that are written, to be read.
    pub(super) fn reopen(&self) -> Result<File, SourceError> {
        File::open(&self.path).map_err(|source| self.failed(source))
    }

    /// An empty file in the place of this one, whose bytes can only be read any more by whoever has [reopened](Self::reopen) it.
    pub(super) fn replaced(self) -> Result<Self, SourceError> {
        let spool = self.path.parent().unwrap_or(&self.path).to_path_buf();
        let aside = spool.join(ASIDE);
        std::fs::rename(&self.path, &aside).map_err(|source| self.failed(source))?;
        // Its room is free once nobody reads it any more; where that cannot be done now, it goes with the spool.
        let _ = std::fs::remove_file(&aside);
        Self::create(&spool)
    }

    /// The file's path, the digest and the size.
    pub(super) fn finish(self) -> Result<(PathBuf, Sha256Digest, u64), SourceError> {
        match self.hashing.finish() {
            Ok((digest, size)) => Ok((self.path, digest, size)),
            Err(source) => Err(SourceError::Spool { path: self.path, source }),
        }
    }

    fn failed(&self, source: io::Error) -> SourceError {
        SourceError::Spool { path: self.path.clone(), source }
    }
}

/// A file in the spool for whoever writes bytes as they come.
pub(super) struct SpoolWriter<'a> {
    file: SpoolFile,
    block: Block,
    report: &'a dyn Report,
}

impl<'a> SpoolWriter<'a> {
    /// Writes to `file`, and tells `report` how far it is.
    pub(super) fn new(file: SpoolFile, report: &'a dyn Report) -> Self {
        Self { block: file.block(), file, report }
    }

    /// Writes what waits; gives the file's path, the digest and the size.
    pub(super) fn finish(mut self) -> Result<(PathBuf, Sha256Digest, u64), SourceError> {
        self.empty()?;
        self.file.finish()
    }

    fn empty(&mut self) -> Result<(), SourceError> {
        let fresh = self.file.block();
        self.file.write(std::mem::replace(&mut self.block, fresh))?;
        self.report.event(ReportEvent::Advanced { done: self.file.size() });
        Ok(())
    }
}

impl io::Write for SpoolWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.free().is_empty() {
            self.empty().map_err(io::Error::other)?;
        }
        let free = self.block.free();
        let taken = free.len().min(bytes.len());
        if let (Some(to), Some(from)) = (free.get_mut(..taken), bytes.get(..taken)) {
            to.copy_from_slice(from);
        }
        self.block.advance(taken);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(file: &mut SpoolFile, bytes: &[u8]) {
        for part in bytes.chunks(BLOCK) {
            let mut block = file.block();
            block.free()[..part.len()].copy_from_slice(part);
            block.advance(part.len());
            file.write(block).unwrap();
        }
    }

    #[test]
    fn what_is_written_is_what_is_hashed_even_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = SpoolFile::create(dir.path()).unwrap();
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        put(&mut file, &bytes[..2_000_000]);
        file.restart().unwrap();
        put(&mut file, &bytes);
        let (path, digest, size) = file.finish().unwrap();
        assert_eq!((digest, size), (Sha256Digest::of(&bytes), bytes.len() as u64));
        assert_eq!(std::fs::read(path).unwrap(), bytes);
        assert!(SpoolFile::create(dir.path()).is_err(), "an existing file is never written through");
    }

    #[test]
    fn bytes_in_pieces_of_any_size_arrive_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SpoolWriter::new(SpoolFile::create(dir.path()).unwrap(), &crate::report::NoReport);
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 253) as u8).collect();
        for piece in bytes.chunks(70_001) {
            writer.write_all(piece).unwrap();
        }
        let (path, digest, size) = writer.finish().unwrap();
        assert_eq!((digest, size), (Sha256Digest::of(&bytes), bytes.len() as u64));
        assert_eq!(std::fs::read(path).unwrap(), bytes);
    }
}
