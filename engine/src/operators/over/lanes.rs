//! Lanes: what is kept of an argument for each row that a frame may still look at.
//!
//! A lane is a few vectors over the places of an arena (see `keyed`); the rows of a key lie side by side in it. Sums are kept as
//! running sums: what a frame adds up to is a difference of two of them, exactly, because they are integers (doubles at one scale
//! for the whole lane) that wrap around. Extremes, the last value that is not NULL and occurrences of equal values are links
//! between rows. Links are distances, so that they stay right when a key's rows are moved.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Decimal128Array, Float64Array, Int64Array, StringArray, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;
use hashbrown::HashMap;

use super::totals::Totals;

/// What calls ask of a lane.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// The values themselves.
    pub values: bool,
    /// Running sums.
    pub sums: bool,
    /// Links to the next lesser value.
    pub least: bool,
    /// Links to the next greater value.
    pub greatest: bool,
    /// Links to the last value that is not NULL.
    pub last: bool,
    /// Links between equal values.
    pub distinct: bool,
}

/// How values of a type are words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// As integers of 64 bits.
    Integer,
    /// Unsigned ones, moved down so that they keep their order.
    Unsigned,
    /// Doubles as integers of the same order; NaN is one and the greatest.
    Double,
    /// Unscaled values.
    Decimal,
    /// Numbers of interned bytes.
    Text,
}

/// The kind of a type that `OVER` can keep; `None` for nested types and intervals.
fn kind_of(data_type: &DataType) -> Option<Kind> {
    use DataType::*;
    Some(match data_type {
        Boolean | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | Date32 | Time32(_) | Time64(_)
        | Timestamp(..) => Kind::Integer,
        UInt64 => Kind::Unsigned,
        Float32 | Float64 => Kind::Double,
        Decimal128(..) => Kind::Decimal,
        Utf8 | Binary => Kind::Text,
        Dictionary(_, values) => return kind_of(values),
        _ => return None,
    })
}

/// Whether `OVER` can keep values of a type.
pub fn is_kept(data_type: &DataType) -> bool {
    kind_of(data_type).is_some()
}

