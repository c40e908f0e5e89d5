//! Many rows at once: trees laid out whole, so that a step down is arithmetic and no branch, and rows in tiles, so that the
//! processor has independent steps at hand while a value is on its way.
//!
//! Leaves are only found here; they are added row by row in the order of the trees, so the sums are those of [`Trees`], bit for bit.
//! Trees that are too deep, and nodes that ask for categories or to which 0 is missing, are walked as they are.

use crate::model::{LEAF, Missing, Number, Test, Trees};

/// Rows of a tile.
const TILE: usize = 64;
/// The deepest tree that is laid out whole: 255 nodes.
const DEPTH_MAX: u32 = 8;

/// A node of a whole tree: a value below the threshold goes to the left.
#[derive(Clone, Copy)]
struct Step<T> {
    threshold: T,
    /// Where the feature's values begin in a tile.
    column: u32,
    missing_left: bool,
}

/// A tree whose nodes are at `2i + 1` and `2i + 2` below `i`.
struct Whole {
    depth: u32,
    steps: usize,
    leaves: usize,
}

/// A forest as it is computed.
pub(crate) struct Tiles<T> {
    /// For each tree how it is laid out; `None` if it is walked.
    whole: Vec<Option<Whole>>,
    steps: Vec<Step<T>>,
    leaves: Vec<T>,
}

/// A number whose next one up is known.
pub(crate) trait Threshold: Number {
    /// Below what is a value that is at most this; `None` if nothing says so.
    fn above(self) -> Option<Self>;
}

impl Threshold for f32 {
    fn above(self) -> Option<Self> {
        (self < f32::INFINITY).then(|| self.next_up())
    }
}

impl Threshold for f64 {
    fn above(self) -> Option<Self> {
        (self < f64::INFINITY).then(|| self.next_up())
    }
}

impl<T: Threshold> Tiles<T> {
    /// Lays out what can be.
    pub fn new(trees: &Trees<T>) -> Self {
        let mut tiles = Tiles { whole: vec![], steps: vec![], leaves: vec![] };
        for (root, _) in &trees.roots {
            let whole = tiles.lay_out(trees, *root);
            tiles.whole.push(whole);
        }
        tiles
    }

    fn lay_out(&mut self, trees: &Trees<T>, root: u32) -> Option<Whole> {
        let depth = depth(trees, root, 0)?;
        let (steps, leaves) = (self.steps.len(), self.leaves.len());
        let any = Step { threshold: T::of(0.0), column: 0, missing_left: false };
        self.steps.resize(steps + (1 << depth) - 1, any);
        self.leaves.resize(leaves + (1 << depth), T::of(0.0));
        let whole = Whole { depth, steps, leaves };
        match self.place(trees, root, &whole, 0, 0) {
            Some(()) => Some(whole),
            None => {
                self.steps.truncate(steps);
                self.leaves.truncate(leaves);
                None
            }
        }
    }

    /// Puts the node `at` to place `place` of level `level`; `None` if it does not fit the form.
    fn place(&mut self, trees: &Trees<T>, at: u32, whole: &Whole, place: usize, level: u32) -> Option<()> {
        let node = &trees.nodes[at as usize];
        if node.left == LEAF {
            // All that lies below a leaf is that leaf.
            let first = ((place + 1) << (whole.depth - level)) - (1 << whole.depth);
            let count = 1 << (whole.depth - level);
            self.leaves[whole.leaves + first..][..count].fill(node.value);
            return Some(());
        }
        let Test::Number { missing, left } = node.test else { return None };
        let threshold = if trees.left_on_equal { node.value.above()? } else { node.value };
        let missing_left = match missing {
            Missing::Nan => left,
            Missing::None => T::of(0.0) < threshold,
            Missing::Zero => return None,
        };
        self.steps[whole.steps + place] = Step { threshold, column: node.feature * TILE as u32, missing_left };
        self.place(trees, node.left, whole, 2 * place + 1, level + 1)?;
        self.place(trees, node.right, whole, 2 * place + 2, level + 1)
    }

    /// Calls with the sums of each row.
    pub fn each_row(&self, trees: &Trees<T>, columns: &[&[f64]], rows: usize, mut call: impl FnMut(&mut Vec<T>)) {
        let width = trees.start.len();
        let mut tile = vec![T::of(0.0); columns.len() * TILE];
        let mut found = vec![T::of(0.0); trees.roots.len() * TILE];
        let (mut row, mut sums) = (vec![T::of(0.0); columns.len()], Vec::with_capacity(width));
        for first in (0..rows).step_by(TILE) {
            let count = TILE.min(rows - first);
            for (into, column) in tile.chunks_mut(TILE).zip(columns) {
                into.iter_mut().zip(&column[first..first + count]).for_each(|(into, value)| *into = T::of(*value));
            }
            for ((whole, (root, _)), found) in self.whole.iter().zip(&trees.roots).zip(found.chunks_mut(TILE)) {
                match whole {
                    Some(whole) => self.descend(whole, &tile, found),
                    None => {
                        for (at, found) in found[..count].iter_mut().enumerate() {
                            row.iter_mut().zip(tile.chunks(TILE)).for_each(|(value, column)| *value = column[at]);
                            *found = trees.leaf(*root, &row).value;
                        }
                    }
                }
            }
            for at in 0..count {
                sums.clear();
                sums.extend_from_slice(&trees.start);
                for ((_, of), found) in trees.roots.iter().zip(found.chunks(TILE)) {
                    sums[*of as usize] += found[at];
                }
                call(&mut sums);
            }
        }
    }

    /// The leaves of a tile's rows in a tree.
    fn descend(&self, whole: &Whole, tile: &[T], found: &mut [T]) {
        let steps = &self.steps[whole.steps..][..(1 << whole.depth) - 1];
        let leaves = &self.leaves[whole.leaves..][..1 << whole.depth];
        let mut places = [0u32; TILE];
        for _ in 0..whole.depth {
            for (row, place) in places.iter_mut().enumerate() {
                let step = &steps[*place as usize];
                let value = tile[step.column as usize + row];
                // NaN is equal to nothing.
                #[expect(clippy::eq_op, reason = "a test for NaN")]
                let left = (value < step.threshold) | ((value != value) & step.missing_left);
                *place = 2 * *place + 2 - u32::from(left);
            }
        }
        for (found, place) in found.iter_mut().zip(places) {
            *found = leaves[place as usize + 1 - leaves.len()];
        }
    }
}

/// How deep a tree is; `None` if it is too deep.
fn depth<T>(trees: &Trees<T>, at: u32, above: u32) -> Option<u32> {
    let node = &trees.nodes[at as usize];
    match node.left {
        LEAF => Some(0),
        _ if above == DEPTH_MAX => None,
        _ => Some(1 + depth(trees, node.left, above + 1)?.max(depth(trees, node.right, above + 1)?)),
    }
}
