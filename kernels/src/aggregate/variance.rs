//! `VAR_SAMP`, `VAR_POP`, `STDDEV_SAMP`, `STDDEV_POP` of any number: n·Σx² − (Σx)² exactly, then one rounding.

use super::arguments::{feed, numbers, plain_type};
use super::{Aggregate, AggregateError, AggregateKind, AggregateSpec, assert_rows, same};
use crate::Rows;
use crate::exact::{ExactColumn, MomentCell};
use arrow::array::{ArrayRef, BinaryArray, Float64Array};
use arrow::datatypes::DataType;
use std::any::Any;
use std::sync::Arc;

/// States of one of the four: 56 bytes a group. Saved as [`ExactColumn::save`] with counts.
pub(super) struct Variance {
    column: ExactColumn<MomentCell>,
    kind: AggregateKind,
    arg_type: DataType,
}

impl Variance {
    pub fn new(kind: AggregateKind, arg_type: &DataType) -> Self {
        let arg_type = plain_type(arg_type).clone();
        let floats = matches!(arg_type, DataType::Float32 | DataType::Float64);
        let column = if floats { ExactColumn::doubles() } else { ExactColumn::integers() };
        Self { column, kind, arg_type }
    }

    fn value(&self, group: usize, kind: AggregateKind) -> Option<f64> {
        let scale = match self.arg_type {
            DataType::Decimal128(_, scale) => scale,
            _ => 0,
        };
        let variance = self.column.variance(group, is_sample(kind), scale)?;
        Some(if is_root(kind) { variance.sqrt() } else { variance })
    }
}

/// Whether the divisor is n − 1.
pub(super) fn is_sample(kind: AggregateKind) -> bool {
    matches!(kind, AggregateKind::VarSamp | AggregateKind::StddevSamp)
}

/// Whether the square root is taken.
pub(super) fn is_root(kind: AggregateKind) -> bool {
    matches!(kind, AggregateKind::StddevSamp | AggregateKind::StddevPop)
}

impl Aggregate for Variance {
    fn groups(&self) -> usize {
        self.column.groups()
    }

    fn resize(&mut self, groups: usize) {
        self.column.resize(groups);
    }

    fn update(&mut self, args: &[ArrayRef], rows: Rows<'_>, ids: &[u32]) -> Result<(), AggregateError> {
        assert_rows(args, rows, ids);
        feed(&mut self.column, &numbers(&args[0], &self.arg_type)?, rows, ids);
        Ok(())
    }

    fn merge(&mut self, other: &dyn Aggregate, map: &[u32]) -> Result<(), AggregateError> {
        let other: &Self = same(other, "VARIANCE")?;
        if (self.kind, &self.arg_type) != (other.kind, &other.arg_type) {
            return Err(AggregateError::WrongMerge { kind: "VARIANCE" });
        }
        self.column.merge(&other.column, map);
        Ok(())
    }

    fn finish(&self) -> Result<ArrayRef, AggregateError> {
        Ok(Arc::new((0..self.groups()).map(|group| self.value(group, self.kind)).collect::<Float64Array>()))
    }

    fn answer(&self, spec: &AggregateSpec) -> Result<ArrayRef, AggregateError> {
        match spec.kind {
            AggregateKind::Count | AggregateKind::Sum | AggregateKind::Avg => {
                super::sum::answer(&self.column, spec, &self.arg_type)
            }
            kind => Ok(Arc::new((0..self.groups()).map(|group| self.value(group, kind)).collect::<Float64Array>())),
        }
    }

    fn output_type(&self) -> DataType {
        DataType::Float64
    }

    fn save(&self) -> BinaryArray {
        self.column.save(true)
    }

    fn load(&mut self, saved: &BinaryArray) -> Result<(), AggregateError> {
        let bad = |group| AggregateError::BadState { group, kind: "VARIANCE" };
        self.column.load(saved, true).map_err(bad)
    }

    fn memory_bytes(&self) -> usize {
        self.column.memory_bytes()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
