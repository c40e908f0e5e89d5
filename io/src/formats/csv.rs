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

use std::cell::OnceCell;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use pelton_engine::connector::Decoded;
use pelton_engine::error::Result;
use pelton_kernels::cpu::{Level, level};

use super::compression::Finish;
use super::convert::{Origin, is_text};
use super::infer::{self, Shape};
use super::text::{Line, Records, TextFile, TextPieces, find_byte, line_at, newlines};
use super::{CsvSyntax, Format, InputFile, Out, Rows, Wanted, WriteError, few, locate};

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
                rows.syntax.put(&mut line, i, Some(field.name()));
            }
            rows.syntax.end(&mut line, 0);
            rows.into.write_all(&line)?;
        }
        Ok(rows)
    }
}

impl CsvSyntax {
    fn put(&self, line: &mut Vec<u8>, column: usize, value: Option<&str>) {
        if column > 0 {
            line.push(self.delimiter);
        }
        let Some(value) = value else {
            line.extend(self.null_literal.as_deref().unwrap_or("").bytes());
            return;
        };
        let special = |b: u8| b == self.delimiter || b == b'\n' || b == b'\r' || Some(b) == self.quote;
        let comment = self.comments && column == 0 && value.starts_with('#');
        match self.quote {
            Some(quote) if comment || is_null(value, false, self) || value.bytes().any(special) => {
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
            lines.extend(self.quote.into_iter().cycle().take(2));
        }
        lines.push(b'\n');
    }

    /// The record of each row, without a line break, one after the other.
    pub(super) fn each_row(&self, batch: &RecordBatch, mut take: impl FnMut(&[u8])) -> Result<(), ArrowError> {
        let options = FormatOptions::default();
        let formatters: Vec<_> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options)).collect::<Result<_, _>>()?;
        let nulls: Vec<_> = batch.columns().iter().map(|c| c.logical_nulls()).collect();
        let (mut line, mut value) = (vec![], String::new());
        for row in 0..batch.num_rows() {
            line.clear();
            for (column, formatter) in formatters.iter().enumerate() {
                if nulls[column].as_ref().is_some_and(|n| n.is_null(row)) {
                    self.put(&mut line, column, None);
                } else {
                    value.clear();
                    formatter.value(row).write(&mut value)?;
                    self.put(&mut line, column, Some(&value));
                }
            }
            self.end(&mut line, 0);
            take(&line[..line.len() - 1]);
        }
        Ok(())
    }
}

