//! The one form of all ensembles, and what is computed with it.

use std::fmt;

use crate::byte_forest::{ByteForest, Found};
use crate::contributions::Shap;
use crate::error::{ModelError, Result};
use crate::link::Link;
use crate::onnx::{Graph, Read};
use crate::tiles::{Tiled, Tiles};
use crate::{lightgbm, onnx, xgboost};

/// How a model's file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `Booster.save_model('m.json')` of XGBoost, from 1.6 on.
    XgboostJson,
    /// `Booster.save_model('m.ubj')`.
    XgboostUbj,
    /// `Booster.save_model('m.txt')` of LightGBM, from version 3 of the form on.
    Lightgbm,
    /// An ONNX file with an ensemble of trees, as onnxmltools and skl2onnx write it, or with another graph of operators.
    Onnx,
}

impl Format {
    /// What a file's first bytes say it is.
    pub fn of_bytes(bytes: &[u8]) -> Option<Format> {
        let start = bytes.trim_ascii_start();
        match start {
            [b'{', rest @ ..] => match rest.trim_ascii_start().first() {
                Some(b'"' | b'}') => Some(Format::XgboostJson),
                _ => Some(Format::XgboostUbj),
            },
            _ if start.starts_with(b"tree") => Some(Format::Lightgbm),
            // The first field is the version of the form.
            _ => matches!(bytes, [0x08, 1..=31, ..]).then_some(Format::Onnx),
        }
    }
}

/// Numbers of rows, one after the other: in the precision of the library that trained the model.
#[derive(Clone, Debug, PartialEq)]
pub enum Scores {
    /// XGBoost's, and those of ONNX.
    Single(Vec<f32>),
    /// LightGBM's, and those of ONNX where the trees are given doubles.
    Double(Vec<f64>),
}

impl Scores {
    /// The scores of all parts, which are of one precision, one part after the other.
    ///
    /// # Panics
    /// If there is no part, or they are not of one precision.
    pub fn concat(parts: Vec<Scores>) -> Scores {
        let mut parts = parts.into_iter();
        let mut all = parts.next().expect("there is a part");
        for part in parts {
            match (&mut all, part) {
                (Scores::Single(all), Scores::Single(part)) => all.extend(part),
                (Scores::Double(all), Scores::Double(part)) => all.extend(part),
                _ => panic!("parts of one model are of one precision"),
            }
        }
        all
    }
}

/// A trained ensemble, or a graph of operators.
#[derive(Debug)]
pub struct Model {
    /// Names of the features, in the order of the columns; empty if the file has none.
    pub feature_names: Vec<String>,
    /// How many features there are.
    pub features: usize,
    /// What it was trained for, as its library calls it.
    pub objective: String,
    /// False if the file does not say how much training data came to each node, which contributions are made of.
    pub explains: bool,
    body: Body,
}

/// What computes.
#[derive(Debug)]
enum Body {
    Trees(Ensemble),
    /// Operators of an ONNX file.
    Graph(Graph),
}

/// Trees, and what is made of their sums.
#[derive(Debug)]
struct Ensemble {
    link: Link,
    forest: Forest,
    layout: Layout,
}

/// What a file says.
pub(crate) struct Parts {
    pub feature_names: Vec<String>,
    pub features: usize,
    pub objective: String,
    pub link: Link,
    pub forest: Forest,
}

#[derive(Clone, Debug)]
pub(crate) enum Forest {
    Single(Trees<f32>),
    Double(Trees<f64>),
}

/// The same, as many rows are computed.
enum Layout {
    Single(Tiles<f32>),
    Double(Tiles<f64>),
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Layout")
    }
}

/// Trees whose leaves are added.
#[derive(Clone, Debug)]
pub(crate) struct Trees<T> {
    /// All nodes; those of a tree lie together, its root first.
    pub nodes: Vec<Node<T>>,
    /// Where each tree begins, and which sum its leaves go to.
    pub roots: Vec<(u32, u32)>,
    /// The first value of each sum.
    pub start: Vec<T>,
    /// What the sums are divided by for `predict`: the number of trees for each, where trees are averaged.
    pub divisor: Option<T>,
    /// Bits of the categories of categorical nodes.
    pub categories: Vec<Vec<u32>>,
    /// Values that nodes ask for.
    pub members: Vec<Vec<T>>,
    /// A value on the threshold goes to the left.
    pub left_on_equal: bool,
    /// How leaves come together.
    pub fold: Fold,
    /// What is done to the sums at last, for `raw` too.
    pub last: Option<Last<T>>,
}

