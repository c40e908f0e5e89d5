//! What a query may not contain yet, found in the syntax tree so that the error has a place.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Distinct, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, GroupByExpr,
    JoinConstraint, JoinOperator, Query, Select, SetExpr, SetOperator, SetQuantifier, Spanned, TableFactor,
    TableVersion, Visit, Visitor,
};
use datafusion_sql::sqlparser::tokenizer;

use super::dialect::{call_args, call_name};
use super::functions::Functions;
use super::ml_predict::ML_PREDICT;
use super::models::Call;
use super::over::{self, WindowKind};
use super::text::span_of;
use super::window::WINDOW_FUNCTIONS;
use crate::error::{Error, Result, Span};

/// Functions whose value changes from call to call.
const VOLATILE: &[&str] = &[
    "now",
    "current_timestamp",
    "current_date",
    "today",
    "current_time",
    "localtime",
    "localtimestamp",
    "current_row_timestamp",
    "random",
    "rand",
    "uuid",
];

/// What was found in a query that is not refused.
#[derive(Debug, Default)]
pub struct Found {
    /// The first volatile function: its name and place.
    pub volatile: Option<(String, Span)>,
}

/// Walks a query; fails at the first thing that is not supported.
pub fn check(query: &Query, functions: &Functions) -> Result<Found> {
    run(query, functions)
}

/// The same for a lone expression, as in a computed column.
pub fn check_expr(expr: &Expr, functions: &Functions) -> Result<Found> {
    run(expr, functions)
}

fn run(node: &impl Visit, functions: &Functions) -> Result<Found> {
    let mut walk = Walk { functions, subqueries: HashSet::new(), windows: HashSet::new(), found: Found::default() };
    match node.visit(&mut walk) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(walk.found),
    }
}

struct Walk<'a> {
    functions: &'a Functions,
    /// Subqueries that stand for tables, as arguments of window functions.
    subqueries: HashSet<*const Query>,
    /// Calls of window functions that stand where they belong.
    windows: HashSet<*const Function>,
    found: Found,
}

type Flow = ControlFlow<Box<Error>>;

fn not_yet(what: &str, span: tokenizer::Span) -> Flow {
    ControlFlow::Break(Box::new(Error::user(format!("{what} not supported yet")).at(span_of(span))))
}

fn not_yet_but(what: &str, span: tokenizer::Span, hint: &str) -> Flow {
    ControlFlow::Break(Box::new(Error::user(format!("{what} not supported yet")).at(span_of(span)).hint(hint)))
}

