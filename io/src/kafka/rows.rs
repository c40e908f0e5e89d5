//! Rows of messages: key and value decoded by their formats and put side by side, and what else is known of a message.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, Int32Array, MapBuilder, MapFieldNames, RecordBatch, RecordBatchOptions,
    StringArray, StringBuilder, TimestampMillisecondArray, UInt32Array, new_null_array,
};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use pelton_engine::connector::{BadRecord, Decoded, DecodedBatch, ReadRequest, Table};
use pelton_engine::error::{Error, Result};

use super::messages::Message;
use super::options::{Parts, Tombstones};
use super::source::CHUNK_MESSAGES;
use crate::formats::messages::{MessageDecoder, decoder};

/// Where a wanted column comes from.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// This column of the decoded key.
    Key(usize),
    /// This column of the decoded value.
    Value(usize),
}

/// Makes rows with the wanted columns.
pub struct RowReader {
    key: Option<Arc<dyn MessageDecoder>>,
    /// `None` if all wanted columns are in the key.
    value: Option<Arc<dyn MessageDecoder>>,
    places: Vec<Place>,
    tombstones: Tombstones,
    schema: SchemaRef,
    metadata: Vec<String>,
}

/// One of the two parts of messages, decoded: rows in the order of their messages.
struct Side {
    rows: RecordBatch,
    /// Which message each row is of; the row is NULL where there is none.
    at: Vec<(u32, Option<u32>)>,
    bad: Vec<BadRecord>,
    broken: Option<Error>,
}

impl RowReader {
    /// A reader of what is wanted of a table.
    pub fn new(table: &Table, parts: &Parts, request: &ReadRequest) -> Result<Self> {
        let nullable = |at: &usize| table.schema.field(*at).clone().with_nullable(true);
        let schema = Arc::new(Schema::new(request.columns.iter().map(nullable).collect::<Vec<Field>>()));
        let in_key = |at: usize| parts.key.iter().position(|k| *k == at);
        // Formats want columns in ascending order; where the wanted ones are then.
        let mut keys: Vec<usize> = request.columns.iter().filter_map(|at| in_key(*at)).collect();
        keys.sort_unstable();
        let outside = |at: &&usize| in_key(**at).is_none();
        let values: Vec<usize> = request
            .columns
            .iter()
            .filter(outside)
            .map(|at| parts.value.iter().position(|v| v == at).expect("in the key or in the value"))
            .collect();
        let mut next_value = 0;
        let places = request.columns.iter().map(|at| match in_key(*at) {
            Some(key) => Place::Key(keys.binary_search(&key).expect("one of them")),
            None => {
                next_value += 1;
                Place::Value(next_value - 1)
            }
        });
        let places: Vec<Place> = places.collect();
        let (has_keys, has_values) = (!keys.is_empty(), !values.is_empty());
        let alone = request.metadata.is_empty() && !has_keys && parts.tombstones == Tombstones::Format;
        let batch_rows = if alone { request.batch_rows } else { request.batch_rows.max(CHUNK_MESSAGES) };
        let part = |schema: Schema, columns: Vec<usize>, whole: &[usize], prefix: &str| {
            let options = table.options.under(prefix);
            let kept_only = request.kept_only.iter().filter_map(|at| whole.iter().position(|w| w == at)).collect();
            let table = Table { schema: Arc::new(schema), options: table.options.under(prefix), ..table.clone() };
            let request = ReadRequest { columns, kept_only, batch_rows, ..Default::default() };
            decoder(&options, &table, &request)
        };
        // Both are looked at, so that what is wrong with them is found before it is needed.
        let key = match parts.key.is_empty() {
            true => None,
            false => Some(part(parts.key_schema(&table.schema), keys, &parts.key, "key.")?),
        };
        let value = part(parts.value_schema(&table.schema), values, &parts.value, "value.")?;
        Ok(RowReader {
            key: key.filter(|_| has_keys),
            value: (has_values || !has_keys).then_some(value),
            places,
            tombstones: parts.tombstones,
            schema,
            metadata: request.metadata.clone(),
        })
    }

