//! Compresses on all cores into one gzip stream, whose bytes are the same for any number of threads.
//!
//! The input is cut into blocks of a fixed size. Each is deflated by itself, needs nothing before it, and ends on a byte's
//! boundary: so the blocks in a row are one deflate stream, and yet can be inflated by several threads ([`super::blocks`]). That
//! a block cannot look back into the one before makes a package less than a hundredth larger.
//!
//! # Memory
//! Blocks go round between a fixed number of buffers: what is held does not depend on the size of the input.

use std::io::{self, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, RecvError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use super::blocks::{BlockSize, TRAILER};
use super::fault::PackageFault;
use crate::settings::Limits;

/// How much is compressed at a time. It decides about the bytes that come out, so a change of it changes every package.
pub(super) const BLOCK: usize = 512 * 1024;

/// The compression level. It decides about the bytes that come out too.
const LEVEL: u32 = 6;

/// More threads than this would hold more memory than they are worth.
const MAX_THREADS: usize = 8;

/// No name, no time, no operating system.
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Why compressing stopped.
#[derive(Debug)]
pub(super) enum GzipError {
    /// Writing failed.
    Write(io::Error),
    /// What was written would not be unpacked again.
    Fault(PackageFault),
    /// The other side of the threads stopped, and knows why.
    Stopped,
}

/// What came of compressing.
pub(super) struct GzipSummary<W> {
    /// The writer.
    pub(super) out: W,
    /// How many bytes it got.
    pub(super) packed: u64,
    /// The sizes of all blocks.
    pub(super) sizes: Vec<BlockSize>,
    /// Where the blocks that [`Input::begin_block`] began lie.
    pub(super) marks: Vec<BlockMark>,
}

/// The place of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockMark {
    /// Bytes of the compressed file before it.
    pub(super) packed: u64,
    /// Bytes of the input before it.
    pub(super) unpacked: u64,
}

/// As many threads as are worth while here.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS)
}

/// Compresses what `produce` writes into the [`Input`] to `out`, in `threads` threads besides this one.
///
/// # Errors
/// The error of `produce`, or that of writing: `produce` then gets [`GzipError::Stopped`] and should pass it on.
pub(super) fn compress<W: Write + Send, E: From<GzipError>>(
    out: W,
    threads: usize,
    limits: &Limits,
    produce: impl FnOnce(&mut Input) -> Result<(), E>,
) -> Result<GzipSummary<W>, E> {
    let threads = threads.max(1);
    // One block for each thread to work on and one to go on with, and as many again that wait to be written.
    let (jobs, queue) = sync_channel::<Job>(threads);
    let (order, results) = sync_channel::<Receiver<Block>>(2 * threads);
    let (used, free) = sync_channel::<Block>(4 * threads);
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(&queue));
        }
        let writer = scope.spawn(move || write(out, &results, &used, limits));
        let mut input = Input { jobs, order, free, block: Block::new() };
        let produced = match produce(&mut input) {
            Ok(()) => input.finish().map_err(E::from),
            Err(error) => {
                // The other threads end when there is no input left.
                drop(input);
                Err(error)
            }
        };
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (written, produced) {
            (Ok(finished), Ok(())) => Ok(finished),
            (Ok(_) | Err(GzipError::Stopped), Err(error)) => Err(error),
            (Err(error), _) => Err(error.into()),
        }
    })
}

/// A block on its way through the threads, with the buffers that travel with it.
struct Block {
    raw: Vec<u8>,
    packed: Vec<u8>,
    crc: Crc,
    marked: bool,
    last: bool,
}

impl Block {
    fn new() -> Self {
        Self { raw: Vec::with_capacity(BLOCK), packed: Vec::new(), crc: Crc::new(), marked: false, last: false }
    }

    fn clear(&mut self) {
        self.raw.clear();
        self.packed.clear();
        self.crc.reset();
        self.marked = false;
        self.last = false;
    }
}

struct Job {
    block: Block,
    reply: SyncSender<Block>,
}

