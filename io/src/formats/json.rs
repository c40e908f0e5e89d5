//! JSON lines: one object a line. Blank lines are no records; fields that are not columns are skipped, columns that are
//! not there are NULL. Names are compared exactly, unless the file's first records spell a column in another case only.
//!
//! Scalars are decoded as text first and then converted as CSV's are, so that a value that does not fit is known by
//! column and record. What is no JSON, or has an object where a scalar belongs, is found by halving.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::reader::{Decoder, ReaderBuilder};
use pelton_engine::connector::Decoded;
use pelton_engine::error::{Error, Result};
use serde_json::Value;

use super::compression::Finish;
use super::convert::Origin;
use super::infer::{self, Shape};
use super::text::{Records, TextFile, TextPieces, line_at};
use super::{InputFile, Out, Rows, Wanted, WriteError, find_column};

/// How many records at the start of a file are looked at for the spelling of its names.
const SPELLING_RECORDS: usize = 20;

/// The records of one file.
pub struct JsonRecords {
    wanted: Arc<Wanted>,
    file: Arc<InputFile>,
    /// What the decoder makes: the wanted columns as spelled in the file, scalars as text.
    raw: SchemaRef,
}

/// Opens a file.
pub fn open(file: &Arc<InputFile>, wanted: &Arc<Wanted>) -> Result<TextPieces<JsonRecords>> {
    over(TextFile::open(file)?, file, wanted)
}

/// Goes on with a text that is open.
pub fn over(text: TextFile, file: &Arc<InputFile>, wanted: &Arc<Wanted>) -> Result<TextPieces<JsonRecords>> {
    if text.pending().trim_ascii_start().starts_with(b"[") {
        return Err(array_instead_of_lines(file));
    }
    let names = spelled(text.pending());
    let fields = wanted.schema.fields().iter().map(|field| {
        let name = match find_column(field.name(), names.iter().map(String::as_str)) {
            Some(i) => names[i].as_str(),
            None => field.name(),
        };
        Field::new(name, decodable(field.data_type()), true)
    });
    let mut fields: Vec<Field> = fields.collect();
    if fields.is_empty() {
        // The decoder wants a column. This one is in no file.
        fields.push(Field::new("\u{0}", DataType::Utf8, true));
    }
    let records = JsonRecords { wanted: wanted.clone(), file: file.clone(), raw: Arc::new(Schema::new(fields)) };
    Ok(TextPieces::new(text, records, wanted.block_bytes))
}

fn array_instead_of_lines(file: &InputFile) -> Error {
    file.broken("holds one JSON array, not one JSON object a line").hint("turn it into lines with: jq -c '.[]'")
}

/// Fails on a file that is JSON, but not of lines.
pub fn check(file: &InputFile) -> Result<()> {
    let text = TextFile::open(&Arc::new(file.clone()))?;
    if text.pending().trim_ascii_start().starts_with(b"[") { Err(array_instead_of_lines(file)) } else { Ok(()) }
}