/// The bits of a double as an integer of the same order.
fn ordered(bits: i64) -> i64 {
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// A double as a word.
fn word_of(value: f64) -> i64 {
    ordered(if value.is_nan() { f64::NAN.to_bits() as i64 & i64::MAX } else { value.to_bits() as i64 })
}

/// A word as the double it was.
pub fn double_of(word: i128) -> f64 {
    f64::from_bits(ordered(word as i64) as u64)
}

/// Words of 8 or 16 bytes.
#[derive(Debug)]
enum Words {
    None,
    Small(Vec<i64>),
    Large(Vec<i128>),
}

/// Byte strings, each once, with how many rows have it.
#[derive(Debug, Default)]
struct Texts {
    ids: HashMap<Arc<[u8]>, u32>,
    texts: Vec<(Arc<[u8]>, u32)>,
    free: Vec<u32>,
    bytes: usize,
}

impl Texts {
    /// The number of these bytes, which one more row has.
    fn hold(&mut self, text: &[u8]) -> u32 {
        if let Some(&id) = self.ids.get(text) {
            self.texts[id as usize].1 += 1;
            return id;
        }
        let text: Arc<[u8]> = text.into();
        self.bytes += text.len();
        let id = match self.free.pop() {
            Some(id) => {
                self.texts[id as usize] = (text.clone(), 1);
                id
            }
            None => {
                self.texts.push((text.clone(), 1));
                self.texts.len() as u32 - 1
            }
        };
        self.ids.insert(text, id);
        id
    }

    fn hold_again(&mut self, id: u32) {
        self.texts[id as usize].1 += 1;
    }

    fn release(&mut self, id: u32) {
        let (text, holders) = &mut self.texts[id as usize];
        *holders -= 1;
        if *holders == 0 {
            let text = std::mem::replace(text, Arc::from([]));
            self.bytes -= text.len();
            self.ids.remove(&text);
            self.free.push(id);
        }
    }
}

/// The scale of a lane's sums of doubles: they are integers times `2^unit`.
#[derive(Clone, Copy, Debug)]
struct Scale {
    unit: i32,
    /// Every value is below `2^top`.
    top: i32,
}

/// So far apart may the unit and the greatest value be: 2^32 of them add up in 127 bits.
const SPAN: i32 = 94;

/// One argument.
#[derive(Debug)]
pub struct Lane {
    kind: Kind,
    data_type: DataType,
    needs: Needs,
    words: Words,
    /// How many NULLs; empty while none has come.
    nulls: Totals,
    /// Of the values.
    sums: Totals,
    /// Of doubles.
    scale: Option<Scale>,
    /// Places that sums may have been put to.
    used: usize,
    /// Doubles are too far apart for one scale: frames are added up value by value.
    pub wide: bool,
    /// How many values that are no numbers; empty while none has come.
    specials: Totals,
    texts: Texts,
    least: Links,
    greatest: Links,
    /// Distance to the last value that is not NULL, plus 1; 0 for none.
    last: Vec<u32>,
    /// Distance to the value before that is equal; 0 for none.
    before: Vec<u32>,
    /// Distance to the next value that is equal; 0 for none.
    after: Vec<u32>,
    /// Where a value of a key was last: its number in the key.
    latest: HashMap<(u32, i128), u64>,
}

/// Links from each value to the next better one, and back from each to the last that is no worse.
#[derive(Debug, Default)]
struct Links {
    next: Vec<u32>,
    back: Vec<u32>,
}

/// An argument's values as they come.
struct Incoming {
    words: Words,
    nulls: Option<NullBuffer>,
}

impl Incoming {
    fn get(&self, row: usize) -> Option<i128> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        Some(match &self.words {
            Words::Small(words) => words[row].into(),
            Words::Large(words) => words[row],
            Words::None => unreachable!("they have just been made"),
        })
    }
}

/// Rows that are appended: the order they come in, where they go, and of which key they are.
pub struct Appended<'a> {
    /// Their row in the batch.
    pub order: &'a [u32],
    /// Their place in the arena.
    pub at: &'a [u32],
    /// Runs of rows of one key: the key, where its block begins, the number of the row there, and the last row of the run.
    pub runs: &'a [Run],
}

impl Appended<'_> {
    /// A number for each, from its row in the batch, at its place.
    fn map(&self, number: impl Fn(usize) -> i128) -> impl ExactSizeIterator<Item = (usize, i128)> {
        self.order.iter().zip(self.at).map(move |(row, at)| (*at as usize, number(*row as usize)))
    }
}

/// Rows of one key in a row.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The key.
    pub key: u32,
    /// The first and the one behind the last, of the rows in order.
    pub rows: (u32, u32),
    /// Where the key's block begins.
    pub start: u32,
    /// How many rows of the key came before the first in the block.
    pub base: u64,
}

impl Run {
    /// The numbers of its rows in the order of keys.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.rows.0 as usize..self.rows.1 as usize
    }
}

impl Lane {
    /// A lane for a type; `None` if values of it cannot be kept.
    pub fn new(data_type: &DataType, mut needs: Needs) -> Option<Self> {
        let data_type = match data_type {
            DataType::Dictionary(_, values) => values.as_ref(),
            other => other,
        };
        let kind = kind_of(data_type)?;
        // Doubles are added up one by one where no scale holds them.
        needs.values |= needs.least || needs.greatest || needs.last || needs.distinct || kind == Kind::Double;
        let words = match (needs.values, kind) {
            (false, _) => Words::None,
            (true, Kind::Decimal) => Words::Large(vec![]),
            (true, _) => Words::Small(vec![]),
        };
        Some(Lane {
            kind,
            data_type: data_type.clone(),
            needs,
            words,
            nulls: Totals::default(),
            sums: if kind == Kind::Double { Totals::large() } else { Totals::default() },
            scale: None,
            used: 0,
            wide: false,
            specials: Totals::default(),
            texts: Texts::default(),
            least: Links::default(),
            greatest: Links::default(),
            last: vec![],
            before: vec![],
            after: vec![],
            latest: HashMap::new(),
        })
    }

