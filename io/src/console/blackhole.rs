//! `'connector' = 'blackhole'`: a sink that takes every row and keeps none. For measuring a query without its output.

use arrow::array::RecordBatch;
use pelton_engine::connector::{Connector, Options, Sink, Table};
use pelton_engine::error::Result;

/// The `blackhole` connector.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blackhole;

impl Connector for Blackhole {
    fn name(&self) -> &'static str {
        "blackhole"
    }

    fn bounded(&self, _options: &Options) -> Result<bool> {
        Ok(true)
    }

    fn sink(&self, _table: &Table) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Nowhere))
    }
}

struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, _batch: &RecordBatch) -> Result<()> {
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    fn abort(&mut self) {}
}
