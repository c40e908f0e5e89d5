//! Graphs that are put together here: what is refused, the same bits at every level, products held against plain loops.

use proptest::prelude::*;
use prost::Message;

use super::functions::Lane;
use super::product::Matrix;
use super::program::Lanes;
use super::*;
use crate::onnx::{Read, read};

fn levels() -> impl Iterator<Item = Level> {
    [Level::Scalar, Level::Avx2, Level::Avx512].into_iter().filter(|level| *level <= cpu::level())
}

fn attribute(text: &str) -> proto::Attribute {
    let (name, value) = text.split_once('=').unwrap();
    let mut attribute = proto::Attribute { name: name.into(), ..Default::default() };
    match value.strip_prefix('[') {
        Some(list) => attribute.ints = list.trim_end_matches(']').split(',').map(|x| x.parse().unwrap()).collect(),
        None => attribute.i = value.parse().unwrap(),
    }
    attribute
}

/// `Operator:input,input:output:name=1 name=[1,2]`.
fn node(text: &str) -> proto::Node {
    let parts: Vec<&str> = text.split(':').collect();
    let names = |text: &str| text.split(',').map(str::to_string).collect();
    proto::Node {
        op_type: parts[0].into(),
        input: names(parts[1]),
        output: names(parts[2]),
        attribute: parts.get(3).map_or(vec![], |all| all.split(' ').map(attribute).collect()),
        domain: String::new(),
    }
}

