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
//!
//! Records in which everything is plain go straight into columns (`quick`). The others take the slow way, which says what
//! a record means: fields are split as text, and converted column by column.

mod index;
mod quick;
#[cfg(test)]
mod tests;
mod write;

use std::cell::OnceCell;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use pelton_engine::connector::Decoded;
use pelton_engine::error::Result;
use pelton_kernels::cpu::{Level, level};

pub use self::write::CsvRows;
use super::convert::{Origin, is_text};
use super::infer::{self, Shape};
use super::text::{Line, Records, TextFile, TextPieces, find_byte, line_at, newlines};
use super::{CsvSyntax, Format, InputFile, Out, Rows, Wanted, few, locate};

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
    /// True if `text` is one record by itself, whatever text comes before and after its line.
    pub(super) fn is_one_record(&self, text: &[u8], width: usize) -> bool {
        let quoted = self.quote.is_some_and(|quote| find_byte(quote, text).is_some());
        if !quoted {
            return find_byte(b'\n', text).is_none();
        }
        let mut slots = vec![];
        match self.split(text, 0, QUOTED_BYTES_MAX, &mut slots) {
            Ok((_, next)) => next == text.len() && (find_byte(b'\n', text).is_none() || slots.len() == width),
            Err(_) => false,
        }
    }

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
    /// The wanted columns, if records can go straight into them.
    shape: Option<quick::Shape>,
}

/// Opens a file: reads its header, if it has one.
pub fn open(file: &Arc<InputFile>, wanted: &Arc<Wanted>) -> Result<TextPieces<CsvRecords>> {
    over(TextFile::open(file)?, file, wanted)
}

/// Goes on with a text that is open.
pub fn over(mut text: TextFile, file: &Arc<InputFile>, wanted: &Arc<Wanted>) -> Result<TextPieces<CsvRecords>> {
    let records = records_of(&mut text, file, wanted)?;
    Ok(TextPieces::new(text, records, wanted.block_bytes))
}

/// What the records behind the header are, which is taken off the text.
fn records_of(text: &mut TextFile, file: &Arc<InputFile>, wanted: &Arc<Wanted>) -> Result<CsvRecords> {
    let (names, places) = if wanted.csv.header {
        match read_header(text, &wanted.csv)? {
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
    let (width, shape) = (names.len(), quick::Shape::new(&wanted.csv, names.len(), &places, &wanted.schema));
    Ok(CsvRecords { wanted: wanted.clone(), file: file.clone(), width, places, names, shape })
}

/// The STRING columns of `schema` that have few values in the first records of a file: those that dictionaries are good for.
pub fn few_values(file: &InputFile, schema: &Schema, syntax: &CsvSyntax) -> Vec<usize> {
    let file = Arc::new(file.clone());
    let wanted = few::wanted(schema, Format::Csv, syntax.clone());
    let Ok(mut text) = TextFile::open(&file) else { return vec![] };
    let Ok(records) = records_of(&mut text, &file, &wanted) else { return vec![] };
    text.fill(few::SAMPLE_BYTES);
    let whole = &text.pending()[..records.cut(text.pending(), false)];
    let part =
        records.shape.as_ref().and_then(|shape| quick::Lines::new(shape, whole, false, 1, level()).next(usize::MAX));
    part.map_or(vec![], |part| few::columns(&wanted, &part))
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
            return memchr::memrchr(b'\n', text).map_or(0, |at| at + 1);
        }
        self.last_record_end(text, level())
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
        match &self.shape {
            Some(shape) => self.decode_quickly(shape, text, line, level()),
            None => self.decode_slowly(text, line),
        }
    }
}

impl CsvRecords {
    /// Where the last record ends that is whole, if the text goes on.
    fn last_record_end(&self, text: &[u8], level: Level) -> usize {
        let syntax = &self.wanted.csv;
        let (mut from, mut slots) = (0, vec![]);
        loop {
            // Lines in which quotes are where they should be end without a closer look.
            from = index::last_line_end(text, from, syntax, level);
            match syntax.find(text, from, false, Some(self.width), &mut slots) {
                // Without its line break a line may go on.
                Found::Record { next, .. } | Found::Nothing { next } if next > from && text[next - 1] == b'\n' => {
                    from = next
                }
                _ => return from,
            }
        }
    }

