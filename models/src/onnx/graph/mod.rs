//! Graphs of operators: pipelines of scikit-learn, networks of PyTorch and Keras, trees behind scalers.
//!
//! A graph is a function of one row. Axis 0 of all that depends on the inputs is the axis of rows, and an operator that works along it
//! is refused, since an answer would depend on which rows are asked for together. So every row has values of known shapes, which are
//! found when the file is read; what is the same for all rows is computed then. What is left are steps over blocks of rows
//! ([`program`]): `values.rs` is what names stand for meanwhile, the other files are operators by what they do.
//!
//! The law: each product and each sum is rounded, in the precision of the graph; products are added in the order of the matrix's rows,
//! from 0 on, the bias last; other sums in the order of the axis, from 0 on. What is no product, sum, quotient or root is in
//! `functions.rs`. So a row has the same bits on every machine, beside any other rows. NaN has one form.

mod elementwise;
mod forest;
mod functions;
mod linear;
mod product;
mod program;
mod registers;
mod scikit;
mod shapes;
#[cfg(test)]
mod tests;
mod values;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use pelton_kernels::cpu::{self, Level};

use crate::error::{ModelError, Result};
use crate::model::Scores;
use crate::onnx::{Attributes, DOUBLE, FLOAT, numbers, proto};

use program::{Kind, LANES, Program, Step};
use values::{Builder, Call, Constant, Rows, Value, count, kind_of, mixes};

/// ONNX's own operators, from which version on and up to which they are known.
const VERSIONS: std::ops::RangeInclusive<i64> = 7..=26;

/// A graph, ready to be computed.
pub struct Graph {
    /// Names of the features, if each is an input of its own; else empty.
    pub feature_names: Vec<String>,
    pub features: usize,
    program: Program,
    /// Kind and places of what a row answers.
    kind: Kind,
    answers: std::ops::Range<usize>,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("features", &self.features).finish_non_exhaustive()
    }
}

impl Graph {
    /// Reads a graph; `version` is that of ONNX's own operators.
    pub fn read(graph: &proto::Graph, version: i64) -> Result<Graph> {
        let constants: HashMap<&str, &proto::Tensor> =
            graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let inputs: Vec<&proto::ValueInfo> =
            graph.input.iter().filter(|given| !constants.contains_key(given.name.as_str())).collect();
        let (output, is_classifier) = output(graph)?;
        let needed = needed(graph, &output.name)?;
        check_operators(graph, &needed, version)?;

        let mut builder = Builder { program: Program::default(), rows: true, batch: None, version };
        let mut known: HashMap<&str, Value> = HashMap::new();
        let (mut features, mut names, mut are_single) = (0usize, vec![], inputs.len() > 1);
        for given in &inputs {
            let shape = Shape::of(given, graph, &constants)?;
            let width = count(&shape.own)?;
            let columns = features..features + width;
            builder.batch = builder.batch.or(shape.batch);
            let step = Step::Load { kind: shape.kind, columns: columns.clone(), cut: false };
            let at = builder.push(shape.kind, width, step)?;
            let loaded = (shape.kind == Kind::Whole).then_some(columns);
            known.insert(&given.name, Value::Rows(Rows { kind: shape.kind, shape: shape.own, at, loaded }));
            features += width;
            names.push(given.name.clone());
            are_single &= width == 1;
        }
        run(graph, &needed, &constants, &mut builder, &mut known)?;

        let error = |what: &str| ModelError::new(format!("its output '{}' {what}", output.name));
        let Some(Value::Rows(rows)) = known.get(output.name.as_str()) else {
            return Err(error("does not depend on its inputs"));
        };
        let rows = match rows.kind {
            Kind::Whole | Kind::Truth => builder.cast(rows, Kind::Double)?,
            _ => rows.clone(),
        };
        let all = count(&rows.shape)?;
        // Of two classes the second's probability is the answer, as of trees.
        let first = usize::from(is_classifier && all == 2);
        if all == 0 {
            return Err(error("has no numbers"));
        }
        Ok(Graph {
            feature_names: if are_single { names } else { vec![] },
            features,
            program: builder.program,
            kind: rows.kind,
            answers: rows.at + first..rows.at + all,
        })
    }

    /// True if it answers in single precision.
    pub fn is_single(&self) -> bool {
        self.kind == Kind::Single
    }

    /// Answers of a row.
    pub fn outputs(&self) -> usize {
        self.answers.len()
    }

    /// The answers of so many rows, those of a row together.
    pub fn predict(&self, columns: &[&[f64]], rows: usize) -> Scores {
        self.predict_at(cpu::level(), columns, rows)
    }

