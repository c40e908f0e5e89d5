//! Byte strings to dense ids: the bytes once in an arena, one word per string, eight bytes per hash slot.
//!
//! A string of `n` bytes costs about `n + 8` bytes and its share of the slots (12 to 24 bytes), and no allocation of its
//! own. A slot keeps 32 bits of the hash, from which a growing table finds the new place without reading any string.

use super::{GroupTableError, hash};
use crate::{Rows, growth};
use arrow::buffer::NullBuffer;

/// Rows handled at a time: the scratch of a block stays in the first-level cache.
pub const BLOCK: usize = 256;
/// Ids from here up are marks.
pub const IDS_MAX: u32 = u32::MAX - 2;

const CHUNK_BITS: u32 = 20;
const CHUNK_BYTES: usize = 1 << CHUNK_BITS;
const CHUNK_BYTES_FIRST: usize = 256;
const POSITION_BITS: u32 = 40;
/// Entry length that says: the string is all of its chunk.
const OWN_CHUNK: u64 = (1 << (64 - POSITION_BITS)) - 1;
/// Above this many slots a block asks for its cache lines ahead.
const PREFETCH_SLOTS: usize = 1 << 15;

/// Maps byte strings, and NULL, to ids `0..len()` in order of first appearance.
#[derive(Debug, Default)]
pub struct Interner {
    /// High half: top half of the hash. Low half: id + 1, or 0 for an empty slot.
    slots: Vec<u64>,
    /// High 24 bits: length in bytes or [`OWN_CHUNK`]. Low 40: chunk number and place in the chunk.
    entries: Vec<u64>,
    chunks: Vec<Vec<u8>>,
    /// The chunk that takes the next short string.
    open: usize,
    null: Option<u32>,
    arena_bytes: usize,
}

impl Interner {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The bytes behind `id`, `None` if it is the id of NULL.
    #[inline]
    pub fn get(&self, id: u32) -> Option<&[u8]> {
        if self.null == Some(id) { None } else { Some(self.bytes(id)) }
    }

    #[inline(always)]
    fn bytes(&self, id: u32) -> &[u8] {
        let entry = self.entries[id as usize];
        let (len, position) = (entry >> POSITION_BITS, entry & ((1 << POSITION_BITS) - 1));
        let chunk = &self.chunks[(position >> CHUNK_BITS) as usize];
        if len == OWN_CHUNK {
            return chunk;
        }
        let from = position as usize & (CHUNK_BYTES - 1);
        &chunk[from..from + len as usize]
    }

    pub fn null_id(&self) -> Option<u32> {
        self.null
    }

    /// Bytes of all strings together.
    pub fn arena_bytes(&self) -> usize {
        self.arena_bytes
    }

    pub fn memory_bytes(&self) -> usize {
        (self.slots.capacity() + self.entries.capacity()) * 8
            + self.chunks.iter().map(|chunk| chunk.capacity() + size_of::<Vec<u8>>()).sum::<usize>()
    }

    /// The id of NULL.
    #[inline]
    pub fn intern_null(&mut self) -> Result<u32, GroupTableError> {
        match self.null {
            Some(id) => Ok(id),
            None => {
                let id = self.next_id()?;
                // An entry of no bytes that no slot points to keeps ids dense.
                if self.chunks.is_empty() {
                    self.chunks.push(Vec::with_capacity(CHUNK_BYTES_FIRST));
                }
                self.entries.push((self.open as u64) << CHUNK_BITS);
                self.null = Some(id);
                Ok(id)
            }
        }
    }

    pub fn intern(&mut self, bytes: &[u8]) -> Result<u32, GroupTableError> {
        self.intern_hashed(bytes, hash::of_bytes(bytes))
    }

