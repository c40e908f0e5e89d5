//! CSV: RFC 4180 with any delimiter and quote.
//!
//! - A record ends at a line break outside quotes; blank lines are no records. A quote opens only at the start of a field
//!   and is doubled inside one.
//! - An unquoted empty field, or one equal to `csv.null-literal`, is NULL, for strings too; `""` is an empty string (and
//!   NULL in any other type).
//! - With a header, columns go by name and every record has as many fields as the header; without, they go by position
//!   and every record has as many fields as the table has columns. More or fewer: a bad record.
//! - A quoted field may span lines, but only if the record then is a good one. A quote that is never closed, or whose
//!   record comes out with a wrong number of fields, spoils its own line and not those after it.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use pelton_engine::connector::Decoded;
use pelton_engine::error::Result;

use super::compression::Finish;
use super::convert::{Origin, is_text};
use super::infer::{self, Shape};
use super::text::{Records, TextFile, TextPieces, find_byte, line_at, newlines};
use super::{CsvSyntax, InputFile, Out, Rows, Wanted, WriteError, locate};

/// A record in quotes may be this long; a quote that stays open longer counts as a stray one.
const QUOTED_BYTES_MAX: usize = 4 << 20;

/// One field of a record.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// First byte, after an opening quote.
    start: usize,
    /// After the last byte, before a closing quote.
    end: usize,
    quoted: bool,
    /// Holds doubled quotes.
    doubled: bool,
}

/// What is at a place in the text.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Found {
    /// A record until `end` (without its line break); the next thing is at `next`.
    Record { end: usize, next: usize },
    /// No record: a blank line or a comment.
    Nothing { next: usize },
    /// A record whose quoted field goes on past the text; only if the text goes on.
    Open,
}

/// Why a record can't be split.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    NotClosed { field: usize },
    AfterQuote { field: usize },
}

impl CsvSyntax {
    /// Splits one record (or, with several lines, as much as is quoted together) at `from`. The slots' places count from
    /// the start of `text`. Answers where the record ends.
    fn split(&self, text: &[u8], from: usize, limit: usize, slots: &mut Vec<Slot>) -> Result<(usize, usize), Fault> {
        slots.clear();
        let mut at = from;
        loop {
            if self.quote.is_some() && text.get(at) == self.quote.as_ref() {
                let quote = text[at];
                let (start, mut doubled) = (at + 1, false);
                let mut look = start;
                let end = loop {
                    let window = text.get(look..text.len().min(limit)).unwrap_or_default();
                    let Some(found) = find_byte(quote, window) else {
                        return Err(Fault::NotClosed { field: slots.len() });
                    };
                    let end = look + found;
                    if text.get(end + 1) == Some(&quote) {
                        doubled = true;
                        look = end + 2;
                    } else {
                        break end;
                    }
                };
                slots.push(Slot { start, end, quoted: true, doubled });
                at = end + 1;
                match text.get(at) {
                    None => return Ok((at, at)),
                    Some(b'\n') => return Ok((at, at + 1)),
                    Some(b'\r') if matches!(text.get(at + 1), None | Some(b'\n')) => {
                        return Ok((at, text.len().min(at + 2)));
                    }
                    Some(&b) if b == self.delimiter => at += 1,
                    Some(_) => return Err(Fault::AfterQuote { field: slots.len() - 1 }),
                }
            } else {
                let start = at;
                while at < text.len() && text[at] != self.delimiter && text[at] != b'\n' {
                    at += 1;
                }
                let delimited = text.get(at) == Some(&self.delimiter);
                let end = if !delimited && at > start && text[at - 1] == b'\r' { at - 1 } else { at };
                slots.push(Slot { start, end, quoted: false, doubled: false });
                if !delimited {
                    return Ok((end, text.len().min(at + 1)));
                }
                at += 1;
            }
        }
    }

