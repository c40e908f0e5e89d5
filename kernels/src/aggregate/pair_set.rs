//! `PairSet`: a set of (group, word), for all groups of an aggregate together.
//!
//! Plain idea: `HashSet<(u32, W)>`. Departure: pairs come many at a time and most miss the caches, so a block's lines are asked for
//! before its pairs are looked up; and a pair's entry is all that a lookup reads, without a byte of control elsewhere.

use std::mem::replace;

use super::values::mix;
use crate::group_table::{grown, hash};
use crate::growth;

/// Pairs that are looked up together.
const BLOCK: usize = 256;

/// Above this many bytes of entries a block asks for its lines ahead.
const PREFETCH_BYTES: usize = 1 << 18;

/// What goes with a group.
pub trait Word: Copy + Ord + Default + Send + Sync + 'static {
    /// A hash of the pair.
    fn hash(self, group: u32) -> u64;
}

impl Word for u32 {
    #[inline(always)]
    fn hash(self, group: u32) -> u64 {
        mix(u64::from(self), u64::from(group))
    }
}

impl Word for u64 {
    #[inline(always)]
    fn hash(self, group: u32) -> u64 {
        mix(self, u64::from(group))
    }
}

/// Two halves, so that a pair takes 24 bytes and not 32.
impl Word for [u64; 2] {
    #[inline(always)]
    fn hash(self, group: u32) -> u64 {
        mix(self[1], mix(self[0], u64::from(group)))
    }
}

#[derive(Clone, Copy, Default)]
struct Entry<W> {
    /// 0 if the entry is free.
    group_plus_one: u32,
    word: W,
}

/// See the module. Linear probing by the top bits of the hash, at most two thirds full: 8, 16 or 24 bytes an entry.
pub struct PairSet<W> {
    entries: Vec<Entry<W>>,
    len: usize,
}

impl<W> Default for PairSet<W> {
    fn default() -> Self {
        Self { entries: vec![], len: 0 }
    }
}

