//! The entries of an archive, one after the other, with every rule of the format applied before anybody sees them.
//!
//! This reads tar by itself: libraries for it skip what they do not like, believe whichever of two sizes comes last, or
//! follow links (dependencies are listed with their advisories in `docs/dependencies.md`). It knows nothing of files on disk.

use super::fault::{PackageFault, PathRule, ShownName};
use super::foreign::Foreign;
use super::gunzip::GunzipStream;
use super::header::{self, BLOCK, Header, OCTAL_MAX, Pax};
use super::path::{self, Tree};
use crate::settings::Limits;

/// What PAX and GNU extensions may have: Go's bound. Nothing that is wanted comes near it.
const EXTENSION: u64 = 1 << 20;

/// An entry that obeys the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The path in its normal form; empty for the archive's root itself.
    pub(super) path: String,
    /// A directory; otherwise a regular file.
    pub(super) directory: bool,
    /// Bytes of the content.
    pub(super) size: u64,
    /// Whether somebody may execute it.
    pub(super) executable: bool,
}

/// Reads entries from a stream.
pub(super) struct Entries<'a> {
    stream: GunzipStream,
    limits: &'a Limits,
    tree: Tree,
    entries: u64,
    extensions: u64,
    total: u64,
    /// Bytes of the current entry's content that are still to come.
    remaining: u64,
    /// Bytes behind it, to the next block.
    padding: u64,
}

/// The extensions that stand before an entry, and where the first of them is.
#[derive(Default)]
struct Pending {
    offset: u64,
    pax: Option<Pax>,
    name: Option<Vec<u8>>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.name.is_none()
    }

    fn refuse_dangling(&self) -> Result<(), PackageFault> {
        if self.is_empty() {
            return Ok(());
        }
        Err(PackageFault::Extension { offset: self.offset, what: "it belongs to no entry" })
    }
}

impl<'a> Entries<'a> {
    pub(super) fn new(stream: GunzipStream, limits: &'a Limits) -> Self {
        Self { stream, limits, tree: Tree::new(limits), entries: 0, extensions: 0, total: 0, remaining: 0, padding: 0 }
    }

    /// How many packed bytes have been read so far.
    pub(super) fn packed(&self) -> u64 {
        self.stream.packed()
    }