    /// What is at `from`. A record of several lines must have `width` fields (if known), else its first line alone is one.
    fn find(&self, text: &[u8], from: usize, at_end: bool, width: Option<usize>, slots: &mut Vec<Slot>) -> Found {
        let (end, next) = line_at(text, from);
        let line = &text[from..end];
        if line.is_empty() || (self.comments && line[0] == b'#') {
            return Found::Nothing { next };
        }
        let Some(quote) = self.quote else { return Found::Record { end, next } };
        if find_byte(quote, line).is_none() {
            return Found::Record { end, next };
        }
        let limit = from.saturating_add(QUOTED_BYTES_MAX);
        match self.split(text, from, limit, slots) {
            Ok((end, next)) if newlines(&text[from..end]) == 0 || width.is_none_or(|w| w == slots.len()) => {
                // A quote at the very end of the text may yet turn out to be the first of two.
                if next == text.len() && end == next && !at_end { Found::Open } else { Found::Record { end, next } }
            }
            Err(Fault::NotClosed { .. }) if !at_end && text.len() < limit => Found::Open,
            _ => Found::Record { end, next },
        }
    }
}

/// The records of one file.
pub struct CsvRecords {
    wanted: Arc<Wanted>,
    file: Arc<InputFile>,
    /// How many fields every record has.
    width: usize,
    /// The field of each wanted column; `None` if the file lacks it.
    places: Vec<Option<usize>>,
    /// Names of the fields, for messages.
    names: Vec<String>,
}

/// Opens a file: reads its header, if it has one.
pub fn open(file: &Arc<InputFile>, wanted: &Arc<Wanted>) -> Result<TextPieces<CsvRecords>> {
    over(TextFile::open(file)?, file, wanted)
}

/// Goes on with a text that is open.
pub fn over(mut text: TextFile, file: &Arc<InputFile>, wanted: &Arc<Wanted>) -> Result<TextPieces<CsvRecords>> {
    let (names, places) = if wanted.csv.header {
        match read_header(&mut text, &wanted.csv)? {
            Some(names) => {
                let found = Schema::new(names.iter().map(|n| Field::new(n, DataType::Utf8, true)).collect::<Vec<_>>());
                let places = locate(file, wanted, &found)?;
                (names, places)
            }
            None => match text.failure_once() {
                Some(error) => return Err(error),
                None => (vec![], vec![None; wanted.columns.len()]),
            },
        }
    } else {
        let names = wanted.table.fields().iter().map(|f| f.name().clone()).collect();
        (names, wanted.columns.iter().map(|&i| Some(i)).collect())
    };
    let records = CsvRecords { wanted: wanted.clone(), file: file.clone(), width: names.len(), places, names };
    Ok(TextPieces::new(text, records, wanted.block_bytes))
}

/// Takes the header off the text; `None` if the text is empty.
fn read_header(text: &mut TextFile, syntax: &CsvSyntax) -> Result<Option<Vec<String>>> {
    let mut slots = vec![];
    let mut target = 1 << 16;
    loop {
        text.fill(target);
        let (mut from, whole) = (0, text.at_end());
        while from < text.pending().len() {
            match syntax.find(text.pending(), from, whole, None, &mut slots) {
                Found::Nothing { next } => from = next,
                Found::Open => break,
                Found::Record { next, .. } if next == text.pending().len() && !whole => break,
                Found::Record { end, next } => {
                    let mut scratch = String::new();
                    let names = match syntax.split(&text.pending()[..end], from, usize::MAX, &mut slots) {
                        Ok(_) => slots
                            .iter()
                            .map(|s| field(text.pending(), s, syntax, &mut scratch).trim().to_string())
                            .collect(),
                        Err(_) => vec![String::from_utf8_lossy(&text.pending()[from..end]).trim().to_string()],
                    };
                    text.take(next);
                    return Ok(Some(names));
                }
            }
        }
        // Reading on brings nothing: at the end, or failed.
        if whole || text.pending().len() < target {
            let rest = text.pending().len();
            text.take(rest);
            return Ok(None);
        }
        target *= 2;
    }
}