    /// Decodes messages of a partition that stand for `records` offsets from `base` on.
    pub fn decode(&self, topic: &str, messages: &[Message], base: i64, records: u64) -> Decoded {
        if messages.is_empty() {
            return Decoded { records, ..Default::default() };
        }
        let decoded = self.decode_parts(messages);
        let mut decoded = decoded.unwrap_or_else(|cause| {
            let error = Error::world(format!("messages of topic '{topic}' from offset {base} on cannot be decoded"));
            Decoded { broken: Some(error.because(cause)), ..Default::default() }
        });
        decoded.records = records;
        decoded.since_ms = messages.first().and_then(|first| first.timestamp().0);
        if !self.metadata.is_empty()
            && let Some(DecodedBatch { batch, records }) = decoded.batches.first()
        {
            let at = match records {
                None => UInt32Array::from_iter_values(0..batch.num_rows() as u32),
                Some(at) => UInt32Array::from(at.clone()),
            };
            let values = self.metadata.iter().map(|key| (key.clone(), metadata(key, topic, messages, &at)));
            decoded.metadata_rows = values.collect();
        }
        let record = |at: u32| (messages[at as usize].offset() - base) as u32;
        if (0..messages.len() as u32).all(|at| record(at) == at) {
            return decoded;
        }
        decoded.bad.iter_mut().for_each(|bad| bad.record = record(bad.record));
        let mut next = 0;
        for DecodedBatch { batch, records } in &mut decoded.batches {
            let at = records.take().unwrap_or_else(|| (next..next + batch.num_rows() as u32).collect());
            next = at.last().map_or(next, |last| last + 1);
            *records = Some(at.into_iter().map(record).collect());
        }
        decoded
    }

    /// Rows of messages; records are indices of these.
    fn decode_parts(&self, messages: &[Message]) -> Result<Decoded, ArrowError> {
        if let (None, Some(value), Tombstones::Format) = (&self.key, &self.value, self.tombstones) {
            let decoded = value.decode(&values_of(messages.iter().map(Message::value)));
            return if self.metadata.is_empty() { Ok(decoded) } else { in_one(decoded) };
        }
        let key = self.key.as_ref().map(|key| side(key.as_ref(), messages, Message::key, Tombstones::Null));
        let value = self.value.as_ref().map(|value| side(value.as_ref(), messages, Message::value, self.tombstones));
        let (key, value) = (key.transpose()?, value.transpose()?);
        self.join(key, value)
    }

    /// Puts key and value of messages side by side. A message of which one is bad has no row.
    fn join(&self, key: Option<Side>, value: Option<Side>) -> Result<Decoded, ArrowError> {
        let (mut at, mut key_rows, mut value_rows) = (vec![], vec![], vec![]);
        let keys = key.as_ref().map_or(&[][..], |key| &key.at);
        match &value {
            None => keys.iter().for_each(|(message, row)| {
                at.push(*message);
                key_rows.push(*row);
            }),
            Some(value) => {
                for (message, row) in &value.at {
                    let found = keys.binary_search_by_key(message, |(message, _)| *message);
                    if key.is_some() && found.is_err() {
                        continue;
                    }
                    at.push(*message);
                    key_rows.push(found.ok().and_then(|found| keys[found].1));
                    value_rows.push(*row);
                }
            }
        }
        let (key_rows, value_rows) = (UInt32Array::from(key_rows), UInt32Array::from(value_rows));
        let column = |(place, field): (&Place, &Arc<Field>)| {
            let (side, column, rows) = match place {
                Place::Key(column) => (&key, *column, &key_rows),
                Place::Value(column) => (&value, *column, &value_rows),
            };
            // Without a good row there are no columns.
            match side.as_ref().filter(|side| side.rows.num_rows() > 0) {
                Some(side) => take(side.rows.column(column), rows, None),
                None => Ok(new_null_array(field.data_type(), at.len())),
            }
        };
        let columns = self.places.iter().zip(self.schema.fields()).map(column).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(at.len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        let mut decoded = Decoded::default();
        if let Some(value) = value {
            (decoded.bad, decoded.broken) = (value.bad, value.broken);
        }
        if let Some(key) = key {
            let reason = |bad: BadRecord| BadRecord { reason: format!("key: {}", bad.reason), ..bad };
            decoded.bad.extend(key.bad.into_iter().map(reason));
            decoded.broken = decoded.broken.or(key.broken);
        }
        // Of a message of which both are bad, the value says why.
        decoded.bad.sort_by_key(|bad| bad.record);
        decoded.bad.dedup_by_key(|bad| bad.record);
        if !at.is_empty() {
            decoded.batches.push(DecodedBatch { batch, records: Some(at) });
        }
        Ok(decoded)
    }
}

fn values_of<'a>(values: impl Iterator<Item = Option<&'a [u8]>> + Clone) -> BinaryArray {
    let bytes = values.clone().flatten().map(<[u8]>::len).sum();
    let mut out = BinaryBuilder::with_capacity(values.size_hint().0, bytes);
    values.for_each(|value| out.append_option(value));
    out.finish()
}

