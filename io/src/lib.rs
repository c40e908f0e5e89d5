//! The outside world: connectors, formats, Parquet history, dead letters.
//!
//! Comes in: bytes, seeds, options. Goes out: Arrow batches, and what the sinks are given.
//! Stays outside: SQL, time and state (`engine` owns them, and defines the traits that are implemented here).

pub mod console;
pub mod dead_letters;
pub mod filesystem;
pub mod formats;
pub mod generators;
pub mod kafka;
pub mod machine;
pub mod places;
pub mod segments;
pub mod storage;
mod web;

use std::sync::Arc;

use pelton_engine::connector::Registry;

/// All connectors, by the name in `'connector' = '…'`.
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.add(Arc::new(console::blackhole::Blackhole));
    registry.add(Arc::new(console::print::Print));
    registry.add(Arc::new(console::stdin::Stdin));
    registry.add(Arc::new(console::stdout::Stdout));
    registry.add(Arc::new(filesystem::Filesystem));
    registry.add(Arc::new(generators::datagen::Datagen));
    registry.add(Arc::new(generators::fraud::Fraud));
    registry.add(Arc::new(generators::nexmark::Nexmark));
    registry.add(Arc::new(kafka::Kafka));
    registry.set_places(Arc::new(places::NamedPlaces));
    registry.set_machine(Arc::new(machine::LocalMachine::default()));
    registry
}
