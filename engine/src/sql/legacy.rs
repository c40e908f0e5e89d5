//! Legacy group windows: `GROUP BY TUMBLE(ts, INTERVAL …), k` with `TUMBLE_START(ts, INTERVAL …)` and its like.
//!
//! They are rewritten to window table functions before planning. The `FROM` and `WHERE` of the query become the input of
//! the window (a group window sees only the rows that pass), inside a call of [`GROUP_WINDOW`] that `window` plans;
//! `TUMBLE` in `GROUP BY` becomes `window_start, window_end`, and for `SESSION` the other keys cut the sessions.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Expr, Function, GroupByExpr, Ident, LimitClause, OrderByKind, Query, Select, SelectItem, SetExpr, Spanned,
    TableFactor, TableWithJoins, Value, VisitMut, VisitorMut, WildcardAdditionalOptions,
};

use super::dialect::{call, call_args, call_name};
use super::text::span_of;
use super::window::{GROUP_WINDOW, WINDOW_FUNCTIONS};
use crate::error::{Error, Result};

/// Rewrites every group window of a query and of the queries inside it.
pub fn rewrite(query: &mut Query) -> Result<()> {
    match VisitMut::visit(query, &mut GroupWindows) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct GroupWindows;

impl VisitorMut for GroupWindows {
    type Break = Box<Error>;

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        let result = match query.body.as_mut() {
            SetExpr::Select(select) => {
                rewrite_select(select).and_then(|window| match (&window, query.order_by.as_mut()) {
                    (Some(window), Some(order_by)) => match &mut order_by.kind {
                        OrderByKind::Expressions(items) => {
                            items.iter_mut().try_for_each(|item| Bounds::replace(&mut item.expr, window).map(drop))
                        }
                        OrderByKind::All(_) => Ok(()),
                    },
                    _ => Ok(()),
                })
            }
            other => rewrite_set(other),
        };
        match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Box::new(error)),
        }
    }
}

fn rewrite_set(body: &mut SetExpr) -> Result<()> {
    match body {
        SetExpr::Select(select) => rewrite_select(select).map(drop),
        SetExpr::SetOperation { left, right, .. } => {
            rewrite_set(left)?;
            rewrite_set(right)
        }
        _ => Ok(()),
    }
}

/// Rewrites the group window of one `SELECT`, if it has one, and answers its call.
fn rewrite_select(select: &mut Select) -> Result<Option<Function>> {
    let keys = match &mut select.group_by {
        GroupByExpr::Expressions(keys, _) => keys,
        GroupByExpr::All(_) => return Ok(None),
    };
    let is_window = |e: &Expr| matches!(e, Expr::Function(f) if WINDOW_FUNCTIONS.contains(&call_name(f).as_str()));
    let mut windows: Vec<usize> = keys.iter().enumerate().filter(|(_, k)| is_window(k)).map(|(i, _)| i).collect();
    let Some(at) = windows.pop() else { return Ok(None) };
    if !windows.is_empty() {
        return Err(Error::user("a query can group by one window only").at(span_of(keys[at].span())));
    }
    let Expr::Function(window) = keys.remove(at) else { unreachable!("checked by is_window") };
    let place = span_of(window.span());
    if select.from.len() != 1 {
        return Err(Error::user("a group window needs one table or join in FROM").at(place));
    }

    // Replace the auxiliary functions, and see whether the row time is asked for.
    let mut uses_time = false;
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } = item {
            uses_time |= Bounds::replace(e, &window)?;
        }
    }
    if let Some(having) = &mut select.having {
        uses_time |= Bounds::replace(having, &window)?;
    }

    let name = call_name(&window);
    let span = window.span();
    let mut args = vec![Expr::Function(window.clone()), Expr::Subquery(Box::new(input_of(select)))];
    let GroupByExpr::Expressions(keys, _) = &mut select.group_by else { unreachable!("matched above") };
    if name == "session" {
        args.extend(keys.iter().map(|key| session_key(key, &select.projection)));
    }
    let columns = if uses_time { &super::window::WINDOW_COLUMNS[..] } else { &super::window::WINDOW_COLUMNS[..2] };
    keys.splice(at..at, columns.iter().map(|c| Expr::Identifier(Ident::with_span(span, *c))));
    let relation = TableFactor::TableFunction { expr: call(GROUP_WINDOW, args, span), alias: None };
    select.from = vec![TableWithJoins { relation, joins: vec![] }];
    Ok(Some(window))
}

/// `SELECT * FROM <from> WHERE <where>` of the query, taken out of it.
fn input_of(select: &mut Select) -> Query {
    let inner = Select {
        projection: vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())],
        from: std::mem::take(&mut select.from),
        selection: select.selection.take(),
        group_by: GroupByExpr::Expressions(vec![], vec![]),
        having: None,
        distinct: None,
        ..select.clone()
    };
    Query {
        with: None,
        body: Box::new(SetExpr::Select(Box::new(inner))),
        order_by: None,
        limit_clause: None::<LimitClause>,
        fetch: None,
        locks: vec![],
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: vec![],
    }
}

/// A key of `GROUP BY` as the window's input knows it: positions and aliases stand for what is selected. An alias comes
/// as a pair of itself and its expression, as only the planner can tell it from a column.
fn session_key(key: &Expr, projection: &[SelectItem]) -> Expr {
    match key {
        Expr::Value(v) => match &v.value {
            Value::Number(n, _) => {
                match n.to_string().parse::<usize>().ok().and_then(|n| projection.get(n.wrapping_sub(1))) {
                    Some(SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. }) => e.clone(),
                    _ => key.clone(),
                }
            }
            _ => key.clone(),
        },
        Expr::Identifier(ident) => projection
            .iter()
            .find_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } if alias.value == ident.value => {
                    Some(Expr::Tuple(vec![key.clone(), expr.clone()]))
                }
                _ => None,
            })
            .unwrap_or_else(|| key.clone()),
        _ => key.clone(),
    }
}

/// Replaces `TUMBLE_START(…)` and its like by the window's columns.
struct Bounds<'a> {
    window: &'a Function,
    uses_time: bool,
}

impl Bounds<'_> {
    fn replace(expr: &mut Expr, window: &Function) -> Result<bool> {
        let mut visitor = Bounds { window, uses_time: false };
        match VisitMut::visit(expr, &mut visitor) {
            ControlFlow::Break(error) => Err(*error),
            ControlFlow::Continue(()) => Ok(visitor.uses_time),
        }
    }
}

impl VisitorMut for Bounds<'_> {
    type Break = Box<Error>;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let name = call_name(function);
        let Some((kind, bound)) = name.rsplit_once('_').filter(|(kind, _)| WINDOW_FUNCTIONS.contains(kind)) else {
            return ControlFlow::Continue(());
        };
        let span = function.span();
        let column = match bound {
            "start" => "window_start",
            "end" => "window_end",
            "rowtime" => {
                self.uses_time = true;
                "window_time"
            }
            _ => return ControlFlow::Continue(()),
        };
        let same = kind == call_name(self.window)
            && match (call_args(function), call_args(self.window)) {
                (Some(a), Some(b)) => {
                    a.len() == b.len()
                        && a.iter().zip(&b).all(|(a, b)| a.to_string().eq_ignore_ascii_case(&b.to_string()))
                }
                _ => false,
            };
        if !same {
            let error = Error::user(format!("`{function}` is not the window of this GROUP BY")).at(span_of(span));
            return ControlFlow::Break(Box::new(error.hint(format!("the query groups by `{}`", self.window))));
        }
        *expr = Expr::Identifier(Ident::with_span(span, column));
        ControlFlow::Continue(())
    }
}
