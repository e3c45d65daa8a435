//! The memory through which host and module exchange bytes: blocks that the module reads and writes by functions alone.
//!
//! Extism gives it a memory of WebAssembly with an allocator in it; here each block is a vector of the host's, so that nothing a
//! module writes can reach another block, nor what keeps them apart. Offsets are only names for bytes. What lies outside every block
//! reads as 0 and swallows what is written, as it does there.

use std::collections::BTreeMap;

/// Where the first block begins: 0 means "none".
const FIRST: u64 = 64;

/// What a block costs beyond its bytes, roughly: without it, a module could have us keep the books of millions of tiny ones.
const BLOCK: usize = 64;

/// Blocks, by their offset.
#[derive(Debug, Default)]
pub(crate) struct ExchangeMemory {
    blocks: BTreeMap<u64, Vec<u8>>,
    /// The end of the last block ever made; offsets are never used again.
    end: u64,
    /// What all blocks cost.
    used: usize,
    limit: usize,
    /// The block that was touched last, taken out of the map: most accesses go through one block from end to end.
    open: Option<(u64, Vec<u8>)>,
}

/// There is no room for another block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ExchangeFull;

impl ExchangeMemory {
    /// Room for blocks of `limit` bytes in all, with what each costs by itself.
    pub(crate) fn new(limit: usize) -> Self {
        Self { end: FIRST, limit, ..Self::default() }
    }

    /// Makes a block of `length` zeros. No bytes need no block: that is offset 0.
    pub(crate) fn alloc(&mut self, length: u64) -> Result<u64, ExchangeFull> {
        let length = usize::try_from(length).map_err(|_| ExchangeFull)?;
        self.make_room(length)?;
        Ok(self.insert(vec![0; length]))
    }

