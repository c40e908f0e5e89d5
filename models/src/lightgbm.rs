//! LightGBM's text files: `src/boosting/gbdt_model_text.cpp` and `include/LightGBM/tree.h` there say what is in them.
//!
//! A row goes to the left where its value is at most the threshold, or its category is one of the node's.

use std::collections::BTreeMap;

use crate::error::{ModelError, Result};
use crate::link::Link;
use crate::model::{Forest, LEAF, Missing, Node, Parts, Test, Trees};

/// Lines of `key=value`, with the number of the first.
struct Section<'t> {
    name: String,
    values: BTreeMap<&'t str, &'t str>,
    /// Words that stand alone.
    flags: Vec<&'t str>,
}

impl<'t> Section<'t> {
    fn error(&self, what: impl std::fmt::Display) -> ModelError {
        ModelError::new(format!("{}: {what}", self.name))
    }

    fn get(&self, key: &str) -> Result<&'t str> {
        self.values.get(key).copied().ok_or_else(|| self.error(format!("'{key}' is missing")))
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<T> {
        let text = self.get(key)?;
        text.trim().parse().map_err(|_| self.error(format!("'{key}' is '{text}'")))
    }

    /// Numbers, as many as there should be.
    fn numbers<T: std::str::FromStr>(&self, key: &str, count: usize) -> Result<Vec<T>> {
        let parse = |word: &str| word.parse::<T>().map_err(|_| self.error(format!("'{key}' has '{word}'")));
        let numbers = self.get(key)?.split_ascii_whitespace().map(parse).collect::<Result<Vec<T>>>()?;
        match numbers.len() == count {
            true => Ok(numbers),
            false => Err(self.error(format!("'{key}' has {} numbers, wanted {count}", numbers.len()))),
        }
    }
}

pub fn read(bytes: &[u8]) -> Result<Parts> {
    let text = std::str::from_utf8(bytes).map_err(|_| ModelError::new("a LightGBM file is text, and this is none"))?;
    if text.lines().next().map(str::trim) != Some("tree") {
        return Err(ModelError::new("line 1: a LightGBM file begins with 'tree'")
            .hint("is this a file of LightGBM's `save_model`?"));
    }
    let mut sections: Vec<Section<'_>> = vec![section("the header".into())];
    let mut is_whole = false;
    for line in text.lines().skip(1) {
        let line = line.trim_end();
        if line == "end of trees" {
            is_whole = true;
            break;
        }
        let last = sections.last_mut().expect("the header is there");
        match line.split_once('=') {
            Some(("Tree", number)) => sections.push(section(format!("tree {number}"))),
            Some((key, value)) => drop(last.values.insert(key, value)),
            None if !line.is_empty() => last.flags.push(line),
            None => {}
        }
    }
    if !is_whole {
        return Err(ModelError::new("the file is cut off: there is no 'end of trees'"));
    }
    let (header, trees) = sections.split_first().expect("the header is there");
    model(header, trees)
}

fn section<'t>(name: String) -> Section<'t> {
    Section { name, values: BTreeMap::new(), flags: vec![] }
}

fn model(header: &Section<'_>, sections: &[Section<'_>]) -> Result<Parts> {
    let features = header.number::<usize>("max_feature_idx")?.saturating_add(1);
    let sums = header.number::<usize>("num_tree_per_iteration")?;
    if sums == 0 || sums > 100_000 || features > 1 << 24 {
        return Err(header.error(format!("{sums} trees an iteration, {features} features")));
    }
    let objective = header.get("objective").unwrap_or("custom");
    let link = link(objective, header)?;
    // `boosting=rf`: trees are averaged.
    let averages = header.flags.contains(&"average_output");
    let mut trees = Trees::new(vec![0.0; sums]);
    trees.left_on_equal = true;
    trees.divisor = averages.then(|| (sections.len() / sums).max(1) as f64);
    for (number, section) in sections.iter().enumerate() {
        trees.roots.push((trees.nodes.len() as u32, (number % sums) as u32));
        tree(section, &mut trees)?;
    }
    let names = header.values.get("feature_names").copied().unwrap_or_default();
    let feature_names = names.split_ascii_whitespace().map(str::to_string).collect();
    Ok(Parts { feature_names, features, objective: objective.to_string(), link, forest: Forest::Double(trees) })
}

