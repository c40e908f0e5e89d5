//! Keys of fixed width, packed into `W` words: an open-addressing table of (key, id) buckets.

use super::columns::{self, Column};
use super::interner::{BLOCK, IDS_MAX};
use super::{GroupTableError, hash};
use crate::Rows;
#[cfg(target_arch = "x86_64")]
use crate::cpu::{Level, level};
use crate::growth;
use arrow::array::ArrayRef;

/// Above this many bytes of buckets a block asks for its cache lines ahead.
const PREFETCH_BYTES: usize = 1 << 18;

/// A table of more keys may believe that there will be as many as expected: memory follows the rows.
const EXPECTED_MIN: usize = 512;

#[derive(Clone, Copy)]
struct Bucket<const W: usize> {
    key: [u64; W],
    /// 0 if the bucket is empty.
    id_plus_one: u32,
}

impl<const W: usize> Bucket<W> {
    /// 0 if the key is `key`. Words, not bytes: the compiler makes a 16-byte vector compare of `==`, which is slower here.
    #[inline(always)]
    fn difference(&self, key: &[u64; W]) -> u64 {
        self.key.iter().zip(key).fold(0, |bits, (ours, theirs)| bits | (ours ^ theirs))
    }
}

/// Linear probing, indexed by the top bits of the hash, at most two thirds full.
struct Buckets<const W: usize> {
    buckets: Vec<Bucket<W>>,
    used: usize,
    /// How many keys are expected.
    expected: usize,
}

impl<const W: usize> Buckets<W> {
    const fn new() -> Self {
        Self { buckets: Vec::new(), used: 0, expected: 0 }
    }

    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        (hash >> (64 - self.buckets.len().trailing_zeros())) as usize
    }

    /// The id of `key`; if it is new, `next`, which then moves on.
    #[inline(always)]
    fn find_or_insert(&mut self, key: &[u64; W], hash: u64, next: &mut u32) -> Result<u32, GroupTableError> {
        if !self.buckets.is_empty() {
            let mask = self.buckets.len() - 1;
            let mut at = self.home(hash);
            loop {
                let bucket = &self.buckets[at];
                // One branch for the usual case: found. An empty bucket holds the key of all zeros.
                if (bucket.difference(key) == 0) & (bucket.id_plus_one != 0) {
                    return Ok(bucket.id_plus_one - 1);
                }
                if bucket.id_plus_one == 0 {
                    break;
                }
                at = (at + 1) & mask;
            }
        }
        self.insert(key, hash, next)
    }

    #[cold]
    #[inline(never)]
    fn insert(&mut self, key: &[u64; W], hash: u64, next: &mut u32) -> Result<u32, GroupTableError> {
        if *next >= IDS_MAX {
            return Err(GroupTableError::TooManyGroups);
        }
        if (self.used + 1) * 3 > self.buckets.len() * 2 {
            let room = if self.used > EXPECTED_MIN { (self.expected * 3 / 2 + 1).next_power_of_two() } else { 0 };
            let n = super::grown(self.buckets.len()).max(room);
            let old = std::mem::replace(&mut self.buckets, growth::filled(Bucket { key: [0; W], id_plus_one: 0 }, n));
            for bucket in old.iter().filter(|bucket| bucket.id_plus_one != 0) {
                self.place(*bucket, hash::of_words(&bucket.key));
            }
            growth::discard(old);
        }
        let id = *next;
        *next += 1;
        self.used += 1;
        self.place(Bucket { key: *key, id_plus_one: id + 1 }, hash);
        Ok(id)
    }

    #[inline]
    fn place(&mut self, bucket: Bucket<W>, hash: u64) {
        let mask = self.buckets.len() - 1;
        let mut at = self.home(hash);
        while self.buckets[at].id_plus_one != 0 {
            at = (at + 1) & mask;
        }
        self.buckets[at] = bucket;
    }

    fn filled(&self) -> impl Iterator<Item = (&[u64; W], u32)> {
        self.buckets.iter().filter(|bucket| bucket.id_plus_one != 0).map(|bucket| (&bucket.key, bucket.id_plus_one - 1))
    }

    fn memory_bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket<W>>()
    }
}

/// Keys of one word with few bits that are not always zero: small integers, ids of dictionaries. The ids lie in an array,
/// indexed by those bits of the key side by side. The [`Buckets`] stay what is true; this finds most keys before them.
#[derive(Default)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "gathering bits takes an instruction of its own"))]
struct Direct {
    /// The bits that some key has.
    bits: u64,
    /// Id + 1 by the key's bits, or 0 where the buckets have to be asked. Empty while it would not pay.
    ids: Vec<u32>,
    /// Rows looked up so far.
    rows: usize,
}

/// A direct table has no more entries than 2 to this power.
#[cfg(target_arch = "x86_64")]
const DIRECT_BITS_MAX: u32 = 20;

