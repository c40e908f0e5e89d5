//! Flink's functions with a syntax or a meaning of their own, rewritten to what DataFusion plans.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion_sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DataType, DateTimeField, ExactNumberInfo, Expr,
    FunctionArguments, Interval, LimitClause, Query, Spanned, Value, ValueWithSpan, VisitMut, VisitorMut,
};
use datafusion_sql::sqlparser::tokenizer::Span;

use super::dialect::{call, call_args, call_name};
use super::functions::pattern::Pattern;
use super::interval;
use super::like::{escape_of, like_pattern, similar_pattern};
use super::models::Call;
use super::text::span_of;
use crate::error::{Error, Result};

/// Rewrites all expressions of a query.
pub fn rewrite(query: &mut Query) -> Result<()> {
    run(query)
}

/// The same for a lone expression.
pub fn rewrite_expr(expr: &mut Expr) -> Result<()> {
    run(expr)
}

fn run(node: &mut impl VisitMut) -> Result<()> {
    match node.visit(&mut Calls) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Calls;

impl VisitorMut for Calls {
    type Break = Box<Error>;

    /// `FETCH FIRST n ROWS ONLY` is a `LIMIT`; DataFusion would not see it.
    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        let Some(fetch) = query.fetch.take() else { return ControlFlow::Continue(()) };
        let place = span_of(query.span());
        let fail = |what: &str| {
            ControlFlow::Break(Box::new(Error::user(format!("FETCH … {what} is not supported")).at(place)))
        };
        if fetch.with_ties {
            return fail("WITH TIES");
        }
        if fetch.percent {
            return fail("PERCENT");
        }
        let count = fetch.quantity.unwrap_or_else(|| number("1", Span::empty()));
        match &mut query.limit_clause {
            None => {
                query.limit_clause =
                    Some(LimitClause::LimitOffset { limit: Some(count), offset: None, limit_by: vec![] })
            }
            Some(LimitClause::LimitOffset { limit, .. }) if limit.is_none() => *limit = Some(count),
            Some(_) => return fail("after LIMIT"),
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        match rewrite_one(expr) {
            Ok(Some(new)) => *expr = new,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(Box::new(error.at(span_of(expr.span())))),
        }
        ControlFlow::Continue(())
    }
}

fn text(value: impl Into<String>, span: Span) -> Expr {
    Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(value.into()), span })
}

fn number(value: &str, span: Span) -> Expr {
    Expr::Value(ValueWithSpan { value: Value::Number(value.to_string(), false), span })
}

fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => Some(text),
        _ => None,
    }
}

fn null(span: Span) -> Expr {
    Expr::Value(ValueWithSpan { value: Value::Null, span })
}

/// `CASE WHEN condition THEN yes ELSE no END`.
fn case(condition: Expr, yes: Expr, no: Expr) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition, result: yes }],
        else_result: Some(Box::new(no)),
    }
}

/// The character of an `ESCAPE`.
fn escape(value: Option<&ValueWithSpan>) -> Result<Option<char>> {
    value
        .map(|v| match &v.value {
            Value::SingleQuotedString(c) => escape_of(c).map_err(|e| e.at(span_of(v.span))),
            other => Err(Error::user(format!("ESCAPE {other}: wanted one character in quotes")).at(span_of(v.span))),
        })
        .transpose()
}

/// A pattern of LIKE with the backslash as its escape; without `ESCAPE` a backslash is one.
fn like(pattern: &Expr, escape_char: Option<&ValueWithSpan>) -> Result<Expr> {
    let (span, escape) = (pattern.span(), escape(escape_char)?);
    match (literal(pattern), escape) {
        (Some(given), escape) => {
            like_pattern(given, escape).map(|new| text(new, span)).map_err(|e| e.at(span_of(span)))
        }
        (None, None) => Ok(call("replace", vec![pattern.clone(), text("\\", span), text("\\\\", span)], span)),
        (None, Some('\\')) => Ok(pattern.clone()),
        (None, Some(_)) => Err(Error::user("ESCAPE wants a literal pattern").at(span_of(span))),
    }
}

