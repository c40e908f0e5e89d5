//! A forest over bytes, as devices walk it: nodes of 32 bits, and leaves by their places.
//!
//! Values become bytes here, once for all trees of a group ([`Bins`]): a device gets a byte a feature, and to ask whether a value is
//! below a threshold is to compare two bytes, with the same answer. A device tells where rows end, or adds the leaves up if that
//! gives the bits of the processor ([`ByteForest::adds_alike`]); the rest of an answer is made here, from what it has found.
//!
//! Trees keep their form, so that none is too deep, unlike in [`tiles`](crate::tiles): a device has many rows to wait for, and need not
//! walk them side by side.

use std::collections::VecDeque;
use std::ops::Range;

use pelton_kernels::cpu;

use crate::bins::Bins;
use crate::model::{Fold, LEAF, Number, Scores, Test, Trees};
use crate::tiles::{Column, TILE, Tiled, take, test_any};

/// Thresholds of a feature in a group: the greatest byte is left for missing values.
const THRESHOLDS_MAX: usize = u8::MAX as usize - 1;
/// Columns of a group: their number is a byte of a node.
const COLUMNS_MAX: usize = 256;
/// Nodes of a tree: the place of a child is half of a node.
const NODES_MAX: usize = u16::MAX as usize;

/// See the module.
///
/// A node is a word. Its low half is the place of its left child among the nodes of the tree, whose root is at 0; the right child is
/// the next. The fourth byte is a column of the tree's group: a row goes to the left if its byte is at most the third. A leaf is its own left
/// child, to which every row goes, so that a device may take as many steps as the deepest tree has levels.
#[derive(Debug)]
pub struct ByteForest {
    /// In their order, which is that in which leaves are added.
    pub trees: Vec<ByteTree>,
    /// Nodes of all trees, those of a tree level by level.
    pub nodes: Vec<u32>,
    /// What the leaves add, by node; of other nodes 0.
    pub leaves: Scores,
    /// The first value of each sum.
    pub start: Scores,
    /// Whether a device that adds the leaves in the order of the trees, rounding each sum to the nearest, has the bits of the processor: no
    /// sum can be infinite or NaN, whose bits devices choose in their own way.
    pub adds_alike: bool,
    /// What the library calls each leaf, by node.
    ids: Vec<u32>,
    groups: Groups,
    columns: usize,
}

/// A tree of a [`ByteForest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteTree {
    /// Where its nodes begin.
    pub first_node: u32,
    /// How many there are.
    pub nodes: u32,
    /// Steps from the root to the last leaf.
    pub depth: u32,
    /// The sum to which its leaves are added.
    pub sum: u32,
    /// The columns of its group.
    pub first_column: u32,
    /// How many there are; perhaps none.
    pub columns: u32,
}

/// What a device has found of rows. Behind each row of a tile there is room for the rest of it: see [`ByteForest::stride`].
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// The sums of leaves, one sum of all rows after the other.
    Sums(Scores),
    /// The leaves in which rows have ended, as places among the nodes of their trees: [`ByteForest::ends_per_word`] trees in a word (the first
    /// in the lowest bits), the words of all rows one after the other.
    Ends(Vec<u32>),
}

/// Columns and how their bytes are made, in both precisions.
#[derive(Debug)]
enum Groups {
    Single(Vec<Group<f32>>),
    Double(Vec<Group<f64>>),
}

/// Trees of which no feature has more thresholds than a byte counts.
#[derive(Debug)]
struct Group<T> {
    columns: Vec<Column>,
    /// By feature, if there is a column.
    bins: Vec<Option<Bins<T>>>,
}

/// A forest in the making.
struct Making<'t, T> {
    trees: &'t Trees<T>,
    /// Of the group at hand: thresholds by feature, columns, trees.
    thresholds: Vec<Vec<T>>,
    columns: Vec<Column>,
    first_tree: usize,
    groups: Vec<Group<T>>,
    made: Vec<ByteTree>,
    nodes: Vec<u32>,
    leaves: Vec<T>,
    ids: Vec<u32>,
    columns_before: usize,
}