/// Names of the fields of the first records.
fn spelled(text: &[u8]) -> Vec<String> {
    let mut names: Vec<String> = vec![];
    for record in records_of(text, 1).into_iter().take(SPELLING_RECORDS) {
        if let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(&text[record.start..record.end]) {
            for name in fields.into_iter().map(|(name, _)| name) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }
    names
}

/// The type the decoder makes of a column: text for scalars, and what it can for nested ones.
fn decodable(declared: &DataType) -> DataType {
    match declared {
        DataType::Dictionary(_, values) => decodable(values),
        nested if nested.is_nested() => nested.clone(),
        _ => DataType::Utf8,
    }
}

/// Guesses the columns from the first records.
pub fn infer(file: &InputFile) -> Result<Option<SchemaRef>> {
    let mut text = TextFile::open(&Arc::new(file.clone()))?;
    text.fill(Wanted::BLOCK_BYTES);
    let bytes = text.pending();
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(array_instead_of_lines(file));
    }
    let records = records_of(bytes, 1);
    // The last record may be cut by the block.
    let whole = if text.at_end() { records.len() } else { records.len().saturating_sub(1) };
    let mut columns = vec![];
    for record in &records[..whole.min(infer::RECORDS_MAX)] {
        if let Ok(value @ Value::Object(_)) = serde_json::from_slice::<Value>(&bytes[record.start..record.end])
            && let Value::Object(fields) = &value
        {
            infer::merge_fields(
                &mut columns,
                fields.iter().map(|(k, v)| (k.clone(), Shape::of_json(v, true))).collect(),
            );
        }
    }
    let some = !records.is_empty();
    if columns.is_empty()
        && let Some(error) = text.failure_once()
    {
        return Err(error);
    }
    if columns.is_empty() && some {
        return Err(file
            .broken("holds no JSON objects at its start")
            .hint("the format 'json' wants one object a line"));
    }
    if let Some(name) = infer::mixed(&columns) {
        return Err(Error::user(format!("file '{file}': column '{name}' holds objects or arrays beside other values"))
            .hint("declare the columns; one of a type that some records do not fit makes those dead letters"));
    }
    Ok((!columns.is_empty()).then(|| Arc::new(infer::schema(&columns))))
}

/// Bytes and line of a record.
#[derive(Clone, Copy)]
struct Line {
    start: usize,
    end: usize,
    number: u64,
}

/// The records of some text, from line number `line` on: its lines without the blank ones.
fn records_of(text: &[u8], line: u64) -> Vec<Line> {
    let (mut records, mut start, mut number) = (vec![], 0, line);
    while start < text.len() {
        let (end, next) = line_at(text, start);
        if !text[start..end].trim_ascii().is_empty() {
            records.push(Line { start, end, number });
        }
        (start, number) = (next, number + 1);
    }
    records
}

impl Records for JsonRecords {
    fn cut(&self, text: &[u8], at_end: bool) -> usize {
        if at_end { text.len() } else { text.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1) }
    }

    fn count(&self, text: &[u8]) -> u64 {
        records_of(text, 1).len() as u64
    }

    fn decode(&self, text: &[u8], line: u64) -> Decoded {
        let lines = records_of(text, line);
        let mut out = Out::new(&self.wanted);
        let place = |record: u32| format!("line {} of '{}'", lines[record as usize].number, self.file);
        let mut broken = None;
        for (start, lines_some) in (0..).step_by(self.wanted.decode_rows()).zip(lines.chunks(self.wanted.decode_rows()))
        {
            let mut attempt = Attempt { records: self, text, lines: &lines, good: vec![], bad: vec![] };
            attempt.decode(start, start + lines_some.len());
            for (record, reason) in attempt.bad {
                let line = lines[record];
                out.bad(record as u32, format!("{reason} ({})", place(record as u32)), &text[line.start..line.end]);
            }
            let good = attempt.good;
            if good.is_empty() {
                continue;
            }
            let batch = match good.as_slice() {
                [(_, batch)] => Ok(batch.clone()),
                _ => concat_batches(&self.raw, good.iter().map(|(_, batch)| batch)),
            };
            let at: Vec<u32> =
                good.iter().flat_map(|(first, batch)| (*first..first + batch.num_rows()).map(|r| r as u32)).collect();
            let rows = if good.len() == 1 { Rows::From(at[0]) } else { Rows::At(&at) };
            let bytes = |row: usize| {
                let line = lines[at[row] as usize];
                text[line.start..line.end].to_vec()
            };
            let done = batch.and_then(|batch| {
                let columns: Vec<Option<ArrayRef>> =
                    batch.columns().iter().take(self.wanted.columns.len()).map(|c| Some(c.clone())).collect();
                out.rows(columns, batch.num_rows(), rows, Origin::Json, place, bytes)
            });
            if let Err(cause) = done {
                broken = Some(
                    self.file.broken(format!("cannot be decoded from line {}", lines[start].number)).because(cause),
                );
            }
        }
        out.done(lines.len() as u64, broken)
    }
}

