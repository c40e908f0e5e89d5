//! Many rows at once: trees laid out whole, so that a step down is arithmetic and no branch, and rows in tiles, so that the
//! processor has independent steps at hand while a value is on its way.
//!
//! Leaves are only found here; they are added row by row in the order of the trees, so the sums are those of [`Trees`], bit for bit.
//! Trees that are too deep, and nodes that ask for categories or to which 0 is missing, are walked as they are.

use pelton_kernels::cpu::{Level, level};

use crate::model::{LEAF, Missing, Number, Test, Trees};

/// Rows of a tile.
const TILE: usize = 64;
/// The deepest tree that is laid out whole: 255 nodes.
const DEPTH_MAX: u32 = 8;

/// A tree whose nodes are at `2i + 1` and `2i + 2` below `i`.
struct Whole {
    depth: u32,
    /// Where its nodes begin, and its leaves; there is room for [`WIDE`] of each.
    nodes: usize,
    leaves: usize,
}

/// Nodes of a tree are read so many at a time.
const WIDE: usize = 64;

/// A forest as it is computed. Tiles have every feature twice: with missing values below all others, and above them; a node
/// asks for that of the two which sends them where it should.
pub(crate) struct Tiles<T> {
    /// For each tree how it is laid out; `None` if it is walked.
    whole: Vec<Option<Whole>>,
    /// What a value must be below to go to the left.
    thresholds: Vec<T>,
    /// Where the feature's values begin in a tile.
    columns: Vec<u32>,
    leaves: Vec<T>,
}

/// What both precisions do in tiles.
pub(crate) trait Tiled: Number {
    const LEAST: Self;
    const GREATEST: Self;

    /// Below what is a value that is at most this; `None` if nothing says so.
    fn above(self) -> Option<Self>;

    /// Finds the leaves of a tile's rows with instructions for many at once; false if there are none, or the tree is too deep.
    fn descend_wide(depth: u32, tree: Tree<'_, Self>, tile: &[Self], found: &mut [Self]) -> bool;
}

/// A tree's parts.
#[derive(Clone, Copy)]
pub(crate) struct Tree<'t, T> {
    thresholds: &'t [T],
    columns: &'t [u32],
    leaves: &'t [T],
}

impl Tiled for f32 {
    const LEAST: f32 = f32::NEG_INFINITY;
    const GREATEST: f32 = f32::INFINITY;

    fn above(self) -> Option<Self> {
        (self < f32::INFINITY).then(|| self.next_up())
    }

    fn descend_wide(depth: u32, tree: Tree<'_, f32>, tile: &[f32], found: &mut [f32]) -> bool {
        #[cfg(target_arch = "x86_64")]
        if depth <= 6 && level() == Level::Avx512 {
            // SAFETY: the level says that the processor has the instructions.
            unsafe { wide::descend(depth, tree, tile, found) };
            return true;
        }
        let _ = (depth, tree, tile, found);
        false
    }
}

impl Tiled for f64 {
    const LEAST: f64 = f64::NEG_INFINITY;
    const GREATEST: f64 = f64::INFINITY;

    fn above(self) -> Option<Self> {
        (self < f64::INFINITY).then(|| self.next_up())
    }

    fn descend_wide(_: u32, _: Tree<'_, f64>, _: &[f64], _: &mut [f64]) -> bool {
        false
    }
}

impl<T: Tiled> Tiles<T> {
    /// Lays out what can be.
    pub fn new(trees: &Trees<T>, features: usize) -> Self {
        let mut tiles = Tiles { whole: vec![], thresholds: vec![], columns: vec![], leaves: vec![] };
        for (root, _) in &trees.roots {
            let whole = tiles.lay_out(trees, *root, features);
            tiles.whole.push(whole);
        }
        tiles
    }

    fn lay_out(&mut self, trees: &Trees<T>, root: u32, features: usize) -> Option<Whole> {
        let depth = depth(trees, root, 0)?;
        let (nodes, leaves) = (self.thresholds.len(), self.leaves.len());
        let room = WIDE.max(1 << depth);
        self.thresholds.resize(nodes + room, T::GREATEST);
        self.columns.resize(nodes + room, 0);
        self.leaves.resize(leaves + room, T::of(0.0));
        let whole = Whole { depth, nodes, leaves };
        if self.place(trees, root, &whole, (0, 0), features).is_some() {
            return Some(whole);
        }
        self.thresholds.truncate(nodes);
        self.columns.truncate(nodes);
        self.leaves.truncate(leaves);
        None
    }

