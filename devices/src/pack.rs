//! Columns of a batch to the words that a device is sent: one buffer, one copy.
//!
//! A header tells where each column lies and which of its rows take part. Selections are squeezed out here; values
//! without a word of their own (text, lists, floats as keys) become ids in the order of their first appearance. Most
//! of it takes the batch alone ([`Packed::look`]); ids, scales and where panes are counted from are agreed on with
//! what a table has seen ([`Packed::fit`]).

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Int32Type};
use pelton_kernels::Rows;
use pelton_kernels::exact::{Exponents, scan};
use pelton_kernels::group_table::{GroupTable, GroupTableError};
use pelton_kernels::stage::{PaneOf, Test};

use crate::Unfit;
use crate::layout::{Column, Form, Kept, Layout, SPAN};

/// What the host remembers of the batches before.
pub(crate) struct Memory {
    /// Ids of the values of key columns that have no other form.
    pub ids: Vec<Option<GroupTable>>,
    /// For each column of doubles that is summed: the power of two that its sums are multiples of, once a value came.
    pub scales: Vec<Option<i32>>,
    /// The number of the pane from which those in keys are counted, once a batch came.
    pub origin: Option<i64>,
}

impl Memory {
    pub(crate) fn new(layout: &Layout, key_types: &[DataType]) -> Self {
        let table = |(column, key): (&Column, &DataType)| {
            (column.form == Form::Id).then(|| GroupTable::new(std::slice::from_ref(key)))
        };
        Memory {
            ids: layout.columns.iter().zip(key_types).map(table).collect(),
            scales: vec![None; layout.columns.len()],
            origin: None,
        }
    }

    /// The values of which keys have ids, by these.
    pub(crate) fn values(&self) -> Result<Vec<Option<ArrayRef>>, GroupTableError> {
        let values = |table: &Option<GroupTable>| match table {
            None => Ok(None),
            Some(table) => Ok(table.keys()?.pop()),
        };
        self.ids.iter().map(values).collect()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.ids.iter().flatten().map(GroupTable::memory_bytes).sum()
    }
}

/// The selected rows of a batch as words; the slot mask is left at zero.
pub(crate) struct Packed<'a> {
    layout: &'a Layout,
    rows: Rows<'a>,
    /// See the module.
    pub words: Vec<u32>,
    /// Columns whose ids are to be found.
    without_ids: Vec<(usize, ArrayRef)>,
    /// Of doubles that are summed: the powers of two of the last bits of the smallest and the largest.
    exponents: Vec<(usize, Option<(i32, i32)>)>,
    /// The numbers of the first and the last pane that the rows are in.
    pub panes: (i64, i64),
}

impl<'a> Packed<'a> {
    /// Packs the selected rows, of which there are some, but for what [`Packed::fit`] adds.
    pub(crate) fn look(
        layout: &'a Layout,
        panes: Option<&PaneOf>,
        columns: &[ArrayRef],
        rows: Rows<'a>,
    ) -> Result<Self, Unfit> {
        let mut words = vec![0; layout.header_words()];
        words[0] = rows.len() as u32;
        let mut packed = Packed { layout, rows, words, without_ids: vec![], exponents: vec![], panes: (0, 0) };
        for place in 0..layout.columns.len() {
            packed.look_at(place, panes, columns)?;
        }
        // What does not even fit alone.
        for (_, exponents) in &packed.exponents {
            scale(*exponents, None)?;
        }
        let (first, last) = packed.panes;
        last.checked_sub(first).and_then(|panes| i32::try_from(panes).ok()).ok_or(Unfit::Range)?;
        Ok(packed)
    }