impl ByteForest {
    /// Of single precision; or what devices do not walk.
    pub(crate) fn of_singles(trees: &Trees<f32>, features: usize) -> Result<Self, String> {
        Making::of(trees, features).map(|made| made.done(Groups::Single, Scores::Single))
    }

    /// Likewise of double precision.
    pub(crate) fn of_doubles(trees: &Trees<f64>, features: usize) -> Result<Self, String> {
        Making::of(trees, features).map(|made| made.done(Groups::Double, Scores::Double))
    }

    /// Bytes of a row; one at least.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Sums of a row.
    pub fn sums(&self) -> usize {
        match &self.start {
            Scores::Single(start) => start.len(),
            Scores::Double(start) => start.len(),
        }
    }

    /// From column to column of so many rows: whole tiles.
    pub fn stride(rows: usize) -> usize {
        rows.next_multiple_of(TILE)
    }

    /// Trees of which a word has the ends: four, or two if a tree has more nodes than a byte counts.
    pub fn ends_per_word(&self) -> usize {
        if self.trees.iter().all(|tree| tree.nodes <= 256) { 4 } else { 2 }
    }

    /// Words of a row's ends.
    pub fn end_words(&self) -> usize {
        self.trees.len().div_ceil(self.ends_per_word())
    }

    /// Makes bytes of the values of rows, for all columns one after the other; `into` has [`ByteForest::columns`] times
    /// [`ByteForest::stride`]. What stands behind the last row is anything.
    ///
    /// # Panics
    /// If there is not as much room.
    pub fn bytes(&self, columns: &[&[f64]], rows: usize, into: &mut [u8]) {
        assert_eq!(into.len(), self.columns * Self::stride(rows), "a byte for each column and row");
        match &self.groups {
            Groups::Single(groups) => bytes(groups, columns, rows, into),
            Groups::Double(groups) => bytes(groups, columns, rows, into),
        }
    }

    /// Adds up the leaves of the ends of rows, in the order of the trees.
    pub(crate) fn add_ends<T: Number>(&self, trees: &Trees<T>, leaves: &[T], ends: &[u32], rows: usize) -> Vec<T> {
        let stride = Self::stride(rows);
        let mut sums: Vec<T> = trees.start.iter().flat_map(|start| std::iter::repeat_n(*start, stride)).collect();
        let mut tile = [0; TILE];
        for first in (0..stride).step_by(TILE) {
            for (number, tree) in self.trees.iter().enumerate() {
                self.ends_of(number, ends, stride, first, &mut tile);
                let leaves = &leaves[tree.first_node as usize..][..tree.nodes as usize];
                let sums = &mut sums[tree.sum as usize * stride + first..][..TILE.min(rows - first)];
                sums.iter_mut().zip(tile).for_each(|(sum, end)| trees.add(sum, leaves[end as usize]));
            }
        }
        sums
    }

    /// What the library calls the leaves in which rows have ended, the trees of a row together.
    pub(crate) fn leaf_ids(&self, ends: &[u32], rows: usize) -> Vec<u32> {
        let (stride, trees) = (Self::stride(rows), self.trees.len());
        let mut all = vec![0; rows * trees];
        let mut tile = [0; TILE];
        for first in (0..rows).step_by(TILE) {
            let part = &mut all[first * trees..rows.min(first + TILE) * trees];
            for (number, tree) in self.trees.iter().enumerate() {
                self.ends_of(number, ends, stride, first, &mut tile);
                let ids = &self.ids[tree.first_node as usize..][..tree.nodes as usize];
                part.chunks_exact_mut(trees).zip(tile).for_each(|(row, end)| row[number] = ids[end as usize]);
            }
        }
        all
    }

