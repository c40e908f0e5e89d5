//! The text of a script: places, tokens, `${VAR}`, and the cut into statements.

use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::{self, Token, TokenWithSpan, Tokenizer, Whitespace};

use super::dialect::Flink;
use crate::error::{Error, Result, Span};

/// Our span of a parser's span.
pub fn span_of(span: tokenizer::Span) -> Span {
    Span { line: span.start.line, column: span.start.column, end_line: span.end.line, end_column: span.end.column }
}

/// From the start of one place to the end of another.
pub fn span_to(from: Span, to: Span) -> Span {
    if !to.is_known() {
        return from;
    }
    if !from.is_known() {
        return to;
    }
    Span { end_line: to.end_line, end_column: to.end_column, ..from }
}

/// A text whose lines and columns can be looked up.
pub struct Source<'a> {
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> Source<'a> {
    /// Indexes a text.
    pub fn new(text: &'a str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Source { text, line_starts }
    }

    fn offset(&self, line: u64, column: u64) -> usize {
        let Some(start) = self.line_starts.get((line.max(1) - 1) as usize).copied() else { return self.text.len() };
        let rest = &self.text[start..];
        rest.char_indices().nth((column.max(1) - 1) as usize).map_or(self.text.len(), |(at, _)| start + at)
    }

    /// The text at a place.
    pub fn slice(&self, span: Span) -> &'a str {
        if !span.is_known() {
            return "";
        }
        let (from, to) = (self.offset(span.line, span.column), self.offset(span.end_line, span.end_column));
        self.text.get(from..to.max(from)).unwrap_or("")
    }
}

/// One statement, or the statements of a set.
#[derive(Debug)]
pub struct RawStatement {
    /// Its tokens without white space and comments, without `;`; those of each member for a set.
    pub tokens: Vec<TokenWithSpan>,
    /// The members of `EXECUTE STATEMENT SET BEGIN …; …; END`.
    pub members: Option<Vec<Vec<TokenWithSpan>>>,
    /// True for `EXPLAIN STATEMENT SET …`.
    pub explain: bool,
    /// True for `EXPLAIN PLACEMENT STATEMENT SET …`.
    pub placement: bool,
    /// All of it.
    pub span: Span,
}

/// Splits a text into tokens, puts in `${VAR}`, and drops white space and comments.
pub fn tokenize(source: &Source, env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(&Flink, source.text).tokenize_with_location().map_err(|e| {
        let place = Span {
            line: e.location.line,
            column: e.location.column,
            end_line: e.location.line,
            end_column: e.location.column + 1,
        };
        Error::user(lower_first(&e.message)).at(place)
    })?;
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    while let Some(mut token) = rest.next() {
        let place = span_of(token.span);
        match &mut token.token {
            Token::Whitespace(Whitespace::MultiLineComment(text)) if text.starts_with('+') => {
                return Err(Error::user("hints (`/*+ … */`) are not supported yet").at(place).hint("remove the hint"));
            }
            Token::Whitespace(_) | Token::EOF => continue,
            Token::SingleQuotedString(text) if text.contains("${") => {
                *text = expand(text, env).map_err(|e| e.at(place))?;
            }
            Token::Word(word) if word.quote_style.is_some() && word.value.contains("${") => {
                word.value = expand(&word.value, env).map_err(|e| e.at(place))?;
            }
            // A bare ${VAR} arrives as `$`, `{`, …, `}`: take its text whole and read the value's tokens in its place.
            Token::Placeholder(text) if text == "$" && rest.peek().is_some_and(|t| t.token == Token::LBrace) => {
                let mut span = token.span;
                for inner in rest.by_ref() {
                    span.end = inner.span.end;
                    if inner.token == Token::RBrace {
                        break;
                    }
                }
                let place = span_of(span);
                let value = expand(source.slice(place), env).map_err(|e| e.at(place))?;
                let inner =
                    Tokenizer::new(&Flink, &value).tokenize().map_err(|e| Error::user(e.message.clone()).at(place))?;
                out.extend(
                    inner
                        .into_iter()
                        .filter(|t| !matches!(t, Token::Whitespace(_) | Token::EOF))
                        .map(|token| TokenWithSpan { token, span }),
                );
                continue;
            }
            _ => {}
        }
        out.push(token);
    }
    Ok(adapt(out))
}

