//! Exact Shapley values of trees, by the algorithm of Lundberg, Erion and Lee (2018): along each path from a root to a leaf, how
//! large a share of all sets of features lets a row come by with, and without, each feature of the path.

use crate::model::{LEAF, Node, Number, Trees};

/// A feature on a path.
#[derive(Clone, Copy)]
struct Step {
    /// `None` before the root.
    feature: Option<u32>,
    /// Share of the training data that comes by when the feature is not known.
    zero: f64,
    /// 1 if the row comes by when it is, else 0.
    one: f64,
    /// Weight of the sets of as many features as the step's number.
    weight: f64,
}

/// Computes the values of rows.
pub(crate) struct Shap<'t, T> {
    trees: &'t Trees<T>,
    features: usize,
    /// What each sum is when nothing is known, over all its trees.
    means: Vec<f64>,
}

impl<'t, T: Number> Shap<'t, T> {
    pub fn new(trees: &'t Trees<T>, features: usize) -> Self {
        let mut means: Vec<f64> = trees.start.iter().map(|start| start.to_f64()).collect();
        for (root, of) in &trees.roots {
            means[*of as usize] += mean(trees, &trees.nodes[*root as usize]);
        }
        Shap { trees, features, means }
    }

    /// Appends the values of a row: for each sum, one of each feature, then what is left.
    pub fn add(&mut self, row: &[T], into: &mut Vec<f64>) {
        let width = self.features + 1;
        let base = into.len();
        into.resize(base + width * self.means.len(), 0.0);
        for (of, mean) in self.means.iter().enumerate() {
            into[base + of * width + self.features] = *mean;
        }
        for (root, of) in &self.trees.roots {
            let from = base + *of as usize * width;
            let values = &mut into[from..from + self.features];
            self.walk(
                &self.trees.nodes[*root as usize],
                row,
                values,
                &[],
                Step { feature: None, zero: 1.0, one: 1.0, weight: 0.0 },
            );
        }
    }

    fn walk(&self, node: &Node<T>, row: &[T], values: &mut [f64], before: &[Step], step: Step) {
        let mut path = extend(before, step);
        if node.left == LEAF {
            for at in 1..path.len() {
                let Step { feature, zero, one, .. } = path[at];
                let feature = feature.expect("only the step before the root has none") as usize;
                values[feature] += unwound(&path, at) * (one - zero) * node.value.to_f64();
            }
            return;
        }
        let left = self.trees.goes_left(node, row[node.feature as usize]);
        let (hot, cold) = if left { (node.left, node.right) } else { (node.right, node.left) };
        // A feature that was met before counts once: its step is taken back.
        let (mut zero, mut one) = (1.0, 1.0);
        if let Some(at) = path.iter().position(|step| step.feature == Some(node.feature)) {
            (zero, one) = (path[at].zero, path[at].one);
            unwind(&mut path, at);
        }
        for (child, one) in [(hot, one), (cold, 0.0)] {
            let child = &self.trees.nodes[child as usize];
            let zero = zero * share(child, node);
            self.walk(child, row, values, &path, Step { feature: Some(node.feature), zero, one, weight: 0.0 });
        }
    }
}

/// The share of a node's training data that goes to a child.
fn share<T>(child: &Node<T>, node: &Node<T>) -> f64 {
    if node.cover > 0.0 { child.cover / node.cover } else { 0.5 }
}

/// What a node adds when nothing is known of a row.
fn mean<T: Number>(trees: &Trees<T>, node: &Node<T>) -> f64 {
    if node.left == LEAF {
        return node.value.to_f64();
    }
    let part = |child: u32| {
        let child = &trees.nodes[child as usize];
        mean(trees, child) * share(child, node)
    };
    part(node.left) + part(node.right)
}

/// The path with one step more.
fn extend(before: &[Step], step: Step) -> Vec<Step> {
    let mut path = before.to_vec();
    let depth = path.len();
    path.push(Step { weight: if depth == 0 { 1.0 } else { 0.0 }, ..step });
    for at in (0..depth).rev() {
        path[at + 1].weight += step.one * path[at].weight * (at + 1) as f64 / (depth + 1) as f64;
        path[at].weight *= step.zero * (depth - at) as f64 / (depth + 1) as f64;
    }
    path
}

/// Takes a step back.
fn unwind(path: &mut Vec<Step>, at: usize) {
    let depth = path.len() - 1;
    let Step { zero, one, .. } = path[at];
    let mut next = path[depth].weight;
    for i in (0..depth).rev() {
        if one != 0.0 {
            let weight = path[i].weight;
            path[i].weight = next * (depth + 1) as f64 / ((i + 1) as f64 * one);
            next = weight - path[i].weight * zero * (depth - i) as f64 / (depth + 1) as f64;
        } else if zero != 0.0 {
            path[i].weight = path[i].weight * (depth + 1) as f64 / (zero * (depth - i) as f64);
        }
    }
    for i in at..depth {
        (path[i].feature, path[i].zero, path[i].one) = (path[i + 1].feature, path[i + 1].zero, path[i + 1].one);
    }
    path.pop();
}

/// The sum of weights of the path without a step.
fn unwound(path: &[Step], at: usize) -> f64 {
    let depth = path.len() - 1;
    let Step { zero, one, .. } = path[at];
    let (mut next, mut total) = (path[depth].weight, 0.0);
    for i in (0..depth).rev() {
        if one != 0.0 {
            let weight = next * (depth + 1) as f64 / ((i + 1) as f64 * one);
            total += weight;
            next = path[i].weight - weight * zero * (depth - i) as f64 / (depth + 1) as f64;
        } else if zero != 0.0 {
            total += path[i].weight / (zero * (depth - i) as f64 / (depth + 1) as f64);
        }
    }
    total
}
