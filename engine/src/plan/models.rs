//! Calls of models in the steps of a plan: which of them a device answers.
//!
//! A call is a function like others to whoever compiles expressions. When its step is added to the plan, the call becomes one of the
//! same function with a [`Scorer`] at hand, wherever in the step it stands.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use serde::Serialize;

use super::placement::Placement;
use super::steps::Step;
use crate::connector::Registry;
use crate::expr::{Compiled, Select};
use crate::predicate::Predicate;
use crate::sql::{ModelCall, with_scorer};

/// Where a call of a model is answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelPlace {
    /// The call and its model.
    pub model: String,
    /// Who may answer.
    pub device: String,
    /// Why, all reasons at once.
    pub reasons: Vec<String>,
    /// What a row brings over the bus, there and back, if a device may answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_row: Option<usize>,
}

impl fmt::Display for ModelPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ModelPlace { model, device, reasons, bytes_per_row } = self;
        writeln!(f, "{model}\n  on {device}")?;
        reasons.iter().try_for_each(|reason| writeln!(f, "  - {reason}"))?;
        match bytes_per_row {
            Some(bytes) => writeln!(f, "  {bytes} bytes a row to the device and back"),
            None => Ok(()),
        }
    }
}

fn as_function(expr: &Compiled) -> Option<&ScalarFunctionExpr> {
    (expr.as_ref() as &dyn Any).downcast_ref()
}

impl Placement {
    /// A step whose calls of models a device answers, where there is one that can.
    pub(super) fn with_models(&self, step: Step, registry: &Registry) -> Step {
        if !self.scores() || models(&step).is_empty() {
            return step;
        }
        let placed = |expr: Compiled| {
            let of = |expr: Compiled| {
                Ok(self.placed(&expr, registry).map_or_else(|| Transformed::no(expr), Transformed::yes))
            };
            expr.clone().transform_up(of).map_or(expr, |placed| placed.data)
        };
        let all = |exprs: Vec<Compiled>| exprs.into_iter().map(placed).collect::<Vec<Compiled>>();
        match step {
            Step::Select(select) => Step::Select(Select {
                predicate: select.predicate.map(|predicate| Predicate::new(placed(predicate.whole().clone()))),
                columns: select.columns.map(all),
                ..select
            }),
            Step::Join(mut join) => {
                join.keys = all(join.keys);
                join.filter = join.filter.map(placed);
                Step::Join(join)
            }
            Step::Sort { keys, skip, fetch, by_window, schema } => {
                let keys = keys.into_iter().map(|(key, options)| (placed(key), options)).collect();
                Step::Sort { keys, skip, fetch, by_window, schema }
            }
            Step::Aggregate(mut stage) => {
                stage.columns = all(stage.columns);
                Step::Aggregate(stage)
            }
            Step::Over(mut over) => {
                over.columns = all(over.columns);
                Step::Over(over)
            }
            Step::Expand(expand) => Step::Expand(expand),
            Step::Learn(stage) => Step::Learn(stage),
        }
    }

    /// The same call with a device at hand.
    fn placed(&self, expr: &Compiled, registry: &Registry) -> Option<Compiled> {
        let function = as_function(expr)?;
        let call = ModelCall::of(function.fun())?;
        let scorer = self.scorer(&call, registry)?;
        let fun = Arc::new(with_scorer(function.fun(), Arc::new(scorer))?);
        let field = function.return_field(&Schema::empty()).ok()?;
        let config = Arc::new(function.config_options().clone());
        Some(Arc::new(ScalarFunctionExpr::new(function.name(), fun, function.args().to_vec(), field, config)))
    }
}

/// Calls of models in a step, each once.
pub(super) fn models(step: &Step) -> Vec<ModelCall> {
    let mut calls: Vec<ModelCall> = vec![];
    let mut add = |expr: &Compiled| {
        let look = |expr: &Compiled| {
            if let Some(call) = as_function(expr).and_then(|function| ModelCall::of(function.fun()))
                && !calls.iter().any(|known| known.name == call.name)
            {
                calls.push(call);
            }
            Ok(TreeNodeRecursion::Continue)
        };
        expr.apply(look).expect("looking does not fail");
    };
    match step {
        Step::Select(select) => {
            select.predicate.iter().for_each(|predicate| add(predicate.whole()));
            select.columns.iter().flatten().for_each(add);
        }
        Step::Join(join) => join.keys.iter().chain(&join.filter).for_each(add),
        Step::Sort { keys, .. } => keys.iter().for_each(|(key, _)| add(key)),
        Step::Aggregate(stage) => stage.columns.iter().for_each(add),
        Step::Over(over) => over.columns.iter().for_each(add),
        Step::Expand(_) | Step::Learn(_) => {}
    }
    calls
}