    /// The next entry, after whatever is left of the one before it; `None` at the end of a whole and sound archive.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, PackageFault> {
        self.content(|_| Ok::<(), PackageFault>(()))?;
        let mut pending = Pending::default();
        loop {
            let offset = self.stream.offset();
            // As for Go, an archive may end without the two empty blocks that mark its end, but not within an entry.
            let Some(block) = self.stream.block()? else {
                pending.refuse_dangling()?;
                return Ok(None);
            };
            if block == [0; BLOCK] {
                pending.refuse_dangling()?;
                self.expect_end()?;
                return Ok(None);
            }
            let header = header::parse(&block, offset).map_err(|malformed| match offset {
                0 => Foreign::inside(&block).unwrap_or(malformed),
                _ => malformed,
            })?;
            if pending.is_empty() {
                pending.offset = offset;
            }
            match header.flag {
                b'x' => {
                    let pax = header::parse_pax(&self.extension(&header, offset)?, offset)?;
                    if pending.pax.replace(pax).is_some() {
                        return Err(PackageFault::Extension { offset, what: "it is the second for one entry" });
                    }
                }
                // One that stands between an extension and its entry makes Go forget the extension.
                b'g' => {
                    pending.refuse_dangling()?;
                    header::parse_pax_global(&self.extension(&header, offset)?, offset)?;
                }
                b'L' => {
                    let name = long_name(self.extension(&header, offset)?, offset)?;
                    if pending.name.replace(name).is_some() {
                        return Err(PackageFault::Extension { offset, what: "it is the second for one entry" });
                    }
                }
                _ => return self.entry(header, pending, offset).map(Some),
            }
        }
    }

    /// Hands the current entry's content, or what is left of it, to `each`.
    pub(super) fn content<E: From<PackageFault>>(&mut self, mut each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        while self.remaining > 0 {
            let bytes = self.stream.fill()?;
            let n = bytes.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
            if n == 0 {
                return Err(PackageFault::Truncated { offset: self.stream.offset() }.into());
            }
            each(&bytes[..n])?;
            self.stream.consume(n);
            self.remaining -= n as u64;
        }
        while self.padding > 0 {
            let n = self.stream.fill()?.len().min(self.padding as usize);
            if n == 0 {
                return Err(PackageFault::Truncated { offset: self.stream.offset() }.into());
            }
            self.stream.consume(n);
            self.padding -= n as u64;
        }
        Ok(())
    }

    /// The content of an extension.
    fn extension(&mut self, header: &Header, offset: u64) -> Result<Vec<u8>, PackageFault> {
        if header.size > EXTENSION {
            return Err(PackageFault::Extension { offset, what: "it is larger than 1 MiB" });
        }
        // An entry has two at most, so more than that is an archive that is made of nothing else.
        self.extensions += 1;
        if self.extensions > self.limits.entries.saturating_mul(2) {
            return Err(PackageFault::Entries { limit: self.limits.entries });
        }
        self.expect_content(header.size);
        let mut data = Vec::new();
        self.content(|bytes| {
            data.extend_from_slice(bytes);
            Ok::<(), PackageFault>(())
        })?;
        Ok(data)
    }

    fn expect_content(&mut self, size: u64) {
        self.remaining = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    /// Applies the rules for entries.
    fn entry(&mut self, header: Header, pending: Pending, offset: u64) -> Result<Entry, PackageFault> {
        let (name, size) = apply_extensions(header.name, header.size, pending)?;
        let shown = || ShownName::new(&name);
        let slash = name.ends_with(b"/");
        let directory = match header.flag {
            b'5' => true,
            // Before there was a flag for directories, a slash told them.
            0 => slash,
            b'0' if slash => return Err(PackageFault::Path { name: shown(), rule: PathRule::Slash }),
            b'0' => false,
            other => return Err(PackageFault::Kind { name: shown(), kind: kind_of(other) }),
        };
        let path = path::check(&name, self.limits)?;
        if path.is_empty() && !directory {
            return Err(PackageFault::Path { name: shown(), rule: PathRule::Empty });
        }
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(PackageFault::Entries { limit: self.limits.entries });
        }
        if directory && size > 0 {
            // Some readers skip the content of a directory, others take it for the next header.
            return Err(PackageFault::Header { offset, what: "a directory has a size" });
        }
        if size > self.limits.file_bytes {
            return Err(PackageFault::FileBytes { name: shown(), size, limit: self.limits.file_bytes });
        }
        self.total = self.total.saturating_add(size);
        if self.total > self.limits.total_bytes {
            return Err(PackageFault::TotalBytes { limit: self.limits.total_bytes });
        }
        self.tree.insert(&path, directory)?;
        self.expect_content(size);
        Ok(Entry { path, directory, size, executable: header.executable })
    }

    /// Reads on after the first empty block: another one and then nothing but zeros, to the end of the stream, so that the
    /// last checksum has been compared too. As for Go the other one may be missing, but not a part of it.
    fn expect_end(&mut self) -> Result<(), PackageFault> {
        let start = self.stream.offset();
        loop {
            let bytes = self.stream.fill()?;
            let n = bytes.len();
            if n == 0 {
                let offset = self.stream.offset();
                let cut = (1..BLOCK as u64).contains(&(offset - start));
                return if cut { Err(PackageFault::Truncated { offset }) } else { Ok(()) };
            }
            if let Some(at) = bytes.iter().position(|&b| b != 0) {
                return Err(PackageFault::TrailingData { offset: self.stream.offset() + at as u64 });
            }
            self.stream.consume(n);
        }
    }
}

/// The path and size of an entry, from its header and its extensions, which must not contradict each other where the
/// header could have held what the extension says.
fn apply_extensions(name: Vec<u8>, size: u64, pending: Pending) -> Result<(Vec<u8>, u64), PackageFault> {
    let contradiction = |what| PackageFault::Contradiction { name: ShownName::new(&name), what };
    let pax = pending.pax.unwrap_or_default();
    let size = match pax.size {
        Some(long) if long != size && (long <= OCTAL_MAX || size > OCTAL_MAX) => return Err(contradiction("sizes")),
        Some(long) => long,
        None => size,
    };
    for long in [&pax.path, &pending.name].into_iter().flatten() {
        if long.is_ascii() && long.len() <= 100 && *long != name {
            return Err(contradiction("paths"));
        }
    }
    match (pax.path, pending.name) {
        (Some(one), Some(other)) if one != other => Err(contradiction("paths")),
        (Some(long), _) | (None, Some(long)) => Ok((long, size)),
        (None, None) => Ok((name, size)),
    }
}

/// The path in a GNU extension: everything up to its NUL, with nothing behind it.
fn long_name(mut data: Vec<u8>, offset: u64) -> Result<Vec<u8>, PackageFault> {
    while data.last() == Some(&0) {
        data.pop();
    }
    if data.is_empty() || data.contains(&0) {
        return Err(PackageFault::Extension { offset, what: "its name is empty or has a NUL in it" });
    }
    Ok(data)
}

fn kind_of(flag: u8) -> &'static str {
    match flag {
        b'1' => "a hard link",
        b'2' => "a symbolic link",
        b'3' => "a character device",
        b'4' => "a block device",
        b'6' => "a fifo",
        b'7' => "a contiguous file",
        b'S' => "a sparse file",
        b'K' => "the long target of a link",
        _ => "of a kind that only some programs know",
    }
}
