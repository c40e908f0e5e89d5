//! One JSON object a message. What a value means is what it means in a file of JSON lines; names are compared exactly.
//! A line break inside a message is white space.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{BinaryArray, BinaryBuilder, RecordBatch};
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use pelton_engine::connector::{Decoded, ReadRequest, Table};
use pelton_engine::error::Result;

use super::super::compression::Compression;
use super::super::text::{Records, TextFile};
use super::super::{CsvSyntax, Format, InputFile, Wanted, json};
use super::lines::{Lines, NO_FILE};
use super::{EMPTY, MessageDecoder, MessageEncoder, TOMBSTONE, not_encoded};

/// The file that messages are said to be lines of, and what is wanted of it.
pub(super) fn no_file(
    table: &Table,
    request: &ReadRequest,
    format: Format,
    csv: CsvSyntax,
) -> (Arc<InputFile>, Arc<Wanted>) {
    let mut wanted = Wanted::new(&table.schema, &request.columns, request.batch_rows, format, csv);
    wanted.kept_only = request.kept_only.clone();
    let file =
        InputFile { path: PathBuf::from(NO_FILE), size_bytes: 0, modified: None, compression: Compression::None };
    (Arc::new(file), Arc::new(wanted))
}

/// Reads JSON.
pub struct JsonMessages {
    records: Arc<dyn Records>,
}

impl JsonMessages {
    /// A reader of the columns that are wanted of a table.
    pub fn new(table: &Table, request: &ReadRequest) -> Result<Self> {
        let (file, wanted) = no_file(table, request, Format::Json, CsvSyntax::default());
        // Without a text to look at, names are as declared.
        let text = TextFile::over(&file, Box::new(std::io::empty()));
        let (records, _) = json::over(text, &file, &wanted)?.into_parts();
        Ok(JsonMessages { records })
    }
}

impl MessageDecoder for JsonMessages {
    fn decode(&self, values: &BinaryArray) -> Decoded {
        let mut lines = Lines::default();
        for (at, value) in values.iter().enumerate() {
            match value {
                None => lines.refuse(values, at, TOMBSTONE),
                Some(value) if value.trim_ascii().is_empty() => lines.refuse(values, at, EMPTY),
                Some(value) => lines.push_in_one_line(at, value),
            }
        }
        lines.decode(values, self.records.as_ref())
    }
}

/// Writes JSON: NULLs are written, NaN and infinities become `null`.
pub struct JsonEncoder;

impl MessageEncoder for JsonEncoder {
    fn encode(&mut self, rows: &RecordBatch) -> Result<BinaryArray> {
        let mut text = vec![];
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut text);
        writer.write(rows).and_then(|()| writer.finish()).map_err(not_encoded)?;
        drop(writer);
        let mut values = BinaryBuilder::with_capacity(rows.num_rows(), text.len());
        // JSON has no line break but between objects.
        text.split(|b| *b == b'\n').take(rows.num_rows()).for_each(|line| values.append_value(line));
        Ok(values.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests_of_messages::{check, open};
    use super::*;
    use arrow::array::{Float64Array, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    fn columns() -> Schema {
        Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("name", DataType::Utf8, true)])
    }

    #[test]
    fn messages_stay_one_to_one() {
        let decoder = open(columns(), &[("format", "json")], &[0, 1]).unwrap();
        let values: [Option<&[u8]>; 14] = [
            Some(b"{\"id\": 1, \"name\": \"a\"}"),
            None,
            Some(b""),
            Some(b" \r\n"),
            Some(b"{\n  \"id\": 2,\r\n  \"name\": \"b\"\n}\n"),
            Some(b"{\"id\": 3"),
            Some(b", \"name\": \"c\"}"),
            Some(b"{\"id\": 4}{\"id\": 5}"),
            Some(b"{\"id\": 6}\n{\"id\": 7}"),
            Some(b"[{\"id\": 8}]"),
            Some(b"{\"id\": \"x\"}"),
            Some(b"{\"ID\": 9}"),
            Some(b"\xff"),
            Some(b"{\"id\": 10}"),
        ];
        assert_eq!(
            check(decoder.as_ref(), &values),
            [
                "0: 1|a",
                "1! a tombstone: the message has no value",
                "2! the message is empty",
                "3! the message is empty",
                "4: 2|b",
                "5! no JSON: the object is not closed",
                "6! no JSON: Encountered unexpected ',' whilst parsing value",
                "7! no JSON: something follows the object",
                "8! no JSON: something follows the object",
                "9! no JSON object: [{\"id\":8}]",
                "10! column 'id': 'x' is no BIGINT",
                "11: NULL|NULL",
                "12! no JSON: Encountered unexpected 'ÿ' whilst parsing value",
                "13: 10|NULL",
            ]
        );
    }

    #[test]
    fn counting_needs_no_column() {
        let decoder = open(columns(), &[("format", "json")], &[]).unwrap();
        assert_eq!(check(decoder.as_ref(), &[Some(b"{}"), None, Some(b"{\"id\": \"x\"}")]).len(), 3);
    }

    #[test]
    fn rows_become_objects() {
        let rows = RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from(vec![Some(1), None])) as _),
            ("name", Arc::new(StringArray::from(vec!["a\nb", "c"])) as _),
            ("x", Arc::new(Float64Array::from(vec![f64::NAN, 0.5])) as _),
        ]);
        let values = JsonEncoder.encode(&rows.unwrap()).unwrap();
        assert_eq!(values.value(0), br#"{"id":1,"name":"a\nb","x":null}"#);
        assert_eq!(values.value(1), br#"{"id":null,"name":"c","x":0.5}"#);
    }
}
