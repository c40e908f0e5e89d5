//! Trees within a graph, behind scalers or before other operators: all columns of their scores.
//!
//! An ensemble alone is no graph, but a model by itself (`onnx/trees.rs`), of which two classes have one answer. Here two classes have
//! two, as operators behind may use either.

use crate::error::Result;
use crate::link::{Link, Transform};
use crate::model::Trees;
use crate::onnx::Attributes;
use crate::onnx::trees;
use crate::tiles::Tiles;

use super::functions::Real;
use super::program::{LANES, Lanes};

/// An ensemble, and what becomes of its sums.
pub struct Forest {
    body: Body,
    link: Link,
    features: usize,
    first: First,
    double: bool,
}

enum Body {
    Single(Trees<f32>, Tiles<f32>),
    Double(Trees<f64>, Tiles<f64>),
}

/// The score of the first of two classes, where the second alone has a sum.
#[derive(Clone, Copy, PartialEq)]
enum First {
    /// It is not so.
    Summed,
    Rest,
    Negative,
    Logistic,
}

impl Forest {
    /// Reads the ensemble of a node, over so many features.
    pub fn read(node: &Attributes<'_>, is_double: bool, features: usize) -> Result<Self> {
        let body;
        let link = if is_double {
            let (link, trees) = trees::forest::<f64>(node, true)?;
            trees.check(features)?;
            let tiles = Tiles::new(&trees, features);
            body = Body::Double(trees, tiles);
            link
        } else {
            let (link, trees) = trees::forest::<f32>(node, false)?;
            trees.check(features)?;
            let tiles = Tiles::new(&trees, features);
            body = Body::Single(trees, tiles);
            link
        };
        let classes = node.find("classlabels_int64s").map_or(0, |found| found.ints.len())
            + node.find("classlabels_strings").map_or(0, |found| found.strings.len());
        let sums = match &body {
            Body::Single(trees, _) => trees.start.len(),
            Body::Double(trees, _) => trees.start.len(),
        };
        let is_classifier = node.node.op_type == "TreeEnsembleClassifier";
        let first = match link {
            _ if !is_classifier || classes != 2 || sums != 1 => First::Summed,
            Link::Onnx { transform: Transform::Logistic, .. } => First::Logistic,
            _ if node.floats("class_weights")?.iter().any(|weight| *weight < 0.0) => First::Negative,
            _ => First::Rest,
        };
        let link = match link {
            Link::Onnx { transform, .. } => Link::Onnx { transform, second: false },
            other => other,
        };
        let double = is_double && node.node.op_type == "TreeEnsemble";
        Ok(Forest { body, link, features, first, double })
    }

    pub fn features(&self) -> usize {
        self.features
    }

    /// Scores that have the bits of doubles.
    pub fn is_double(&self) -> bool {
        self.double
    }

    /// Scores of a row.
    pub fn outputs(&self) -> usize {
        let sums = match &self.body {
            Body::Single(trees, _) => trees.start.len(),
            Body::Double(trees, _) => trees.start.len(),
        };
        sums + usize::from(self.first != First::Summed)
    }

    /// Calls with the number of each score, its row and itself.
    pub fn score(&self, rows: &[Lanes<f64>], mut call: impl FnMut(usize, usize, f64)) {
        let columns: Vec<&[f64]> = rows.iter().map(|column| &column[..]).collect();
        let mut row = 0;
        let mut each = |sums: &[f64], scores: &[f64]| {
            let from = usize::from(self.first != First::Summed);
            match self.first {
                First::Summed => {}
                // These are of single precision, and so is what is made of them.
                First::Rest => call(0, row, f64::from(1.0 - scores[0] as f32)),
                First::Negative => call(0, row, -scores[0]),
                First::Logistic => call(0, row, f64::from((-sums[0] as f32).sigmoid())),
            }
            scores.iter().enumerate().for_each(|(at, score)| call(from + at, row, *score));
            row += 1;
        };
        match &self.body {
            Body::Single(trees, tiles) => {
                let (mut narrow, mut wide, mut before) = (vec![], vec![], vec![]);
                tiles.each_row(trees, &columns, LANES, |sums| {
                    before.clear();
                    before.extend(sums.iter().map(|sum| f64::from(*sum)));
                    narrow.clear();
                    self.link.single(sums, &mut narrow);
                    wide.clear();
                    wide.extend(narrow.iter().map(|score| f64::from(*score)));
                    each(&before, &wide);
                });
            }
            Body::Double(trees, tiles) => {
                let (mut wide, mut before) = (vec![], vec![]);
                tiles.each_row(trees, &columns, LANES, |sums| {
                    before.clone_from(sums);
                    wide.clear();
                    self.link.double(sums, &mut wide);
                    each(&before, &wide);
                });
            }
        }
    }

    /// Whether its operator is one of trees.
    pub fn is_operator(name: &str) -> bool {
        matches!(name, "TreeEnsembleClassifier" | "TreeEnsembleRegressor" | "TreeEnsemble")
    }
}