/// What its objective does to sums; its line has a name and parameters: `binary sigmoid:1`.
fn link(objective: &str, header: &Section<'_>) -> Result<Link> {
    let mut words = objective.split_ascii_whitespace();
    let name = words.next().unwrap_or_default();
    let parameters: Vec<&str> = words.collect();
    let slope = || {
        let text = parameters.iter().find_map(|word| word.strip_prefix("sigmoid:")).unwrap_or("1");
        text.parse::<f64>().map_err(|_| header.error(format!("'objective' has sigmoid '{text}'")))
    };
    Ok(match name {
        "binary" | "multiclassova" => Link::Logistic { slope: slope()? },
        "cross_entropy" | "xentropy" => Link::Logistic { slope: 1.0 },
        "cross_entropy_lambda" | "xentlambda" => Link::Softplus,
        "multiclass" => Link::Softmax,
        "poisson" | "gamma" | "tweedie" => Link::Exp,
        "regression" if parameters.contains(&"sqrt") => Link::SignedSquare,
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" | "lambdarank" | "rank_xendcg"
        | "custom" => Link::Identity,
        other => {
            return Err(header
                .error(format!("objective '{other}' is not known"))
                .hint("its raw sums would be right, but nobody could say what `predict` makes of them"));
        }
    })
}

/// Bits of `decision_type`.
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;

/// Adds a tree: its inner nodes, then its leaves. Children below 0 are leaves, counted from -1 down.
fn tree(at: &Section<'_>, trees: &mut Trees<f64>) -> Result<()> {
    let leaves = at.number::<usize>("num_leaves")?;
    if leaves == 0 || leaves > 1 << 24 {
        return Err(at.error(format!("'num_leaves' is {leaves}")));
    }
    if at.values.get("is_linear").is_some_and(|text| text.trim() == "1") {
        return Err(at.error("leaves that are linear models are not supported").hint("train without 'linear_tree'"));
    }
    let inner = leaves - 1;
    let values = at.numbers::<f64>("leaf_value", leaves)?;
    let base = trees.nodes.len() as u32;
    let leaf_covers = match leaves {
        1 => vec![0.0],
        _ => at.numbers::<f64>("leaf_count", leaves)?,
    };
    if inner > 0 {
        let features = at.numbers::<u32>("split_feature", inner)?;
        let thresholds = at.numbers::<f64>("threshold", inner)?;
        let types = at.numbers::<u8>("decision_type", inner)?;
        let lefts = at.numbers::<i64>("left_child", inner)?;
        let rights = at.numbers::<i64>("right_child", inner)?;
        let covers = at.numbers::<f64>("internal_count", inner)?;
        let sets = categories(at, trees)?;
        let child = |value: i64| {
            let (place, count) = if value < 0 { (!value, leaves) } else { (value, inner) };
            match usize::try_from(place) {
                Ok(place) if place < count => Ok(base + (if value < 0 { inner + place } else { place }) as u32),
                _ => Err(at.error(format!("there is no child {value}"))),
            }
        };
        for node in 0..inner {
            let test = match types[node] & CATEGORICAL {
                0 => Test::Number {
                    missing: match types[node] >> 2 & 3 {
                        0 => Missing::None,
                        1 => Missing::Zero,
                        2 => Missing::Nan,
                        _ => return Err(at.error(format!("'decision_type' is {}", types[node]))),
                    },
                    left: types[node] & DEFAULT_LEFT != 0,
                },
                _ => {
                    let set = sets.get(thresholds[node] as usize).copied();
                    let set = set.ok_or_else(|| at.error(format!("node {node} has no categories")))?;
                    Test::Category { set, left_if_in: true, missing_left: false }
                }
            };
            trees.nodes.push(Node {
                left: child(lefts[node])?,
                right: child(rights[node])?,
                feature: features[node],
                test,
                value: thresholds[node],
                cover: covers[node],
                id: node as u32,
            });
        }
    }
    for (leaf, (value, cover)) in values.into_iter().zip(leaf_covers).enumerate() {
        let test = Test::Number { missing: Missing::None, left: false };
        trees.nodes.push(Node { left: LEAF, right: LEAF, feature: 0, test, value, cover, id: leaf as u32 });
    }
    Ok(())
}

/// The sets of categories of a tree, in order.
fn categories(at: &Section<'_>, trees: &mut Trees<f64>) -> Result<Vec<u32>> {
    let count = at.number::<usize>("num_cat")?;
    if count == 0 {
        return Ok(vec![]);
    }
    let bounds = at.numbers::<usize>("cat_boundaries", count.saturating_add(1))?;
    let words = at.numbers::<u32>("cat_threshold", bounds.last().copied().unwrap_or(0))?;
    let mut sets = vec![];
    for bound in bounds.windows(2) {
        let part = words.get(bound[0]..bound[1]).ok_or_else(|| at.error("'cat_boundaries' do not go up"))?;
        sets.push(trees.categories.len() as u32);
        trees.categories.push(part.to_vec());
    }
    Ok(sets)
}
