//! ONNX files with one ensemble of trees: `TreeEnsembleClassifier` and `TreeEnsembleRegressor` (ai.onnx.ml 1 and 3), `TreeEnsemble`
//! (ai.onnx.ml 5), and around them the nodes that exporters put there and that change no number.
//!
//! Computed as ONNX Runtime does (`core/providers/cpu/ml/tree_ensemble_*.h`): leaves are added in the order of the trees, in single
//! precision, or in double where the trees are given doubles; then comes the base value, then the transform. Every test becomes
//! `value < threshold`, the form of [`Trees`]: at most `t` is below the next number, and of the opposite of a test the children
//! change places. A leaf that votes for several classes becomes a tree for each.

use std::collections::{HashMap, HashSet};

use crate::error::{ModelError, Result};
use crate::link::{Link, Transform};
use crate::model::{Fold, Forest, LEAF, Last, Missing, Node, Parts, Test, Trees};
use crate::onnx::{Attributes, BOOL, DOUBLE, FLOAT, INT32, INT64, numbers, proto};
use crate::tiles::Tiled;

/// More nodes than this are no model, but a file that grows when it is read.
const NODES_MAX: usize = 1 << 26;

/// The one ensemble of a graph and what it is given, if nothing around it changes a number.
pub fn alone(graph: &proto::Graph) -> Option<(&proto::Node, Input)> {
    let is_ensemble = |node: &&proto::Node| node.op_type.starts_with("TreeEnsemble");
    let mut ensembles = graph.node.iter().filter(is_ensemble);
    let (Some(ensemble), None) = (ensembles.next(), ensembles.next()) else { return None };
    let input = input(graph, ensemble).ok()?;
    check_output(graph, ensemble).ok()?;
    Some((ensemble, input))
}

/// Reads such an ensemble.
pub fn read(ensemble: &proto::Node, input: Input) -> Result<Parts> {
    let node = Attributes { node: ensemble };
    let (link, forest) = match input.is_double {
        false => forest::<f32>(&node, false).map(|(link, trees)| (link, Forest::Single(trees)))?,
        true => forest::<f64>(&node, true).map(|(link, trees)| (link, Forest::Double(trees)))?,
    };
    let asked = match &forest {
        Forest::Single(trees) => trees.nodes.iter().map(|node| node.feature).max(),
        Forest::Double(trees) => trees.nodes.iter().map(|node| node.feature).max(),
    };
    let features = input.features.unwrap_or(asked.map_or(0, |feature| feature as usize + 1));
    Ok(Parts { feature_names: input.names, features, objective: ensemble.op_type.clone(), link, forest })
}

/// What the trees are given.
pub struct Input {
    is_double: bool,
    features: Option<usize>,
    names: Vec<String>,
}

/// Goes back from the ensemble to the inputs of the graph, by nodes that change no number.
fn input(graph: &proto::Graph, ensemble: &proto::Node) -> Result<Input> {
    let mut name = ensemble.input.first().ok_or_else(|| ModelError::new("the trees have no input"))?;
    let mut is_double = None;
    for _ in 0..=graph.node.len() {
        if let Some(given) = graph.input.iter().find(|given| given.name == *name) {
            let (elem, features) = shape(given)?;
            let names = vec![];
            return Ok(Input { is_double: is_double.unwrap_or(elem == DOUBLE), features, names });
        }
        let node = graph.node.iter().find(|node| node.output.contains(name));
        let node = node.ok_or_else(|| ModelError::new(format!("nothing makes '{name}'")))?;
        match node.op_type.as_str() {
            "Identity" => {}
            "Cast" if is_double.is_none() => match (Attributes { node }).int("to")? {
                to if to == i64::from(FLOAT) => is_double = Some(false),
                to if to == i64::from(DOUBLE) => is_double = Some(true),
                to => return Err(ModelError::new(format!("the trees are given a Cast to type {to}"))),
            },
            // A column each, with names.
            "Concat" => {
                let mut names = vec![];
                let mut doubles = vec![];
                for name in &node.input {
                    let given = graph.input.iter().find(|given| given.name == *name);
                    let given = given.ok_or_else(|| ModelError::new(format!("Concat is given '{name}', no input")))?;
                    let (elem, width) = shape(given)?;
                    if width != Some(1) {
                        return Err(ModelError::new(format!("input '{name}' of Concat is not one column")));
                    }
                    doubles.push(elem == DOUBLE);
                    names.push(name.clone());
                }
                let is_double = is_double.unwrap_or(doubles.contains(&true));
                return Ok(Input { is_double, features: Some(names.len()), names });
            }
            other => {
                return Err(ModelError::new(format!("operator {other} stands before the trees"))
                    .hint("do by SQL what it does, and export the trees by themselves"));
            }
        }
        name = node.input.first().ok_or_else(|| ModelError::new(format!("{} has no input", node.op_type)))?;
    }
    Err(ModelError::new("its nodes are a ring"))
}

