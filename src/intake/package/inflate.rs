//! Inflates the blocks of a package of ours in several threads.
//!
//! The sizes of the blocks come from the package itself ([`super::blocks`]) and are not believed: each block must be exactly as
//! long as they say, and end where deflate has finished one of its own blocks and begins the next on a byte's boundary. So nobody
//! can make a package that is one thing to us and another to a reader that knows no blocks.
//!
//! # Memory
//! Two blocks, packed and unpacked, for each thread, and two more for whoever takes them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::blocks::{BlockSize, TRAILER};
use super::fault::PackageFault;
use super::gunzip::Chunk;
use super::gzip::HEADER;
use crate::settings::Limits;

/// An empty block of deflate that is the last one. Read at the beginning of a block, on a byte's boundary, it is exactly the end
/// of the stream. Read anywhere else (within a block, its header, its tables) its 23 zero bits after the first make it
/// something else, come out as bytes, or end elsewhere: so it tells whether a decoder is between two blocks.
const PROBE: [u8; 5] = [1, 0, 0, 0xff, 0xff];

/// How much of the packed file is read at a time.
const PACKED: usize = 256 * 1024;

/// A block on its way through the threads.
struct Job {
    size: BlockSize,
    last: bool,
    packed: Vec<u8>,
    unpacked: Vec<u8>,
    reply: SyncSender<Option<InflatedBlock>>,
}

/// An inflated block, and the buffer that its packed bytes were in.
struct InflatedBlock {
    packed: Vec<u8>,
    unpacked: Vec<u8>,
    crc: Crc,
}

/// Inflates the blocks of `file`, which is behind its header, in `threads` threads besides this one. What comes out goes to `send`
/// in its order, in buffers that come back through `free`; there must be at least two more of those than threads. An empty chunk
/// is the end, after which checksum and length were right; a fault is the end, too.
pub(super) fn inflate(
    file: File,
    sizes: &[BlockSize],
    threads: usize,
    limits: &Limits,
    send: &SyncSender<Result<Chunk, PackageFault>>,
    free: &Receiver<Vec<u8>>,
) {
    let (jobs, queue) = sync_channel::<Job>(threads);
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(&queue));
        }
        let mut way = BlockReader {
            file: BufReader::with_capacity(PACKED, file),
            waiting: VecDeque::with_capacity(threads),
            crc: Crc::new(),
            packed: HEADER.len() as u64,
            unpacked: 0,
            buffers: Vec::new(),
            spare: Vec::new(),
            limits,
            send,
        };
        match way.all(sizes, threads, &jobs, free) {
            Err(StopReason::Fault(fault)) => {
                let _ = send.send(Err(fault));
            }
            Ok(()) => {
                let _ = send.send(Ok(Chunk { bytes: Vec::new(), packed: way.packed }));
            }
            Err(StopReason::ReceiverGone) => {}
        }
        // The threads end when there is no more work.
        drop(jobs);
    });
}

/// Why there is nothing more to do.
enum StopReason {
    Fault(PackageFault),
    ReceiverGone,
}

/// What is known on the way through the file.
struct BlockReader<'a> {
    file: BufReader<File>,
    /// Blocks that are being inflated, in their order.
    waiting: VecDeque<(BlockSize, Receiver<Option<InflatedBlock>>)>,
    crc: Crc,
    packed: u64,
    unpacked: u64,
    /// Buffers for packed bytes that are not used.
    buffers: Vec<Vec<u8>>,
    /// Buffers for unpacked bytes that were handed on to nobody.
    spare: Vec<Vec<u8>>,
    limits: &'a Limits,
    send: &'a SyncSender<Result<Chunk, PackageFault>>,
}

