//! CSV straight into columns, for records in which everything is plain.
//!
//! The separators of a stretch of text are found first (`index`). They tell whether a record has as many fields as it
//! should, and where each of them is: the wanted ones are read there, the others are never looked at.
//!
//! A record is left to the slow way if anything in it is not plain ([`Odd`]). Law: a record that is taken here is good
//! there too, with the same values.

use std::ops::Range;

use arrow::datatypes::{DataType, Schema};
use pelton_kernels::cpu::{self, Level};

use super::super::columns::{Column, Odd, Part, Plainly};
use super::super::scan::{self, Scan};
use super::super::text::{Line, newlines};
use super::super::{CsvSyntax, convert};
use super::{Found, Slot, index};

/// As much text is indexed at once; it stays in the nearest cache until its fields are read. Longer records are odd.
/// Tests meet the edges of stretches more often.
const STRETCH_BYTES: usize = if cfg!(test) { 300 } else { 16 << 10 };
/// As many records at most are read column by column before the next ones are. Behind an odd one it is one, then two and so
/// on, so that where all are odd little is read twice.
const OFFER_MAX: usize = 1024;
/// Text goes on this far behind the last record, so that it can be read 64 bytes at once.
const MARGIN_BYTES: usize = 64;

/// Which fields of the records are wanted, and as what.
pub struct Shape {
    syntax: CsvSyntax,
    /// How many fields every record has.
    width: usize,
    /// Field and type of each wanted column; no field if the file lacks it.
    columns: Vec<(Option<usize>, DataType)>,
}

impl Shape {
    /// Records of `width` fields, of which those at `places` are the columns of `wanted`. `None` if this is no way to
    /// read them: a column has a type that text never becomes.
    pub fn new(syntax: &CsvSyntax, width: usize, places: &[Option<usize>], wanted: &Schema) -> Option<Self> {
        let types = wanted.fields().iter().map(|f| f.data_type().clone());
        let columns: Vec<_> = places.iter().copied().zip(types).collect();
        let readable = columns.iter().all(|(_, to)| convert::possible(&DataType::Utf8, to));
        (width > 0 && readable).then(|| Shape { syntax: syntax.clone(), width, columns })
    }
}

/// A column, and which field of a record goes there.
struct Filled {
    place: usize,
    column: Column,
}

/// Where the next record begins.
struct Next {
    at: usize,
    record: u32,
    /// As many records are read next at most.
    offer: usize,
    /// A place up to which lines were counted, and the number of the line that begins there.
    line: (usize, u64),
    slots: Vec<Slot>,
}

impl Next {
    /// Passes over what is next: a record, which is noted as odd, or none.
    #[cold]
    fn pass_odd(&mut self, text: &[u8], shape: &Shape, odd: &mut Vec<(u32, Line)>) {
        let start = self.at;
        match shape.syntax.find(text, start, true, Some(shape.width), &mut self.slots) {
            Found::Record { end, next } => {
                self.line = (start, self.line.1 + newlines(&text[self.line.0..start]));
                odd.push((self.record, Line { start, end, number: self.line.1 }));
                self.record += 1;
                self.at = next;
            }
            Found::Nothing { next } => self.at = next,
            Found::Open => unreachable!("nothing follows on the text"),
        }
    }
}

/// Decodes text a part after the other.
pub struct Lines<'a> {
    shape: &'a Shape,
    text: &'a [u8],
    /// Once the end is near: the rest of the text with a line break and a margin behind it, and where it begins.
    tail: Option<(Vec<u8>, usize)>,
    next: Next,
    separators: index::Places,
    /// All of the text is UTF-8; else each record is looked at.
    utf8: bool,
    level: Level,
}

impl<'a> Lines<'a> {
    /// Records from line number `line` on, with the instructions of `level` if the processor has them. `utf8`: all of the
    /// text is.
    pub fn new(shape: &'a Shape, text: &'a [u8], utf8: bool, line: u64, level: Level) -> Self {
        Lines {
            shape,
            text,
            tail: None,
            next: Next { at: 0, record: 0, offer: OFFER_MAX, line: (0, line), slots: vec![] },
            separators: index::Places::default(),
            utf8,
            level: level.min(cpu::level()),
        }
    }

    /// The next records, `records_max` at most; `None` at the end.
    pub fn next(&mut self, records_max: usize) -> Option<Part> {
        let first = self.next.record;
        let end = first.saturating_add(records_max.try_into().unwrap_or(u32::MAX));
        let wanted = self.shape.columns.iter();
        let mut columns: Vec<Filled> =
            wanted.filter_map(|(place, to)| Some(Filled { place: (*place)?, column: Column::new(to) })).collect();
        let mut odd = vec![];
        while self.next.at < self.text.len() && self.next.record < end {
            self.stretch(&mut columns, &mut odd, first..end);
        }
        let records = self.next.record - first;
        let mut filled = columns.into_iter().map(|filled| filled.column.finish());
        let columns = self.shape.columns.iter().map(|(place, _)| place.and_then(|_| filled.next())).collect();
        (records > 0).then_some(Part { first, records, columns, odd })
    }