/// The element type of an input, and its columns if the file says how many.
fn shape(given: &proto::ValueInfo) -> Result<(i32, Option<usize>)> {
    let error = |what: String| ModelError::new(format!("input '{}' is {what}", given.name));
    let tensor = given.r#type.as_ref().and_then(|of| of.tensor_type.as_ref());
    let tensor = tensor.ok_or_else(|| error("no tensor".into()))?;
    if !matches!(tensor.elem_type, FLOAT | DOUBLE | INT32 | INT64 | BOOL) {
        return Err(error(format!("of type {}, no number", tensor.elem_type)));
    }
    let dims = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim);
    match dims {
        [] => Ok((tensor.elem_type, None)),
        [_, columns] => Ok((tensor.elem_type, usize::try_from(columns.dim_value).ok().filter(|count| *count > 0))),
        _ => Err(error(format!("a tensor of {} dimensions, wanted rows and columns", dims.len()))),
    }
}

/// Fails unless what the trees answer comes out of the graph as it is.
fn check_output(graph: &proto::Graph, ensemble: &proto::Node) -> Result<()> {
    let answer = if ensemble.op_type == "TreeEnsembleClassifier" { 1 } else { 0 };
    let answer = ensemble.output.get(answer).ok_or_else(|| ModelError::new("the trees' scores are not used"))?;
    let mut same: HashSet<&str> = HashSet::from([answer.as_str()]);
    // Nodes are in the order in which they are computed.
    for node in &graph.node {
        if !node.input.iter().any(|name| same.contains(name.as_str())) {
            continue;
        }
        let ones = |name: &String| {
            let tensor = graph.initializer.iter().find(|tensor| tensor.name == *name);
            tensor.is_some_and(|tensor| numbers(tensor).is_ok_and(|all| all == [1.0]))
        };
        match node.op_type.as_str() {
            "Cast"
                if (Attributes { node })
                    .int("to")
                    .is_ok_and(|to| to != i64::from(FLOAT) && to != i64::from(DOUBLE)) =>
            {
                continue;
            }
            "Identity" | "Cast" | "ZipMap" => {}
            // LightGBM's converter multiplies by one.
            "Mul" if node.input.iter().any(ones) => {}
            // A label or one class out of the scores: they are there as well.
            "ArrayFeatureExtractor" | "ArgMax" => continue,
            other => {
                return Err(ModelError::new(format!("operator {other} stands behind the trees"))
                    .hint("do by SQL what it does, and export the trees by themselves"));
            }
        }
        same.extend(node.output.iter().map(String::as_str));
    }
    match same.contains(super::graph::output(graph)?.0.name.as_str()) {
        true => Ok(()),
        false => Err(ModelError::new("its answer is not the trees' scores")),
    }
}

/// The comparison of a node; the numbers are those of `TreeEnsemble`.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Leq = 0,
    Lt = 1,
    Gte = 2,
    Gt = 3,
    Eq = 4,
    Neq = 5,
    Member = 6,
    Leaf,
}