/// Replaces every `${VAR}` and `${VAR:-default}` of a text; `$${` stands for `${`.
fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            out.push_str(&rest[..at - 1]);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('}') else {
            return Err(Error::user("`${` without `}`").hint("write `$${` for a plain `${`"));
        };
        let inner = &rest[at + 2..at + end];
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name.trim(), Some(default)),
            None => (inner.trim(), None),
        };
        match env(name).filter(|v| default.is_none() || !v.is_empty()).or_else(|| default.map(str::to_string)) {
            Some(value) => out.push_str(&value),
            None => {
                return Err(Error::user(format!("the environment variable {name} is not set"))
                    .hint(format!("set it, or give a default: `${{{name}:-value}}`")));
            }
        }
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Small changes of spelling that let sqlparser read Flink's types: `ROW<` is `STRUCT<`, `LOCAL TIME ZONE` is
/// `TIME ZONE`.
fn adapt(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    for i in 0..tokens.len() {
        let next_is_angle = tokens.get(i + 1).is_some_and(|t| t.token == Token::Lt);
        let names_follow = matches!(tokens.get(i + 2).map(|t| &t.token), Some(Token::Word(_)))
            && matches!(tokens.get(i + 3).map(|t| &t.token), Some(Token::Word(_)));
        if next_is_angle && names_follow && is_word(&tokens[i], "ROW") {
            let span = tokens[i].span;
            tokens[i] = TokenWithSpan { token: Token::make_keyword("STRUCT"), span };
        }
    }
    let mut out = Vec::with_capacity(tokens.len());
    for (i, token) in tokens.iter().enumerate() {
        let local = is_word(token, "LOCAL")
            && tokens.get(i + 1).is_some_and(|t| is_word(t, "TIME"))
            && i > 0
            && is_word(&tokens[i - 1], "WITH");
        if !local {
            out.push(token.clone());
        }
    }
    out
}

/// True if the token is this unquoted word.
pub fn is_word(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

/// True if the tokens begin with these words.
pub fn starts_with(tokens: &[TokenWithSpan], words: &[&str]) -> bool {
    tokens.len() >= words.len() && tokens.iter().zip(words).all(|(t, w)| is_word(t, w))
}

/// The place of all the tokens.
pub fn span_of_tokens(tokens: &[TokenWithSpan]) -> Span {
    match (tokens.first(), tokens.last()) {
        (Some(first), Some(last)) => span_to(span_of(first.span), span_of(last.span)),
        _ => Span::default(),
    }
}

/// Cuts the tokens into statements at each `;`, keeping statement sets together.
pub fn split(tokens: Vec<TokenWithSpan>) -> Result<Vec<RawStatement>> {
    let mut pieces: std::collections::VecDeque<Vec<TokenWithSpan>> = std::collections::VecDeque::new();
    let mut current = vec![];
    for token in tokens {
        if token.token == Token::SemiColon {
            pieces.push_back(std::mem::take(&mut current));
        } else {
            current.push(token);
        }
    }
    pieces.push_back(current);

    let mut statements = vec![];
    while let Some(mut piece) = pieces.pop_front() {
        if piece.is_empty() {
            continue;
        }
        let explain = starts_with(&piece, &["EXPLAIN"]);
        let placement = starts_with(&piece, &["EXPLAIN", "PLACEMENT"]);
        let before = explain as usize + placement as usize;
        let rest = &piece[before..];
        let header = if starts_with(rest, &["EXECUTE", "STATEMENT", "SET", "BEGIN"]) {
            4
        } else if starts_with(rest, &["STATEMENT", "SET", "BEGIN"]) || starts_with(rest, &["BEGIN", "STATEMENT", "SET"])
        {
            3
        } else {
            statements.push(RawStatement {
                span: span_of_tokens(&piece),
                tokens: piece,
                members: None,
                explain: false,
                placement: false,
            });
            continue;
        };
        let start = span_of_tokens(&piece[..header + before]);
        let mut members = vec![];
        let first = piece.split_off(header + before);
        if !first.is_empty() {
            members.push(first);
        }
        let end = loop {
            match pieces.pop_front() {
                Some(piece) if starts_with(&piece, &["END"]) => {
                    if let Some(extra) = piece.get(1) {
                        return Err(Error::user("expected `;` after END").at(span_of(extra.span)));
                    }
                    break span_of_tokens(&piece);
                }
                Some(piece) if piece.is_empty() => {}
                Some(piece) => members.push(piece),
                None => {
                    return Err(Error::user("this statement set has no END").at(start).hint("finish it with `END;`"));
                }
            }
        };
        if members.is_empty() {
            return Err(Error::user("this statement set is empty").at(span_to(start, end)));
        }
        let span = span_to(start, end);
        statements.push(RawStatement { tokens: vec![], members: Some(members), explain, placement, span });
    }
    Ok(statements)
}

/// Each `JOIN` among the tokens, in order: the place from its first word to the end of its condition.
pub fn joins(tokens: &[TokenWithSpan]) -> Vec<Span> {
    const BEFORE: &[Keyword] = &[
        Keyword::LEFT,
        Keyword::RIGHT,
        Keyword::FULL,
        Keyword::INNER,
        Keyword::OUTER,
        Keyword::CROSS,
        Keyword::NATURAL,
    ];
    const AFTER: &[Keyword] = &[
        Keyword::JOIN,
        Keyword::WHERE,
        Keyword::GROUP,
        Keyword::HAVING,
        Keyword::ORDER,
        Keyword::LIMIT,
        Keyword::UNION,
        Keyword::INTERSECT,
        Keyword::EXCEPT,
        Keyword::FETCH,
        Keyword::OFFSET,
        Keyword::QUALIFY,
        Keyword::WINDOW,
    ];
    let keyword = |t: &TokenWithSpan| match &t.token {
        Token::Word(w) if w.quote_style.is_none() => w.keyword,
        _ => Keyword::NoKeyword,
    };
    let mut out = vec![];
    for (i, token) in tokens.iter().enumerate() {
        if keyword(token) != Keyword::JOIN {
            continue;
        }
        let first = (0..i).rev().take_while(|j| BEFORE.contains(&keyword(&tokens[*j]))).last().unwrap_or(i);
        out.push(span_to(span_of(tokens[first].span), clause_end(tokens, i, &[AFTER, BEFORE].concat(), &keyword)));
    }
    out
}

/// Place of the clause that these two words open, the one at the least depth of parentheses, up to its end.
pub fn clause(tokens: &[TokenWithSpan], first: Keyword, second: Keyword) -> Option<Span> {
    const AFTER: &[Keyword] = &[
        Keyword::HAVING,
        Keyword::ORDER,
        Keyword::LIMIT,
        Keyword::UNION,
        Keyword::FETCH,
        Keyword::OFFSET,
        Keyword::QUALIFY,
        Keyword::WINDOW,
    ];
    let keyword = |t: &TokenWithSpan| match &t.token {
        Token::Word(w) if w.quote_style.is_none() => w.keyword,
        _ => Keyword::NoKeyword,
    };
    let mut depth = 0i32;
    let mut best: Option<(i32, usize)> = None;
    for (i, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ if keyword(token) == first
                && tokens.get(i + 1).is_some_and(|t| keyword(t) == second)
                && best.is_none_or(|(d, _)| depth < d) =>
            {
                best = Some((depth, i));
            }
            _ => {}
        }
    }
    best.map(|(_, i)| span_to(span_of(tokens[i].span), clause_end(tokens, i + 1, AFTER, &keyword)))
}

