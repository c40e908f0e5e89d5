//! Epochs and checkpoints: what is kept of a run, so that it goes on where it was, and nothing is lost or repeated.
//!
//! An *epoch* is a run of micro-batches. It ends with a *cut*: no batch is at hand, so what the steps hold and what the sinks
//! were given are of exactly the rows before one offset in each partition. What the cut holds is written beside the flow, in
//! this order: state, the sinks' staged rows, the manifest, and only then are the rows published. So at every moment the
//! newest whole manifest and what the sinks say tell what to do after a crash: [`recover`](recover::recover), which reads and
//! writes nothing.
//!
//! On storage: `pipeline.json` (who), `lock`, `epoch-N.json` (manifests), `state-N` (the pieces of state that epoch N has
//! written; later manifests name them again), `savepoints/NAME.json` (manifests that stay).

pub mod manifest;
pub mod piece;
pub mod recover;
pub mod resume;
#[cfg(test)]
mod simulation;
pub mod store;