impl Mode {
    const NAMED: [(&'static str, Mode); 7] = [
        ("BRANCH_LEQ", Mode::Leq),
        ("BRANCH_LT", Mode::Lt),
        ("BRANCH_GTE", Mode::Gte),
        ("BRANCH_GT", Mode::Gt),
        ("BRANCH_EQ", Mode::Eq),
        ("BRANCH_NEQ", Mode::Neq),
        ("LEAF", Mode::Leaf),
    ];
    const NUMBERED: [Mode; 7] = [Mode::Leq, Mode::Lt, Mode::Gte, Mode::Gt, Mode::Eq, Mode::Neq, Mode::Member];
}

/// A node as the file has it.
struct Raw {
    id: i64,
    feature: u32,
    mode: Mode,
    value: f64,
    /// What [`Mode::Member`] asks for.
    members: Vec<f64>,
    /// Where the ways lead, when the answer is yes and when it is no.
    ways: (usize, usize),
    missing_yes: bool,
    /// Of a leaf: what it adds to which sum.
    votes: Vec<(usize, f64)>,
}

/// Reads the ensemble, in the precision that it computes in.
pub fn forest<T: Tiled>(node: &Attributes<'_>, is_double: bool) -> Result<(Link, Trees<T>)> {
    let (link, sums, base, raw, roots) = match node.node.op_type.as_str() {
        "TreeEnsembleClassifier" => {
            let (raw, roots) = nodes(node, "class")?;
            let used = raw.iter().flat_map(|node| node.votes.iter().map(|(sum, _)| *sum)).collect();
            let classes = node.find("classlabels_int64s").map_or(0, |found| found.ints.len())
                + node.find("classlabels_strings").map_or(0, |found| found.strings.len());
            let base = node.floats("base_values")?;
            let transform = transform(node, node.text("post_transform", "NONE")?)?;
            let (link, sums) = classifier(node, classes, &used, transform, &base)?;
            (link, sums, base, raw, roots)
        }
        "TreeEnsembleRegressor" => {
            let (raw, roots) = nodes(node, "target")?;
            let targets = targets(node)?;
            let transform = transform(node, node.text("post_transform", "NONE")?)?;
            (regressor(transform, targets), targets, node.floats("base_values")?, raw, roots)
        }
        "TreeEnsemble" => {
            let (raw, roots) = ensemble(node)?;
            let targets = targets(node)?;
            let names = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"];
            let number = node.find("post_transform").map_or(0, |found| found.i);
            let name = usize::try_from(number).ok().and_then(|number| names.get(number));
            let name = name.ok_or_else(|| node.error(format!("'post_transform' is {number}")))?;
            let transform = transform(node, name)?;
            if is_double && transform != Transform::None {
                return Err(node.error(format!("{name} of doubles is not supported")));
            }
            let link = if is_double { Link::Identity } else { regressor(transform, targets) };
            (link, targets, vec![], raw, roots)
        }
        other => return Err(ModelError::new(format!("operator {other} is not known"))),
    };
    if !base.is_empty() && base.len() != sums {
        return Err(node.error(format!("'base_values' has {} numbers for {sums} sums", base.len())));
    }
    let (fold, divisor) = aggregate(node, roots.len())?;
    let start = if fold == Fold::Sum { 0.0 } else { f64::NAN };
    let mut trees = Trees::new(vec![T::of(start); sums]);
    trees.fold = fold;
    trees.last = Some(Last { divisor: divisor.map(T::of), base: base.into_iter().map(T::of).collect() });
    for (number, root) in roots.into_iter().enumerate() {
        grow(&raw, root, sums, &mut trees).map_err(|what| node.error(format!("tree {number}: {what}")))?;
    }
    Ok((link, trees))
}

fn targets(node: &Attributes<'_>) -> Result<usize> {
    let count = node.find("n_targets").map_or(1, |found| found.i);
    usize::try_from(count)
        .ok()
        .filter(|count| (1..=100_000).contains(count))
        .ok_or_else(|| node.error(format!("'n_targets' is {count}")))
}

fn transform(node: &Attributes<'_>, name: &str) -> Result<Transform> {
    Ok(match name {
        "NONE" => Transform::None,
        "LOGISTIC" => Transform::Logistic,
        "SOFTMAX" => Transform::Softmax,
        "SOFTMAX_ZERO" => Transform::SoftmaxZero,
        "PROBIT" => Transform::Probit,
        other => return Err(node.error(format!("'post_transform' is '{other}'"))),
    })
}

/// ONNX Runtime leaves the score of one target as it is, but for PROBIT.
fn regressor(transform: Transform, targets: usize) -> Link {
    let transform = if targets == 1 && transform != Transform::Probit { Transform::None } else { transform };
    Link::Onnx { transform, second: false }
}

/// Of two classes the answer is the second's. If all leaves vote for class 0 theirs is the score of that.
fn classifier(
    node: &Attributes<'_>,
    classes: usize,
    used: &HashSet<usize>,
    transform: Transform,
    base: &[f64],
) -> Result<(Link, usize)> {
    let is_one_sum = classes <= 2 && !used.contains(&1);
    match classes {
        0 => Err(node.error("it has no 'classlabels_int64s' or 'classlabels_strings'")),
        1 | 2 if is_one_sum && transform == Transform::Probit => {
            Err(node.error("PROBIT of one score is not supported"))
        }
        1 | 2 if is_one_sum => {
            let transform = if transform == Transform::Logistic { transform } else { Transform::None };
            Ok((Link::Onnx { transform, second: false }, 1))
        }
        2 if !base.is_empty() => Err(node
            .error("'base_values' of two classes that both have votes is not supported")
            .hint("ONNX Runtime does not compute what the standard says")),
        2 => Ok((Link::Onnx { transform, second: true }, 2)),
        _ => Ok((Link::Onnx { transform, second: false }, classes)),
    }
}

/// How leaves come together, and what the sums are divided by.
fn aggregate(node: &Attributes<'_>, trees: usize) -> Result<(Fold, Option<f64>)> {
    let found = node.find("aggregate_function");
    let name = match found {
        None => "SUM",
        Some(found) if found.s.is_empty() => *["AVERAGE", "SUM", "MIN", "MAX"]
            .get(usize::try_from(found.i).unwrap_or(usize::MAX))
            .ok_or_else(|| node.error(format!("'aggregate_function' is {}", found.i)))?,
        Some(_) => node.text("aggregate_function", "SUM")?,
    };
    Ok(match name {
        "SUM" => (Fold::Sum, None),
        "AVERAGE" => (Fold::Sum, Some(trees as f64)),
        "MIN" => (Fold::Least, None),
        "MAX" => (Fold::Greatest, None),
        other => return Err(node.error(format!("'aggregate_function' is '{other}'"))),
    })
}

/// The nodes of operator sets 1 and 3, and which of them are roots. Attributes of votes are called `class_…` or `target_…`.
fn nodes(node: &Attributes<'_>, prefix: &str) -> Result<(Vec<Raw>, Vec<usize>)> {
    let modes = &node.get("nodes_modes")?.strings;
    let count = modes.len();
    let trees = node.ints("nodes_treeids", count)?;
    let ids = node.ints("nodes_nodeids", count)?;
    let features = node.ints("nodes_featureids", count)?;
    let yes = node.ints("nodes_truenodeids", count)?;
    let no = node.ints("nodes_falsenodeids", count)?;
    let values = node.floats("nodes_values")?;
    let tracks = node.find("nodes_missing_value_tracks_true").map_or(&[][..], |found| &found.ints);
    if values.len() != count || (!tracks.is_empty() && tracks.len() != count) {
        return Err(node.error(format!(
            "{count} nodes, {} values, {} ways of missing ones",
            values.len(),
            tracks.len()
        )));
    }
    let places: HashMap<(i64, i64), usize> = (0..count).map(|at| ((trees[at], ids[at]), at)).collect();
    if places.len() != count {
        return Err(node.error("two nodes of a tree have one number"));
    }
    let mut is_root = vec![true; count];
    let mut raw = Vec::with_capacity(count);
    for at in 0..count {
        let named = Mode::NAMED.iter().find(|(name, _)| name.as_bytes() == modes[at]);
        let text = || String::from_utf8_lossy(&modes[at]).into_owned();
        let (_, mode) = *named.ok_or_else(|| node.error(format!("node {} has mode '{}'", ids[at], text())))?;
        let mut way = |id: i64| match (mode, places.get(&(trees[at], id))) {
            (Mode::Leaf, _) => Ok(0),
            (_, Some(place)) => {
                is_root[*place] = false;
                Ok(*place)
            }
            (_, None) => Err(node.error(format!("tree {}: there is no node {id}", trees[at]))),
        };
        let ways = (way(yes[at])?, way(no[at])?);
        let feature = u32::try_from(features[at]).unwrap_or(if mode == Mode::Leaf { 0 } else { u32::MAX });
        let missing_yes = tracks.get(at).is_some_and(|tracks| *tracks != 0);
        raw.push(Raw {
            id: ids[at],
            feature,
            mode,
            value: values[at],
            members: vec![],
            ways,
            missing_yes,
            votes: vec![],
        });
    }
    let roots: Vec<usize> = (0..count).filter(|at| is_root[*at]).collect();
    let distinct: HashSet<i64> = trees.iter().copied().collect();
    if roots.len() != distinct.len() {
        return Err(node.error(format!("{} trees have {} roots", distinct.len(), roots.len())));
    }
    // Votes name leaves by tree and number.
    let leaves = &node.get(&format!("{prefix}_nodeids"))?.ints;
    let in_trees = node.ints(&format!("{prefix}_treeids"), leaves.len())?;
    let sums = node.ints(&format!("{prefix}_ids"), leaves.len())?;
    let weights = node.floats(&format!("{prefix}_weights"))?;
    if weights.len() != leaves.len() {
        return Err(node.error(format!("'{prefix}_weights' has {} numbers, wanted {}", weights.len(), leaves.len())));
    }
    for at in 0..leaves.len() {
        match (places.get(&(in_trees[at], leaves[at])), usize::try_from(sums[at])) {
            (Some(place), Ok(sum)) if raw[*place].mode == Mode::Leaf => raw[*place].votes.push((sum, weights[at])),
            _ => {
                let (tree, leaf, sum) = (in_trees[at], leaves[at], sums[at]);
                return Err(node.error(format!("tree {tree}: there is no leaf {leaf} to vote for {sum}")));
            }
        }
    }
    Ok((raw, roots))
}

/// The nodes of operator set 5, leaves behind them, and which of them are roots.
fn ensemble(node: &Attributes<'_>) -> Result<(Vec<Raw>, Vec<usize>)> {
    let features = &node.get("nodes_featureids")?.ints;
    let count = features.len();
    let modes = node.floats("nodes_modes")?;
    let values = node.floats("nodes_splits")?;
    let weights = node.floats("leaf_weights")?;
    let sums = node.ints("leaf_targetids", weights.len())?;
    let tracks = node.find("nodes_missing_value_tracks_true").map_or(&[][..], |found| &found.ints);
    if modes.len() != count || values.len() != count || (!tracks.is_empty() && tracks.len() != count) {
        return Err(node.error(format!("{count} nodes, {} modes, {} splits", modes.len(), values.len())));
    }
    let sides = [("true", "nodes_truenodeids", "nodes_trueleafs"), ("false", "nodes_falsenodeids", "nodes_falseleafs")];
    let members = node.floats("membership_values")?;
    let mut members = members.split(|value| value.is_nan());
    let mut raw = Vec::with_capacity(3 * count);
    let mut leaves = vec![];
    for at in 0..count {
        let mut ways = [0; 2];
        for (way, (side, ids, is_leaf)) in ways.iter_mut().zip(sides) {
            let (id, is_leaf) = (node.ints(ids, count)?[at], node.ints(is_leaf, count)?[at] != 0);
            let wrong = || node.error(format!("node {at}: its {side} branch is {id}"));
            let place = usize::try_from(id).map_err(|_| wrong())?;
            if !is_leaf {
                *way = if place < count { place } else { return Err(wrong()) };
                continue;
            }
            let weight = *weights.get(place).ok_or_else(wrong)?;
            let sum = usize::try_from(sums[place]).map_err(|_| wrong())?;
            // Both branches of a node may be one leaf: each gets its own.
            *way = count + leaves.len();
            leaves.push(Raw {
                id,
                feature: 0,
                mode: Mode::Leaf,
                value: 0.0,
                members: vec![],
                ways: (0, 0),
                missing_yes: false,
                votes: vec![(sum, weight)],
            });
        }
        let mode = Mode::NUMBERED.get(modes[at] as usize).copied();
        let mode = mode.ok_or_else(|| node.error(format!("node {at} has mode {}", modes[at])))?;
        let members = match mode {
            Mode::Member => members.next().unwrap_or_default().to_vec(),
            _ => vec![],
        };
        raw.push(Raw {
            id: at as i64,
            feature: u32::try_from(features[at]).unwrap_or(u32::MAX),
            mode,
            value: values[at],
            members,
            ways: (ways[0], ways[1]),
            missing_yes: tracks.get(at).is_some_and(|tracks| *tracks != 0),
            votes: vec![],
        });
    }
    raw.extend(leaves);
    let roots = node.get("tree_roots")?.ints.iter().map(|root| {
        let place = usize::try_from(*root).ok().filter(|place| *place < count);
        place.ok_or_else(|| node.error(format!("there is no root {root}")))
    });
    let roots = roots.collect::<Result<Vec<usize>>>()?;
    Ok((raw, roots))
}

/// Adds a tree for each sum that its leaves vote for.
fn grow<T: Tiled>(raw: &[Raw], root: usize, sums: usize, trees: &mut Trees<T>) -> std::result::Result<(), String> {
    // In the order in which they are met: parents before children.
    let mut met: Vec<usize> = vec![root];
    let mut place: HashMap<usize, u32> = HashMap::from([(root, 0)]);
    let mut next = 0;
    while let Some(at) = met.get(next).copied() {
        next += 1;
        if raw[at].mode == Mode::Leaf {
            continue;
        }
        for way in [raw[at].ways.0, raw[at].ways.1] {
            if place.insert(way, met.len() as u32).is_some() {
                return Err(format!("node {} has two parents", raw[way].id));
            }
            met.push(way);
        }
    }
    let mut voted: Vec<usize> = met.iter().flat_map(|at| raw[*at].votes.iter().map(|(sum, _)| *sum)).collect();
    voted.sort_unstable();
    voted.dedup();
    for sum in voted {
        if sum >= sums {
            return Err(format!("it adds to {sum}, of {sums}"));
        }
        if trees.nodes.len() + met.len() > NODES_MAX {
            return Err("too many nodes".into());
        }
        let base = trees.nodes.len() as u32;
        trees.roots.push((base, sum as u32));
        for at in &met {
            let raw = &raw[*at];
            let node = match raw.mode {
                Mode::Leaf => leaf(raw, sum, trees.fold)?,
                _ => inner(raw, base + place[&raw.ways.0], base + place[&raw.ways.1], &mut trees.members)?,
            };
            trees.nodes.push(node);
        }
    }
    Ok(())
}

/// What a leaf adds to a sum. To no vote there is no least and no greatest.
fn leaf<T: Tiled>(raw: &Raw, sum: usize, fold: Fold) -> std::result::Result<Node<T>, String> {
    let mut votes = raw.votes.iter().filter(|(of, _)| *of == sum).map(|(_, weight)| *weight);
    let none = if fold == Fold::Sum { 0.0 } else { f64::NAN };
    let value = votes.next();
    if votes.next().is_some() || value.is_some_and(f64::is_nan) {
        return Err(format!("leaf {} has two votes for {sum}, or none that is a number", raw.id));
    }
    let test = Test::Number { missing: Missing::Nan, left: false };
    let value = T::of(value.unwrap_or(none));
    Ok(Node { left: LEAF, right: LEAF, feature: 0, test, value, cover: 0.0, id: raw.id as u32 })
}

/// A test as `value < threshold`, or one of some values.
fn inner<T: Tiled>(raw: &Raw, yes: u32, no: u32, members: &mut Vec<Vec<T>>) -> std::result::Result<Node<T>, String> {
    let value = T::of(raw.value);
    let is_among = matches!(raw.mode, Mode::Eq | Mode::Neq | Mode::Member);
    // Nothing is different from a missing value, but everything else is.
    let missing_yes = raw.missing_yes || raw.mode == Mode::Neq;
    let straight = matches!(raw.mode, Mode::Lt | Mode::Leq | Mode::Eq | Mode::Member);
    let (left, right, missing_left) = if straight { (yes, no, missing_yes) } else { (no, yes, !missing_yes) };
    let node = |left, right, test, value| Node {
        left,
        right,
        feature: raw.feature,
        test,
        value,
        cover: 0.0,
        id: raw.id as u32,
    };
    if is_among {
        let set = members.len() as u32;
        members.push(if raw.mode == Mode::Member {
            raw.members.iter().map(|member| T::of(*member)).collect()
        } else {
            vec![value]
        });
        return Ok(node(left, right, Test::OneOf { set, missing_left }, value));
    }
    if raw.value.is_nan() {
        return Err(format!("the threshold of node {} is no number", raw.id));
    }
    let number = |left| Test::Number { missing: Missing::Nan, left };
    Ok(match raw.mode {
        Mode::Lt | Mode::Gte => node(left, right, number(missing_left), value),
        _ => match value.above() {
            Some(above) => node(left, right, number(missing_left), above),
            // Everything is at most infinite, and nothing below the least.
            None => node(right, left, number(!missing_left), T::of(f64::NEG_INFINITY)),
        },
    })
}
