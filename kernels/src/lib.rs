//! Columns in, columns out: exact aggregates, group tables, programs, digests.
//!
//! Comes in: Arrow arrays and row selections. Goes out: Arrow arrays and saved states.
//! Stays outside: SQL, files, sockets, clocks. What a kernel means is its reference implementation; faster versions and
//! device versions are tested against it.

pub mod aggregate;
mod ahead;
pub mod canonical;
pub mod costs;
pub mod cpu;
pub mod digest;
pub mod exact;
pub mod gather;
pub mod group_table;
mod growth;
pub mod numbers;
pub mod program;
mod rows;
pub mod select;
pub mod shared;
pub mod stage;

pub use rows::Rows;