    /// Puts the node `at` to a place of a level; `None` if it does not fit the form.
    fn place(
        &mut self,
        trees: &Trees<T>,
        at: u32,
        whole: &Whole,
        (place, level): (usize, u32),
        features: usize,
    ) -> Option<()> {
        let node = &trees.nodes[at as usize];
        if node.left == LEAF {
            // All that lies below a leaf is that leaf.
            let below = 1 << (whole.depth - level);
            let first = (place + 1) * below - (1 << whole.depth);
            self.leaves[whole.leaves + first..][..below].fill(node.value);
            return Some(());
        }
        let Test::Number { missing, left } = node.test else { return None };
        let threshold = if trees.left_on_equal { node.value.above()? } else { node.value };
        let missing_left = match missing {
            Missing::Nan => left,
            Missing::None => T::of(0.0) < threshold,
            Missing::Zero => return None,
        };
        // Nothing is below the least of all.
        let is_number = threshold > T::LEAST;
        if !is_number {
            return None;
        }
        let column = node.feature as usize + if missing_left { 0 } else { features };
        self.thresholds[whole.nodes + place] = threshold;
        self.columns[whole.nodes + place] = u32::try_from(column * TILE).ok()?;
        self.place(trees, node.left, whole, (2 * place + 1, level + 1), features)?;
        self.place(trees, node.right, whole, (2 * place + 2, level + 1), features)
    }

    /// Calls with the sums of each row.
    pub fn each_row(&self, trees: &Trees<T>, columns: &[&[f64]], rows: usize, mut call: impl FnMut(&mut Vec<T>)) {
        let width = trees.start.len();
        // With missing values as the least, as the greatest, and as they are.
        let mut tile = vec![T::of(0.0); 3 * columns.len() * TILE];
        let mut found = [T::of(0.0); TILE];
        let mut all = vec![T::of(0.0); width * TILE];
        let mut row = vec![T::of(0.0); columns.len()];
        let mut sums = Vec::with_capacity(width);
        for first in (0..rows).step_by(TILE) {
            let count = TILE.min(rows - first);
            let (least, rest) = tile.split_at_mut(columns.len() * TILE);
            let (greatest, plain) = rest.split_at_mut(columns.len() * TILE);
            for (c, column) in columns.iter().enumerate() {
                for (at, value) in column[first..first + count].iter().enumerate() {
                    let at = c * TILE + at;
                    let number = T::of(*value);
                    (least[at], greatest[at], plain[at]) = match value.is_nan() {
                        true => (T::LEAST, T::GREATEST, number),
                        false => (number, number, number),
                    };
                }
            }
            let plain = &tile[2 * columns.len() * TILE..];
            all.chunks_mut(TILE).zip(&trees.start).for_each(|(sums, start)| sums.fill(*start));
            for (whole, (root, of)) in self.whole.iter().zip(&trees.roots) {
                match whole {
                    Some(whole) => self.descend(whole, &tile, &mut found),
                    None => {
                        for (at, found) in found[..count].iter_mut().enumerate() {
                            row.iter_mut().zip(plain.chunks(TILE)).for_each(|(value, column)| *value = column[at]);
                            *found = trees.leaf(*root, &row).value;
                        }
                    }
                }
                let sums = &mut all[*of as usize * TILE..][..TILE];
                sums.iter_mut().zip(&found).for_each(|(sum, leaf)| *sum += *leaf);
            }
            for at in 0..count {
                sums.clear();
                sums.extend(all.chunks(TILE).map(|sums| sums[at]));
                call(&mut sums);
            }
        }
    }

    /// The leaves of a tile's rows in a tree.
    fn descend(&self, whole: &Whole, tile: &[T], found: &mut [T; TILE]) {
        let room = WIDE.max(1 << whole.depth);
        let tree = Tree {
            thresholds: &self.thresholds[whole.nodes..][..room],
            columns: &self.columns[whole.nodes..][..room],
            leaves: &self.leaves[whole.leaves..][..room],
        };
        if T::descend_wide(whole.depth, tree, tile, found) {
            return;
        }
        let mut places = [0u32; TILE];
        for _ in 0..whole.depth {
            for (row, place) in places.iter_mut().enumerate() {
                let at = *place as usize;
                let left = tile[tree.columns[at] as usize + row] < tree.thresholds[at];
                *place = 2 * *place + 2 - u32::from(left);
            }
        }
        let first = (1 << whole.depth) - 1;
        for (found, place) in found.iter_mut().zip(places) {
            *found = tree.leaves[place as usize - first];
        }
    }
}

