//! Many rows at once: values become bytes ([`Bins`]), and 64 rows go down a tree together ([`descend`]).
//!
//! Leaves are only found there; they are added row by row in the order of the trees, so the sums are those of [`Trees`], bit for bit.
//! Trees that are too deep, and those that ask for categories, are walked as they are.

use std::ops::Range;

use pelton_kernels::cpu::{self, Level};

use crate::bins::{Bins, RUN, THRESHOLDS_MAX};
use crate::lanes::{DEPTH_MAX, Nodes, descend, room};
use crate::model::{Fold, LEAF, Missing, Node, Number, Test, Trees, ZERO};

/// Rows of a tile.
pub(crate) const TILE: usize = 64;

/// What both precisions do in tiles.
pub(crate) trait Tiled: Number {
    /// Below what is a value that is at most this; `None` if nothing says so.
    fn above(self) -> Option<Self>;

    /// How many thresholds a value has reached.
    ///
    /// # Safety
    /// The processor must have AVX-512 F and DQ.
    #[cfg(target_arch = "x86_64")]
    unsafe fn reached_avx512(run: &[Self; RUN], value: Self) -> u32;

    /// Adds to each row's sum the leaf of its end; leaves lie by the lowest bits of the ends.
    fn add_leaves(level: Level, leaves: &[Self], ends: &[u8; TILE], sums: &mut [Self; TILE]);
}

impl Tiled for f32 {
    fn above(self) -> Option<Self> {
        (self < f32::INFINITY).then(|| self.next_up())
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn reached_avx512(run: &[Self; RUN], value: Self) -> u32 {
        use std::arch::x86_64::*;
        // SAFETY: the caller has the instructions, and there are 16 values.
        unsafe {
            let run = _mm512_loadu_ps(run.as_ptr());
            _mm512_cmp_ps_mask::<_CMP_LE_OQ>(run, _mm512_set1_ps(value)).count_ones()
        }
    }

    fn add_leaves(level: Level, leaves: &[Self], ends: &[u8; TILE], sums: &mut [Self; TILE]) {
        match (level, leaves.try_into()) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the level is one that the processor has, as `descend` has made sure.
            (Level::Avx512, Ok(leaves)) => unsafe { wide::add_leaves(leaves, ends, sums) },
            _ => add_each(leaves, ends, sums),
        }
    }
}

impl Tiled for f64 {
    fn above(self) -> Option<Self> {
        (self < f64::INFINITY).then(|| self.next_up())
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn reached_avx512(run: &[Self; RUN], value: Self) -> u32 {
        use std::arch::x86_64::*;
        // SAFETY: the caller has the instructions, and there are 16 values.
        unsafe {
            let value = _mm512_set1_pd(value);
            let low = _mm512_cmp_pd_mask::<_CMP_LE_OQ>(_mm512_loadu_pd(run.as_ptr()), value);
            let high = _mm512_cmp_pd_mask::<_CMP_LE_OQ>(_mm512_loadu_pd(run.as_ptr().add(8)), value);
            u16::from_le_bytes([low, high]).count_ones()
        }
    }

    fn add_leaves(_: Level, leaves: &[Self], ends: &[u8; TILE], sums: &mut [Self; TILE]) {
        add_each(leaves, ends, sums);
    }
}

fn add_each<T: Number>(leaves: &[T], ends: &[u8; TILE], sums: &mut [T; TILE]) {
    let low = leaves.len() - 1;
    for (sum, end) in sums.iter_mut().zip(ends) {
        *sum += leaves[usize::from(*end) & low];
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::*;

    use super::TILE;

    /// Rows of a register.
    const LANES: usize = 16;

    /// 64 leaves are four registers.
    #[target_feature(enable = "avx512f")]
    pub fn add_leaves(leaves: &[f32; 64], ends: &[u8; TILE], sums: &mut [f32; TILE]) {
        // SAFETY: there are four times 16.
        let parts = [0, 16, 32, 48].map(|at| unsafe { _mm512_loadu_ps(leaves.as_ptr().add(at)) });
        for (ends, sums) in ends.as_chunks::<LANES>().0.iter().zip(sums.as_chunks_mut::<LANES>().0) {
            // SAFETY: there are 16 ends.
            let end = _mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(ends.as_ptr().cast()) });
            let low = _mm512_permutex2var_ps(parts[0], end, parts[1]);
            let high = _mm512_permutex2var_ps(parts[2], end, parts[3]);
            let leaf = _mm512_mask_blend_ps(_mm512_test_epi32_mask(end, _mm512_set1_epi32(32)), low, high);
            // SAFETY: there are 16 sums.
            unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), _mm512_add_ps(_mm512_loadu_ps(sums.as_ptr()), leaf)) };
        }
    }
}

