//! `avro-confluent`: every message says by an id in a schema registry what it was written with.

use std::sync::Arc;

use arrow::array::{BinaryArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use pelton_engine::connector::Options;
use pelton_engine::error::Result;

use super::super::grown::Wrong;
use super::super::registry::{Framed, Frames, Registry, Text, head};
use super::super::rows::{self, Reads};
use super::super::{MessageDecoder, MessageEncoder};
use super::{AvroReader, AvroSchema, AvroWriter, bad_schema, text_of};

/// The name of the format, and the start of its options.
const NAME: &str = "avro-confluent";

/// Makes rows of messages; columns that a message's schema lacks are NULL.
pub fn decoder(options: &Options, schema: &SchemaRef, columns: &[usize]) -> Result<Arc<dyn MessageDecoder>> {
    let registry = Registry::open(options, NAME)?;
    // Only for writing; known here too, so that one table may be read and written.
    let _ = (options.get("avro-confluent.schema"), options.get("avro-confluent.subject"));
    Ok(Arc::new(Framed::new(AvroFrames, registry, rows::wanted(schema, columns))))
}

/// Makes messages; the schema is registered when the first one is made.
pub fn encoder(options: &Options, schema: &SchemaRef) -> Result<Box<dyn MessageEncoder>> {
    let key = "avro-confluent.schema";
    let (text, given) = text_of(options, schema, key)?;
    let writer = AvroWriter::new(&text, schema).map_err(|wrong| bad_schema(options, key, given, wrong))?;
    let registry = Registry::open(options, NAME)?;
    let subject = registry.subject(options)?;
    Ok(Box::new(Registered { writer, registry, subject, text }))
}

struct AvroFrames;

impl Frames for AvroFrames {
    fn reader(&self, text: &Text, _: &[usize], wanted: &SchemaRef) -> Result<Box<dyn Reads>, Wrong> {
        if text.kind != "AVRO" {
            return Err(format!("it is of the kind {}, not AVRO", text.kind));
        }
        let before: Vec<String> = text.references.iter().map(|(_, text)| text.clone()).collect();
        Ok(Box::new(AvroReader::new(AvroSchema::parse(&text.schema, &before)?, wanted)?))
    }
}

struct Registered {
    writer: AvroWriter,
    registry: Arc<Registry>,
    subject: String,
    text: String,
}

impl MessageEncoder for Registered {
    fn encode(&mut self, rows: &RecordBatch) -> Result<BinaryArray> {
        if self.writer.head.is_empty() {
            self.writer.head = head(self.registry.register(&self.subject, "AVRO", &self.text)?);
        }
        self.writer.encode(rows)
    }
}