/// Where the bytes to be compressed go.
pub(super) struct Input {
    jobs: SyncSender<Job>,
    order: SyncSender<Receiver<Block>>,
    free: Receiver<Block>,
    block: Block,
}

impl Input {
    /// Ends the current block and begins one whose place is told at the end.
    pub(super) fn begin_block(&mut self) -> Result<(), GzipError> {
        if !self.block.raw.is_empty() {
            self.submit()?;
        }
        self.block.marked = true;
        Ok(())
    }

    /// Takes bytes.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), GzipError> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.block.raw.len()));
            self.block.raw.extend_from_slice(now);
            self.submit_if_full()?;
            bytes = later;
        }
        Ok(())
    }

    /// Takes at most `most` bytes straight from `reader`, in one read; 0 is its end.
    pub(super) fn read_from(
        &mut self,
        reader: &mut impl io::Read,
        most: u64,
    ) -> Result<Result<usize, io::Error>, GzipError> {
        let start = self.block.raw.len();
        let space = (BLOCK - start).min(usize::try_from(most).unwrap_or(BLOCK));
        self.block.raw.resize(start + space, 0);
        let read = loop {
            match reader.read(&mut self.block.raw[start..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.block.raw.truncate(start + *read.as_ref().unwrap_or(&0));
        self.submit_if_full()?;
        Ok(read)
    }

    fn submit_if_full(&mut self) -> Result<(), GzipError> {
        if self.block.raw.len() == BLOCK { self.submit() } else { Ok(()) }
    }

    fn finish(mut self) -> Result<(), GzipError> {
        self.block.last = true;
        self.submit()
    }

    /// Sends the current block to the threads and takes a free one.
    fn submit(&mut self) -> Result<(), GzipError> {
        let mut next = self.free.try_recv().unwrap_or_else(|_| Block::new());
        next.clear();
        let block = std::mem::replace(&mut self.block, next);
        let (reply, result) = sync_channel(1);
        self.order.send(result).map_err(|_| GzipError::Stopped)?;
        self.jobs.send(Job { block, reply }).map_err(|_| GzipError::Stopped)
    }
}

/// Compresses blocks until there are no more.
fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { mut block, reply }) = job else { return };
        // Without a reply the writer knows. A writer that is gone has stopped; the queue is emptied all the same, since
        // whoever fills it may be waiting.
        if deflate_block(&mut block) {
            let _ = reply.send(block);
        }
    }
}

/// Compresses a block; `false` is a compressor that did not take it all, which must not happen.
fn deflate_block(block: &mut Block) -> bool {
    // A new one each time: `Compress::reset` leaves traces of the block before in how the next one is packed, and which
    // thread gets which block is chance.
    let mut deflate = Compress::new(Compression::new(LEVEL), false);
    block.crc.update(&block.raw);
    // Room for the worst case: a flush that has to be continued would write its mark twice, and whether it has to would
    // depend on how large the buffer happens to be.
    block.packed.reserve(block.raw.len() + block.raw.len() / 8 + 1024);
    // A sync flush ends on a byte's boundary, with an empty stored block.
    let flush = if block.last { FlushCompress::Finish } else { FlushCompress::Sync };
    let Ok(status) = deflate.compress_vec(&block.raw, &mut block.packed, flush) else { return false };
    deflate.total_in() == block.raw.len() as u64
        && block.packed.len() < block.packed.capacity()
        && (status == Status::StreamEnd) == block.last
}