    fn look_at(&mut self, place: usize, panes: Option<&PaneOf>, columns: &[ArrayRef]) -> Result<(), Unfit> {
        let Packed { layout, rows, words, .. } = self;
        let (rows, column) = (*rows, &layout.columns[place]);
        let array = column.input.map(|input| without_dictionary(&columns[input], column.form)).transpose()?;
        let taking_part = match column.form {
            // Of these NULL is one, or none can be.
            Form::Id | Form::Code | Form::Ticks => None,
            _ => bitmap(array.as_ref(), column.filter.map(|filter| &columns[filter]), rows),
        };
        let header = layout.header_at(place);
        words[header] = words.len() as u32;
        match (column.form, &array) {
            (Form::Presence, _) | (_, None) => {}
            (Form::Id, Some(array)) => {
                words.resize(words.len() + rows.len(), 0);
                self.without_ids.push((place, array.clone()));
            }
            (Form::Code, Some(array)) => {
                codes(array, rows, words)?;
                words[header + 2] = words.len() as u32;
                words.append(&mut passing(layout, place, array)?);
            }
            (Form::Ticks, Some(array)) => {
                let (first, last, width) = ticks(panes.ok_or(Unfit::Type)?, array, rows, words)?;
                words[3] = width;
                self.panes = (first, last);
            }
            (Form::Float { words: 2 }, Some(array)) => {
                let doubles = doubles(array, rows, taking_part.as_deref())?;
                if layout.states.iter().any(|s| s.column == Some(place) && is_summed(s.kept)) {
                    self.exponents.push((place, exponents(&doubles)));
                }
                words.extend(doubles.iter().flat_map(|value| halves(value.to_bits())));
            }
            (form, Some(array)) => integers(array, form, rows, words)?,
        }
        if let Some(bitmap) = taking_part {
            words[header + 1] = words.len() as u32;
            words.extend(bitmap);
        }
        Ok(())
    }

    /// Fits the batch to those before. Where it does not fit, nothing is remembered but ids.
    pub(crate) fn fit(&mut self, memory: &mut Memory) -> Result<(), Unfit> {
        let layout = self.layout;
        let mut scales = memory.scales.clone();
        for (place, exponents) in &self.exponents {
            scales[*place] = scale(*exponents, scales[*place])?;
            self.words[layout.header_at(*place) + 2] = scales[*place].unwrap_or(0) as u32;
        }
        let (first, last) = self.panes;
        let origin = memory.origin.unwrap_or(first);
        let from_origin = |pane: i64| pane.checked_sub(origin).and_then(|n| i32::try_from(n).ok()).ok_or(Unfit::Range);
        self.words[2] = from_origin(first)? as u32;
        from_origin(last)?;
        for (place, array) in &self.without_ids {
            let ids = memory.ids[*place].as_mut().expect("keys without a form have a table");
            let mut of_rows = vec![];
            ids.intern(std::slice::from_ref(array), self.rows, &mut of_rows).map_err(|_| Unfit::Type)?;
            let at = self.words[layout.header_at(*place)] as usize;
            self.words[at..at + of_rows.len()].copy_from_slice(&of_rows);
        }
        memory.scales = scales;
        memory.origin = Some(origin);
        Ok(())
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }
}

/// The places of the selected rows' values in their dictionary; that of NULL is behind all.
fn codes(array: &ArrayRef, rows: Rows<'_>, words: &mut Vec<u32>) -> Result<(), Unfit> {
    let dictionary = array.as_any_dictionary_opt().ok_or(Unfit::Type)?;
    let (keys, null) = (dictionary.keys(), dictionary.values().len());
    let nulls = keys.logical_nulls();
    if let (Some(keys), None) = (keys.as_primitive_opt::<Int32Type>(), &nulls) {
        let keys = keys.values();
        words.extend((0..rows.len()).map(|i| keys[rows.get(i)] as u32));
        return Ok(());
    }
    // Where there are no values, every key is NULL.
    let normal = if null == 0 { vec![] } else { dictionary.normalized_keys() };
    let code = |row: usize| match &nulls {
        Some(nulls) if nulls.is_null(row) => null as u32,
        _ => normal[row] as u32,
    };
    words.extend((0..rows.len()).map(|i| code(rows.get(i))));
    Ok(())
}

/// A bit for each value of a column's dictionary, and one for NULL behind them, set if it passes all tests of the
/// column.
fn passing(layout: &Layout, place: usize, array: &ArrayRef) -> Result<Vec<u32>, Unfit> {
    let known = array.as_any_dictionary_opt().ok_or(Unfit::Type)?.values().len() + 1;
    let mut bits = vec![u32::MAX; known.div_ceil(32)];
    for (_, test) in layout.tests.iter().filter(|(at, _)| *at == place) {
        let Test::Among { values, .. } = test else { continue };
        let members = values.members(array).ok_or(Unfit::Type)?;
        let words = members.bits().iter().copied().chain(std::iter::repeat(0));
        bits.iter_mut().zip(words).for_each(|(bits, members)| *bits &= members);
    }
    Ok(bits)
}