    /// Decodes records, those that are not plain the slow way.
    fn decode_quickly(&self, shape: &quick::Shape, text: &[u8], line: u64, level: Level) -> Decoded {
        let mut out = Out::new(&self.wanted);
        let whole = std::str::from_utf8(text).ok();
        let lines = OnceCell::new();
        let line_of = |record: u32| lines.get_or_init(|| self.lines_of(text, line))[record as usize];
        let mut parts = quick::Lines::new(shape, text, whole.is_some(), line, level);
        let (mut records, mut broken) = (0, None);
        while let Some(part) = parts.next(self.wanted.decode_rows()) {
            let first = part.first;
            records = first + part.records;
            let done = out
                .part(part, text, Origin::Csv, &self.file, line_of, |odd, out| self.fit_slowly(text, odd, whole, out));
            if let Err(cause) = done {
                let number = line_of(first).number;
                broken = Some(self.file.broken(format!("cannot be decoded from line {number}")).because(cause));
            }
        }
        out.done(records.into(), broken)
    }

    /// Decodes all records the slow way.
    fn decode_slowly(&self, text: &[u8], line: u64) -> Decoded {
        let mut out = Out::new(&self.wanted);
        let whole = std::str::from_utf8(text).ok();
        let mut broken = None;
        let records: Vec<(u32, Line)> = (0..).zip(self.lines_of(text, line)).collect();
        for part in records.chunks(self.wanted.decode_rows()) {
            let done = self.fit_slowly(text, part, whole, &mut out).and_then(|(batch, at)| out.push(batch, Some(at)));
            if let Err(cause) = done {
                let number = part[0].1.number;
                let error = self.file.broken(format!("cannot be decoded from line {number}")).because(cause);
                broken = broken.or(Some(error));
            }
        }
        out.done(records.len() as u64, broken)
    }

    /// The records of some text, from line number `line` on.
    fn lines_of(&self, text: &[u8], line: u64) -> Vec<Line> {
        let (mut lines, mut slots, mut start, mut number) = (vec![], vec![], 0, line);
        while start < text.len() {
            let next = match self.wanted.csv.find(text, start, true, Some(self.width), &mut slots) {
                Found::Record { end, next } => {
                    lines.push(Line { start, end, number });
                    next
                }
                Found::Nothing { next } => next,
                Found::Open => break,
            };
            number += newlines(&text[start..next]);
            start = next;
        }
        lines
    }

    /// The good rows of some records, decoded the slow way, and which records these are; bad ones are noted in `out`.
    /// `whole` is the text, if all of it is UTF-8.
    fn fit_slowly(
        &self,
        text: &[u8],
        records: &[(u32, Line)],
        whole: Option<&str>,
        out: &mut Out,
    ) -> Result<(RecordBatch, Vec<u32>), ArrowError> {
        let syntax = &self.wanted.csv;
        let place = |line: Line| format!("line {} of '{}'", line.number, self.file);
        let mut columns: Vec<StringBuilder> = self.places.iter().map(|_| StringBuilder::new()).collect();
        let (mut good, mut slots, mut scratch): (Vec<(u32, Line)>, _, _) = (vec![], vec![], String::new());
        for &(record, line) in records {
            if let Err(reason) = self.fields_of(text, line.start, line.end, whole, &mut slots) {
                out.bad(record, format!("{reason} ({})", place(line)), line.of(text));
                continue;
            }
            for ((at, column), field_of) in self.places.iter().zip(&mut columns).zip(self.wanted.schema.fields()) {
                let Some(slot) = at.map(|at| &slots[at]) else { continue };
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
            good.push((record, line));
        }
        if good.is_empty() {
            return Ok((RecordBatch::new_empty(self.wanted.schema.clone()), vec![]));
        }
        let arrays = self.places.iter().zip(&mut columns);
        let arrays = arrays.map(|(at, column)| at.map(|_| Arc::new(column.finish()) as ArrayRef)).collect();
        let (at, lines): (Vec<u32>, Vec<Line>) = good.into_iter().unzip();
        // Misfits are named by record.
        let line_of = |record: u32| lines[at.binary_search(&record).expect("a row's record")];
        let bytes = |row: usize| lines[row].of(text).to_vec();
        out.fit(arrays, at.len(), &Rows::At(&at), Origin::Csv, |record| place(line_of(record)), bytes)
    }

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
}
