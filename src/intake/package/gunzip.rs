//! A gzip file as a stream of its unpacked bytes, inflated by a thread of its own.
//!
//! Several members are one stream, as in Go, and nothing may follow the last one. Checksum and length of every member are
//! checked when its end is reached: so only a stream that was read to its end can be believed.
//!
//! A package that says where its blocks lie is inflated by several threads ([`super::inflate`]); what comes out is the same.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use flate2::bufread::MultiGzDecoder;

use super::blocks;
use super::fault::PackageFault;
use super::foreign::Foreign;
use super::gzip;
use super::header::BLOCK;
use super::inflate;
use crate::settings::Limits;

/// How a gzip file begins.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How much travels from one thread to the other at a time.
const CHUNK: usize = 256 * 1024;

/// How many chunks there are, besides one for each thread that inflates blocks.
const CHUNKS: usize = 3;

/// More threads than this find nothing to do: hashing and writing what they inflate is as much work.
const MAX_THREADS: usize = 4;

/// How much of the packed file is read at a time.
const PACKED: usize = 64 * 1024;

/// The unpacked bytes of a gzip file.
pub(super) struct GunzipStream {
    chunks: Receiver<Result<Chunk, PackageFault>>,
    empties: SyncSender<Vec<u8>>,
    current: Chunk,
    position: usize,
    offset: u64,
    ended: bool,
}

/// Unpacked bytes and how many packed ones had been read by then. An empty one is the end.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) packed: u64,
}

impl GunzipStream {
    /// Starts the thread. It ends when the stream does, at the first fault, or when the `GunzipStream` is dropped.
    pub(super) fn start<'scope>(scope: &'scope Scope<'scope, '_>, file: File, limits: &'scope Limits) -> Self {
        let threads = gzip::threads().min(MAX_THREADS);
        let (send, chunks) = sync_channel(CHUNKS);
        let (empties, free) = sync_channel(CHUNKS + threads);
        for _ in 0..CHUNKS + threads {
            // Cannot block: the channel holds as many as there are.
            let _ = empties.try_send(Vec::new());
        }
        scope.spawn(move || read(file, threads, limits, &send, &free));
        Self { chunks, empties, current: Chunk::default(), position: 0, offset: 0, ended: false }
    }

    /// The next bytes; empty at the end of a stream whose checksums are right.
    pub(super) fn fill(&mut self) -> Result<&[u8], PackageFault> {
        if self.position == self.current.bytes.len() && !self.ended {
            let used = std::mem::take(&mut self.current.bytes);
            let _ = self.empties.try_send(used);
            self.position = 0;
            self.current = self.chunks.recv().unwrap_or_else(|_| {
                // The thread says when it is done. If it could not, the end of the stream has not been seen.
                Err(PackageFault::Read { source: io::Error::other("the decompressing thread ended early") })
            })?;
            self.ended = self.current.bytes.is_empty();
        }
        Ok(self.current.bytes.get(self.position..).unwrap_or_default())
    }

    /// Takes `n` bytes of those that [`GunzipStream::fill`] gave as read.
    pub(super) fn consume(&mut self, n: usize) {
        self.position = (self.position + n).min(self.current.bytes.len());
        self.offset += n as u64;
    }

    /// The next block; `None` at the end of the stream.
    pub(super) fn block(&mut self) -> Result<Option<[u8; BLOCK]>, PackageFault> {
        let mut block = [0; BLOCK];
        match self.read_up_to(&mut block)? {
            0 => Ok(None),
            BLOCK => Ok(Some(block)),
            all if all as u64 == self.offset => {
                Err(Foreign::inside(&block[..all]).unwrap_or(PackageFault::Truncated { offset: self.offset }))
            }
            _ => Err(PackageFault::Truncated { offset: self.offset }),
        }
    }

    /// Fills `buffer` as far as the stream goes.
    fn read_up_to(&mut self, buffer: &mut [u8]) -> Result<usize, PackageFault> {
        let mut filled = 0;
        while filled < buffer.len() {
            let bytes = self.fill()?;
            let n = bytes.len().min(buffer.len() - filled);
            if n == 0 {
                break;
            }
            buffer[filled..filled + n].copy_from_slice(&bytes[..n]);
            self.consume(n);
            filled += n;
        }
        Ok(filled)
    }

    /// How many unpacked bytes have been consumed.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// How many packed bytes had been read when the current ones came out.
    pub(super) fn packed(&self) -> u64 {
        self.current.packed
    }
}