    /// The type of its values.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Room for so many places.
    pub fn resize(&mut self, places: usize) {
        match &mut self.words {
            Words::None => {}
            Words::Small(words) => grow(words, places),
            Words::Large(words) => grow(words, places),
        }
        for counts in [&mut self.nulls, &mut self.specials] {
            if !counts.is_empty() {
                counts.grow(places);
            }
        }
        if self.needs.sums {
            self.sums.grow(places);
        }
        for (needed, links) in [(self.needs.least, &mut self.least), (self.needs.greatest, &mut self.greatest)] {
            if needed {
                grow(&mut links.next, places);
                grow(&mut links.back, places);
            }
        }
        if self.needs.last {
            grow(&mut self.last, places);
        }
        if self.needs.distinct {
            grow(&mut self.before, places);
            grow(&mut self.after, places);
        }
    }

    /// Moves `len` rows, and the sums behind the last.
    pub fn copy(&mut self, from: usize, to: usize, len: usize) {
        let rows = from..from + len;
        let sums = from..from + len + 1;
        match &mut self.words {
            Words::None => {}
            Words::Small(words) => words.copy_within(rows.clone(), to),
            Words::Large(words) => words.copy_within(rows.clone(), to),
        }
        for links in [
            &mut self.least.next,
            &mut self.least.back,
            &mut self.greatest.next,
            &mut self.greatest.back,
            &mut self.last,
            &mut self.before,
            &mut self.after,
        ] {
            if !links.is_empty() {
                links.copy_within(rows.clone(), to);
            }
        }
        for counts in [&mut self.nulls, &mut self.specials] {
            if !counts.is_empty() {
                counts.copy_within(sums.clone(), to);
            }
        }
        if self.needs.sums {
            self.sums.copy_within(sums, to);
        }
    }

    /// A key's first place: nothing was before it.
    pub fn begin(&mut self, at: usize) {
        for counts in [&mut self.nulls, &mut self.specials] {
            if !counts.is_empty() {
                counts.begin(at);
            }
        }
        if self.needs.sums {
            self.sums.begin(at);
        }
    }

    /// Rows of a key that no frame looks at any more, before they are overwritten. `base`: the number of the first.
    pub fn forget(&mut self, key: u32, from: usize, len: usize, base: u64) {
        let releases = self.kind == Kind::Text && self.needs.values;
        if !releases && !self.needs.distinct {
            return;
        }
        for place in from..from + len {
            if self.is_null(place) {
                continue;
            }
            let word = self.word(place);
            if self.needs.distinct && self.after[place] == 0 {
                let value = (key, self.same(word));
                if self.latest.get(&value) == Some(&(base + (place - from) as u64)) {
                    self.latest.remove(&value);
                }
            }
            if releases {
                self.texts.release(word as u32);
            }
        }
    }

    /// Forgets what it knew of keys by their numbers, which change: `keys` says which keys are left, by their numbers before.
    pub fn renumber(&mut self, renumbered: &[u32]) {
        let latest = std::mem::take(&mut self.latest);
        self.latest = latest
            .into_iter()
            .filter(|((key, _), _)| renumbered[*key as usize] != u32::MAX)
            .map(|((key, word), at)| ((renumbered[key as usize], word), at))
            .collect();
    }

    /// The word by which a value is equal to others: the two zeros are.
    fn same(&self, word: i128) -> i128 {
        if self.kind == Kind::Double && word == word_of(-0.0).into() { word_of(0.0).into() } else { word }
    }

    /// The value of a row that is not NULL.
    pub fn word(&self, place: usize) -> i128 {
        match &self.words {
            Words::Small(words) => words[place].into(),
            Words::Large(words) => words[place],
            Words::None => unreachable!("no call needs the values"),
        }
    }

