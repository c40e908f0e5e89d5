//! `OVER`: what may stand in it, and the functions that stand only before it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result as DfResult, not_impl_err};
use datafusion_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion_expr::{PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl};
use datafusion_sql::sqlparser::ast::{
    Function, NamedWindowDefinition, NamedWindowExpr, Spanned, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowSpec, WindowType,
};

use super::errors::carry;
use super::functions::Functions;
use super::text::span_of;
use crate::error::{Error, Result, Span};

/// A function that is no aggregate and needs `OVER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WindowKind {
    /// `ROW_NUMBER()`.
    RowNumber,
    /// `LAG(value [, rows [, default]])`.
    Lag,
    /// `FIRST_VALUE(value)`: with `OVER` DataFusion looks for it here, and not among the aggregates.
    FirstValue,
    /// `LAST_VALUE(value)`, likewise.
    LastValue,
}

impl WindowKind {
    /// The function of this name, if it is one.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "row_number" => Some(WindowKind::RowNumber),
            "lag" => Some(WindowKind::Lag),
            "first_value" | "first" => Some(WindowKind::FirstValue),
            "last_value" | "last" => Some(WindowKind::LastValue),
            _ => None,
        }
    }

    /// True if it means nothing without `OVER`.
    pub fn needs_over(self) -> bool {
        matches!(self, WindowKind::RowNumber | WindowKind::Lag)
    }

    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            WindowKind::RowNumber => "row_number",
            WindowKind::Lag => "lag",
            WindowKind::FirstValue => "first_value",
            WindowKind::LastValue => "last_value",
        }
    }

    /// As DataFusion plans it.
    pub fn function(self) -> Arc<WindowUDF> {
        Arc::new(WindowUDF::new_from_impl(PeltonWindow {
            kind: self,
            signature: Signature::user_defined(Volatility::Immutable),
        }))
    }
}

/// One of our window functions in a plan.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct PeltonWindow {
    /// Which one.
    pub kind: WindowKind,
    signature: Signature,
}

impl WindowUDFImpl for PeltonWindow {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, _args: PartitionEvaluatorArgs) -> DfResult<Box<dyn PartitionEvaluator>> {
        not_impl_err!("{} is computed by the engine", self.name())
    }

    fn field(&self, args: WindowUDFFieldArgs) -> DfResult<FieldRef> {
        let data_type = match (self.kind, args.input_fields().first()) {
            (WindowKind::RowNumber, _) | (_, None) => DataType::Int64,
            (_, Some(field)) => plain(field.data_type()),
        };
        Ok(Arc::new(Field::new(args.name(), data_type, self.kind != WindowKind::RowNumber)))
    }

    fn coerce_types(&self, types: &[DataType]) -> DfResult<Vec<DataType>> {
        let (least, most) = match self.kind {
            WindowKind::RowNumber => (0, 0),
            WindowKind::Lag => (1, 3),
            WindowKind::FirstValue | WindowKind::LastValue => (1, 1),
        };
        if types.len() < least || types.len() > most {
            let name = self.kind.name().to_uppercase();
            return Err(carry(Error::user(match self.kind {
                WindowKind::RowNumber => format!("{name} takes no argument"),
                WindowKind::Lag => format!("{name} takes a value, a number of rows and a default"),
                _ => format!("{name} takes one value"),
            })));
        }
        Ok(types.iter().map(plain).collect())
    }
}

fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        other => other.clone(),
    }
}

/// Fails if this call has an `OVER` that is not supported, or lacks one.
pub fn check_call(function: &Function, name: &str, functions: &Functions) -> Result<()> {
    let place = span_of(function.name.span());
    let window = match &function.over {
        None if WindowKind::of(name).is_some_and(WindowKind::needs_over) => {
            let upper = name.to_uppercase();
            return Err(Error::user(format!("{upper} needs OVER (…)"))
                .at(place)
                .hint(format!("{upper}(…) OVER (PARTITION BY key ORDER BY ts)")));
        }
        None => return Ok(()),
        Some(window) => window,
    };
    if WindowKind::of(name).is_none() && functions.aggregate(name).is_none() {
        let upper = name.to_uppercase();
        let hint = match name {
            "lead" | "nth_value" | "ntile" | "percent_rank" | "cume_dist" => {
                "it needs rows that have not come yet; LAG looks back".to_string()
            }
            "rank" | "dense_rank" => "ROW_NUMBER() numbers the rows of a key in the order of their time".to_string(),
            _ => "OVER goes with the aggregates, LAG and ROW_NUMBER".to_string(),
        };
        let what = if functions.knows(name) { "is no aggregate" } else { "is not supported with OVER" };
        return Err(Error::user(format!("{upper} {what}")).at(place).hint(hint));
    }
    match window {
        WindowType::NamedWindow(_) => Ok(()),
        WindowType::WindowSpec(spec) => check_spec(spec, place),
    }
}

/// The same for `WINDOW name AS (…)`.
pub fn check_definition(NamedWindowDefinition(name, window): &NamedWindowDefinition) -> Result<()> {
    match window {
        NamedWindowExpr::NamedWindow(_) => Ok(()),
        NamedWindowExpr::WindowSpec(spec) => check_spec(spec, span_of(name.span)),
    }
}

fn check_spec(spec: &WindowSpec, place: Span) -> Result<()> {
    if let Some(name) = &spec.window_name {
        return Err(Error::user("a window that adds to another one is not supported yet")
            .at(span_of(name.span))
            .hint("write PARTITION BY, ORDER BY and the frame in one place"));
    }
    if spec.order_by.is_empty() {
        return Err(Error::user(
            "OVER needs ORDER BY the event time: without it the last row would decide about the first",
        )
        .at(place)
        .hint("OVER (PARTITION BY key ORDER BY ts RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW)"));
    }
    spec.window_frame.as_ref().map_or(Ok(()), |frame| check_frame(frame, place))
}

fn check_frame(frame: &WindowFrame, place: Span) -> Result<()> {
    if frame.units == WindowFrameUnits::Groups {
        return Err(Error::user("GROUPS frames are not supported yet")
            .at(place)
            .hint("RANGE counts time, ROWS counts rows"));
    }
    let bounds = [Some(&frame.start_bound), frame.end_bound.as_ref()];
    if bounds.into_iter().flatten().any(|bound| matches!(bound, WindowFrameBound::Following(_))) {
        return Err(Error::user("FOLLOWING looks at rows that have not come yet")
            .at(place)
            .hint("end the frame with CURRENT ROW or … PRECEDING"));
    }
    Ok(())
}
