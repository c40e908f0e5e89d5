//! Columns that grow by one plain value of JSON or CSV at a time, straight from the text.
//!
//! A value is plain if what it becomes is beyond doubt: the same that [`convert`](super::convert) makes of it as text.
//! Everything else is [`Odd`], and the column is to be cut back. The text goes on for 64 bytes behind each value.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array, DictionaryArray, Float64Array,
    PrimitiveArray, StringArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::kernels::cast_utils::Parser;
use arrow::datatypes::*;

use super::convert::is_text;
use super::scan::Scan;
use super::text::Line;

/// Not plain: the record is left to the slow way.
#[derive(Debug)]
pub struct Odd;

/// An answer, where the text is plain.
pub type Plainly<T> = Result<T, Odd>;

/// Some consecutive records, decoded.
pub struct Part {
    /// Number of the first record.
    pub first: u32,
    /// How many records there are, good and odd.
    pub records: u32,
    /// Of the records that are not odd: one array for each column, of its type or of text. `None` is all NULL.
    pub columns: Vec<Option<ArrayRef>>,
    /// The odd records, with their numbers, ascending.
    pub odd: Vec<(u32, Line)>,
}

impl Part {
    /// Numbers of the records that are not odd.
    pub fn plain(&self) -> Vec<u32> {
        let mut odd = self.odd.iter().map(|(record, _)| *record).peekable();
        (self.first..self.first + self.records).filter(|record| odd.next_if_eq(record).is_none()).collect()
    }
}

/// A column of plain values and NULLs.
pub struct Column {
    to: DataType,
    values: Values,
    /// Rows that are NULL, ascending.
    nulls: Vec<u32>,
    /// How many rows there are.
    pub rows: usize,
}

enum Values {
    /// Integers between two bounds.
    Whole {
        values: Vec<i64>,
        low: i64,
        high: i64,
    },
    /// Times as text or as counts of the unit. `zoned`: text without a zone is no instant.
    Time {
        values: Vec<i64>,
        per_second: i64,
        zoned: bool,
    },
    Date(Vec<i32>),
    /// Integers below `limit`, `scale` digits of them behind the point.
    Decimal {
        values: Vec<i64>,
        scale: u8,
        limit: i64,
    },
    Double(Vec<f64>),
    Bool(Vec<bool>),
    Text(Texts),
    Coded(Coded),
}