    /// Whether a row's value is NULL.
    #[inline]
    pub fn is_null(&self, place: usize) -> bool {
        self.nulls_between(place, place + 1) > 0
    }

    /// How many of the rows from one place to another are NULL.
    #[inline]
    pub fn nulls_between(&self, head: usize, tail: usize) -> u64 {
        if self.nulls.is_empty() { 0 } else { self.nulls.between(head, tail) as u64 }
    }

    /// NULLs of the key before the place.
    #[inline]
    pub fn nulls_before(&self, tail: usize) -> u64 {
        if self.nulls.is_empty() { 0 } else { self.nulls.before(tail) as u64 }
    }

    /// Whether a value between is no number.
    pub fn special_between(&self, head: usize, tail: usize) -> bool {
        !self.specials.is_empty() && self.specials.between(head, tail) != 0
    }

    /// The sums of the values.
    pub fn sums(&self) -> &Totals {
        &self.sums
    }

    /// The power of two that the sums are multiples of.
    pub fn unit(&self) -> i32 {
        self.scale.map_or(0, |scale| scale.unit)
    }

    /// The order of two values.
    pub fn compare(&self, a: i128, b: i128) -> std::cmp::Ordering {
        match self.kind {
            Kind::Text => self.texts.texts[a as usize].0.cmp(&self.texts.texts[b as usize].0),
            _ => a.cmp(&b),
        }
    }

    /// Keeps a value beyond its row, or no longer.
    pub fn hold(&mut self, word: i128) {
        if self.kind == Kind::Text {
            self.texts.hold_again(word as u32);
        }
    }

    /// See [`hold`](Self::hold).
    pub fn release(&mut self, word: i128) {
        if self.kind == Kind::Text {
            self.texts.release(word as u32);
        }
    }

    /// From the best of a frame's first rows, or any that no other of these is better than, to the best of all before `tail`.
    pub fn best(&self, greatest: bool, mut place: usize, tail: usize) -> usize {
        let next = if greatest { &self.greatest.next } else { &self.least.next };
        loop {
            let step = next[place] as usize;
            if step == 0 || place + step >= tail {
                return place;
            }
            place += step;
        }
    }

    /// The place of the last value before `tail` that is not NULL, if it is not before `head`.
    pub fn last_before(&self, head: usize, tail: usize) -> Option<usize> {
        let back = self.last[tail.checked_sub(1)?] as usize;
        (tail > head && back > 0 && back <= tail - head).then(|| tail - back)
    }

