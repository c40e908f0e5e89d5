//! `CREATE TABLE` and the head of `CREATE VIEW` and `INSERT INTO`, read by hand: sqlparser does not know Flink's.

use datafusion_sql::sqlparser::ast::{ArrayElemTypeDef, DataType as Sql, Expr, Ident, StructBracketKind, StructField};
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::dialect::Flink;
use super::errors;
use super::text::{is_word, span_of, span_of_tokens, span_to};
use crate::error::{Error, Result, Span};

/// A parsed `CREATE TABLE`, without the query of `AS`.
#[derive(Debug)]
pub struct CreateTable {
    /// Its name.
    pub name: Ident,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// The columns in declared order.
    pub columns: Vec<Column>,
    /// `WATERMARK FOR column AS expr`.
    pub watermark: Option<(Ident, Expr)>,
    /// Columns of the primary key.
    pub primary_key: Vec<Ident>,
    /// `WITH (…)`.
    pub options: Vec<(String, String, Span)>,
}

/// A declared column.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: Ident,
    /// What kind of column.
    pub kind: Kind,
}

/// Kinds of declared columns.
#[derive(Debug)]
pub enum Kind {
    /// `name TYPE [NOT NULL]`.
    Physical {
        /// Its type.
        sql: Box<Sql>,
        /// Place of the type.
        place: Span,
        /// `NOT NULL` or `PRIMARY KEY`.
        not_null: bool,
    },
    /// `name AS expr`.
    Computed(Box<Expr>),
    /// `name TYPE METADATA [FROM 'key']`.
    Metadata {
        /// Its type.
        sql: Box<Sql>,
        /// Place of the column.
        place: Span,
        /// The key, or the column's name.
        key: String,
    },
}

/// Runs a parser function over tokens that must all be used.
pub fn parse_all<T>(tokens: &[TokenWithSpan], read: impl FnOnce(&mut Parser) -> Result<T, ParserError>) -> Result<T> {
    let mut parser = Parser::new(&Flink).with_tokens_with_locations(tokens.to_vec());
    let value = read(&mut parser).map_err(|e| errors::from_parser(e, tokens))?;
    let rest = parser.peek_token();
    match rest.token {
        Token::EOF => Ok(value),
        token => Err(unexpected(&token.to_string(), span_of(rest.span))),
    }
}

fn unexpected(token: &str, place: Span) -> Error {
    let error = Error::user(format!("unexpected `{token}`")).at(place);
    match token.to_ascii_uppercase().as_str() {
        "EMIT" | "CHANGES" => error.hint("EMIT is not supported: windows are emitted when they close"),
        _ => error,
    }
}

/// Index of the `AS` before the query of `CREATE TABLE t … AS query` or `CREATE VIEW v … AS query`.
pub fn position_of_as(tokens: &[TokenWithSpan]) -> Option<usize> {
    let mut depth = 0i32;
    tokens.iter().position(|t| {
        match t.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth == 0 && is_word(t, "AS")
    })
}

/// Reads `CREATE TABLE …` up to the query of `AS`.
pub fn create_table(tokens: &[TokenWithSpan]) -> Result<CreateTable> {
    refuse_clauses(tokens)?;
    parse_all(tokens, |p| {
        p.expect_keyword(Keyword::CREATE)?;
        let _ = p.parse_one_of_keywords(&[Keyword::TEMPORARY, Keyword::TEMP]);
        p.expect_keyword(Keyword::TABLE)?;
        let if_not_exists = p.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
        let name = p.parse_identifier()?;
        let mut table =
            CreateTable { name, if_not_exists, columns: vec![], watermark: None, primary_key: vec![], options: vec![] };
        if p.consume_token(&Token::LParen) {
            loop {
                element(p, &mut table)?;
                if !p.consume_token(&Token::Comma) {
                    break;
                }
            }
            p.expect_token(&Token::RParen)?;
        }
        if p.parse_keyword(Keyword::COMMENT) {
            let _ = p.consume_token(&Token::Eq);
            p.parse_literal_string()?;
        }
        if p.parse_keyword(Keyword::WITH) {
            table.options = options(p)?;
        }
        Ok(table)
    })
}

/// A parsed `CREATE MODEL`.
#[derive(Debug)]
pub struct CreateModel {
    /// Its name.
    pub name: Ident,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// `INPUT (…)`: its features.
    pub inputs: Option<Vec<ModelColumn>>,
    /// `OUTPUT (…)`: its answers.
    pub outputs: Option<Vec<ModelColumn>>,
    /// `WITH (…)`.
    pub options: Vec<(String, String, Span)>,
}

