//! Columns of a batch to the words that a device is sent: one buffer, one copy.
//!
//! A header tells where each column lies and which of its rows take part. Selections are squeezed out here; values
//! without a word of their own (text, lists, floats as keys) become ids in the order of their first appearance.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type};
use pelton_kernels::Rows;
use pelton_kernels::exact::{Exponents, scan};
use pelton_kernels::group_table::GroupTable;

use crate::Unfit;
use crate::layout::{Column, Form, Kept, Layout, SPAN};

/// What the host remembers of the batches before.
pub(crate) struct Memory {
    /// Ids of the values of key columns that have no other form.
    pub ids: Vec<Option<GroupTable>>,
    /// For each column of doubles that is summed: the power of two that its sums are multiples of, once a value came.
    pub scales: Vec<Option<i32>>,
}

impl Memory {
    pub(crate) fn new(layout: &Layout, key_types: &[DataType]) -> Self {
        let table = |(column, key): (&Column, &DataType)| {
            (column.form == Form::Id).then(|| GroupTable::new(std::slice::from_ref(key)))
        };
        Memory {
            ids: layout.columns.iter().zip(key_types).map(table).collect(),
            scales: vec![None; layout.columns.len()],
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.ids.iter().flatten().map(GroupTable::memory_bytes).sum()
    }
}

/// The selected rows as words; the slot mask is left at zero. Where a column does not fit, nothing is remembered but ids.
pub(crate) fn pack(
    layout: &Layout,
    memory: &mut Memory,
    columns: &[ArrayRef],
    rows: Rows<'_>,
) -> Result<Vec<u32>, Unfit> {
    let mut words = vec![0; layout.header_words()];
    words[0] = rows.len() as u32;
    let mut scales = memory.scales.clone();
    for (place, column) in layout.columns.iter().enumerate() {
        let array = column.input.map(|input| without_dictionary(&columns[input], column.form)).transpose()?;
        let taking_part = match column.form {
            Form::Id => None,
            _ => bitmap(array.as_ref(), column.filter.map(|filter| &columns[filter]), rows),
        };
        let header = 2 + 3 * place;
        words[header] = words.len() as u32;
        match (column.form, &array) {
            (Form::Presence, _) | (_, None) => {}
            (Form::Id, Some(array)) => {
                let ids = memory.ids[place].as_mut().expect("keys without a form have a table");
                let mut of_rows = vec![];
                ids.intern(std::slice::from_ref(array), rows, &mut of_rows).map_err(|_| Unfit::Type)?;
                words.append(&mut of_rows);
            }
            (Form::Float { words: 2 }, Some(array)) => {
                let doubles = doubles(array, rows, taking_part.as_deref())?;
                if layout.states.iter().any(|s| s.column == Some(place) && is_summed(s.kept)) {
                    scales[place] = scale(exponents(&doubles), scales[place])?;
                    words[header + 2] = scales[place].unwrap_or(0) as u32;
                }
                words.extend(doubles.iter().flat_map(|value| halves(value.to_bits())));
            }
            (form, Some(array)) => integers(array, form, rows, &mut words)?,
        }
        if let Some(bitmap) = taking_part {
            words[header + 1] = words.len() as u32;
            words.extend(bitmap);
        }
    }
    memory.scales = scales;
    Ok(words)
}

fn is_summed(kept: Kept) -> bool {
    matches!(kept, Kept::Sum { .. } | Kept::Moments { .. })
}

pub(crate) fn without_dictionary(array: &ArrayRef, form: Form) -> Result<ArrayRef, Unfit> {
    match array.data_type() {
        DataType::Dictionary(_, values) if !matches!(form, Form::Id | Form::Presence) => {
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
    use super::*;

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
