//! JSON lines: one object a line. Blank lines are no records; fields that are not columns are skipped, columns that are
//! not there are NULL. Names are compared exactly, unless the file's first records spell a column in another case only.
//!
//! Records in which everything is plain go straight into columns (`quick`). The others take the slow way, which says what
//! a record means: scalars are decoded as text first and then converted as CSV's are, so that a value that does not fit is
//! known by column and record; what is no JSON, or has an object where a scalar belongs, is found by halving.

mod quick;

use std::cell::OnceCell;
use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::reader::{Decoder, ReaderBuilder};
use pelton_engine::connector::Decoded;
use pelton_engine::error::{Error, Result};
use pelton_kernels::cpu::{Level, level};
use serde_json::Value;

use super::compression::Finish;
use super::convert::Origin;
use super::infer::{self, Shape};
use super::text::{Line, Records, TextFile, TextPieces, line_at};
use super::{CsvSyntax, Format, InputFile, Out, Rows, Wanted, WriteError, few, find_column};

/// How many records at the start of a file are looked at for the spelling of its names.
const SPELLING_RECORDS: usize = 20;

/// The records of one file.
pub struct JsonRecords {
    wanted: Arc<Wanted>,
    file: Arc<InputFile>,
    /// What the decoder makes: the wanted columns as spelled in the file, scalars as text.
    raw: SchemaRef,
    /// The wanted columns, if records can go straight into them.
    shape: Option<quick::Shape>,
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
    let records = JsonRecords::new(file, wanted, &spelled(text.pending()));
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

/// The STRING columns of `schema` that have few values in the first records of a file: those that dictionaries are good for.
pub fn few_values(file: &InputFile, schema: &Schema) -> Vec<usize> {
    let file = Arc::new(file.clone());
    let Ok(mut text) = TextFile::open(&file) else { return vec![] };
    text.fill(few::SAMPLE_BYTES);
    let text = text.pending();
    let wanted = few::wanted(schema, Format::Json, CsvSyntax::default());
    let records = JsonRecords::new(&file, &wanted, &spelled(text));
    let whole = &text[..records.cut(text, false)];
    let part = records.shape.as_ref().and_then(|shape| quick::Lines::new(shape, whole, 1, level()).next(usize::MAX));
    part.map_or(vec![], |part| few::columns(&wanted, &part))
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
        if at_end { text.len() } else { memchr::memrchr(b'\n', text).map_or(0, |at| at + 1) }
    }

    fn count(&self, text: &[u8]) -> u64 {
        records_of(text, 1).len() as u64
    }

    fn decode(&self, text: &[u8], line: u64) -> Decoded {
        match &self.shape {
            Some(shape) => self.decode_quickly(shape, text, line, level()),
            None => self.decode_slowly(text, line),
        }
    }
}

impl JsonRecords {
    /// The records of a file whose first records have fields of these names.
    fn new(file: &Arc<InputFile>, wanted: &Arc<Wanted>, names: &[String]) -> Self {
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
        let raw = Arc::new(Schema::new(fields));
        let shape = quick::Shape::new(&wanted.schema, &raw);
        JsonRecords { wanted: wanted.clone(), file: file.clone(), raw, shape }
    }

    /// Decodes records, those that are not plain the slow way.
    fn decode_quickly(&self, shape: &quick::Shape, text: &[u8], line: u64, level: Level) -> Decoded {
        let mut out = Out::new(&self.wanted);
        let lines = OnceCell::new();
        let line_of = |record: u32| lines.get_or_init(|| records_of(text, line))[record as usize];
        let mut parts = quick::Lines::new(shape, text, line, level);
        let (mut records, mut broken) = (0, None);
        while let Some(part) = parts.next(self.wanted.decode_rows()) {
            let first = part.first;
            records = first + part.records;
            let done = out.part(part, text, Origin::Json, &self.file, line_of, |odd, out| {
                let (records, lines): (Vec<u32>, Vec<Line>) = odd.iter().copied().unzip();
                self.fit_slowly(text, &lines, &records, out)
            });
            if let Err(cause) = done {
                let number = line_of(first).number;
                broken = Some(self.file.broken(format!("cannot be decoded from line {number}")).because(cause));
            }
        }
        out.done(records.into(), broken)
    }

    /// Decodes all records the slow way.
    fn decode_slowly(&self, text: &[u8], line: u64) -> Decoded {
        let lines = records_of(text, line);
        let mut out = Out::new(&self.wanted);
        let mut broken = None;
        let rows = self.wanted.decode_rows();
        for (first, lines) in (0..).step_by(rows).zip(lines.chunks(rows)) {
            let records: Vec<u32> = (first..first + lines.len() as u32).collect();
            let done =
                self.fit_slowly(text, lines, &records, &mut out).and_then(|(batch, at)| out.push(batch, Some(at)));
            if let Err(cause) = done {
                let number = lines[0].number;
                broken = Some(self.file.broken(format!("cannot be decoded from line {number}")).because(cause));
            }
        }
        out.done(lines.len() as u64, broken)
    }