    fn predict_at(&self, level: Level, columns: &[&[f64]], rows: usize) -> Scores {
        let mut scratch = self.program.scratch();
        let width = self.outputs();
        let (mut single, mut double) = (vec![], vec![]);
        match self.is_single() {
            true => single.resize(rows * width, 0.0f32),
            false => double.resize(rows * width, 0.0f64),
        }
        for first in (0..rows).step_by(LANES) {
            let block = LANES.min(rows - first);
            self.program.run(level, &mut scratch, columns, first, block);
            for (at, place) in self.answers.clone().enumerate() {
                let into = first * width + at;
                match self.is_single() {
                    true => {
                        let lanes = Program::singles(place, &scratch);
                        let into = single[into..].iter_mut().step_by(width);
                        into.zip(&lanes[..block]).for_each(|(to, x)| *to = if x.is_nan() { f32::NAN } else { *x });
                    }
                    false => {
                        let lanes = Program::doubles(Kind::Double, place, &scratch);
                        let into = double[into..].iter_mut().step_by(width);
                        into.zip(&lanes[..block]).for_each(|(to, x)| *to = if x.is_nan() { f64::NAN } else { *x });
                    }
                }
            }
        }
        if self.is_single() { Scores::Single(single) } else { Scores::Double(double) }
    }
}

/// The output that is the answer, and whether it is what a classifier says of its classes: the first one with fractions (a list of
/// maps is such, `ZipMap`'s), or else the first one.
pub fn output(graph: &proto::Graph) -> Result<(&proto::ValueInfo, bool)> {
    let kind = |output: &&proto::ValueInfo| {
        output.r#type.as_ref().and_then(|of| of.tensor_type.as_ref()).map_or(0, |tensor| tensor.elem_type)
    };
    let is_number = |output: &&proto::ValueInfo| matches!(kind(output), 0 | FLOAT | DOUBLE);
    let has_label = graph.output.iter().any(|output| !is_number(&output));
    match graph.output.iter().find(is_number) {
        Some(output) => Ok((output, has_label)),
        None => {
            let output = graph.output.iter().find(|output| kind_of(i64::from(kind(output))).is_some());
            let output = output.ok_or_else(|| ModelError::new("it has no output of numbers"))?;
            Ok((output, false))
        }
    }
}

/// Which nodes a value is made by.
fn needed(graph: &proto::Graph, output: &str) -> Result<Vec<bool>> {
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (at, node) in graph.node.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if makers.insert(name, at).is_some() {
                return Err(ModelError::new(format!("two nodes make '{name}'")));
            }
        }
    }
    let mut needed = vec![false; graph.node.len()];
    let mut open = vec![output];
    while let Some(name) = open.pop() {
        if let Some(at) = makers.get(name)
            && !std::mem::replace(&mut needed[*at], true)
        {
            open.extend(graph.node[*at].input.iter().map(String::as_str));
        }
    }
    Ok(needed)
}

/// Fails with all operators that are not known, unless there are none.
fn check_operators(graph: &proto::Graph, needed: &[bool], version: i64) -> Result<()> {
    let mut unknown: Vec<String> = vec![];
    let mut has_own = false;
    for node in needed.iter().zip(&graph.node).filter(|(needed, _)| **needed).map(|(_, node)| node) {
        let name = node.op_type.as_str();
        let is_known = match node.domain.as_str() {
            "ai.onnx.ml" => scikit::OPERATORS.contains(&name) || name == "Binarizer",
            "" | "ai.onnx" => {
                has_own = true;
                let lists = [&elementwise::FUNCTIONS[..], &elementwise::JOINS, &linear::OPERATORS, &shapes::OPERATORS];
                name == "Constant" || lists.iter().any(|list| list.contains(&name))
            }
            _ => false,
        };
        let called = match node.domain.as_str() {
            "" | "ai.onnx" | "ai.onnx.ml" => name.to_string(),
            domain => format!("{domain}.{name}"),
        };
        if !is_known && !unknown.contains(&called) {
            unknown.push(called);
        }
    }
    if !unknown.is_empty() {
        let many = if unknown.len() == 1 { "operator" } else { "operators" };
        return Err(ModelError::new(format!("{many} {} cannot be computed", unknown.join(", ")))
            .hint("docs/sql.md lists the operators that can; do the rest by SQL"));
    }
    if has_own && !VERSIONS.contains(&version) {
        let (first, last) = (VERSIONS.start(), VERSIONS.end());
        return Err(ModelError::new(format!("operator set {version} is not known: {first} to {last} are")));
    }
    Ok(())
}