/// Writes the blocks in their order.
fn write<W: Write>(
    mut out: W,
    results: &Receiver<Receiver<Block>>,
    used: &SyncSender<Block>,
    limits: &Limits,
) -> Result<GzipSummary<W>, GzipError> {
    let mut at = BlockMark { packed: HEADER.len() as u64, unpacked: 0 };
    let mut crc = Crc::new();
    let mut marks = Vec::new();
    let mut sizes = Vec::new();
    out.write_all(&HEADER).map_err(GzipError::Write)?;
    while let Ok(result) = results.recv() {
        let block = result.recv().map_err(|RecvError| GzipError::Write(io::Error::other("a compressing thread failed")))?;
        if block.marked {
            marks.push(at);
        }
        // The rule of unpacking, as if the block came out before any byte of it went in.
        let most = limits.ratio.saturating_mul(at.packed).saturating_add(limits.ratio_floor);
        at.unpacked += block.raw.len() as u64;
        if at.unpacked > most {
            return Err(GzipError::Fault(PackageFault::Ratio { floor: limits.ratio_floor, ratio: limits.ratio }));
        }
        crc.combine(&block.crc);
        out.write_all(&block.packed).map_err(GzipError::Write)?;
        at.packed += block.packed.len() as u64;
        // Neither can be larger than a few blocks.
        sizes.push(BlockSize { packed: block.packed.len() as u32, unpacked: block.raw.len() as u32 });
        if block.last {
            let trailer = [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()].concat();
            out.write_all(&trailer).map_err(GzipError::Write)?;
            return Ok(GzipSummary { out, packed: at.packed + TRAILER, sizes, marks });
        }
        let _ = used.try_send(block);
    }
    Err(GzipError::Stopped)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    /// Bytes that pack to about half.
    fn noise(size: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 60) as u8
        };
        (0..size).map(next).collect()
    }

    fn compress_all(parts: &[&[u8]], threads: usize) -> GzipSummary<Vec<u8>> {
        compress(Vec::new(), threads, &Limits::default(), |input| {
            for (number, part) in parts.iter().enumerate() {
                if number > 0 {
                    input.begin_block()?;
                }
                input.write(part)?;
            }
            Ok::<(), GzipError>(())
        })
        .unwrap()
    }

    #[test]
    fn one_member_whatever_the_size() {
        for size in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 7] {
            let data = noise(size);
            let packed = compress_all(&[&data], 2).out;
            let mut unpacked = Vec::new();
            let mut decoder = GzDecoder::new(&packed[..]);
            decoder.read_to_end(&mut unpacked).unwrap();
            assert!(unpacked == data, "{size}");
            assert_eq!(decoder.into_inner().len(), 0, "{size}");
        }
    }

    #[test]
    fn k1_the_number_of_threads_changes_nothing() {
        let data = noise(9 * BLOCK + 1000);
        let expected = compress_all(&[&data], 1).out;
        for threads in [2, 3, 8] {
            assert!(compress_all(&[&data], threads).out == expected, "{threads}");
        }
    }

    #[test]
    fn a_marked_block_needs_nothing_before_it() {
        let data = noise(2 * BLOCK + 100);
        let GzipSummary { out, marks, .. } = compress_all(&[&data, b"marked", &data], 2);
        assert_eq!(marks.iter().map(|mark| mark.unpacked).collect::<Vec<_>>(), [data.len() as u64, data.len() as u64 + 6]);
        let mut unpacked = [0; 6];
        flate2::read::DeflateDecoder::new(&out[marks[0].packed as usize..]).read_exact(&mut unpacked).unwrap();
        assert_eq!(&unpacked, b"marked");
    }

    #[test]
    fn k5_a_writer_that_fails_ends_it() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let data = noise(40 * BLOCK);
        for room in [0, 10, 200_000, 2_000_000] {
            let outcome = compress(Full(room), 2, &Limits::default(), |input| input.write(&data));
            let Err(GzipError::Write(error)) = outcome else { panic!("{room}") };
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }
    }

    #[test]
    fn a_source_that_fails_ends_it() {
        #[derive(Debug)]
        enum GzipFailure {
            Mine,
            Gzip,
        }
        impl From<GzipError> for GzipFailure {
            fn from(_: GzipError) -> Self {
                Self::Gzip
            }
        }
        for size in [0, 20 * BLOCK] {
            let outcome = compress(Vec::new(), 2, &Limits::default(), |input| {
                input.write(&noise(size))?;
                Err(GzipFailure::Mine)
            });
            assert!(matches!(outcome, Err(GzipFailure::Mine)), "{size}");
        }
    }
}
