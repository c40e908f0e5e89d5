//! What sqlparser must know of Flink's dialect: a [`Dialect`], the `TABLE name` argument of window functions, the `MODEL name` of
//! `ML_PREDICT`, `MAP[…]`.

use std::any::TypeId;

use datafusion_sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
};
use datafusion_sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Span, Token};

use super::text::is_word;

/// Name of the function that stands for a `TABLE name [PARTITION BY keys]` argument. No user can write it.
pub const TABLE_ARGUMENT: &str = "$table";

/// Name of the function that stands for a `MODEL name` argument. No user can write it.
pub const MODEL_ARGUMENT: &str = "$model";

/// Flink SQL: sqlparser's generic dialect without its surprises, with Flink's few additions.
#[derive(Debug)]
pub struct Flink;

impl Dialect for Flink {
    // sqlparser asks "is this GenericDialect?" in places that have no method of their own (STRUCT types, UNNEST, …).
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"' || ch == '`'
    }
    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }
    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_'
    }
    fn supports_unicode_string_literal(&self) -> bool {
        true
    }
    fn supports_string_escape_constant(&self) -> bool {
        true
    }
    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }
    fn supports_group_by_expr(&self) -> bool {
        true
    }
    fn supports_named_fn_args_with_rarrow_operator(&self) -> bool {
        true
    }
    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }
    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }
    fn supports_match_recognize(&self) -> bool {
        true
    }
    fn supports_table_versioning(&self) -> bool {
        true
    }
    fn supports_struct_literal(&self) -> bool {
        true
    }
    fn supports_map_literal_with_angle_brackets(&self) -> bool {
        true
    }
    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }
    fn supports_interval_options(&self) -> bool {
        true
    }
    fn supports_nested_comments(&self) -> bool {
        true
    }
    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }
    fn supports_select_wildcard_except(&self) -> bool {
        true
    }
    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }
    fn supports_select_wildcard_replace(&self) -> bool {
        true
    }
    fn supports_comma_separated_trim(&self) -> bool {
        true
    }
    fn supports_extract_comma_syntax(&self) -> bool {
        true
    }
    fn allow_extract_single_quotes(&self) -> bool {
        true
    }
    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if parser.peek_keyword(Keyword::MAP) && parser.peek_nth_token_ref(1).token == Token::LBracket {
            return Some(map_literal(parser));
        }
        let is_model = is_word(parser.peek_token_ref(), "MODEL");
        if is_model && matches!(parser.peek_nth_token_ref(1).token, Token::Word(_)) && is_in_ml_predict(parser) {
            let span = parser.next_token().span;
            return Some(
                parser.parse_identifier().map(|name| call(MODEL_ARGUMENT, vec![Expr::Identifier(name)], span)),
            );
        }
        if !parser.peek_keyword(Keyword::TABLE)
            || !matches!(parser.peek_nth_token_ref(1).token, Token::Word(_) | Token::LParen)
        {
            return None;
        }
        Some(table_argument(parser))
    }
}

/// Reads `MAP[key, value, …]` into `map(make_array(key, …), make_array(value, …))`.
fn map_literal(parser: &mut Parser) -> Result<Expr, ParserError> {
    let span = parser.next_token().span;
    parser.expect_token(&Token::LBracket)?;
    let entries = parser.parse_comma_separated0(Parser::parse_expr, Token::RBracket)?;
    parser.expect_token(&Token::RBracket)?;
    if entries.is_empty() || entries.len() % 2 == 1 {
        return parser.expected_ref("a key and a value for each entry of the MAP", parser.peek_token_ref());
    }
    let side = |odd: usize| {
        let values = entries.iter().skip(odd).step_by(2).cloned().collect();
        call("make_array", values, span)
    };
    Ok(call("map", vec![side(0), side(1)], span))
}

/// True among the arguments of `ML_PREDICT`: elsewhere MODEL is a name as any other.
fn is_in_ml_predict(parser: &Parser) -> bool {
    let before = (0..parser.index()).rev().map(|at| parser.token_at(at));
    let mut before = before.filter(|token| !matches!(token.token, Token::Whitespace(_)));
    let mut depth = 0;
    while let Some(token) = before.next() {
        match token.token {
            Token::RParen => depth += 1,
            Token::LParen if depth == 0 => return before.next().is_some_and(|name| is_word(name, "ML_PREDICT")),
            Token::LParen => depth -= 1,
            _ => {}
        }
    }
    false
}

/// Reads `TABLE name [PARTITION BY k, …]` or `TABLE (query) [PARTITION BY k, …]` into a call of [`TABLE_ARGUMENT`].
fn table_argument(parser: &mut Parser) -> Result<Expr, ParserError> {
    let span = parser.next_token().span;
    let data = if parser.consume_token(&Token::LParen) {
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        Expr::Subquery(query)
    } else {
        let mut parts = vec![parser.parse_identifier()?];
        while parser.consume_token(&Token::Period) {
            parts.push(parser.parse_identifier()?);
        }
        match parts.len() {
            1 => Expr::Identifier(parts.remove(0)),
            _ => Expr::CompoundIdentifier(parts),
        }
    };
    let mut args = vec![data];
    if parser.parse_keywords(&[Keyword::PARTITION, Keyword::BY]) {
        if parser.consume_token(&Token::LParen) {
            args.extend(parser.parse_comma_separated(Parser::parse_expr)?);
            parser.expect_token(&Token::RParen)?;
        } else {
            args.push(parser.parse_expr()?);
            while another_key_follows(parser) {
                parser.expect_token(&Token::Comma)?;
                args.push(parser.parse_expr()?);
            }
        }
    }
    Ok(call(TABLE_ARGUMENT, args, span))
}

/// True at `, k` of `PARTITION BY j, k, DESCRIPTOR(ts)`; false at `, DESCRIPTOR(…)` and `, NAME => …`.
fn another_key_follows(parser: &Parser) -> bool {
    let [comma, word, next] = parser.peek_tokens_ref::<3>();
    let Token::Word(word) = &word.token else { return false };
    comma.token == Token::Comma
        && next.token != Token::RArrow
        && !(next.token == Token::LParen && word.value.eq_ignore_ascii_case("descriptor"))
}

/// A plain call of a function, as the parser would make it.
pub fn call(name: &str, args: Vec<Expr>, span: Span) -> Expr {
    let args = args.into_iter().map(|a| FunctionArg::Unnamed(FunctionArgExpr::Expr(a))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::with_span(span, name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// The single name of a call: `tumble` of `TUMBLE(…)`, in lower case.
pub fn call_name(function: &Function) -> String {
    match function.name.0.as_slice() {
        [part] => part.as_ident().map(|i| i.value.to_ascii_lowercase()).unwrap_or_default(),
        _ => function.name.to_string().to_ascii_lowercase(),
    }
}

/// The arguments of a call that are plain expressions; `None` if one is not (named, `*`).
pub fn call_args(function: &Function) -> Option<Vec<&Expr>> {
    match &function.args {
        FunctionArguments::None => Some(vec![]),
        FunctionArguments::Subquery(_) => None,
        FunctionArguments::List(list) => list
            .args
            .iter()
            .map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            })
            .collect(),
    }
}
