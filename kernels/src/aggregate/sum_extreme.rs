//! `SUM` or `AVG` of doubles with their `MIN` or `MAX`: what a group has of both lies side by side.
//!
//! Plain idea: a column of sums and one of extremes. Departure: where groups are many, each column is a cache line of its own
//! to wait for, and of an extreme's line 8 of 64 bytes are wanted. Here both are one cell of 32 bytes. A program has these
//! states in place of two, and nobody outside sees it: the sums answer and save as [`Sum`](super::sum) does.

use super::arguments::{Native, numbers, squeezed};
use super::min_max::Saved;
use super::sum::answer;
use super::{Aggregate, AggregateError, AggregateKind, AggregateSpec, assert_rows, same};
use crate::Rows;
use crate::exact::{ExactColumn, ExtremeCell};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use std::any::Any;
use std::sync::Arc;

/// States for `sum`, which is `SUM` or `AVG`, and `extreme`, `MIN` or `MAX`, if they can lie side by side: both of the same
/// doubles.
pub(crate) fn build(sum: &AggregateSpec, extreme: &AggregateSpec) -> Option<Box<dyn Aggregate>> {
    use AggregateKind::*;
    let of_doubles = |spec: &AggregateSpec| spec.arg_types == [DataType::Float64];
    if !of_doubles(sum) || !of_doubles(extreme) || sum.distinct || sum.fast_float {
        return None;
    }
    let mean = sum.kind == Avg;
    match (sum.kind, extreme.kind) {
        (Sum | Avg, Max) => Some(Box::new(SumExtreme::<true> { column: ExactColumn::doubles(), mean })),
        (Sum | Avg, Min) => Some(Box::new(SumExtreme::<false> { column: ExactColumn::doubles(), mean })),
        _ => None,
    }
}

struct SumExtreme<const GREATEST: bool> {
    column: ExactColumn<ExtremeCell<GREATEST>>,
    mean: bool,
}

impl<const GREATEST: bool> SumExtreme<GREATEST> {
    fn kind(&self) -> &'static str {
        if GREATEST { "SUM with MAX" } else { "SUM with MIN" }
    }
}

impl<const GREATEST: bool> Aggregate for SumExtreme<GREATEST> {
    fn groups(&self) -> usize {
        self.column.groups()
    }

    fn resize(&mut self, groups: usize) {
        self.column.resize(groups);
    }

    fn update(&mut self, args: &[ArrayRef], rows: Rows<'_>, ids: &[u32]) -> Result<(), AggregateError> {
        assert_rows(args, rows, ids);
        let plain = numbers(&args[0], &DataType::Float64)?;
        squeezed(plain.as_primitive::<Float64Type>(), rows, ids, |values, ids| {
            self.column.add_doubles(values, ids);
            self.column.each_cell(ids, values, |cell, value| cell.meet(value.key()));
        });
        Ok(())
    }

    fn merge(&mut self, other: &dyn Aggregate, map: &[u32]) -> Result<(), AggregateError> {
        let other: &Self = same(other, self.kind())?;
        self.column.merge(&other.column, map);
        // Once more where merging has done it: sums that go to the wide form leave their extremes behind.
        self.column.each_cell(map, other.column.cells(), |cell, theirs| cell.meet(theirs.key()));
        Ok(())
    }

    fn finish(&self) -> Result<ArrayRef, AggregateError> {
        let kind = if self.mean { AggregateKind::Avg } else { AggregateKind::Sum };
        self.answer(&AggregateSpec { kind, distinct: false, arg_types: vec![DataType::Float64], fast_float: false })
    }

    fn answer(&self, spec: &AggregateSpec) -> Result<ArrayRef, AggregateError> {
        if !matches!(spec.kind, AggregateKind::Min | AggregateKind::Max) {
            return answer(&self.column, spec, &DataType::Float64);
        }
        let cells = self.column.cells().iter();
        let values = cells.map(|cell| cell.has_rows().then(|| f64::of_key(cell.key())));
        Ok(Arc::new(values.collect::<Float64Array>()))
    }

    fn output_type(&self) -> DataType {
        DataType::Float64
    }

    fn save(&self) -> BinaryArray {
        self.column.save(self.mean)
    }

    fn load(&mut self, saved: &BinaryArray) -> Result<(), AggregateError> {
        let kind = self.kind();
        self.column.load(saved, self.mean).map_err(|group| AggregateError::BadState { group, kind })
    }