/// How the leaves of a row come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    Sum,
    /// NaN is no leaf, here and for the greatest.
    Least,
    Greatest,
}

/// What ONNX does to sums at last.
#[derive(Clone, Debug)]
pub(crate) struct Last<T> {
    /// The number of trees, if it is the mean that counts.
    pub divisor: Option<T>,
    /// Is added; empty for nothing.
    pub base: Vec<T>,
}

/// A node, or a leaf if `left` is [`LEAF`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<T> {
    pub left: u32,
    pub right: u32,
    pub feature: u32,
    pub test: Test,
    /// What a value is held against; of a leaf what it adds.
    pub value: T,
    /// How much of the training data came here; for contributions.
    pub cover: f64,
    /// What the library calls it: the node's number in XGBoost, the leaf's in LightGBM.
    pub id: u32,
}

pub(crate) const LEAF: u32 = u32::MAX;

/// What a node asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    /// Below the threshold? A missing value goes `left` or not.
    Number { missing: Missing, left: bool },
    /// Is the category one of these (an index)? If so to the side that is said.
    Category {
        set: u32,
        left_if_in: bool,
        /// Where a missing value goes.
        missing_left: bool,
    },
    /// Is it one of these values (an index)? If so to the left.
    OneOf { set: u32, missing_left: bool },
}

/// What a missing value is to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// NaN.
    Nan,
    /// 0, and NaN is read as that.
    Zero,
    /// Nothing: NaN is read as 0, which is a number as any other.
    None,
}

/// What both precisions do.
pub(crate) trait Number: Copy + 'static + PartialOrd + std::ops::AddAssign + std::ops::DivAssign {
    fn of(value: f64) -> Self;
    fn to_f64(self) -> f64;
    /// The greatest that is finite.
    fn greatest() -> f64;

    /// Those of this precision.
    ///
    /// # Panics
    /// If they are of the other.
    fn of_scores(scores: &Scores) -> &[Self];

    /// NaN?
    fn is_missing(self) -> bool {
        self.partial_cmp(&self).is_none()
    }
}

impl Number for f32 {
    fn of(value: f64) -> Self {
        value as f32
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn greatest() -> f64 {
        f64::from(f32::MAX)
    }

    fn of_scores(scores: &Scores) -> &[Self] {
        let Scores::Single(scores) = scores else { panic!("single precision is wanted") };
        scores
    }
}

impl Number for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn greatest() -> f64 {
        f64::MAX
    }

    fn of_scores(scores: &Scores) -> &[Self] {
        let Scores::Double(scores) = scores else { panic!("double precision is wanted") };
        scores
    }
}

/// Values this near to 0 are 0 where 0 is missing (LightGBM's `kZeroThreshold`).
pub(crate) const ZERO: f64 = 1e-35f32 as f64;

impl<T: Number> Trees<T> {
    /// None yet: leaves are added to these sums, and a value goes to the left below the threshold.
    pub fn new(start: Vec<T>) -> Self {
        Trees {
            nodes: vec![],
            roots: vec![],
            start,
            divisor: None,
            categories: vec![],
            members: vec![],
            left_on_equal: false,
            fold: Fold::Sum,
            last: None,
        }
    }

    /// Takes a leaf to a sum.
    pub fn add(&self, sum: &mut T, leaf: T) {
        // A sum that has had no leaf yet is NaN, unless it adds, and so is a leaf that is none.
        match self.fold {
            Fold::Sum => *sum += leaf,
            Fold::Least if leaf < *sum || sum.is_missing() => *sum = leaf,
            Fold::Greatest if leaf > *sum || sum.is_missing() => *sum = leaf,
            Fold::Least | Fold::Greatest => {}
        }
    }

    /// Makes a row's sums whole.
    pub fn finish(&self, sums: &mut [T]) {
        let Some(last) = &self.last else { return };
        for (at, sum) in sums.iter_mut().enumerate() {
            if sum.is_missing() {
                *sum = T::of(0.0);
            }
            if let Some(divisor) = last.divisor {
                *sum /= divisor;
            }
            if let Some(base) = last.base.get(at) {
                *sum += *base;
            }
        }
    }