/// A column of `INPUT (…)` or `OUTPUT (…)`.
#[derive(Debug)]
pub struct ModelColumn {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub sql: Sql,
    /// Place of the type.
    pub place: Span,
}

/// Reads `CREATE MODEL name [INPUT (name TYPE, …) OUTPUT (name TYPE, …)] WITH (…)`.
pub fn create_model(tokens: &[TokenWithSpan]) -> Result<CreateModel> {
    parse_all(tokens, |p| {
        p.expect_keyword(Keyword::CREATE)?;
        let _ = p.parse_one_of_keywords(&[Keyword::TEMPORARY, Keyword::TEMP]);
        p.next_token();
        let if_not_exists = p.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
        let name = p.parse_identifier()?;
        let inputs = model_columns(p, "INPUT")?;
        let outputs = model_columns(p, "OUTPUT")?;
        if p.parse_keyword(Keyword::COMMENT) {
            p.parse_literal_string()?;
        }
        p.expect_keyword(Keyword::WITH)?;
        Ok(CreateModel { name, if_not_exists, inputs, outputs, options: options(p)? })
    })
}

fn model_columns(p: &mut Parser, clause: &str) -> Result<Option<Vec<ModelColumn>>, ParserError> {
    if !is_word(p.peek_token_ref(), clause) {
        return Ok(None);
    }
    p.next_token();
    p.expect_token(&Token::LParen)?;
    let columns = p.parse_comma_separated(|p| {
        let name = p.parse_identifier()?;
        let place = span_of(p.peek_token_ref().span);
        Ok(ModelColumn { name, sql: p.parse_data_type()?, place })
    })?;
    p.expect_token(&Token::RParen)?;
    Ok(Some(columns))
}