/// One try after the other to decode some records.
struct Attempt<'a> {
    records: &'a JsonRecords,
    text: &'a [u8],
    lines: &'a [Line],
    /// Batches of consecutive records, with their first one.
    good: Vec<(usize, RecordBatch)>,
    bad: Vec<(usize, String)>,
}

impl Attempt<'_> {
    /// Decodes records `from..to`. Each bad one costs at most a few decodings of its neighbours, however many they are.
    fn decode(&mut self, mut from: usize, to: usize) {
        while from < to {
            match self.feed(from, to) {
                Ok(decoder) => return self.flush(decoder, from, to),
                Err((record, reason)) => {
                    // No JSON from here: what is before it, is.
                    if from < record {
                        match self.feed(from, record) {
                            Ok(decoder) => self.flush(decoder, from, record),
                            Err((again, reason)) => self.bad.push((again, reason)),
                        }
                    }
                    self.bad.push((record, reason));
                    from = record + 1;
                }
            }
        }
    }

    /// Parses records; each line must be one object, or a string left open would swallow the next line.
    fn feed(&self, from: usize, to: usize) -> Result<Decoder, (usize, String)> {
        let builder =
            ReaderBuilder::new(self.records.raw.clone()).with_batch_size(to - from).with_coerce_primitive(true);
        let mut decoder = builder.build_decoder().map_err(|e| (from, e.to_string()))?;
        for record in from..to {
            let line = &self.text[self.lines[record].start..self.lines[record].end];
            let parsed = decoder.decode(line);
            let whole = !decoder.has_partial_record() && decoder.len() == record - from + 1;
            match parsed {
                Err(e) => return Err((record, format!("no JSON: {}", plain(&e)))),
                Ok(_) if decoder.has_partial_record() => {
                    return Err((record, "no JSON: the object is not closed".into()));
                }
                Ok(taken) if !whole || !line[taken..].trim_ascii().is_empty() => {
                    return Err((record, "no JSON: something follows the object".into()));
                }
                Ok(_) => {}
            }
        }
        Ok(decoder)
    }

    /// Makes columns of parsed records; on failure halves them until the bad ones are found.
    fn flush(&mut self, mut decoder: Decoder, from: usize, to: usize) {
        match decoder.flush() {
            Ok(Some(batch)) => self.good.push((from, batch)),
            Ok(None) => {}
            Err(e) if to - from == 1 => {
                let reason = self.why(from).unwrap_or_else(|| format!("no JSON: {}", plain(&e)));
                self.bad.push((from, reason));
            }
            Err(_) => {
                let middle = from + (to - from) / 2;
                for (from, to) in [(from, middle), (middle, to)] {
                    match self.feed(from, to) {
                        Ok(decoder) => self.flush(decoder, from, to),
                        Err((record, reason)) => self.bad.push((record, reason)),
                    }
                }
            }
        }
    }

    /// Why a record that is alone fails to become columns: names the first column that alone fails too.
    fn why(&self, record: usize) -> Option<String> {
        let line = &self.text[self.lines[record].start..self.lines[record].end];
        if std::str::from_utf8(line).is_err() {
            return Some("no JSON: not UTF-8".into());
        }
        let value: Value = serde_json::from_slice(line).ok()?;
        let Value::Object(object) = &value else {
            return Some(format!("no JSON object: {}", shortened(&value.to_string())));
        };
        self.records.wanted.schema.fields().iter().zip(self.records.raw.fields()).find_map(|(declared, raw)| {
            let alone = Arc::new(Schema::new(vec![raw.clone()]));
            let mut decoder = ReaderBuilder::new(alone).with_coerce_primitive(true).build_decoder().ok()?;
            decoder.decode(line).ok()?;
            decoder.flush().err()?;
            let wanted = super::convert::type_name(declared.data_type());
            let value = shortened(&object.get(raw.name())?.to_string());
            Some(format!("column '{}': {value} is no {wanted}", declared.name()))
        })
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() > 80 { text.chars().take(80).chain("…".chars()).collect() } else { text.to_string() }
}