/// The text of a field, doubled quotes made single; what is no UTF-8 is replaced (callers that mind have checked).
fn field<'a>(text: &'a [u8], slot: &Slot, syntax: &CsvSyntax, scratch: &'a mut String) -> std::borrow::Cow<'a, str> {
    let raw = String::from_utf8_lossy(&text[slot.start..slot.end]);
    match syntax.quote {
        Some(quote) if slot.doubled => {
            scratch.clear();
            let quote = quote as char;
            let (mut parts, two) = (raw.as_ref(), [quote, quote].iter().collect::<String>());
            while let Some(at) = parts.find(&two) {
                scratch.push_str(&parts[..=at]);
                parts = &parts[at + 2..];
            }
            scratch.push_str(parts);
            std::borrow::Cow::Borrowed(scratch.as_str())
        }
        _ => raw,
    }
}

/// The columns that a file's header names, as Utf8; `None` for an empty file.
pub fn header_of(file: &InputFile, syntax: &CsvSyntax) -> Result<Option<SchemaRef>> {
    let mut text = TextFile::open(&Arc::new(file.clone()))?;
    match read_header(&mut text, syntax)? {
        Some(names) => Ok(Some(Arc::new(Schema::new(
            names.iter().map(|n| Field::new(n, DataType::Utf8, true)).collect::<Vec<_>>(),
        )))),
        None => text.failure_once().map_or(Ok(None), Err),
    }
}

/// Guesses the columns from the first records. Without a header they are called `column_1` and so on.
pub fn infer(file: &InputFile, syntax: &CsvSyntax) -> Result<Option<SchemaRef>> {
    let mut text = TextFile::open(&Arc::new(file.clone()))?;
    let names = match syntax.header {
        true => read_header(&mut text, syntax)?,
        false => None,
    };
    if syntax.header && names.is_none() {
        return text.failure_once().map_or(Ok(None), Err);
    }
    text.fill(Wanted::BLOCK_BYTES);
    let bytes = text.pending();
    let mut columns: Vec<(String, Shape)> =
        names.unwrap_or_default().into_iter().map(|n| (n, Shape::Unknown)).collect();
    let (mut slots, mut scratch, mut from, mut seen) = (vec![], String::new(), 0, 0);
    while from < bytes.len() && seen < infer::RECORDS_MAX {
        let width = (!columns.is_empty()).then_some(columns.len());
        let (end, next) = match syntax.find(bytes, from, text.at_end(), width, &mut slots) {
            Found::Nothing { next } => {
                from = next;
                continue;
            }
            Found::Open => break,
            Found::Record { next, .. } if next == bytes.len() && !text.at_end() => break,
            Found::Record { end, next } => (end, next),
        };
        if syntax.split(&bytes[..end], from, usize::MAX, &mut slots).is_ok() {
            if columns.is_empty() {
                columns = (1..=slots.len()).map(|i| (format!("column_{i}"), Shape::Unknown)).collect();
            }
            if slots.len() == columns.len() {
                for (slot, (_, shape)) in slots.iter().zip(&mut columns) {
                    let text = field(bytes, slot, syntax, &mut scratch);
                    if !is_null(&text, slot.quoted, syntax) {
                        shape.merge(Shape::of_text(&text));
                    }
                }
                seen += 1;
            }
        }
        from = next;
    }
    Ok((!columns.is_empty()).then(|| Arc::new(infer::schema(&columns))))
}

fn is_null(text: &str, quoted: bool, syntax: &CsvSyntax) -> bool {
    !quoted && (text.is_empty() || syntax.null_literal.as_deref() == Some(text))
}

impl Records for CsvRecords {
    fn cut(&self, text: &[u8], at_end: bool) -> usize {
        if at_end {
            return text.len();
        }
        let syntax = &self.wanted.csv;
        if syntax.quote.is_none_or(|quote| find_byte(quote, text).is_none()) {
            return text.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        }
        let (mut from, mut slots) = (0, vec![]);
        while from < text.len() {
            match syntax.find(text, from, false, Some(self.width), &mut slots) {
                // Without its line break a line may go on.
                Found::Record { next, .. } | Found::Nothing { next } if text[next - 1] == b'\n' => from = next,
                _ => break,
            }
        }
        from
    }