    /// Whether a row goes to the left at a node.
    pub fn goes_left(&self, node: &Node<T>, value: T) -> bool {
        match node.test {
            Test::Number { missing, left } => {
                let wide = value.to_f64();
                let is_missing = match missing {
                    Missing::Nan => wide.is_nan(),
                    Missing::Zero => wide.is_nan() || wide.abs() <= ZERO,
                    Missing::None => false,
                };
                if is_missing {
                    return left;
                }
                let value = if wide.is_nan() { T::of(0.0) } else { value };
                value < node.value || (self.left_on_equal && value == node.value)
            }
            Test::Category { set, left_if_in, missing_left } => {
                let wide = value.to_f64();
                if wide.is_nan() {
                    return missing_left;
                }
                // LightGBM cuts fractions off; to XGBoost nothing below 0 is a category.
                let is_negative = if left_if_in { wide <= -1.0 } else { wide < 0.0 };
                if is_negative || wide >= f64::from(1 << 24) {
                    return !left_if_in;
                }
                let category = wide as u32;
                let words = &self.categories[set as usize];
                let is_in = words.get(category as usize / 32).is_some_and(|word| word >> (category % 32) & 1 == 1);
                is_in == left_if_in
            }
            Test::OneOf { set, missing_left } => match value.to_f64().is_nan() {
                true => missing_left,
                false => self.members[set as usize].contains(&value),
            },
        }
    }

    /// The leaf of a row in the tree at `root`.
    pub fn leaf(&self, root: u32, row: &[T]) -> &Node<T> {
        let mut node = &self.nodes[root as usize];
        while node.left != LEAF {
            let left = self.goes_left(node, row[node.feature as usize]);
            node = &self.nodes[if left { node.left } else { node.right } as usize];
        }
        node
    }

    /// Adds up the leaves of a row, in the order of the trees: what everything else is held against.
    #[cfg(test)]
    fn sum(&self, row: &[T], sums: &mut Vec<T>) {
        sums.clear();
        sums.extend_from_slice(&self.start);
        for (root, of) in &self.roots {
            self.add(&mut sums[*of as usize], self.leaf(*root, row).value);
        }
        self.finish(sums);
    }

    /// What `predict` goes on with: means, where trees are averaged (`raw_score` are sums all the same).
    fn average(&self, sums: &mut [T]) {
        if let Some(divisor) = self.divisor {
            sums.iter_mut().for_each(|sum| *sum /= divisor);
        }
    }

    /// Fails unless every node can be come to by one way only, and every feature is there.
    pub fn check(&self, features: usize) -> Result<()> {
        let mut seen = vec![false; self.nodes.len()];
        for (tree, (root, of)) in self.roots.iter().enumerate() {
            let error = |what: String| Err(ModelError::new(format!("tree {tree}: {what}")));
            if *of as usize >= self.start.len() {
                return error(format!("it adds to class {of}, of {}", self.start.len()));
            }
            let mut open = vec![*root];
            while let Some(at) = open.pop() {
                let Some(node) = self.nodes.get(at as usize) else {
                    return error(format!("a child is missing ({at})"));
                };
                if std::mem::replace(&mut seen[at as usize], true) {
                    return error(format!("node {} has two parents", node.id));
                }
                if node.left == LEAF {
                    continue;
                }
                if node.feature as usize >= features {
                    return error(format!("node {} asks for feature {}, of {features}", node.id, node.feature));
                }
                if let Test::Category { set, .. } = node.test
                    && set as usize >= self.categories.len()
                {
                    return error(format!("the categories of node {} are missing", node.id));
                }
                open.extend([node.left, node.right]);
            }
        }
        Ok(())
    }
}

impl Model {
    /// Reads a model's file.
    ///
    /// Errors: what is no such file, is cut off, or contradicts itself; boosters that are no trees, trees with linear leaves or
    /// several values a leaf; operators that are not known, and such that would mix rows.
    pub fn read(bytes: &[u8], format: Format) -> Result<Model> {
        let parts = match format {
            Format::XgboostJson => xgboost::read_json(bytes)?,
            Format::XgboostUbj => xgboost::read_ubj(bytes)?,
            Format::Lightgbm => lightgbm::read(bytes)?,
            Format::Onnx => match onnx::read(bytes)? {
                Read::Forest(parts) => parts,
                Read::Graph(graph) => {
                    let (feature_names, features) = (graph.feature_names.clone(), graph.features);
                    let body = Body::Graph(graph);
                    return Ok(Model { feature_names, features, objective: "graph".into(), explains: false, body });
                }
            },
        };
        let Parts { feature_names, features, objective, link, forest } = parts;
        let layout = match &forest {
            Forest::Single(trees) => {
                trees.check(features)?;
                Layout::Single(Tiles::new(trees, features))
            }
            Forest::Double(trees) => {
                trees.check(features)?;
                Layout::Double(Tiles::new(trees, features))
            }
        };
        if !feature_names.is_empty() && feature_names.len() != features {
            let names = feature_names.len();
            return Err(ModelError::new(format!("it has {features} features, and names of {names}")));
        }
        let body = Body::Trees(Ensemble { link, forest, layout });
        Ok(Model { feature_names, features, objective, explains: format != Format::Onnx, body })
    }

