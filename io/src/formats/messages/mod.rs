//! Formats of messages: every record is a value of its own, as in Kafka. Formats of files are in the modules beside.
//!
//! A chunk's values come as one binary column, NULL where a record has no value (a *tombstone*). A decoder makes rows with the
//! wanted columns of them; a message that does not decode is a [`BadRecord`] and never loses its neighbours. An encoder makes
//! one message of each row.

pub mod avro;
mod cells;
pub mod csv;
pub mod debezium;
mod grown;
pub mod ipc;
pub mod json;
mod lines;
pub mod protobuf;
pub mod raw;
pub mod registry;
mod rows;
mod wire;

use std::sync::Arc;

use arrow::array::{Array, BinaryArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use pelton_engine::connector::{BadRecord, Decoded, Options, ReadRequest, Table};
use pelton_engine::error::{Error, Result};

/// The names in `'format' = '…'`.
pub const NAMES: [&str; 9] =
    ["json", "csv", "raw", "arrow", "avro", "avro-confluent", "protobuf", "protobuf-confluent", "debezium-json"];

/// Makes rows of messages. Law: the rows of a message do not depend on the messages around it.
pub trait MessageDecoder: Send + Sync {
    /// Decodes values. In the answer, records are the indices of the values, and `records` is their number.
    fn decode(&self, values: &BinaryArray) -> Decoded;
}

/// Makes messages of rows.
pub trait MessageEncoder: Send {
    /// One value a row, in the order of the rows.
    fn encode(&mut self, rows: &RecordBatch) -> Result<BinaryArray>;
}

/// The decoder of the format that `options` name, for the columns of `table` that `request` wants.
pub fn decoder(options: &Options, table: &Table, request: &ReadRequest) -> Result<Arc<dyn MessageDecoder>> {
    match options.require("format")?.to_ascii_lowercase().as_str() {
        "json" => Ok(Arc::new(json::JsonMessages::new(table, request)?)),
        "csv" => Ok(Arc::new(csv::CsvMessages::new(options, table, request)?)),
        "raw" => Ok(Arc::new(raw::RawMessages::new(options, table, request)?)),
        "arrow" => Ok(Arc::new(ipc::IpcMessages::new(table, request))),
        "avro" => avro::decoder(options, &table.schema, &request.columns),
        "avro-confluent" => avro::confluent::decoder(options, &table.schema, &request.columns),
        "protobuf" => protobuf::decoder(options, &table.schema, &request.columns),
        "protobuf-confluent" => protobuf::confluent::decoder(options, &table.schema, &request.columns),
        "debezium-json" => Ok(debezium::decoder(Arc::new(json::JsonMessages::new(table, request)?))),
        _ => Err(unknown_format(options)),
    }
}

/// The encoder of the format that `options` name, for rows with the columns of `schema`.
pub fn encoder(options: &Options, schema: &SchemaRef) -> Result<Box<dyn MessageEncoder>> {
    match options.require("format")?.to_ascii_lowercase().as_str() {
        "json" => Ok(Box::new(json::JsonEncoder)),
        "csv" => Ok(Box::new(csv::CsvEncoder::new(options)?)),
        "raw" => Ok(Box::new(raw::RawEncoder::new(options, schema)?)),
        "arrow" => Ok(Box::new(ipc::IpcEncoder)),
        "avro" => avro::encoder(options, schema),
        "avro-confluent" => avro::confluent::encoder(options, schema),
        "protobuf" => protobuf::encoder(options, schema),
        "protobuf-confluent" => protobuf::confluent::encoder(options, schema),
        "debezium-json" => Ok(debezium::encoder(Box::new(json::JsonEncoder))),
        _ => Err(unknown_format(options)),
    }
}

fn unknown_format(options: &Options) -> Error {
    let error = options.bad("format", &format!("one of {}", NAMES.join(", ")));
    match Error::suggest(options.get("format").unwrap_or_default(), NAMES) {
        Some(near) => error.hint(format!("did you mean '{near}'?")),
        None => error,
    }
}

/// What is said of a message without a value, in formats that have no row for it.
pub(crate) const TOMBSTONE: &str = "a tombstone: the message has no value";

/// What is said of a message without a byte, or of blanks alone.
const EMPTY: &str = "the message is empty";

/// A bad record with the bytes of the value that it is.
fn bad(values: &BinaryArray, at: usize, reason: impl Into<String>) -> BadRecord {
    let bytes = if values.is_null(at) { vec![] } else { values.value(at).to_vec() };
    BadRecord { record: at as u32, reason: reason.into(), bytes }
}

/// The error for rows that have no form as messages.
fn not_encoded(cause: impl std::fmt::Display) -> Error {
    Error::world("rows cannot be made into messages").because(cause.to_string())
}

#[cfg(test)]
pub(crate) mod tests_of_messages {
    //! Values in, rows as text out, together and each by itself: the one place where the tests of messages know the API.

    use arrow::datatypes::Schema;
    use pelton_engine::error::Span;

    use super::*;
    use crate::formats::tests_of_formats::rows_as_text;

    pub fn options(pairs: &[(&str, &str)]) -> Options {
        Options::new("table `t`", pairs.iter().map(|(k, v)| (k.to_string(), v.to_string(), Span::default())))
    }

    pub fn table(schema: Schema, pairs: &[(&str, &str)]) -> Table {
        Table { name: "t".into(), schema: Arc::new(schema), options: options(pairs), primary_key: vec![] }
    }

    pub fn open(schema: Schema, pairs: &[(&str, &str)], columns: &[usize]) -> Result<Arc<dyn MessageDecoder>> {
        let table = table(schema, pairs);
        let request = ReadRequest { columns: columns.to_vec(), batch_rows: 1024, ..Default::default() };
        decoder(&table.options, &table, &request)
    }

    /// Rows as `record: a|b`, and bad records as `record! reason`.
    pub fn show(decoded: Decoded, first: usize) -> Vec<String> {
        assert!(decoded.broken.is_none(), "{:?}", decoded.broken);
        let (mut out, mut next) = (vec![], 0);
        for batch in decoded.batches {
            let rows = rows_as_text(&batch.batch);
            let at = batch.records.unwrap_or_else(|| (next..next + rows.len() as u32).collect());
            assert_eq!(at.len(), rows.len());
            next = at.last().map_or(next, |last| last + 1);
            out.extend(at.iter().zip(rows).map(|(at, row)| (first + *at as usize, format!(": {row}"))));
        }
        out.extend(decoded.bad.into_iter().map(|b| (first + b.record as usize, format!("! {}", b.reason))));
        out.sort_by_key(|(at, _)| *at);
        out.into_iter().map(|(at, text)| format!("{at}{text}")).collect()
    }

    /// Decodes values together, and holds each against what it is by itself.
    pub fn check(decoder: &dyn MessageDecoder, values: &[Option<&[u8]>]) -> Vec<String> {
        let together = decoder.decode(&BinaryArray::from_iter(values));
        assert_eq!(together.records, values.len() as u64);
        for bad in &together.bad {
            assert_eq!(bad.bytes, values[bad.record as usize].unwrap_or_default());
        }
        let together = show(together, 0);
        let alone = |(at, value): (usize, &Option<&[u8]>)| show(decoder.decode(&BinaryArray::from_iter([value])), at);
        assert_eq!(together, values.iter().enumerate().flat_map(alone).collect::<Vec<_>>());
        together
    }
}
