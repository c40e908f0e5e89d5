//! JSON lines straight into columns, for records in which everything is plain.
//!
//! What stands between two scalars (commas, colons, brackets, keys and the blanks among them) is the same in most records.
//! So it is kept as a *gap*, with what follows it: after the value behind a gap, the gaps that came next before are
//! compared with the text in place, and only when none fits is the text taken apart. Values of fields that nobody asked
//! for are passed over.
//!
//! A record is left to the slow way if anything in it is not plain ([`Odd`]). Law: a record that is taken here is good
//! there too, with the same values. So a gap follows the grammar strictly, which the slow way does not ask for (it takes
//! any number of commas); a string has no control characters, and its escapes are checked; a literal is exact; and a
//! number is passed over as the slow way does, by its letters alone.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Schema};
use pelton_kernels::cpu::{self, Level};

use super::super::columns::{Column, Odd, Part, Plainly, escaped_end, literal_end, number_end, text_end, window};
use super::super::scan::{self, Scan};
use super::super::text::Line;

/// Gaps are compared up to this length.
const GAP_BYTES_MAX: usize = 64;
/// As many gaps are known at most; records with ever new keys would fill the memory.
const GAPS_MAX: usize = 1024;
/// As many gaps are tried after a value.
const NEXT_MAX: usize = 8;
/// Text goes on this far behind the last record, so that it can be read 64 bytes at once.
const MARGIN_BYTES: usize = 64;

/// Which fields of the records are wanted, and as what.
pub struct Shape {
    columns: Vec<DataType>,
    places: HashMap<Vec<u8>, u16>,
}

impl Shape {
    /// The columns of `wanted`, as the file spells them in `raw`. `None` if this is no way to read them: a column is
    /// nested, or two go by one name.
    pub fn new(wanted: &Schema, raw: &Schema) -> Option<Self> {
        let columns: Vec<DataType> = wanted.fields().iter().map(|f| f.data_type().clone()).collect();
        let names = raw.fields().iter().take(columns.len()).map(|f| f.name().as_bytes().to_vec());
        let places: HashMap<_, _> = names.zip(0..).collect();
        let nested = raw.fields().iter().any(|f| f.data_type().is_nested());
        (places.len() == columns.len() && !nested).then_some(Shape { columns, places })
    }
}

/// What stands before a scalar or at the end of a record.
#[repr(C, align(64))]
struct Gap {
    bytes: [u8; GAP_BYTES_MAX],
    /// Which of the bytes count: the lowest bits.
    mask: u64,
    /// The gap after whose value it was first seen.
    after: u16,
    length: usize,
    then: Then,
    /// The brackets that are open behind it; see [`Open`].
    open: Open,
    /// Gaps that came after the value behind this one.
    next: Vec<u16>,
}

/// What comes behind a gap.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// The value of a column; its quote is part of the gap.
    Column { column: u16, quoted: bool },
    /// A string that nobody asked for, behind its quote.
    Text,
    /// A number or literal that nobody asked for.
    Other,
    /// The next record.
    End,
}

/// The brackets that are open, from a leading 1 on: a 1 for each object, a 0 for each array.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Open(u64);

impl Open {
    const NONE: Open = Open(1);
    const RECORD: Open = Open(0b11);

    fn push(self, object: bool) -> Plainly<Open> {
        if self.0 >> 63 == 0 { Ok(Open(self.0 << 1 | u64::from(object))) } else { Err(Odd) }
    }

    fn pop(self) -> Open {
        Open(self.0 >> 1)
    }

    fn in_object(self) -> bool {
        self.0 & 1 == 1
    }
}

/// Gap 0 is one that is not kept; gap 1 is none, and the one before each record.
const LOOSE: usize = 0;
const START: usize = 1;

/// The gaps seen so far.
struct Gaps {
    all: Vec<Gap>,
    known: HashMap<(Open, Vec<u8>), u16>,
}

impl Gaps {
    fn new() -> Self {
        let none = || Gap {
            after: u16::MAX,
            bytes: [0; GAP_BYTES_MAX],
            mask: 0,
            length: 0,
            then: Then::End,
            open: Open::NONE,
            next: vec![],
        };
        Gaps { all: vec![none(), none(), none()], known: HashMap::new() }
    }

    /// The gap at `at`, after the value behind gap `before`.
    #[cold]
    #[inline(never)]
    fn find(&mut self, text: &[u8], at: usize, before: usize, shape: &Shape) -> Plainly<usize> {
        let was_open = self.all[before].open;
        let (length, then, open) = gap(text, at, was_open, shape)?;
        let bytes = &text[at..at + length];
        let mut gap =
            Gap { after: before as u16, bytes: [0; GAP_BYTES_MAX], mask: 0, length, then, open, next: vec![] };
        if length > GAP_BYTES_MAX || self.all.len() == GAPS_MAX {
            self.all[LOOSE] = gap;
            return Ok(LOOSE);
        }
        let found = *self.known.entry((was_open, bytes.to_vec())).or_insert_with(|| {
            gap.bytes[..length].copy_from_slice(bytes);
            gap.mask = u64::MAX >> (64 - length);
            // Behind the last one is always one that never fits.
            let last = self.all.len() - 1;
            self.all.insert(last, gap);
            last as u16
        });
        let next = &mut self.all[before].next;
        if before != LOOSE {
            next.truncate(NEXT_MAX - 1);
            next.push(found);
        }
        Ok(found.into())
    }
}

