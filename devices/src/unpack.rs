//! Words that a device sends back to key columns and to saved states of the processor's aggregates.

use std::sync::Arc;

use arrow::array::{ArrayDataBuilder, ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, UInt32Array, make_array};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::DataType;
use pelton_kernels::aggregate::{AggregateKind, AggregateSpec};
use pelton_kernels::exact::Number;
use pelton_kernels::group_table::GroupTableError;
use pelton_kernels::program::Program;

use crate::layout::{Form, Kept, Layout, State, plain};
use crate::pack::Memory;

/// The first byte of a saved sum that has rows: `ExactColumn::save` of the kernels.
const ANY_ROW: u8 = 1;

/// The key columns of `groups` groups; `values` are those that have ids ([`Memory::values`]).
pub(crate) fn keys(
    layout: &Layout,
    program: &Program,
    values: &[Option<ArrayRef>],
    words: &[u32],
    groups: usize,
) -> Result<Vec<ArrayRef>, GroupTableError> {
    let mut keys = vec![];
    let mut first = 1;
    for (place, (_, data_type)) in program.keys.iter().enumerate() {
        let form = layout.columns[place].form;
        let part = |group: usize, word: u32| words[group * layout.key_words as usize + (first + word) as usize];
        keys.push(match &values[place] {
            Some(values) => {
                let ids = UInt32Array::from_iter_values((0..groups).map(|group| part(group, 0)));
                take(values, &ids, None)?
            }
            None => {
                let is_null = |group: usize| words[group * layout.key_words as usize] >> place & 1 == 1;
                let nulls = NullBuffer::from_iter((0..groups).map(|group| !is_null(group)));
                let value = |group: usize| {
                    (0..form.words()).rev().fold(0, |high, word| high << 32 | u128::from(part(group, word)))
                };
                integers(data_type, (0..groups).map(value), Some(nulls))?
            }
        });
        first += form.words();
    }
    Ok(keys)
}

/// A column of a type that is stored as integers.
pub(crate) fn integers(
    data_type: &DataType,
    values: impl ExactSizeIterator<Item = u128>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, GroupTableError> {
    let len = values.len();
    let buffer = match data_type.primitive_width() {
        None => return Ok(Arc::new(BooleanArray::new(values.map(|value| value == 1).collect(), nulls))),
        Some(1) => Buffer::from_vec(values.map(|value| value as u8).collect()),
        Some(2) => Buffer::from_vec(values.map(|value| value as u16).collect()),
        Some(4) => Buffer::from_vec(values.map(|value| value as u32).collect()),
        Some(8) => Buffer::from_vec(values.map(|value| value as u64).collect()),
        Some(_) => Buffer::from_vec(values.map(|value| value as i128).collect()),
    };
    let data = ArrayDataBuilder::new(data_type.clone()).len(len).add_buffer(buffer).nulls(nulls).build()?;
    Ok(make_array(data))
}

/// The states of `groups` groups as `Aggregate::save` writes them, one column a state.
pub(crate) fn saved(
    layout: &Layout,
    program: &Program,
    memory: &Memory,
    words: &[u32],
    groups: usize,
) -> Vec<BinaryArray> {
    let column = |state: &State| {
        let spec = &program.aggregates[state.call].spec;
        let scale = state.column.and_then(|column| memory.scales[column]).unwrap_or(0);
        let form = layout.form(state);
        let (mut saved, mut bytes) = (BinaryBuilder::new(), vec![]);
        for group in 0..groups {
            let words = &words[group * layout.state_words as usize + state.at as usize..];
            bytes.clear();
            match state.kept {
                Kept::Count => bytes.extend_from_slice(&i64::from(words[0]).to_le_bytes()),
                Kept::Sum { .. } | Kept::Moments { .. } => {
                    let (limbs, squares) = state.kept.limbs();
                    let (sum, behind) = words[1..].split_at(limbs as usize);
                    let (squares, behind) = behind.split_at(squares as usize);
                    let flags = if matches!(form, Form::Float { .. }) { behind[0] as u8 } else { 0 };
                    Sums { count: words[0], flags, sum, squares, scale }.save(spec, &mut bytes);
                }
                Kept::Extreme { greatest } => {
                    if words[1] != 0 {
                        let of_order = words[2..].iter().take(form.words() as usize);
                        let flipped = |word: &u32| u128::from(if greatest { !word } else { *word });
                        extreme(spec, form, of_order.fold(0, |high, word| high << 32 | flipped(word)), &mut bytes);
                    }
                }
            }
            saved.append_value(&bytes);
        }
        saved.finish()
    };
    layout.states.iter().map(column).collect()
}

/// The sums of a group: limbs in two's complement, lowest first, in units of two to the power of the scale; of squares in
/// units of its double.
pub(crate) struct Sums<'a> {
    pub count: u32,
    pub flags: u8,
    pub sum: &'a [u32],
    /// Empty where none are kept.
    pub squares: &'a [u32],
    pub scale: i32,
}