    /// Decodes the next stretch, or as much of it as holds the records with these numbers.
    fn stretch(&mut self, columns: &mut [Filled], odd: &mut Vec<(u32, Line)>, numbers: Range<u32>) {
        let (shape, width, next) = (self.shape, self.shape.width, &mut self.next);
        let (text, skipped, limit) = match &self.tail {
            Some((tail, at)) => (tail.as_slice(), *at, tail.len() - MARGIN_BYTES),
            None => (self.text, 0, self.text.len().saturating_sub(MARGIN_BYTES)),
        };
        let start = next.at - skipped;
        let stretch = start..limit.min(start + STRETCH_BYTES).max(start);
        index::separators(text, stretch.clone(), &shape.syntax, self.level, &mut self.separators);
        let mut left = self.separators.as_slice();
        while left.len() >= width && next.record < numbers.end && next.at < self.text.len() {
            let offered = (left.len() / width).min((numbers.end - next.record) as usize).min(next.offer);
            let taken = take(self.level, shape, self.utf8, text, next.at - skipped, &left[..offered * width], columns);
            if let Some(last) = (taken * width).checked_sub(1) {
                next.at = left[last] as usize + 1 + skipped;
                next.record += taken as u32;
            }
            left = &left[taken * width..];
            next.offer = if taken < offered { 1 } else { (next.offer * 2).min(OFFER_MAX) };
            if taken < offered {
                let rows = (next.record - numbers.start) as usize - odd.len();
                columns.iter_mut().for_each(|filled| filled.column.truncate(rows));
                next.pass_odd(self.text, shape, odd);
                let used = left.iter().take_while(|&&place| (place as usize) < next.at - skipped).count();
                left = &left[used..];
            }
        }
        if next.at > start + skipped {
            return;
        }
        // Not one record ends in the stretch.
        if self.tail.is_none() && stretch.end == limit.max(start) {
            let mut tail = Vec::with_capacity(self.text.len() - next.at + 1 + MARGIN_BYTES);
            tail.extend_from_slice(&self.text[next.at..]);
            tail.push(b'\n');
            tail.resize(tail.len() + MARGIN_BYTES, 0);
            self.tail = Some((tail, next.at));
        } else {
            next.pass_odd(self.text, shape, odd);
        }
    }
}

/// Decodes the records from `at` on up to the first odd one, and says how many; columns may hold values of more.
fn take(
    level: Level,
    shape: &Shape,
    utf8: bool,
    text: &[u8],
    at: usize,
    separators: &[u32],
    columns: &mut [Filled],
) -> usize {
    let mut count = well_formed(shape, utf8, text, at, separators);
    for filled in columns {
        let fields = Fields { shape, text, at, separators: &separators[..count * shape.width], place: filled.place };
        count = fields.fill_at(level, &mut filled.column);
    }
    count
}

/// How many records there are up to the first that has too few fields or too many, or may be none.
fn well_formed(shape: &Shape, utf8: bool, text: &[u8], mut at: usize, separators: &[u32]) -> usize {
    let mut count = 0;
    for ends in separators.chunks_exact(shape.width) {
        let Some((&last, inner)) = ends.split_last() else { break };
        let end = last as usize;
        let as_wide = text[end] == b'\n' && !inner.iter().any(|&end| text[end as usize] == b'\n');
        // Blank lines and comments are no records.
        let maybe_none = matches!(text[at], b'\n' | b'\r') || shape.syntax.comments && text[at] == b'#';
        if !as_wide || maybe_none || !utf8 && std::str::from_utf8(&text[at..end]).is_err() {
            break;
        }
        (at, count) = (end + 1, count + 1);
    }
    count
}

/// One field of some records, the first of which begins at `at`.
struct Fields<'a> {
    shape: &'a Shape,
    text: &'a [u8],
    at: usize,
    separators: &'a [u32],
    place: usize,
}

impl Fields<'_> {
    /// Fills a column with them up to the first odd one, with the instructions of `level`; says how many these are.
    fn fill_at(&self, level: Level, column: &mut Column) -> usize {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,bmi1,bmi2")]
            fn avx2(fields: &Fields, column: &mut Column) -> usize {
                fields.fill::<scan::Avx2>(column)
            }
            if level >= Level::Avx2 {
                // SAFETY: the processor has what the level says.
                return unsafe { avx2(self, column) };
            }
        }
        self.fill::<scan::Plain>(column)
    }

    #[inline(always)]
    fn fill<S: Scan>(&self, column: &mut Column) -> usize {
        let (width, mut at, mut count) = (self.shape.width, self.at, 0);
        for ends in self.separators.chunks_exact(width) {
            let start = if self.place == 0 { at } else { ends[self.place - 1] as usize + 1 };
            if self.read::<S>(start, ends[self.place] as usize, column).is_err() {
                break;
            }
            (at, count) = (ends[width - 1] as usize + 1, count + 1);
        }
        count
    }

    /// Reads the field from `start` to the separator at `end`.
    #[inline(always)]
    fn read<S: Scan>(&self, start: usize, mut end: usize, column: &mut Column) -> Plainly<()> {
        let (text, syntax) = (self.text, &self.shape.syntax);
        if self.place + 1 == self.shape.width && end > start && text[end - 1] == b'\r' {
            end -= 1;
            if end > start && text[end - 1] == b'\r' {
                return Err(Odd);
            }
        }
        match syntax.quote {
            Some(quote) if text[start] == quote => column.read_quoted::<S>(text, start + 1, end - 1, quote)?,
            _ if start == end => column.push_null(),
            _ if syntax.null_literal.as_ref().is_some_and(|null| null.as_bytes() == &text[start..end]) => {
                column.push_null()
            }
            _ => column.read_field::<S>(text, start, end)?,
        }
        Ok(())
    }
}
