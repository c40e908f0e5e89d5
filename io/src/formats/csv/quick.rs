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
            next: Next { at: 0, record: 0, line: (0, line), slots: vec![] },
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
            let most = (numbers.end - next.record) as usize;
            let records = &left[..left.len().min(most.saturating_mul(width))];
            let taken = take(self.level, shape, self.utf8, text, next.at - skipped, records, columns);
            let (used, rest) = left.split_at(taken * width);
            if let Some(&last) = used.last() {
                next.at = last as usize + 1 + skipped;
                next.record += taken as u32;
            }
            left = rest;
            if left.len() >= width && next.record < numbers.end && next.at < self.text.len() {
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

/// Decodes records up to the first odd one, and says how many; of that one, columns may hold a value too many.
fn take(
    level: Level,
    shape: &Shape,
    utf8: bool,
    text: &[u8],
    at: usize,
    separators: &[u32],
    columns: &mut [Filled],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,bmi1,bmi2")]
        fn avx2(
            shape: &Shape,
            utf8: bool,
            text: &[u8],
            at: usize,
            separators: &[u32],
            columns: &mut [Filled],
        ) -> usize {
            records::<scan::Avx2>(shape, utf8, text, at, separators, columns)
        }
        if level >= Level::Avx2 {
            // SAFETY: the processor has what the level says.
            return unsafe { avx2(shape, utf8, text, at, separators, columns) };
        }
    }
    records::<scan::Plain>(shape, utf8, text, at, separators, columns)
}

#[inline(always)]
fn records<S: Scan>(
    shape: &Shape,
    utf8: bool,
    text: &[u8],
    mut at: usize,
    separators: &[u32],
    columns: &mut [Filled],
) -> usize {
    let mut taken = 0;
    for ends in separators.chunks_exact(shape.width) {
        let end = ends[shape.width - 1] as usize;
        if !utf8 && std::str::from_utf8(&text[at..end]).is_err() {
            break;
        }
        if record::<S>(shape, text, at, ends, columns).is_err() {
            break;
        }
        (at, taken) = (end + 1, taken + 1);
    }
    taken
}

/// Decodes the record that begins at `at` and whose fields end at `ends`.
#[inline(always)]
fn record<S: Scan>(shape: &Shape, text: &[u8], at: usize, ends: &[u32], columns: &mut [Filled]) -> Plainly<()> {
    let (&last, inner) = ends.split_last().ok_or(Odd)?;
    if text[last as usize] != b'\n' || inner.iter().any(|&end| text[end as usize] == b'\n') {
        return Err(Odd);
    }
    // Blank lines and comments are no records.
    if matches!(text[at], b'\n' | b'\r') || shape.syntax.comments && text[at] == b'#' {
        return Err(Odd);
    }
    for Filled { place, column } in columns {
        let start = if *place == 0 { at } else { ends[*place - 1] as usize + 1 };
        let mut end = ends[*place] as usize;
        if *place == inner.len() && end > start && text[end - 1] == b'\r' {
            end -= 1;
            if end > start && text[end - 1] == b'\r' {
                return Err(Odd);
            }
        }
        match shape.syntax.quote {
            Some(quote) if text[start] == quote => column.read_quoted::<S>(text, start + 1, end - 1, quote)?,
            _ if start == end => column.push_null(),
            _ if shape.syntax.null_literal.as_ref().is_some_and(|null| null.as_bytes() == &text[start..end]) => {
                column.push_null()
            }
            _ => column.read_field::<S>(text, start, end)?,
        }
    }
    Ok(())
}
