//! One CSV record a message, without a header: the fields are the columns in declared order.
//!
//! A value may end with a line break. Values in which quotes are where they should be are lines of one text; any other is read
//! by itself, so that a quote left open takes no neighbour with it.

use std::sync::Arc;

use arrow::array::{BinaryArray, BinaryBuilder, RecordBatch};
use pelton_engine::connector::{Decoded, Options, ReadRequest, Table};
use pelton_engine::error::Result;

use super::super::text::{Records, TextFile};
use super::super::{CsvSyntax, Format, csv};
use super::json::no_file;
use super::lines::{Lines, without_line};
use super::{EMPTY, MessageDecoder, MessageEncoder, TOMBSTONE, not_encoded};

/// How messages are written: never with a header, and `#` is no comment.
fn syntax(options: &Options) -> Result<CsvSyntax> {
    Ok(CsvSyntax { header: false, comments: false, ..CsvSyntax::read(options)? })
}

/// Reads CSV.
pub struct CsvMessages {
    records: Arc<dyn Records>,
    syntax: CsvSyntax,
    /// Fields of a record.
    width: usize,
}

impl CsvMessages {
    /// A reader of the columns that are wanted of a table.
    pub fn new(options: &Options, table: &Table, request: &ReadRequest) -> Result<Self> {
        let syntax = syntax(options)?;
        let (file, wanted) = no_file(table, request, Format::Csv, syntax.clone());
        let text = TextFile::over(&file, Box::new(std::io::empty()));
        let (records, _) = csv::over(text, &file, &wanted)?.into_parts();
        Ok(CsvMessages { records, syntax, width: table.schema.fields().len() })
    }

    /// What is wrong with a value that is not one record.
    fn fault(&self, value: &[u8]) -> String {
        let decoded = self.records.decode(value, 1);
        match decoded.bad.as_slice() {
            [bad] if decoded.records == 1 => without_line(&bad.reason).to_string(),
            _ => "holds a line break outside quotes: a message is one record".into(),
        }
    }
}

/// A value without a line break at its end.
fn without_break(value: &[u8]) -> &[u8] {
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    value.strip_suffix(b"\r").unwrap_or(value)
}

impl MessageDecoder for CsvMessages {
    fn decode(&self, values: &BinaryArray) -> Decoded {
        let mut lines = Lines::default();
        for (at, value) in values.iter().enumerate() {
            match value.map(without_break) {
                None => lines.refuse(values, at, TOMBSTONE),
                Some([]) => lines.refuse(values, at, EMPTY),
                Some(value) if self.syntax.is_one_record(value, self.width) => lines.push(at, value),
                Some(value) => lines.refuse(values, at, self.fault(value)),
            }
        }
        lines.decode(values, self.records.as_ref())
    }
}

/// Writes CSV: NULL is an empty field (or the null literal), an empty string is `""`.
pub struct CsvEncoder {
    syntax: CsvSyntax,
}

impl CsvEncoder {
    /// A writer of the syntax that the options say.
    pub fn new(options: &Options) -> Result<Self> {
        Ok(CsvEncoder { syntax: syntax(options)? })
    }
}

impl MessageEncoder for CsvEncoder {
    fn encode(&mut self, rows: &RecordBatch) -> Result<BinaryArray> {
        let mut values = BinaryBuilder::new();
        self.syntax.each_row(rows, |record| values.append_value(record)).map_err(not_encoded)?;
        Ok(values.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests_of_messages::{check, open, options, show};
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    fn columns() -> Schema {
        Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
            Field::new("note", DataType::Utf8, true),
        ])
    }

    #[test]
    fn a_quote_left_open_takes_no_neighbour() {
        let decoder = open(columns(), &[("format", "csv")], &[0, 1, 2]).unwrap();
        let values: [Option<&[u8]>; 13] = [
            Some(b"1,a,b"),
            Some(b"2,\"a"),
            Some(b"b\",c"),
            None,
            Some(b""),
            Some(b"3,\"x\ny\",z\r\n"),
            Some(b"4,a,b\n5,a,b"),
            Some(b"\n6,a,b"),
            Some(b"7,a"),
            Some(b"#8,a,b"),
            Some(b"9,a\"b,\"c\""),
            Some(b"10,\xff,c"),
            Some(b"11,,\"\""),
        ];
        assert_eq!(
            check(decoder.as_ref(), &values),
            [
                "0: 1|a|b",
                "1! column 'name': the quote is not closed",
                "2! has 2 fields instead of 3",
                "3! a tombstone: the message has no value",
                "4! the message is empty",
                "5: 3|x\ny|z",
                "6! holds a line break outside quotes: a message is one record",
                "7! holds a line break outside quotes: a message is one record",
                "8! has 2 fields instead of 3",
                "9! column 'id': '#8' is no BIGINT",
                "10: 9|a\"b|c",
                "11! column 'name': not UTF-8",
                "12: 11|NULL|",
            ]
        );
    }

    #[test]
    fn rows_come_back() {
        let rows = RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from(vec![Some(1), None])) as _),
            ("name", Arc::new(StringArray::from(vec![Some("a;\nb"), None])) as _),
            ("note", Arc::new(StringArray::from(vec!["", "\"c\""])) as _),
        ]);
        let pairs = [("format", "csv"), ("csv.field-delimiter", ";")];
        let values = CsvEncoder::new(&options(&pairs)).unwrap().encode(&rows.unwrap()).unwrap();
        assert_eq!(values.value(0), b"1;\"a;\nb\";\"\"");
        assert_eq!(values.value(1), b";;\"\"\"c\"\"\"");
        let decoder = open(columns(), &pairs, &[0, 1, 2]).unwrap();
        assert_eq!(show(decoder.decode(&values), 0), ["0: 1|a;\nb|", "1: NULL|NULL|\"c\""]);
    }
}
