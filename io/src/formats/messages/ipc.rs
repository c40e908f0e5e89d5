//! Arrow IPC: a message is a stream (schema, then record batches) with any number of rows, which all have the offset of their
//! message. Columns are found by name and converted as those of files are.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, BinaryBuilder, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use pelton_engine::connector::{Decoded, ReadRequest, Table};
use pelton_engine::error::Result;

use super::super::convert::Origin;
use super::super::{CsvSyntax, Format, InputFile, Out, Rows, Wanted, guarded, locate};
use super::json::no_file;
use super::{MessageDecoder, MessageEncoder, TOMBSTONE, bad, not_encoded};

/// Where the decoder of files says that a bad row is; it stays inside.
const NO_PLACE: &str = "message";

/// Reads streams.
pub struct IpcMessages {
    file: Arc<InputFile>,
    wanted: Arc<Wanted>,
}

impl IpcMessages {
    /// A reader of the columns that are wanted of a table.
    pub fn new(table: &Table, request: &ReadRequest) -> Self {
        let (file, wanted) = no_file(table, request, Format::Arrow, CsvSyntax::default());
        IpcMessages { file, wanted }
    }

    /// Where the wanted columns are, or what is wrong with a schema.
    fn places(&self, schema: &SchemaRef) -> Result<Vec<Option<usize>>, String> {
        locate(&self.file, &self.wanted, schema).map_err(|e| e.to_string().replacen("file 'message' ", "", 1))
    }

    /// Takes rows of messages whose streams have the same schema.
    fn take(&self, rows: &mut Vec<(u32, RecordBatch)>, values: &BinaryArray, out: &mut Out) -> Result<(), String> {
        let Some((_, first)) = rows.first() else { return Ok(()) };
        let schema = first.schema();
        let places = self.places(&schema)?;
        let at: Vec<u32> = rows.iter().flat_map(|(at, batch)| std::iter::repeat_n(*at, batch.num_rows())).collect();
        let all = concat_batches(&schema, rows.iter().map(|(_, batch)| batch)).map_err(|e| e.to_string())?;
        rows.clear();
        let columns: Vec<Option<ArrayRef>> = places.iter().map(|p| p.map(|p| all.column(p).clone())).collect();
        let bytes = |row: usize| values.value(at[row] as usize).to_vec();
        let place = |_| String::from(NO_PLACE);
        out.rows(columns, at.len(), Rows::At(&at), Origin::Typed, place, bytes).map_err(|e| e.to_string())
    }
}

/// The rows of a stream.
fn read(value: &[u8]) -> Result<RecordBatch, String> {
    let batches = guarded(|| -> Result<_, arrow::error::ArrowError> {
        let reader = StreamReader::try_new(Cursor::new(value), None)?;
        let schema = reader.schema();
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        concat_batches(&schema, &batches)
    });
    batches.map_err(|cause| format!("no Arrow IPC stream: {cause}"))
}

impl MessageDecoder for IpcMessages {
    fn decode(&self, values: &BinaryArray) -> Decoded {
        let mut out = Out::new(&self.wanted);
        let (mut rows, mut broken): (Vec<(u32, RecordBatch)>, _) = (vec![], None);
        for (at, value) in values.iter().enumerate() {
            let read = value.ok_or_else(|| TOMBSTONE.to_string()).and_then(read);
            let batch = match read.and_then(|batch| self.places(&batch.schema()).map(|_| batch)) {
                Ok(batch) => batch,
                Err(reason) => {
                    out.decoded.bad.push(bad(values, at, reason));
                    continue;
                }
            };
            if rows.first().is_some_and(|(_, first)| first.schema() != batch.schema()) {
                broken = broken.or(self.take(&mut rows, values, &mut out).err());
            }
            rows.push((at as u32, batch));
        }
        broken = broken.or(self.take(&mut rows, values, &mut out).err());
        // Of a message of which one row is bad, the letter is one.
        let mut decoded =
            out.done(values_len(values), broken.map(|cause| self.file.broken("cannot be decoded").because(cause)));
        decoded.bad.dedup_by_key(|b| b.record);
        for bad in &mut decoded.bad {
            let reason = bad.reason.strip_suffix(&format!(" ({NO_PLACE})"));
            bad.reason = reason.unwrap_or(&bad.reason).to_string();
        }
        decoded
    }
}

fn values_len(values: &BinaryArray) -> u64 {
    arrow::array::Array::len(values) as u64
}

/// Writes a stream of one row a message.
pub struct IpcEncoder;

impl MessageEncoder for IpcEncoder {
    fn encode(&mut self, rows: &RecordBatch) -> Result<BinaryArray> {
        let mut values = BinaryBuilder::new();
        for row in 0..rows.num_rows() {
            let mut value = vec![];
            let mut writer = StreamWriter::try_new(&mut value, &rows.schema()).map_err(not_encoded)?;
            writer.write(&rows.slice(row, 1)).and_then(|()| writer.finish()).map_err(not_encoded)?;
            drop(writer);
            values.append_value(value);
        }
        Ok(values.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests_of_messages::{check, open};
    use super::*;
    use arrow::array::{Float64Array, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    fn stream(rows: &RecordBatch) -> Vec<u8> {
        let mut out = vec![];
        let mut writer = StreamWriter::try_new(&mut out, &rows.schema()).unwrap();
        writer.write(rows).unwrap();
        writer.finish().unwrap();
        drop(writer);
        out
    }

    #[test]
    fn streams_of_several_schemas() {
        let ints = RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
            ("name", Arc::new(StringArray::from(vec!["a", "b"])) as _),
        ]);
        let (ints, floats) = (
            ints.unwrap(),
            RecordBatch::try_from_iter([("id", Arc::new(Float64Array::from(vec![3.0, 4.5])) as ArrayRef)]).unwrap(),
        );
        let one = IpcEncoder.encode(&ints).unwrap();
        let (two, three) = (stream(&ints), stream(&floats));
        let none = stream(&ints.slice(0, 0));
        let values: [Option<&[u8]>; 7] =
            [Some(one.value(1)), None, Some(&two), Some(&two[..30]), Some(&three), Some(&none), Some(one.value(0))];
        let schema =
            Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("name", DataType::Utf8, true)]);
        let got = check(open(schema, &[("format", "arrow")], &[0, 1]).unwrap().as_ref(), &values);
        assert!(got[4].starts_with("3! no Arrow IPC stream: "), "{got:?}");
        let rest = [&got[..4], &got[5..]].concat();
        assert_eq!(
            rest,
            [
                "0: 2|b",
                "1! a tombstone: the message has no value",
                "2: 1|a",
                "2: 2|b",
                "4: 3|NULL",
                "4! column 'id': 4.5 is no BIGINT",
                "6: 1|a",
            ]
        );
    }
}
