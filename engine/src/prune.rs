//! Row groups that no query needs, told from their statistics (DESIGN 6: one may be left out only if the watermark it
//! would have brought is known and applied in its place).
//!
//! A row group is left out if every query that reads the source begins with a `WHERE` that the group's least and greatest
//! values refute, and if nothing else could be seen of its rows: no history, no letters (a NULL event time, a computed
//! column or a predicate that fails), and a watermark that follows from the greatest event time.

use std::any::Any;
use std::cmp::Ordering;

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, Operator};
use datafusion_physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};

use crate::by_constant::ByConstant;
use crate::connector::{Bound, Comparison, SkipRule};
use crate::expr::{Compiled, made_canonical};
use crate::graph::{Graph, Output};
use crate::over_dictionary::OverDictionary;
use crate::sql::{ColumnKind, TableDef};

/// The rule of source `index` of a graph; `None` if all its rows must be looked at.
pub fn skip_rule(graph: &Graph, index: usize) -> Option<SkipRule> {
    let source = &graph.sources[index];
    let def = source.table.as_ref()?;
    let emitted: Vec<usize> = source.columns.iter().copied().collect();
    let physical = |at: usize| match &def.columns[at].kind {
        ColumnKind::Physical(place) => Some(*place),
        _ => None,
    };
    if emitted.iter().any(|c| matches!(def.columns[*c].kind, ColumnKind::Computed(_))) {
        return None;
    }
    let time = match &def.watermark {
        None => None,
        Some(mark) if follows_the_maximum(&mark.expr, def) => Some(physical(mark.column)?),
        Some(_) => return None,
    };
    let mut any_of = vec![];
    for output in &source.outputs {
        let Output::Node(node) = output else { return None };
        let predicate = graph.nodes[*node].operator.predicate()?;
        let mut bounds = vec![];
        if !collect(predicate, &mut bounds) {
            return None;
        }
        let bounds: Vec<Bound> = bounds
            .into_iter()
            .filter_map(|b| Some(Bound { column: physical(*emitted.get(b.column)?)?, ..b }))
            .collect();
        if bounds.is_empty() {
            return None;
        }
        any_of.push(bounds);
    }
    let not_null = emitted.iter().filter(|c| !def.columns[**c].nullable).map(|c| physical(*c));
    Some(SkipRule { any_of, time, not_null: not_null.collect::<Option<Vec<_>>>()? })
}

/// True for a watermark `ts` or `ts - constant`: the greatest event time of some rows gives their greatest watermark.
fn follows_the_maximum(watermark: &Expr, def: &TableDef) -> bool {
    let is_time = |e: &Expr| {
        matches!(e, Expr::Column(c) if def.columns.iter().any(|d| {
            d.name.eq_ignore_ascii_case(&c.name) && matches!(d.kind, ColumnKind::Physical(_))
        }))
    };
    match watermark {
        Expr::BinaryExpr(b) => {
            matches!(b.op, Operator::Minus | Operator::Plus)
                && is_time(&b.left)
                && matches!(
                    &*b.right,
                    // Months have no fixed length, but they keep the order.
                    Expr::Literal(ScalarValue::IntervalMonthDayNano(_) | ScalarValue::DurationMicrosecond(_), _)
                )
        }
        e => is_time(e),
    }
}

/// Collects the bounds that a row must satisfy, with positions in the batch. False if evaluating `e` could fail for a
/// row: that row would be a letter.
fn collect(e: &Compiled, bounds: &mut Vec<Bound>) -> bool {
    let infallible = is_infallible(e);
    let texts = as_a::<OverDictionary>(e).is_some_and(OverDictionary::is_over_texts);
    let e = over_rows(e);
    if let Some(b) = as_a::<BinaryExpr>(e) {
        if *b.op() == Operator::And {
            return collect(b.left(), bounds) && collect(b.right(), bounds);
        }
        if !infallible {
            return false;
        }
        let column = |e: &Compiled| {
            let text = text_column(e).filter(|_| texts);
            as_a::<Column>(over_rows(e)).or(text).map(Column::index)
        };
        let value = |e: &Compiled| as_a::<Literal>(e).map(|l| l.value().clone());
        let found = match (column(b.left()), value(b.right())) {
            (Some(column), Some(value)) => comparison(*b.op()).map(|op| (column, op, value)),
            _ => match (column(b.right()), value(b.left())) {
                (Some(column), Some(value)) => b.op().swap().and_then(comparison).map(|op| (column, op, value)),
                _ => None,
            },
        };
        if let Some((column, op, value)) = found
            && is_ordered_alike(&value.data_type())
            && !value.is_null()
        {
            bounds.push(Bound { column, op, value });
        }
        return true;
    }
    infallible
}