/// Ticks of the selected rows' times from where their first pane begins; the numbers of their first and last pane,
/// and how many ticks a pane has. Where ticks would not fit a word they are pushed as panes already, which have one
/// tick each.
fn ticks(panes: &PaneOf, array: &ArrayRef, rows: Rows<'_>, words: &mut Vec<u32>) -> Result<(i64, i64, u32), Unfit> {
    if array.logical_null_count() > 0 || array.data_type().primitive_width() != Some(8) {
        return Err(Unfit::Type);
    }
    let data = array.to_data();
    let values = data.buffer::<i64>(0);
    let times = || (0..rows.len()).map(|i| values[rows.get(i)]);
    let (low, high) = times().fold((i64::MAX, i64::MIN), |(low, high), time| (low.min(time), high.max(time)));
    let number = |time: i64| i64::try_from(panes.number(time)).map_err(|_| Unfit::Range);
    let (first, last) = (number(low)?, number(high)?);
    let into = (i128::from(low) - i128::from(panes.offset)).rem_euclid(i128::from(panes.width));
    // A pane that begins before all times has no name.
    i64::try_from(i128::from(low) - into).map_err(|_| Unfit::Range)?;
    let into = into as u64;
    let far = high.abs_diff(low).checked_add(into).ok_or(Unfit::Range)?;
    let from_first = times().map(|time| time.wrapping_sub(low) as u64 + into);
    match u32::try_from(panes.width) {
        Ok(width) if u32::try_from(far).is_ok() => {
            words.extend(from_first.map(|ticks| ticks as u32));
            Ok((first, last, width))
        }
        _ => {
            let width = panes.width as u64;
            words.extend(from_first.map(|ticks| (ticks / width) as u32));
            Ok((first, last, 1))
        }
    }
}

fn is_summed(kept: Kept) -> bool {
    matches!(kept, Kept::Sum { .. } | Kept::Moments { .. })
}

pub(crate) fn without_dictionary(array: &ArrayRef, form: Form) -> Result<ArrayRef, Unfit> {
    match array.data_type() {
        DataType::Dictionary(_, values) if !matches!(form, Form::Id | Form::Code | Form::Presence) => {
            cast(array, values).map_err(|_| Unfit::Type)
        }
        _ => Ok(array.clone()),
    }
}

/// One bit a selected row, set if the value is there and the filter lets it pass; `None` if all take part.
pub(crate) fn bitmap(values: Option<&ArrayRef>, filter: Option<&ArrayRef>, rows: Rows<'_>) -> Option<Vec<u32>> {
    let nulls = values.and_then(|values| values.logical_nulls()).filter(|nulls| nulls.null_count() > 0);
    if nulls.is_none() && filter.is_none() {
        return None;
    }
    let filter = filter.map(|filter| filter.as_boolean());
    let passes = |row: usize| {
        nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
            && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
    };
    let mut bits = vec![0u32; rows.len().div_ceil(32)];
    (0..rows.len()).filter(|i| passes(rows.get(*i))).for_each(|i| bits[i / 32] |= 1 << (i % 32));
    Some(bits)
}

/// The selected rows as doubles; zero for those that take no part.
pub(crate) fn doubles(array: &ArrayRef, rows: Rows<'_>, taking_part: Option<&[u32]>) -> Result<Vec<f64>, Unfit> {
    let selected = (0..rows.len()).map(|i| rows.get(i));
    let mut doubles: Vec<f64> = match array.data_type() {
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().values();
            selected.map(|row| values[row] as f64).collect()
        }
        DataType::Float64 => {
            let data = array.to_data();
            let values = data.buffer::<f64>(0);
            selected.map(|row| values[row]).collect()
        }
        _ => return Err(Unfit::Type),
    };
    if let Some(bits) = taking_part {
        let absent = |i: &usize| bits[i / 32] >> (i % 32) & 1 == 0;
        (0..rows.len()).filter(absent).for_each(|i| doubles[i] = 0.0);
    }
    Ok(doubles)
}

/// The powers of two of the last bits of the smallest and the largest number among `doubles` that is not zero.
pub(crate) fn exponents(doubles: &[f64]) -> Option<(i32, i32)> {
    let exponents = match scan(doubles) {
        Exponents::Special => scan(&doubles.iter().copied().filter(|value| value.is_finite()).collect::<Vec<_>>()),
        plain => plain,
    };
    match exponents {
        Exponents::Finite { finest, coarsest } => Some((finest, coarsest)),
        _ => None,
    }
}

