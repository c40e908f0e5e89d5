//! From decoded columns to the answer: values put into their declared types, misfits set apart, rows in the order of their messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use pelton_engine::connector::{BadRecord, Decoded, DecodedBatch};
use pelton_engine::error::Error;

use super::super::convert::{self, Origin};
use super::super::filter_rows;
use super::grown::{Grown, Wrong};

/// Why a message without a value is bad where rows are wanted.
pub const TOMBSTONE: &str = "a tombstone: the message has no value";

/// The schema of decoded batches: these columns, all nullable, since a NULL where none may be is the engine's to judge.
pub fn wanted(schema: &SchemaRef, columns: &[usize]) -> SchemaRef {
    let nullable = |&i: &usize| -> FieldRef { Arc::new(schema.field(i).clone().with_nullable(true)) };
    Arc::new(Schema::new(columns.iter().map(nullable).collect::<Vec<_>>()))
}

/// Collects what comes of some messages.
pub struct Answer<'a> {
    values: &'a BinaryArray,
    wanted: &'a SchemaRef,
    /// Rows, with the messages that they are.
    parts: Vec<(RecordBatch, Vec<u32>)>,
    decoded: Decoded,
}

impl<'a> Answer<'a> {
    /// Nothing yet of `values`.
    pub fn new(values: &'a BinaryArray, wanted: &'a SchemaRef) -> Self {
        Answer { values, wanted, parts: vec![], decoded: Decoded::default() }
    }

    /// Notes a message that is bad.
    pub fn bad(&mut self, record: usize, reason: impl Into<String>) {
        let bytes = if self.values.is_null(record) { vec![] } else { self.values.value(record).to_vec() };
        self.decoded.bad.push(BadRecord { record: record as u32, reason: reason.into(), bytes });
    }

    /// Notes that the outside world failed.
    pub fn broken(&mut self, error: Error) {
        self.decoded.broken.get_or_insert(error);
    }

    /// Takes the columns of these messages: one for each wanted column.
    pub fn rows(&mut self, columns: Vec<Grown>, records: Vec<u32>) {
        if let Err(cause) = self.try_rows(columns, records) {
            self.broken(Error::world("messages cannot be made a batch").because(cause));
        }
    }