/// One of more entries than stay in the second-level cache has at most two for each key.
#[cfg(target_arch = "x86_64")]
const DIRECT_SPARSE_MAX: usize = 1 << 16;

#[cfg(target_arch = "x86_64")]
impl Direct {
    /// Whether a block of these keys can be looked up, where there are `used` keys so far. Memory follows the rows: an array
    /// is made when there were as many.
    fn takes<const W: usize>(&mut self, keys: &[[u64; W]], used: usize) -> bool {
        if W != 1 || self.bits.count_ones() > DIRECT_BITS_MAX {
            return false;
        }
        let bits = keys.iter().fold(self.bits, |bits, key| bits | key[0]);
        self.rows += keys.len();
        if bits != self.bits {
            (self.bits, self.ids) = (bits, vec![]);
        }
        let entries = 1 << bits.count_ones().min(DIRECT_BITS_MAX + 1);
        let is_sparse = entries > DIRECT_SPARSE_MAX && entries > 2 * used;
        if bits.count_ones() > DIRECT_BITS_MAX || entries > self.rows || is_sparse {
            return false;
        }
        self.ids.resize(entries, 0);
        true
    }

    #[target_feature(enable = "bmi2")]
    fn find<const W: usize>(
        &mut self,
        buckets: &mut Buckets<W>,
        keys: &[[u64; W]],
        ids: &mut [u32],
        next: &mut u32,
    ) -> Result<(), GroupTableError> {
        let place = |key: &[u64; W]| std::arch::x86_64::_pext_u64(key[0], self.bits) as usize;
        if size_of_val(&self.ids[..]) > PREFETCH_BYTES {
            keys.iter().for_each(|key| hash::prefetch(&self.ids[place(key)]));
        }
        for (key, id) in keys.iter().zip(ids) {
            let entry = &mut self.ids[place(key)];
            if *entry == 0 {
                *entry = buckets.find_or_insert(key, hash::of_words(key), next)? + 1;
            }
            *id = *entry - 1;
        }
        Ok(())
    }
}

/// Words of a key in the table beside: the packed words and the mask of its NULL columns.
const BESIDE_WORDS: usize = 5;

/// A group table whose keys fit `W` words, `W` ≤ 4.
///
/// NULLs are bits of the key where there is room; where there is none (one BIGINT fills its word), a row with a NULL goes
/// to a second table, keyed by the words and the mask of NULL columns.
pub struct Packed<const W: usize> {
    /// In the order of their places in the key.
    columns: Vec<Column>,
    /// Whether no column reaches the last word.
    last_word_free: bool,
    /// Where the NULL bits lie in the last word, or `None` if they do not fit.
    null_shift: Option<u32>,
    main: Buckets<W>,
    direct: Direct,
    beside: Buckets<BESIDE_WORDS>,
    len: u32,
}

impl<const W: usize> Packed<W> {
    pub fn new(columns: Vec<Column>, bits: u32) -> Self {
        let last_bits = bits.saturating_sub(64 * (W as u32 - 1));
        let null_bits = columns.len() as u32;
        let null_shift = (last_bits + null_bits <= 64).then(|| 64 - null_bits.max(1));
        let last_word_free = last_bits == 0;
        Self {
            columns,
            last_word_free,
            null_shift,
            main: Buckets::new(),
            direct: Direct::default(),
            beside: Buckets::new(),
            len: 0,
        }
    }

    /// Makes room for so many keys once there are some.
    pub fn expect(&mut self, groups: usize) {
        self.main.expected = groups;
    }

    pub fn len(&self) -> usize {
        self.len as usize
    }

    pub fn memory_bytes(&self) -> usize {
        self.main.memory_bytes()
            + self.direct.ids.capacity() * 4
            + self.beside.memory_bytes()
            + self.columns.iter().map(Column::memory_bytes).sum::<usize>()
    }