impl Column {
    /// An empty column for `to`. Types that are not read here come out as text, still to be converted.
    pub fn new(to: &DataType) -> Self {
        let whole = |low: i64, high: i64| Values::Whole { values: vec![], low, high };
        let values = match to {
            DataType::Int8 => whole(i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => whole(i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => whole(i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => whole(i64::MIN, i64::MAX),
            DataType::UInt8 => whole(0, u8::MAX.into()),
            DataType::UInt16 => whole(0, u16::MAX.into()),
            DataType::UInt32 => whole(0, u32::MAX.into()),
            DataType::UInt64 => whole(0, i64::MAX),
            DataType::Float64 => Values::Double(vec![]),
            DataType::Boolean => Values::Bool(vec![]),
            DataType::Date32 => Values::Date(vec![]),
            DataType::Timestamp(unit, zone) => {
                let zoned = zone.as_ref().is_some_and(|zone| !matches!(zone.as_ref(), "UTC" | "+00:00"));
                Values::Time { values: vec![], per_second: per_second(unit), zoned }
            }
            DataType::Decimal128(precision, scale @ 0..=18) => {
                let limit = 10_i64.checked_pow((*precision).into()).unwrap_or(i64::MAX);
                Values::Decimal { values: vec![], scale: *scale as u8, limit }
            }
            DataType::Dictionary(key, value) if **key == DataType::Int32 && **value == DataType::Utf8 => {
                Values::Coded(Coded::default())
            }
            _ => Values::Text(Texts::default()),
        };
        Column { to: to.clone(), values, nulls: vec![], rows: 0 }
    }

    /// Appends the JSON value at `at`, and says where it ends. A `quoted` one begins behind its quote and ends with the
    /// other.
    #[inline(always)]
    pub fn read_json<S: Scan>(&mut self, text: &[u8], at: usize, quoted: bool) -> Plainly<usize> {
        let read = match &mut self.values {
            Values::Text(_) | Values::Coded(_) if quoted => return self.read_text::<S>(text, at),
            Values::Text(texts) => scalar::<S>(text, at).inspect(|&end| texts.push(&text[at..end])),
            Values::Coded(coded) => scalar::<S>(text, at).inspect(|&end| coded.push(text, at, end)),
            Values::Bool(_) if quoted => Err(Odd),
            _ => self.read_scalar::<S>(text, at, quoted),
        };
        match read {
            Ok(end) => {
                self.rows += 1;
                // What was read must be all that is between the quotes.
                if !quoted {
                    Ok(end)
                } else if text[end] == b'"' {
                    Ok(end + 1)
                } else {
                    Err(Odd)
                }
            }
            // What is no value of the type may be NULL.
            Err(Odd) if !quoted && word(text, at)? == NULL => {
                self.push_null();
                Ok(at + 4)
            }
            Err(Odd) => Err(Odd),
        }
    }

    /// Appends the CSV field `text[at..end]`, of one byte at least. Times are text, never counts.
    #[inline(always)]
    pub fn read_field<S: Scan>(&mut self, text: &[u8], at: usize, end: usize) -> Plainly<()> {
        let read = match &mut self.values {
            Values::Text(texts) => {
                texts.push(&text[at..end]);
                end
            }
            Values::Coded(coded) => {
                coded.push(text, at, end);
                end
            }
            _ => self.read_scalar::<S>(text, at, true)?,
        };
        self.rows += 1;
        if read == end { Ok(()) } else { Err(Odd) }
    }

    /// Appends the CSV field `text[at..end]` that stood in quotes: where it holds any, they are doubled.
    pub fn read_quoted<S: Scan>(&mut self, text: &[u8], at: usize, end: usize, quote: u8) -> Plainly<()> {
        let inside = &text[at..end];
        if inside.is_empty() && !is_text(&self.to) {
            self.push_null();
            return Ok(());
        }
        if memchr::memchr(quote, inside).is_none() {
            return self.read_field::<S>(text, at, end);
        }
        let mut before = false;
        let single = |&byte: &u8| {
            before = byte == quote && !before;
            !before
        };
        self.push_alone(inside.iter().copied().filter(single).collect())
    }

    /// Appends a string that no text goes on behind.
    fn push_alone(&mut self, plain: Vec<u8>) -> Plainly<()> {
        match &mut self.values {
            Values::Text(texts) => texts.push(&plain),
            Values::Coded(coded) => coded.push_alone(plain),
            _ => return Err(Odd),
        }
        self.rows += 1;
        Ok(())
    }

    /// Appends the value at `at` to a column that is not of strings, and says where it ends; the row is not yet counted.
    /// Times `as_text`, or else as counts.
    #[inline(always)]
    fn read_scalar<S: Scan>(&mut self, text: &[u8], at: usize, as_text: bool) -> Plainly<usize> {
        match &mut self.values {
            Values::Whole { values, low, high } => match whole(text, at) {
                Ok((value, end)) if (*low..=*high).contains(&value) => {
                    values.push(value);
                    Ok(end)
                }
                _ => Err(Odd),
            },
            Values::Double(values) => double::<S>(text, at).map(|(value, end)| {
                values.push(value);
                end
            }),
            Values::Bool(values) => boolean(text, at).map(|(value, end)| {
                values.push(value);
                end
            }),
            Values::Time { values, per_second, zoned } => {
                let read = if as_text { time(text, at, *per_second, *zoned) } else { count(text, at, *per_second) };
                read.map(|(value, end)| {
                    values.push(value);
                    end
                })
            }
            Values::Date(values) if as_text => date(text, at).map(|day| {
                values.push(day);
                at + 10
            }),
            Values::Date(_) => Err(Odd),
            Values::Decimal { values, scale, limit } => match decimal(text, at, *scale) {
                Ok((value, end)) if value.abs() < *limit => {
                    values.push(value);
                    Ok(end)
                }
                _ => Err(Odd),
            },
            Values::Text(_) | Values::Coded(_) => unreachable!("strings are read as strings"),
        }
    }

    /// Appends the string behind the quote at `at`.
    #[inline(always)]
    fn read_text<S: Scan>(&mut self, text: &[u8], at: usize) -> Plainly<usize> {
        let end = text_end::<S>(text, at)?;
        if text[end] == b'\\' {
            let end = escaped_end(text, end)?;
            self.push_alone(unescaped(&text[at..end])?)?;
            return Ok(end + 1);
        }
        self.rows += 1;
        match &mut self.values {
            Values::Text(texts) => texts.push(&text[at..end]),
            Values::Coded(coded) => coded.push(text, at, end),
            _ => unreachable!("only strings are read as strings"),
        }
        Ok(end + 1)
    }

    /// Appends NULL.
    pub fn push_null(&mut self) {
        self.nulls.push(self.rows as u32);
        self.rows += 1;
        match &mut self.values {
            Values::Whole { values, .. } | Values::Time { values, .. } | Values::Decimal { values, .. } => {
                values.push(0)
            }
            Values::Date(values) => values.push(0),
            Values::Double(values) => values.push(0.0),
            Values::Bool(values) => values.push(false),
            Values::Text(texts) => texts.push(b""),
            Values::Coded(coded) => coded.ids.push(0),
        }
    }

    /// Forgets all but the first `rows` rows.
    pub fn truncate(&mut self, rows: usize) {
        self.rows = rows;
        while self.nulls.last().is_some_and(|&row| row as usize >= rows) {
            self.nulls.pop();
        }
        match &mut self.values {
            Values::Whole { values, .. } | Values::Time { values, .. } | Values::Decimal { values, .. } => {
                values.truncate(rows)
            }
            Values::Date(values) => values.truncate(rows),
            Values::Double(values) => values.truncate(rows),
            Values::Bool(values) => values.truncate(rows),
            Values::Text(texts) => texts.truncate(rows),
            Values::Coded(coded) => coded.ids.truncate(rows),
        }
    }

    /// The column as an array: of the wanted type, or of text.
    pub fn finish(self) -> ArrayRef {
        let rows = self.rows;
        let nulls = (!self.nulls.is_empty()).then(|| {
            let mut valid = BooleanBufferBuilder::new(rows);
            valid.append_n(rows, true);
            self.nulls.iter().for_each(|&row| valid.set_bit(row as usize, false));
            NullBuffer::new(valid.finish())
        });
        fn narrow<T: ArrowPrimitiveType>(
            values: Vec<i64>,
            nulls: Option<NullBuffer>,
            to: fn(i64) -> T::Native,
        ) -> ArrayRef {
            let values: Vec<T::Native> = values.into_iter().map(to).collect();
            Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
        }
        fn times<T: ArrowTimestampType>(
            values: Vec<i64>,
            nulls: Option<NullBuffer>,
            zone: Option<Arc<str>>,
        ) -> ArrayRef {
            Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_timezone_opt(zone))
        }
        match (self.values, self.to) {
            (Values::Whole { values, .. }, DataType::Int8) => narrow::<Int8Type>(values, nulls, |v| v as i8),
            (Values::Whole { values, .. }, DataType::Int16) => narrow::<Int16Type>(values, nulls, |v| v as i16),
            (Values::Whole { values, .. }, DataType::Int32) => narrow::<Int32Type>(values, nulls, |v| v as i32),
            (Values::Whole { values, .. }, DataType::UInt8) => narrow::<UInt8Type>(values, nulls, |v| v as u8),
            (Values::Whole { values, .. }, DataType::UInt16) => narrow::<UInt16Type>(values, nulls, |v| v as u16),
            (Values::Whole { values, .. }, DataType::UInt32) => narrow::<UInt32Type>(values, nulls, |v| v as u32),
            (Values::Whole { values, .. }, DataType::UInt64) => narrow::<UInt64Type>(values, nulls, |v| v as u64),
            (Values::Whole { values, .. }, _) => narrow::<Int64Type>(values, nulls, |v| v),
            (Values::Time { values, .. }, DataType::Timestamp(unit, zone)) => match unit {
                TimeUnit::Second => times::<TimestampSecondType>(values, nulls, zone),
                TimeUnit::Millisecond => times::<TimestampMillisecondType>(values, nulls, zone),
                TimeUnit::Microsecond => times::<TimestampMicrosecondType>(values, nulls, zone),
                TimeUnit::Nanosecond => times::<TimestampNanosecondType>(values, nulls, zone),
            },
            (Values::Decimal { values, .. }, to) => {
                let values: Vec<i128> = values.into_iter().map(i128::from).collect();
                Arc::new(Decimal128Array::new(values.into(), nulls).with_data_type(to))
            }
            (Values::Date(values), _) => Arc::new(Date32Array::new(values.into(), nulls)),
            (Values::Double(values), _) => Arc::new(Float64Array::new(values.into(), nulls)),
            (Values::Bool(values), _) => Arc::new(BooleanArray::new(values.into(), nulls)),
            (Values::Text(texts), _) => texts.finish(nulls),
            (Values::Coded(coded), _) => coded.finish(nulls),
            (Values::Time { .. }, to) => unreachable!("times are for timestamps, not for {to}"),
        }
    }
}

fn per_second(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Strings one after the other.
struct Texts {
    ends: Vec<i32>,
    bytes: Vec<u8>,
}

impl Default for Texts {
    fn default() -> Self {
        Texts { ends: vec![0], bytes: vec![] }
    }
}

impl Texts {
    #[inline(always)]
    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as i32);
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows + 1);
        self.bytes.truncate(self.ends[rows] as usize);
    }