/// Arrow's message without its prefix.
fn plain(error: &arrow::error::ArrowError) -> String {
    match error {
        arrow::error::ArrowError::JsonError(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Writes one object a line. NULLs are written; NaN and infinities become `null`, since JSON has no word for them.
pub struct JsonRows {
    into: Box<dyn Finish>,
}

impl JsonRows {
    /// A writer into a stream.
    pub fn new(into: Box<dyn Finish>) -> Self {
        JsonRows { into }
    }
}

impl super::RowWriter for JsonRows {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let mut writer = arrow::json::WriterBuilder::new()
            .with_explicit_nulls(true)
            .build::<_, arrow::json::writer::LineDelimited>(&mut self.into);
        writer.write(batch)?;
        writer.finish()?;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        self.into.flush()?;
        Ok(self.into.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests_of_formats::{Case, read};
    use super::*;
    use arrow::datatypes::TimeUnit;

    fn columns() -> Schema {
        Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
            Field::new("ok", DataType::Boolean, true),
            Field::new("x", DataType::Float64, true),
        ])
    }

    #[test]
    fn good_and_bad_records() {
        let text = concat!(
            r#"{"id":1,"name":"a","at":"2024-01-02T03:04:05.678Z","ok":true,"x":1.5,"other":[{}]}"#,
            "\n\n",
            r#"{"id":"2","name":7}"#,
            "\r\n",
            r#"{"id":1.5,"name":"fraction"}"#,
            "\n",
            r#"{"id":3,"name":"unclosed"#,
            "\n",
            r#"  {"id":4.0,"at":1000,"x":null,"name":null}  "#,
            "\n",
            r#"{"id":5}{"id":6}"#,
            "\n",
            r#"{"id":{"a":1}}"#,
            "\nnot json\n",
            r#"{"id":7,"at":"yesterday","ok":"maybe"}"#,
            "\n[1]\n5\n",
            "{\"id\":8,\"name\":\"\u{e9}\"}\n{\"id\":9,\"name\":\"",
        );
        let mut bytes = text.as_bytes().to_vec();
        bytes.extend(b"\xff\"}\n{\"id\":10}");
        let case = Case::new("a.json", &bytes, Format::Json).declare(columns());
        let got = case.check_every_cut();
        assert_eq!(
            got.rows,
            [
                "0: 1|a|2024-01-02T03:04:05.678|true|1.5",
                "1: 2|7|NULL|NULL|NULL",
                "4: 4|NULL|1970-01-01T00:00:01|NULL|NULL",
                "11: 8|é|NULL|NULL|NULL",
                "13: 10|NULL|NULL|NULL|NULL",
            ]
        );
        assert_eq!(got.records, 14);
        let reasons: Vec<String> = got.bad.iter().map(|b| format!("{}: {}", b.record, b.reason)).collect();
        let file = case.shown();
        assert_eq!(
            reasons,
            [
                format!("2: column 'id': '1.5' is no BIGINT (line 4 of '{file}')"),
                format!("3: no JSON: the object is not closed (line 5 of '{file}')"),
                format!("5: no JSON: something follows the object (line 7 of '{file}')"),
                format!("6: column 'id': {{\"a\":1}} is no BIGINT (line 8 of '{file}')"),
                format!("7: no JSON: Encountered unexpected 'o' whilst parsing literal (line 9 of '{file}')"),
                format!("8: column 'at': 'yesterday' is no TIMESTAMP(3) (line 10 of '{file}')"),
                format!("9: no JSON object: [1] (line 11 of '{file}')"),
                format!("10: no JSON: the object is not closed (line 12 of '{file}')"),
                format!("12: no JSON: not UTF-8 (line 14 of '{file}')"),
            ]
        );
        assert_eq!(got.bad[0].bytes, br#"{"id":1.5,"name":"fraction"}"#);
        assert_eq!(got.bad[1].bytes, br#"{"id":3,"name":"unclosed"#);
    }

    use super::super::Format;

    #[test]
    fn all_bad_and_no_column() {
        let text = "x\n".repeat(3000);
        let got = Case::new("a.json", text.as_bytes(), Format::Json).declare(columns()).check_every_cut();
        assert_eq!((got.rows.len(), got.bad.len(), got.records), (0, 3000, 3000));
        let got =
            Case::new("a.json", b"{\"id\":1}\n{}\nx\n", Format::Json).declare(columns()).take(&[]).check_every_cut();
        assert_eq!(got.rows, ["0: ", "1: "]);
        assert_eq!(got.bad.len(), 1);
    }

    #[test]
    fn names_in_another_case() {
        let got = Case::new("a.json", b"{\"ID\":1,\"Name\":\"a\"}\n", Format::Json)
            .declare(columns())
            .take(&[0, 1])
            .check_every_cut();
        assert_eq!(got.rows, ["0: 1|a"]);
    }

    #[test]
    fn nested_columns() {
        let item = Field::new_list_field(DataType::Int32, true);
        let schema = Schema::new(vec![
            Field::new("list", DataType::List(Arc::new(item)), true),
            Field::new("row", DataType::Struct(vec![Field::new("a", DataType::Utf8, true)].into()), true),
        ]);
        let text = b"{\"list\":[1,2],\"row\":{\"a\":\"x\"}}\n{\"list\":[\"y\"]}\n{\"row\":{}}\n";
        let got = Case::new("a.json", text, Format::Json).declare(schema).check_every_cut();
        assert_eq!(got.rows, ["0: [1, 2]|{a: x}", "2: NULL|{a: NULL}"]);
        assert!(got.bad[0].reason.starts_with("column 'list': [\"y\"] is no ARRAY<INT>"), "{}", got.bad[0].reason);
    }

    #[test]
    fn guesses_columns() {
        let text = b"{\"b\":1,\"a\":\"2024-01-02T03:04:05Z\"}\nnonsense\n{\"b\":2.5,\"c\":[1]}\n{\"d\":null}\n";
        let case = Case::new("a.json", text, Format::Json);
        let schema = infer(&case.file()).unwrap().unwrap();
        let found: Vec<String> = schema
            .fields()
            .iter()
            .map(|f| format!("{} {}", f.name(), super::super::convert::type_name(f.data_type())))
            .collect();
        assert_eq!(found, ["b DOUBLE", "a TIMESTAMP_LTZ(6)", "c ARRAY<BIGINT>", "d STRING"]);
        assert!(infer(&Case::new("a.json", b"", Format::Json).file()).unwrap().is_none());
        let array = infer(&Case::new("a.json", b"[{\"a\":1}]", Format::Json).file()).unwrap_err();
        assert!(array.to_string().contains("one JSON array"), "{array}");
        assert!(infer(&Case::new("a.json", b"nonsense\n", Format::Json).file()).is_err());
    }

    #[test]
    fn many_good_rows_around_a_bad_one() {
        let mut text = String::new();
        for i in 0..50_000 {
            text += &if i == 31_234 { "{\"id\":\"x\"}\n".to_string() } else { format!("{{\"id\":{i}}}\n") };
        }
        let got = read(&Case::new("a.json", text.as_bytes(), Format::Json).declare(columns()).take(&[0]));
        assert_eq!((got.rows.len(), got.bad.len()), (49_999, 1));
        assert!(got.bad[0].reason.contains("line 31235"), "{}", got.bad[0].reason);
        assert_eq!(got.rows[31_234], "31235: 31235");
    }
}