/// Takes the gap at `at` apart: its length, what comes behind it, and the brackets that are open there.
fn gap(text: &[u8], start: usize, mut open: Open, shape: &Shape) -> Plainly<(usize, Then, Open)> {
    enum Wanted {
        Value,
        ValueOrClose,
        Key,
        KeyOrClose,
        CommaOrClose,
    }
    let byte = |at: usize| text.get(at).copied().ok_or(Odd);
    let blanks = |mut at: usize| {
        while matches!(byte(at)?, b' ' | b'\t') {
            at += 1;
        }
        Ok(at)
    };
    let mut at = start;
    let mut column = None;
    let mut wanted = if open == Open::NONE { Wanted::Value } else { Wanted::CommaOrClose };
    loop {
        at = blanks(at)?;
        let found = byte(at)?;
        match (wanted, found) {
            (Wanted::Value, b'{') | (Wanted::ValueOrClose, b'{') if column.is_none() => {
                open = open.push(true)?;
                wanted = Wanted::KeyOrClose;
            }
            (Wanted::Value | Wanted::ValueOrClose, _) if open == Open::NONE => return Err(Odd),
            (Wanted::Value, b'[') | (Wanted::ValueOrClose, b'[') if column.is_none() => {
                open = open.push(false)?;
                wanted = Wanted::ValueOrClose;
            }
            (Wanted::Key | Wanted::KeyOrClose, b'"') => {
                let end =
                    at + 1 + text[at + 1..].iter().position(|b| matches!(b, b'"' | b'\\' | 0..b' ')).ok_or(Odd)?;
                let colon = blanks(end + 1)?;
                if byte(end)? != b'"' || byte(colon)? != b':' {
                    return Err(Odd);
                }
                column = shape.places.get(&text[at + 1..end]).filter(|_| open == Open::RECORD);
                at = colon;
                wanted = Wanted::Value;
            }
            (Wanted::KeyOrClose | Wanted::CommaOrClose, b'}') if open.in_object() => {
                open = open.pop();
                wanted = Wanted::CommaOrClose;
            }
            (Wanted::ValueOrClose | Wanted::CommaOrClose, b']') if !open.in_object() => {
                open = open.pop();
                wanted = Wanted::CommaOrClose;
            }
            (Wanted::CommaOrClose, b',') => {
                wanted = if open.in_object() { Wanted::Key } else { Wanted::Value };
            }
            (Wanted::Value | Wanted::ValueOrClose, _) => {
                let quoted = found == b'"';
                let then = match (column, quoted) {
                    (Some(column), _) => Then::Column { column: *column, quoted },
                    (None, true) => Then::Text,
                    (None, false) => Then::Other,
                };
                return Ok((at + usize::from(quoted) - start, then, open));
            }
            _ => return Err(Odd),
        }
        at += 1;
        if open == Open::NONE {
            at = blanks(at)?;
            at += usize::from(byte(at)? == b'\r');
            return if byte(at)? == b'\n' { Ok((at + 1 - start, Then::End, open)) } else { Err(Odd) };
        }
    }
}

/// Decodes text a part after the other.
pub struct Lines<'a> {
    shape: &'a Shape,
    text: &'a [u8],
    /// The last records once more, with a margin behind them, and where they begin in `text`.
    tail: Vec<u8>,
    cut: usize,
    at: usize,
    line: u64,
    record: u32,
    gaps: Gaps,
    /// All of the text is UTF-8; else each record is looked at.
    utf8: bool,
    level: Level,
}

impl<'a> Lines<'a> {
    /// Records from line number `line` on, with the instructions of `level` if the processor has them.
    pub fn new(shape: &'a Shape, text: &'a [u8], line: u64, level: Level) -> Self {
        let inner = &text[..text.len().saturating_sub(MARGIN_BYTES)];
        let cut = memchr::memrchr(b'\n', inner).map_or(0, |at| at + 1);
        let mut tail = Vec::with_capacity(text.len() - cut + 1 + MARGIN_BYTES);
        tail.extend_from_slice(&text[cut..]);
        tail.push(b'\n');
        tail.resize(tail.len() + MARGIN_BYTES, 0);
        let utf8 = std::str::from_utf8(text).is_ok();
        Lines {
            shape,
            text,
            tail,
            cut,
            at: 0,
            line,
            record: 0,
            gaps: Gaps::new(),
            utf8,
            level: level.min(cpu::level()),
        }
    }

