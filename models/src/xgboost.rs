//! XGBoost's files: `doc/model.schema` and `src/tree/tree_model.cc` there say what is in them.
//!
//! A row goes to the left where its value is below the threshold, to the right where its category is one of the node's. Values are
//! rounded to single precision first, as `DMatrix` does.

use crate::document::{At, Document};
use crate::error::Result;
use crate::link::Link;
use crate::model::{Forest, LEAF, Missing, Node, Parts, Test, Trees};
use crate::ubjson;

pub fn read_json(bytes: &[u8]) -> Result<Parts> {
    model(&Document::of_json(bytes)?)
}

pub fn read_ubj(bytes: &[u8]) -> Result<Parts> {
    model(&ubjson::read(bytes)?)
}

/// From `base_score` to the first value of a sum.
type Margin = fn(f32) -> f32;

/// What its objective does to sums, and to `base_score` before.
fn objective(name: &str, at: &At<'_>) -> Result<(Link, Margin)> {
    let same = |x: f32| x;
    let logit = |p: f32| -(libm::log(f64::from(1.0 / p - 1.0)) as f32);
    let log = |x: f32| libm::log(f64::from(x)) as f32;
    Ok(match name {
        "binary:logistic" | "reg:logistic" => (Link::Logistic { slope: 1.0 }, logit),
        "binary:logitraw" => (Link::Identity, same),
        "binary:hinge" => (Link::Step, same),
        "multi:softmax" => (Link::Greatest, same),
        "multi:softprob" => (Link::Softmax, same),
        "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" | "survival:aft" => (Link::Exp, log),
        "reg:squarederror"
        | "reg:linear"
        | "reg:squaredlogerror"
        | "reg:absoluteerror"
        | "reg:pseudohubererror"
        | "reg:quantileerror"
        | "reg:expectileerror"
        | "rank:pairwise"
        | "rank:ndcg"
        | "rank:map" => (Link::Identity, same),
        other => {
            return Err(at
                .error(format!("objective '{other}' is not known"))
                .hint("its raw sums would be right, but nobody could say what `predict` makes of them"));
        }
    })
}

fn model(document: &Document) -> Result<Parts> {
    let root = document.at();
    let learner = root.get("learner").map_err(|e| e.hint("is this a file of XGBoost's `save_model`?"))?;
    let parameters = learner.get("learner_model_param")?;
    let features = count(&parameters.get("num_feature")?)?;
    let classes = parameters.find("num_class").map_or(Ok(0), |at| count(&at))?;
    let targets = parameters.find("num_target").map_or(Ok(1), |at| count(&at))?;
    if targets > 1 {
        return Err(parameters.error(format!("a model of {targets} targets at once is not supported")));
    }
    let sums = classes.max(1);
    let objective_at = learner.get("objective")?.get("name")?;
    let name = objective_at.text()?;
    let (link, margin) = objective(name, &objective_at)?;
    let base = base_scores(&parameters.get("base_score")?, sums)?;
    let booster = learner.get("gradient_booster")?;
    let (gbtree, weights) = match booster.get("name")?.text()? {
        "gbtree" => (booster.get("model")?, None),
        "dart" => (booster.get("gbtree")?.get("model")?, Some(booster.get("weight_drop")?.floats()?)),
        other => {
            return Err(booster
                .error(format!("booster '{other}' has no trees"))
                .hint("train it with 'booster' = 'gbtree' or 'dart'"));
        }
    };
    let mut trees = Trees::new(base.into_iter().map(margin).collect());
    let groups = gbtree.get("tree_info")?.ints()?;
    let list = gbtree.get("trees")?;
    let all = list.list()?;
    if groups.len() != all.len() || weights.as_ref().is_some_and(|weights| weights.len() != all.len()) {
        return Err(list.error(format!("{} trees, and {} classes of trees", all.len(), groups.len())));
    }
    for (number, (at, group)) in all.iter().zip(groups).enumerate() {
        let group = u32::try_from(group).map_err(|_| at.error(format!("class {group}")))?;
        trees.roots.push((trees.nodes.len() as u32, group));
        let weight = weights.as_ref().map_or(1.0, |weights| weights[number]);
        tree(at, weight, &mut trees)?;
    }
    let feature_names = match learner.find("feature_names") {
        None => vec![],
        Some(names) => names.list()?.iter().map(|name| name.text().map(str::to_string)).collect::<Result<_>>()?,
    };
    Ok(Parts { feature_names, features, objective: name.to_string(), link, forest: Forest::Single(trees) })
}

fn count(at: &At<'_>) -> Result<usize> {
    let value = at.int()?;
    usize::try_from(value).map_err(|_| at.error(format!("{value} is no number of things")))
}