    /// The ends of a tile's rows in a tree.
    fn ends_of(&self, tree: usize, ends: &[u32], stride: usize, first: usize, into: &mut [u32; TILE]) {
        let per_word = self.ends_per_word();
        let (bits, words) = (32 / per_word, &ends[tree / per_word * stride + first..][..TILE]);
        let (shift, mask) = (tree % per_word * bits, u32::MAX >> (32 - bits));
        into.iter_mut().zip(words).for_each(|(end, word)| *end = word >> shift & mask);
    }
}

fn bytes<T: Tiled>(groups: &[Group<T>], columns: &[&[f64]], rows: usize, into: &mut [u8]) {
    let (level, stride) = (cpu::level(), ByteForest::stride(rows));
    let is_asked = |feature: usize| groups.iter().any(|group| group.bins[feature].is_some());
    let asked: Vec<usize> = (0..columns.len()).filter(|feature| is_asked(*feature)).collect();
    let mut values = vec![[T::of(0.0); TILE]; columns.len()];
    for first in (0..rows).step_by(TILE) {
        let count = TILE.min(rows - first);
        for feature in &asked {
            let pairs = values[*feature].iter_mut().zip(&columns[*feature][first..first + count]);
            pairs.for_each(|(to, value)| *to = T::of(*value));
        }
        let all = groups.iter().flat_map(|group| group.columns.iter().map(move |column| (group, column)));
        for ((group, column), into) in all.zip(into.chunks_exact_mut(stride)) {
            let bins = group.bins[column.feature as usize].as_ref().expect("it has a column");
            let tile = into[first..].first_chunk_mut().expect("rows are whole tiles");
            column.fill(level, bins, &values[column.feature as usize], tile);
        }
    }
}

impl<'t, T: Tiled> Making<'t, T> {
    fn of(trees: &'t Trees<T>, features: usize) -> Result<Self, String> {
        if trees.roots.is_empty() {
            return Err("it has no trees".into());
        }
        let mut making = Making {
            trees,
            thresholds: vec![vec![]; features],
            columns: vec![],
            first_tree: 0,
            groups: vec![],
            made: vec![],
            nodes: vec![],
            leaves: vec![],
            ids: vec![],
            columns_before: 0,
        };
        for tree in 0..trees.roots.len() {
            let columns = making.columns_of(tree).map_err(|what| format!("tree {tree} {what}"))?;
            if !making.take(tree, &columns) {
                making.close(tree);
                if !making.take(tree, &columns) {
                    return Err(format!(
                        "tree {tree} has more thresholds of a feature than the {THRESHOLDS_MAX} that a byte counts"
                    ));
                }
            }
        }
        making.close(trees.roots.len());
        Ok(making)
    }

    /// The columns for which a tree asks.
    fn columns_of(&self, tree: usize) -> Result<Vec<Column>, String> {
        let (mut columns, mut nodes) = (vec![], 0);
        let mut open = vec![self.trees.roots[tree].0];
        while let Some(at) = open.pop() {
            let node = &self.trees.nodes[at as usize];
            nodes += 1;
            if nodes > NODES_MAX {
                return Err(format!("has more than {NODES_MAX} nodes"));
            }
            if node.left == LEAF {
                continue;
            }
            let Some((_, column)) = test_any(self.trees, node) else {
                return Err(match node.test {
                    Test::Number { .. } => "has a threshold that is NaN".into(),
                    Test::Category { .. } | Test::OneOf { .. } => "asks for categories".into(),
                });
            };
            if !columns.contains(&column) {
                columns.push(column);
            }
            open.extend([node.left, node.right]);
        }
        match columns.len() {
            0..=COLUMNS_MAX => Ok(columns),
            count => Err(format!("asks for {count} columns, {COLUMNS_MAX} can be told apart")),
        }
    }