fn given(name: &str, elem_type: i32, dims: &[i64]) -> proto::ValueInfo {
    let dim = dims.iter().map(|size| proto::Dimension { dim_value: *size }).collect();
    let tensor = proto::TensorType { elem_type, shape: Some(proto::Shape { dim }) };
    proto::ValueInfo { name: name.into(), r#type: Some(proto::Type { tensor_type: Some(tensor) }) }
}

fn tensor(name: &str, dims: &[i64], values: &[f32]) -> proto::Tensor {
    proto::Tensor {
        name: name.into(),
        dims: dims.into(),
        data_type: FLOAT,
        float_data: values.into(),
        ..Default::default()
    }
}

fn whole(name: &str, values: &[i64]) -> proto::Tensor {
    let dims = vec![values.len() as i64];
    proto::Tensor { name: name.into(), dims, data_type: 7, int64_data: values.into(), ..Default::default() }
}

/// A graph from `x` of two features to `y`.
fn graph(nodes: &[&str]) -> proto::Graph {
    proto::Graph {
        node: nodes.iter().map(|text| node(text)).collect(),
        initializer: vec![
            tensor("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]),
            tensor("row", &[1, 2], &[0.5, -0.5]),
            tensor("rows", &[2, 2], &[0.0; 4]),
            tensor("one", &[], &[1.0]),
            whole("zero", &[0]),
            whole("flat", &[-1]),
            whole("four", &[4, -1]),
            whole("huge", &[1 << 40, 1 << 40]),
            whole("wide", &[1, 1 << 30]),
            whole("last", &[i64::MAX]),
            whole("axis1", &[1]),
            tensor("empty", &[0, 1 << 62], &[]),
        ],
        input: vec![given("x", FLOAT, &[0, 2])],
        output: vec![given("y", FLOAT, &[])],
    }
}

fn read_graph(graph: proto::Graph) -> Result<Graph> {
    let opset_import = vec![proto::OperatorSet { domain: String::new(), version: 17 }];
    match read(&proto::Model { graph: Some(graph), opset_import }.encode_to_vec())? {
        Read::Graph(graph) => Ok(graph),
        Read::Forest(_) => panic!("there are no trees"),
    }
}

fn refused(nodes: &[&str], want: &str) {
    let error = read_graph(graph(nodes)).expect_err(want);
    let all = format!("{error} {}", error.advice().unwrap_or_default());
    assert!(all.contains(want), "{all}\nwanted {want}");
}

#[test]
fn what_mixes_rows_is_refused() {
    for (nodes, want) in [
        (&["ReduceMean:x:y:axes=[0]"][..], "ReduceMean of 'y': rows would mix: it works along axis 0"),
        (&["ReduceMean:x:y:axes=[-2]"], "it works along axis 0"),
        (&["ReduceSum:x:y"], "it goes over all axes"),
        (&["Softmax:x:y:axis=0"], "it works along axis 0"),
        (&["Concat:x,row:y:axis=0"], "it works along axis 0"),
        (&["Transpose:x:y"], "rows become another axis"),
        (&["Reshape:x,four:y"], "its first axis becomes"),
        (&["Reshape:x,flat:y"], "2 numbers a row do not fill []"),
        (&["Flatten:x:y:axis=0"], "it works along axis 0"),
        (&["Gather:x,zero:y:axis=0"], "it works along axis 0"),
        (&["Add:x,rows:y"], "a constant has 2 rows"),
        (&["ReduceSum:x,axis:z:keepdims=0", "Add:z,x:y"], "'axis' is made by nothing"),
        (&["ReduceMax:x:z:axes=[1] keepdims=0", "Add:z,x:y"], "it joins values of unlike ranks"),
        (&["MatMul:rows,x:y"], "a constant is multiplied by the rows from the left"),
        (&["Gemm:x,w:y:transA=1"], "'transA' is set"),
        (&["Shape:x:s", "Gather:s,zero:n", "Cast:n:f:to=1", "Mul:x,f:y"], "computes with the number of rows"),
        (&["Unsqueeze:x,zero:y"], "it works along axis 0"),
        (&["MatMul:x,x:y"], "a product of two values that rows have is not supported"),
    ] {
        refused(nodes, want);
    }
}

#[test]
fn what_is_wrong_is_said() {
    refused(&["LSTM:x:a", "Conv:a:b", "LSTM:b:c", "Relu:c:y"], "operators LSTM, Conv cannot be computed");
    refused(&["MatMul:x,v:y"], "'v' is made by nothing");
    refused(&["Relu:b:a", "Relu:a:b", "Relu:b:y"], "'b' is used before it is made");
    refused(&["Relu:x:y", "Tanh:x:y"], "two nodes make 'y'");
    refused(&["Relu:one:y"], "its output 'y' does not depend on its inputs");
    refused(
        &["Softmax:x:a:axis=0", "Transpose:x:b", "Add:a,b:y"],
        "Softmax of 'a': rows would mix: it works along axis 0; T",
    );
    refused(&["Expand:x,wide:y"], "is too large a shape");
    refused(&["ConstantOfShape:huge:c", "Add:x,c:y"], "is too large a shape");
    // Nothing in it, and still too much to go through.
    refused(
        &["Slice:empty,zero,last,axis1:c", "Add:x,c:y"],
        "tensor 'empty': [0, 4611686018427387904] is too large a shape",
    );
    refused(&["Gemm:x,empty:y:transB=1"], "is too large a shape");
    refused(&["Cast:x:y:to=10"], "'to' is type 10, which is not supported");
    let mut strings = graph(&["Relu:x:y"]);
    strings.input = vec![given("x", 8, &[0, 2])];
    assert!(read_graph(strings).unwrap_err().to_string().contains("input 'x' is of strings"));
    let mut elsewhere = graph(&["MatMul:x,w:y"]);
    elsewhere.initializer[0].data_location = 1;
    assert!(read_graph(elsewhere).unwrap_err().to_string().contains("tensor 'w' are in another file"));
    let mut unknown = graph(&["Relu:x:y"]);
    unknown.input = vec![given("x", FLOAT, &[0, 0])];
    assert!(read_graph(unknown).unwrap_err().to_string().contains("does not say how many features it has"));
}

/// What would be refused does not matter where nobody asks for it.
#[test]
fn nodes_that_the_answer_does_not_need_are_left_out() {
    let read = read_graph(graph(&["LSTM:x:a", "MatMul:x,w:m", "Add:m,row:y"])).unwrap();
    let scores = read.predict(&[&[1.0, 0.0], &[2.0, f64::NAN]], 2);
    let Scores::Single(all) = scores else { panic!("single precision") };
    assert_eq!(all[..2], [7.5, 9.5]);
    assert_eq!(all[2].to_bits(), f32::NAN.to_bits());
    // The width is found by the matrix.
    let mut free = graph(&["Relu:x:r", "MatMul:r,w:y"]);
    free.input = vec![given("x", FLOAT, &[0, 0])];
    assert_eq!(read_graph(free).unwrap().features, 2);
}

#[test]
fn a_table_is_looked_up_by_row() {
    let read = read_graph(graph(&["Cast:x:k:to=7", "Gather:w,k:y"])).unwrap();
    let scores = read.predict(&[&[0.0, -1.0, f64::NAN, 1.9], &[1.0, -2.0, 2.0, -3.0]], 4);
    let Scores::Single(all) = scores else { panic!("single precision") };
    let nan = f32::NAN;
    let want = [1.0, 2.0, 3.0, 4.0, 3.0, 4.0, 1.0, 2.0, nan, nan, nan, nan, 3.0, 4.0, nan, nan];
    assert_eq!(all.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), want.map(f32::to_bits));
    refused(&["Cast:x:k:to=7", "Gather:w,k:y:axis=1"], "only the first axis can be looked up");
    refused(&["Gather:w,x:y"], "by whole numbers");
    refused(&["Cast:x:k:to=7", "Gather:empty,k:y"], "");
}

#[test]
fn what_is_missing_is_no_category_and_truths_are_one_or_zero() {
    let answers = |graph: proto::Graph, columns: &[&[f64]]| {
        let scores = read_graph(graph).unwrap().predict(columns, columns[0].len());
        let Scores::Single(all) = scores else { panic!("single precision") };
        all
    };
    let mut one_hot = graph(&["OneHotEncoder:x:y:cats_int64s=[0,1] zeros=1"]);
    one_hot.node[0].domain = "ai.onnx.ml".into();
    assert_eq!(answers(one_hot, &[&[0.0, f64::NAN], &[1.0, 7.0]]), [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    let mut truths = graph(&["Cast:x:y:to=1"]);
    truths.input = vec![given("x", 9, &[0, 2])];
    assert_eq!(answers(truths, &[&[2.0, 0.5], &[f64::NAN, 0.0]]), [1.0, 0.0, 1.0, 0.0]);
    let celu = graph(&["Celu:x:y"]);
    assert_eq!(answers(celu, &[&[1e38], &[-1.0]]), [1e38, -0.632_120_56]);
}

/// Where the answer is something else than their scores, trees do not stand alone.
#[test]
fn trees_behind_which_numbers_change_are_a_graph() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let bytes = std::fs::read(folder.join("onnx_leq.model.onnx")).unwrap();
    let Read::Forest(_) = read(&bytes).unwrap() else { panic!("they stand alone") };
    let mut model = proto::Model::decode(bytes.as_slice()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let scores = graph.output[0].name.clone();
    graph.node.push(node(&format!("Cast:{scores}:cut:to=7")));
    graph.output = vec![given("cut", 7, &[])];
    model.opset_import.push(proto::OperatorSet { domain: String::new(), version: 17 });
    let Read::Graph(_) = read(&model.encode_to_vec()).unwrap() else { panic!("fractions are cut off behind them") };
}

/// Every fixture at every level, over odd rows too.
#[test]
fn levels_change_no_bit() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let odd = [0.0, -0.0, 1.0, -2.5, 0.3, 1e-30, -1e30, 88.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 7.0, 0.001];
    let mut graphs = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        if !name.contains("graph_") || !name.ends_with(".onnx") {
            continue;
        }
        let Read::Graph(graph) = read(&std::fs::read(&path).unwrap()).unwrap() else { panic!("{name}") };
        let column = |at: usize| (0..150).map(|row| odd[(row * (2 * at + 1) + at * 5) % odd.len()]).collect();
        let columns: Vec<Vec<f64>> = (0..graph.features).map(column).collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        // Debug tells -0 from 0, and NaN is one of a kind.
        let want = format!("{:?}", graph.predict_at(Level::Scalar, &columns, 150));
        for level in levels() {
            assert_eq!(format!("{:?}", graph.predict_at(level, &columns, 150)), want, "{name}: {}", level.name());
        }
        graphs += 1;
    }
    assert!(graphs >= 39, "{graphs}");
}

/// The law of products, number by number.
fn plainly<T: Lane>(rows: &[Lanes<T>], numbers: &[T], width: usize, scale: Option<T>, bias: &[T]) -> Vec<Lanes<T>> {
    let one = |column: usize, lane: usize| {
        let mut sum = T::of(0.0);
        for (row, x) in rows.iter().enumerate() {
            sum = sum.plus(x[lane].times(numbers[row * width + column]));
        }
        let sum = scale.map_or(sum, |scale| sum.times(scale));
        bias.get(column).map_or(sum, |bias| sum.plus(*bias))
    };
    (0..width).map(|column| std::array::from_fn(|lane| one(column, lane))).collect()
}

proptest! {
    #[test]
    fn products_are_those_of_plain_loops(
        height in 1usize..40,
        width in 1usize..20,
        seed in any::<u64>(),
        scaled in any::<bool>(),
        biased in any::<bool>(),
    ) {
        let mut dice = seed;
        let mut next = || {
            dice = dice.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((dice >> 40) as f32 / 4096.0 - 2048.0) * if dice >> 33 & 15 == 0 { 1e30 } else { 1e-3 }
        };
        let rows: Vec<Lanes<f32>> = (0..height).map(|_| std::array::from_fn(|_| next())).collect();
        let numbers: Vec<f32> = (0..height * width).map(|_| next()).collect();
        let scale = scaled.then(&mut next);
        let bias: Vec<f32> = if biased { (0..width).map(|_| next()).collect() } else { vec![] };
        let want = plainly(&rows, &numbers, width, scale, &bias);
        let matrix = Matrix::new(height, &numbers, scale, bias);
        let mut got = vec![[0.0f32; LANES]; width];
        for level in levels() {
            matrix.times(level, &rows, &mut got);
            prop_assert_eq!(format!("{got:?}"), format!("{want:?}"), "{}", level.name());
        }
    }
}