    /// An ensemble of trees? If not it is a graph of operators, which has scores and nothing else.
    pub fn has_trees(&self) -> bool {
        matches!(self.body, Body::Trees(_))
    }

    /// Trees; those within a graph do not count.
    pub fn trees(&self) -> usize {
        match &self.body {
            Body::Trees(Ensemble { forest: Forest::Single(trees), .. }) => trees.roots.len(),
            Body::Trees(Ensemble { forest: Forest::Double(trees), .. }) => trees.roots.len(),
            Body::Graph(_) => 0,
        }
    }

    /// True if it answers in single precision, as XGBoost does.
    pub fn is_single(&self) -> bool {
        match &self.body {
            Body::Trees(ensemble) => matches!(ensemble.forest, Forest::Single(_)),
            Body::Graph(graph) => graph.is_single(),
        }
    }

    /// Sums a row: one, or one for each class.
    pub fn sums(&self) -> usize {
        match &self.body {
            Body::Trees(ensemble) => ensemble.sums(),
            Body::Graph(graph) => graph.outputs(),
        }
    }

    /// Answers a row of [`Model::predict`].
    pub fn outputs(&self) -> usize {
        match &self.body {
            Body::Trees(ensemble) => ensemble.link.outputs(ensemble.sums()),
            Body::Graph(graph) => graph.outputs(),
        }
    }

    /// The sums of leaves: XGBoost's `predict(output_margin=True)`, LightGBM's `predict(raw_score=True)`, in ONNX what is before the transform;
    /// of a graph the answers. `columns` has one of equal length for each feature; NaN is missing. Sums of a row lie together.
    ///
    /// # Panics
    /// If there are not as many columns as features, or not all of one length.
    pub fn raw(&self, columns: &[&[f64]]) -> Scores {
        let rows = self.rows_of(columns);
        match &self.body {
            Body::Trees(ensemble) => ensemble.raw_of(Rows::Values(columns), rows),
            Body::Graph(graph) => graph.predict(columns, rows),
        }
    }

    /// What the library's `predict` answers, as [`Model::raw`] takes and gives it.
    ///
    /// # Panics
    /// As [`Model::raw`].
    pub fn predict(&self, columns: &[&[f64]]) -> Scores {
        let rows = self.rows_of(columns);
        match &self.body {
            Body::Trees(ensemble) => ensemble.predict_of(Rows::Values(columns), rows),
            Body::Graph(graph) => graph.predict(columns, rows),
        }
    }

    /// The forest as devices walk it; or what they do not walk: what a tree has or asks for.
    pub fn byte_forest(&self) -> std::result::Result<ByteForest, String> {
        match &self.body {
            Body::Trees(Ensemble { forest: Forest::Single(trees), .. }) => ByteForest::of_singles(trees, self.features),
            Body::Trees(Ensemble { forest: Forest::Double(trees), .. }) => ByteForest::of_doubles(trees, self.features),
            Body::Graph(_) => Err("it is a graph of operators, and no ensemble of trees".into()),
        }
    }

    /// [`Model::raw`] of so many rows, of which a device has found this.
    ///
    /// # Panics
    /// If the forest is another's, or it was found of fewer rows.
    pub fn raw_found(&self, forest: &ByteForest, found: &Found, rows: usize) -> Scores {
        self.ensemble().raw_of(Rows::Found(forest, found), rows)
    }

    /// [`Model::predict`] likewise.
    ///
    /// # Panics
    /// As [`Model::raw_found`].
    pub fn predict_found(&self, forest: &ByteForest, found: &Found, rows: usize) -> Scores {
        self.ensemble().predict_of(Rows::Found(forest, found), rows)
    }

    /// [`Model::leaves`] of so many rows, of which a device has found the ends.
    ///
    /// # Panics
    /// As [`Model::raw_found`], and if sums were found.
    pub fn leaves_found(&self, forest: &ByteForest, found: &Found, rows: usize) -> Vec<u32> {
        let Found::Ends(ends) = found else { panic!("sums do not tell leaves") };
        forest.leaf_ids(ends, rows)
    }

