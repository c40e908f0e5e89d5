//! The dataflow graph: sources, steps and sinks, wired.
//!
//! Nodes are numbered in topological order: a node's inputs have lower numbers. Rows and watermarks flow one way.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;

use crate::expr::Compiled;
use crate::operators::{LookupTable, Operator};
use crate::sql::{TableDef, Target};

/// Where an edge begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// A source, by index in [`Graph::sources`].
    Source(usize),
    /// A step, by index in [`Graph::nodes`].
    Node(usize),
}

/// Where an edge ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Output {
    /// A step.
    Node(usize),
    /// A sink, by index in [`Graph::sinks`].
    Sink(usize),
}

/// A step with its wires.
pub struct Node {
    /// What it does.
    pub operator: Box<dyn Operator>,
    /// Where its rows come from; its watermark is the least of theirs.
    pub inputs: Vec<Input>,
    /// Where its rows go.
    pub outputs: Vec<Output>,
}

/// A table that is read, once for all queries.
pub struct SourceNode {
    /// The table; `None` for constant rows (`VALUES`, `SELECT 1`).
    pub table: Option<Arc<TableDef>>,
    /// Constant rows.
    pub constant: Option<arrow::array::RecordBatch>,
    /// Declared columns that are wanted, by index.
    pub columns: BTreeSet<usize>,
    /// Schema of what it emits: the wanted columns in declared order. STRINGs may be dictionaries, and say so
    /// ([`crate::expr::CODED`]).
    pub schema: SchemaRef,
    /// Where its rows go.
    pub outputs: Vec<Output>,
}

/// Where rows leave.
pub struct SinkNode {
    /// The table or the console; `None` collects rows in memory (tables that are loaded for a join).
    pub target: Option<Target>,
    /// Name for counts and digests.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Where its rows come from.
    pub inputs: Vec<Input>,
    /// The column that tells the end of a row's window, and how far the end is beyond it in µs; if there is one.
    pub window_end: Option<(usize, i64)>,
}

/// A table to be loaded before the first batch.
pub struct Load {
    /// Reads it; has one sink, which collects.
    pub graph: Graph,
    /// Key expressions over its columns.
    pub keys: Vec<Compiled>,
    /// Where the join looks for it.
    pub slot: Arc<OnceLock<LookupTable>>,
}

/// The whole.
#[derive(Default)]
pub struct Graph {
    /// Tables that are read.
    pub sources: Vec<SourceNode>,
    /// Steps in topological order.
    pub nodes: Vec<Node>,
    /// Where rows leave.
    pub sinks: Vec<SinkNode>,
    /// Tables that are loaded first.
    pub loads: Vec<Load>,
    /// A device may take batches.
    pub on_device: bool,
}

impl Graph {
    /// Adds a step behind `inputs`.
    pub fn add(&mut self, operator: Box<dyn Operator>, inputs: Vec<Input>) -> Input {
        let id = self.nodes.len();
        for input in &inputs {
            self.connect(*input, Output::Node(id));
        }
        self.nodes.push(Node { operator, inputs, outputs: vec![] });
        Input::Node(id)
    }

    /// Adds a sink behind `inputs`.
    pub fn add_sink(&mut self, sink: SinkNode) {
        let id = self.sinks.len();
        for input in &sink.inputs {
            self.connect(*input, Output::Sink(id));
        }
        self.sinks.push(sink);
    }

    fn connect(&mut self, from: Input, to: Output) {
        let outputs = match from {
            Input::Source(s) => &mut self.sources[s].outputs,
            Input::Node(n) => &mut self.nodes[n].outputs,
        };
        outputs.push(to);
    }

    /// True if a source has no end.
    pub fn is_endless(&self) -> bool {
        self.sources.iter().any(|s| s.table.as_ref().is_some_and(|t| !t.bounded))
    }

    /// True if the order in which micro-batches are given out counts.
    pub fn takes_turns(&self) -> bool {
        self.nodes.iter().any(|node| node.operator.takes_turns())
    }

    /// Whether a step keeps the rows that are pushed.
    pub fn keeps_rows(&self) -> bool {
        self.nodes.iter().any(|node| node.operator.keeps_rows())
    }

    /// True once every sink has all the rows it will ever get, because of a `LIMIT` behind every source.
    pub fn has_enough(&self) -> bool {
        let mut enough: Vec<bool> = Vec::with_capacity(self.nodes.len());
        let all = |inputs: &[Input], enough: &[bool]| {
            inputs.iter().all(|input| matches!(input, Input::Node(n) if enough[*n])) && !inputs.is_empty()
        };
        for node in &self.nodes {
            // A step with state still has to give what it holds.
            let passes = node.operator.is_stateless() && all(&node.inputs, &enough);
            enough.push(node.operator.has_enough() || passes);
        }
        self.sinks.iter().all(|sink| all(&sink.inputs, &enough))
    }

    /// The graph as text, for `EXPLAIN` and tests: sinks first, inputs indented below. A step whose rows go to several places
    /// has a number, and is written out once.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        for load in &self.loads {
            text += "Load before the first batch\n";
            for line in load.graph.explain().lines() {
                text += &format!("  {line}\n");
            }
        }
        let mut numbered = vec![];
        for sink in &self.sinks {
            let columns: Vec<String> =
                sink.schema.fields().iter().map(|f| format!("{}: {}", f.name(), f.data_type())).collect();
            text += &format!("Sink {} [{}]\n", sink.name, columns.join(", "));
            for input in &sink.inputs {
                self.explain_input(*input, 1, &mut numbered, &mut text);
            }
        }
        crate::sql::interval::readable(&text)
    }

    fn explain_input(&self, input: Input, depth: usize, numbered: &mut Vec<usize>, text: &mut String) {
        let pad = "  ".repeat(depth);
        match input {
            Input::Source(s) => {
                let source = &self.sources[s];
                let columns: Vec<&str> = source.schema.fields().iter().map(|f| f.name().as_str()).collect();
                let name = source.table.as_ref().map_or("constant rows", |t| t.table.name.as_str());
                let watermark = match source.table.as_ref().and_then(|t| t.watermark.as_ref()) {
                    Some(w) => format!(" watermark={}", w.expr),
                    None => String::new(),
                };
                *text += &format!("{pad}Source {name} [{}]{watermark}\n", columns.join(", "));
            }
            Input::Node(n) => {
                let node = &self.nodes[n];
                if let Some(number) = numbered.iter().position(|there| *there == n) {
                    *text += &format!("{pad}#{} as above\n", number + 1);
                    return;
                }
                let mut number = String::new();
                if node.outputs.len() > 1 {
                    numbered.push(n);
                    number = format!("#{} ", numbered.len());
                }
                *text += &format!("{pad}{number}{}\n", node.operator.describe());
                for input in &node.inputs {
                    self.explain_input(*input, depth + 1, numbered, text);
                }
            }
        }
    }
}