/// A forest as it is computed.
pub(crate) struct Tiles<T> {
    groups: Vec<Group<T>>,
}

/// Trees one after the other, of which no feature has more thresholds than a byte counts.
struct Group<T> {
    trees: Range<usize>,
    /// For each tree where its parts are; `None` if it is walked.
    whole: Vec<Option<Whole>>,
    /// [`Nodes`] of all trees, and their leaves.
    thresholds: Vec<u8>,
    columns: Vec<u32>,
    leaves: Vec<T>,
    /// The columns of a tile.
    tile: Vec<Column>,
    /// By feature, if there is a threshold.
    bins: Vec<Option<Bins<T>>>,
}

/// A tree that is laid out whole.
struct Whole {
    depth: u32,
    /// Where its nodes and leaves begin; there is [`room`] for either.
    first: usize,
}

/// A feature's bytes, with missing values below all thresholds or above.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Column {
    pub feature: u32,
    missing_left: bool,
    /// 0 is missing too.
    zero_is_missing: bool,
}

impl Column {
    /// Makes bytes of the values of its feature, whose thresholds these are.
    pub fn fill<T: Tiled>(self, level: Level, bins: &Bins<T>, values: &[T; TILE], bytes: &mut [u8; TILE]) {
        bins.count(level, values, bytes);
        let is_missing = |value: &T| value.is_missing() || (self.zero_is_missing && value.to_f64().abs() <= ZERO);
        // NaN has reached no threshold, which is left of all.
        let is_as_counted = self.missing_left && !self.zero_is_missing;
        if !is_as_counted && values.iter().fold(false, |any, value| any | is_missing(value)) {
            let byte = if self.missing_left { 0 } else { u8::MAX };
            bytes.iter_mut().zip(values).filter(|(_, value)| is_missing(value)).for_each(|(to, _)| *to = byte);
        }
    }
}

impl<T: Tiled> Tiles<T> {
    /// Lays out what can be.
    pub fn new(trees: &Trees<T>, features: usize) -> Self {
        let mut groups = vec![];
        let mut thresholds: Vec<Vec<T>> = vec![vec![]; features];
        let (mut first, mut depths) = (0, vec![]);
        for (tree, (root, _)) in trees.roots.iter().enumerate() {
            let depth = depth(trees, *root, 0);
            if depth.is_some() && !take(trees, *root, &mut thresholds, THRESHOLDS_MAX) {
                groups.push(Group::new(trees, first, &depths, &thresholds));
                (first, depths) = (tree, vec![]);
                thresholds.iter_mut().for_each(Vec::clear);
                take(trees, *root, &mut thresholds, THRESHOLDS_MAX);
            }
            depths.push(depth);
        }
        groups.push(Group::new(trees, first, &depths, &thresholds));
        Tiles { groups }
    }

    /// Calls with the sums of each row.
    pub fn each_row(&self, trees: &Trees<T>, columns: &[&[f64]], rows: usize, call: impl FnMut(&mut Vec<T>)) {
        self.each_row_at(cpu::level(), trees, columns, rows, call);
    }

