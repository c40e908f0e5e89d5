//! ONNX files: an ensemble of trees alone becomes a forest ([`trees`]), whatever else is asked for a graph of operators ([`graph`]).

mod graph;
mod proto;
mod trees;

use prost::Message;

pub(crate) use graph::Graph;

use crate::error::{ModelError, Result};
use crate::model::Parts;

/// `TensorProto.DataType`.
pub(crate) const FLOAT: i32 = 1;
pub(crate) const UINT8: i32 = 2;
pub(crate) const INT32: i32 = 6;
pub(crate) const INT64: i32 = 7;
pub(crate) const BOOL: i32 = 9;
pub(crate) const DOUBLE: i32 = 11;

/// What a file holds.
pub enum Read {
    Forest(Parts),
    Graph(Graph),
}

/// Reads a file.
pub fn read(bytes: &[u8]) -> Result<Read> {
    let model =
        proto::Model::decode(bytes).map_err(|e| ModelError::new(format!("no ONNX: {e}")).hint("is the file whole?"))?;
    let graph = model.graph.ok_or_else(|| ModelError::new("it has no graph").hint("is this an ONNX file?"))?;
    if model.opset_import.is_empty() {
        return Err(ModelError::new("it names no operator set: the file is cut off"));
    }
    let version =
        |is: fn(&str) -> bool| model.opset_import.iter().find(|set| is(&set.domain)).map_or(0, |set| set.version);
    let ml = version(|domain| domain == "ai.onnx.ml");
    if ml > 5 {
        return Err(ModelError::new(format!("operator set ai.onnx.ml {ml} is newer than 5, the newest that is known")));
    }
    match trees::alone(&graph) {
        Some((ensemble, input)) => trees::read(ensemble, input).map(Read::Forest),
        None => Graph::read(&graph, version(|domain| domain.is_empty() || domain == "ai.onnx")).map(Read::Graph),
    }
}

/// Numbers of a tensor.
fn numbers(tensor: &proto::Tensor) -> Result<Vec<f64>> {
    let raw = &tensor.raw_data;
    if tensor.data_location != 0 {
        return Err(ModelError::new(format!("the numbers of tensor '{}' are in another file", tensor.name))
            .hint("save the model as one file"));
    }
    let all: Vec<f64> = match tensor.data_type {
        FLOAT if raw.is_empty() => tensor.float_data.iter().map(|value| f64::from(*value)).collect(),
        FLOAT => raw.as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect(),
        DOUBLE if raw.is_empty() => tensor.double_data.clone(),
        DOUBLE => raw.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
        UINT8 | INT32 | BOOL if raw.is_empty() => tensor.int32_data.iter().map(|value| f64::from(*value)).collect(),
        UINT8 | BOOL => raw.iter().map(|byte| f64::from(*byte)).collect(),
        INT32 => raw.as_chunks().0.iter().map(|bytes| f64::from(i32::from_le_bytes(*bytes))).collect(),
        INT64 if raw.is_empty() => tensor.int64_data.iter().map(|value| *value as f64).collect(),
        INT64 => raw.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as f64).collect(),
        other => return Err(ModelError::new(format!("tensor '{}' is of type {other}", tensor.name))),
    };
    let size = match tensor.data_type {
        DOUBLE | INT64 => 8,
        FLOAT | INT32 => 4,
        _ => 1,
    };
    if !raw.len().is_multiple_of(size) {
        return Err(ModelError::new(format!("tensor '{}' ends in the middle of a number", tensor.name)));
    }
    let wanted = tensor.dims.iter().try_fold(1i64, |all, dim| all.checked_mul(*dim));
    match wanted.is_some_and(|wanted| usize::try_from(wanted) == Ok(all.len())) {
        true => Ok(all),
        false => {
            Err(ModelError::new(format!("tensor '{}' has {} numbers, of {:?}", tensor.name, all.len(), tensor.dims)))
        }
    }
}

/// The attributes of a node.
pub(crate) struct Attributes<'n> {
    pub node: &'n proto::Node,
}

impl<'n> Attributes<'n> {
    pub fn error(&self, what: impl std::fmt::Display) -> ModelError {
        ModelError::new(format!("{}: {what}", self.node.op_type))
    }

    pub fn find(&self, name: &str) -> Option<&'n proto::Attribute> {
        self.node.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub fn get(&self, name: &str) -> Result<&'n proto::Attribute> {
        self.find(name).ok_or_else(|| self.error(format!("'{name}' is missing")))
    }

    pub fn int(&self, name: &str) -> Result<i64> {
        self.get(name).map(|attribute| attribute.i)
    }

    /// Whole numbers, as many as there should be.
    pub fn ints(&self, name: &str, count: usize) -> Result<&'n [i64]> {
        let ints = &self.get(name)?.ints;
        match ints.len() == count {
            true => Ok(ints),
            false => Err(self.error(format!("'{name}' has {} numbers, wanted {count}", ints.len()))),
        }
    }

    /// Numbers, which are a tensor too where they are doubles; none if there is nothing.
    pub fn floats(&self, name: &str) -> Result<Vec<f64>> {
        let tensor = self.find(&format!("{name}_as_tensor")).or(self.find(name)).and_then(|found| found.t.as_ref());
        if let Some(tensor) = tensor {
            return numbers(tensor).map_err(|e| self.error(format!("'{name}': {e}")));
        }
        Ok(self.find(name).map_or(vec![], |found| found.floats.iter().map(|value| f64::from(*value)).collect()))
    }

    /// Text, or what is meant without.
    pub fn text(&self, name: &str, default: &'static str) -> Result<&'n str> {
        match self.find(name) {
            None => Ok(default),
            Some(found) => std::str::from_utf8(&found.s).map_err(|_| self.error(format!("'{name}' is no text"))),
        }
    }
}
