//! Errors of the parser and of DataFusion, said in our words with a place and a hint.

use datafusion_common::{DataFusionError, SchemaError};
use datafusion_sql::sqlparser::parser::ParserError;
use datafusion_sql::sqlparser::tokenizer::TokenWithSpan;

use super::text::{lower_first, span_of};
use super::types;
use crate::error::{Error, Span};

/// Wraps one of our errors so that it travels through DataFusion.
pub fn carry(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// A parser's error over these tokens.
pub fn from_parser(error: ParserError, tokens: &[TokenWithSpan]) -> Error {
    // Text that ends too early is marked at its last token.
    let end = tokens.last().map_or(Span::default(), |t| span_of(t.span));
    let message = match error {
        ParserError::TokenizerError(m) | ParserError::ParserError(m) => m,
        ParserError::RecursionLimitExceeded => return Error::user("this is nested too deeply").at(end),
    };
    let (message, place) = match message.rsplit_once(" at Line: ") {
        Some((head, tail)) => {
            let numbers: Vec<u64> = tail.split(", Column: ").filter_map(|n| n.trim().parse().ok()).collect();
            match numbers[..] {
                [line, column] if line > 0 => (head.to_string(), Some((line, column))),
                _ => (head.to_string(), None),
            }
        }
        None => (message, None),
    };
    let Some(rest) = message.strip_prefix("Expected: ").or_else(|| message.strip_prefix("Expected ")) else {
        return Error::user(lower_first(&message)).at(place.map_or(end, |p| word_span(p, "")));
    };
    let Some((wanted, found)) = rest.rsplit_once(", found: ") else {
        return Error::user(format!("expected {rest}")).at(place.map_or(end, |p| word_span(p, "")));
    };
    if found == "EOF" {
        return Error::user(format!("the statement ends where {wanted} was expected")).at(end);
    }
    // The parser sometimes gives the place of the token after the one it names.
    let named = tokens
        .iter()
        .rfind(|t| place.is_none_or(|p| (t.span.start.line, t.span.start.column) <= p) && t.token.to_string() == found);
    let place = named.map(|t| span_of(t.span)).or(place.map(|p| word_span(p, found)));
    Error::user(format!("expected {wanted}, found `{found}`")).at(place.unwrap_or(end))
}

fn word_span((line, column): (u64, u64), word: &str) -> Span {
    Span { line, column, end_line: line, end_column: column + word.chars().count().max(1) as u64 }
}

/// An error of DataFusion's planner, analyzer or optimizer.
pub fn from_datafusion(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            // DataFusion wraps errors that it passes on once more.
            Err(other) => match other.downcast::<DataFusionError>() {
                Ok(inner) => from_datafusion(*inner),
                Err(other) => Error::user(other.to_string()),
            },
        },
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let inner = from_datafusion(*inner);
            match diagnostic.span {
                Some(s) => inner.at(Span {
                    line: s.start.line,
                    column: s.start.column,
                    end_line: s.end.line,
                    end_column: s.end.column,
                }),
                None => inner,
            }
        }
        DataFusionError::Context(_, inner) => from_datafusion(*inner),
        DataFusionError::Shared(inner) => plain(&inner.to_string()),
        DataFusionError::Collection(mut errors) if !errors.is_empty() => from_datafusion(errors.swap_remove(0)),
        DataFusionError::SchemaError(schema, _) => from_schema(*schema),
        DataFusionError::Plan(message) => plain(&message),
        DataFusionError::NotImplemented(message) => plain(&format!("not supported yet: {}", lower_first(&message))),
        DataFusionError::Internal(message) => {
            Error::user(format!("the planner could not handle this: {}", types::in_our_words(without_plea(&message))))
        }
        DataFusionError::SQL(parser, _) => from_parser(*parser, &[]),
        DataFusionError::ArrowError(arrow, _) => match *arrow {
            arrow::error::ArrowError::ExternalError(inner) => from_datafusion(DataFusionError::External(inner)),
            arrow => plain(&arrow.to_string()),
        },
        other => plain(&other.strip_backtrace()),
    }
}

/// A message without DataFusion's plea to report it there.
pub fn without_plea(message: &str) -> &str {
    message.split("\nThis issue was likely caused").next().unwrap_or(message).trim_end_matches('.')
}