    fn each_row_at(
        &self,
        level: Level,
        trees: &Trees<T>,
        columns: &[&[f64]],
        rows: usize,
        mut call: impl FnMut(&mut Vec<T>),
    ) {
        let zeros = [T::of(0.0); TILE];
        let mut values = vec![zeros; columns.len()];
        let mut all = vec![zeros; trees.start.len()];
        let mut tile = vec![];
        let mut sums = Vec::with_capacity(all.len());
        for first in (0..rows).step_by(TILE) {
            let count = TILE.min(rows - first);
            for (values, column) in values.iter_mut().zip(columns) {
                values.iter_mut().zip(&column[first..first + count]).for_each(|(to, value)| *to = T::of(*value));
            }
            all.iter_mut().zip(&trees.start).for_each(|(sums, start)| sums.fill(*start));
            self.groups.iter().for_each(|group| group.add(level, trees, &values, &mut tile, &mut all));
            for at in 0..count {
                sums.clear();
                sums.extend(all.iter().map(|sums| sums[at]));
                trees.finish(&mut sums);
                call(&mut sums);
            }
        }
    }
}

impl<T: Tiled> Group<T> {
    /// Of the trees from `first` on, whose depths these are, and their thresholds by feature.
    fn new(trees: &Trees<T>, first: usize, depths: &[Option<u32>], thresholds: &[Vec<T>]) -> Self {
        let mut group = Group {
            trees: first..first + depths.len(),
            whole: vec![],
            thresholds: vec![],
            columns: vec![],
            leaves: vec![],
            tile: vec![],
            bins: thresholds.iter().map(|all| (!all.is_empty()).then(|| Bins::new(all))).collect(),
        };
        for ((root, _), depth) in trees.roots[group.trees.clone()].iter().zip(depths) {
            let whole = depth.map(|depth| {
                let whole = Whole { depth, first: group.leaves.len() };
                let end = whole.first + room(depth);
                group.thresholds.resize(end, 0);
                group.columns.resize(end, 0);
                group.leaves.resize(end, T::of(0.0));
                group.place(trees, *root, &whole, (1, 0), thresholds);
                whole
            });
            group.whole.push(whole);
        }
        group
    }

    /// Puts what is at `at` to a number of a level.
    fn place(&mut self, trees: &Trees<T>, at: u32, whole: &Whole, (number, level): (usize, u32), all: &[Vec<T>]) {
        let node = &trees.nodes[at as usize];
        if node.left == LEAF {
            // All that lies below a leaf is that leaf.
            let below = 1 << (whole.depth - level);
            let first = number * below % room(whole.depth);
            self.leaves[whole.first + first..][..below].fill(node.value);
            return;
        }
        let (threshold, column) = test(trees, node).expect("other trees are walked");
        let column = self.tile.iter().position(|known| *known == column).unwrap_or_else(|| {
            self.tile.push(column);
            self.tile.len() - 1
        });
        // A value below the threshold has reached those before it at most.
        let before = all[node.feature as usize].partition_point(|known| *known < threshold);
        self.thresholds[whole.first + number] = before as u8 + 1;
        self.columns[whole.first + number] = column as u32;
        self.place(trees, node.left, whole, (2 * number, level + 1), all);
        self.place(trees, node.right, whole, (2 * number + 1, level + 1), all);
    }

    /// Adds the leaves of rows to their sums.
    fn add(
        &self,
        level: Level,
        trees: &Trees<T>,
        values: &[[T; TILE]],
        tile: &mut Vec<[u8; TILE]>,
        sums: &mut [[T; TILE]],
    ) {
        self.fill(level, values, tile);
        let mut ends = [0; TILE];
        let mut row = vec![T::of(0.0); values.len()];
        for (whole, (root, of)) in self.whole.iter().zip(&trees.roots[self.trees.clone()]) {
            let sums = &mut sums[*of as usize];
            let Some(Whole { depth, first }) = whole else {
                for (at, sum) in sums.iter_mut().enumerate() {
                    row.iter_mut().zip(values).for_each(|(value, column)| *value = column[at]);
                    trees.add(sum, trees.leaf(*root, &row).value);
                }
                continue;
            };
            let part = *first..first + room(*depth);
            let (thresholds, columns) = (&self.thresholds[part.clone()], &self.columns[part.clone()]);
            // SAFETY: columns are numbered by those of the tile (`place`), all of which are there now (`fill`).
            unsafe { descend(level, Nodes { depth: *depth, thresholds, columns }, tile, &mut ends) };
            let leaves = &self.leaves[part];
            match trees.fold {
                Fold::Sum => T::add_leaves(level, leaves, &ends, sums),
                _ => {
                    let pairs = sums.iter_mut().zip(ends);
                    pairs.for_each(|(sum, end)| trees.add(sum, leaves[usize::from(end) & (leaves.len() - 1)]));
                }
            }
        }
    }

