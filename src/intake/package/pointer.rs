//! Where the manifest lies in a package of ours, so that its name and version are known without inflating hundreds of megabytes.
//!
//! A package ends with an empty gzip member, which every reader of gzip takes for nothing, and whose header has an extra
//! field: where the block begins that begins with the tar header of `<name>/plugin.yaml`, and where the member is that tells the
//! sizes of all blocks ([`super::blocks`]).
//!
//! # What it promises
//! It is a hint of whoever made the package, no more: somebody can make one that leads to another manifest than the one
//! that unpacking finds, or stands at the end of an archive that unpacking refuses. So it serves for looking at a package,
//! and for comparing a manifest with what the *same* signer has signed. Nothing is installed by it: [`super::unpack()`] reads
//! everything under all the rules, and what it finds is compared again.
//!
//! Whatever does not look as if [`super::pack()`] had made it is not followed, and the whole archive is read instead.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom};

use flate2::bufread::DeflateDecoder;

use super::gzip::BlockMark;
use super::header::{self, BLOCK};
use super::path;
use crate::manifest;
use crate::settings::Limits;

/// A gzip header with an extra field and nothing else, whose one subfield has our id and 25 bytes.
const BEFORE: [u8; 16] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 29, 0, b'P', b'M', 25, 0];

/// The form of the subfield: three numbers of eight bytes, the least significant first.
const VERSION: u8 = 2;

/// Nothing, deflated; its checksum; its length.
pub(super) const EMPTY: [u8; 10] = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The size of the member.
const LENGTH: usize = BEFORE.len() + 25 + EMPTY.len();

/// What the last member says, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastMember {
    /// Where the manifest's header is.
    manifest: BlockMark,
    /// Bytes of the file before the member that tells the sizes of the blocks: there, where the blocks end.
    pub(super) blocks: u64,
    /// Bytes of the file before this member.
    pub(super) begins: u64,
}

/// The member that says that the manifest's header is at `manifest`, and that the blocks end at `blocks`.
pub(super) fn encode(manifest: BlockMark, blocks: u64) -> Vec<u8> {
    let mut member = BEFORE.to_vec();
    member.push(VERSION);
    for number in [manifest.packed, manifest.unpacked, blocks] {
        member.extend(number.to_le_bytes());
    }
    member.extend(EMPTY);
    member
}

fn decode(member: &[u8; LENGTH], begins: u64) -> Option<LastMember> {
    let numbers = member.strip_prefix(&BEFORE)?.strip_suffix(&EMPTY)?.strip_prefix(&[VERSION])?;
    let number = |n: usize| numbers.get(8 * n..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let manifest = BlockMark { packed: number(0)?, unpacked: number(1)? };
    Some(LastMember { manifest, blocks: number(2)?, begins })
}

/// The last member of `file`, where that is one of ours.
///
/// # Errors
/// What reading the file gives.
pub(super) fn read(file: &mut File) -> io::Result<Option<LastMember>> {
    let size = file.seek(SeekFrom::End(0))?;
    let Some(begins) = size.checked_sub(LENGTH as u64) else { return Ok(None) };
    let mut member = [0; LENGTH];
    file.seek(SeekFrom::Start(begins))?;
    file.read_exact(&mut member)?;
    Ok(decode(&member, begins))
}

/// The manifest's path in the archive and its bytes, where the package says where it is and that is true as far as can be seen.
///
/// # Errors
/// What reading the file gives; a pointer that leads nowhere is `Ok(None)`.
pub(super) fn follow(file: &mut File, limits: &Limits) -> io::Result<Option<(String, Vec<u8>)>> {
    let Some(LastMember { manifest: mark, begins: end, .. }) = read(file)? else { return Ok(None) };
    if mark.packed >= end || mark.unpacked % BLOCK as u64 != 0 {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(mark.packed))?;
    // Deflate can go on for ever without giving a byte; a manifest is no larger packed than unpacked, but for a little.
    let most = limits.manifest_bytes.saturating_add(64 * 1024);
    let mut packed = BufReader::new(file.take(most.min(end - mark.packed)));
    packed.fill_buf()?;
    Ok(manifest_at(&mut DeflateDecoder::new(packed), limits))
}

/// The entry that begins `stream`, where it is the manifest of a first-level directory.
fn manifest_at(stream: &mut impl Read, limits: &Limits) -> Option<(String, Vec<u8>)> {
    let mut block = [0; BLOCK];
    stream.read_exact(&mut block).ok()?;
    let header = header::parse(&block, 0).ok()?;
    let path = path::check(&header.name, limits).ok()?;
    let (directory, file) = path.split_once('/')?;
    if header.flag != b'0' || file != manifest::FILE_NAME || directory.is_empty() || header.size > limits.manifest_bytes {
        return None;
    }
    let mut bytes = Vec::new();
    stream.take(header.size).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 == header.size).then_some((path, bytes))
}
