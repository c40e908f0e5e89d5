//! Ensembles of trees made by dice, as files of XGBoost and LightGBM have them: for measurements and tests, which then need no data.

use std::fmt::Write;

use pelton_models::{Format, Model};

/// What an ensemble is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// LightGBM's, in double precision; else XGBoost's.
    pub double: bool,
    pub features: u64,
    pub trees: u64,
    /// Levels of inner nodes at most.
    pub depth: u64,
    /// One in so many nodes is a leaf before that; 0: none.
    pub early: u64,
    /// Sums.
    pub classes: u64,
    /// Different thresholds of a feature: see [`threshold`].
    pub thresholds: u64,
    /// Trees are weighted as DART does it (XGBoost).
    pub dart: bool,
    /// One in so many nodes asks for categories; 0: none.
    pub categories: u64,
    /// One in so many nodes asks only whether a value is missing (LightGBM); 0: none.
    pub missing: u64,
    /// Leaves are so large that sums overflow.
    pub huge: bool,
}

/// Gives a number below another.
pub(crate) type Below<'d> = &'d mut dyn FnMut(u64) -> u64;

/// A threshold by its number: any two are apart in single precision, the seventh is 0.
pub(crate) fn threshold(number: u64) -> f64 {
    f64::from((number as f32 - 7.0) / 8.0)
}

/// A tree: inner nodes, whose children are inner nodes, or below 0 leaves, counted from -1 down.
#[derive(Default)]
struct Tree {
    features: Vec<u64>,
    thresholds: Vec<f64>,
    /// Two bits of what is missing (LightGBM), one of where it goes, one of whether it asks for a category.
    missing: Vec<u64>,
    goes_left: Vec<bool>,
    categorical: Vec<bool>,
    lefts: Vec<i64>,
    rights: Vec<i64>,
    leaves: Vec<f64>,
}

impl Tree {
    fn grow(&mut self, shape: &Shape, depth: u64, dice: Below<'_>) -> i64 {
        if depth == 0 || (shape.early > 0 && dice(shape.early) == 0) {
            let leaf = (dice(20_001) as f64 - 10_000.0) / 12_345.0;
            self.leaves.push(if shape.huge { leaf * 3e38 } else { leaf });
            return -(self.leaves.len() as i64);
        }
        let at = self.features.len();
        self.features.push(dice(shape.features));
        let is_any = shape.double && shape.missing > 0 && dice(shape.missing) == 0;
        self.thresholds.push(if is_any { f64::INFINITY } else { threshold(dice(shape.thresholds)) });
        self.missing.push(dice(3));
        self.goes_left.push(dice(2) == 0);
        self.categorical.push(shape.categories > 0 && dice(shape.categories) == 0);
        self.lefts.push(0);
        self.rights.push(0);
        self.lefts[at] = self.grow(shape, depth - 1, dice);
        self.rights[at] = self.grow(shape, depth - 1, dice);
        at as i64
    }

    /// As an object of XGBoost's: leaves behind inner nodes.
    fn json(&self) -> String {
        let inner = self.features.len();
        let child = |at: i64| if at < 0 { inner as i64 - at - 1 } else { at };
        let pad = |values: Vec<String>, leaf: &str| {
            let leaves = std::iter::repeat_n(leaf.to_string(), self.leaves.len());
            format!("[{}]", values.into_iter().chain(leaves).collect::<Vec<_>>().join(","))
        };
        let lefts = pad(self.lefts.iter().map(|at| child(*at).to_string()).collect(), "-1");
        let rights = pad(self.rights.iter().map(|at| child(*at).to_string()).collect(), "-1");
        let features = pad(self.features.iter().map(ToString::to_string).collect(), "0");
        let defaults = pad(self.goes_left.iter().map(|left| u8::from(*left).to_string()).collect(), "0");
        let types = pad(self.categorical.iter().map(|is| u8::from(*is).to_string()).collect(), "0");
        let conditions = self.thresholds.iter().chain(&self.leaves).map(|value| format!("{:e}", *value as f32));
        let asking: Vec<usize> = (0..inner).filter(|node| self.categorical[*node]).collect();
        let list =
            |of: &dyn Fn(usize) -> usize| (0..asking.len()).map(|at| of(at).to_string()).collect::<Vec<_>>().join(",");
        format!(
            r#"{{"tree_param":{{"size_leaf_vector":"1"}},"left_children":{lefts},"right_children":{rights},"split_indices":{features},
            "split_conditions":[{}],"default_left":{defaults},"split_type":{types},"categories_nodes":[{}],"categories":[{}],
            "categories_segments":[{}],"categories_sizes":[{}]}}"#,
            conditions.collect::<Vec<_>>().join(","),
            list(&|at| asking[at]),
            list(&|at| at % 5),
            list(&|at| at),
            list(&|_| 1),
        )
    }

    /// As LightGBM's lines.
    fn text(&self, into: &mut String) {
        let line = |key: &str, values: Vec<String>| format!("{key}={}\n", values.join(" "));
        let mut sets = 0;
        let mut thresholds = vec![];
        for (value, is) in self.thresholds.iter().zip(&self.categorical) {
            thresholds.push(if *is { format!("{sets}") } else { format!("{value:e}") });
            sets += usize::from(*is);
        }
        let kind = |at: usize| match self.categorical[at] {
            true => 1,
            false => self.missing[at] << 2 | u64::from(self.goes_left[at]) << 1,
        };
        let numbers = |values: &[i64]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
        let of = |count: usize, value: &dyn Fn(usize) -> String| (0..count).map(value).collect::<Vec<_>>();
        let inner = self.features.len();
        let lines = [
            format!("num_leaves={}\nnum_cat={sets}\n", self.leaves.len()),
            line("split_feature", of(inner, &|at| self.features[at].to_string())),
            line("threshold", thresholds),
            line("decision_type", of(inner, &|at| kind(at).to_string())),
            line("left_child", numbers(&self.lefts)),
            line("right_child", numbers(&self.rights)),
            line("leaf_value", of(self.leaves.len(), &|at| format!("{:e}", self.leaves[at]))),
            line("leaf_count", of(self.leaves.len(), &|_| "1".into())),
            line("internal_count", of(inner, &|_| "2".into())),
            line("cat_boundaries", of(sets + 1, &|at| at.to_string())),
            line("cat_threshold", of(sets, &|at| (5 + at).to_string())),
        ];
        into.extend(lines);
    }
}