    /// Makes bytes of values.
    fn fill(&self, level: Level, values: &[[T; TILE]], tile: &mut Vec<[u8; TILE]>) {
        tile.resize(self.tile.len(), [0; TILE]);
        for (column, bytes) in self.tile.iter().zip(tile) {
            let bins = self.bins[column.feature as usize].as_ref().expect("a node has a threshold");
            column.fill(level, bins, &values[column.feature as usize], bytes);
        }
    }
}

/// Below what a value goes to the left, and by which column it is asked; `None` if the node asks for something else, or any number goes to
/// the left.
fn test<T: Tiled>(trees: &Trees<T>, node: &Node<T>) -> Option<(T, Column)> {
    let (threshold, column) = test_any(trees, node)?;
    Some((threshold?, column))
}

/// Likewise, without a threshold where any number goes to the left: LightGBM asks so whether a value is missing.
pub(crate) fn test_any<T: Tiled>(trees: &Trees<T>, node: &Node<T>) -> Option<(Option<T>, Column)> {
    let Test::Number { missing, left } = node.test else { return None };
    if node.value.is_missing() {
        return None;
    }
    let threshold = if trees.left_on_equal { node.value.above() } else { Some(node.value) };
    let (missing_left, zero_is_missing) = match missing {
        Missing::Nan => (left, false),
        Missing::Zero => (left, true),
        Missing::None => (threshold.is_none_or(|threshold| T::of(0.0) < threshold), false),
    };
    Some((threshold, Column { feature: node.feature, missing_left, zero_is_missing }))
}

/// Adds a tree's thresholds to those of its features, in order. If some feature would have more than so many none is added, and it is false.
pub(crate) fn take<T: Tiled>(trees: &Trees<T>, root: u32, thresholds: &mut [Vec<T>], most: usize) -> bool {
    let mut added = vec![];
    let mut open = vec![root];
    while let Some(at) = open.pop() {
        let node = &trees.nodes[at as usize];
        if node.left == LEAF {
            continue;
        }
        open.extend([node.left, node.right]);
        let (threshold, _) = test_any(trees, node).expect("other trees are walked");
        let Some(threshold) = threshold else { continue };
        let all = &mut thresholds[node.feature as usize];
        let before = all.partition_point(|known| *known < threshold);
        if all.get(before) != Some(&threshold) {
            all.insert(before, threshold);
            added.push((node.feature, threshold));
        }
        if all.len() > most {
            added
                .iter()
                .for_each(|(feature, threshold)| thresholds[*feature as usize].retain(|known| known != threshold));
            return false;
        }
    }
    true
}

