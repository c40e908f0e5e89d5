//! Aggregates: states as columns, one per group.
//!
//! Comes in: argument columns, a selection, a group id per row. Goes out: one value per group, and canonical bytes.
//! Stays outside: windows, keys and which group is which (the engine's); files (`io`).
//!
//! Everything rests on one law, stated at [`Aggregate`] and tested in `law` for every kind and type.

mod approx_distinct;
mod approx_percentile;
mod arguments;
mod boolean;
mod count;
mod distinct;
mod first_last;
#[cfg(test)]
mod law;
mod min_max;
mod pair_set;
mod plain;
mod sum;
pub(crate) mod sum_extreme;
mod values;
mod variance;

use crate::Rows;
use arguments::{is_number, layout, plain_type};
use arrow::array::{Array, ArrayRef, BinaryArray};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use std::any::Any;
use std::fmt;

/// One aggregate's states, one per group, as columns.
///
/// Law: a state is an element of a commutative monoid and `merge` is exact. For any cut of a group's rows into calls of
/// `update` on any number of states, in any order, merged in any order: `finish` and `save` give the same bytes. The one
/// exception is [`AggregateSpec::fast_float`], which says so.
///
/// NULL arguments are skipped, except by `COUNT(*)`, `FIRST_VALUE` and `LAST_VALUE`. A group without rows gives NULL,
/// `COUNT` and `APPROX_DISTINCT` 0.
pub trait Aggregate: Send + Sync {
    /// How many states there are.
    fn groups(&self) -> usize;

    /// Grows to `groups` states; new ones are the identity.
    fn resize(&mut self, groups: usize);

    /// Folds rows in: the i-th selected row goes to state `ids[i]`.
    ///
    /// Errors when an argument is not of the type the aggregate was made for; nothing is folded then.
    ///
    /// # Panics
    /// If `ids.len() != rows.len()`, an id is not below `groups()`, or a row is not in the arrays.
    fn update(&mut self, args: &[ArrayRef], rows: Rows<'_>, ids: &[u32]) -> Result<(), AggregateError>;

    /// State `g` of `other` merges into state `map[g]`. Errors when `other` was not made by an equal spec.
    ///
    /// # Panics
    /// If `map.len() != other.groups()` or a target is not below `groups()`.
    fn merge(&mut self, other: &dyn Aggregate, map: &[u32]) -> Result<(), AggregateError>;

    /// Whether [`unmerge`](Aggregate::unmerge) can take `other`, which was merged in before, out again.
    fn can_unmerge(&self, other: &dyn Aggregate) -> bool {
        let _ = other;
        false
    }

    /// State `g` of `other` is taken out of state `map[g]`: what is left is what there would be without it.
    ///
    /// # Panics
    /// Where [`can_unmerge`](Aggregate::can_unmerge) says no, or as `merge`.
    fn unmerge(&mut self, other: &dyn Aggregate, map: &[u32]) {
        let _ = (other, map);
        unreachable!("`can_unmerge` says no");
    }

    /// One value per group, of `output_type()`. Does not change the states. Errors name the group.
    fn finish(&self) -> Result<ArrayRef, AggregateError>;

    /// The values that `spec` wants of these states; its own spec must [cover](AggregateSpec::covers) that one.
    fn answer(&self, spec: &AggregateSpec) -> Result<ArrayRef, AggregateError> {
        let _ = spec;
        self.finish()
    }

    /// The type of the values.
    fn output_type(&self) -> DataType;

    /// Canonical bytes, one value per group and none NULL. States equal in meaning give equal bytes: `load` these, push
    /// the same rows, get the same values.
    ///
    /// # Panics
    /// When all of it passes 2 GiB, which only sketches of very many groups do.
    fn save(&self) -> BinaryArray;

    /// Replaces the states by saved ones: as many as there are values in `saved`.
    fn load(&mut self, saved: &BinaryArray) -> Result<(), AggregateError>;

    /// Takes up, into states that were loaded, the saved states of another call that lie in these too: see `sum_extreme`.
    fn load_beside(&mut self, saved: &BinaryArray) -> Result<(), AggregateError> {
        let _ = saved;
        unreachable!("states of one call")
    }

    /// Bytes held, to a few per cent.
    fn memory_bytes(&self) -> usize;

    /// For `merge`.
    fn as_any(&self) -> &dyn Any;
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AggregateKind {
    /// No argument: rows. One argument: those that are not NULL. `Int64`.
    Count,
    /// Integers: `Int64`, overflow is an error. Floats: `Float64`, the exact sum rounded once, ±inf past the largest
    /// double. `Decimal128(p, s)`: `Decimal128(38, s)`, overflow is an error.
    Sum,
    /// Integers and floats: `Float64`, exact sum / n rounded once. `Decimal128(p, s)`: half away from zero to
    /// `Decimal128(38, min(38, max(s, 6)))`.
    Avg,
    /// The least value by total order; NaN last, strings by bytes. Type of the argument.
    Min,
    /// The greatest value, likewise.
    Max,
    /// Σ(x − mean)² / (n − 1), rounded once. NULL for one row, NaN with NaN or an infinity among them. `Float64`.
    VarSamp,
    /// Σ(x − mean)² / n, likewise.
    VarPop,
    /// Square root of the double that `VarSamp` gives.
    StddevSamp,
    /// Square root of the double that `VarPop` gives.
    StddevPop,
    /// Whether all are true.
    BoolAnd,
    /// Whether any is true.
    BoolOr,
    /// Arguments: value, event time in microseconds `Int64`, partition `UInt32`, offset `Int64`, the last three never
    /// NULL. The value, NULL or not, of the row least by (time, partition, offset); of equal ones NULL, then the least
    /// value.
    FirstValue,
    /// Likewise of the greatest row; of equal ones the greatest value, NULL only if there is no other.
    LastValue,
    /// Distinct values: exact up to 1,024, then a HyperLogLog of 2^14 registers, about 0.8 % off. `Int64`.
    ApproxDistinct,
    /// A value at rank p·(n − 1), within 0.4 %. `Float64`.
    ApproxPercentile {
        /// The rank, 0 to 1.
        p: f64,
    },
}

impl fmt::Display for AggregateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use AggregateKind::*;
        f.write_str(match self {
            Count => "COUNT",
            Sum => "SUM",
            Avg => "AVG",
            Min => "MIN",
            Max => "MAX",
            VarSamp => "VAR_SAMP",
            VarPop => "VAR_POP",
            StddevSamp => "STDDEV_SAMP",
            StddevPop => "STDDEV_POP",
            BoolAnd => "BOOL_AND",
            BoolOr => "BOOL_OR",
            FirstValue => "FIRST_VALUE",
            LastValue => "LAST_VALUE",
            ApproxDistinct => "APPROX_DISTINCT",
            ApproxPercentile { p } => return write!(f, "APPROX_PERCENTILE({p})"),
        })
    }
}