    /// The place of the first value from `head` on that is not NULL, if it is before `tail`.
    pub fn first_from(&self, head: usize, tail: usize) -> Option<usize> {
        let values = |place: usize| (place - head) as u64 - self.nulls_between(head, place);
        if tail <= head || values(tail) == 0 {
            return None;
        }
        // The number of values up to a place ascends by steps of one.
        let (mut low, mut high) = (head, tail);
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if values(middle) == 0 { low = middle } else { high = middle }
        }
        Some(high - 1)
    }

    /// Whether the value at a place is the first of its like in the rows from `head` on.
    pub fn is_first(&self, place: usize, head: usize) -> bool {
        let back = self.before[place] as usize;
        back == 0 || back > place - head
    }

    /// Whether the value at a place is the last of its like in the rows before `tail`.
    pub fn is_last(&self, place: usize, tail: usize) -> bool {
        let step = self.after[place] as usize;
        step == 0 || place + step >= tail
    }

    /// The word by which the value at a place is told from others.
    pub fn distinct_word(&self, place: usize) -> i128 {
        self.same(self.word(place))
    }

    /// Appends rows.
    pub fn append(&mut self, rows: &Appended<'_>, column: &ArrayRef, places: usize) -> Result<(), ArrowError> {
        let values = self.incoming(column)?;
        self.append_nulls(rows, &values, places);
        self.append_words(rows, &values);
        if self.needs.sums {
            match self.kind {
                Kind::Double => self.append_doubles(rows, &values, places),
                _ => {
                    // Unsigned numbers are words moved down.
                    let up = if self.kind == Kind::Unsigned { 1i128 << 63 } else { 0 };
                    match &values.words {
                        Words::Small(words) => {
                            let (least, most) = words.iter().fold((0, 0), |(l, m), &w| (w.min(l), w.max(m)));
                            let most = [least, most].map(|word: i64| (i128::from(word) + up).unsigned_abs());
                            let most = most[0].max(most[1]);
                            self.add_up(rows, &values, most, |row| i128::from(words[row]) + up);
                        }
                        _ => self.add_up(rows, &values, u128::MAX, |row| values.get(row).unwrap_or(0)),
                    }
                }
            }
        }
        if self.needs.least || self.needs.greatest {
            self.append_links(rows);
        }
        if self.needs.last {
            for run in rows.runs {
                for i in run.range() {
                    let at = rows.at[i];
                    self.last[at as usize] = match (self.is_null(at as usize), at == run.start) {
                        (false, _) => 1,
                        (true, true) => 0,
                        (true, false) => match self.last[at as usize - 1] {
                            0 => 0,
                            back => back + 1,
                        },
                    };
                }
            }
        }
        if self.needs.distinct {
            self.append_occurrences(rows);
        }
        Ok(())
    }

    fn append_nulls(&mut self, rows: &Appended<'_>, values: &Incoming, places: usize) {
        if self.nulls.is_empty() {
            if values.nulls.as_ref().is_none_or(|nulls| nulls.null_count() == 0) {
                return;
            }
            self.nulls.grow(places);
        }
        match &values.nulls {
            None => self.nulls.append(rows.map(|_| 0), 0),
            Some(nulls) => self.nulls.append(rows.map(|row| nulls.is_null(row).into()), 1),
        }
    }

    fn append_words(&mut self, rows: &Appended<'_>, values: &Incoming) {
        let pairs = rows.order.iter().zip(rows.at);
        match (&mut self.words, &values.words) {
            (Words::Small(own), Words::Small(new)) => {
                pairs.for_each(|(&row, &at)| own[at as usize] = new[row as usize])
            }
            (Words::Large(own), Words::Large(new)) => {
                pairs.for_each(|(&row, &at)| own[at as usize] = new[row as usize])
            }
            _ => {}
        }
    }

    fn add_up(&mut self, rows: &Appended<'_>, values: &Incoming, most: u128, value: impl Fn(usize) -> i128) {
        match &values.nulls {
            None => self.sums.append(rows.map(value), most),
            Some(nulls) => self.sums.append(rows.map(|row| if nulls.is_valid(row) { value(row) } else { 0 }), most),
        }
    }

    fn append_doubles(&mut self, rows: &Appended<'_>, values: &Incoming, places: usize) {
        // One more sum than rows.
        self.used = self.used.max(rows.at.iter().max().map_or(0, |at| *at as usize + 2));
        let doubles = || rows.order.iter().map(|&row| values.get(row as usize).map_or(0.0, double_of));
        let (mut unit, mut top, mut special) = (i32::MAX, i32::MIN, false);
        for value in doubles() {
            match parts(value) {
                Some((0, _)) => {}
                Some((mantissa, exponent)) => {
                    unit = unit.min(exponent + mantissa.trailing_zeros() as i32);
                    top = top.max(exponent + 64 - mantissa.unsigned_abs().leading_zeros() as i32);
                }
                None => special = true,
            }
        }
        if special && self.specials.is_empty() {
            self.specials.grow(places);
        }
        if unit != i32::MAX {
            self.rescale(unit, top);
        }
        let (unit, wide) = (self.unit(), self.wide);
        if !self.specials.is_empty() {
            let special = |row| values.get(row).is_some_and(|word| parts(double_of(word)).is_none());
            self.specials.append(rows.map(|row| special(row).into()), 1);
        }
        let number = |row| match values.get(row).and_then(|word| parts(double_of(word))) {
            Some((mantissa, exponent)) if mantissa != 0 && !wide => {
                let zeros = mantissa.trailing_zeros();
                i128::from(mantissa >> zeros) << (exponent + zeros as i32 - unit)
            }
            _ => 0,
        };
        self.sums.append(rows.map(number), u128::MAX);
    }

    /// Makes the sums multiples of `2^unit` at least, where values are below `2^top`.
    fn rescale(&mut self, unit: i32, top: i32) {
        let Scale { unit: old, top: before } = *self.scale.get_or_insert(Scale { unit, top });
        let scale = Scale { unit: unit.min(old), top: top.max(before) };
        self.wide |= scale.top - scale.unit > SPAN;
        if self.wide {
            return;
        }
        // Running sums wrap around, so that those of long ago may be anything: differences of two are right at any scale.
        if scale.unit < old {
            self.sums.scale(self.used, (old - scale.unit) as u32);
        }
        self.scale = Some(scale);
    }

    fn append_links(&mut self, rows: &Appended<'_>) {
        for greatest in [false, true] {
            if !(if greatest { self.needs.greatest } else { self.needs.least }) {
                continue;
            }
            let mut links = std::mem::take(if greatest { &mut self.greatest } else { &mut self.least });
            for run in rows.runs {
                for i in run.range() {
                    let at = rows.at[i];
                    links.append(at, run.start, |other| self.is_better(greatest, at as usize, other as usize));
                }
            }
            *(if greatest { &mut self.greatest } else { &mut self.least }) = links;
        }
    }

    /// Whether a place's value is better than another's: any is better than NULL.
    fn is_better(&self, greatest: bool, place: usize, than: usize) -> bool {
        match (self.is_null(place), self.is_null(than)) {
            (true, _) => false,
            (false, true) => true,
            (false, false) => {
                let order = self.compare(self.word(place), self.word(than));
                if greatest { order.is_gt() } else { order.is_lt() }
            }
        }
    }

    fn append_occurrences(&mut self, rows: &Appended<'_>) {
        for run in rows.runs {
            for i in run.range() {
                let at = rows.at[i];
                (self.before[at as usize], self.after[at as usize]) = (0, 0);
                if self.is_null(at as usize) {
                    continue;
                }
                let number = run.base + u64::from(at - run.start);
                let value = (run.key, self.same(self.word(at as usize)));
                if let Some(before) = self.latest.insert(value, number) {
                    let step = (number - before) as u32;
                    self.before[at as usize] = step;
                    // One that is forgotten has no place any more.
                    if step <= at - run.start {
                        self.after[(at - step) as usize] = step;
                    }
                }
            }
        }
    }

    /// Undoes what [`append`](Self::append) did with the last rows of a key, those at `places`.
    pub fn take_back(&mut self, run: &Run, places: std::ops::Range<usize>) {
        let releases = self.kind == Kind::Text && self.needs.values;
        for place in places.rev() {
            let at = place as u32;
            for (needed, links) in [(self.needs.least, &mut self.least), (self.needs.greatest, &mut self.greatest)] {
                if needed {
                    links.take_back(at, run.start);
                }
            }
            if self.is_null(place) {
                continue;
            }
            if self.needs.distinct {
                self.take_back_occurrence(run, at);
            }
            if releases {
                self.texts.release(self.word(place) as u32);
            }
        }
    }

    fn take_back_occurrence(&mut self, run: &Run, at: u32) {
        let value = (run.key, self.same(self.word(at as usize)));
        let (step, number) = (self.before[at as usize], run.base + u64::from(at - run.start));
        if step > 0 && step <= at - run.start {
            self.after[(at - step) as usize] = 0;
            self.latest.insert(value, number - u64::from(step));
        } else {
            self.latest.remove(&value);
        }
    }

    /// What was before a place since the key's first row: the sum, and how many NULLs.
    pub fn before(&self, place: usize) -> (i128, u64) {
        (if self.sums.is_empty() { 0 } else { self.sums.before(place) }, self.nulls_before(place))
    }

    /// Puts this before the rows of a key, which have been appended as its first.
    pub fn lift(&mut self, start: usize, len: usize, sum: i128, nulls: u64, places: usize) {
        // Sums of doubles are looked at as differences alone, and are of another scale by now.
        if self.needs.sums && self.kind != Kind::Double {
            self.sums.lift(start..start + len + 1, sum);
        }
        if nulls > 0 {
            self.nulls.grow(places);
            self.nulls.lift(start..start + len + 1, nulls.into());
        }
    }

    /// The values at these places, as a column that [`append`](Self::append) understands.
    pub fn saved(&self, places: &[usize]) -> Result<ArrayRef, ArrowError> {
        let value = |place: usize| match (self.needs.values, self.needs.sums) {
            (true, _) => self.word(place),
            (false, true) => {
                let value = self.sums.between(place, place + 1);
                if self.kind == Kind::Unsigned { value - (1i128 << 63) } else { value }
            }
            (false, false) => 0,
        };
        let words = places.iter().map(|place| (!self.is_null(*place)).then(|| value(*place)));
        match self.needs.values || self.needs.sums {
            true => self.array(words),
            // Whether they are NULL is all that counts.
            false => Ok(Arc::new(words.map(|word| word.map(|_| 0)).collect::<Int64Array>())),
        }
    }

    /// A column's values as words that are held beyond their rows.
    pub fn words(&mut self, column: &ArrayRef) -> Result<Vec<Option<i128>>, ArrowError> {
        let values = self.incoming(column)?;
        Ok((0..column.len()).map(|row| values.get(row)).collect())
    }

    /// A column's values as words.
    fn incoming(&mut self, column: &ArrayRef) -> Result<Incoming, ArrowError> {
        let column = match column.data_type() {
            DataType::Dictionary(_, values) => cast(column, values)?,
            _ => column.clone(),
        };
        let words = match self.kind {
            _ if !self.needs.values && !self.needs.sums => Words::None,
            Kind::Integer => Words::Small(integers(&column)?.values().to_vec()),
            Kind::Unsigned => {
                let values = column.as_primitive::<UInt64Type>().values();
                Words::Small(values.iter().map(|v| (v ^ (1 << 63)) as i64).collect())
            }
            Kind::Double => {
                let values = cast(&column, &DataType::Float64)?;
                Words::Small(values.as_primitive::<Float64Type>().values().iter().map(|v| word_of(*v)).collect())
            }
            Kind::Decimal => Words::Large(column.as_primitive::<Decimal128Type>().values().to_vec()),
            Kind::Text => {
                let bytes = cast(&column, &DataType::Binary)?;
                let bytes = bytes.as_binary::<i32>();
                let word = |text: Option<&[u8]>| text.map_or(0, |text| i64::from(self.texts.hold(text)));
                Words::Small(bytes.iter().map(word).collect())
            }
        };
        Ok(Incoming { words, nulls: column.logical_nulls() })
    }

    /// Words as a column of the lane's type.
    pub fn array(&self, words: impl Iterator<Item = Option<i128>>) -> Result<ArrayRef, ArrowError> {
        let small =
            |words: &mut dyn Iterator<Item = Option<i128>>| words.map(|w| w.map(|w| w as i64)).collect::<Int64Array>();
        let mut words = words;
        let text = |word: i128| self.texts.texts[word as usize].0.as_ref();
        Ok(match self.kind {
            Kind::Integer => of_integers(small(&mut words), &self.data_type)?,
            Kind::Unsigned => Arc::new(words.map(|w| w.map(|w| w as i64 as u64 ^ (1 << 63))).collect::<UInt64Array>()),
            Kind::Double => {
                let doubles = words.map(|w| w.map(double_of)).collect::<Float64Array>();
                cast(&doubles, &self.data_type)?
            }
            Kind::Decimal => Arc::new(words.collect::<Decimal128Array>().with_data_type(self.data_type.clone())),
            Kind::Text if self.data_type == DataType::Binary => {
                Arc::new(words.map(|w| w.map(text)).collect::<BinaryArray>())
            }
            Kind::Text => {
                let text = |word| std::str::from_utf8(text(word)).expect("it came as text");
                Arc::new(words.map(|w| w.map(text)).collect::<StringArray>())
            }
        })
    }

    /// Bytes held.
    pub fn memory_bytes(&self, used: usize) -> usize {
        let words = match &self.words {
            Words::None => 0,
            Words::Small(words) => words.len().min(used) * 8,
            Words::Large(words) => words.len().min(used) * 16,
        };
        let links = [&self.least, &self.greatest].into_iter().flat_map(|links| [&links.next, &links.back]);
        let links = links.chain([&self.last, &self.before, &self.after]);
        words
            + links.map(|links| links.len().min(used) * 4).sum::<usize>()
            + [&self.nulls, &self.specials, &self.sums].map(|totals| totals.memory_bytes(used)).iter().sum::<usize>()
            + self.texts.bytes * 2
            + self.texts.texts.capacity() * 48
            + self.latest.capacity() * 40
    }
}