fn comparison(op: Operator) -> Option<Comparison> {
    Some(match op {
        Operator::Eq => Comparison::Eq,
        Operator::Lt => Comparison::Lt,
        Operator::LtEq => Comparison::LtEq,
        Operator::Gt => Comparison::Gt,
        Operator::GtEq => Comparison::GtEq,
        _ => return None,
    })
}

/// True for types whose statistics follow our order. Floats are out: files leave NaN out of theirs.
fn is_ordered_alike(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(
            data_type,
            DataType::Date32 | DataType::Timestamp(..) | DataType::Decimal128(..) | DataType::Utf8 | DataType::Boolean
        )
}

/// An expression without what does not change its meaning for a row.
fn over_rows(e: &Compiled) -> &Compiled {
    let e = as_a::<OverDictionary>(e).map_or(e, OverDictionary::inner);
    made_canonical(e).map_or(e, over_rows)
}

/// True if evaluating an expression fails for no row.
pub fn is_infallible(e: &Compiled) -> bool {
    // The values of a dictionary of texts are texts, whatever a query calls them.
    let texts = as_a::<OverDictionary>(e).is_some_and(OverDictionary::is_over_texts);
    fails_never(over_rows(e), texts)
}

fn fails_never(e: &Compiled, texts: bool) -> bool {
    let safe = match as_a::<BinaryExpr>(e) {
        Some(b) => b.op().supports_propagation() || matches!(b.op(), Operator::And | Operator::Or | Operator::NotEq),
        None => {
            as_a::<Column>(e).is_some()
                || as_a::<Literal>(e).is_some()
                || as_a::<NotExpr>(e).is_some()
                || as_a::<IsNullExpr>(e).is_some()
                || as_a::<IsNotNullExpr>(e).is_some()
                || as_a::<InListExpr>(e).is_some()
                || as_a::<ByConstant>(e).is_some()
                || as_a::<LikeExpr>(e).is_some()
                || (texts && text_column(e).is_some())
        }
    };
    safe && e.children().into_iter().all(|c| if texts { fails_never(over_rows(c), true) } else { is_infallible(c) })
}

/// The column that an expression makes a text of.
fn text_column(e: &Compiled) -> Option<&Column> {
    let cast = as_a::<CastExpr>(e).filter(|cast| *cast.cast_type() == DataType::Utf8)?;
    as_a::<Column>(cast.expr())
}

fn as_a<T: 'static>(e: &Compiled) -> Option<&T> {
    (e.as_ref() as &dyn Any).downcast_ref::<T>()
}

impl SkipRule {
    /// True if the statistics prove that no query keeps a row. `range` answers the least and greatest value of a column.
    pub fn refuted_by(&self, range: impl Fn(usize) -> Option<(ScalarValue, ScalarValue)>) -> bool {
        self.any_of.iter().all(|bounds| {
            bounds.iter().any(|b| {
                let Some((least, greatest)) = range(b.column) else { return false };
                let (Some(low), Some(high)) = (least.partial_cmp(&b.value), greatest.partial_cmp(&b.value)) else {
                    return false;
                };
                match b.op {
                    Comparison::Eq => low == Ordering::Greater || high == Ordering::Less,
                    Comparison::Lt => low != Ordering::Less,
                    Comparison::LtEq => low == Ordering::Greater,
                    Comparison::Gt => high != Ordering::Greater,
                    Comparison::GtEq => high == Ordering::Less,
                }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_refute() {
        let rule = |op, value: i64| SkipRule {
            any_of: vec![vec![Bound { column: 0, op, value: value.into() }]],
            ..SkipRule::default()
        };
        let five_to_nine = |_: usize| Some((ScalarValue::from(5_i64), ScalarValue::from(9_i64)));
        for (op, refuted, kept) in [
            (Comparison::Eq, vec![4, 10], vec![5, 7, 9]),
            (Comparison::Lt, vec![4, 5], vec![6, 10]),
            (Comparison::LtEq, vec![4], vec![5, 9]),
            (Comparison::Gt, vec![9, 10], vec![8, 4]),
            (Comparison::GtEq, vec![10], vec![9, 5]),
        ] {
            refuted.iter().for_each(|v| assert!(rule(op, *v).refuted_by(five_to_nine), "{op:?} {v}"));
            kept.iter().for_each(|v| assert!(!rule(op, *v).refuted_by(five_to_nine), "{op:?} {v}"));
        }
        assert!(!rule(Comparison::Eq, 4).refuted_by(|_| None), "no statistics prove nothing");
        let other_type = |_: usize| Some((ScalarValue::from("a"), ScalarValue::from("b")));
        assert!(!rule(Comparison::Eq, 4).refuted_by(other_type));
        let mut two = rule(Comparison::Eq, 4);
        two.any_of.push(vec![Bound { column: 0, op: Comparison::Eq, value: 7_i64.into() }]);
        assert!(!two.refuted_by(five_to_nine), "one query may need it");
    }
}
