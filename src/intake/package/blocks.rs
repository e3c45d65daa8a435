//! Where the blocks of a package of ours lie, so that several threads can inflate it at once.
//!
//! [`super::gzip`] compresses blocks that need nothing before them. Their sizes stand behind them, in the extra field of an
//! empty gzip member, which every reader of gzip takes for nothing; where that member is, the package's last one says
//! ([`super::pointer`]).
//!
//! # What it promises
//! Nothing that a reader could be deceived with: a block must be as long as is said here, packed and unpacked, and must leave the
//! decoder exactly between two blocks of deflate. Then what comes out is what a reader that goes through the file from its
//! beginning gets too. A package of which that is not true is refused.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::gzip::{BLOCK, HEADER};
use super::pointer;

/// A gzip header with an extra field and nothing else; then the field's length, our id and the length of what follows.
const BEFORE: [u8; 10] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255];
const ID: [u8; 2] = *b"PB";

/// What the field holds besides the sizes: id and length.
const SUBFIELD: usize = 4;

/// Checksum and length, behind the last block.
pub(super) const TRAILER: u64 = 8;

/// The longest field that gzip has room for.
const MOST_BYTES: usize = u16::MAX as usize - SUBFIELD;

/// A block that does not get smaller gets a little larger, and ends with a mark.
const MOST_PACKED: u32 = (BLOCK + BLOCK / 8 + 1024) as u32;

/// The sizes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockSize {
    pub(super) packed: u32,
    pub(super) unpacked: u32,
}

/// The member that holds `sizes`; none where they are too many.
pub(super) fn encode(sizes: &[BlockSize]) -> Option<Vec<u8>> {
    let mut numbers = Vec::new();
    for size in sizes {
        put(&mut numbers, size.packed);
        // Nearly always 0, which is one byte.
        put(&mut numbers, (BLOCK as u32).checked_sub(size.unpacked)?);
    }
    let length = u16::try_from(numbers.len()).ok().filter(|&length| usize::from(length) <= MOST_BYTES)?;
    let mut member = BEFORE.to_vec();
    member.extend((length + SUBFIELD as u16).to_le_bytes());
    member.extend(ID);
    member.extend(length.to_le_bytes());
    member.extend(numbers);
    member.extend(pointer::EMPTY);
    Some(member)
}

/// The sizes of the blocks in `file`, where it is a package that says them and they fill it from its first byte to where they
/// stand; `None` otherwise.
///
/// # Errors
/// What reading the file gives.
pub(super) fn read(file: &mut File) -> io::Result<Option<Vec<BlockSize>>> {
    let Some(last) = pointer::read(file)? else { return Ok(None) };
    let Some(length) = last.begins.checked_sub(last.blocks).and_then(|length| usize::try_from(length).ok()) else {
        return Ok(None);
    };
    if length > MOST_BYTES + 64 {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(last.blocks))?;
    let mut member = vec![0; length];
    file.read_exact(&mut member)?;
    let mut header = [0; HEADER.len()];
    file.rewind()?;
    file.read_exact(&mut header)?;
    let Some(sizes) = decode(&member) else { return Ok(None) };
    let packed: u64 = sizes.iter().map(|size| u64::from(size.packed)).sum();
    Ok((header == HEADER && HEADER.len() as u64 + packed + TRAILER == last.blocks).then_some(sizes))
}

fn decode(member: &[u8]) -> Option<Vec<BlockSize>> {
    let (field, rest) = member.strip_prefix(&BEFORE)?.split_first_chunk()?;
    let numbers = rest.strip_suffix(&pointer::EMPTY)?;
    let (length, mut numbers) = numbers.strip_prefix(&ID)?.split_first_chunk()?;
    let length = usize::from(u16::from_le_bytes(*length));
    if numbers.len() != length || usize::from(u16::from_le_bytes(*field)) != length + SUBFIELD {
        return None;
    }
    let mut sizes = Vec::new();
    while !numbers.is_empty() {
        let packed = take(&mut numbers)?;
        let unpacked = (BLOCK as u32).checked_sub(take(&mut numbers)?)?;
        if packed > MOST_PACKED {
            return None;
        }
        sizes.push(BlockSize { packed, unpacked });
    }
    (!sizes.is_empty()).then_some(sizes)
}

/// Adds a number, seven bits a byte, the least significant first.
fn put(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes such a number from the beginning of `bytes`; at most three of them, which is more than any size here needs.
fn take(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for shift in [0, 7, 14] {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_come_back() {
        let block = |packed, unpacked| BlockSize { packed, unpacked };
        let sizes = [block(MOST_PACKED, BLOCK as u32), block(5, 0), block(0, 17), block(127, 128), block(128, 127)];
        assert_eq!(decode(&encode(&sizes).unwrap()).unwrap(), sizes);
    }

    #[test]
    fn what_is_too_much_for_the_field_is_left_out() {
        let size = BlockSize { packed: MOST_PACKED, unpacked: BLOCK as u32 };
        let most = MOST_BYTES / 4;
        assert!(encode(&vec![size; most]).is_some());
        assert_eq!(encode(&vec![size; most + 1]), None);
    }

    #[test]
    fn a_member_that_is_not_exactly_ours_says_nothing() {
        let good = encode(&[BlockSize { packed: 200, unpacked: 300 }]).unwrap();
        for at in 0..good.len() {
            for cut in [&good[..at], &good[at + 1..]] {
                assert_eq!(decode(cut), None, "{at}");
            }
        }
        let many = [0xff; 8];
        assert_eq!(take(&mut &many[..]), None);
    }
}