    /// The trees.
    ///
    /// # Panics
    /// If there are none.
    fn ensemble(&self) -> &Ensemble {
        match &self.body {
            Body::Trees(ensemble) => ensemble,
            Body::Graph(_) => panic!("a graph of operators has no trees"),
        }
    }

    /// How many rows these columns have.
    fn rows_of(&self, columns: &[&[f64]]) -> usize {
        assert_eq!(columns.len(), self.features, "a column for each feature");
        let count = columns.first().map_or(0, |column| column.len());
        assert!(columns.iter().all(|column| column.len() == count), "columns of one length");
        count
    }

    /// Where each row ends in each tree: `predict(pred_leaf=True)`, the trees of a row together.
    ///
    /// # Panics
    /// As [`Model::raw`], and if [`Model::has_trees`] is false.
    pub fn leaves(&self, columns: &[&[f64]]) -> Vec<u32> {
        fn of<T: Number>(trees: &Trees<T>, columns: &[&[f64]], count: usize) -> Vec<u32> {
            let mut all = vec![];
            rows(columns, count, |row: &[T]| all.extend(trees.roots.iter().map(|(root, _)| trees.leaf(*root, row).id)));
            all
        }
        match &self.ensemble().forest {
            Forest::Single(trees) => of(trees, columns, self.rows_of(columns)),
            Forest::Double(trees) => of(trees, columns, self.rows_of(columns)),
        }
    }

    /// What each feature did to each sum of a row, and at last what the sum is without any: `predict(pred_contribs=True)`. Exact
    /// Shapley values by the paths of trees (Lundberg, Erion, Lee: *Consistent Individualized Feature Attribution for Tree
    /// Ensembles*, 2018); together they are the raw sum, up to rounding.
    ///
    /// # Panics
    /// As [`Model::raw`], and if [`Model::explains`] is false.
    pub fn contributions(&self, columns: &[&[f64]]) -> Vec<f64> {
        fn of<T: Number>(trees: &Trees<T>, columns: &[&[f64]], count: usize) -> Vec<f64> {
            let mut shap = Shap::new(trees, columns.len());
            let mut all = vec![];
            rows(columns, count, |row: &[T]| shap.add(row, &mut all));
            all
        }
        assert!(self.explains, "the file says nothing of the training data");
        match &self.ensemble().forest {
            Forest::Single(trees) => of(trees, columns, self.rows_of(columns)),
            Forest::Double(trees) => of(trees, columns, self.rows_of(columns)),
        }
    }
}

impl Ensemble {
    fn sums(&self) -> usize {
        match &self.forest {
            Forest::Single(trees) => trees.start.len(),
            Forest::Double(trees) => trees.start.len(),
        }
    }

    fn raw_of(&self, from: Rows<'_>, rows: usize) -> Scores {
        match (&self.forest, &self.layout) {
            (Forest::Single(trees), Layout::Single(tiles)) => {
                let mut all = Vec::with_capacity(rows * self.sums());
                from.each_row(trees, tiles, rows, |sums| all.extend_from_slice(sums));
                Scores::Single(all)
            }
            (Forest::Double(trees), Layout::Double(tiles)) => {
                let mut all = Vec::with_capacity(rows * self.sums());
                from.each_row(trees, tiles, rows, |sums| all.extend_from_slice(sums));
                Scores::Double(all)
            }
            _ => unreachable!("the layout is that of the forest"),
        }
    }

    fn predict_of(&self, from: Rows<'_>, rows: usize) -> Scores {
        match (&self.forest, &self.layout) {
            (Forest::Single(trees), Layout::Single(tiles)) => {
                let mut all = Vec::with_capacity(rows * self.link.outputs(self.sums()));
                from.each_row(trees, tiles, rows, |sums| {
                    trees.average(sums);
                    self.link.single(sums, &mut all);
                });
                Scores::Single(all)
            }
            (Forest::Double(trees), Layout::Double(tiles)) => {
                let mut all = Vec::with_capacity(rows * self.link.outputs(self.sums()));
                from.each_row(trees, tiles, rows, |sums| {
                    trees.average(sums);
                    self.link.double(sums, &mut all);
                });
                Scores::Double(all)
            }
            _ => unreachable!("the layout is that of the forest"),
        }
    }
}

/// Where the sums of rows come from.
#[derive(Clone, Copy)]
enum Rows<'a> {
    /// From their values, here.
    Values(&'a [&'a [f64]]),
    /// From what a device has found.
    Found(&'a ByteForest, &'a Found),
}