/// How deep a tree is; `None` if it is too deep, or a node asks for what bytes do not tell.
fn depth<T: Tiled>(trees: &Trees<T>, at: u32, above: u32) -> Option<u32> {
    let node = &trees.nodes[at as usize];
    match node.left {
        LEAF => Some(0),
        _ if above >= DEPTH_MAX => None,
        _ => {
            test(trees, node)?;
            Some(1 + depth(trees, node.left, above + 1)?.max(depth(trees, node.right, above + 1)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A tree of some depth, by dice: numbers, some of them missing to the left, and leaves at every level.
    fn grow<T: Tiled>(trees: &mut Trees<T>, depth: u32, features: u32, dice: &mut impl FnMut(u32) -> u32) -> u32 {
        let at = trees.nodes.len() as u32;
        let is_leaf = depth == 0 || dice(9) == 0;
        let missing = [Missing::None, Missing::Zero, Missing::Nan, Missing::Nan, Missing::Nan][dice(5) as usize];
        let value = T::of(f64::from(dice(400)) / 7.0 - 20.0);
        let test = Test::Number { missing, left: dice(2) == 0 };
        trees.nodes.push(Node { left: LEAF, right: LEAF, feature: dice(features), test, value, cover: 0.0, id: at });
        if !is_leaf {
            let left = grow(trees, depth - 1, features, dice);
            let right = grow(trees, depth - 1, features, dice);
            (trees.nodes[at as usize].left, trees.nodes[at as usize].right) = (left, right);
        }
        at
    }

    fn check<T: Tiled + std::fmt::Debug>(seed: u64, left_on_equal: bool) {
        let mut state = seed;
        let mut dice = |below: u32| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as u32 % below
        };
        let features = 1 + dice(4);
        let mut trees = Trees::new(vec![T::of(0.1), T::of(-3.0)]);
        trees.left_on_equal = left_on_equal;
        for tree in 0..1 + dice(30) {
            // Beyond the deepest too, and some feature with too many thresholds for a byte.
            let depth = dice(DEPTH_MAX + 2);
            let root = grow(&mut trees, depth, features, &mut dice);
            trees.roots.push((root, tree % 2));
        }
        let rows = 1 + dice(150) as usize;
        let columns: Vec<Vec<f64>> = (0..features)
            .map(|_| {
                (0..rows)
                    .map(|_| match dice(12) {
                        0 => f64::NAN,
                        1 => f64::INFINITY,
                        2 => f64::NEG_INFINITY,
                        3 => 0.0,
                        // At thresholds and between them.
                        _ => T::of(f64::from(dice(800)) / 14.0 - 20.0).to_f64(),
                    })
                    .collect()
            })
            .collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let tiles = Tiles::new(&trees, features as usize);
        for level in [Level::Scalar, Level::Avx2, Level::Avx512].into_iter().filter(|level| *level <= cpu::level()) {
            let mut at = 0;
            tiles.each_row_at(level, &trees, &columns, rows, |sums| {
                let row: Vec<T> = columns.iter().map(|column| T::of(column[at])).collect();
                let mut want = trees.start.clone();
                trees.roots.iter().for_each(|(root, of)| want[*of as usize] += trees.leaf(*root, &row).value);
                let bits = |sums: &[T]| sums.iter().map(|sum| sum.to_f64().to_bits()).collect::<Vec<u64>>();
                assert_eq!(bits(sums), bits(&want), "{level:?}, row {at}");
                at += 1;
            });
            assert_eq!(at, rows);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn tiles_are_the_walk_at_every_level(seed: u64, left_on_equal: bool) {
            check::<f32>(seed, left_on_equal);
            check::<f64>(seed, left_on_equal);
        }
    }

    #[test]
    fn a_group_is_as_long_as_bytes_count() {
        let mut trees = Trees::new(vec![0.0f32]);
        for tree in 0..600u32 {
            let test = Test::Number { missing: Missing::Nan, left: true };
            let node = |left, right, value| Node { left, right, feature: 0, test, value, cover: 0.0, id: 0 };
            let at = 3 * tree;
            trees.nodes.extend([node(at + 1, at + 2, tree as f32), node(LEAF, LEAF, 1.0), node(LEAF, LEAF, 1024.0)]);
            trees.roots.push((at, 0));
        }
        let tiles = Tiles::new(&trees, 1);
        assert_eq!(
            tiles.groups.iter().map(|group| group.trees.clone()).collect::<Vec<_>>(),
            [0..255, 255..510, 510..600]
        );
        let values: Vec<f64> = (0..700).map(f64::from).collect();
        let mut at = 0;
        tiles.each_row(&trees, &[&values], values.len(), |sums| {
            let reached = 600.min(at + 1);
            assert_eq!(sums[0], (reached * 1024 + (600 - reached)) as f32);
            at += 1;
        });
    }
}