impl BlockReader<'_> {
    fn all(
        &mut self,
        sizes: &[BlockSize],
        threads: usize,
        jobs: &SyncSender<Job>,
        free: &Receiver<Vec<u8>>,
    ) -> Result<(), StopReason> {
        for (number, &size) in sizes.iter().enumerate() {
            // Handed on before a buffer is waited for: whoever listens has the other ones, and gives them back.
            if self.waiting.len() == threads {
                self.forward_oldest()?;
            }
            let mut packed = self.buffers.pop().unwrap_or_default();
            packed.resize(size.packed as usize, 0);
            self.file.read_exact(&mut packed).map_err(|source| StopReason::Fault(PackageFault::Read { source }))?;
            let unpacked = match self.spare.pop() {
                Some(buffer) => buffer,
                None => free.recv().map_err(|_| StopReason::ReceiverGone)?,
            };
            let (reply, result) = sync_channel(1);
            self.waiting.push_back((size, result));
            let job = Job { size, last: number + 1 == sizes.len(), packed, unpacked, reply };
            jobs.send(job).map_err(|_| StopReason::Fault(ended_early()))?;
        }
        while !self.waiting.is_empty() {
            self.forward_oldest()?;
        }
        let mut trailer = [0; TRAILER as usize];
        self.file.read_exact(&mut trailer).map_err(|source| StopReason::Fault(PackageFault::Read { source }))?;
        if trailer[..] != [self.crc.sum().to_le_bytes(), self.crc.amount().to_le_bytes()].concat() {
            return Err(StopReason::Fault(contradiction("its checksum or length is another")));
        }
        Ok(())
    }

    /// Waits for the oldest block and hands it on.
    fn forward_oldest(&mut self) -> Result<(), StopReason> {
        let Some((size, result)) = self.waiting.pop_front() else { return Ok(()) };
        let done = result.recv().map_err(|_| StopReason::Fault(ended_early()))?;
        let done = done.ok_or_else(|| StopReason::Fault(contradiction("its blocks are not where it says that they are")))?;
        self.packed += u64::from(size.packed);
        self.unpacked += u64::from(size.unpacked);
        let Limits { ratio, ratio_floor: floor, .. } = *self.limits;
        if self.unpacked > ratio.saturating_mul(self.packed).saturating_add(floor) {
            return Err(StopReason::Fault(PackageFault::Ratio { floor, ratio }));
        }
        self.crc.combine(&done.crc);
        self.buffers.push(done.packed);
        // An empty chunk would be the end.
        if done.unpacked.is_empty() {
            self.spare.push(done.unpacked);
            return Ok(());
        }
        let chunk = Chunk { bytes: done.unpacked, packed: self.packed };
        self.send.send(Ok(chunk)).map_err(|_| StopReason::ReceiverGone)
    }
}

fn contradiction(what: &'static str) -> PackageFault {
    PackageFault::Gzip { source: io::Error::new(io::ErrorKind::InvalidData, what) }
}

fn ended_early() -> PackageFault {
    PackageFault::Read { source: io::Error::other("a decompressing thread ended early") }
}

/// Inflates blocks until there are no more.
fn work(queue: &Mutex<Receiver<Job>>) {
    let mut decoder = Decompress::new(false);
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { size, last, packed, mut unpacked, reply }) = job else { return };
        let done = inflate_block(&mut decoder, &packed, size, last, &mut unpacked).then(|| {
            let mut crc = Crc::new();
            crc.update(&unpacked);
            InflatedBlock { packed, unpacked, crc }
        });
        // Without a listener everything stops, and the queue ends.
        let _ = reply.send(done);
    }
}

