//! Where a run spends its time: `pelton run --profile`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::graph::Graph;

/// A part of the work that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes to columns.
    Decode,
    /// Computed columns, watermarks, checks of the schema.
    Intake,
    /// A step of the graph takes a micro-batch.
    Step(usize),
    /// A step of the graph learns of the watermark: windows close.
    Close(usize),
    /// Digests of what goes to the sinks.
    Digest,
    /// Sinks, history and dead letters are written.
    Write,
}

/// Time per part, over all workers.
#[derive(Debug)]
pub struct Profile {
    parts: Vec<(Part, String, Time)>,
    steps: usize,
}

#[derive(Debug, Default)]
struct Time {
    nanos: AtomicU64,
    rows: AtomicU64,
}

/// What a part of a run took.
#[derive(Clone, Debug, PartialEq)]
pub struct PartTime {
    /// What was done.
    pub name: String,
    /// Processor time, roughly: the wall time of the worker that did it.
    pub seconds: f64,
    /// Rows that it was done for.
    pub rows: u64,
}

impl Profile {
    /// Nothing timed yet, for the steps of a graph.
    pub fn new(graph: &Graph) -> Self {
        let steps = graph.nodes.len();
        let mut parts = vec![(Part::Decode, "Decode".to_string()), (Part::Intake, "Intake".to_string())];
        for (i, node) in graph.nodes.iter().enumerate() {
            parts.push((Part::Step(i), node.operator.describe()));
        }
        for (i, node) in graph.nodes.iter().enumerate() {
            parts.push((Part::Close(i), format!("Close {}", node.operator.describe())));
        }
        parts.extend([(Part::Digest, "Digest".to_string()), (Part::Write, "Write".to_string())]);
        let parts = parts.into_iter().map(|(part, name)| (part, name, Time::default())).collect();
        Profile { parts, steps }
    }

    fn place(&self, part: Part) -> usize {
        match part {
            Part::Decode => 0,
            Part::Intake => 1,
            Part::Step(i) => 2 + i,
            Part::Close(i) => 2 + self.steps + i,
            Part::Digest => 2 + 2 * self.steps,
            Part::Write => 3 + 2 * self.steps,
        }
    }

    /// Adds the time since `start` to a part, and the rows it was for.
    pub fn add(&self, part: Part, start: Instant, rows: usize) {
        let (_, _, time) = &self.parts[self.place(part)];
        time.nanos.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        time.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// All parts that took time, in the order of the rows' way.
    pub fn times(&self) -> Vec<PartTime> {
        let time = |(_, name, time): &(Part, String, Time)| PartTime {
            name: name.clone(),
            seconds: time.nanos.load(Ordering::Relaxed) as f64 / 1e9,
            rows: time.rows.load(Ordering::Relaxed),
        };
        self.parts.iter().map(time).filter(|part| part.seconds > 0.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_places_of_their_own() {
        let profile = Profile { parts: vec![], steps: 3 };
        let mut all = vec![Part::Decode, Part::Intake, Part::Digest, Part::Write];
        all.extend((0..3).flat_map(|i| [Part::Step(i), Part::Close(i)]));
        let mut places: Vec<usize> = all.iter().map(|part| profile.place(*part)).collect();
        places.sort_unstable();
        assert_eq!(places, (0..10).collect::<Vec<_>>());
    }
}