impl super::RowWriter for CsvRows {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let (mut lines, mut failed) = (vec![], None);
        let into = &mut self.into;
        self.syntax.each_row(batch, |line| {
            lines.extend_from_slice(line);
            lines.push(b'\n');
            if lines.len() > 1 << 16 && failed.is_none() {
                failed = into.write_all(&lines).err();
                lines.clear();
            }
        })?;
        if let Some(cause) = failed {
            return Err(cause.into());
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
    use super::super::dice::{Dice, all, no_file};
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
    fn columns_of_few_values() {
        let mut text = "n,name,country,text\n".to_string();
        for i in 0..100 {
            text += &format!("{i},n{i},{},\"a \"\"b\"\"\"\n", ["US", "DE"][i % 2]);
        }
        let field = |name: &str, t: DataType| Field::new(name, t, true);
        let schema = Schema::new(vec![
            field("n", DataType::Int64),
            field("name", DataType::Utf8),
            field("Country", DataType::Utf8),
            field("none", DataType::Utf8),
            field("text", DataType::Utf8),
        ]);
        let few =
            |text: &[u8]| few_values(&Case::new("a.csv", text, Format::Csv).file(), &schema, &CsvSyntax::default());
        assert_eq!(few(text.as_bytes()), [2, 4]);
        assert!(few(b"").is_empty());
    }

    impl Dice {
        fn syntax(&mut self) -> CsvSyntax {
            let delimiter = self.one(b",,,,,,,,;\t| .-5eT:");
            let quote = self.one(&[Some(b'"'), Some(b'"'), Some(b'"'), Some(b'"'), Some(b'\''), Some(b'1'), None]);
            CsvSyntax {
                delimiter,
                quote: quote.filter(|&quote| quote != delimiter),
                header: self.below(3) > 0,
                null_literal: self.one(&[None, None, Some("NA".into()), Some("0".into()), Some("US".into())]),
                comments: self.below(3) == 0,
            }
        }

        fn field_text(&mut self) -> String {
            let odd = ["a,b", "say \"so\"", "\"", "two\nlines", "cr\r", "#", "NA", "it's", " 7 ", "null"];
            match self.below(10) {
                0 => self.one(&odd).into(),
                1 => self.number(),
                2 => self.time(),
                _ => self.word(),
            }
        }

        /// A text that mostly fits the type.
        fn fitting_text(&mut self, t: &DataType) -> String {
            if self.below(15) == 0 {
                return self.field_text();
            }
            match t {
                t if t.is_integer() => {
                    let most = self.one(&[2, 2, 2, 2, 2, 2, 2, 19]);
                    self.digits(most)
                }
                t if t.is_floating() => format!("{}.{}", self.digits(4), self.digits(2)),
                DataType::Decimal128(..) => format!("{}.{}", self.digits(4), self.digits(2)),
                DataType::Boolean => self.one(&["true", "false"]).into(),
                DataType::Timestamp(..) => {
                    format!("2024-01-{:02}T03:{:02}:05.{}Z", 1 + self.below(31), self.below(60), self.digits(6))
                }
                DataType::Date32 => format!("19{:02}-0{}-1{}", self.below(100), 1 + self.below(9), self.below(10)),
                _ => self.field_text(),
            }
        }

        /// A field as it is written, with quotes where they are needed or pleasing; seldom without.
        fn written(&mut self, text: &str, syntax: &CsvSyntax, wild: usize) -> String {
            let Some(quote) = syntax.quote.map(char::from) else { return text.into() };
            let special = |c: char| c == quote || c == char::from(syntax.delimiter) || matches!(c, '\n' | '\r' | '#');
            match self.below(wild) == 0 {
                false if text.contains(special) || self.below(5) == 0 => {
                    format!("{quote}{}{quote}", text.replace(quote, &format!("{quote}{quote}")))
                }
                _ => text.into(),
            }
        }

        /// Records of fields of these types, and now and then a broken byte.
        fn records(&mut self, types: &[DataType], syntax: &CsvSyntax) -> Vec<u8> {
            let end = self.one(&["\n", "\n", "\r\n"]);
            let wild = self.one(&[5, 50, 1000]);
            let mut text = vec![];
            for _ in 0..self.below(60) {
                let mut fields = vec![];
                for t in types {
                    let value = if self.below(12) == 0 { String::new() } else { self.fitting_text(t) };
                    fields.push(self.written(&value, syntax, wild));
                }
                if self.below(wild) == 0 {
                    fields.pop();
                }
                let mut line = fields.join(&char::from(syntax.delimiter).to_string()).into_bytes();
                if self.below(wild) == 0 && !line.is_empty() {
                    let at = self.below(line.len());
                    match self.below(4) {
                        0 => line.truncate(at),
                        1 => line[at] = self.below(256) as u8,
                        2 => line.insert(at, self.one(b" \t\n\r#,,;\"\"'\xff\xc3e0")),
                        _ => drop(line.remove(at)),
                    }
                }
                text.extend(line);
                text.extend(end.bytes());
                if self.below(wild) == 0 {
                    text.extend(self.one(&["\n", "  \n", "#\n", "# a \"b\n", "\r\n", "\r\r\n", "\"\n"]).bytes());
                }
            }
            if self.below(2) == 0 {
                text.truncate(text.trim_ascii_end().len());
            }
            text
        }
    }

    /// Where the last whole record ends, by a look at each.
    fn record_end_slowly(records: &CsvRecords, text: &[u8]) -> usize {
        let (mut from, mut slots) = (0, vec![]);
        while let Found::Record { next, .. } | Found::Nothing { next } =
            records.wanted.csv.find(text, from, false, Some(records.width), &mut slots)
            && next > from
            && text[next - 1] == b'\n'
        {
            from = next;
        }
        from
    }

    /// The quick way gives what the slow one does, at every level.
    fn check_both_ways(seed: u64) {
        let mut dice = Dice(seed);
        let syntax = dice.syntax();
        let count = dice.one(&[1, 2, 6, 6, 6]);
        let field = |i: usize| format!("{}{i}", ["a", "b", "dé"][i % 3]);
        let fields: Vec<Field> = (0..count).map(|i| Field::new(field(i), dice.scalar_type(), true)).collect();
        // With a header, fields may come in another order, and be fewer or more.
        let mut in_file = fields.clone();
        if syntax.header {
            in_file.rotate_left(dice.below(count));
            if dice.below(4) == 0 {
                in_file.pop();
            }
            if dice.below(2) == 0 || in_file.is_empty() {
                in_file.insert(dice.below(in_file.len() + 1), Field::new("other", dice.scalar_type(), true));
            }
        }
        let columns: Vec<usize> = (0..count).filter(|_| dice.below(3) > 0).collect();
        let mut wanted = Wanted::new(&Schema::new(fields), &columns, 7, Format::Csv, syntax.clone());
        wanted.kept_only = columns.iter().copied().filter(|_| dice.below(6) == 0).collect();
        let types: Vec<DataType> = in_file.iter().map(|f| f.data_type().clone()).collect();
        let body = dice.records(&types, &syntax);
        let head = in_file.iter().map(|f| f.name().as_str()).collect::<Vec<_>>();
        let head = head.join(&char::from(syntax.delimiter).to_string()) + "\n";
        let head = if syntax.header { head } else { String::new() };
        let file = no_file("t.csv");
        let mut text = TextFile::over(&file, Box::new(std::io::Cursor::new(head.into_bytes())));
        let records = records_of(&mut text, &file, &Arc::new(wanted)).unwrap();
        let slow = all(&records.decode_slowly(&body, 5));
        let prefix = &body[..dice.below(body.len() + 1)];
        let end = record_end_slowly(&records, prefix);
        let shape = records.shape.as_ref().expect("scalars only");
        for level in [Level::Scalar, Level::Avx2, Level::Avx512].into_iter().filter(|l| *l <= level()) {
            let schema = &records.wanted.schema;
            let shown = || format!("seed {seed} {level:?}\n{syntax:?}\n{schema}\n{}", String::from_utf8_lossy(&body));
            let quick = all(&records.decode_quickly(shape, &body, 5, level));
            assert_eq!(quick, slow, "{}", shown());
            assert_eq!(records.last_record_end(prefix, level), end, "{}", shown());
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