    /// The good rows of some records, decoded the slow way, and which records these are; bad ones are noted in `out`.
    fn fit_slowly(
        &self,
        text: &[u8],
        lines: &[Line],
        records: &[u32],
        out: &mut Out,
    ) -> Result<(RecordBatch, Vec<u32>), ArrowError> {
        let place = |line: Line| format!("line {} of '{}'", line.number, self.file);
        let mut attempt = Attempt { records: self, text, lines, good: vec![], bad: vec![] };
        attempt.decode(0, lines.len());
        for (at, reason) in attempt.bad {
            out.bad(records[at], format!("{reason} ({})", place(lines[at])), lines[at].of(text));
        }
        if attempt.good.is_empty() {
            return Ok((RecordBatch::new_empty(self.wanted.schema.clone()), vec![]));
        }
        let at: Vec<usize> = attempt.good.iter().flat_map(|(first, b)| *first..first + b.num_rows()).collect();
        let good = match attempt.good.as_slice() {
            [(_, batch)] => batch.clone(),
            good => concat_batches(&self.raw, good.iter().map(|(_, batch)| batch))?,
        };
        let columns = good.columns().iter().take(self.wanted.columns.len()).map(|c| Some(c.clone())).collect();
        let good: Vec<u32> = at.iter().map(|&at| records[at]).collect();
        // Misfits are named by record: of these, the lines are known.
        let line_of = |record: u32| lines[records.binary_search(&record).expect("one of them")];
        let bytes = |row: usize| lines[at[row]].of(text).to_vec();
        out.fit(columns, at.len(), &Rows::At(&good), Origin::Json, |record| place(line_of(record)), bytes)
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
        // Room for one more, so that what follows the last record is seen as behind the others.
        let builder =
            ReaderBuilder::new(self.records.raw.clone()).with_batch_size(to - from + 1).with_coerce_primitive(true);
        let mut decoder = builder.build_decoder().map_err(|e| (from, e.to_string()))?;
        for record in from..to {
            let line = self.lines[record].of(self.text);
            let parsed = decoder.decode(line);
            let values = decoder.len() - (record - from);
            match parsed {
                // Whatever it is: what is made of it depends on how much room is left.
                _ if values > 1 => return Err((record, "no JSON: something follows the object".into())),
                Err(e) => return Err((record, format!("no JSON: {}", plain(&e)))),
                Ok(_) if decoder.has_partial_record() => {
                    return Err((record, "no JSON: the object is not closed".into()));
                }
                Ok(taken) if values < 1 || !line[taken..].trim_ascii().is_empty() => {
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
        let line = self.lines[record].of(self.text);
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
fn plain(error: &ArrowError) -> String {
    match error {
        ArrowError::JsonError(text) => text.clone(),
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
    use super::super::dice::{Dice, all, no_file};
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
    fn columns_of_few_values() {
        let mut text = String::new();
        for i in 0..100 {
            text += &format!("{{\"country\":\"{}\",\"name\":\"n{i}\",\"n\":{i}}}\n", ["US", "DE"][i % 2]);
        }
        let field = |name: &str, t: DataType| Field::new(name, t, true);
        let schema = Schema::new(vec![
            field("n", DataType::Int64),
            field("name", DataType::Utf8),
            field("Country", DataType::Utf8),
            field("none", DataType::Utf8),
        ]);
        assert_eq!(few_values(&Case::new("a.json", text.as_bytes(), Format::Json).file(), &schema), [2, 3]);
        assert!(few_values(&Case::new("a.json", b"", Format::Json).file(), &schema).is_empty());
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

    impl Dice {
        fn text(&mut self) -> String {
            let escapes = [
                "\\n",
                "\\\"",
                "\\\\",
                "\\/",
                "\\u00e9",
                "\\ud83d\\ude00",
                "\\ud83d",
                "\\udc00",
                "\\u12",
                "\\x",
                "\t",
                "\u{7f}",
            ];
            match self.below(10) {
                0 => self.time(),
                1 => self.number(),
                2 => format!("{}{}{}", self.word(), self.one(&escapes), self.word()),
                _ => self.word(),
            }
        }

        fn value(&mut self, depth: usize) -> String {
            match self.below(if depth == 0 { 12 } else { 10 }) {
                0 => self.one(&["null", "true", "false"]).into(),
                1 if self.below(10) == 0 => self.one(&["nul", "truee", "nan", "", "x", "False"]).into(),
                10 => self.object(depth + 1),
                11 => {
                    let count = self.below(4);
                    let values: Vec<String> = (0..count).map(|_| self.value(1)).collect();
                    format!("[{}]", values.join(self.one(&[",", ",", ",", ", ", ",,"])))
                }
                2..=5 => self.number(),
                _ => format!("\"{}\"", self.text()),
            }
        }

        fn object(&mut self, depth: usize) -> String {
            let count = self.below(4);
            let fields: Vec<String> = (0..count).map(|i| format!("\"k{i}\":{}", self.value(depth))).collect();
            format!("{{{}}}", fields.join(","))
        }

        /// A value that mostly fits the type.
        fn fitting(&mut self, t: &DataType) -> String {
            if self.below(12) == 0 {
                return self.value(0);
            }
            match t {
                t if t.is_integer() => {
                    let most = self.one(&[2, 2, 2, 2, 2, 2, 2, 19]);
                    self.digits(most)
                }
                t if t.is_floating() => format!("{}.{}", self.digits(4), self.digits(2)),
                DataType::Decimal128(..) => format!("{}.{}", self.digits(4), self.digits(2)),
                DataType::Boolean => self.one(&["true", "false"]).into(),
                DataType::Timestamp(..) if self.below(2) == 0 => self.digits(17),
                DataType::Timestamp(..) => {
                    format!("\"2024-01-{:02}T03:{:02}:05.{}Z\"", 1 + self.below(31), self.below(60), self.digits(6))
                }
                DataType::Date32 => format!("\"19{:02}-0{}-1{}\"", self.below(100), 1 + self.below(9), self.below(10)),
                _ => format!("\"{}\"", self.text()),
            }
        }

        /// Records with fields in mostly the same order, and now and then a broken byte.
        fn lines(&mut self, schema: &Schema) -> Vec<u8> {
            let (comma, colon) = self.one(&[(",", ":"), (", ", ": "), (" ,", "\t: ")]);
            let end = self.one(&["\n", "\n", "\r\n"]);
            let wild = self.one(&[5, 50, 1000]);
            let mut text = vec![];
            for _ in 0..self.below(60) {
                let mut fields = vec![];
                for field in schema.fields() {
                    if self.below(wild) == 0 {
                        continue;
                    }
                    fields.push(format!("\"{}\"{colon}{}", field.name(), self.fitting(field.data_type())));
                    if self.below(wild) == 0 {
                        fields.push(fields[0].clone());
                    }
                    if field.name() == "b" {
                        fields.push(format!("\"other\"{colon}{}", self.value(0)));
                        fields.push(format!(
                            "\"nested\"{colon}{{\"a\":{},\"b\":[{},2]}}",
                            self.number(),
                            self.number()
                        ));
                    }
                }
                if self.below(wild) == 0 && !fields.is_empty() {
                    fields.rotate_left(1);
                }
                let mut line = format!("{{{}}}", fields.join(comma)).into_bytes();
                if self.below(wild) == 0 && !line.is_empty() {
                    let at = self.below(line.len());
                    match self.below(4) {
                        0 => line.truncate(at),
                        1 => line[at] = self.below(256) as u8,
                        2 => line.insert(at, self.one(b" \t\n\r{}[],:\"\\\xff\xc3e0")),
                        _ => drop(line.remove(at)),
                    }
                }
                text.extend(line);
                text.extend(self.one(&["", "", "", "", " ", "  \t"]).bytes());
                text.extend(end.bytes());
                if self.below(wild) == 0 {
                    text.extend(self.one(&["\n", "  \n", "{}\n", "null\n", "\r\n"]).bytes());
                }
            }
            if self.below(2) == 0 {
                text.truncate(text.trim_ascii_end().len());
            }
            text
        }
    }

    /// The quick way gives what the slow one does, at every level.
    fn check_both_ways(seed: u64) {
        let mut dice = Dice(seed);
        let names =
            ["a", "b", "c", "dé", "a long name that fills most of what is compared at once, and more of it", "f"];
        let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, dice.scalar_type(), true)).collect();
        let schema = Schema::new(fields);
        let columns: Vec<usize> = (0..names.len()).filter(|_| dice.below(3) > 0).collect();
        let mut wanted = Wanted::new(&schema, &columns, 7, Format::Json, Default::default());
        wanted.kept_only = columns.iter().copied().filter(|_| dice.below(6) == 0).collect();
        let text = dice.lines(&schema);
        let records = JsonRecords::new(&no_file("t.json"), &Arc::new(wanted), &[]);
        let slow = all(&records.decode_slowly(&text, 5));
        for level in [Level::Scalar, Level::Avx2, Level::Avx512].into_iter().filter(|l| *l <= level()) {
            let shape = records.shape.as_ref().expect("scalars only");
            let quick = all(&records.decode_quickly(shape, &text, 5, level));
            let shown = || format!("seed {seed} {level:?}\n{schema}\n{}", String::from_utf8_lossy(&text));
            assert_eq!(quick, slow, "{}", shown());
        }
    }

    proptest::proptest! {
        #[test]
        fn both_ways_agree(seed: u64) {
            for step in 0..8 {
                check_both_ways(seed.wrapping_add(step));
            }
        }
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