/// Clauses of Flink that would be dropped silently otherwise.
fn refuse_clauses(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ if depth > 0 || i < 3 => {}
            _ if is_word(token, "PARTITIONED") => {
                return Err(Error::user("PARTITIONED BY is not supported yet")
                    .at(span_of(token.span))
                    .hint("remove the clause: the rows go to one folder"));
            }
            _ if is_word(token, "DISTRIBUTED") => {
                return Err(Error::user("DISTRIBUTED BY is not supported yet").at(span_of(token.span)));
            }
            _ if is_word(token, "LIKE") => {
                return Err(Error::user("CREATE TABLE … LIKE is not supported yet")
                    .at(span_of(token.span))
                    .hint("write the columns out"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn element(p: &mut Parser, table: &mut CreateTable) -> Result<(), ParserError> {
    let next_is_for = matches!(&p.peek_nth_token_ref(1).token, Token::Word(w) if w.keyword == Keyword::FOR);
    if next_is_for && is_word(p.peek_token_ref(), "WATERMARK") {
        let start = p.next_token();
        p.expect_keyword(Keyword::FOR)?;
        let column = p.parse_identifier()?;
        if p.peek_token_ref().token == Token::Period {
            return p.expected("AS after the column (a field of a ROW needs a computed column)", p.peek_token());
        }
        p.expect_keyword(Keyword::AS)?;
        let expr = p.parse_expr()?;
        if table.watermark.replace((column, expr)).is_some() {
            return p.expected("only one WATERMARK", start);
        }
        return Ok(());
    }
    let named = p.parse_keyword(Keyword::CONSTRAINT);
    if named {
        p.parse_identifier()?;
    }
    if p.parse_keywords(&[Keyword::PRIMARY, Keyword::KEY]) {
        p.expect_token(&Token::LParen)?;
        table.primary_key = p.parse_comma_separated(Parser::parse_identifier)?;
        p.expect_token(&Token::RParen)?;
        let _ = p.parse_keywords(&[Keyword::NOT, Keyword::ENFORCED]);
        return Ok(());
    }
    if named {
        return p.expected("PRIMARY KEY", p.peek_token());
    }

    let name = p.parse_identifier()?;
    if p.parse_keyword(Keyword::AS) {
        let expr = p.parse_expr()?;
        comment(p)?;
        table.columns.push(Column { name, kind: Kind::Computed(Box::new(expr)) });
        return Ok(());
    }
    let place = span_of(p.peek_token_ref().span);
    let sql = data_type(p)?;
    let place = span_to(place, span_of(p.get_current_token().span));
    let (mut not_null, mut key) = (false, None);
    loop {
        if p.parse_keywords(&[Keyword::NOT, Keyword::NULL]) {
            not_null = true;
        } else if p.parse_keyword(Keyword::NULL) {
        } else if p.parse_keywords(&[Keyword::PRIMARY, Keyword::KEY]) {
            let _ = p.parse_keywords(&[Keyword::NOT, Keyword::ENFORCED]);
            table.primary_key.push(name.clone());
        } else if is_word(p.peek_token_ref(), "METADATA") {
            p.next_token();
            key = Some(if p.parse_keyword(Keyword::FROM) { p.parse_literal_string()? } else { name.value.clone() });
        } else if is_word(p.peek_token_ref(), "VIRTUAL") && key.is_some() {
            p.next_token();
        } else if !comment(p)? {
            break;
        }
    }
    let kind = match key {
        Some(key) => Kind::Metadata { sql: Box::new(sql), place: span_to(span_of(name.span), place), key },
        None => Kind::Physical { sql: Box::new(sql), place, not_null },
    };
    table.columns.push(Column { name, kind });
    Ok(())
}

fn comment(p: &mut Parser) -> Result<bool, ParserError> {
    let found = p.parse_keyword(Keyword::COMMENT);
    if found {
        p.parse_literal_string()?;
    }
    Ok(found)
}

/// Reads a type; `ROW<…>`, `ROW(…)`, `ARRAY<…>` and `MAP<…>` to any depth.
fn data_type(p: &mut Parser) -> Result<Sql, ParserError> {
    let mut open = 0;
    let sql = nested_type(p, &mut open)?;
    if open != 0 {
        return p.expected("a type without a `>` too many", p.peek_token());
    }
    Ok(sql)
}

/// `surplus` counts the `>` taken beyond the own one: `>>` is one token.
fn nested_type(p: &mut Parser, surplus: &mut usize) -> Result<Sql, ParserError> {
    let (word, bracket) = (p.peek_token(), p.peek_nth_token_ref(1).token.clone());
    let angle = bracket == Token::Lt;
    let sql = if (angle || bracket == Token::LParen) && (is_word(&word, "STRUCT") || is_word(&word, "ROW")) {
        p.next_token();
        p.next_token();
        let mut fields = vec![];
        loop {
            let name = p.parse_identifier()?;
            let field_type = nested_type(p, surplus)?;
            nullability(p);
            comment(p)?;
            fields.push(StructField { field_name: Some(name), field_type, options: None });
            if *surplus > 0 || !p.consume_token(&Token::Comma) {
                break;
            }
        }
        if angle {
            close_angle(p, surplus)?
        } else {
            drop(p.expect_token(&Token::RParen)?)
        }
        Sql::Struct(fields, StructBracketKind::AngleBrackets)
    } else if angle && is_word(&word, "ARRAY") {
        p.next_token();
        p.next_token();
        let inner = nested_type(p, surplus)?;
        nullability(p);
        close_angle(p, surplus)?;
        Sql::Array(ArrayElemTypeDef::AngleBracket(Box::new(inner)))
    } else if angle && is_word(&word, "MAP") {
        p.next_token();
        p.next_token();
        let key = nested_type(p, surplus)?;
        nullability(p);
        p.expect_token(&Token::Comma)?;
        let value = nested_type(p, surplus)?;
        nullability(p);
        close_angle(p, surplus)?;
        Sql::Map(Box::new(key), Box::new(value))
    } else {
        p.parse_data_type()?
    };
    Ok(sql)
}

/// Takes `NOT NULL` inside of a nested type: it says nothing that Arrow's readers keep.
fn nullability(p: &mut Parser) {
    let _ = p.parse_keywords(&[Keyword::NOT, Keyword::NULL]) || p.parse_keyword(Keyword::NULL);
}

fn close_angle(p: &mut Parser, surplus: &mut usize) -> Result<(), ParserError> {
    if *surplus > 0 {
        *surplus -= 1;
        return Ok(());
    }
    let token = p.next_token();
    match token.token {
        Token::Gt => Ok(()),
        Token::ShiftRight => {
            *surplus += 1;
            Ok(())
        }
        _ => p.expected("`>`", token),
    }
}

/// Reads `('key' = 'value', …)`.
fn options(p: &mut Parser) -> Result<Vec<(String, String, Span)>, ParserError> {
    p.expect_token(&Token::LParen)?;
    let mut out: Vec<(String, String, Span)> = vec![];
    loop {
        if out.is_empty() && p.consume_token(&Token::RParen) {
            return Ok(out);
        }
        let first = p.peek_token();
        let key = match &first.token {
            Token::SingleQuotedString(_) => p.parse_literal_string()?,
            _ => {
                let mut key = p.parse_identifier()?.value;
                while p.peek_token_ref().token == Token::Period || p.peek_token_ref().token == Token::Minus {
                    key.push_str(&p.next_token().token.to_string());
                    key.push_str(&p.parse_identifier()?.value);
                }
                key
            }
        };
        if out.iter().any(|(k, ..)| *k == key) {
            return p.expected("each option once", first);
        }
        p.expect_token(&Token::Eq)?;
        let value = p.next_token();
        let text = match &value.token {
            Token::SingleQuotedString(text) => text.clone(),
            Token::Number(number, _) => number.clone(),
            Token::Word(word) if word.quote_style.is_none() => word.value.clone(),
            _ => return p.expected("a quoted value", value),
        };
        out.push((key, text, span_of(value.span)));
        if !p.consume_token(&Token::Comma) {
            break;
        }
    }
    p.expect_token(&Token::RParen)?;
    Ok(out)
}

/// The head of `CREATE VIEW` or `INSERT INTO`: name, column list, and where the query begins.
#[derive(Debug)]
pub struct Head {
    /// The view or the table.
    pub name: Ident,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Names in parentheses after it.
    pub columns: Vec<Ident>,
    /// Index of the first token of the query.
    pub query: usize,
}

/// Reads `CREATE [TEMPORARY] VIEW [IF NOT EXISTS] name [(columns)] [COMMENT '…'] AS`.
pub fn create_view(tokens: &[TokenWithSpan]) -> Result<Head> {
    let end = span_of_tokens(tokens);
    let Some(at) = position_of_as(tokens) else {
        return Err(Error::user("CREATE VIEW needs `AS` and a query").at(end));
    };
    let mut head = parse_all(&tokens[..at], |p| {
        p.expect_keyword(Keyword::CREATE)?;
        let _ = p.parse_one_of_keywords(&[Keyword::TEMPORARY, Keyword::TEMP]);
        p.expect_keyword(Keyword::VIEW)?;
        let if_not_exists = p.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
        let name = p.parse_identifier()?;
        let mut columns = vec![];
        if p.consume_token(&Token::LParen) {
            columns = p.parse_comma_separated(|p| {
                let name = p.parse_identifier()?;
                comment(p)?;
                Ok(name)
            })?;
            p.expect_token(&Token::RParen)?;
        }
        comment(p)?;
        Ok(Head { name, if_not_exists, columns, query: 0 })
    })?;
    head.query = at + 1;
    Ok(head)
}

/// Reads `INSERT INTO name [(columns)]`.
pub fn insert(tokens: &[TokenWithSpan]) -> Result<Head> {
    let place = |i: usize| tokens.get(i).map_or_else(|| span_of_tokens(tokens), |t| span_of(t.span));
    if tokens.get(1).is_some_and(|t| is_word(t, "OVERWRITE")) {
        return Err(Error::user("INSERT OVERWRITE is not supported")
            .at(place(1))
            .hint("INSERT INTO with 'sink.mode' = 'overwrite' in the table's options"));
    }
    if !tokens.get(1).is_some_and(|t| is_word(t, "INTO")) {
        return Err(Error::user("expected INTO after INSERT").at(place(1)));
    }
    let skip = if tokens.get(2).is_some_and(|t| is_word(t, "TABLE")) { 3 } else { 2 };
    let Some(Token::Word(word)) = tokens.get(skip).map(|t| &t.token) else {
        return Err(Error::user("expected the name of a table after INSERT INTO").at(place(skip)));
    };
    let name = word.clone().into_ident(tokens[skip].span);
    if tokens.get(skip + 1).is_some_and(|t| is_word(t, "PARTITION")) {
        return Err(Error::user("INSERT INTO … PARTITION is not supported").at(place(skip + 1)));
    }
    let mut query = skip + 1;
    let mut columns = vec![];
    let list = tokens.get(query).is_some_and(|t| t.token == Token::LParen)
        && !tokens
            .get(query + 1)
            .is_some_and(|t| ["SELECT", "WITH", "VALUES"].iter().any(|w| is_word(t, w)) || t.token == Token::LParen);
    if list {
        let Some(end) = tokens.iter().skip(query).position(|t| t.token == Token::RParen).map(|i| i + query) else {
            return Err(Error::user("expected `)` after the columns").at(place(tokens.len())));
        };
        columns = parse_all(&tokens[query + 1..end], |p| p.parse_comma_separated(Parser::parse_identifier))?;
        query = end + 1;
    }
    if query >= tokens.len() {
        return Err(Error::user("the statement ends where a query was expected").at(place(tokens.len())));
    }
    Ok(Head { name, if_not_exists: false, columns, query })
}
