//! Selected rows side by side.
//!
//! Plain idea: `take`, a value at a time. Departure: a filter that most rows pass leaves runs of rows, and eight rows in a run are one copy.

use arrow::array::{Array, ArrayRef, UInt32Array, make_array};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::{ArrowNativeType, DataType};
use arrow::error::ArrowError;

/// Rows that are copied together where they follow each other.
const RUN: usize = 8;

/// The selected rows of all columns. Errors as `take` does.
///
/// # Panics
/// If a row is not in the columns.
pub fn gather(columns: &[ArrayRef], rows: &UInt32Array) -> Result<Vec<ArrayRef>, ArrowError> {
    let runs = has_runs(rows.values());
    columns.iter().map(|column| if runs { by_runs(column, rows) } else { take(column, rows, None) }).collect()
}

/// Whether most rows between the first and the last are selected, as far as can be told from these two.
fn has_runs(rows: &[u32]) -> bool {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return false };
    last >= first && rows.len() >= (last - first) as usize / 4 * 3
}

fn by_runs(column: &ArrayRef, rows: &UInt32Array) -> Result<ArrayRef, ArrowError> {
    let width = match column.data_type() {
        DataType::Dictionary(key, _) => key.primitive_width(),
        other => other.primitive_width(),
    };
    match width {
        Some(4) if column.null_count() == 0 => Ok(copied::<u32>(column, rows)),
        Some(8) if column.null_count() == 0 => Ok(copied::<u64>(column, rows)),
        _ => take(column, rows, None),
    }
}

/// For columns of values, or keys of a dictionary, that are as wide as `T`.
fn copied<T: ArrowNativeType>(column: &ArrayRef, rows: &UInt32Array) -> ArrayRef {
    let data = column.to_data();
    let values = side_by_side(data.buffer::<T>(0), rows.values());
    let buffers = vec![Buffer::from(ScalarBuffer::from(values))];
    let gathered = data.into_builder().offset(0).len(rows.len()).nulls(None).buffers(buffers);
    // SAFETY: values, or keys, of the same column.
    make_array(unsafe { gathered.build_unchecked() })
}

fn side_by_side<T: Copy>(values: &[T], rows: &[u32]) -> Vec<T> {
    let (blocks, rest) = rows.as_chunks::<RUN>();
    let mut gathered: Vec<[T; RUN]> = Vec::with_capacity(blocks.len() + 1);
    gathered.extend(blocks.iter().map(|block| {
        let first = block[0];
        let gaps = block.iter().zip(first..).fold(0, |gaps, (row, next)| gaps | (row ^ next));
        match values.get(first as usize..).and_then(|values| values.first_chunk()) {
            Some(run) if gaps == 0 => *run,
            _ => block.map(|row| values[row as usize]),
        }
    }));
    let mut gathered = gathered.into_flattened();
    gathered.extend(rest.iter().map(|row| values[*row as usize]));
    gathered
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Float64Array, Int32Array, StringArray, TimestampMillisecondArray};
    use arrow::datatypes::UInt32Type;
    use proptest::prelude::*;
    use std::sync::Arc;

    proptest! {
        #[test]
        fn rows_are_those_that_take_gives(
            n in 1_u32..300,
            dropped in prop::collection::btree_set(0_u32..300, 0..80),
            repeated in any::<bool>(),
            cut in 0_usize..20,
        ) {
            let words: DictionaryArray<UInt32Type> = (0..n).map(|i| ["a", "b", "c"][i as usize % 3]).collect();
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Float64Array::from_iter_values((0..n).map(|i| f64::from(i) / 3.0))),
                Arc::new(TimestampMillisecondArray::from_iter_values((0..n).map(i64::from)).with_timezone("UTC")),
                Arc::new(Int32Array::from_iter((0..n).map(|i| (i % 7 > 0).then_some(i as i32)))),
                Arc::new(Int32Array::from_iter_values(0..n as i32)),
                Arc::new(words),
                Arc::new(StringArray::from_iter_values((0..n).map(|i| i.to_string()))),
            ];
            let cut = cut.min(n as usize - 1);
            let columns: Vec<ArrayRef> = columns.iter().map(|column| column.slice(cut, n as usize - cut)).collect();
            let mut rows: Vec<u32> = (0..n - cut as u32).filter(|row| !dropped.contains(row)).collect();
            if repeated && !rows.is_empty() {
                rows.insert(0, rows[0]);
            }
            let rows = UInt32Array::from(rows);
            for (column, got) in columns.iter().zip(gather(&columns, &rows).unwrap()) {
                prop_assert_eq!(&got, &take(column, &rows, None).unwrap());
                prop_assert_eq!(&by_runs(column, &rows).unwrap(), &got);
            }
        }
    }
}
