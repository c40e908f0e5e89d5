//! What the planner knows of a relation: where its columns are and what they mean for time.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion_common::{DFSchema, DFSchemaRef, TableReference};
use datafusion_expr::Expr;

use crate::error::{Result, Span};
use crate::expr::plan_error;
use crate::graph::Input;
use crate::operators::GroupColumn;
use crate::window::WindowSpec;
use crate::zone::Zone;

/// What a column of a relation means for time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Plain,
    /// The event time, with its tick in µs.
    Time {
        tick: i64,
    },
    /// Start of a window; `size` if all windows have the same.
    WindowStart {
        tick: i64,
        size: Option<i64>,
    },
    WindowEnd {
        tick: i64,
    },
    WindowTime {
        tick: i64,
    },
}

impl Meaning {
    /// How far the end of the row's window is beyond the column's value, in µs; `None` if the column tells no window.
    pub(super) fn to_window_end(self) -> Option<i64> {
        match self {
            Meaning::WindowEnd { .. } => Some(0),
            Meaning::WindowTime { tick } => Some(tick),
            Meaning::WindowStart { size, .. } => size,
            Meaning::Time { .. } | Meaning::Plain => None,
        }
    }
}

/// Where a logical column is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this column of the batch.
    Column(usize),
    /// Nowhere yet: a bound of the window that the row will be put into.
    Virtual(GroupColumn),
}

/// A window that rows have not been put into yet.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) spec: WindowSpec,
    /// Set if the windows are cut by what this zone's clocks show.
    pub(super) zone: Option<Arc<Zone>>,
    /// Physical column of the event time.
    pub(super) time: usize,
    pub(super) tick: i64,
    pub(super) bound_type: DataType,
    /// Physical columns of a session's keys.
    pub(super) session_keys: Vec<usize>,
    /// Physical column, BOOLEAN, of a `WHERE` above a session: all rows make sessions, and these are counted.
    pub(super) session_filter: Option<usize>,
    pub(super) span: Span,
}

impl Pending {
    pub(super) fn is_session(&self) -> bool {
        matches!(self.spec, WindowSpec::Session { .. })
    }

    /// How the query writes the window, and the zone in which it is cut.
    pub(super) fn text(&self) -> String {
        match &self.zone {
            None => self.spec.to_string(),
            Some(zone) => format!("{} zone={zone}", self.spec),
        }
    }

    /// The physical columns that go along until the window is made, whatever the query selects.
    pub(super) fn carried(&mut self) -> Vec<&mut usize> {
        let mut columns = vec![&mut self.time];
        columns.extend(self.session_keys.iter_mut().chain(&mut self.session_filter));
        columns
    }
}

/// A planned relation: where its rows come from and what they look like.
#[derive(Clone)]
pub(super) struct Relation {
    pub(super) from: Vec<Input>,
    /// Logical columns.
    pub(super) schema: DFSchemaRef,
    /// For each logical column.
    pub(super) places: Vec<Place>,
    /// For each logical column.
    pub(super) meanings: Vec<Meaning>,
    /// Columns of the batches; hidden ones have names of their own.
    pub(super) physical: Vec<(Option<TableReference>, FieldRef)>,
    pub(super) pending: Option<Pending>,
    pub(super) bounded: bool,
    /// True if each row still is one row of a source partition.
    pub(super) ordered: bool,
    /// True if rows come out as their windows close: those that come later are of later windows.
    pub(super) closing: bool,
}

impl Relation {
    pub(super) fn df(&self) -> Result<DFSchema> {
        DFSchema::new_with_metadata(self.physical.clone(), Default::default()).map_err(plan_error)
    }

    pub(super) fn arrow(&self) -> SchemaRef {
        Arc::new(Schema::new(self.physical.iter().map(|(_, f)| f.clone()).collect::<Vec<_>>()))
    }

    /// Index of the logical column that `expr` plainly is.
    pub(super) fn column(&self, expr: &Expr) -> Option<usize> {
        match expr {
            Expr::Alias(alias) => self.column(&alias.expr),
            Expr::Column(column) => self.schema.maybe_index_of_column(column),
            _ => None,
        }
    }

    pub(super) fn uses_virtual(&self, expr: &Expr) -> bool {
        expr.column_refs()
            .iter()
            .any(|c| self.schema.maybe_index_of_column(c).is_some_and(|i| matches!(self.places[i], Place::Virtual(_))))
    }
}