    /// The id of `bytes`, whose hash is `hash`.
    #[inline(always)]
    fn intern_hashed(&mut self, bytes: &[u8], hash: u64) -> Result<u32, GroupTableError> {
        if !self.slots.is_empty() {
            let mask = self.slots.len() - 1;
            let mut at = self.home(hash);
            loop {
                let slot = self.slots[at];
                if slot as u32 == 0 {
                    break;
                }
                if slot >> 32 == hash >> 32 {
                    let id = slot as u32 - 1;
                    if hash::same_bytes(self.bytes(id), bytes) {
                        return Ok(id);
                    }
                }
                at = (at + 1) & mask;
            }
        }
        self.insert(bytes, hash)
    }

    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        // Only the half of the hash that a slot keeps.
        (hash >> 32 << 32 >> (64 - self.slots.len().trailing_zeros())) as usize
    }

    fn next_id(&self) -> Result<u32, GroupTableError> {
        u32::try_from(self.entries.len()).ok().filter(|&id| id < IDS_MAX).ok_or(GroupTableError::TooManyGroups)
    }

    #[cold]
    #[inline(never)]
    fn insert(&mut self, bytes: &[u8], hash: u64) -> Result<u32, GroupTableError> {
        let id = self.next_id()?;
        if (self.entries.len() + 1) * 3 > self.slots.len() * 2 {
            self.grow();
        }
        let entry = self.store(bytes)?;
        self.entries.push(entry);
        self.arena_bytes += bytes.len();
        self.place(hash >> 32 << 32 | u64::from(id + 1));
        Ok(id)
    }

    #[inline]
    fn place(&mut self, slot: u64) {
        let mask = self.slots.len() - 1;
        let mut at = self.home(slot);
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    fn grow(&mut self) {
        let n = super::grown(self.slots.len());
        let old = std::mem::replace(&mut self.slots, growth::filled(0, n));
        old.iter().filter(|slot| **slot != 0).for_each(|slot| self.place(*slot));
        growth::discard(old);
    }

    fn store(&mut self, bytes: &[u8]) -> Result<u64, GroupTableError> {
        let too_many = |chunk: usize| {
            if chunk >> (POSITION_BITS - CHUNK_BITS) == 0 {
                Ok(chunk as u64)
            } else {
                Err(GroupTableError::TooManyGroups)
            }
        };
        // A string that would waste much of a chunk gets one of its own; the open one stays open.
        if bytes.len() > CHUNK_BYTES / 16 {
            let chunk = too_many(self.chunks.len())?;
            self.chunks.push(bytes.to_vec());
            if self.chunks.len() == 1 {
                self.chunks.push(Vec::with_capacity(CHUNK_BYTES_FIRST));
                self.open = 1;
            }
            return Ok(OWN_CHUNK << POSITION_BITS | chunk << CHUNK_BITS);
        }
        // A chunk is full one byte early, so that the place of an empty string still fits its 20 bits.
        let full = |chunk: &Vec<u8>| chunk.len() + bytes.len() >= chunk.capacity().min(CHUNK_BYTES);
        if self.chunks.get(self.open).is_none_or(full) {
            too_many(self.chunks.len())?;
            let before = self.chunks.get(self.open).map_or(CHUNK_BYTES_FIRST / 4, Vec::capacity);
            self.chunks.push(Vec::with_capacity((before * 4).clamp(bytes.len() + 1, CHUNK_BYTES)));
            self.open = self.chunks.len() - 1;
        }
        let chunk = &mut self.chunks[self.open];
        let from = chunk.len();
        chunk.extend_from_slice(bytes);
        Ok((bytes.len() as u64) << POSITION_BITS | (self.open as u64) << CHUNK_BITS | from as u64)
    }

    /// Interns the rows of `block`: `get(row)` is the value of a row, `nulls` says which rows are NULL.
    ///
    /// - `ids`: one place per row of the block, at most [`BLOCK`].
    pub fn intern_block<'a>(
        &mut self,
        block: Rows<'_>,
        first: usize,
        nulls: Option<&NullBuffer>,
        get: impl Fn(usize) -> &'a [u8],
        ids: &mut [u32],
    ) -> Result<(), GroupTableError> {
        // A copy of the loops for the common case, that the compiler keeps free of tests.
        match (block, nulls) {
            (Rows::All(_), None) => self.intern_rows(|i| Some(get(first + i)), ids),
            _ => {
                let valid = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
                self.intern_rows(|i| Some(block.get(first + i)).filter(|&row| valid(row)).map(&get), ids)
            }
        }
    }

    /// Interns everything `other` holds; entry `i` of the answer is the id here of its id `i`.
    pub fn absorb(&mut self, other: &Self) -> Result<Vec<u32>, GroupTableError> {
        let mut ids = vec![0; other.len()];
        for (block, ids) in ids.chunks_mut(BLOCK).enumerate() {
            self.intern_rows(|i| other.get((block * BLOCK + i) as u32), ids)?;
        }
        Ok(ids)
    }

    #[inline(always)]
    fn intern_rows<'a>(
        &mut self,
        get: impl Fn(usize) -> Option<&'a [u8]>,
        ids: &mut [u32],
    ) -> Result<(), GroupTableError> {
        if self.slots.len() <= PREFETCH_SLOTS {
            for (i, id) in ids.iter_mut().enumerate() {
                *id = match get(i) {
                    Some(bytes) => self.intern_hashed(bytes, hash::of_bytes(bytes))?,
                    None => self.intern_null()?,
                };
            }
            return Ok(());
        }
        // A known string costs three cache misses, one after the other: slot, entry, bytes. Done for all rows of a block
        // at a time they overlap: 65 ns a row became 45 at a million strings.
        let mut hashes = [0_u64; BLOCK];
        for (i, hash) in hashes[..ids.len()].iter_mut().enumerate() {
            if let Some(bytes) = get(i) {
                *hash = hash::of_bytes(bytes);
                hash::prefetch(&self.slots[self.home(*hash)]);
            }
        }
        // The likely id of each row, from the first slot whose hash agrees.
        let mask = self.slots.len() - 1;
        for (&hash, id) in hashes.iter().zip(ids.iter_mut()) {
            let home = self.home(hash);
            *id = u32::MAX;
            for at in [home, home + 1, home + 2] {
                let slot = self.slots[at & mask];
                if slot >> 32 == hash >> 32 && slot as u32 != 0 {
                    *id = slot as u32 - 1;
                    hash::prefetch(&self.entries[*id as usize]);
                    break;
                }
            }
        }
        for &id in ids.iter() {
            if id != u32::MAX
                && let Some(byte) = self.bytes(id).first()
            {
                hash::prefetch(byte);
            }
        }
        for (i, (&hash, id)) in hashes.iter().zip(ids).enumerate() {
            *id = match get(i) {
                Some(bytes) => self.intern_hashed(bytes, hash)?,
                None => self.intern_null()?,
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_short_strings_share_an_arena() {
        let mut interner = Interner::default();
        let words: Vec<Vec<u8>> = [0, 1, 70_000, 3, 2_000_000, 20_000_000, 5, 65_536, 65_537, 700]
            .iter()
            .map(|&n| (0..n).map(|i| (i * 7 + n) as u8).collect())
            .collect();
        for round in 0..2 {
            for (id, word) in words.iter().enumerate() {
                assert_eq!(interner.intern(word).unwrap(), id as u32, "round {round}");
            }
        }
        let null = interner.intern_null().unwrap();
        assert_eq!((null, interner.get(null), interner.len()), (10, None, 11));
        for (id, word) in words.iter().enumerate() {
            assert!(interner.get(id as u32) == Some(word.as_slice()));
        }
    }

    #[test]
    fn an_empty_string_after_a_full_chunk() {
        for odd in 0..3 {
            let mut interner = Interner::default();
            // 64 KiB strings end where each of the large chunks ends, or a little before.
            for id in 0..64_u32 {
                let word = vec![id as u8; CHUNK_BYTES / 16 - odd];
                assert_eq!(interner.intern(&word).unwrap(), id);
            }
            assert_eq!(interner.intern(b"").unwrap(), 64);
            assert_eq!(interner.intern(b"x").unwrap(), 65);
            assert_eq!((interner.get(64), interner.get(65)), (Some(b"".as_slice()), Some(b"x".as_slice())));
            assert_eq!((interner.intern(b"").unwrap(), interner.intern(b"x").unwrap()), (64, 65));
        }
        // Words that would fill large chunks to the last byte.
        let mut interner = Interner::default();
        for id in 0..600_000_u32 {
            assert_eq!(interner.intern(&id.to_le_bytes()).unwrap(), id);
        }
        assert!(interner.chunks.iter().all(|chunk| chunk.len() < CHUNK_BYTES));
        assert!(interner.chunks.iter().any(|chunk| chunk.len() == CHUNK_BYTES - 4));
    }

    #[test]
    fn a_million_short_strings_stay_small() {
        let mut interner = Interner::default();
        for i in 0..1_000_000_u32 {
            assert_eq!(interner.intern(format!("user-{i:08}").as_bytes()).unwrap(), i);
        }
        let bytes_each = interner.memory_bytes() as f64 / 1e6;
        assert!(bytes_each < 13.0 + 27.0, "{bytes_each} bytes a string");
        assert_eq!(interner.get(777_777), Some(b"user-00777777".as_slice()));
    }
}
