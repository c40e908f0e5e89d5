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

/// The key columns of `groups` groups.
pub(crate) fn keys(
    layout: &Layout,
    program: &Program,
    memory: &Memory,
    words: &[u32],
    groups: usize,
) -> Result<Vec<ArrayRef>, GroupTableError> {
    let mut keys = vec![];
    let mut first = 1;
    for (place, (_, data_type)) in program.keys.iter().enumerate() {
        let form = layout.columns[place].form;
        let part = |group: usize, word: u32| words[group * layout.key_words as usize + (first + word) as usize];
        keys.push(match &memory.ids[place] {
            Some(table) => {
                let ids = UInt32Array::from_iter_values((0..groups).map(|group| part(group, 0)));
                take(&table.keys()?[0], &ids, None)?
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
fn integers(
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
                Kept::Sum { limbs } => {
                    let (limbs, behind) = words[1..].split_at(limbs as usize);
                    let flags = if matches!(form, Form::Float { .. }) { behind[0] as u8 } else { 0 };
                    sum(spec, words[0], limbs, flags, scale, &mut bytes);
                }
                Kept::Extreme { greatest } => extreme(spec, &words[1..], form, greatest, &mut bytes),
            }
            saved.append_value(&bytes);
        }
        saved.finish()
    };
    layout.states.iter().map(column).collect()
}

/// A sum: `ExactColumn::save` of the kernels.
fn sum(spec: &AggregateSpec, count: u32, limbs: &[u32], flags: u8, exponent: i32, out: &mut Vec<u8>) {
    if count == 0 {
        return out.push(0);
    }
    out.push(ANY_ROW | flags);
    if spec.kind == AggregateKind::Avg {
        out.extend_from_slice(&u64::from(count).to_le_bytes());
    }
    let negative = limbs[limbs.len() - 1] >> 31 == 1;
    let mut carry = negative;
    let magnitude: Vec<u32> = limbs
        .iter()
        .map(|limb| {
            let (word, over) = if negative { !limb } else { *limb }.overflowing_add(u32::from(carry));
            carry = over;
            word
        })
        .collect();
    let limbs: Vec<u64> =
        magnitude.chunks(2).map(|pair| u64::from(pair[0]) | u64::from(*pair.get(1).unwrap_or(&0)) << 32).collect();
    Number { negative, limbs: &limbs, exponent }.encode(out);
}

/// An extreme: 1 and the value's bytes, or nothing. `words` tell whether there is a value, then its ordered words.
fn extreme(spec: &AggregateSpec, words: &[u32], form: Form, greatest: bool, out: &mut Vec<u8>) {
    if words[0] == 0 {
        return;
    }
    let of_order = words[1..].iter().take(form.words() as usize);
    let ordered = of_order.fold(0, |high: u128, word| high << 32 | u128::from(if greatest { !word } else { *word }));
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
        sum(&spec(AggregateKind::Sum, DataType::Int64), 1, &[!11, !0, !0, !0], 0, 0, &mut saved);
        let mut want = vec![ANY_ROW];
        Number { negative: true, limbs: &[12], exponent: 0 }.encode(&mut want);
        assert_eq!(saved, want);
        saved.clear();
        sum(&spec(AggregateKind::Avg, DataType::Float64), 0, &[0; 6], 0, 0, &mut saved);
        assert_eq!(saved, [0]);
    }

    #[test]
    fn order_is_undone() {
        let value = |data_type, form, words: &[u32], greatest| {
            let mut saved = vec![];
            extreme(&spec(AggregateKind::Max, data_type), words, form, greatest, &mut saved);
            saved
        };
        let long = Form::Integer { words: 2, signed: true };
        assert_eq!(value(DataType::Int64, long, &[0, 7, 7], true), [0u8; 0]);
        let minus_two = [1, !0x7fff_ffff, !0xffff_fffe];
        assert_eq!(value(DataType::Int64, long, &minus_two, true), [&[1], &(-2i64).to_le_bytes()[..]].concat());
        let byte = Form::Integer { words: 1, signed: true };
        assert_eq!(value(DataType::Int8, byte, &[1, 0x8000_0005], false), [1, 5]);
        let double = Form::Float { words: 2 };
        let bits = (-1.5f64).to_bits();
        let ordered = [1, !(bits >> 32) as u32, !bits as u32];
        assert_eq!(value(DataType::Float64, double, &ordered, false), [&[1], &(-1.5f64).to_le_bytes()[..]].concat());
    }
}
