//! Running queries: SQL to plan to stages; time, state and the run loop.
//!
//! Comes in: SQL text and Arrow batches. Goes out: Arrow batches, dead letters, digests.
//! Stays outside: files and sockets (`io` brings them, behind the traits of [`connector`]); SIMD and device code
//! (`kernels` owns it). `sql` is the only module that has seen a query string.

pub mod batch;
mod by_constant;
pub mod by_window;
pub mod checkpoint;
pub mod connector;
#[cfg(test)]
mod dice;
pub mod error;
pub mod expr;
pub mod graph;
pub mod history;
pub mod intake;
pub mod lineage;
pub mod operators;
mod over_dictionary;
pub mod panes;
pub mod pipeline;
pub mod placement;
pub mod plan;
mod predicate;
pub mod profile;
mod prune;
pub mod run;
mod scoring;
mod shift;
pub mod sql;
pub mod versions;
pub mod window;
mod zone;