    fn count(&self, text: &[u8]) -> u64 {
        let (mut from, mut count, mut slots) = (0, 0, vec![]);
        while from < text.len() {
            match self.wanted.csv.find(text, from, true, Some(self.width), &mut slots) {
                Found::Nothing { next } => from = next,
                Found::Record { next, .. } => (from, count) = (next, count + 1),
                Found::Open => break,
            }
        }
        count
    }

    fn decode(&self, text: &[u8], line: u64) -> Decoded {
        let syntax = &self.wanted.csv;
        let mut out = Out::new(&self.wanted);
        let whole = std::str::from_utf8(text).ok();
        let mut columns: Vec<StringBuilder> = self.places.iter().map(|_| StringBuilder::new()).collect();
        // Of the good records so far: number, first byte, end, line.
        let mut good: Vec<(u32, usize, usize, u64)> = vec![];
        let (mut slots, mut scratch, mut from, mut line, mut record) = (vec![], String::new(), 0, line, 0_u32);
        let mut broken = None;
        while from < text.len() {
            let (end, next) = match syntax.find(text, from, true, Some(self.width), &mut slots) {
                Found::Record { end, next } => (end, next),
                Found::Nothing { next } => {
                    (from, line) = (next, line + 1);
                    continue;
                }
                Found::Open => break,
            };
            match self.fields_of(text, from, end, whole, &mut slots) {
                Ok(()) => {
                    for ((place, column), field_of) in
                        self.places.iter().zip(&mut columns).zip(self.wanted.schema.fields())
                    {
                        let Some(slot) = place.map(|place| &slots[place]) else { continue };
                        let value = match whole {
                            Some(whole) if !slot.doubled => std::borrow::Cow::Borrowed(&whole[slot.start..slot.end]),
                            _ => field(text, slot, syntax, &mut scratch),
                        };
                        let is_nothing = value.is_empty() && !is_text(field_of.data_type());
                        match is_nothing || is_null(&value, slot.quoted, syntax) {
                            true => column.append_null(),
                            false => column.append_value(value),
                        }
                    }
                    good.push((record, from, end, line));
                }
                Err(reason) => out.bad(record, format!("{reason} (line {line} of '{}')", self.file), &text[from..end]),
            }
            line += newlines(&text[from..next]);
            (from, record) = (next, record + 1);
            if good.len() == self.wanted.decode_rows() {
                broken = broken.or(self.flush(&mut out, &mut columns, &mut good, text));
            }
        }
        broken = broken.or(self.flush(&mut out, &mut columns, &mut good, text));
        out.done(record as u64, broken)
    }
}

impl CsvRecords {
    /// Splits a record, or says what is wrong with it.
    fn fields_of(
        &self,
        text: &[u8],
        from: usize,
        end: usize,
        whole: Option<&str>,
        slots: &mut Vec<Slot>,
    ) -> Result<(), String> {
        let named = |i: usize| self.names.get(i).map_or(format!("{}", i + 1), |n| format!("'{n}'"));
        match self.wanted.csv.split(&text[..end], from, usize::MAX, slots) {
            Err(Fault::NotClosed { field }) => return Err(format!("column {}: the quote is not closed", named(field))),
            Err(Fault::AfterQuote { field }) => {
                return Err(format!("column {}: text after the closing quote", named(field)));
            }
            Ok(_) if slots.len() != self.width => {
                return Err(format!("has {} fields instead of {}", slots.len(), self.width));
            }
            Ok(_) => {}
        }
        if whole.is_none() && std::str::from_utf8(&text[from..end]).is_err() {
            let field = slots.iter().position(|s| std::str::from_utf8(&text[s.start..s.end]).is_err());
            return Err(format!("column {}: not UTF-8", named(field.unwrap_or(0))));
        }
        Ok(())
    }