/// Sixteen rows at once. Down to the fourth level a value is picked from the columns of all nodes of the level, which costs less than
/// fetching sixteen values from sixteen places; below, it is fetched. Thresholds and leaves are picked from registers.
#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::*;

    use super::{TILE, Tree, WIDE};

    /// Rows of a register.
    const LANES: usize = 16;

    /// See [`super::Tiled::descend_wide`]. The columns of the tree must end within the tile.
    #[target_feature(enable = "avx512f")]
    pub fn descend(depth: u32, tree: Tree<'_, f32>, tile: &[f32], found: &mut [f32]) {
        match depth {
            0 => found.fill(tree.leaves[0]),
            1 => levels::<1>(tree, tile, found),
            2 => levels::<2>(tree, tile, found),
            3 => levels::<3>(tree, tile, found),
            4 => levels::<4>(tree, tile, found),
            5 => levels::<5>(tree, tile, found),
            _ => levels::<6>(tree, tile, found),
        }
    }

    #[target_feature(enable = "avx512f")]
    fn levels<const DEPTH: usize>(tree: Tree<'_, f32>, tile: &[f32], found: &mut [f32]) {
        assert!(tree.thresholds.len() >= WIDE && tree.columns.len() >= WIDE && tree.leaves.len() >= WIDE);
        assert!(found.len() == TILE);
        let floats = |from: &[f32]| {
            let from = &from[..LANES];
            // SAFETY: there are as many values.
            unsafe { _mm512_loadu_ps(from.as_ptr()) }
        };
        let words = |from: &[u32]| {
            let from = &from[..LANES];
            // SAFETY: there are as many values.
            unsafe { _mm512_loadu_epi32(from.as_ptr().cast()) }
        };
        let (columns, thresholds) = (tree.columns, tree.thresholds);
        let top = floats(thresholds);
        let fifth = floats(&thresholds[15..]);
        let sixth = (floats(&thresholds[31..]), floats(&thresholds[47..63]));
        let sixth_at = (words(&columns[31..]), words(&columns[47..63]));
        let leaves = [0, 16, 32, 48].map(|at| floats(&tree.leaves[at..]));
        let one = _mm512_set1_epi32(1);
        let rows = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        for group in 0..TILE / LANES {
            let fetched = |at: __m512i| {
                let at = _mm512_add_epi32(at, _mm512_add_epi32(rows, _mm512_set1_epi32((group * LANES) as i32)));
                // SAFETY: every column ends within the tile, as the layout has seen to.
                unsafe { _mm512_i32gather_ps::<4>(at, tile.as_ptr()) }
            };
            let pick = |first: i32, place: __m512i| {
                _mm512_permutexvar_ps(_mm512_add_epi32(place, _mm512_set1_epi32(first)), top)
            };
            let down = |place: __m512i, right: __mmask16| {
                let place = _mm512_add_epi32(place, place);
                _mm512_mask_add_epi32(place, right, place, one)
            };
            let over = |value: __m512, threshold: __m512| _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(value, threshold);
            // The values that a node asks for, and of nodes beside each other by the ways that led to their level.
            let one_of = |node: usize| {
                // SAFETY: every column ends within the tile, as the layout has seen to.
                unsafe { _mm512_loadu_ps(tile.as_ptr().add(columns[node] as usize + group * LANES)) }
            };
            let two =
                |first: usize, ways: &[__mmask16]| _mm512_mask_blend_ps(ways[0], one_of(first), one_of(first + 1));
            let four = |first: usize, ways: &[__mmask16]| {
                _mm512_mask_blend_ps(ways[0], two(first, &ways[1..]), two(first + 2, &ways[1..]))
            };
            let eight = |first: usize, ways: &[__mmask16]| {
                _mm512_mask_blend_ps(ways[0], four(first, &ways[1..]), four(first + 4, &ways[1..]))
            };
            let first = over(one_of(0), _mm512_set1_ps(thresholds[0]));
            let mut place = down(_mm512_setzero_si512(), first);
            let (mut second, mut third) = (0, 0);
            if DEPTH > 1 {
                second = over(two(1, &[first]), pick(1, place));
                place = down(place, second);
            }
            if DEPTH > 2 {
                third = over(four(3, &[first, second]), pick(3, place));
                place = down(place, third);
            }
            if DEPTH > 3 {
                let fourth = over(eight(7, &[first, second, third]), pick(7, place));
                place = down(place, fourth);
            }
            if DEPTH > 4 {
                let value = fetched(_mm512_permutexvar_epi32(place, words(&columns[15..])));
                place = down(place, over(value, _mm512_permutexvar_ps(place, fifth)));
            }
            if DEPTH > 5 {
                let value = fetched(_mm512_permutex2var_epi32(sixth_at.0, place, sixth_at.1));
                place = down(place, over(value, _mm512_permutex2var_ps(sixth.0, place, sixth.1)));
            }
            let low = _mm512_permutex2var_ps(leaves[0], place, leaves[1]);
            let leaf = if DEPTH > 5 {
                let high = _mm512_permutex2var_ps(leaves[2], place, leaves[3]);
                _mm512_mask_blend_ps(_mm512_test_epi32_mask(place, _mm512_set1_epi32(32)), low, high)
            } else {
                low
            };
            let into = &mut found[group * LANES..][..LANES];
            // SAFETY: there is room for as many values.
            unsafe { _mm512_storeu_ps(into.as_mut_ptr(), leaf) };
        }
    }
}

/// How deep a tree is; `None` if it is too deep.
fn depth<T>(trees: &Trees<T>, at: u32, above: u32) -> Option<u32> {
    let node = &trees.nodes[at as usize];
    match node.left {
        LEAF => Some(0),
        _ if above >= DEPTH_MAX => None,
        _ => Some(1 + depth(trees, node.left, above + 1)?.max(depth(trees, node.right, above + 1)?)),
    }
}