/// End of the clause that runs on after token `from`: before a closing parenthesis that is not its own, or a keyword.
fn clause_end(
    tokens: &[TokenWithSpan],
    from: usize,
    stop: &[Keyword],
    keyword: &dyn Fn(&TokenWithSpan) -> Keyword,
) -> Span {
    let mut depth = 0i32;
    let mut end = from;
    for (i, token) in tokens.iter().enumerate().skip(from + 1) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ if depth == 0 && stop.contains(&keyword(token)) => break,
            _ => {}
        }
        if depth < 0 {
            break;
        }
        end = i;
    }
    span_of(tokens[end].span)
}

/// Place of the first word of `text` that is one of `words`, whatever the case. `start` is the place of `text`; it is the
/// answer when there is no such word.
pub fn find(text: &str, start: Span, words: &[&str]) -> Span {
    let Ok(tokens) = Tokenizer::new(&Flink, text).tokenize_with_location() else { return start };
    tokens
        .iter()
        .find(|t| matches!(&t.token, Token::Word(w) if words.iter().any(|x| w.value.eq_ignore_ascii_case(x))))
        .map_or(start, |t| {
            let shift = |line: u64, column: u64| {
                (line + start.line - 1, if line == 1 { column + start.column - 1 } else { column })
            };
            let ((line, column), (end_line, end_column)) =
                (shift(t.span.start.line, t.span.start.column), shift(t.span.end.line, t.span.end.column));
            Span { line, column, end_line, end_column }
        })
}

/// Gives an error without a place that of the literal or name which its message quotes, or of the word in capitals that it
/// begins with, or else of all the tokens.
pub fn place(error: Error, tokens: &[TokenWithSpan]) -> Error {
    let message = error.message();
    let quoted = |mark: char| message.split(mark).nth(1);
    let word =
        |name: &str| tokens.iter().find(|t| matches!(&t.token, Token::Word(w) if w.value.eq_ignore_ascii_case(name)));
    let literal = quoted('\'')
        .and_then(|text| tokens.iter().find(|t| matches!(&t.token, Token::SingleQuotedString(s) if s == text)));
    let name = || {
        let text = quoted('`')?;
        let text = text.split('(').next().unwrap_or(text);
        word(text.rsplit('.').next().unwrap_or(text))
    };
    let capitals = || {
        let end = message.find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_')?;
        word(message.get(..end).filter(|w| w.len() > 1)?)
    };
    match literal.or_else(name).or_else(capitals) {
        Some(token) => {
            let place = span_of(token.span);
            error.at(place)
        }
        None => error.at(span_of_tokens(tokens)),
    }
}

/// `Unterminated …` → `unterminated …`: our messages start small.
pub fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    match (chars.next(), chars.next()) {
        (Some(a), Some(b)) if a.is_uppercase() && b.is_lowercase() => {
            a.to_lowercase().chain(std::iter::once(b)).chain(chars).collect()
        }
        _ => message.to_string(),
    }
}