/// Goes through the nodes in the file's order, which is that in which they are computed. What is wrong is said of all of them.
fn run<'g>(
    graph: &'g proto::Graph,
    needed: &[bool],
    constants: &HashMap<&'g str, &'g proto::Tensor>,
    builder: &mut Builder,
    known: &mut HashMap<&'g str, Value>,
) -> Result<()> {
    let mut wrong: Vec<ModelError> = vec![];
    let mut lost: HashSet<&str> = HashSet::new();
    let mut made = 0usize;
    'nodes: for (node, _) in graph.node.iter().zip(needed).filter(|(_, needed)| **needed) {
        let mut inputs = vec![];
        for name in &node.input {
            let name = name.as_str();
            if lost.contains(name) {
                lost.extend(node.output.iter().map(String::as_str));
                continue 'nodes;
            }
            if !known.contains_key(name)
                && let Some(tensor) = constants.get(name)
            {
                known.insert(name, Value::Constant(Rc::new(constant(tensor)?)));
            }
            inputs.push(match known.get(name) {
                _ if name.is_empty() => Value::Nothing,
                Some(value) => value.clone(),
                None => {
                    let made_later = graph.node.iter().any(|node| node.output.iter().any(|made| made == name));
                    let why = if made_later { "is used before it is made" } else { "is made by nothing" };
                    return Err(ModelError::new(format!("'{name}' {why}")));
                }
            });
        }
        let call = Call { attributes: Attributes { node }, inputs };
        let outputs = node_of(builder, &call).and_then(|outputs| {
            let sizes = outputs.iter().map(|value| if let Value::Constant(of) = value { of.values.len() } else { 0 });
            made += sizes.sum::<usize>();
            if made > 1 << 22 { Err(ModelError::new("it makes too many constants")) } else { Ok(outputs) }
        });
        match outputs {
            Ok(outputs) => known.extend(node.output.iter().map(String::as_str).zip(outputs)),
            Err(e) => {
                lost.extend(node.output.iter().map(String::as_str));
                wrong.push(placed(node, &e));
            }
        }
    }
    let Some(first) = wrong.first() else { return Ok(()) };
    let all: Vec<String> = wrong.iter().take(8).map(ToString::to_string).collect();
    let error = ModelError::new(all.join("; "));
    Err(match first.advice() {
        Some(advice) => error.hint(advice),
        None => error,
    })
}

/// Says of which node an error is.
fn placed(node: &proto::Node, error: &ModelError) -> ModelError {
    let what = error.to_string();
    let what = what.strip_prefix(&format!("{}: ", node.op_type)).unwrap_or(&what);
    let makes = node.output.first().map_or("", String::as_str);
    let placed = ModelError::new(format!("{} of '{makes}': {what}", node.op_type));
    match error.advice() {
        Some(advice) => placed.hint(advice),
        None => placed,
    }
}

/// What a node makes.
fn node_of(builder: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let node = call.attributes.node;
    if node.op_type == "Constant" {
        return Ok(vec![literal(&call.attributes)?]);
    }
    let is_constant = |value: &Value| matches!(value, Value::Constant(_) | Value::Nothing);
    if !call.inputs.iter().all(is_constant) {
        return operator(builder, call);
    }
    // What depends on no input is computed now, by the same steps.
    let mut apart = builder.of_constants();
    let values = operator(&mut apart, call)?;
    let mut scratch = apart.program.scratch();
    apart.program.run(cpu::level(), &mut scratch, &[], 0, 0);
    let folded = values.into_iter().map(|value| match value {
        Value::Rows(rows) => {
            let all = rows.at..rows.at + count(&rows.shape)?;
            let values = all.map(|at| Program::doubles(rows.kind, at, &scratch)[0]).collect();
            Ok(Value::Constant(Rc::new(Constant { kind: rows.kind, dims: rows.shape, values })))
        }
        other => Ok(other),
    });
    folded.collect()
}

fn operator(builder: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let node = call.attributes.node;
    let name = node.op_type.as_str();
    if node.domain == "ai.onnx.ml" && name != "Binarizer" {
        return scikit::operator(builder, call);
    }
    if elementwise::FUNCTIONS.contains(&name) {
        return Ok(vec![elementwise::function(builder, call)?]);
    }
    if elementwise::JOINS.contains(&name) {
        return Ok(vec![elementwise::join(builder, call)?]);
    }
    if linear::OPERATORS.contains(&name) {
        return Ok(vec![linear::operator(builder, call)?]);
    }
    shapes::operator(builder, call)
}

/// A tensor of the file.
fn constant(tensor: &proto::Tensor) -> Result<Constant> {
    let wrong = || ModelError::new(format!("tensor '{}' is of type {}", tensor.name, tensor.data_type));
    let kind = kind_of(i64::from(tensor.data_type)).ok_or_else(wrong)?;
    let values = numbers(tensor)?;
    let dims = tensor.dims.iter().map(|size| usize::try_from(*size).ok()).collect::<Option<Vec<usize>>>();
    let dims = dims.ok_or_else(|| ModelError::new(format!("tensor '{}' has a size below 0", tensor.name)))?;
    count(&dims).map_err(|e| ModelError::new(format!("tensor '{}': {e}", tensor.name)))?;
    Ok(Constant { kind, dims, values })
}