/// The scale at which doubles of such exponents go into sums that have the scale `before`, if they have one.
pub(crate) fn scale(exponents: Option<(i32, i32)>, before: Option<i32>) -> Result<Option<i32>, Unfit> {
    let Some((finest, coarsest)) = exponents else { return Ok(before) };
    let room = SPAN - (coarsest - finest);
    // As much room below as above for what is to come.
    let low = before.unwrap_or(finest - room / 2);
    if room < 0 || finest < low || coarsest - low > SPAN { Err(Unfit::Exponents) } else { Ok(Some(low)) }
}

fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

/// The selected rows of a column that is stored as integers; narrow ones widened to a word.
fn integers(array: &ArrayRef, form: Form, rows: Rows<'_>, words: &mut Vec<u32>) -> Result<(), Unfit> {
    let (data, start) = (array.to_data(), words.len());
    macro_rules! push {
        ($type:ty, $words:expr) => {{
            let values = data.buffer::<$type>(0);
            match rows {
                Rows::All(n) => words.extend(values[..n].iter().flat_map(|value| $words(*value))),
                Rows::List(list) => words.extend(list.iter().flat_map(|row| $words(values[*row as usize]))),
            }
        }};
    }
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean().values();
            words.extend((0..rows.len()).map(|i| u32::from(values.value(rows.get(i)))));
        }
        DataType::Int8 => push!(i8, |value: i8| [value as u32]),
        DataType::Int16 => push!(i16, |value: i16| [value as u32]),
        DataType::UInt8 => push!(u8, |value: u8| [value as u32]),
        DataType::UInt16 => push!(u16, |value: u16| [value as u32]),
        other => match other.primitive_width() {
            Some(4) => push!(u32, |value: u32| [value]),
            Some(8) => push!(u64, halves),
            Some(16) => {
                push!(i128, |value: i128| [
                    value as u32,
                    (value >> 32) as u32,
                    (value >> 64) as u32,
                    (value >> 96) as u32
                ])
            }
            _ => return Err(Unfit::Type),
        },
    }
    if words.len() - start == rows.len() * form.words() as usize { Ok(()) } else { Err(Unfit::Type) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn ticks_are_counted_from_the_first_pane() {
        let ticks = |width, offset, times: &[i64]| {
            let array: ArrayRef = Arc::new(Int64Array::from(times.to_vec()));
            let mut words = vec![];
            let found = ticks(&PaneOf { column: 0, width, offset }, &array, Rows::All(times.len()), &mut words);
            found.map(|(first, last, ticks)| (first, last, ticks, words))
        };
        assert_eq!(ticks(10, 3, &[-8, 13, 2]), Ok((-2, 1, 10, vec![9, 30, 19])));
        assert_eq!(ticks(10, 0, &[-1]), Ok((-1, -1, 10, vec![9])));
        // Too far apart, or too wide: the host divides.
        assert_eq!(ticks(10, 0, &[0, 1 << 32]), Ok((0, 429_496_729, 1, vec![0, 429_496_729])));
        assert_eq!(ticks(1 << 40, 0, &[5, -5]), Ok((-1, 0, 1, vec![1, 0])));
        assert_eq!(ticks(1, 0, &[i64::MIN, i64::MIN + 1]), Ok((i64::MIN, i64::MIN + 1, 1, vec![0, 1])));
        assert_eq!(ticks(7, 0, &[i64::MIN]), Err(Unfit::Range));
        assert_eq!(ticks(7, 0, &[i64::MIN + 7, i64::MAX]).map(|found| found.2), Ok(1));
    }

    #[test]
    fn a_scale_leaves_room_on_both_sides() {
        let scale = |doubles: &[f64], before| scale(exponents(doubles), before);
        let first = scale(&[1.0, 0.0, f64::NAN, f64::NEG_INFINITY], None).unwrap();
        assert_eq!(first, Some(-52 - SPAN / 2));
        assert_eq!(scale(&[0.0], first).unwrap(), first);
        assert_eq!(scale(&[1e15, 1e-15], first).unwrap(), first);
        assert_eq!(scale(&[1e300], first), Err(Unfit::Exponents));
        assert_eq!(scale(&[5e-324], first), Err(Unfit::Exponents));
        assert_eq!(scale(&[5e-324, 1.0], None), Err(Unfit::Exponents));
        assert_eq!(scale(&[0.0, f64::INFINITY], None).unwrap(), None);
        let widest = [f64::from_bits(1 << 52), f64::from_bits((1 + SPAN as u64) << 52)];
        assert_eq!(scale(&widest, None).unwrap(), Some(-1074));
        assert_eq!(scale(&[f64::MAX], None).unwrap(), Some(971 - SPAN / 2));
    }
}