    /// Hands over the good records collected so far.
    fn flush(
        &self,
        out: &mut Out<'_>,
        columns: &mut [StringBuilder],
        good: &mut Vec<(u32, usize, usize, u64)>,
        text: &[u8],
    ) -> Option<pelton_engine::error::Error> {
        if good.is_empty() {
            return None;
        }
        let count = good.len();
        let arrays: Vec<Option<ArrayRef>> = self
            .places
            .iter()
            .zip(columns)
            .map(|(place, column)| place.map(|_| Arc::new(column.finish()) as ArrayRef))
            .collect();
        let at: Vec<u32> = good.iter().map(|g| g.0).collect();
        let gapless = at[count - 1] - at[0] == count as u32 - 1;
        let rows = if gapless { Rows::From(at[0]) } else { Rows::At(&at) };
        let line_of = |record: u32| good[at.binary_search(&record).expect("a row's record")].3;
        let place = |record: u32| format!("line {} of '{}'", line_of(record), self.file);
        let done = out.rows(arrays, count, rows, Origin::Csv, place, |row| text[good[row].1..good[row].2].to_vec());
        let failed =
            done.err().map(|e| self.file.broken(format!("cannot be decoded from line {}", good[0].3)).because(e));
        good.clear();
        failed
    }
}

/// Writes CSV with a header. NULL is an empty field (or the null literal), an empty string is `""`, quotes stand only
/// where they are needed.
pub struct CsvRows {
    into: Box<dyn Finish>,
    syntax: CsvSyntax,
}

impl CsvRows {
    /// A writer into a stream, which first gets the header if `header` (and the syntax) say so.
    pub fn new(into: Box<dyn Finish>, syntax: CsvSyntax, schema: &Schema, header: bool) -> Result<Self, WriteError> {
        let mut rows = CsvRows { into, syntax };
        if header && rows.syntax.header {
            let mut line = vec![];
            for (i, field) in schema.fields().iter().enumerate() {
                rows.put(&mut line, i, Some(field.name()));
            }
            rows.end(&mut line, 0);
            rows.into.write_all(&line)?;
        }
        Ok(rows)
    }

    fn put(&self, line: &mut Vec<u8>, column: usize, value: Option<&str>) {
        if column > 0 {
            line.push(self.syntax.delimiter);
        }
        let Some(value) = value else {
            line.extend(self.syntax.null_literal.as_deref().unwrap_or("").bytes());
            return;
        };
        let special = |b: u8| b == self.syntax.delimiter || b == b'\n' || b == b'\r' || Some(b) == self.syntax.quote;
        let comment = self.syntax.comments && column == 0 && value.starts_with('#');
        match self.syntax.quote {
            Some(quote) if comment || is_null(value, false, &self.syntax) || value.bytes().any(special) => {
                line.push(quote);
                for b in value.bytes() {
                    if b == quote {
                        line.push(quote);
                    }
                    line.push(b);
                }
                line.push(quote);
            }
            _ => line.extend(value.bytes()),
        }
    }

    /// Ends the line that began at `start`. A NULL alone in its line would make a blank one, which is no record: it
    /// becomes `""`.
    fn end(&self, lines: &mut Vec<u8>, start: usize) {
        if lines.len() == start {
            lines.extend(self.syntax.quote.into_iter().cycle().take(2));
        }
        lines.push(b'\n');
    }
}