impl<W: Word> PairSet<W> {
    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        (hash >> (64 - self.entries.len().trailing_zeros())) as usize
    }

    /// Adds a pair. True if it is new. Groups are below `u32::MAX`.
    #[inline(always)]
    pub fn insert(&mut self, group: u32, word: W) -> bool {
        self.insert_hashed(group, word, word.hash(group))
    }

    /// Adds pairs, and calls `new` with the group of each that is new.
    pub fn extend(&mut self, groups: &[u32], words: impl Fn(usize) -> W, mut new: impl FnMut(u32)) {
        let mut hashes = [0; BLOCK];
        for (block, groups) in groups.chunks(BLOCK).enumerate() {
            let word = |i: usize| words(block * BLOCK + i);
            let hashes = &mut hashes[..groups.len()];
            for (i, (hash, group)) in hashes.iter_mut().zip(groups).enumerate() {
                *hash = word(i).hash(*group);
            }
            if self.memory_bytes() > PREFETCH_BYTES {
                hashes.iter().for_each(|hash| hash::prefetch(&self.entries[self.home(*hash)]));
            }
            for (i, (hash, group)) in hashes.iter().zip(groups).enumerate() {
                if self.insert_hashed(*group, word(i), *hash) {
                    new(*group);
                }
            }
        }
    }

    /// Adds the pairs of another set under the names that `rename` gives them, and calls `new` with the group of each that is new.
    pub fn merge(&mut self, other: &Self, rename: impl Fn(u32, W) -> (u32, W), mut new: impl FnMut(u32)) {
        // They come in the order of their hashes: in a table too small for all of them they would crowd at its front.
        self.reserve(other.len);
        let (mut groups, mut words) = (Vec::with_capacity(BLOCK), Vec::with_capacity(BLOCK));
        let mut pairs = other.iter().map(|(group, word)| rename(group, word)).peekable();
        while pairs.peek().is_some() {
            groups.clear();
            words.clear();
            for (group, word) in pairs.by_ref().take(BLOCK) {
                groups.push(group);
                words.push(word);
            }
            self.extend(&groups, |i| words[i], &mut new);
        }
    }

    /// Makes room for so many more.
    fn reserve(&mut self, more: usize) {
        let wanted = ((self.len + more) * 3 / 2 + 1).next_power_of_two();
        if wanted > self.entries.len() {
            self.grow(wanted);
        }
    }

    #[inline(always)]
    fn insert_hashed(&mut self, group: u32, word: W, hash: u64) -> bool {
        let group_plus_one = group + 1;
        if (self.len + 1) * 3 > self.entries.len() * 2 {
            self.grow(grown(self.entries.len()));
        }
        let mask = self.entries.len() - 1;
        let mut at = self.home(hash);
        loop {
            let entry = &mut self.entries[at];
            if entry.group_plus_one == group_plus_one && entry.word == word {
                return false;
            }
            if entry.group_plus_one == 0 {
                *entry = Entry { group_plus_one, word };
                self.len += 1;
                return true;
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, entries: usize) {
        let old = replace(&mut self.entries, growth::filled(Entry::default(), entries));
        let mask = entries - 1;
        for entry in old.iter().filter(|entry| entry.group_plus_one != 0) {
            let mut at = self.home(entry.word.hash(entry.group_plus_one - 1));
            while self.entries[at].group_plus_one != 0 {
                at = (at + 1) & mask;
            }
            self.entries[at] = *entry;
        }
        growth::discard(old);
    }

    /// All pairs, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, W)> {
        self.entries
            .iter()
            .filter(|entry| entry.group_plus_one != 0)
            .map(|entry| (entry.group_plus_one - 1, entry.word))
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<W>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::time::{Duration, Instant};

    fn check<W: Word + std::fmt::Debug>(pairs: &[(u32, u32)], word: impl Fn(u32) -> W, cut: usize) {
        let (mut set, mut want) = (PairSet::<W>::default(), BTreeSet::new());
        let (first, rest) = pairs.split_at(cut.min(pairs.len()));
        for (group, n) in first {
            assert_eq!(set.insert(*group, word(*n)), want.insert((*group, word(*n))));
        }
        let (mut new, mut want_new) = (vec![], vec![]);
        let groups: Vec<u32> = rest.iter().map(|(group, _)| *group).collect();
        set.extend(&groups, |i| word(rest[i].1), |group| new.push(group));
        for (group, n) in rest {
            if want.insert((*group, word(*n))) {
                want_new.push(*group);
            }
        }
        assert_eq!(new, want_new);
        assert_eq!(set.len, want.len());
        assert_eq!(set.iter().collect::<BTreeSet<_>>(), want);
        let (mut merged, mut of_new) = (PairSet::<W>::default(), 0);
        assert!(merged.insert(7, word(0)));
        want.insert((7, word(0)));
        merged.merge(&set, |group, word| (group, word), |_| of_new += 1);
        assert_eq!(merged.iter().collect::<BTreeSet<_>>(), want);
        assert_eq!(of_new, want.len() - 1);
        assert!(set.memory_bytes() >= want.len() * size_of::<(u32, W)>());
    }

    /// Without room made first, each pair would walk past most of those before it: a hundred times as long.
    #[test]
    fn pairs_that_come_in_the_order_of_their_hashes_do_not_crowd() {
        let mut set = PairSet::<u32>::default();
        let start = Instant::now();
        (0..200_000).for_each(|n| assert!(set.insert(n, n % 7)));
        let inserting = start.elapsed();
        let start = Instant::now();
        let mut merged = PairSet::default();
        merged.merge(&set, |group, word| (group, word), |_| ());
        let merging = start.elapsed();
        assert_eq!(merged.len, 200_000);
        assert!(merging < 20 * inserting + Duration::from_millis(50), "{merging:?}, inserting {inserting:?}");
    }

    proptest! {
        #[test]
        fn it_holds_what_a_set_holds(
            groups in 1_u32..3000,
            words in 1_u32..50,
            numbers in prop::collection::vec(any::<(u32, u32)>(), 0..3000),
            cut in 0_usize..3000,
        ) {
            // The last group that there may be is among them.
            let group = |n: u32| if n.is_multiple_of(groups) { u32::MAX - 3 } else { n % groups };
            let pairs: Vec<(u32, u32)> = numbers.into_iter().map(|(a, b)| (group(a), b % words)).collect();
            check(&pairs, |n| n, cut);
            check(&pairs, |n| u64::from(n) << 32, cut);
            check(&pairs, |n| [u64::from(n), u64::MAX], cut);
        }
    }
}
