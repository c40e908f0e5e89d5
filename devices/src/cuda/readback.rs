//! Buckets that a device sends back to a state of the processor.

use arrow::array::{ArrayRef, BinaryArray, BinaryBuilder, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use pelton_kernels::group_table::GroupTableError;
use pelton_kernels::program::{Cpu, GroupState, ProgramError};

use super::plan::{KEY_AT, Plan, ROWS_AT, limbs};
use crate::layout::{Form, Kept, State};
use crate::pack::Memory;
use crate::unpack::{self, Sums};

/// The groups of some buckets of one pane; `values` are those of which keys have ids ([`Memory::values`]).
pub(crate) fn state(
    plan: &Plan,
    memory: &Memory,
    values: &[Option<ArrayRef>],
    buckets: &[&[u32]],
) -> Result<Box<dyn GroupState>, ProgramError> {
    let keys = keys(plan, values, buckets)?;
    let states: Vec<BinaryArray> = plan
        .layout
        .states
        .iter()
        .zip(&plan.state_at)
        .map(|(state, at)| saved(plan, memory, state, (KEY_AT + plan.key_words + at) as usize, buckets))
        .collect();
    Cpu::load(&plan.stage.program, buckets.len(), &keys, &states)
}

fn keys(plan: &Plan, values: &[Option<ArrayRef>], buckets: &[&[u32]]) -> Result<Vec<ArrayRef>, GroupTableError> {
    let mut keys = vec![];
    let first = KEY_AT as usize;
    let mut at = first + 1;
    for (place, (_, data_type)) in plan.stage.program.keys.iter().enumerate() {
        let words = plan.layout.columns[place].form.words() as usize;
        keys.push(match &values[place] {
            Some(values) => {
                let ids = UInt32Array::from_iter_values(buckets.iter().map(|bucket| bucket[at]));
                take(values, &ids, None)?
            }
            None => {
                let nulls = NullBuffer::from_iter(buckets.iter().map(|bucket| bucket[first] >> place & 1 == 0));
                let value = |bucket: &&[u32]| {
                    bucket[at..at + words].iter().rev().fold(0, |high, word| high << 32 | u128::from(*word))
                };
                unpack::integers(data_type, buckets.iter().map(value), Some(nulls))?
            }
        });
        at += words;
    }
    Ok(keys)
}

/// The states of a call as `Aggregate::save` writes them.
fn saved(plan: &Plan, memory: &Memory, state: &State, at: usize, buckets: &[&[u32]]) -> BinaryArray {
    let spec = &plan.stage.program.aggregates[state.call].spec;
    let form = plan.layout.form(state);
    let scale = state.column.and_then(|column| memory.scales[column]).unwrap_or(0);
    // All rows less those that took no part.
    let count = |bucket: &[u32]| bucket[ROWS_AT] - bucket[at];
    let (mut saved, mut bytes) = (BinaryBuilder::with_capacity(buckets.len(), buckets.len() * 24), vec![]);
    for bucket in buckets {
        let words = &bucket[at..];
        bytes.clear();
        match state.kept {
            Kept::Count => bytes.extend_from_slice(&i64::from(count(bucket)).to_le_bytes()),
            Kept::Sum { .. } | Kept::Moments { .. } => {
                let (sum, squares) = limbs(state.kept);
                let (sum, rest) = words[2..].split_at(sum as usize);
                let sums = Sums {
                    count: count(bucket),
                    flags: words[1] as u8,
                    sum,
                    squares: &rest[..squares as usize],
                    scale,
                };
                sums.save(spec, &mut bytes);
            }
            Kept::Extreme { greatest } => {
                let long = words[2..].iter().take(form.words().max(2) as usize).rev();
                let won = long.fold(0, |high: u128, word| high << 32 | u128::from(*word));
                // What is 0 may be nothing.
                if words[1] != 0 || (won != 0 && form.words() <= 2) {
                    let ordered = if greatest { won } else { !won };
                    unpack::extreme(spec, form, of_width(ordered, form), &mut bytes);
                }
            }
        }
        saved.append_value(&bytes);
    }
    saved.finish()
}

/// The ordered bits in the width of the form: the device orders all integers of up to 64 bits as such.
fn of_width(ordered: u128, form: Form) -> u128 {
    match form {
        Form::Integer { words: 1, signed: true } => {
            let value = (ordered as u64 ^ 1 << 63) as i64;
            u128::from(value as u32 ^ 1 << 31)
        }
        _ => ordered & (u128::MAX >> (128 - 32 * form.words())),
    }
}
