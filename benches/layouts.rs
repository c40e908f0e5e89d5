//! `./x bench layouts`: three ways to keep the states of a sum and a maximum by key, beside each other.
//!
//! - *columns*, what Pelton does: buckets of (key, id), then an array of states for each aggregate;
//! - *whole groups*: buckets of (tag, id), then one array of groups, key and all states side by side;
//! - *parts*: rows sorted by 32 parts of the keys' hash, and columns for each part.
//!
//! All ask for memory ahead. Prints nanoseconds a row once every group is there; exit code 101 if the answers differ.

use std::time::Instant;

/// Rows between a request for memory and its use; keys that are looked up side by side.
const AHEAD: usize = 24;
const BLOCK: usize = 256;
const ROWS: usize = 1 << 24;
const PART_BITS: u32 = 5;

#[inline(always)]
fn prefetch<T>(item: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program can see.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = item;
}

#[inline(always)]
fn hash(key: u64) -> u64 {
    let product = u128::from(key ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    product as u64 ^ (product >> 64) as u64
}

/// An exact sum and the count of its rows.
#[derive(Clone, Copy, Default)]
struct Sum {
    value: i128,
    rows: u64,
}

impl Sum {
    #[inline(always)]
    fn add(&mut self, value: u64) {
        self.value += i128::from(value);
        self.rows += 1;
    }
}

fn fingerprint(sum: &Sum, greatest: u64) -> u64 {
    (sum.value as u64).wrapping_mul(3) ^ greatest ^ sum.rows
}

fn slots(groups: usize) -> usize {
    (groups * 3 / 2 + 1).next_power_of_two()
}

trait Table {
    fn of(groups: usize) -> Self;
    fn update(&mut self, keys: &[u64], values: &[u64]);
    fn answer(&self) -> u64;
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    key: u64,
    /// 0 if empty.
    id_plus_one: u32,
}

struct Columns {
    buckets: Vec<Bucket>,
    sums: Vec<Sum>,
    greatest: Vec<u64>,
    groups: u32,
    ids: Vec<u32>,
}

impl Table for Columns {
    fn of(groups: usize) -> Self {
        let buckets = vec![Bucket::default(); slots(groups)];
        Columns {
            buckets,
            sums: Vec::with_capacity(groups),
            greatest: Vec::with_capacity(groups),
            groups: 0,
            ids: vec![],
        }
    }

    fn update(&mut self, keys: &[u64], values: &[u64]) {
        let (shift, mask) = (64 - self.buckets.len().trailing_zeros(), self.buckets.len() - 1);
        self.ids.clear();
        for keys in keys.chunks(BLOCK) {
            let mut homes = [0; BLOCK];
            for (key, home) in keys.iter().zip(&mut homes) {
                *home = (hash(*key) >> shift) as usize;
                prefetch(&self.buckets[*home]);
            }
            for (key, home) in keys.iter().zip(homes) {
                let mut at = home;
                while self.buckets[at].id_plus_one != 0 && self.buckets[at].key != *key {
                    at = (at + 1) & mask;
                }
                if self.buckets[at].id_plus_one == 0 {
                    self.groups += 1;
                    self.buckets[at] = Bucket { key: *key, id_plus_one: self.groups };
                }
                self.ids.push(self.buckets[at].id_plus_one - 1);
            }
        }
        self.sums.resize(self.groups as usize, Sum::default());
        self.greatest.resize(self.groups as usize, 0);
        let later = |row: usize| self.ids[(row + AHEAD).min(self.ids.len() - 1)] as usize;
        for (row, (id, value)) in self.ids.iter().zip(values).enumerate() {
            prefetch(&self.sums[later(row)]);
            self.sums[*id as usize].add(*value);
        }
        for (row, (id, value)) in self.ids.iter().zip(values).enumerate() {
            prefetch(&self.greatest[later(row)]);
            let greatest = &mut self.greatest[*id as usize];
            *greatest = (*greatest).max(*value);
        }
    }

    fn answer(&self) -> u64 {
        self.sums.iter().zip(&self.greatest).fold(0, |all, (sum, max)| all.wrapping_add(fingerprint(sum, *max)))
    }
}

#[derive(Clone, Copy)]
struct Group {
    key: u64,
    greatest: u64,
    sum: Sum,
}

struct WholeGroups {
    /// The hash's low half, and the group's number plus one; 0 if empty.
    buckets: Vec<(u32, u32)>,
    groups: Vec<Group>,
}

impl Table for WholeGroups {
    fn of(groups: usize) -> Self {
        WholeGroups { buckets: vec![(0, 0); slots(groups)], groups: Vec::with_capacity(groups) }
    }

    fn update(&mut self, keys: &[u64], values: &[u64]) {
        let (shift, mask) = (64 - self.buckets.len().trailing_zeros(), self.buckets.len() - 1);
        for (keys, values) in keys.chunks(BLOCK).zip(values.chunks(BLOCK)) {
            let (mut hashes, mut places) = ([0; BLOCK], [0; BLOCK]);
            for (key, hash_of) in keys.iter().zip(&mut hashes) {
                *hash_of = hash(*key);
                prefetch(&self.buckets[(*hash_of >> shift) as usize]);
            }
            for (hash, place) in hashes[..keys.len()].iter().zip(&mut places) {
                let mut at = (hash >> shift) as usize;
                while self.buckets[at].1 != 0 && self.buckets[at].0 != *hash as u32 {
                    at = (at + 1) & mask;
                }
                if let Some(group) = self.groups.get((self.buckets[at].1 as usize).wrapping_sub(1)) {
                    prefetch(group);
                }
                *place = at;
            }
            for (row, (key, value)) in keys.iter().zip(values).enumerate() {
                let mut at = places[row];
                let id = loop {
                    match self.buckets[at] {
                        (_, 0) => {
                            self.groups.push(Group { key: *key, greatest: 0, sum: Sum::default() });
                            self.buckets[at] = (hashes[row] as u32, self.groups.len() as u32);
                            break self.groups.len() - 1;
                        }
                        (tag, id) if tag == hashes[row] as u32 && self.groups[id as usize - 1].key == *key => {
                            break id as usize - 1;
                        }
                        _ => at = (at + 1) & mask,
                    }
                };
                let group = &mut self.groups[id];
                group.sum.add(*value);
                group.greatest = group.greatest.max(*value);
            }
        }
    }

    fn answer(&self) -> u64 {
        self.groups.iter().fold(0, |all, group| all.wrapping_add(fingerprint(&group.sum, group.greatest)))
    }
}

struct Parts {
    parts: Vec<Columns>,
    keys: Vec<u64>,
    values: Vec<u64>,
}

impl Table for Parts {
    fn of(groups: usize) -> Self {
        let part = |_| Columns::of((groups >> PART_BITS) * 5 / 4 + 64);
        Parts { parts: (0..1 << PART_BITS).map(part).collect(), keys: vec![], values: vec![] }
    }

    fn update(&mut self, keys: &[u64], values: &[u64]) {
        let part = |key: u64| (hash(key) >> 20) as usize & ((1 << PART_BITS) - 1);
        let mut starts = vec![0; self.parts.len() + 1];
        keys.iter().for_each(|key| starts[part(*key) + 1] += 1);
        (1..starts.len()).for_each(|i| starts[i] += starts[i - 1]);
        self.keys.resize(keys.len(), 0);
        self.values.resize(keys.len(), 0);
        let mut next = starts.clone();
        for (key, value) in keys.iter().zip(values) {
            let at = &mut next[part(*key)];
            (self.keys[*at], self.values[*at]) = (*key, *value);
            *at += 1;
        }
        for (part, rows) in self.parts.iter_mut().zip(starts.windows(2)) {
            part.update(&self.keys[rows[0]..rows[1]], &self.values[rows[0]..rows[1]]);
        }
    }

    fn answer(&self) -> u64 {
        self.parts.iter().fold(0, |all, part| all.wrapping_add(part.answer()))
    }
}

/// Nanoseconds a row, the least of three rounds, and the answer.
fn measure<T: Table>(groups: usize, keys: &[u64], values: &[u64], batch: usize) -> (f64, u64) {
    let mut rounds = (0..3).map(|_| {
        let mut table = T::of(groups);
        let warm = ROWS / 4;
        table.update(&keys[..warm], &values[..warm]);
        let start = Instant::now();
        for (keys, values) in keys[warm..].chunks(batch).zip(values[warm..].chunks(batch)) {
            table.update(keys, values);
        }
        (start.elapsed().as_nanos() as f64 / (ROWS - warm) as f64, table.answer())
    });
    let first = rounds.next().expect("three rounds");
    rounds.fold(first, |least, round| if round.0 < least.0 { round } else { least })
}

fn main() {
    println!("{:>9} {:>9}  {:>8} {:>13} {:>8}  ns a row", "groups", "batch", "columns", "whole groups", "parts");
    for bits in [10, 14, 16, 18, 20, 22] {
        let mut state = 88_172_645_463_325_252_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let keys: Vec<u64> =
            (0..ROWS).map(|_| (random() >> 40 & ((1 << bits) - 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let values: Vec<u64> = (0..ROWS).map(|_| random() >> 10).collect();
        for batch in [1 << 16, 1 << 20] {
            let columns = measure::<Columns>(1 << bits, &keys, &values, batch);
            let whole = measure::<WholeGroups>(1 << bits, &keys, &values, batch);
            let parts = measure::<Parts>(1 << bits, &keys, &values, batch);
            assert!(columns.1 == whole.1 && columns.1 == parts.1, "the answers differ");
            println!("{:>9} {batch:>9}  {:>8.1} {:>13.1} {:>8.1}", 1 << bits, columns.0, whole.0, parts.0);
        }
    }
}