impl Sums<'_> {
    /// As `ExactColumn::save` of the kernels.
    pub(crate) fn save(&self, spec: &AggregateSpec, out: &mut Vec<u8>) {
        if self.count == 0 {
            return out.push(0);
        }
        out.push(ANY_ROW | self.flags);
        if spec.kind != AggregateKind::Sum {
            out.extend_from_slice(&u64::from(self.count).to_le_bytes());
        }
        number(self.sum, self.scale, out);
        if !self.squares.is_empty() {
            number(self.squares, 2 * self.scale, out);
        }
    }
}

/// An integer of limbs times a power of two.
fn number(limbs: &[u32], exponent: i32, out: &mut Vec<u8>) {
    let negative = limbs[limbs.len() - 1] >> 31 == 1;
    let mut carry = negative;
    let mut magnitude = [0u64; 8];
    for (at, limb) in limbs.iter().enumerate() {
        let (word, over) = if negative { !limb } else { *limb }.overflowing_add(u32::from(carry));
        carry = over;
        magnitude[at / 2] |= u64::from(word) << (at % 2 * 32);
    }
    Number { negative, limbs: &magnitude[..limbs.len().div_ceil(2)], exponent }.encode(out);
}

/// An extreme: 1 and the value's bytes. `ordered` are its bits, ordered as unsigned integers.
pub(crate) fn extreme(spec: &AggregateSpec, form: Form, ordered: u128, out: &mut Vec<u8>) {
    let top = 1 << (32 * form.words() - 1);
    let value = match form {
        Form::Integer { signed: true, .. } => ordered ^ top,
        Form::Float { .. } if ordered & top == 0 => !ordered,
        Form::Float { .. } => ordered ^ top,
        _ => ordered,
    };
    // A boolean is a byte.
    let width = plain(&spec.arg_types[0]).primitive_width().unwrap_or(1);
    out.push(1);
    out.extend_from_slice(&value.to_le_bytes()[..width]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kind: AggregateKind, arg_type: DataType) -> AggregateSpec {
        AggregateSpec { kind, distinct: false, arg_types: vec![arg_type], fast_float: false }
    }

    #[test]
    fn negative_sums_are_magnitudes() {
        let mut saved = vec![];
        let sums = Sums { count: 1, flags: 0, sum: &[!11, !0, !0, !0], squares: &[], scale: 0 };
        sums.save(&spec(AggregateKind::Sum, DataType::Int64), &mut saved);
        let mut want = vec![ANY_ROW];
        Number { negative: true, limbs: &[12], exponent: 0 }.encode(&mut want);
        assert_eq!(saved, want);
        saved.clear();
        let none = Sums { count: 0, flags: 0, sum: &[0; 6], squares: &[], scale: 0 };
        none.save(&spec(AggregateKind::Avg, DataType::Float64), &mut saved);
        assert_eq!(saved, [0]);
    }

    #[test]
    fn order_is_undone() {
        let value = |data_type, form, ordered| {
            let mut saved = vec![];
            extreme(&spec(AggregateKind::Max, data_type), form, ordered, &mut saved);
            saved
        };
        let long = Form::Integer { words: 2, signed: true };
        let minus_two = value(DataType::Int64, long, 0x7fff_ffff_ffff_fffe);
        assert_eq!(minus_two, [&[1], &(-2i64).to_le_bytes()[..]].concat());
        let byte = Form::Integer { words: 1, signed: true };
        assert_eq!(value(DataType::Int8, byte, 0x8000_0005), [1, 5]);
        let ordered = u128::from(!(-1.5f64).to_bits());
        let double = value(DataType::Float64, Form::Float { words: 2 }, ordered);
        assert_eq!(double, [&[1], &(-1.5f64).to_le_bytes()[..]].concat());
    }
}