/// Room for so many places, zero where nothing was. Memory is asked for zeroed, so that the pages of places that are not used yet cost
/// nothing.
pub fn grow<T: Copy + Default>(places: &mut Vec<T>, many: usize) {
    if many > places.len() {
        let mut grown = vec![T::default(); many];
        grown[..places.len()].copy_from_slice(places);
        *places = grown;
    }
}

impl Links {
    /// A value at a place of a block that begins at `start`.
    fn append(&mut self, at: u32, start: u32, is_better_than: impl Fn(u32) -> bool) {
        self.next[at as usize] = 0;
        let mut other = at.checked_sub(1).filter(|other| *other >= start);
        while let Some(place) = other.filter(|place| is_better_than(*place)) {
            self.next[place as usize] = at - place;
            let back = self.back[place as usize];
            other = (back != 0 && back <= place - start).then(|| place - back);
        }
        self.back[at as usize] = other.map_or(0, |place| at - place);
    }

    /// Undoes that, where the place is the block's last.
    fn take_back(&mut self, at: u32, start: u32) {
        // Those that it was better than are a chain of links back, which ends where its own does.
        let end = at - self.back[at as usize];
        let mut other = at.checked_sub(1).filter(|other| *other >= start);
        while let Some(place) = other.filter(|place| *place != end && self.next[*place as usize] == at - place) {
            self.next[place as usize] = 0;
            let back = self.back[place as usize];
            other = (back != 0 && back <= place - start).then(|| place - back);
        }
    }
}

/// A number as an integer times a power of two; `None` of what is no number.
fn parts(value: f64) -> Option<(i64, i32)> {
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, (bits & ((1 << 52) - 1)) as i64);
    let (mantissa, exponent) = match exponent {
        0x7ff => return None,
        0 => (fraction, -1074),
        _ => (fraction | 1 << 52, exponent - 1075),
    };
    Some((if value.is_sign_negative() { -mantissa } else { mantissa }, exponent))
}

/// A column of numbers of whole type, times or dates as integers.
fn integers(column: &ArrayRef) -> Result<Int64Array, ArrowError> {
    let narrow = match column.data_type() {
        DataType::Date32 | DataType::Time32(_) => cast(column, &DataType::Int32)?,
        _ => column.clone(),
    };
    Ok(cast(&narrow, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

/// The same back.
fn of_integers(values: Int64Array, to: &DataType) -> Result<ArrayRef, ArrowError> {
    match to {
        DataType::Date32 | DataType::Time32(_) => cast(&cast(&values, &DataType::Int32)?, to),
        _ => cast(&values, to),
    }
}