/// Fewer blocks than this are inflated before the threads for them have started.
const WORTH_THREADS: usize = 8;

/// Inflates the file in the way that is open to it, until its end, the first fault, or nobody listens.
fn read(
    mut file: File,
    threads: usize,
    limits: &Limits,
    send: &SyncSender<Result<Chunk, PackageFault>>,
    free: &Receiver<Vec<u8>>,
) {
    let begun = (|| {
        let mut head = Vec::new();
        (&file).take(BLOCK as u64).read_to_end(&mut head)?;
        if !head.starts_with(&MAGIC) {
            return Ok(Err(Foreign::of(&head)));
        }
        // One thread would only have more to do.
        let sizes = if threads > 1 { blocks::read(&mut file)? } else { None };
        let sizes = sizes.filter(|sizes| sizes.len() >= WORTH_THREADS);
        file.seek(SeekFrom::Start(if sizes.is_some() { gzip::HEADER.len() as u64 } else { 0 }))?;
        Ok(Ok(sizes))
    })();
    match begun {
        Ok(Ok(Some(sizes))) => inflate::inflate(file, &sizes, threads, limits, send, free),
        Ok(Ok(None)) => from_the_beginning(file, limits, send, free),
        Ok(Err(what)) => {
            let _ = send.send(Err(PackageFault::Foreign { what }));
        }
        Err(source) => {
            let _ = send.send(Err(PackageFault::Read { source }));
        }
    }
}

/// Inflates any gzip file.
fn from_the_beginning(
    file: File,
    limits: &Limits,
    send: &SyncSender<Result<Chunk, PackageFault>>,
    free: &Receiver<Vec<u8>>,
) {
    let mut decoder =
        MultiGzDecoder::new(CountingReader { inner: BufReader::with_capacity(PACKED, file), consumed: 0, failed: false });
    let mut unpacked = 0_u64;
    while let Ok(mut bytes) = free.recv() {
        bytes.resize(CHUNK, 0);
        let mut filled = 0;
        let outcome = loop {
            match decoder.read(&mut bytes[filled..]) {
                Ok(0) => break Ok(()),
                Ok(n) => {
                    filled += n;
                    unpacked += n as u64;
                    let most = limits.ratio.saturating_mul(decoder.get_ref().consumed).saturating_add(limits.ratio_floor);
                    if unpacked > most {
                        break Err(PackageFault::Ratio { floor: limits.ratio_floor, ratio: limits.ratio });
                    }
                    if filled == CHUNK {
                        break Ok(());
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) if decoder.get_ref().failed => break Err(PackageFault::Read { source }),
                Err(source) => break Err(PackageFault::Gzip { source }),
            }
        };
        bytes.truncate(filled);
        let last = filled == 0 || outcome.is_err();
        let chunk = outcome.map(|()| Chunk { bytes, packed: decoder.get_ref().consumed });
        if send.send(chunk).is_err() || last {
            return;
        }
    }
}

/// Counts what the decoder has consumed, and remembers whether an error came from the file rather than from what is in it.
struct CountingReader<R> {
    inner: R,
    consumed: u64,
    failed: bool,
}

impl<R: BufRead> BufRead for CountingReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let failed = &mut self.failed;
        self.inner.fill_buf().inspect_err(|e| *failed = e.kind() != io::ErrorKind::Interrupted)
    }

    fn consume(&mut self, n: usize) {
        self.inner.consume(n);
        self.consumed += n as u64;
    }
}

impl<R: BufRead> Read for CountingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let n = bytes.len().min(buffer.len());
        buffer[..n].copy_from_slice(&bytes[..n]);
        self.consume(n);
        Ok(n)
    }
}