/// An ensemble.
pub(crate) fn model(shape: &Shape, dice: Below<'_>) -> Model {
    let mut trees = vec![];
    for _ in 0..shape.trees {
        let mut tree = Tree::default();
        tree.grow(shape, shape.depth, dice);
        trees.push(tree);
    }
    let (text, format) = match shape.double {
        true => (lightgbm(shape, &trees), Format::Lightgbm),
        false => (xgboost(shape, &trees, dice), Format::XgboostJson),
    };
    Model::read(text.as_bytes(), format).expect("such files are read")
}

fn lightgbm(shape: &Shape, trees: &[Tree]) -> String {
    let objective = if shape.classes > 1 { "multiclass num_class:3" } else { "binary sigmoid:1" };
    let mut text = format!(
        "tree\nversion=v4\nnum_tree_per_iteration={}\nmax_feature_idx={}\nobjective={objective}\n\n",
        shape.classes,
        shape.features - 1
    );
    for (number, tree) in trees.iter().enumerate() {
        writeln!(text, "Tree={number}").expect("a string");
        tree.text(&mut text);
        text.push('\n');
    }
    text + "end of trees\n"
}

fn xgboost(shape: &Shape, trees: &[Tree], dice: Below<'_>) -> String {
    let classes = if shape.classes > 1 { shape.classes } else { 0 };
    let objective = if classes > 0 { "multi:softprob" } else { "binary:logistic" };
    let info: Vec<String> = (0..trees.len() as u64).map(|tree| (tree % shape.classes).to_string()).collect();
    let all: Vec<String> = trees.iter().map(Tree::json).collect();
    let model = format!(r#"{{"tree_info":[{}],"trees":[{}]}}"#, info.join(","), all.join(","));
    let booster = match shape.dart {
        true => {
            let weights: Vec<String> = trees.iter().map(|_| format!("{:e}", (1 + dice(9)) as f32 / 7.0)).collect();
            format!(r#"{{"name":"dart","gbtree":{{"model":{model}}},"weight_drop":[{}]}}"#, weights.join(","))
        }
        false => format!(r#"{{"name":"gbtree","model":{model}}}"#),
    };
    format!(
        r#"{{"learner":{{"learner_model_param":{{"num_feature":"{}","num_class":"{classes}","base_score":"2.5E-1"}},
        "objective":{{"name":"{objective}"}},"gradient_booster":{booster}}},"version":[3,2,0]}}"#,
        shape.features
    )
}

/// Columns for an ensemble: values at thresholds, beside and between them, missing ones, both zeros and infinities.
pub(crate) fn rows(shape: &Shape, rows: usize, dice: Below<'_>) -> Vec<Vec<f64>> {
    const ODD: [f64; 8] = [f64::NAN, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e-36, 1e300];
    let value = |dice: Below<'_>| {
        let at = threshold(dice(shape.thresholds + 2).saturating_sub(1));
        match dice(12) {
            0 => ODD[dice(ODD.len() as u64) as usize],
            1..4 => at,
            4 => f64::from((at as f32).next_up()),
            5 => f64::from((at as f32).next_down()),
            6 => at.next_up(),
            7 => at.next_down(),
            _ => at + 0.0625,
        }
    };
    (0..shape.features).map(|_| (0..rows).map(|_| value(dice)).collect()).collect()
}