    fn finish(self, nulls: Option<NullBuffer>) -> ArrayRef {
        // The text of a piece is shorter than 2 GiB and was checked to be UTF-8; the check here is of the wanted bytes only.
        Arc::new(StringArray::new(OffsetBuffer::new(self.ends.into()), self.bytes.into(), nulls))
    }
}

/// Strings as numbers of the values in a list. Values of up to 16 bytes are found by their bytes as two words; longer
/// ones by a hash of theirs.
struct Coded {
    ids: Vec<i32>,
    values: Texts,
    /// Slots by hash: two words, length, and number + 1 of a value; a power of two of them, half of them free.
    slots: Vec<(u64, u64, u32, u32)>,
}

impl Default for Coded {
    fn default() -> Self {
        Coded { ids: vec![], values: Texts::default(), slots: vec![(0, 0, 0, 0); 256] }
    }
}

impl Coded {
    /// Appends `text[at..end]`.
    #[inline(always)]
    fn push(&mut self, text: &[u8], at: usize, end: usize) {
        let n = end - at;
        let (low, high) = match text[at..].first_chunk::<16>() {
            Some(bytes) if n <= 16 => {
                let all = u128::from_le_bytes(*bytes) & (u128::MAX.checked_shr(128 - 8 * n as u32).unwrap_or(0));
                (all as u64, (all >> 64) as u64)
            }
            _ => hash(&text[at..end]),
        };
        let mut slot = self.slot(low, high);
        loop {
            let (l, h, length, id) = self.slots[slot];
            if id == 0 {
                self.insert(slot, low, high, &text[at..end]);
                return;
            }
            if (l, h, length) == (low, high, n as u32) && (n <= 16 || self.value(id - 1) == &text[at..end]) {
                self.ids.push(id as i32 - 1);
                return;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    /// Appends a string that no text goes on behind.
    fn push_alone(&mut self, mut bytes: Vec<u8>) {
        let n = bytes.len();
        bytes.extend([0; 16]);
        self.push(&bytes, 0, n);
    }

    #[inline(always)]
    fn slot(&self, low: u64, high: u64) -> usize {
        let mixed = (low ^ high.rotate_left(23)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 40) as usize & (self.slots.len() - 1)
    }

    fn value(&self, id: u32) -> &[u8] {
        let id = id as usize;
        &self.values.bytes[self.values.ends[id] as usize..self.values.ends[id + 1] as usize]
    }

    #[cold]
    fn insert(&mut self, slot: usize, low: u64, high: u64, value: &[u8]) {
        self.values.push(value);
        let count = self.values.ends.len() - 1;
        self.slots[slot] = (low, high, value.len() as u32, count as u32);
        self.ids.push(count as i32 - 1);
        if count * 2 > self.slots.len() {
            let larger = vec![(0, 0, 0, 0); self.slots.len() * 4];
            for old in std::mem::replace(&mut self.slots, larger).into_iter().filter(|s| s.3 != 0) {
                let mut slot = self.slot(old.0, old.1);
                while self.slots[slot].3 != 0 {
                    slot = (slot + 1) & (self.slots.len() - 1);
                }
                self.slots[slot] = old;
            }
        }
    }

    fn finish(mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        if self.values.ends.len() == 1 && !self.ids.is_empty() {
            // NULLs point at the first value, which must be there.
            self.values.push(b"");
        }
        let keys = PrimitiveArray::<Int32Type>::new(self.ids.into(), nulls);
        Arc::new(DictionaryArray::new(keys, self.values.finish(None)))
    }
}

/// Two words of a long string.
fn hash(bytes: &[u8]) -> (u64, u64) {
    let mut low = bytes.len() as u64;
    for part in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        low = (low.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    (low, low >> 32)
}

/// Some bytes from `at` on.
#[inline(always)]
pub fn window<const N: usize>(text: &[u8], at: usize) -> Plainly<&[u8; N]> {
    text.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Odd)
}

/// Eight bytes from `at` on, the first one lowest.
#[inline(always)]
pub fn load(text: &[u8], at: usize) -> Plainly<u64> {
    text.get(at..).and_then(|rest| rest.first_chunk()).map(|bytes| u64::from_le_bytes(*bytes)).ok_or(Odd)
}

/// Where a string's first byte is that is not plain: its quote, or a `\`. Control characters are odd.
#[inline(always)]
pub fn text_end<S: Scan>(text: &[u8], mut at: usize) -> Plainly<usize> {
    loop {
        let marks = S::marks(window(text, at)?);
        if marks != 0 {
            let end = at + marks.trailing_zeros() as usize;
            return if text[end] >= b' ' { Ok(end) } else { Err(Odd) };
        }
        at += 32;
    }
}

/// Where the string that goes on at `at` ends: its closing quote. Its escapes are good.
#[cold]
pub fn escaped_end(text: &[u8], mut at: usize) -> Plainly<usize> {
    loop {
        match text.get(at).ok_or(Odd)? {
            b'"' => return Ok(at),
            b'\\' if text.get(at + 1) == Some(&b'u') => at = unicode(text, at + 2)?.1,
            b'\\' if plain_escape(text, at + 1).is_some() => at += 2,
            b'\\' | 0..b' ' => return Err(Odd),
            _ => at += 1,
        }
    }
}

/// What a whole string means.
#[cold]
fn unescaped(text: &[u8]) -> Plainly<Vec<u8>> {
    let (mut plain, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(&byte) = text.get(at) {
        if byte != b'\\' {
            plain.push(byte);
            at += 1;
        } else if let Some(escaped) = plain_escape(text, at + 1) {
            plain.push(escaped);
            at += 2;
        } else {
            let (letter, end) = unicode(text, at + 2)?;
            plain.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            at = end;
        }
    }
    Ok(plain)
}

/// The byte that the one behind a `\` stands for.
fn plain_escape(text: &[u8], at: usize) -> Option<u8> {
    match text.get(at)? {
        same @ (b'"' | b'\\' | b'/') => Some(*same),
        b'b' => Some(8),
        b'f' => Some(12),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        _ => None,
    }
}

/// The letter that four hex digits stand for, or two times four with `\u` between them; and where they end.
fn unicode(text: &[u8], at: usize) -> Plainly<(char, usize)> {
    let four = |at: usize| {
        let digits = text.get(at..at + 4).ok_or(Odd)?;
        digits.iter().try_fold(0, |value, &d| Ok(value << 4 | (d as char).to_digit(16).ok_or(Odd)?))
    };
    let first = four(at)?;
    if let Some(letter) = char::from_u32(first) {
        return Ok((letter, at + 4));
    }
    if first >= 0xdc00 || text.get(at + 4..at + 6) != Some(b"\\u") {
        return Err(Odd);
    }
    let second = four(at + 6)?;
    if !(0xdc00..0xe000).contains(&second) {
        return Err(Odd);
    }
    let letter = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00));
    Ok((letter.expect("two halves make a letter"), at + 10))
}

/// Where the number at `at` ends, of 31 letters at most. What is in it is not looked at: the slow way takes any digits and
/// `+-.eE` for one that begin with a digit or `-`.
#[inline(always)]
pub fn number_end<S: Scan>(text: &[u8], at: usize) -> Plainly<usize> {
    // Mostly digits only, whose end is sooner known.
    let mut n = digits_at(load(text, at)?);
    if n == 8 {
        n += digits_at(load(text, at + 8)?);
    }
    if n > 0 && matches!(text[at + n], b',' | b'}' | b']') {
        return Ok(at + n);
    }
    let bytes = window(text, at)?;
    let length = S::ends_number(bytes).trailing_zeros() as usize;
    if length < 32 && matches!(bytes[0], b'0'..=b'9' | b'-') { Ok(at + length) } else { Err(Odd) }
}

/// Four bytes from `at` on, the first one lowest.
#[inline(always)]
fn word(text: &[u8], at: usize) -> Plainly<u32> {
    text.get(at..).and_then(|rest| rest.first_chunk()).map(|bytes| u32::from_le_bytes(*bytes)).ok_or(Odd)
}

const NULL: u32 = u32::from_le_bytes(*b"null");

/// `true` or `false`, and where it ends. A table and no branch on which of them it is: nobody can foretell it.
#[inline(always)]
fn boolean(text: &[u8], at: usize) -> Plainly<(bool, usize)> {
    const WORDS: [(u64, u64); 2] =
        [(u64::from_le_bytes(*b"true\0\0\0\0"), 0xffff_ffff), (u64::from_le_bytes(*b"false\0\0\0"), 0xff_ffff_ffff)];
    let no = usize::from(text[at] == b'f');
    let (word, mask) = WORDS[no];
    if load(text, at)? & mask == word { Ok((no == 0, at + 4 + no)) } else { Err(Odd) }
}

/// Where the `true`, `false` or `null` at `at` ends.
#[inline(always)]
pub fn literal_end(text: &[u8], at: usize) -> Plainly<usize> {
    match boolean(text, at) {
        Ok((_, end)) => Ok(end),
        Err(Odd) if word(text, at)? == NULL => Ok(at + 4),
        Err(Odd) => Err(Odd),
    }
}

/// Where the number, `true` or `false` at `at` ends.
#[inline(always)]
fn scalar<S: Scan>(text: &[u8], at: usize) -> Plainly<usize> {
    number_end::<S>(text, at).or_else(|Odd| boolean(text, at).map(|(_, end)| end))
}

const POWERS: [u64; 19] = {
    let mut powers = [1; 19];
    let mut i = 1;
    while i < 19 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// Powers of ten that are exact.
const POWERS_F64: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// The high bit of each of eight bytes that is no digit, right up to the first one that is not ASCII; and the values of the
/// digits.
#[inline(always)]
fn no_digits(word: u64) -> (u64, u64) {
    let digits = word ^ 0x3030_3030_3030_3030;
    ((digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080, digits)
}

/// How many digits eight bytes begin with.
#[inline(always)]
fn digits_at(word: u64) -> usize {
    (no_digits(word).0.trailing_zeros() / 8) as usize
}

/// The number that the lowest `count` of eight digits stand for, the first one lowest.
#[inline(always)]
fn value_of(digits: u64, count: usize) -> u64 {
    // As many zeros before them as there are bytes behind them; then pairs, fours and all.
    let digits = digits.checked_shl(64 - 8 * count as u32).unwrap_or(0);
    let pairs = (digits & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul(10 << 8 | 1) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 << 16 | 1) >> 16;
    (fours & 0x0000_ffff_0000_ffff).wrapping_mul(10_000 << 32 | 1) >> 32
}

/// The value of the digits that eight bytes begin with, and how many these are.
#[inline(always)]
fn eight(word: u64) -> (u64, usize) {
    let (others, digits) = no_digits(word);
    let count = (others.trailing_zeros() / 8) as usize;
    (value_of(digits, count), count)
}

/// The value of up to 16 digits, and how many these are.
#[inline(always)]
fn digits(text: &[u8], at: usize) -> Plainly<(u64, usize)> {
    let (high, n) = eight(load(text, at)?);
    if n < 8 {
        return Ok((high, n));
    }
    let (low, m) = eight(load(text, at + 8)?);
    Ok((high * POWERS[m] + low, 8 + m))
}

/// An integer of up to 18 digits, and where it ends.
#[inline(always)]
fn whole(text: &[u8], at: usize) -> Plainly<(i64, usize)> {
    let negative = text[at] == b'-';
    let at = at + usize::from(negative);
    let (mut value, mut n) = digits(text, at)?;
    if n == 16 {
        let (low, m) = eight(load(text, at + 16)?);
        if m > 2 {
            return Err(Odd);
        }
        (value, n) = (value * POWERS[m] + low, n + m);
    }
    if n == 0 {
        return Err(Odd);
    }
    Ok((if negative { -(value as i64) } else { value as i64 }, at + n))
}

/// A finite double, and where it ends. A mantissa of up to 53 bits divided by an exact power of ten is rounded once, so it
/// is the nearest double (Clinger 1990); others take the parser that the cast of text takes.
#[inline(always)]
fn double<S: Scan>(text: &[u8], at: usize) -> Plainly<(f64, usize)> {
    const EXACT_MAX: u64 = 1 << 53;
    let negative = text[at] == b'-';
    let start = at + usize::from(negative);
    // Mostly short, such as 123.45: all of it in one word, and the point taken out.
    let (others, all) = no_digits(load(text, start)?);
    let (point, stop) = (others.trailing_zeros(), (others & others.wrapping_sub(1)).trailing_zeros());
    let (n, length) = ((point / 8) as usize, (stop / 8) as usize);
    if stop < 64 && n > 0 && length > n + 1 && text[start + n] == b'.' && text[start + length] | 0x20 != b'e' {
        let before = (1 << (8 * n)) - 1;
        let value = value_of(all & before | (all >> 8) & !before, length - 1);
        let value = value as i64 as f64 / POWERS_F64[length - n - 1];
        return Ok((if negative { -value } else { value }, start + length));
    }
    let (mut value, n) = digits(text, start)?;
    let (mut end, mut m) = (start + n, 0);
    let mut plain = n > 0 && n < 16;
    if text[end] == b'.' {
        let fraction;
        (fraction, m) = digits(text, end + 1)?;
        plain &= m > 0 && n + m <= 17 && m < 16;
        value = value.wrapping_mul(POWERS[m]).wrapping_add(fraction);
        end += 1 + m;
    }
    if !plain || value > EXACT_MAX || text[end] | 0x20 == b'e' {
        return any_double::<S>(text, at);
    }
    let value = value as i64 as f64 / POWERS_F64[m];
    Ok((if negative { -value } else { value }, end))
}

/// Any finite double, and where it ends.
#[cold]
fn any_double<S: Scan>(text: &[u8], at: usize) -> Plainly<(f64, usize)> {
    let end = number_end::<S>(text, at)?;
    let token = std::str::from_utf8(&text[at..end]).map_err(|_| Odd)?;
    let value = Float64Type::parse(token).filter(|v| v.is_finite()).ok_or(Odd)?;
    Ok((value, end))
}

/// A number with up to `scale` digits behind the point, times ten to that power.
fn decimal(text: &[u8], at: usize, scale: u8) -> Plainly<(i64, usize)> {
    let negative = text[at] == b'-';
    let start = at + usize::from(negative);
    let (mut value, n) = digits(text, start)?;
    let (mut end, mut m) = (start + n, 0);
    if text[end] == b'.' {
        let fraction;
        (fraction, m) = digits(text, end + 1)?;
        if m == 0 || n + m > 18 {
            return Err(Odd);
        }
        value = value * POWERS[m] + fraction;
        end += 1 + m;
    }
    if n == 0 || n >= 16 || m >= 16 || m > scale.into() {
        return Err(Odd);
    }
    let value = (value as i64).checked_mul(POWERS[usize::from(scale) - m] as i64).ok_or(Odd)?;
    Ok((if negative { -value } else { value }, end))
}

/// Two digits.
#[inline(always)]
fn two(text: &[u8], at: usize) -> Plainly<i64> {
    let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
    if tens > 9 || ones > 9 { Err(Odd) } else { Ok(i64::from(tens) * 10 + i64::from(ones)) }
}

/// The days from 1970 to the date `2024-01-31`.
#[inline(always)]
fn date(text: &[u8], at: usize) -> Plainly<i32> {
    let text = window::<64>(text, at)?;
    let (year, month, day) = (two(text, 0)? * 100 + two(text, 2)?, two(text, 5)?, two(text, 8)?);
    if text[4] != b'-' || text[7] != b'-' || !(1..=12).contains(&month) || day < 1 {
        return Err(Odd);
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if day > last {
        return Err(Odd);
    }
    // Years that begin in March end with the leap day (Hinnant, "chrono-compatible low-level date algorithms").
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Ok((era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468) as i32)
}

/// A time as text, `2024-01-31T12:34:56.789Z` or without fraction, zone or time of day, as a count since 1970.
fn time(text: &[u8], at: usize, per_second: i64, zoned: bool) -> Plainly<(i64, usize)> {
    let seconds = i64::from(date(text, at)?) * 86_400;
    let text = window::<64>(text, at)?;
    if !matches!(text[10], b'T' | b' ') {
        return if zoned { Err(Odd) } else { Ok((seconds.checked_mul(per_second).ok_or(Odd)?, at + 10)) };
    }
    let (hour, minute, second) = (two(text, 11)?, two(text, 14)?, two(text, 17)?);
    if (text[13], text[16]) != (b':', b':') || hour > 23 || minute > 59 || second > 59 {
        return Err(Odd);
    }
    let seconds = seconds + hour * 3600 + minute * 60 + second;
    let (mut end, mut nanos) = (19, 0);
    if text[end] == b'.' {
        let (fraction, n) = digits(text, end + 1)?;
        if !(1..=9).contains(&n) {
            return Err(Odd);
        }
        nanos = (fraction * POWERS[9 - n]) as i64;
        end += 1 + n;
    }
    let instant = matches!(text[end], b'Z' | b'z');
    if zoned && !instant {
        return Err(Odd);
    }
    let value = seconds.checked_mul(per_second).and_then(|v| v.checked_add(nanos / (1_000_000_000 / per_second)));
    Ok((value.ok_or(Odd)?, at + end + usize::from(instant)))
}

/// A time as a count since 1970, of the years 1 to 9999.
fn count(text: &[u8], at: usize, per_second: i64) -> Plainly<(i64, usize)> {
    const FIRST_SECOND: i64 = -62_135_596_800;
    const LAST_SECOND: i64 = 253_402_300_799;
    let (value, end) = whole(text, at)?;
    if (FIRST_SECOND..=LAST_SECOND).contains(&value.div_euclid(per_second)) { Ok((value, end)) } else { Err(Odd) }
}