/// `Constant`.
fn literal(attributes: &Attributes<'_>) -> Result<Value> {
    let floats = |all: &[f32]| all.iter().map(|x| f64::from(*x)).collect();
    if let Some(tensor) = attributes.find("value").and_then(|found| found.t.as_ref()) {
        return Ok(Value::Constant(Rc::new(constant(tensor)?)));
    }
    if let Some(found) = attributes.find("value_float") {
        return Ok(Constant::one(Kind::Single, f64::from(found.f)));
    }
    if let Some(found) = attributes.find("value_int") {
        return Ok(Constant::one(Kind::Whole, found.i as f64));
    }
    if let Some(found) = attributes.find("value_floats") {
        return Ok(Constant::list(Kind::Single, floats(&found.floats)));
    }
    let found = attributes.find("value_ints").ok_or_else(|| attributes.error("it has no value that is supported"))?;
    Ok(Constant::list(Kind::Whole, found.ints.iter().map(|x| *x as f64).collect()))
}

/// What a row has of an input.
struct Shape {
    kind: Kind,
    /// Without the axis of rows.
    own: Vec<usize>,
    /// The number of rows, if the file says one.
    batch: Option<i64>,
}

impl Shape {
    fn of(given: &proto::ValueInfo, graph: &proto::Graph, constants: &HashMap<&str, &proto::Tensor>) -> Result<Shape> {
        let error = |what: String| ModelError::new(format!("input '{}' {what}", given.name));
        let tensor = given.r#type.as_ref().and_then(|of| of.tensor_type.as_ref());
        let tensor = tensor.ok_or_else(|| error("is no tensor".into()))?;
        let kind = kind_of(i64::from(tensor.elem_type)).ok_or_else(|| match tensor.elem_type {
            8 => error("is of strings: features are numbers".into()).hint("encode them by SQL, with CASE"),
            other => error(format!("is of type {other}, which is not supported")),
        })?;
        let dims = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim);
        let said = |size: i64| usize::try_from(size).ok().filter(|size| *size > 0);
        let (batch, own) = match dims {
            // Nothing is said of the shape: rows of features.
            [] if tensor.shape.is_none() => (None, vec![None]),
            [] => return Err(error("is one number, and has no axis of rows".into())),
            [rows] if rows.dim_value > 1 => {
                return Err(mixes(format!("input '{}' has one axis of {} numbers", given.name, rows.dim_value)));
            }
            [rows, own @ ..] => (said(rows.dim_value), own.iter().map(|size| said(size.dim_value)).collect()),
        };
        let own = match own.as_slice() {
            [None] => vec![width(graph, constants, &given.name).ok_or_else(|| {
                error("does not say how many features it has".into())
                    .hint("export it with its number of features, and only the rows free")
            })?],
            sizes => sizes
                .iter()
                .copied()
                .collect::<Option<Vec<usize>>>()
                .ok_or_else(|| error("does not say its sizes".into()))?,
        };
        Ok(Shape { kind, own, batch: batch.map(|rows| rows as i64) })
    }
}

/// How many features a value has, by what is done to it first.
fn width(graph: &proto::Graph, constants: &HashMap<&str, &proto::Tensor>, name: &str) -> Option<usize> {
    let mut name = name;
    for _ in 0..16 {
        let node = graph.node.iter().find(|node| node.input.first().is_some_and(|input| input == name))?;
        let attributes = Attributes { node };
        let ints = |name: &str| attributes.find(name).map_or(0, |found| found.ints.len());
        let strings = |name: &str| attributes.find(name).map_or(0, |found| found.strings.len());
        let all = |name: &str| attributes.floats(name).map_or(0, |all| all.len());
        let is_known = match node.op_type.as_str() {
            "MatMul" | "Gemm" => {
                let dims = &constants.get(node.input.get(1)?.as_str())?.dims;
                let turned = node.op_type == "Gemm" && attributes.find("transB").is_some_and(|found| found.i != 0);
                let size = if turned { dims.get(1)? } else { dims.first()? };
                usize::try_from(*size).ok()?
            }
            "Scaler" => all("offset").max(all("scale")),
            "Imputer" => all("imputed_value_floats"),
            "LinearRegressor" => {
                all("coefficients")
                    / usize::try_from(attributes.find("targets").map_or(1, |found| found.i)).ok()?.max(1)
            }
            "LinearClassifier" => {
                all("coefficients") / (ints("classlabels_ints") + strings("classlabels_strings")).max(1)
            }
            _ => 0,
        };
        if is_known > 0 {
            return Some(is_known);
        }
        name = node.output.first()?;
    }
    None
}