/// The batches of a chunk as one.
fn in_one(mut decoded: Decoded) -> Result<Decoded, ArrowError> {
    if decoded.batches.len() > 1 {
        let schema = decoded.batches[0].batch.schema();
        let batch = joined(&schema, &decoded.batches)?;
        let at = rows_of(&decoded.batches);
        decoded.batches = vec![DecodedBatch { batch, records: Some(at) }];
    }
    Ok(decoded)
}

/// Batches one after the other; without columns, too.
fn joined(schema: &SchemaRef, batches: &[DecodedBatch]) -> Result<RecordBatch, ArrowError> {
    if schema.fields().is_empty() {
        let rows = batches.iter().map(|b| b.batch.num_rows()).sum();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        return RecordBatch::try_new_with_options(schema.clone(), vec![], &options);
    }
    concat_batches(schema, batches.iter().map(|b| &b.batch))
}

/// The record of every row.
fn rows_of(batches: &[DecodedBatch]) -> Vec<u32> {
    let mut at: Vec<u32> = vec![];
    for batch in batches {
        match &batch.records {
            Some(records) => at.extend(records),
            None => {
                let next = at.last().map_or(0, |last| last + 1);
                at.extend(next..next + batch.batch.num_rows() as u32);
            }
        }
    }
    at
}

/// Decodes one part of messages.
fn side<'a>(
    decoder: &dyn MessageDecoder,
    messages: &'a [Message],
    part: impl Fn(&'a Message) -> Option<&'a [u8]>,
    tombstones: Tombstones,
) -> Result<Side, ArrowError> {
    let is_decoded = |at: &usize| tombstones == Tombstones::Format || part(&messages[*at]).is_some();
    let decoded_at: Vec<usize> = (0..messages.len()).filter(is_decoded).collect();
    let decoded = decoder.decode(&values_of(decoded_at.iter().map(|at| part(&messages[*at]))));
    let of = |record: u32| decoded_at[record as usize] as u32;
    let schema = decoded.batches.first().map_or_else(|| Arc::new(Schema::empty()), |b| b.batch.schema());
    let rows = joined(&schema, &decoded.batches)?;
    let at = rows_of(&decoded.batches).into_iter().zip(0..).map(|(record, row)| (of(record), Some(row)));
    let mut at: Vec<(u32, Option<u32>)> = at.collect();
    if tombstones == Tombstones::Null {
        at.extend((0..messages.len()).filter(|at| !is_decoded(at)).map(|at| (at as u32, None)));
        at.sort_by_key(|(message, _)| *message);
    }
    let bad = decoded.bad.into_iter().map(|bad| BadRecord { record: of(bad.record), ..bad }).collect();
    Ok(Side { rows, at, bad, broken: decoded.broken })
}

/// Values of a metadata key for the messages at `at`.
fn metadata(key: &str, topic: &str, messages: &[Message], at: &UInt32Array) -> ArrayRef {
    let picked = at.values().iter().map(|at| &messages[*at as usize]);
    match key {
        "topic" => Arc::new(StringArray::from_iter_values(picked.map(|_| topic))),
        "timestamp" => {
            let times: TimestampMillisecondArray = picked.map(|m| m.timestamp().0).collect();
            Arc::new(times.with_timezone("UTC"))
        }
        "timestamp-type" => Arc::new(StringArray::from_iter_values(picked.map(|m| m.timestamp().1))),
        "leader-epoch" => Arc::new(picked.map(Message::leader_epoch).collect::<Int32Array>()),
        "headers" => headers(picked),
        _ => Arc::new(values_of(picked.map(Message::key))),
    }
}

/// Headers as maps; of several with one name, the last counts.
fn headers<'a>(messages: impl Iterator<Item = &'a Message>) -> ArrayRef {
    let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    let mut out = MapBuilder::new(Some(names), StringBuilder::new(), BinaryBuilder::new());
    let mut found: Vec<(String, Option<Vec<u8>>)> = vec![];
    for message in messages {
        found.clear();
        message.headers(|name, value| {
            found.retain(|(known, _)| known != name);
            found.push((name.to_string(), value.map(<[u8]>::to_vec)));
        });
        for (name, value) in &found {
            out.keys().append_value(name);
            out.values().append_option(value.as_deref());
        }
        out.append(true).expect("as many names as values");
    }
    Arc::new(out.finish())
}