/// What is computed of what: makes states.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateSpec {
    /// What is computed.
    pub kind: AggregateKind,
    /// Of each group's different values, each once.
    pub distinct: bool,
    /// The types of the arguments, as the columns will have them.
    pub arg_types: Vec<DataType>,
    /// Plain float sums: faster, and not order-free. Only sums, means and variances of floats heed it.
    pub fast_float: bool,
}

impl AggregateSpec {
    /// The type of the values. Errors when the kind does not take these arguments.
    pub fn output_type(&self) -> Result<DataType, AggregateError> {
        use AggregateKind::*;
        let unsupported = || AggregateError::Unsupported { kind: self.kind, arg_types: self.arg_types.clone() };
        let wanted = match self.kind {
            Count if !self.distinct => self.arg_types.len().min(1),
            FirstValue | LastValue => 4,
            _ => 1,
        };
        if self.arg_types.len() != wanted {
            return Err(unsupported());
        }
        let Some(first) = self.arg_types.first() else { return Ok(DataType::Int64) };
        if self.kind == Count && !self.distinct {
            return Ok(DataType::Int64);
        }
        let plain = plain_type(first);
        let layout = layout(plain).ok_or_else(unsupported)?;
        let number = is_number(plain);
        Ok(match self.kind {
            Count | ApproxDistinct => DataType::Int64,
            Sum if plain.is_integer() => DataType::Int64,
            Sum | Avg => match layout {
                DataType::Decimal128(_, scale) if self.kind == Sum => DataType::Decimal128(38, scale),
                DataType::Decimal128(_, scale) => DataType::Decimal128(38, scale.clamp(6, 38)),
                _ if number => DataType::Float64,
                _ => return Err(unsupported()),
            },
            VarSamp | VarPop | StddevSamp | StddevPop if number => DataType::Float64,
            ApproxPercentile { p } if number && (0.0..=1.0).contains(&p) => DataType::Float64,
            BoolAnd | BoolOr if *plain == DataType::Boolean => DataType::Boolean,
            Min | Max => plain.clone(),
            FirstValue | LastValue if self.arg_types[1..] == [DataType::Int64, DataType::UInt32, DataType::Int64] => {
                plain.clone()
            }
            _ => return Err(unsupported()),
        })
    }

    /// Whether states can [answer](Aggregate::answer) how many rows of their argument are not NULL.
    pub fn counts_rows(&self) -> bool {
        use AggregateKind::*;
        let floats = self.arg_types.first().is_some_and(|t| plain_type(t).is_floating());
        matches!(self.kind, Sum | Avg | VarSamp | VarPop | StddevSamp | StddevPop)
            && !(self.distinct || self.fast_float && floats)
    }

    /// Whether states can, but for special values, be [taken out](Aggregate::unmerge) again: counts and exact sums.
    pub fn is_invertible(&self) -> bool {
        use AggregateKind::*;
        let floats = self.arg_types.first().is_some_and(|t| plain_type(t).is_floating());
        matches!(self.kind, Count | Sum | Avg) && !(self.distinct || self.fast_float && floats)
    }

