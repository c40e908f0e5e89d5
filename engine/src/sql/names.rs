//! Identifiers compare case-insensitively and keep their case.
//!
//! DataFusion can fold names to lower case or compare them exactly; neither is that. So names are compared exactly, and
//! before a statement is parsed each of its words is respelt the way the name was first written: in the catalog, after
//! an `AS`, or anywhere in the statement. What the user wrote comes back for the columns of a result ([`Spelling::written`]).

use std::collections::{HashMap, HashSet};

use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

/// How names are spelt in one statement.
#[derive(Debug, Default)]
pub struct Spelling {
    /// Lower case → the spelling used.
    chosen: HashMap<String, String>,
    /// Start of a respelt word → what stood there.
    written: HashMap<(u64, u64), String>,
}

impl Spelling {
    /// The spelling used in the statement for a name.
    pub fn of<'a>(&'a self, name: &'a str) -> &'a str {
        self.chosen.get(&name.to_lowercase()).map_or(name, String::as_str)
    }

    /// What the user wrote at a place where the parser saw `seen`.
    pub fn written<'a>(&'a self, span: Span, seen: &'a str) -> &'a str {
        self.written.get(&(span.start.line, span.start.column)).map_or(seen, String::as_str)
    }
}

/// The words of a statement in lower case: what it may refer to.
pub fn words(tokens: &[TokenWithSpan]) -> HashSet<String> {
    tokens
        .iter()
        .filter_map(|t| match &t.token {
            Token::Word(w) => Some(w.value.to_lowercase()),
            _ => None,
        })
        .collect()
}

/// Respells the words of a statement. `known` are the names of the catalog that it may refer to; the first spelling wins.
pub fn respell(tokens: &mut [TokenWithSpan], known: impl IntoIterator<Item = String>) -> Spelling {
    let mut spelling = Spelling::default();
    for name in known {
        spelling.chosen.entry(name.to_lowercase()).or_insert(name);
    }
    // Aliases first, then other names, then words that are also keywords: in `COUNT(*) … AS count` the name is `count`.
    for round in 0..3 {
        let mut casts = vec![];
        for (i, token) in tokens.iter().enumerate() {
            match &token.token {
                Token::LParen => casts.push(i > 0 && matches!(&tokens[i - 1].token, Token::Word(w) if matches!(w.keyword, Keyword::CAST | Keyword::TRY_CAST))),
                Token::RParen => drop(casts.pop()),
                Token::Word(word) => {
                    let before_paren = tokens.get(i + 1).is_some_and(|t| t.token == Token::LParen);
                    let alias = i > 0
                        && matches!(&tokens[i - 1].token, Token::Word(w) if w.keyword == Keyword::AS && w.quote_style.is_none())
                        && !casts.last().copied().unwrap_or(false)
                        && !before_paren;
                    let plain = word.keyword == Keyword::NoKeyword || word.quote_style.is_some();
                    let mine = match round {
                        0 => alias,
                        1 => plain && !before_paren,
                        _ => !before_paren,
                    };
                    if mine {
                        spelling.chosen.entry(word.value.to_lowercase()).or_insert_with(|| word.value.clone());
                    }
                }
                _ => {}
            }
        }
    }
    for token in tokens {
        let Token::Word(word) = &mut token.token else { continue };
        if let Some(chosen) = spelling.chosen.get(&word.value.to_lowercase())
            && *chosen != word.value
        {
            let start = token.span.start;
            spelling.written.insert((start.line, start.column), std::mem::replace(&mut word.value, chosen.clone()));
        }
    }
    spelling
}