    fn load_beside(&mut self, saved: &BinaryArray) -> Result<(), AggregateError> {
        let kind = self.kind();
        if saved.len() != self.column.groups() {
            return Err(AggregateError::BadState { group: saved.len(), kind });
        }
        let ids: Vec<u32> = (0..saved.len() as u32).collect();
        let mut keys = Vec::with_capacity(ids.len());
        for group in 0..saved.len() {
            let value = Saved::<f64>::read(saved.value(group)).ok_or(AggregateError::BadState { group, kind })?;
            keys.push(value.map(Native::key));
        }
        self.column.each_cell(&ids, &keys, |cell, key| key.iter().for_each(|key| cell.meet(*key)));
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.column.memory_bytes()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{AggregateCall, Cpu, Device, Program};
    use arrow::array::Int64Array;
    use proptest::prelude::*;

    fn program(kinds: &[AggregateKind]) -> Arc<Program> {
        let call = |kind: &AggregateKind| {
            let arg_types = vec![DataType::Float64; usize::from(*kind != AggregateKind::Count)];
            let args = vec![1; arg_types.len()];
            AggregateCall {
                spec: AggregateSpec { kind: *kind, distinct: false, arg_types, fast_float: false },
                args,
                filter: None,
            }
        };
        Arc::new(Program { keys: vec![(0, DataType::Int64)], aggregates: kinds.iter().map(call).collect() })
    }

    /// The rows in two states, each in batches, merged; the answers of each call by key, in bits.
    fn answers(kinds: &[AggregateKind], rows: &[(i64, Option<f64>)], cut: usize, batch: usize) -> Vec<String> {
        let program = program(kinds);
        let fed = |rows: &[(i64, Option<f64>)]| {
            let mut state = Cpu.state(&program, 0).unwrap();
            for rows in rows.chunks(batch) {
                let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
                let values: ArrayRef = Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.1)));
                state.update(&[keys, values], Rows::All(rows.len())).unwrap();
            }
            state
        };
        let cut = cut.min(rows.len());
        let (mut into, from) = (fed(&rows[..cut]), fed(&rows[cut..]));
        into.merge(from.as_ref()).unwrap();
        let (keys, found) = (into.keys().unwrap(), into.finish().unwrap());
        let shown = |column: &ArrayRef, group: usize| match column.as_primitive_opt::<Float64Type>() {
            Some(values) => format!("{:?}", values.is_valid(group).then(|| values.value(group).to_bits())),
            None => format!("{}", column.as_primitive::<arrow::datatypes::Int64Type>().value(group)),
        };
        let mut lines: Vec<String> = (0..into.groups())
            .map(|group| {
                let of_calls: Vec<String> = found.iter().map(|column| shown(column, group)).collect();
                format!("{}: {}", shown(&keys[0], group), of_calls.join(" "))
            })
            .collect();
        lines.sort();
        lines
    }

    fn value() -> impl Strategy<Value = Option<f64>> {
        prop_oneof![
            8 => (-1000i32..1000).prop_map(|cents| Some(f64::from(cents) / 100.0)),
            1 => Just(None),
            1 => prop::sample::select(vec![
                Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY), Some(-0.0), Some(0.0), Some(1e300), Some(5e-324),
            ]),
            1 => any::<f64>().prop_map(|x| Some(if x.is_nan() { f64::NAN } else { x })),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn side_by_side_means_apart(
            rows in prop::collection::vec((0i64..12, value()), 1..200),
            one in any::<bool>(), cut in 0usize..200, batch in 1usize..80,
        ) {
            use AggregateKind::*;
            let rows: Vec<_> = rows.into_iter().map(|(key, value)| (if one { 0 } else { key }, value)).collect();
            for (sum, extreme) in [(Sum, Max), (Avg, Min), (Sum, Min)] {
                let both = answers(&[Count, sum, extreme], &rows, cut, batch);
                let apart = [vec![Count], vec![sum], vec![extreme]].map(|kinds| answers(&kinds, &rows, cut, batch));
                let want: Vec<String> = apart[0].iter().enumerate().map(|(line, count)| {
                    let of = |call: usize| apart[call][line].split_once(": ").unwrap().1.to_string();
                    format!("{count} {} {}", of(1), of(2))
                }).collect();
                prop_assert_eq!(both, want);
            }
        }
    }

    #[test]
    fn saved_states_of_both_are_loaded() {
        use AggregateKind::*;
        let program = program(&[Count, Sum, Max]);
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![5, 7, 9]));
        let spec = |call: usize| &program.aggregates[call].spec;
        let states = |call: usize, values: &[(u32, f64)]| {
            let mut states = spec(call).build().unwrap();
            states.resize(3);
            let ids: Vec<u32> = values.iter().map(|(id, _)| *id).collect();
            let column: ArrayRef = Arc::new(Float64Array::from_iter_values(values.iter().map(|(_, value)| *value)));
            let args = if call == 0 { vec![] } else { vec![column] };
            states.update(&args, Rows::All(ids.len()), &ids).unwrap();
            states.save()
        };
        let rows = [(0, 1.5), (2, -4.0), (0, -2.5), (2, -8.0)];
        let mut state = Cpu::load(&program, 3, &[keys], &[0, 1, 2].map(|call| states(call, &rows))).unwrap();
        let more: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![7, 9])), Arc::new(Float64Array::from(vec![3.0, 1.0]))];
        state.update(&more, Rows::All(2)).unwrap();
        let found = state.finish().unwrap();
        let doubles = |call: usize| found[call].as_primitive::<Float64Type>().values().to_vec();
        assert_eq!((doubles(1), doubles(2)), (vec![-1.0, 3.0, -11.0], vec![1.5, 3.0, 1.0]));
    }
}