    /// Adds a tree to the group at hand; false, and nothing done, if there is no room.
    fn take(&mut self, tree: usize, columns: &[Column]) -> bool {
        let new = columns.iter().filter(|column| !self.columns.contains(column));
        let new: Vec<Column> = new.copied().collect();
        if self.columns.len() + new.len() > COLUMNS_MAX {
            return false;
        }
        let has_room = take(self.trees, self.trees.roots[tree].0, &mut self.thresholds, THRESHOLDS_MAX);
        if has_room {
            self.columns.extend(new);
        }
        has_room
    }

    /// Places the trees of the group at hand, which ends before `tree`, and begins another.
    fn close(&mut self, tree: usize) {
        let trees = std::mem::replace(&mut self.first_tree, tree)..tree;
        self.place_all(trees);
        let columns = std::mem::take(&mut self.columns);
        let is_asked = |feature: usize| columns.iter().any(|column| column.feature as usize == feature);
        let all = self.thresholds.iter().enumerate();
        let bins = all.map(|(feature, all)| is_asked(feature).then(|| Bins::new(all))).collect();
        self.thresholds.iter_mut().for_each(Vec::clear);
        self.columns_before += columns.len();
        self.groups.push(Group { columns, bins });
    }

    fn place_all(&mut self, trees: Range<usize>) {
        for tree in trees {
            let first_node = self.nodes.len() as u32;
            let depth = self.place(tree);
            self.made.push(ByteTree {
                first_node,
                nodes: self.nodes.len() as u32 - first_node,
                depth,
                sum: self.trees.roots[tree].1,
                first_column: self.columns_before as u32,
                columns: self.columns.len() as u32,
            });
        }
    }

    /// Places the nodes of a tree level by level: those that most rows come to lie together, and those of a level in memory banks of
    /// their own. Gives its depth.
    fn place(&mut self, tree: usize) -> u32 {
        let root = self.trees.roots[tree].0;
        let first_node = self.nodes.len();
        let mut open = VecDeque::from([(root, 0, 0)]);
        self.room(1);
        let mut depth = 0;
        while let Some((at, place, level)) = open.pop_front() {
            let node = &self.trees.nodes[at as usize];
            depth = level;
            if node.left == LEAF {
                self.nodes[first_node + place] = place as u32 | u32::from(u8::MAX) << 16;
                self.leaves[first_node + place] = node.value;
                self.ids[first_node + place] = node.id;
                continue;
            }
            let (threshold, column) = test_any(self.trees, node).expect("other trees are refused");
            let column = self.columns.iter().position(|known| *known == column).expect("it was taken");
            // A value below the threshold has reached those before it at most, and any number all of them.
            let before = threshold.map_or(THRESHOLDS_MAX, |threshold| {
                self.thresholds[node.feature as usize].partition_point(|known| *known < threshold)
            });
            let left = self.nodes.len() - first_node;
            self.nodes[first_node + place] = left as u32 | (before as u32) << 16 | (column as u32) << 24;
            self.room(2);
            open.extend([(node.left, left, level + 1), (node.right, left + 1, level + 1)]);
        }
        depth
    }

    fn room(&mut self, nodes: usize) {
        let end = self.nodes.len() + nodes;
        self.nodes.resize(end, 0);
        self.leaves.resize(end, T::of(0.0));
        self.ids.resize(end, 0);
    }

    fn done(self, groups: fn(Vec<Group<T>>) -> Groups, scores: fn(Vec<T>) -> Scores) -> ByteForest {
        ByteForest {
            adds_alike: self.adds_alike(),
            trees: self.made,
            nodes: self.nodes,
            leaves: scores(self.leaves),
            start: scores(self.trees.start.clone()),
            ids: self.ids,
            groups: groups(self.groups),
            columns: self.columns_before.max(1),
        }
    }

