//! `pelton dead-letters`: what was refused, by whom and why, and another chance for it.

use std::path::PathBuf;

use pelton_engine::connector::{DeadLetter, LetterKind};
use pelton_engine::error::{Error, Result};
use pelton_io::dead_letters::{Filter, read, summarize};
use serde_json::{Value, json};

use crate::report::{Answer, Failure, columns, grouped, note, say, say_json};
use crate::reprocess::{ReprocessArgs, reprocess};
use crate::text::PlaceArgs;

/// What to do with dead letters.
#[derive(clap::Subcommand, Debug)]
pub enum LettersCommand {
    /// Count the letters by source, operator and kind.
    Ls(PlaceArgs),
    /// Show letters one by one.
    Show(ShowArgs),
    /// Run a pipeline over its letters, as a bounded input of their own, in order of event time.
    Reprocess(ReprocessArgs),
}

/// Arguments of `pelton dead-letters show`.
#[derive(clap::Args, Debug)]
pub struct ShowArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Only letters of this kind.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<LetterKind>,
    /// Only letters of this source table.
    #[arg(long, value_name = "TABLE")]
    source: Option<String>,
    /// Only letters of this operator.
    #[arg(long, value_name = "TEXT")]
    operator: Option<String>,
}

fn kind(word: &str) -> Result<LetterKind, String> {
    pelton_io::dead_letters::kind_of(word)
        .ok_or_else(|| "wanted undecodable, schema, expression, late, far-future or poison".to_string())
}

/// Lists, shows or runs again.
pub fn dead_letters(command: &LettersCommand, json: bool) -> Answer {
    match command {
        LettersCommand::Ls(place) => ls(place, json),
        LettersCommand::Show(args) => show(args, json),
        LettersCommand::Reprocess(args) => reprocess(args, json),
    }
}

/// The folder of the letters.
fn folder(place: &PlaceArgs) -> Result<PathBuf, Failure> {
    let registry = pelton_io::registry();
    let folder = match place.script(&registry)? {
        None => place.place.clone(),
        Some(script) => match script.settings.get("dead-letters.path") {
            Some(path) => path.into(),
            None => {
                let error = Error::user(format!("'{}' says nowhere where dead letters go", place.place.display()));
                return Err(error.hint("add SET 'dead-letters.path' = 'FOLDER', and run it again").into());
            }
        },
    };
    // A pipeline without letters leaves no folder: then there are none.
    if folder == place.place {
        PlaceArgs::folder(&folder, "no folder of dead letters")?;
    }
    Ok(folder)
}

fn ls(place: &PlaceArgs, json: bool) -> Answer {
    let folder = folder(place)?;
    let found = summarize(&folder, &Filter::default())?;
    let total: u64 = found.iter().map(|s| s.count).sum();
    if json {
        let letters = found.iter().map(|s| {
            json!({ "source": s.source, "operator": s.operator, "kind": s.kind.as_str(), "count": s.count, "example": s.example })
        });
        say_json(&json!({ "path": folder, "total": total, "letters": letters.collect::<Vec<_>>() }));
        return Ok(0);
    }
    if found.is_empty() {
        say(&format!("no dead letters in '{}'", folder.display()));
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = found
        .into_iter()
        .map(|s| vec![s.source, s.operator, s.kind.as_str().to_string(), grouped(s.count), s.example])
        .collect();
    say(&columns(&["source", "operator", "kind", "letters", "the first one's reason"], &rows));
    Ok(0)
}

fn show(args: &ShowArgs, json: bool) -> Answer {
    let folder = folder(&args.place)?;
    let filter = Filter { source: args.source.clone(), operator: args.operator.clone(), kind: args.kind };
    let mut letters = read(&folder, &filter, args.limit.saturating_add(1))?;
    let more = letters.len() > args.limit;
    letters.truncate(args.limit);
    if json {
        say_json(&json!({ "path": folder, "more": more, "letters": letters.iter().map(as_json).collect::<Vec<_>>() }));
        return Ok(0);
    }
    if letters.is_empty() {
        say(&format!("no such dead letters in '{}'", folder.display()));
    }
    for letter in &letters {
        say(&as_text(letter));
    }
    if more {
        note("there are more: --limit N shows them");
    }
    Ok(0)
}

fn as_text(letter: &DeadLetter) -> String {
    let mut text = format!(
        "{} partition {} offset {}: {}, {}\n    {}",
        letter.source,
        letter.partition,
        letter.offset,
        letter.kind.as_str(),
        letter.operator,
        letter.reason
    );
    if let Some(row) = &letter.row {
        text += &format!("\n    {row}");
    }
    if let Some(bytes) = &letter.bytes {
        text += &format!("\n    {}", String::from_utf8_lossy(bytes).trim_end().escape_debug());
    }
    text
}

fn as_json(letter: &DeadLetter) -> Value {
    let row = letter.row.as_ref().map(|row| serde_json::from_str(row).unwrap_or_else(|_| Value::from(row.clone())));
    json!({
        "source": letter.source,
        "partition": letter.partition,
        "offset": letter.offset,
        "operator": letter.operator,
        "kind": letter.kind.as_str(),
        "reason": letter.reason,
        "row": row,
        "bytes": letter.bytes.as_ref().map(|b| String::from_utf8_lossy(b)),
    })
}