/// `base_score`: a number as text, or in newer files a list of them, `[8.7E-3]`.
fn base_scores(at: &At<'_>, sums: usize) -> Result<Vec<f32>> {
    let text = at.text()?;
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    let parse = |part: &str| part.trim().parse::<f32>().map_err(|_| at.error(format!("'{text}' is no number")));
    let scores = inner.split(',').map(parse).collect::<Result<Vec<f32>>>()?;
    match scores.len() {
        1 => Ok(vec![scores[0]; sums]),
        len if len == sums => Ok(scores),
        len => Err(at.error(format!("{len} numbers for {sums} classes"))),
    }
}

/// Adds a tree. XGBoost's numbers of nodes are places in its rows of numbers; those that were pruned away stay, and are come to
/// by nobody.
fn tree(at: &At<'_>, weight: f32, trees: &mut Trees<f32>) -> Result<()> {
    if at.get("tree_param")?.find("size_leaf_vector").map_or(Ok(1), |at| at.int())? > 1 {
        return Err(at
            .error("leaves with several values are not supported")
            .hint("train with 'multi_strategy' = 'one_output_per_tree'"));
    }
    let lefts = at.get("left_children")?.ints()?;
    let rights = at.get("right_children")?.ints()?;
    let features = at.get("split_indices")?.ints()?;
    let values = at.get("split_conditions")?.floats()?;
    let defaults = at.get("default_left")?.ints()?;
    let covers = at.find("sum_hessian").map_or(Ok(vec![]), |at| at.floats())?;
    let types = at.find("split_type").map_or(Ok(vec![]), |at| at.ints())?;
    let nodes = lefts.len();
    let fits = |len: usize, may_lack: bool| len == nodes || (may_lack && len == 0);
    let all = fits(rights.len(), false) && fits(features.len(), false) && fits(values.len(), false);
    if nodes == 0 || !all || !fits(defaults.len(), false) || !fits(covers.len(), true) || !fits(types.len(), true) {
        return Err(at.error("its rows of numbers are not all of one length"));
    }
    let sets = categories(at, nodes, trees)?;
    let base = trees.nodes.len() as u32;
    let child = |value: i64| match u32::try_from(value) {
        Ok(value) if (value as usize) < nodes => Ok(base + value),
        _ => Err(at.error(format!("there is no node {value}, of {nodes}"))),
    };
    for node in 0..nodes {
        let is_leaf = lefts[node] == -1;
        let (left, right) = if is_leaf { (LEAF, LEAF) } else { (child(lefts[node])?, child(rights[node])?) };
        let missing_left = defaults[node] != 0;
        let test = match types.get(node) {
            Some(1) if !is_leaf => Test::Category {
                set: sets[node].ok_or_else(|| at.error(format!("node {node} has no categories")))?,
                left_if_in: false,
                missing_left,
            },
            _ => Test::Number { missing: Missing::Nan, left: missing_left },
        };
        let feature = u32::try_from(features[node]).unwrap_or(if is_leaf { 0 } else { u32::MAX });
        let value = if is_leaf { values[node] * weight } else { values[node] };
        let cover = covers.get(node).map_or(0.0, |cover| f64::from(*cover));
        trees.nodes.push(Node { left, right, feature, test, value, cover, id: node as u32 });
    }
    Ok(())
}

/// The sets of categories of a tree's nodes, by node.
fn categories(at: &At<'_>, nodes: usize, trees: &mut Trees<f32>) -> Result<Vec<Option<u32>>> {
    let mut sets = vec![None; nodes];
    let Some(of) = at.find("categories_nodes") else { return Ok(sets) };
    let of = of.ints()?;
    if of.is_empty() {
        return Ok(sets);
    }
    let all = at.get("categories")?.ints()?;
    let starts = at.get("categories_segments")?.ints()?;
    let sizes = at.get("categories_sizes")?.ints()?;
    let wrong = || at.error("its categories do not fit together");
    if starts.len() != of.len() || sizes.len() != of.len() {
        return Err(wrong());
    }
    for ((node, start), size) in of.iter().zip(starts).zip(sizes) {
        let (start, size) = (usize::try_from(start), usize::try_from(size));
        let (Ok(start), Ok(size)) = (start, size) else { return Err(wrong()) };
        let end = start.checked_add(size).ok_or_else(wrong)?;
        let part = all.get(start..end).ok_or_else(wrong)?;
        let mut words = vec![];
        for category in part {
            let category = usize::try_from(*category).ok().filter(|c| *c < 1 << 24).ok_or_else(wrong)?;
            words.resize(words.len().max(category / 32 + 1), 0u32);
            words[category / 32] |= 1 << (category % 32);
        }
        let slot = usize::try_from(*node).ok().and_then(|node| sets.get_mut(node)).ok_or_else(wrong)?;
        *slot = Some(trees.categories.len() as u32);
        trees.categories.push(words);
    }
    Ok(sets)
}