impl Rows<'_> {
    /// Calls with the sums of each row, which are whole.
    fn each_row<T: Tiled>(self, trees: &Trees<T>, tiles: &Tiles<T>, rows: usize, mut call: impl FnMut(&mut Vec<T>)) {
        let (forest, found) = match self {
            Rows::Values(columns) => return tiles.each_row(trees, columns, rows, call),
            Rows::Found(forest, found) => (forest, found),
        };
        let added;
        let planes = match found {
            Found::Sums(sums) => T::of_scores(sums),
            Found::Ends(ends) => {
                added = forest.add_ends(trees, T::of_scores(&forest.leaves), ends, rows);
                &added
            }
        };
        let stride = ByteForest::stride(rows);
        let mut sums = Vec::with_capacity(trees.start.len());
        for row in 0..rows {
            sums.clear();
            sums.extend((0..trees.start.len()).map(|sum| planes[sum * stride + row]));
            trees.finish(&mut sums);
            call(&mut sums);
        }
    }
}

/// Calls with the values of each row.
fn rows<T: Number>(columns: &[&[f64]], count: usize, mut call: impl FnMut(&[T])) {
    let mut row = vec![T::of(0.0); columns.len()];
    for at in 0..count {
        for (value, column) in row.iter_mut().zip(columns) {
            *value = T::of(column[at]);
        }
        call(&row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same<T: Number + std::fmt::Debug>(trees: &Trees<T>, columns: &[&[f64]], got: &[T], what: &str) {
        let (mut sums, mut at) = (vec![], 0);
        rows(columns, columns[0].len(), |row: &[T]| {
            trees.sum(row, &mut sums);
            for sum in &sums {
                assert_eq!(got[at].to_f64().to_bits(), sum.to_f64().to_bits(), "{what}: {at}");
                at += 1;
            }
        });
        assert_eq!(at, got.len());
    }

    /// Tiles give the sums of the walk, and so do forests over bytes, for any number of rows, and for values at and beside every threshold.
    #[test]
    fn tiles_are_the_walk() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let (mut models, mut walked) = (0, 0);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.display().to_string();
            if !name.contains(".model.") {
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let model = Model::read(&bytes, Format::of_bytes(&bytes).unwrap()).unwrap();
            // What has no trees has tests of its own.
            if !model.has_trees() {
                continue;
            }
            models += 1;
            let mut values: Vec<f64> =
                vec![f64::NAN, 0.0, -0.0, 1e-36, f64::INFINITY, f64::NEG_INFINITY, 1e30, 3.0, 64.0];
            let near = |value: f64| [value, value.next_up(), value.next_down()];
            match &model.ensemble().forest {
                Forest::Single(trees) => {
                    let beside = |value: f32| [value, value.next_up(), value.next_down()].map(f64::from);
                    values.extend(trees.nodes.iter().flat_map(|node| beside(node.value)));
                }
                Forest::Double(trees) => values.extend(trees.nodes.iter().flat_map(|node| near(node.value))),
            }
            for rows in [1, 63, 64, 65, 700] {
                let column =
                    |c: usize| (0..rows).map(|row| values[(row * (2 * c + 1) + c * 17) % values.len()]).collect();
                let columns: Vec<Vec<f64>> = (0..model.features).map(column).collect();
                let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
                let mut all = vec![model.raw(&columns)];
                match model.byte_forest() {
                    Ok(forest) => {
                        let ends = crate::byte_forest::tests::ends(&forest, &columns, rows);
                        all.push(model.raw_found(&forest, &ends, rows));
                        // NaN is not equal to itself; the bits are.
                        let shown = |scores: &Scores| format!("{scores:?}");
                        let found = model.predict_found(&forest, &ends, rows);
                        assert_eq!(shown(&found), shown(&model.predict(&columns)), "{name}");
                        assert_eq!(model.leaves_found(&forest, &ends, rows), model.leaves(&columns), "{name}");
                        walked += 1;
                    }
                    Err(why) => assert!(why.contains("categories"), "{name}: {why}"),
                }
                for got in &all {
                    match (&model.ensemble().forest, got) {
                        (Forest::Single(trees), Scores::Single(got)) => same(trees, &columns, got, &name),
                        (Forest::Double(trees), Scores::Double(got)) => same(trees, &columns, got, &name),
                        _ => panic!("{name}"),
                    }
                }
            }
        }
        assert!(models >= 35, "{models}");
        assert!(walked >= 5 * 25, "{walked}");
    }
}
