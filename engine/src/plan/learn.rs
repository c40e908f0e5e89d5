//! Plans models that learn: rows to be answered and rows with labels come to one step, each with NULLs for what only the other has.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion_common::{Column as Named, ScalarValue};
use datafusion_physical_expr::expressions::{CastExpr, Column, IsNotNullExpr, Literal};

use super::Planner;
use super::relation::{Meaning, Place, Relation};
use super::steps::Step;
use crate::error::{Error, Result};
use crate::expr::{Compiled, Select, plan_error};
use crate::graph::Input;
use crate::operators::{LearnStage, Question};
use crate::predicate::Predicate;
use crate::sql::{LearnCall, LearnNode};

impl Planner<'_> {
    pub(super) fn learn(&mut self, node: &LearnNode) -> Result<Relation> {
        let def = node.def.clone();
        let input = self.relation(&node.input)?;
        let input = self.expand(input)?;
        let labels = self.relation(&node.labels)?;
        let labels = self.expand(labels)?;
        let (time, tick) = event_time(&input).ok_or_else(|| {
            Error::user(format!("model `{}` learns: the rows that ask it need an event time", def.name)).at(node.span).hint(
                "pass on a column that has a WATERMARK in CREATE TABLE, unchanged: a row is answered by what was known at its time",
            )
        })?;
        let (label_time, _) = event_time(&labels).ok_or_else(|| {
            Error::user(format!("model `{}` learns from `{}`, which has no event time", def.name, def.table))
                .at(def.span)
                .hint(
                    "declare WATERMARK FOR ts AS ts - INTERVAL '5' SECOND in its CREATE TABLE, and pass ts on in views",
                )
        })?;
        let (rows, passed) = (&input.physical, input.physical.len());
        let fields = rows.iter().map(|(_, field)| field.as_ref().clone().with_nullable(true));
        let known_at = labels.physical[label_time].1.as_ref().clone().with_name("$known_at").with_nullable(true);
        let lessons = def.features.iter().map(|name| format!("$lesson {name}")).chain(["$label".to_string()]);
        let lessons = lessons.map(|name| Field::new(name, DataType::Float64, true));
        let fields: Vec<Field> = fields.chain([known_at]).chain(lessons).collect();
        let both: SchemaRef = Arc::new(Schema::new(fields));
        let from = vec![self.rows_to_answer(&input, &both)?, self.rows_to_learn(&labels, label_time, node, &both)?];

        let place = |column: &Named| physical(&input, column);
        let question = |call: &LearnCall| -> Result<Question> {
            let features = call.features.iter().map(place).collect::<Result<_>>()?;
            Ok(Question { about: call.about, features })
        };
        let answers = node.calls.iter().enumerate().map(|(at, call)| {
            let (qualifier, field) = node.schema.qualified_field(input.places.len() + at);
            let field: FieldRef = Arc::new(Field::new(field.name(), call.about.data_type(), true));
            (qualifier.cloned(), field)
        });
        let nullable = |field: &FieldRef| Arc::new(field.as_ref().clone().with_nullable(true));
        let physical: Vec<_> =
            rows.iter().map(|(qualifier, field)| (qualifier.clone(), nullable(field))).chain(answers).collect();
        let stage = LearnStage {
            model: def.name.clone(),
            how: def.how,
            features: def.features.clone(),
            input: both,
            passed,
            time,
            tick,
            calls: node.calls.iter().map(question).collect::<Result<_>>()?,
            schema: Arc::new(Schema::new(physical.iter().map(|(_, field)| field.clone()).collect::<Vec<_>>())),
            ordered: labels.ordered,
        };
        self.placement.only_cpu("a model that learns", node.span);
        let mut places = input.places.clone();
        places.extend((0..node.calls.len()).map(|at| Place::Column(passed + at)));
        let mut meanings = input.meanings.clone();
        meanings.extend(node.calls.iter().map(|_| Meaning::Plain));
        Ok(Relation {
            from: vec![self.add(Step::Learn(stage), from)],
            schema: node.schema.clone(),
            places,
            meanings,
            physical,
            pending: None,
            bounded: input.bounded && labels.bounded,
            ordered: false,
            closing: false,
        })
    }

    /// The rows that ask, with nothing of a label.
    fn rows_to_answer(&mut self, input: &Relation, both: &SchemaRef) -> Result<Input> {
        let passed = input.physical.len();
        let own = (0..passed).map(|at| Ok(column(both, at, at)));
        let columns = own.chain(both.fields()[passed..].iter().map(nothing)).collect::<Result<Vec<_>>>()?;
        let select =
            Select { predicate: None, columns: Some(columns), schema: both.clone(), operator: "PREDICT".to_string() };
        Ok(self.add(Step::Select(select), input.from.clone()))
    }

    /// The rows with a label, with nothing else.
    fn rows_to_learn(&mut self, labels: &Relation, time: usize, node: &LearnNode, both: &SchemaRef) -> Result<Input> {
        let number = |at: usize| -> Compiled {
            let (_, field) = &labels.physical[at];
            let column = Arc::new(Column::new(field.name(), at));
            match field.data_type() {
                DataType::Float64 => column,
                _ => Arc::new(CastExpr::new(column, DataType::Float64, None)),
            }
        };
        let label = physical(labels, &node.def.label)?;
        let lessons = node.def.columns.iter().map(|column| physical(labels, column).map(number));
        let own = std::iter::once(Ok(Arc::new(Column::new(labels.physical[time].1.name(), time)) as Compiled))
            .chain(lessons)
            .chain([Ok(number(label))]);
        let own = own.collect::<Result<Vec<_>>>()?;
        let passed = both.fields().len() - own.len();
        let columns =
            both.fields()[..passed].iter().map(nothing).chain(own.into_iter().map(Ok)).collect::<Result<_>>()?;
        // What has no label teaches nothing, and need not wait.
        let known = Arc::new(IsNotNullExpr::new(Arc::new(Column::new(labels.physical[label].1.name(), label))));
        let select = Select {
            predicate: Some(Predicate::new(known)),
            columns: Some(columns),
            schema: both.clone(),
            operator: "LEARN".to_string(),
        };
        Ok(self.add(Step::Select(select), labels.from.clone()))
    }
}