    pub fn intern(&mut self, arrays: &[ArrayRef], rows: Rows<'_>, ids: &mut Vec<u32>) -> Result<(), GroupTableError> {
        if self.columns.is_empty() {
            // No key at all: one group.
            self.main.find_or_insert(&[0; W], hash::of_words(&[0; W]), &mut self.len)?;
            ids.resize(rows.len(), 0);
            return Ok(());
        }
        let mut prepared = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            prepared.push(column.prepare(&arrays[column.number()], rows.len())?);
        }
        let nullable = prepared.iter().any(|column| column.nulls().is_some());
        ids.resize(rows.len(), 0);
        let widest = rows.len().min(BLOCK);
        let (mut keys, mut nulls) = (vec![[0_u64; W]; widest], vec![0_u64; if nullable { widest } else { 0 }]);
        for (block, ids) in ids.chunks_mut(BLOCK).enumerate() {
            let first = block * BLOCK;
            let keys = &mut keys[..ids.len()];
            if self.last_word_free {
                keys.iter_mut().for_each(|key| key[W - 1] = 0);
            }
            for (column, prepared) in self.columns.iter_mut().zip(&prepared) {
                column.pack(prepared, rows, first, keys)?;
            }
            if nullable {
                let nulls = &mut nulls[..ids.len()];
                nulls.fill(0);
                for (column, prepared) in self.columns.iter().zip(&prepared) {
                    column.clear_nulls(prepared, rows, first, keys, nulls);
                }
            }
            self.probe(keys, nullable.then(|| &nulls[..ids.len()]), ids)?;
        }
        Ok(())
    }

    fn probe(&mut self, keys: &mut [[u64; W]], nulls: Option<&[u64]>, ids: &mut [u32]) -> Result<(), GroupTableError> {
        match (nulls, self.null_shift) {
            (Some(nulls), Some(shift)) => {
                for (key, mask) in keys.iter_mut().zip(nulls) {
                    key[W - 1] |= mask << shift;
                }
                self.probe_main(keys, ids)
            }
            (Some(nulls), None) if nulls.iter().any(|&mask| mask != 0) => {
                for ((key, &mask), id) in keys.iter().zip(nulls).zip(ids) {
                    *id = self.probe_one(key, mask)?;
                }
                Ok(())
            }
            _ => self.probe_main(keys, ids),
        }
    }

    fn probe_main(&mut self, keys: &[[u64; W]], ids: &mut [u32]) -> Result<(), GroupTableError> {
        #[cfg(target_arch = "x86_64")]
        if level() >= Level::Avx2 && self.direct.takes(keys, self.main.used) {
            // SAFETY: the processor has the instructions.
            return unsafe { self.direct.find(&mut self.main, keys, ids, &mut self.len) };
        }
        if self.main.memory_bytes() > PREFETCH_BYTES {
            let mut hashes = [0_u64; BLOCK];
            for (key, hash) in keys.iter().zip(&mut hashes) {
                *hash = hash::of_words(key);
                hash::prefetch(&self.main.buckets[self.main.home(*hash)]);
            }
            for ((key, &hash), id) in keys.iter().zip(&hashes).zip(ids) {
                *id = self.main.find_or_insert(key, hash, &mut self.len)?;
            }
        } else {
            for (key, id) in keys.iter().zip(ids) {
                *id = self.main.find_or_insert(key, hash::of_words(key), &mut self.len)?;
            }
        }
        Ok(())
    }

    /// A key whose NULL columns are `mask`, where NULLs are not part of the key.
    fn probe_one(&mut self, key: &[u64; W], mask: u64) -> Result<u32, GroupTableError> {
        if mask == 0 {
            return self.main.find_or_insert(key, hash::of_words(key), &mut self.len);
        }
        let mut wide = [0; BESIDE_WORDS];
        wide[..W].copy_from_slice(key);
        wide[BESIDE_WORDS - 1] = mask;
        self.beside.find_or_insert(&wide, hash::of_words(&wide), &mut self.len)
    }

    /// All keys in id order, and the masks of their NULL columns.
    fn dense(&self) -> (Vec<[u64; W]>, Vec<u64>) {
        let (mut keys, mut nulls) = (vec![[0; W]; self.len()], vec![0; self.len()]);
        for (key, id) in self.main.filled() {
            keys[id as usize] = *key;
        }
        for (key, id) in self.beside.filled() {
            keys[id as usize].copy_from_slice(&key[..W]);
            nulls[id as usize] = key[BESIDE_WORDS - 1];
        }
        if let Some(shift) = self.null_shift.filter(|_| !self.columns.is_empty()) {
            for (key, mask) in keys.iter_mut().zip(&mut nulls) {
                *mask = key[W - 1] >> shift;
                key[W - 1] &= (1 << shift) - 1;
            }
        }
        (keys, nulls)
    }

    pub fn keys(&self) -> Result<Vec<ArrayRef>, GroupTableError> {
        let (keys, nulls) = self.dense();
        let mut in_order: Vec<&Column> = self.columns.iter().collect();
        in_order.sort_by_key(|column| column.number());
        in_order.into_iter().map(|column| column.unpack(&keys, &nulls)).collect()
    }

    pub fn absorb(&mut self, other: &Self) -> Result<Vec<u32>, GroupTableError> {
        if !columns::same(&self.columns, &other.columns) {
            return Err(GroupTableError::OtherTypes);
        }
        let (mut keys, nulls) = other.dense();
        for (column, theirs) in self.columns.iter_mut().zip(&other.columns) {
            column.translate(theirs, &mut keys)?;
        }
        let mut ids = vec![0; keys.len()];
        for ((keys, nulls), ids) in keys.chunks_mut(BLOCK).zip(nulls.chunks(BLOCK)).zip(ids.chunks_mut(BLOCK)) {
            self.probe(keys, Some(nulls), ids)?;
        }
        Ok(ids)
    }
}