/// Inflates one block; `false` where it is not what `size` says, or does not end between two blocks of deflate (the last one:
/// at the stream's end).
fn inflate_block(decoder: &mut Decompress, packed: &[u8], size: BlockSize, last: bool, unpacked: &mut Vec<u8>) -> bool {
    let length = size.unpacked as usize;
    decoder.reset(false);
    unpacked.clear();
    // Room for a byte too many, which then is seen.
    unpacked.reserve(length + 1);
    let status = decoder.decompress_vec(packed, unpacked, FlushDecompress::None);
    let exact =
        |decoder: &Decompress, read: usize| decoder.total_in() == read as u64 && decoder.total_out() == length as u64;
    if !exact(decoder, packed.len()) {
        return false;
    }
    if last {
        return matches!(status, Ok(Status::StreamEnd));
    }
    if !matches!(status, Ok(Status::Ok | Status::BufError)) {
        return false;
    }
    let status = decoder.decompress_vec(&PROBE, unpacked, FlushDecompress::None);
    matches!(status, Ok(Status::StreamEnd)) && exact(decoder, packed.len() + PROBE.len())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    fn block(data: &[u8], flush: FlushCompress) -> Vec<u8> {
        let mut packed = Vec::with_capacity(data.len() + 1000);
        Compress::new(Compression::new(6), false).compress_vec(data, &mut packed, flush).unwrap();
        packed
    }

    fn inflates(packed: &[u8], length: usize, last: bool) -> bool {
        let size = BlockSize { packed: packed.len() as u32, unpacked: length as u32 };
        inflate_block(&mut Decompress::new(false), packed, size, last, &mut Vec::new())
    }

    #[test]
    fn a_block_must_be_as_long_as_it_is_said_to_be() {
        let data = b"somebody said something to somebody".repeat(20);
        let (middle, end) = (block(&data, FlushCompress::Sync), block(&data, FlushCompress::Finish));
        assert!(inflates(&middle, data.len(), false));
        assert!(inflates(&end, data.len(), true));
        for (packed, last) in [(&middle, true), (&end, false)] {
            assert!(!inflates(packed, data.len(), last), "{last}");
        }
        for (packed, last) in [(&middle, false), (&end, true)] {
            assert!(!inflates(packed, data.len() - 1, last), "{last}");
            assert!(!inflates(packed, data.len() + 1, last), "{last}");
            assert!(!inflates(&[&packed[..], &[0]].concat(), data.len(), last), "{last}");
        }
    }

    /// Whoever makes a package chooses where it says that blocks end: nowhere within a block is taken for its end, so that the
    /// bytes behind it are not read as something else than a reader from the beginning reads.
    #[test]
    fn only_the_end_of_a_block_is_its_end() {
        let data: Vec<u8> = (0..3000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()).collect();
        let mut stored = vec![0, 0, 1, 0xff, 0xfe];
        stored.extend([0; 256]);
        // A stored block that holds what looks like an end of blocks.
        let disguised = [&[0, 10, 0, 0xf5, 0xff, 1, 2, 3, 4, 5][..], &PROBE, &[0, 0, 0, 0xff, 0xff]].concat();
        for whole in [block(&data, FlushCompress::Sync), stored, disguised] {
            let mut decoder = Decompress::new(false);
            let mut out = Vec::with_capacity(1 << 20);
            let mut ends = Vec::new();
            for cut in 1..=whole.len() {
                decoder.reset(false);
                out.clear();
                decoder.decompress_vec(&whole[..cut], &mut out, FlushDecompress::None).unwrap();
                if inflates(&whole[..cut], out.len(), false) {
                    ends.push(cut);
                }
            }
            // The end of the data's blocks, where that is on a byte's boundary, and that of the empty block behind them.
            assert!(ends.contains(&whole.len()), "{ends:?}");
            assert!(ends.len() <= 2, "{ends:?}");
            // And there reading on gives what reading from the beginning gives.
            for end in ends {
                let all = [&whole[..end], &block(b"behind", FlushCompress::Finish)].concat();
                let mut through = Vec::new();
                flate2::read::DeflateDecoder::new(&all[..]).read_to_end(&mut through).unwrap();
                assert!(through.ends_with(b"behind"));
            }
        }
    }

    #[test]
    fn blocks_come_out_in_their_order_and_wrong_ones_not_at_all() {
        let parts: Vec<Vec<u8>> = (0..40_u8).map(|n| vec![n; 1000 * usize::from(n.saturating_sub(10))]).collect();
        let mut file = HEADER.to_vec();
        let mut crc = Crc::new();
        let mut sizes = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let flush = if number == 39 { FlushCompress::Finish } else { FlushCompress::Sync };
            let packed = block(part, flush);
            sizes.push(BlockSize { packed: packed.len() as u32, unpacked: part.len() as u32 });
            file.extend(packed);
            crc.update(part);
        }
        file.extend(crc.sum().to_le_bytes());
        file.extend(crc.amount().to_le_bytes());
        let run = |bytes: &[u8], sizes: &[BlockSize], limits: &Limits| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            io::Seek::seek(&mut file, io::SeekFrom::Start(HEADER.len() as u64)).unwrap();
            let (send, chunks) = sync_channel(2);
            let (give, free) = sync_channel(5);
            (0..5).for_each(|_| give.send(Vec::new()).unwrap());
            thread::scope(|scope| {
                scope.spawn(move || inflate(file, sizes, 3, limits, &send, &free));
                let mut out: Vec<u8> = Vec::new();
                loop {
                    match chunks.recv().unwrap() {
                        Ok(chunk) if chunk.bytes.is_empty() => break Ok(out),
                        Ok(chunk) => out.extend(&chunk.bytes),
                        Err(fault) => break Err(fault),
                    }
                    let _ = give.send(Vec::new());
                }
            })
        };
        let limits = Limits::default();
        assert!(run(&file, &sizes, &limits).unwrap() == parts.concat());
        let end = file.len();
        file[end - 6] ^= 1;
        assert!(matches!(run(&file, &sizes, &limits), Err(PackageFault::Gzip { .. })));
        file[end - 6] ^= 1;
        sizes.swap(13, 14);
        assert!(matches!(run(&file, &sizes, &limits), Err(PackageFault::Gzip { .. })));
        sizes.swap(13, 14);
        assert!(matches!(run(&file[..end - 3], &sizes, &limits), Err(PackageFault::Read { .. })));
        let strict = Limits { ratio: 2, ratio_floor: 1000, ..limits };
        assert!(matches!(run(&file, &sizes, &strict), Err(PackageFault::Ratio { .. })));
    }
}