    /// Whether states of this spec can [answer](Aggregate::answer) `other` too: a variance has the sum, its mean and the
    /// count in it, a mean the sum and the count.
    pub fn covers(&self, other: &AggregateSpec) -> bool {
        let exact = |spec: &AggregateSpec| {
            let floats = spec.arg_types.first().is_some_and(|t| plain_type(t).is_floating());
            !(spec.distinct || spec.fast_float && floats) && spec.arg_types.len() == 1
        };
        let rank = |spec: &AggregateSpec| {
            use AggregateKind::*;
            Some(match spec.kind {
                VarSamp | VarPop | StddevSamp | StddevPop => 3,
                Avg => 2,
                Sum => 1,
                Count => 0,
                _ => return None,
            })
        };
        if self.arg_types != other.arg_types || !exact(self) || !exact(other) {
            return self == other;
        }
        match (rank(self), rank(other)) {
            (Some(mine), Some(theirs)) => mine >= 2 && mine >= theirs,
            _ => self == other,
        }
    }

    /// States of no groups. Errors when the kind does not take these arguments.
    pub fn build(&self) -> Result<Box<dyn Aggregate>, AggregateError> {
        use AggregateKind::*;
        let output_type = self.output_type()?;
        let Some(first) = self.arg_types.first() else { return Ok(Box::new(count::Count::default())) };
        let heeds_distinct = matches!(
            self.kind,
            Count | Sum | Avg | VarSamp | VarPop | StddevSamp | StddevPop | ApproxPercentile { .. }
        );
        if self.distinct && heeds_distinct {
            return distinct::build(self, output_type);
        }
        let floats = matches!(plain_type(first), DataType::Float32 | DataType::Float64);
        Ok(match self.kind {
            Count => Box::new(count::Count::default()),
            Sum | Avg if self.fast_float && floats => Box::new(plain::PlainSum::new(self.kind, first)),
            Sum | Avg => Box::new(sum::Sum::new(self.kind, first, output_type)),
            Min => min_max::build(false, first, output_type),
            Max => min_max::build(true, first, output_type),
            VarSamp | VarPop | StddevSamp | StddevPop if self.fast_float && floats => {
                Box::new(plain::PlainVariance::new(self.kind, first))
            }
            VarSamp | VarPop | StddevSamp | StddevPop => Box::new(variance::Variance::new(self.kind, first)),
            BoolAnd | BoolOr => Box::new(boolean::Boolean::new(self.kind)),
            FirstValue => first_last::build(false, first, output_type),
            LastValue => first_last::build(true, first, output_type),
            ApproxDistinct => Box::new(approx_distinct::ApproxDistinct::new(first)),
            ApproxPercentile { p } => Box::new(approx_percentile::ApproxPercentile::new(p, first)),
        })
    }
}

/// Why an aggregate stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AggregateError {
    /// The exact result is not a value of the result type.
    #[error("group {group}: the result does not fit {data_type}")]
    SumOverflow {
        /// Index of the group.
        group: usize,
        /// The result type.
        data_type: DataType,
    },
    /// There is no such aggregate.
    #[error("{kind} does not take ({})", display_types(arg_types))]
    Unsupported {
        /// What was asked for.
        kind: AggregateKind,
        /// Of what.
        arg_types: Vec<DataType>,
    },
    /// A column is not what the aggregate was made for.
    #[error("an aggregate of {want} was handed {got}")]
    WrongArgument {
        /// What it was made for.
        want: DataType,
        /// What came.
        got: DataType,
    },
    /// Saved bytes that `save` did not write, or states of another spec.
    #[error("group {group}: not a saved state of {kind}")]
    BadState {
        /// Index of the group.
        group: usize,
        /// The aggregate that read it.
        kind: &'static str,
    },
    /// States of one spec were to merge into states of another.
    #[error("states of {kind} can only merge with states of the same spec")]
    WrongMerge {
        /// The aggregate merged into.
        kind: &'static str,
    },
    /// Arrow refused a cast.
    #[error("cannot bring the argument into shape")]
    Cast(#[from] ArrowError),
}

impl AggregateError {
    /// The group it happened in, if it is one group's failure.
    pub fn group(&self) -> Option<usize> {
        match self {
            AggregateError::SumOverflow { group, .. } | AggregateError::BadState { group, .. } => Some(*group),
            _ => None,
        }
    }
}

fn display_types(types: &[DataType]) -> String {
    types.iter().map(|data_type| data_type.to_string()).collect::<Vec<_>>().join(", ")
}

/// `other` as the type merged into.
fn same<'a, A: 'static>(other: &'a dyn Aggregate, kind: &'static str) -> Result<&'a A, AggregateError> {
    other.as_any().downcast_ref().ok_or(AggregateError::WrongMerge { kind })
}

/// Checks what `update` promises of its arguments.
fn assert_rows(args: &[ArrayRef], rows: Rows<'_>, ids: &[u32]) {
    assert_eq!(rows.len(), ids.len(), "one group id per row");
    if let Rows::All(rows) = rows {
        assert!(args.iter().all(|arg| arg.len() == rows), "all rows of every argument");
    }
}