    /// Makes a block of `bytes`.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<u64, ExchangeFull> {
        self.make_room(bytes.len())?;
        Ok(self.insert(bytes.to_vec()))
    }

    /// Whether a block of `length` bytes may still be made.
    fn make_room(&self, length: usize) -> Result<(), ExchangeFull> {
        match length.checked_add(BLOCK) {
            Some(cost) if cost <= self.limit.saturating_sub(self.used) => Ok(()),
            _ if length == 0 => Ok(()),
            _ => Err(ExchangeFull),
        }
    }

    fn insert(&mut self, bytes: Vec<u8>) -> u64 {
        if bytes.is_empty() {
            return 0;
        }
        let offset = self.end;
        self.used += bytes.len() + BLOCK;
        // A gap between blocks, so that running over the end of one never reaches the next.
        self.end += (bytes.len() as u64).next_multiple_of(16) + 16;
        self.blocks.insert(offset, bytes);
        offset
    }

    /// Lets the block at `offset` go; nothing where none begins there.
    pub(crate) fn free(&mut self, offset: u64) {
        self.close();
        if let Some(block) = self.blocks.remove(&offset) {
            self.used -= block.len() + BLOCK;
        }
    }

    /// The length of the block at `offset`; 0 where none begins there.
    pub(crate) fn length(&self, offset: u64) -> u64 {
        match &self.open {
            Some((start, block)) if *start == offset => block.len() as u64,
            _ => self.blocks.get(&offset).map_or(0, |block| block.len() as u64),
        }
    }

    /// The bytes of the block that begins at `offset`.
    pub(crate) fn block(&mut self, offset: u64) -> Option<&[u8]> {
        self.close();
        self.blocks.get(&offset).map(Vec::as_slice)
    }

    /// Up to `length` bytes from `offset` on, within one block.
    pub(crate) fn bytes(&mut self, offset: u64, length: u64) -> &[u8] {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match self.at(offset) {
            Some(bytes) => &bytes[..length.min(bytes.len())],
            None => &[],
        }
    }

    /// The eight bytes at `offset`, in little endian.
    pub(crate) fn load_u64(&mut self, offset: u64) -> u64 {
        let mut word = [0; 8];
        if let Some(bytes) = self.at(offset) {
            let length = bytes.len().min(8);
            word[..length].copy_from_slice(&bytes[..length]);
        }
        u64::from_le_bytes(word)
    }

    /// The byte at `offset`.
    pub(crate) fn load_u8(&mut self, offset: u64) -> u8 {
        self.at(offset).and_then(|bytes| bytes.first().copied()).unwrap_or(0)
    }

    /// Writes the eight bytes of `word` to `offset`.
    pub(crate) fn store_u64(&mut self, offset: u64, word: u64) {
        if let Some(bytes) = self.at(offset) {
            let length = bytes.len().min(8);
            bytes[..length].copy_from_slice(&word.to_le_bytes()[..length]);
        }
    }

    /// Writes `byte` to `offset`.
    pub(crate) fn store_u8(&mut self, offset: u64, byte: u8) {
        if let Some(first) = self.at(offset).and_then(<[u8]>::first_mut) {
            *first = byte;
        }
    }

    /// What all blocks cost.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// The rest of the block that holds `offset`, from there on.
    fn at(&mut self, offset: u64) -> Option<&mut [u8]> {
        let holds = |start: u64, block: &[u8]| offset >= start && offset - start < block.len() as u64;
        if !self.open.as_ref().is_some_and(|(start, block)| holds(*start, block)) {
            self.close();
            let (&start, block) = self.blocks.range_mut(..=offset).next_back()?;
            if !holds(start, block) {
                return None;
            }
            self.open = Some((start, std::mem::take(block)));
        }
        let (start, block) = self.open.as_mut()?;
        usize::try_from(offset - *start).ok().and_then(|begin| block.get_mut(begin..))
    }

    /// Puts the block that was touched last back into its place.
    fn close(&mut self) {
        if let Some((start, block)) = self.open.take() {
            self.blocks.insert(start, block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blocks_keep_to_themselves() {
        let mut exchange = ExchangeMemory::new(1000);
        let (a, b) = (exchange.put(b"abc").unwrap(), exchange.alloc(9).unwrap());
        assert_eq!((exchange.length(a), exchange.length(b), exchange.length(a + 1), exchange.length(0)), (3, 9, 0, 0));
        exchange.store_u64(a + 1, u64::MAX);
        assert_eq!(exchange.block(a), Some(&b"a\xff\xff"[..]));
        assert_eq!(exchange.block(b), Some(&[0; 9][..]));
        exchange.store_u8(a + 3, 7);
        exchange.store_u8(0, 7);
        exchange.store_u64(u64::MAX, 7);
        assert_eq!((exchange.load_u8(a + 3), exchange.load_u8(0), exchange.load_u64(u64::MAX - 3)), (0, 0, 0));
        assert_eq!((exchange.load_u64(a), exchange.load_u8(a)), (0x00ff_ff61, b'a'));
        assert_eq!(exchange.bytes(a + 1, 100), b"\xff\xff");
        assert_eq!(exchange.length(a), 3);
        assert_eq!(exchange.bytes(3, 1), b"");
    }

    #[test]
    fn w4_room_is_limited_and_comes_back() {
        let mut exchange = ExchangeMemory::new(10 + BLOCK);
        let a = exchange.alloc(10).unwrap();
        assert_eq!(exchange.alloc(1), Err(ExchangeFull));
        assert_eq!(exchange.put(b"x"), Err(ExchangeFull));
        assert_eq!(exchange.alloc(0), Ok(0));
        exchange.load_u8(a);
        exchange.free(a);
        exchange.free(a);
        exchange.free(0);
        assert_eq!((exchange.used(), exchange.length(a)), (0, 0));
        assert!(exchange.alloc(10).is_ok_and(|b| b != a));
        assert_eq!(exchange.alloc(u64::MAX), Err(ExchangeFull));
        let mut exchange = ExchangeMemory::new(1 << 20);
        let tiny = (0..1 << 20).take_while(|_| exchange.alloc(1).is_ok()).count();
        assert!(tiny < 20_000, "{tiny} blocks of a byte");
    }

    proptest! {
        #[test]
        fn it_is_as_a_map_of_bytes(steps in prop::collection::vec((0u8..5, 0u64..160, any::<u64>()), 0..60)) {
            let mut exchange = ExchangeMemory::new(600);
            let mut model: BTreeMap<u64, u8> = BTreeMap::new();
            let mut blocks: BTreeMap<u64, u64> = BTreeMap::new();
            for (step, at, value) in steps {
                match step {
                    0 => if let Ok(offset) = exchange.alloc(at) && offset != 0 {
                        blocks.insert(offset, at);
                        (offset..offset + at).for_each(|at| { model.insert(at, 0); });
                    },
                    1 => {
                        exchange.free(at);
                        if let Some(length) = blocks.remove(&at) {
                            (at..at + length).for_each(|at| { model.remove(&at); });
                        }
                    }
                    2 => {
                        exchange.store_u8(at, value as u8);
                        if let Some(byte) = model.get_mut(&at) { *byte = value as u8; }
                    }
                    3 => {
                        exchange.store_u64(at, value);
                        for (at, byte) in (at..).zip(value.to_le_bytes()) {
                            match model.get_mut(&at) { Some(own) => *own = byte, None => break }
                        }
                    }
                    _ => {
                        prop_assert_eq!(exchange.load_u8(at), model.get(&at).copied().unwrap_or(0));
                        let word: Vec<u8> = (at..at + 8).map_while(|at| model.get(&at).copied()).collect();
                        prop_assert_eq!(exchange.bytes(at, 8), &word);
                    }
                }
                prop_assert_eq!(exchange.used() as u64, blocks.values().map(|length| length + BLOCK as u64).sum::<u64>());
            }
        }
    }
}