/// True if DataFusion's optimizer met an error of ours.
fn from_schema(error: SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let place = field.spans().first().map_or(Span::default(), |s| Span {
                line: s.start.line,
                column: s.start.column,
                end_line: s.end.line,
                end_column: s.end.column,
            });
            let error = Error::user(format!("unknown column `{}`", field.flat_name())).at(place);
            let of_relation: Vec<&str> = match &field.relation {
                Some(relation) => {
                    let own: Vec<&str> = valid_fields
                        .iter()
                        .filter(|f| f.relation.as_ref() == Some(relation))
                        .map(|f| f.name.as_str())
                        .collect();
                    if own.is_empty() {
                        let mut known: Vec<String> =
                            valid_fields.iter().filter_map(|f| f.relation.as_ref().map(ToString::to_string)).collect();
                        known.dedup();
                        return match Error::suggest(&relation.to_string(), known.iter().map(String::as_str)) {
                            Some(near) => error.hint(format!("there is no `{relation}` here, did you mean `{near}`?")),
                            None if known.is_empty() => error,
                            None => error.hint(format!("there is no `{relation}` here, only: {}", known.join(", "))),
                        };
                    }
                    own
                }
                None => valid_fields.iter().map(|f| f.name.as_str()).collect(),
            };
            let mut names = vec![];
            for name in of_relation {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            match Error::suggest(&field.name, names.iter().copied()) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None if names.is_empty() => error,
                None => error.hint(format!("there are: {}", names.join(", "))),
            }
        }
        SchemaError::AmbiguousReference { field } => {
            let place = field.spans().first().map_or(Span::default(), |s| Span {
                line: s.start.line,
                column: s.start.column,
                end_line: s.end.line,
                end_column: s.end.column,
            });
            Error::user(format!("the column `{}` is ambiguous", field.name))
                .at(place)
                .hint("put the table's name or alias before it")
        }
        SchemaError::DuplicateQualifiedField { qualifier, name } => {
            Error::user(format!("two columns are called `{qualifier}.{name}`"))
                .hint("give the tables different aliases")
        }
        SchemaError::DuplicateUnqualifiedField { name } => {
            Error::user(format!("two columns are called `{name}`")).hint("rename one with AS")
        }
    }
}

/// A message of DataFusion without its jargon.
fn plain(message: &str) -> Error {
    let message = without_plea(message);
    let message = [
        "Error during planning: ",
        "This feature is not implemented: ",
        "Schema error: ",
        "Arrow error: ",
        "Execution error: ",
        "Cast error: ",
        "Parser error: ",
    ]
    .iter()
    .fold(message, |m, prefix| m.strip_prefix(prefix).unwrap_or(m));
    // Our own words about wrong arguments, wrapped by DataFusion.
    if let Some((_, ours)) = message.split_once("user-defined coercion failed with: ") {
        let ours = ours.split(" No function matches").next().unwrap_or(ours).trim_end_matches('.');
        return plain(ours.strip_prefix("External error: ").unwrap_or(ours));
    }
    if let Some((call, _)) = message.split_once(". You might need to add explicit type casts.") {
        let call = call.rsplit_once("argument types ").map_or(call, |(_, call)| call);
        return Error::user(format!(
            "no function takes the arguments of {}",
            types::in_our_words(call).replace('\'', "`")
        ));
    }
    if let Some(at) = message.find("must appear in the GROUP BY clause") {
        let quoted = message[..at].trim_end().trim_end_matches('"');
        let name = quoted.rsplit_once('"').map_or(quoted, |(_, name)| name);
        return Error::user(format!("the column `{name}` is neither in GROUP BY nor inside an aggregate"))
            .hint(format!("add `{name}` to GROUP BY, or take MIN, MAX or FIRST_VALUE of it"));
    }
    if message.contains("Projections require unique expression names") {
        let mut names = message.split('"').skip(1).step_by(2);
        let name = names.next().unwrap_or("").split(" AS ").last().unwrap_or("").to_string();
        return Error::user(format!("two result columns are called `{name}`")).hint("name one of them with AS");
    }
    Error::user(lower_first(types::in_our_words(message).trim()))
}