fn column(schema: &SchemaRef, at: usize, from: usize) -> Compiled {
    Arc::new(Column::new(schema.field(at).name(), from))
}

/// NULL of a field's type.
fn nothing(field: &FieldRef) -> Result<Compiled> {
    Ok(Arc::new(Literal::new(ScalarValue::try_from(field.data_type()).map_err(plan_error)?)))
}

/// The physical column of a column.
fn physical(relation: &Relation, column: &Named) -> Result<usize> {
    let found = relation.schema.maybe_index_of_column(column).map(|at| relation.places[at]);
    match found {
        Some(Place::Column(at)) => Ok(at),
        _ => Err(Error::bug(format!("column {column} is lost on the way to a model"))),
    }
}

/// The event time of a relation, its physical column and tick: that of its source, or of the windows that its rows come from.
fn event_time(relation: &Relation) -> Option<(usize, i64)> {
    let of = |wanted: fn(Meaning) -> Option<i64>| {
        let both = relation.meanings.iter().zip(&relation.places);
        both.filter_map(|(meaning, place)| match place {
            Place::Column(at) => Some((*at, wanted(*meaning)?)),
            Place::Virtual(_) => None,
        })
        .next()
    };
    of(|meaning| if let Meaning::Time { tick } = meaning { Some(tick) } else { None })
        .or_else(|| of(|meaning| if let Meaning::WindowTime { tick } = meaning { Some(tick) } else { None }))
        .or_else(|| of(|meaning| if let Meaning::WindowEnd { tick } = meaning { Some(tick) } else { None }))
}