/// The new form of one expression whose parts are rewritten already; `None` to leave it.
fn rewrite_one(expr: &Expr) -> Result<Option<Expr>> {
    let span = expr.span();
    Ok(match expr {
        // `1e3` is a DOUBLE; without an exponent a number is a DECIMAL.
        Expr::Value(ValueWithSpan { value: Value::Number(n, _), span }) if n.to_string().contains(['e', 'E']) => {
            Some(Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(text(n.to_string(), *span)),
                data_type: DataType::Double(ExactNumberInfo::None),
                array: false,
                format: None,
            })
        }
        Expr::Like { negated, any: false, expr, pattern, escape_char } => {
            let (pattern, escape_char) = (Box::new(like(pattern, escape_char.as_ref())?), None);
            Some(Expr::Like { negated: *negated, any: false, expr: expr.clone(), pattern, escape_char })
        }
        Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
            let (pattern, escape_char) = (Box::new(like(pattern, escape_char.as_ref())?), None);
            Some(Expr::ILike { negated: *negated, any: false, expr: expr.clone(), pattern, escape_char })
        }
        Expr::SimilarTo { negated, expr, pattern, escape_char } => {
            let place = span_of(pattern.span());
            let Some(given) = literal(pattern) else {
                return Err(Error::user("SIMILAR TO wants a literal pattern")
                    .at(place)
                    .hint("or REGEXP(text, pattern)"));
            };
            let regex = similar_pattern(given, escape(escape_char.as_ref())?).map_err(|e| e.at(place))?;
            let pattern = Box::new(text(regex, pattern.span()));
            Some(Expr::SimilarTo { negated: *negated, expr: expr.clone(), pattern, escape_char: None })
        }
        Expr::Interval(it) => {
            let length = interval::read(it)?;
            Some(Expr::Interval(Interval {
                value: Box::new(text(length.spelt(), it.value.span())),
                leading_field: None,
                leading_precision: None,
                last_field: None,
                fractional_seconds_precision: None,
            }))
        }
        Expr::Floor { expr, field: CeilFloorKind::DateTimeField(unit) } if *unit != DateTimeField::NoDateTime => {
            Some(call("floor_time", vec![*expr.clone(), text(unit.to_string(), span)], span))
        }
        Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(unit) } if *unit != DateTimeField::NoDateTime => {
            Some(call("ceil_time", vec![*expr.clone(), text(unit.to_string(), span)], span))
        }
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let from = substring_from.as_deref().cloned().unwrap_or_else(|| number("1", span));
            let args = [Some(*expr.clone()), Some(from), substring_for.as_deref().cloned()];
            Some(call("substr", args.into_iter().flatten().collect(), span))
        }
        // `(bid).info.channel` is `bid.info.channel`; a field of anything else is a call.
        Expr::CompoundFieldAccess { root, access_chain } => {
            let fields: Option<Vec<_>> = access_chain
                .iter()
                .map(|access| match access {
                    AccessExpr::Dot(Expr::Identifier(field)) => Some(field.clone()),
                    _ => None,
                })
                .collect();
            let Some(fields) = fields else { return Ok(None) };
            let mut inner = root.as_ref();
            while let Expr::Nested(deeper) = inner {
                inner = deeper;
            }
            match inner {
                Expr::Identifier(first) => {
                    Some(Expr::CompoundIdentifier(std::iter::once(first.clone()).chain(fields).collect()))
                }
                Expr::CompoundIdentifier(first) => {
                    Some(Expr::CompoundIdentifier(first.iter().cloned().chain(fields).collect()))
                }
                other => Some(fields.into_iter().fold(other.clone(), |base, field| {
                    call("get_field", vec![base, text(field.value, field.span)], span)
                })),
            }
        }
        Expr::Function(function) => {
            let name = call_name(function);
            let Some(args) = call_args(function) else { return Ok(None) };
            let again = |name: &str, args: Vec<Expr>| {
                let mut new = function.clone();
                let Expr::Function(made) = call(name, args, function.name.span()) else {
                    unreachable!("call makes a function")
                };
                new.name = made.name;
                new.args = made.args;
                Some(Expr::Function(new))
            };
            if let (Some(model_call), [Expr::Identifier(model), features @ ..]) = (Call::of(&name), args.as_slice()) {
                let features = features.iter().map(|a| (*a).clone()).collect();
                return Ok(again(&model_call.function(&model.value), features));
            }
            match (name.as_str(), args.as_slice()) {
                ("mod", [a, b]) => Some(Expr::Nested(Box::new(Expr::BinaryOp {
                    left: Box::new(Expr::Nested(Box::new((*a).clone()))),
                    op: BinaryOperator::Modulo,
                    right: Box::new(Expr::Nested(Box::new((*b).clone()))),
                }))),
                // CASE, so that only the branch taken is evaluated.
                ("if", [condition, yes, no]) => Some(case((*condition).clone(), (*yes).clone(), (*no).clone())),
                // CASE, so that -0.0 is 0.0.
                ("nullif", [a, b]) => {
                    let equal = Expr::BinaryOp {
                        left: Box::new(Expr::Nested(Box::new((*a).clone()))),
                        op: BinaryOperator::Eq,
                        right: Box::new(Expr::Nested(Box::new((*b).clone()))),
                    };
                    Some(case(equal, null(span), (*a).clone()))
                }
                ("sha2", [_, bits]) if !["224", "256", "384", "512"].contains(&bits.to_string().as_str()) => {
                    return Err(Error::user(format!("SHA2 has no length of {bits} bits"))
                        .at(span_of(bits.span()))
                        .hint("the lengths are 224, 256, 384 and 512"));
                }
                // NULL if one of the arguments is.
                ("greatest" | "least", [_, _, ..]) => {
                    let is_null = |a: &Expr| Expr::IsNull(Box::new(Expr::Nested(Box::new(a.clone()))));
                    let any = args[1..].iter().fold(is_null(args[0]), |any, a| Expr::BinaryOp {
                        left: Box::new(any),
                        op: BinaryOperator::Or,
                        right: Box::new(is_null(a)),
                    });
                    Some(case(any, null(span), expr.clone()))
                }
                ("ifnull" | "nvl", [a, b]) => again("coalesce", vec![(*a).clone(), (*b).clone()]),
                ("log", [x]) => again("ln", vec![(*x).clone()]),
                ("row", [_, ..]) => again("struct", args.iter().map(|a| (*a).clone()).collect()),
                ("regexp_replace", [s, pattern, by]) => {
                    again("regexp_replace", vec![(*s).clone(), (*pattern).clone(), (*by).clone(), text("g", span)])
                }
                ("timestampadd" | "timestampdiff", [Expr::Identifier(unit), a, b]) => {
                    again(&name, vec![text(unit.value.clone(), unit.span), (*a).clone(), (*b).clone()])
                }
                ("date_format" | "to_timestamp" | "to_date" | "from_unixtime" | "unix_timestamp", [_, pattern]) => {
                    if let Some(pattern_text) = literal(pattern) {
                        Pattern::parse(pattern_text).map_err(|e| e.at(span_of(pattern.span())))?;
                    }
                    None
                }
                (
                    "regexp_extract" | "regexp" | "regexp_like" | "regexp_count" | "regexp_instr" | "regexp_match",
                    [_, pattern, ..],
                ) => {
                    if let Some(pattern_text) = literal(pattern) {
                        datafusion_functions::regex::compile_regex(pattern_text, None).map_err(|e| {
                            Error::user(format!("cannot read the pattern: {e}")).at(span_of(pattern.span()))
                        })?;
                    }
                    None
                }
                // Written without parentheses these are functions too.
                ("localtimestamp" | "current_row_timestamp" | "localtime", [])
                    if function.args == FunctionArguments::None =>
                {
                    again(&name, vec![])
                }
                _ => None,
            }
        }
        _ => None,
    })
}
