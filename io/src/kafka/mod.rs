//! `'connector' = 'kafka'`: topics of Apache Kafka, read by partition and written exactly once, at least once or not yet.
//!
//! `options` are what a table says, `client` is what all clients of librdkafka have in common, `source` reads, `rows` makes rows of
//! messages, `messages` holds messages of librdkafka, `sink` writes, `cluster` is the transaction that the sinks of a pipeline share. `measure` reads
//! without any of it, for the benchmark.
//!
//! Offsets are Kafka's own: a chunk stands for a run of them, with the gaps that compaction and transactions leave.

mod client;
mod cluster;
pub mod measure;
mod messages;
mod options;
mod rows;
mod sink;
mod source;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use pelton_engine::connector::{Connector, Options, ReadRequest, Sink, Source, Table};
use pelton_engine::error::{Error, Result};

use options::{Guarantee, SinkOptions, SourceOptions};

/// The `kafka` connector.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kafka;

/// Headers: names with values, of which the last of a name counts.
fn headers_type() -> DataType {
    let entries =
        Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

impl Connector for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn metadata(&self) -> Vec<(&'static str, DataType)> {
        vec![
            ("topic", DataType::Utf8),
            ("timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
            ("timestamp-type", DataType::Utf8),
            ("headers", headers_type()),
            ("leader-epoch", DataType::Int32),
            ("key", DataType::Binary),
        ]
    }

    fn bounded(&self, options: &Options) -> Result<bool> {
        options::is_bounded(options)
    }

    fn follows_the_clock(&self, _options: &Options) -> bool {
        true
    }

    fn check(&self, table: &Table, reads: bool) -> Result<()> {
        if reads {
            let options = SourceOptions::read(table)?;
            client::check(&options.connection)?;
            rows::RowReader::new(table, &options.parts, &ReadRequest::default())?;
        } else {
            let options = SinkOptions::read(table)?;
            client::check(&options.connection)?;
            sink::Encoders::new(table, &options)?;
        }
        Ok(())
    }

    fn source(&self, table: &Table, request: &ReadRequest) -> Result<Box<dyn Source>> {
        let options = SourceOptions::read(table)?;
        let rows = rows::RowReader::new(table, &options.parts, request)?;
        Ok(Box::new(source::KafkaSource::open(options, rows, request.latency_target)?))
    }

    fn sink(&self, table: &Table) -> Result<Box<dyn Sink>> {
        let options = SinkOptions::read(table)?;
        if options.guarantee == Some(Guarantee::ExactlyOnce) {
            let key = "sink.delivery-guarantee";
            return Err(Error::user(format!("{}: '{key}' = 'exactly-once' needs checkpoints", table.options.owner()))
                .at(table.options.span(key))
                .hint("SET 'pelton.checkpoint.dir' = '...', or write 'at-least-once'"));
        }
        Ok(Box::new(sink::AtLeastOnce::open(table, options)?))
    }

    fn epoch_sink(&self, table: &Table) -> Result<Box<dyn Sink>> {
        let options = SinkOptions::read(table)?;
        match options.guarantee {
            Some(Guarantee::AtLeastOnce) => Ok(Box::new(sink::AtLeastOnce::open(table, options)?)),
            _ => Ok(Box::new(sink::ExactlyOnce::open(table, options)?)),
        }
    }
}