    /// The next records, `records_max` at most; `None` at the end.
    pub fn next(&mut self, records_max: usize) -> Option<Part> {
        let first = self.record;
        let end = first.saturating_add(records_max.try_into().unwrap_or(u32::MAX));
        let mut columns: Vec<Column> = self.shape.columns.iter().map(Column::new).collect();
        let mut odd = vec![];
        while self.at < self.text.len() && self.record < end {
            match self.level {
                Level::Scalar => self.run::<scan::Plain>(&mut columns, &mut odd, end),
                // SAFETY: the processor has what either level says.
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 | Level::Avx512 => unsafe { self.run_avx2(&mut columns, &mut odd, end) },
                #[cfg(not(target_arch = "x86_64"))]
                _ => self.run::<scan::Plain>(&mut columns, &mut odd, end),
            }
        }
        let records = self.record - first;
        let columns = columns.into_iter().map(|c| Some(c.finish())).collect();
        (records > 0).then_some(Part { first, records, columns, odd })
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn run_avx2(&mut self, columns: &mut [Column], odd: &mut Vec<(u32, Line)>, end: u32) {
        self.run::<scan::Avx2>(columns, odd, end)
    }

    /// Decodes up to record number `record_end`, or the end of the text or its tail.
    #[inline(always)]
    fn run<S: Scan>(&mut self, columns: &mut [Column], odd: &mut Vec<(u32, Line)>, record_end: u32) {
        let in_tail = self.at >= self.cut;
        let (text, skipped) = if in_tail { (self.tail.as_slice(), self.cut) } else { (self.text, 0) };
        let text_end = if in_tail { self.text.len() - self.cut } else { self.cut };
        let mut at = self.at - skipped;
        let mut rows = columns.first().map_or(0, |c| c.rows);
        while at < text_end && self.record < record_end {
            let start = at;
            let line_end = || start + memchr::memchr(b'\n', &text[start..]).unwrap_or(text.len() - start);
            let good = match self.utf8 || std::str::from_utf8(&text[start..line_end()]).is_ok() {
                true => record::<S>(text, at, columns, rows, &mut self.gaps, self.shape),
                false => Err(Odd),
            };
            match good {
                Ok(next) => {
                    at = next;
                    rows += 1;
                    self.record += 1;
                }
                Err(Odd) => {
                    columns.iter_mut().for_each(|c| c.truncate(rows));
                    let mut end = line_end();
                    at = end + 1;
                    end -= usize::from(end > start && text[end - 1] == b'\r');
                    if !text[start..end].trim_ascii().is_empty() {
                        let line = Line { start: start + skipped, end: end + skipped, number: self.line };
                        odd.push((self.record, line));
                        self.record += 1;
                    }
                }
            }
            self.line += 1;
        }
        self.at = at + skipped;
    }
}

/// Decodes the record that begins at `at` into row number `row` of the columns; says where the next one begins.
#[inline(always)]
fn record<S: Scan>(
    text: &[u8],
    mut at: usize,
    columns: &mut [Column],
    row: usize,
    gaps: &mut Gaps,
    shape: &Shape,
) -> Plainly<usize> {
    let (mut before, mut filled) = (START, 0);
    loop {
        let bytes = window(text, at)?;
        // The gap that was first seen here has the next number: no need to wait for a list. Loops and no closures, which
        // would not have the instructions of what is around them.
        let mut found = before + 1;
        let gap = &gaps.all[found];
        if gap.after != before as u16 || !S::same(bytes, &gap.bytes, gap.mask) {
            let mut next = 0;
            found = loop {
                let Some(&other) = gaps.all[before].next.get(next) else {
                    break gaps.find(text, at, before, shape)?;
                };
                let gap = &gaps.all[other as usize];
                if S::same(bytes, &gap.bytes, gap.mask) {
                    break other.into();
                }
                next += 1;
            };
        }
        let gap = &gaps.all[found];
        at += gap.length;
        match gap.then {
            Then::Column { column, quoted } => {
                let column = &mut columns[column as usize];
                // The second value of a key is the one that counts.
                if column.rows != row {
                    return Err(Odd);
                }
                at = column.read_json::<S>(text, at, quoted)?;
                filled += 1;
            }
            Then::Text => {
                let end = text_end::<S>(text, at)?;
                at = 1 + if text[end] == b'"' { end } else { escaped_end(text, end)? };
            }
            Then::Other => {
                at = match number_end::<S>(text, at) {
                    Ok(end) => end,
                    Err(Odd) => literal_end(text, at)?,
                }
            }
            Then::End => {
                if filled < columns.len() {
                    columns.iter_mut().filter(|c| c.rows == row).for_each(Column::push_null);
                }
                return Ok(at);
            }
        }
        before = found;
    }
}
