//! `SUM` and `AVG` of any number, exact.

use super::arguments::{feed, numbers, plain_type};
use super::{Aggregate, AggregateError, AggregateKind, AggregateSpec, assert_rows, same};
use crate::Rows;
use crate::exact::{Cell, ExactColumn, SumCell, big_decimal_mean, decimal_mean};
use arrow::array::{ArrayRef, BinaryArray, Decimal128Array, Float64Array, Int64Array};
use arrow::datatypes::DataType;
use std::any::Any;
use std::sync::Arc;

/// States of `SUM` or `AVG`: 24 bytes a group. Saved as [`ExactColumn::save`], `AVG` with counts.
pub(super) struct Sum {
    column: ExactColumn<SumCell>,
    mean: bool,
    arg_type: DataType,
    output_type: DataType,
}

impl Sum {
    pub fn new(kind: AggregateKind, arg_type: &DataType, output_type: DataType) -> Self {
        let arg_type = plain_type(arg_type).clone();
        let floats = matches!(arg_type, DataType::Float32 | DataType::Float64);
        let column = if floats { ExactColumn::doubles() } else { ExactColumn::integers() };
        Self { column, mean: kind == AggregateKind::Avg, arg_type, output_type }
    }

    fn kind(&self) -> &'static str {
        if self.mean { "AVG" } else { "SUM" }
    }
}

/// The answers to `SUM` or `AVG` of sums.
struct Answers<'a, C> {
    column: &'a ExactColumn<C>,
    mean: bool,
    output_type: &'a DataType,
}

impl<C: Cell> Answers<'_, C> {
    fn double(&self, group: usize) -> f64 {
        let special = self.column.specials(group).sum();
        let quick = || self.column.quick_sum(group).filter(|_| !self.mean);
        special.or_else(quick).unwrap_or_else(|| {
            self.column.number(group, 0, |sum| match self.mean {
                true => sum.divided_by(self.column.count(group)),
                false => sum.to_f64(),
            })
        })
    }

    fn integer(&self, group: usize) -> Result<i128, AggregateError> {
        let overflow = || AggregateError::SumOverflow { group, data_type: self.output_type.clone() };
        self.column.number(group, 0, |sum| sum.to_i128()).ok_or_else(overflow)
    }

    /// A decimal mean, in units of the result.
    fn decimal_mean(&self, group: usize, digits: u32) -> Option<i128> {
        let count = self.column.count(group);
        self.column.number(group, 0, |sum| match sum.to_i128() {
            Some(sum) => decimal_mean(sum, count, digits),
            None => big_decimal_mean(&(sum.big() << sum.exponent), count, digits),
        })
    }

    fn array(&self, arg_type: &DataType) -> Result<ArrayRef, AggregateError> {
        let groups = || (0..self.column.groups()).map(|group| (self.column.count(group) > 0).then_some(group));
        let overflow = |group| AggregateError::SumOverflow { group, data_type: self.output_type.clone() };
        Ok(match (self.output_type, arg_type) {
            (DataType::Int64, _) => {
                let value = |group| i64::try_from(self.integer(group)?).map_err(|_| overflow(group));
                let values = groups().map(|group| group.map(value).transpose());
                Arc::new(values.collect::<Result<Int64Array, _>>()?)
            }
            (DataType::Decimal128(precision, scale), DataType::Decimal128(_, from)) => {
                let value = |group| {
                    let value = match self.mean {
                        true => self.decimal_mean(group, (scale - from) as u32).ok_or_else(|| overflow(group)),
                        false => self.integer(group),
                    }?;
                    if value.unsigned_abs() < 10u128.pow(38) { Ok(value) } else { Err(overflow(group)) }
                };
                let values = groups().map(|group| group.map(value).transpose());
                let values = values.collect::<Result<Decimal128Array, _>>()?;
                Arc::new(values.with_precision_and_scale(*precision, *scale)?)
            }
            _ => Arc::new(groups().map(|group| group.map(|group| self.double(group))).collect::<Float64Array>()),
        })
    }
}

/// What `spec` (`SUM`, `AVG` or `COUNT` of a plain type) wants of exact sums.
pub(super) fn answer<C: Cell>(
    column: &ExactColumn<C>,
    spec: &AggregateSpec,
    arg_type: &DataType,
) -> Result<ArrayRef, AggregateError> {
    if spec.kind == AggregateKind::Count {
        return Ok(Arc::new(Int64Array::from_iter_values((0..column.groups()).map(|g| column.count(g) as i64))));
    }
    let mean = spec.kind == AggregateKind::Avg;
    Answers { column, mean, output_type: &spec.output_type()? }.array(arg_type)
}

impl Aggregate for Sum {
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
        let other: &Self = same(other, self.kind())?;
        if (self.mean, &self.arg_type) != (other.mean, &other.arg_type) {
            return Err(AggregateError::WrongMerge { kind: self.kind() });
        }
        self.column.merge(&other.column, map);
        Ok(())
    }

    fn can_unmerge(&self, other: &dyn Aggregate) -> bool {
        same::<Self>(other, self.kind()).is_ok_and(|other| self.column.can_unmerge(&other.column))
    }

    fn unmerge(&mut self, other: &dyn Aggregate, map: &[u32]) {
        let other: &Self = same(other, self.kind()).expect("`can_unmerge` was asked");
        self.column.unmerge(&other.column, map);
    }

    fn finish(&self) -> Result<ArrayRef, AggregateError> {
        Answers { column: &self.column, mean: self.mean, output_type: &self.output_type }.array(&self.arg_type)
    }

    fn answer(&self, spec: &AggregateSpec) -> Result<ArrayRef, AggregateError> {
        answer(&self.column, spec, &self.arg_type)
    }

    fn output_type(&self) -> DataType {
        self.output_type.clone()
    }

    fn save(&self) -> BinaryArray {
        self.column.save(self.mean)
    }

    fn load(&mut self, saved: &BinaryArray) -> Result<(), AggregateError> {
        let kind = self.kind();
        self.column.load(saved, self.mean).map_err(|group| AggregateError::BadState { group, kind })
    }

    fn memory_bytes(&self) -> usize {
        self.column.memory_bytes()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