impl Visitor for Walk<'_> {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, query: &Query) -> Flow {
        let span = query.span();
        if query.with.as_ref().is_some_and(|w| w.recursive) {
            return not_yet("WITH RECURSIVE is", span);
        }
        if !query.locks.is_empty() || query.for_clause.is_some() {
            return not_yet("FOR at the end of a query is", span);
        }
        if query.settings.is_some() || query.format_clause.is_some() || !query.pipe_operators.is_empty() {
            return not_yet("this clause at the end of a query is", span);
        }
        set(&query.body)
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        if let Some(qualify) = &select.qualify {
            return not_yet("QUALIFY is", qualify.span());
        }
        for window in &select.named_window {
            if let Err(error) = over::check_definition(window) {
                return ControlFlow::Break(Box::new(error));
            }
        }
        if let Some(Distinct::On(exprs)) = &select.distinct {
            return not_yet_but(
                "DISTINCT ON is",
                exprs.first().map_or(select.span(), Spanned::span),
                "use FIRST_VALUE or LAST_VALUE and GROUP BY",
            );
        }
        let odd = select.into.is_some()
            || select.top.is_some()
            || !select.lateral_views.is_empty()
            || select.prewhere.is_some()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty()
            || select.value_table_mode.is_some();
        if odd {
            return not_yet("this form of SELECT is", select.span());
        }
        if let GroupByExpr::Expressions(keys, modifiers) = &select.group_by {
            if let Some(key) =
                keys.iter().find(|k| matches!(k, Expr::GroupingSets(_) | Expr::Rollup(_) | Expr::Cube(_)))
            {
                return not_yet_but(
                    "GROUPING SETS, ROLLUP and CUBE are",
                    key.span(),
                    "write one query for each set of keys",
                );
            }
            if !modifiers.is_empty() {
                return not_yet_but(
                    "GROUP BY … WITH is",
                    select.group_by.span(),
                    "write one query for each set of keys",
                );
            }
        }
        for from in &select.from {
            for join in &from.joins {
                let span = join.relation.span();
                let constraint = match &join.join_operator {
                    JoinOperator::Join(c)
                    | JoinOperator::Inner(c)
                    | JoinOperator::Left(c)
                    | JoinOperator::LeftOuter(c) => c,
                    JoinOperator::Right(_) | JoinOperator::RightOuter(_) => {
                        return not_yet_but("RIGHT JOIN is", span, "swap the sides and use LEFT JOIN");
                    }
                    JoinOperator::FullOuter(_) => return not_yet("FULL JOIN is", span),
                    JoinOperator::CrossJoin(_) => {
                        return not_yet_but("CROSS JOIN is", span, "use JOIN … ON with an equality");
                    }
                    JoinOperator::AsOf { .. } => return not_yet("ASOF JOIN is", span),
                    _ => return not_yet("this kind of join is", span),
                };
                match constraint {
                    JoinConstraint::None => {
                        return not_yet_but("a join without a condition is", span, "use JOIN … ON with an equality");
                    }
                    JoinConstraint::Natural => {
                        return not_yet_but("NATURAL JOIN is", span, "use JOIN … USING (column)");
                    }
                    JoinConstraint::On(_) | JoinConstraint::Using(_) => {}
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        let span = factor.span();
        let mut allow = |args: &[FunctionArg]| {
            for arg in args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(e))
                | FunctionArg::Named { arg: FunctionArgExpr::Expr(e), .. } = arg
                {
                    match e {
                        Expr::Subquery(query) => drop(self.subqueries.insert(query.as_ref() as *const Query)),
                        Expr::Function(inner) => {
                            self.windows.insert(inner as *const Function);
                            if let Some(Expr::Subquery(query)) = call_args(inner).unwrap_or_default().first() {
                                self.subqueries.insert(query.as_ref() as *const Query);
                            }
                        }
                        _ => {}
                    }
                }
            }
        };
        match factor {
            TableFactor::Table { version: Some(version), .. } => {
                let what = match version {
                    TableVersion::ForSystemTimeAsOf(_) => "FOR SYSTEM_TIME AS OF is",
                    _ => "a table version is",
                };
                not_yet_but(what, span, "join a bounded table without it: it is loaded before the first row")
            }
            TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => {
                not_yet("TABLESAMPLE is", span)
            }
            TableFactor::Table { with_hints, index_hints, partitions, json_path, with_ordinality, args, .. } => {
                if !with_hints.is_empty()
                    || !index_hints.is_empty()
                    || !partitions.is_empty()
                    || json_path.is_some()
                    || *with_ordinality
                {
                    return not_yet("what follows the table's name is", span);
                }
                if let Some(args) = args {
                    allow(&args.args);
                }
                ControlFlow::Continue(())
            }
            TableFactor::TableFunction { expr: Expr::Function(function), .. } => {
                if let FunctionArguments::List(list) = &function.args {
                    allow(&list.args);
                }
                self.windows.insert(function as *const Function);
                ControlFlow::Continue(())
            }
            TableFactor::TableFunction { .. } | TableFactor::NestedJoin { .. } => ControlFlow::Continue(()),
            TableFactor::Derived { lateral: false, .. } => ControlFlow::Continue(()),
            TableFactor::Derived { .. } | TableFactor::Function { .. } => not_yet("LATERAL is", span),
            TableFactor::UNNEST { .. } => not_yet("UNNEST is", span),
            TableFactor::MatchRecognize { .. } => not_yet("MATCH_RECOGNIZE is", span),
            TableFactor::Pivot { .. } | TableFactor::Unpivot { .. } => not_yet("PIVOT is", span),
            _ => not_yet("this kind of table is", span),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Flow {
        let span = expr.span();
        match expr {
            Expr::InSubquery { .. } => not_yet_but("IN (SELECT …) is", span, "join the table instead"),
            Expr::Exists { .. } => not_yet_but("EXISTS is", span, "join the table instead"),
            Expr::Subquery(query) if !self.subqueries.contains(&(query.as_ref() as *const Query)) => {
                not_yet_but("a query inside of an expression is", query.span(), "join it instead")
            }
            Expr::Map(_) | Expr::Dictionary(_) => {
                not_yet_but("{…} is", span, "write MAP[key, value, …] or NAMED_STRUCT")
            }
            Expr::Function(function) => {
                let name = call_name(function);
                let place = function.name.span();
                if self.windows.contains(&(function as *const Function)) {
                    return ControlFlow::Continue(());
                }
                if let Err(error) = over::check_call(function, &name, self.functions) {
                    return ControlFlow::Break(Box::new(error));
                }
                if !matches!(function.parameters, FunctionArguments::None) {
                    return not_yet("a second list of arguments is", place);
                }
                if matches!(function.args, FunctionArguments::Subquery(_)) {
                    return not_yet("a query as argument is", place);
                }
                let inside = match &function.args {
                    FunctionArguments::List(list) => {
                        list.clauses.iter().any(|c| matches!(c, FunctionArgumentClause::IgnoreOrRespectNulls(_)))
                    }
                    _ => false,
                };
                if (inside || function.null_treatment.is_some()) && !takes_nulls(&name) {
                    let name = name.to_uppercase();
                    let error = Error::user(format!("IGNORE NULLS and RESPECT NULLS do not go with {name}"));
                    let hint = "they go with FIRST_VALUE and LAST_VALUE";
                    return ControlFlow::Break(Box::new(error.at(span_of(place)).hint(hint)));
                }
                if !function.within_group.is_empty() {
                    return not_yet("WITHIN GROUP is", place);
                }
                let no_arguments = call_args(function).is_some_and(|a| a.is_empty());
                if VOLATILE.contains(&name.as_str()) || (name == "unix_timestamp" && no_arguments) {
                    self.found.volatile.get_or_insert((name, span_of(place)));
                    return ControlFlow::Continue(());
                }
                if matches!(function.args, FunctionArguments::None) && !self.functions.knows(&name) {
                    let error = Error::user(format!("`{name}` is a word of SQL")).at(span_of(place));
                    let hint = format!("if it is the name of a column, quote it: `{name}`");
                    return ControlFlow::Break(Box::new(error.hint(hint)));
                }
                if let Some(model_call) = Call::of(&name) {
                    return match self.model_call(model_call, function) {
                        Ok(()) => ControlFlow::Continue(()),
                        Err(error) => ControlFlow::Break(Box::new(error.at(span_of(place)))),
                    };
                }
                if WindowKind::of(&name).is_some_and(WindowKind::needs_over) {
                    return ControlFlow::Continue(());
                }
                self.known_function(&name, place)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn takes_nulls(name: &str) -> bool {
    matches!(name, "first_value" | "last_value" | "first" | "last")
}

impl Walk<'_> {
    /// A call of a model has its name first, and then its features.
    fn model_call(&self, call: Call, function: &Function) -> Result<()> {
        let args = call_args(function).unwrap_or_default();
        let Some((Expr::Identifier(model), features)) = args.split_first() else {
            let name = call.name().to_uppercase();
            return Err(Error::user(format!("{name} wants the name of a model first"))
                .hint(format!("{name}(fraud, amount, …) after CREATE MODEL fraud WITH ('path' = '…')")));
        };
        let name = |feature: &&Expr| match feature {
            Expr::Identifier(column) => Some(column.value.clone()),
            Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()),
            _ => None,
        };
        let names: Vec<Option<String>> = features.iter().map(name).collect();
        match (self.functions.model(&model.value), self.functions.learning(&model.value)) {
            (Some(def), _) => def.check(call, &names),
            (None, Some(def)) => def.check(call, &names),
            (None, None) => Err(self.functions.no_model(&model.value).at(span_of(model.span))),
        }
    }

    fn known_function(&self, name: &str, place: tokenizer::Span) -> Flow {
        let (kind, bound) = name.rsplit_once('_').unwrap_or((name, ""));
        if name.starts_with('$') || name == "descriptor" || self.functions.knows(name) {
            return ControlFlow::Continue(());
        }
        let error = match name {
            "proctime" => {
                Error::user("PROCTIME() is not supported: a result that depends on the clock cannot be repeated")
                    .hint("use the event time; pelton.volatile = 'allow' and NOW() give the wall clock")
            }
            "current_watermark" => Error::user("CURRENT_WATERMARK is not supported yet")
                .hint("late rows are dead letters; see `pelton dead-letters ls`"),
            ML_PREDICT => Error::user("ML_PREDICT belongs in FROM").hint("a score alone is PREDICT(model, feature, …)"),
            _ if WINDOW_FUNCTIONS.contains(&name) => {
                Error::user(format!("{} belongs in FROM or in GROUP BY", name.to_uppercase()))
                    .hint(format!("FROM TABLE({}(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))", name.to_uppercase()))
            }
            _ if WINDOW_FUNCTIONS.contains(&kind) && ["start", "end", "rowtime", "proctime"].contains(&bound) => {
                Error::user(format!(
                    "{} needs GROUP BY {}(…) in the same query",
                    name.to_uppercase(),
                    kind.to_uppercase()
                ))
            }
            _ => {
                let error = Error::user(format!("unknown function `{name}`"));
                match self.functions.suggest(name) {
                    Some(near) => error.hint(format!("did you mean {}?", near.to_uppercase())),
                    None => error.hint("docs/sql.md lists the functions"),
                }
            }
        };
        ControlFlow::Break(Box::new(error.at(span_of(place))))
    }
}

fn set(body: &SetExpr) -> Flow {
    match body {
        SetExpr::SetOperation { op, set_quantifier, left, right } => {
            if *op != SetOperator::Union {
                return not_yet_but(&format!("{op} is"), right.span(), "join the two queries instead");
            }
            if !matches!(set_quantifier, SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None) {
                return not_yet("UNION BY NAME is", right.span());
            }
            set(left)?;
            set(right)
        }
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => ControlFlow::Continue(()),
        other => not_yet("this kind of query is", other.span()),
    }
}