    /// See [`ByteForest::adds_alike`]. Half of the greatest number is far from where rounding could matter.
    fn adds_alike(&self) -> bool {
        let size = |value: &T| value.to_f64().abs();
        let most = |values: &[T]| values.iter().map(size).fold(0.0, |most, size| if size > most { size } else { most });
        let starts = most(&self.trees.start);
        let of_tree = |tree: &ByteTree| most(&self.leaves[tree.first_node as usize..][..tree.nodes as usize]);
        let all = starts + self.made.iter().map(of_tree).sum::<f64>();
        let is_nan = self.leaves.iter().chain(&self.trees.start).any(|value| value.is_missing());
        self.trees.fold == Fold::Sum && !is_nan && all < T::greatest() / 2.0
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a device does, in plain words: rows from node to node, by their bytes.
    pub(crate) fn ends(forest: &ByteForest, columns: &[&[f64]], rows: usize) -> Found {
        let (stride, per_word) = (ByteForest::stride(rows), forest.ends_per_word());
        let mut bytes = vec![7; forest.columns() * stride];
        forest.bytes(columns, rows, &mut bytes);
        let mut words = vec![0u32; forest.end_words() * stride];
        for (number, tree) in forest.trees.iter().enumerate() {
            let nodes = &forest.nodes[tree.first_node as usize..][..tree.nodes as usize];
            for row in 0..rows {
                let mut at = 0;
                // Once more than is needed: leaves stay where they are.
                for _ in 0..=tree.depth {
                    let node = nodes[at as usize];
                    let column = tree.first_column + (node >> 24);
                    let is_right = u32::from(bytes[column as usize * stride + row]) > node >> 16 & 0xff;
                    at = (node & 0xffff) + u32::from(is_right);
                }
                words[number / per_word * stride + row] |= at << (number % per_word * 32 / per_word);
            }
        }
        Found::Ends(words)
    }

    /// A chain of nodes to the right, each with a threshold of its own.
    fn chain(thresholds: Range<u32>) -> Trees<f32> {
        use crate::model::{Missing, Node};
        let mut trees = Trees::new(vec![0.0f32]);
        let test = Test::Number { missing: Missing::Nan, left: true };
        for threshold in thresholds.clone() {
            let node = |left, right, value| Node { left, right, feature: 0, test, value, cover: 0.0, id: 0 };
            let at = trees.nodes.len() as u32;
            let right = if threshold + 1 == thresholds.end { at + 1 } else { at + 2 };
            trees.nodes.extend([node(at + 1, right, threshold as f32), node(LEAF, LEAF, 1.0)]);
        }
        trees.roots.push((0, 0));
        trees
    }

    #[test]
    fn what_bytes_do_not_tell_is_refused() {
        assert!(ByteForest::of_singles(&chain(0..254), 1).is_ok());
        let refused = ByteForest::of_singles(&chain(0..255), 1).unwrap_err();
        assert_eq!(refused, "tree 0 has more thresholds of a feature than the 254 that a byte counts");
        let refused = ByteForest::of_singles(&Trees::new(vec![0.0]), 1).unwrap_err();
        assert_eq!(refused, "it has no trees");
        let mut trees = chain(0..3);
        trees.nodes[0].value = f32::NAN;
        assert_eq!(ByteForest::of_singles(&trees, 1).unwrap_err(), "tree 0 has a threshold that is NaN");
    }

    #[test]
    fn sums_that_could_overflow_are_not_alike() {
        let mut trees = chain(0..3);
        assert!(ByteForest::of_singles(&trees, 1).unwrap().adds_alike);
        trees.nodes[1].value = f32::MAX;
        assert!(!ByteForest::of_singles(&trees, 1).unwrap().adds_alike);
        trees.nodes[1].value = f32::NAN;
        assert!(!ByteForest::of_singles(&trees, 1).unwrap().adds_alike);
        let mut trees = chain(0..3);
        trees.fold = Fold::Least;
        assert!(!ByteForest::of_singles(&trees, 1).unwrap().adds_alike);
    }
}