    fn try_rows(&mut self, columns: Vec<Grown>, mut records: Vec<u32>) -> Result<(), ArrowError> {
        let mut misfits: BTreeMap<usize, String> = BTreeMap::new();
        let mut arrays: Vec<ArrayRef> = vec![];
        for (field, column) in self.wanted.fields().iter().zip(columns) {
            let (column, mut rows) = (column.finish()?, vec![]);
            arrays.push(convert::convert(&column, field.data_type(), Origin::Typed, &mut rows)?);
            for row in rows {
                misfits.entry(row).or_insert_with(|| no_such(field, &column, row));
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
        let mut batch = RecordBatch::try_new_with_options(self.wanted.clone(), arrays, &options)?;
        if !misfits.is_empty() {
            let keep: BooleanArray = (0..records.len()).map(|row| Some(!misfits.contains_key(&row))).collect();
            batch = filter_rows(&batch, &keep)?;
            let all = std::mem::take(&mut records);
            for (row, record) in all.into_iter().enumerate() {
                match misfits.remove(&row) {
                    Some(reason) => self.bad(record as usize, reason),
                    None => records.push(record),
                }
            }
        }
        if !records.is_empty() {
            self.parts.push((batch, records));
        }
        Ok(())
    }

    /// Everything that came of the messages.
    pub fn done(mut self) -> Decoded {
        match in_order(self.wanted, std::mem::take(&mut self.parts)) {
            Ok(Some((batch, records))) => {
                let all = records.iter().enumerate().all(|(row, &record)| row == record as usize);
                self.decoded.batches.push(DecodedBatch { batch, records: (!all).then_some(records) });
            }
            Ok(None) => {}
            Err(cause) => self.broken(Error::world("messages cannot be made a batch").because(cause)),
        }
        self.decoded.bad.sort_by_key(|bad| bad.record);
        self.decoded.records = self.values.len() as u64;
        self.decoded
    }
}

/// The rows of several batches, in the order of their records.
fn in_order(
    schema: &SchemaRef,
    mut parts: Vec<(RecordBatch, Vec<u32>)>,
) -> Result<Option<(RecordBatch, Vec<u32>)>, ArrowError> {
    if parts.len() < 2 {
        return Ok(parts.pop());
    }
    let mut picks: Vec<(u32, (usize, usize))> = vec![];
    for (part, (_, records)) in parts.iter().enumerate() {
        picks.extend(records.iter().enumerate().map(|(row, &record)| (record, (part, row))));
    }
    picks.sort_unstable();
    let (records, picks): (Vec<u32>, Vec<(usize, usize)>) = picks.into_iter().unzip();
    let column = |i: usize| {
        let arrays: Vec<&dyn Array> = parts.iter().map(|(batch, _)| batch.column(i).as_ref()).collect();
        interleave(&arrays, &picks)
    };
    let columns = (0..schema.fields().len()).map(column).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
    Ok(Some((RecordBatch::try_new_with_options(schema.clone(), columns, &options)?, records)))
}

fn no_such(field: &Field, column: &ArrayRef, row: usize) -> String {
    let (value, wanted) = (convert::show(column, row), convert::type_name(field.data_type()));
    format!("column '{}': {value} is no {wanted}", field.name())
}

/// The columns of rows to be written, in the types that the format has for them.
pub fn in_types_of(rows: &RecordBatch, types: &Schema, format: &str) -> pelton_engine::error::Result<Vec<ArrayRef>> {
    let mut arrays = vec![];
    for (field, column) in types.fields().iter().zip(rows.columns()) {
        let mut misfits = vec![];
        let converted = convert::convert(column, field.data_type(), Origin::Typed, &mut misfits);
        let failed =
            |why: String| Error::user(format!("column '{}' cannot be written as {format}: {why}", field.name()));
        arrays.push(converted.map_err(|e| failed(e.to_string()))?);
        if let Some(&row) = misfits.first() {
            let wanted = convert::type_name(field.data_type());
            return Err(failed(format!("{} is no {wanted}", convert::show(column, row))));
        }
    }
    Ok(arrays)
}

/// Reads messages of one schema.
pub trait Reads: Send + Sync {
    /// The type in which each wanted column comes.
    fn types(&self) -> &[DataType];
    /// Appends one value to each column. After a failure the columns are to be cut back.
    fn read(&self, message: &[u8], columns: &mut [Grown]) -> Result<(), Wrong>;
}

/// Messages of one schema on their way to being rows.
pub struct Growing {
    columns: Vec<Grown>,
    records: Vec<u32>,
}

impl Growing {
    /// No messages yet.
    pub fn new(reader: &dyn Reads) -> Self {
        Growing { columns: reader.types().iter().map(Grown::new).collect(), records: vec![] }
    }

    /// Appends a message, or says why it is bad.
    pub fn add(&mut self, reader: &dyn Reads, record: usize, message: &[u8]) -> Result<(), Wrong> {
        let read = reader.read(message, &mut self.columns);
        match read {
            Ok(()) => self.records.push(record as u32),
            Err(_) => self.columns.iter_mut().for_each(|column| column.truncate(self.records.len())),
        }
        read
    }

    /// Gives the rows to the answer.
    pub fn into_answer(self, answer: &mut Answer) {
        answer.rows(self.columns, self.records);
    }
}

/// Decodes messages that are all of one schema.
pub fn decode_all(reader: &dyn Reads, values: &BinaryArray, wanted: &SchemaRef) -> Decoded {
    let (mut answer, mut growing) = (Answer::new(values, wanted), Growing::new(reader));
    for (record, value) in values.iter().enumerate() {
        let added = value.ok_or_else(|| TOMBSTONE.to_string()).and_then(|v| growing.add(reader, record, v));
        if let Err(reason) = added {
            answer.bad(record, reason);
        }
    }
    growing.into_answer(&mut answer);
    answer.done()
}

#[cfg(test)]
pub(crate) mod told {
    //! Messages in, rows as text out, together and each by itself; and messages that are damaged.

    use std::sync::Arc;

    use arrow::datatypes::Schema;
    use pelton_engine::error::Span;
    use proptest::prelude::*;

    use super::*;
    use crate::formats::messages::MessageDecoder;
    use crate::formats::tests_of_formats::rows_as_text;

    pub fn options(pairs: &[(&str, &str)]) -> pelton_engine::connector::Options {
        let pair = |(k, v): &(&str, &str)| (k.to_string(), v.to_string(), Span::default());
        pelton_engine::connector::Options::new("table `t`", pairs.iter().map(pair))
    }

    pub fn columns(fields: &[(&str, DataType)]) -> SchemaRef {
        Arc::new(Schema::new(fields.iter().map(|(name, of)| Field::new(*name, of.clone(), true)).collect::<Vec<_>>()))
    }

    pub fn list(item: DataType) -> DataType {
        DataType::List(Arc::new(Field::new_list_field(item, true)))
    }

    pub fn row(fields: &[(&str, DataType)]) -> DataType {
        DataType::Struct(columns(fields).fields().clone())
    }

    /// MAP<STRING, …>, as the engine has it.
    pub fn map(value: DataType) -> DataType {
        let pair = vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)];
        DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair.into()), false)), false)
    }

    /// Rows as `record: a|b`, and bad messages as `record! reason`.
    pub fn show(decoded: Decoded) -> Vec<String> {
        let mut out = vec![];
        for batch in decoded.batches {
            let rows = rows_as_text(&batch.batch);
            let at = batch.records.unwrap_or_else(|| (0..rows.len() as u32).collect());
            assert_eq!(at.len(), rows.len());
            out.extend(at.into_iter().zip(rows).map(|(at, row)| (at, format!("{at}: {row}"))));
        }
        out.extend(decoded.bad.into_iter().map(|bad| (bad.record, format!("{}! {}", bad.record, bad.reason))));
        out.sort_by_key(|(at, _)| *at);
        out.into_iter().map(|(_, text)| text).collect()
    }

    /// Decodes messages together, and holds each against what it is by itself.
    pub fn check(decoder: &dyn MessageDecoder, values: &[Option<&[u8]>]) -> Vec<String> {
        let together = decoder.decode(&BinaryArray::from_iter(values));
        assert!(together.broken.is_none(), "{:?}", together.broken);
        assert_eq!(together.records, values.len() as u64);
        together.bad.iter().for_each(|bad| assert_eq!(bad.bytes, values[bad.record as usize].unwrap_or_default()));
        let together = show(together);
        assert_eq!(together.len(), values.len(), "each is a row or bad: {together:?}");
        let behind = |text: &str| text.split_once([':', '!']).unwrap().1.to_string();
        for (value, shown) in values.iter().zip(&together) {
            let alone = show(decoder.decode(&BinaryArray::from_iter([value])));
            assert_eq!(behind(&alone[0]), behind(shown));
        }
        together
    }

    /// A message as it should not be: random, cut off, or with some other bytes.
    pub fn damaged(good: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
        let message = proptest::sample::select(good);
        let random = proptest::collection::vec(any::<u8>(), 0..60);
        let cut = (message.clone(), any::<proptest::sample::Index>())
            .prop_map(|(message, at)| message[..at.index(message.len().max(1)).min(message.len())].to_vec());
        let other = (message, proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4));
        let other = other.prop_map(|(mut message, bytes)| {
            for (at, byte) in bytes.into_iter().filter(|_| !message.is_empty()).collect::<Vec<_>>() {
                let at = at.index(message.len());
                message[at] = byte;
            }
            message
        });
        prop_oneof![random, cut, other]
    }

    /// Holds that a damaged message is a row or bad, and that its neighbours are what they are without it.
    pub fn check_neighbours(decoder: &dyn MessageDecoder, good: &[u8], damaged: &[u8]) {
        let shown = check(decoder, &[Some(good), Some(damaged), Some(good)]);
        let alone = check(decoder, &[Some(good)]);
        for at in [0, 2] {
            assert_eq!(shown[at], alone[0].replacen('0', &at.to_string(), 1));
        }
    }
}