impl super::RowWriter for CsvRows {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let options = FormatOptions::default();
        let formatters: Vec<_> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options)).collect::<Result<_, _>>()?;
        let nulls: Vec<_> = batch.columns().iter().map(|c| c.logical_nulls()).collect();
        let (mut lines, mut value) = (vec![], String::new());
        for row in 0..batch.num_rows() {
            let start = lines.len();
            for (column, formatter) in formatters.iter().enumerate() {
                if nulls[column].as_ref().is_some_and(|n| n.is_null(row)) {
                    self.put(&mut lines, column, None);
                } else {
                    value.clear();
                    formatter.value(row).write(&mut value)?;
                    self.put(&mut lines, column, Some(&value));
                }
            }
            self.end(&mut lines, start);
            if lines.len() > 1 << 16 {
                self.into.write_all(&lines)?;
                lines.clear();
            }
        }
        self.into.write_all(&lines)?;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        self.into.flush()?;
        Ok(self.into.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests_of_formats::Case;
    use super::*;
    use arrow::datatypes::TimeUnit;

    fn columns() -> Schema {
        Schema::new(vec![
            Field::new("id", DataType::Int32, true),
            Field::new("name", DataType::Utf8, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        ])
    }

    fn reasons(got: &super::super::tests_of_formats::Got) -> Vec<String> {
        got.bad.iter().map(|b| format!("{}: {}", b.record, b.reason)).collect()
    }

    #[test]
    fn good_and_bad_records() {
        let mut text = "\u{feff}name,id,at,rest\n\
            a,1,2024-01-02 03:04:05,\n\
            \n\
            \"b \"\"c\"\", d\ne\",2,2024-01-02T03:04:05.5,x\r\n\
            \"\",,,\n\
            short,3\n\
            long,4,,,,\n\
            f,x5,,\n\
            g,6,noon,\n\
            h 5\" i,99999999999,,\n\
            \"unclosed,8,,\n\
            j,9,,\n\
            \"k\"x,10,,\n\
            #l,11,,\n"
            .as_bytes()
            .to_vec();
        text.extend(b"\xff,12,,\nm,13,,");
        let case = Case::new("a.csv", &text, Format::Csv).declare(columns());
        let got = case.check_every_cut();
        assert_eq!(
            got.rows,
            [
                "0: 1|a|2024-01-02T03:04:05",
                "1: 2|b \"c\", d\ne|2024-01-02T03:04:05.500",
                "2: NULL||NULL",
                "9: 9|j|NULL",
                "11: 11|#l|NULL",
                "13: 13|m|NULL",
            ]
        );
        let file = case.shown();
        assert_eq!(
            reasons(&got),
            [
                format!("3: has 2 fields instead of 4 (line 7 of '{file}')"),
                format!("4: has 6 fields instead of 4 (line 8 of '{file}')"),
                format!("5: column 'id': 'x5' is no INT (line 9 of '{file}')"),
                format!("6: column 'at': 'noon' is no TIMESTAMP(3) (line 10 of '{file}')"),
                format!("7: column 'id': '99999999999' is no INT (line 11 of '{file}')"),
                format!("8: column 'name': the quote is not closed (line 12 of '{file}')"),
                format!("10: column 'name': text after the closing quote (line 14 of '{file}')"),
                format!("12: column 'name': not UTF-8 (line 16 of '{file}')"),
            ]
        );
        assert_eq!(got.bad[0].bytes, b"short,3");
        assert_eq!(got.bad[2].bytes, b"f,x5,,");
        assert_eq!(got.records, 14);
    }

    #[test]
    fn without_header_by_position() {
        let syntax = CsvSyntax {
            header: false,
            delimiter: b';',
            quote: Some(b'\''),
            null_literal: Some("NA".into()),
            comments: true,
        };
        let text = b"# note; with 'one quote\n1;'a;''b';2024-01-02\n2;NA;NA\n3;'NA';\n4;b\n";
        let case = Case::new("a.csv", text, Format::Csv).declare(columns()).syntax(syntax);
        let got = case.check_every_cut();
        assert_eq!(got.rows, ["0: 1|a;'b|2024-01-02T00:00:00", "1: 2|NULL|NULL", "2: 3|NA|NULL"]);
        assert_eq!(got.bad.len(), 1);
        let got = Case::new("a.csv", text, Format::Csv)
            .declare(columns())
            .syntax(case.syntax_of())
            .take(&[2])
            .check_every_cut();
        assert_eq!(got.rows, ["0: 2024-01-02T00:00:00", "1: NULL", "2: NULL"]);
    }

    #[test]
    fn no_columns_and_no_rows() {
        let case = Case::new("a.csv", b"id,name,at\n1,a,\n\n2\n", Format::Csv).declare(columns()).take(&[]);
        let got = case.check_every_cut();
        assert_eq!((got.rows.len(), got.bad.len()), (1, 1));
        for text in [&b""[..], b"\n\n", b"id,name,at", b"id,name,at\n"] {
            let got = Case::new("a.csv", text, Format::Csv).declare(columns()).check_every_cut();
            assert_eq!((got.rows.len(), got.records), (0, 0));
        }
    }

    #[test]
    fn a_stray_quote_spoils_one_line() {
        let mut text = "id,name,at\n".to_string();
        for i in 0..20_000 {
            text += &if i % 5000 == 7 { format!("{i},\"open,\n") } else { format!("{i},\"x\ny\",\n") };
        }
        let got = Case::new("a.csv", text.as_bytes(), Format::Csv).declare(columns()).take(&[0]).check_every_cut();
        assert_eq!(got.bad.len(), 4, "{:?}", reasons(&got));
        assert_eq!(got.rows.len(), 19_996);
    }

    #[test]
    fn guesses_columns() {
        let text = b"a,b,c,zip\n1,x,2024-01-02 03:04:05,01234\n2.5,\"y,\n\",,12345\n,,,\nbad\n";
        let schema = infer(&Case::new("a.csv", text, Format::Csv).file(), &CsvSyntax::default()).unwrap().unwrap();
        let found: Vec<String> = schema
            .fields()
            .iter()
            .map(|f| format!("{} {}", f.name(), super::super::convert::type_name(f.data_type())))
            .collect();
        assert_eq!(found, ["a DOUBLE", "b STRING", "c TIMESTAMP(6)", "zip STRING"]);
        let plain = CsvSyntax { header: false, ..CsvSyntax::default() };
        let schema = infer(&Case::new("a.csv", b"1,x\n2,y\n", Format::Csv).file(), &plain).unwrap().unwrap();
        assert_eq!(schema.field(1).name(), "column_2");
        assert!(infer(&Case::new("a.csv", b"", Format::Csv).file(), &plain).unwrap().is_none());
    }

    #[test]
    fn what_is_written_comes_back() {
        use arrow::array::{Int32Array, StringArray};
        let schema = Arc::new(Schema::new(vec![
            Field::new("i,d", DataType::Int32, true),
            Field::new("name", DataType::Utf8, true),
        ]));
        let names = [Some("a"), None, Some(""), Some("q\"uo,te\nline"), Some("NA"), Some("#x"), Some("cr\r")];
        let ids: Int32Array = (0..names.len() as i32).map(Some).collect();
        let batch =
            RecordBatch::try_new(schema.clone(), vec![Arc::new(ids), Arc::new(StringArray::from(names.to_vec()))])
                .unwrap();
        for null_literal in [None, Some("NA".to_string())] {
            let syntax = CsvSyntax { null_literal, comments: true, ..CsvSyntax::default() };
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("out.csv");
            let into = Box::new(std::fs::File::create(&path).unwrap());
            let mut writer =
                super::super::writer(Format::Csv, &syntax, Default::default(), &schema, into, false).unwrap();
            writer.write(&batch).unwrap();
            writer.finish().unwrap();
            let text = std::fs::read(&path).unwrap();
            let got = Case::new("b.csv", &text, Format::Csv)
                .declare(schema.as_ref().clone())
                .syntax(syntax)
                .check_every_cut();
            let want: Vec<String> = names
                .iter()
                .enumerate()
                .map(|(i, n)| format!("{i}: {i}|{}", n.map_or("NULL".to_string(), str::to_string)))
                .collect();
            assert_eq!(got.rows, want);
        }
    }
}
