//! `pelton sql`: statements typed one after the other, each run at its `;`.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use pelton_engine::connector::Registry;
use pelton_engine::error::{Error, Result};
use pelton_engine::pipeline::explain_script;
use pelton_engine::sql::{ColumnKind, Job, KNOWN_SETTINGS, Outcome, Script, Session, TableDef, Target};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Context, Editor, Helper};
use serde_json::json;

use crate::report::{Answer, Failure, columns, note, say, say_json};
use crate::run::{drive, letters_hint, report_broken, summary_text};
use crate::statements;
use crate::text::{HowArgs, Text};

/// Words of the dialect, for completion.
const KEYWORDS: &[&str] = &[
    "AND",
    "AS",
    "ASC",
    "AVG",
    "BEGIN",
    "BETWEEN",
    "BIGINT",
    "BOOLEAN",
    "BY",
    "CASE",
    "CAST",
    "COUNT",
    "CREATE",
    "CUMULATE",
    "DATE",
    "DAY",
    "DECIMAL",
    "DESC",
    "DESCRIPTOR",
    "DISTINCT",
    "DOUBLE",
    "DROP",
    "ELSE",
    "END",
    "EXECUTE",
    "EXPLAIN",
    "FILTER",
    "FROM",
    "GROUP",
    "HAVING",
    "HOP",
    "HOUR",
    "IN",
    "INNER",
    "INSERT",
    "INT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "MAX",
    "METADATA",
    "MIN",
    "MINUTE",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "PRIMARY KEY",
    "RESET",
    "SECOND",
    "SELECT",
    "SESSION",
    "SET",
    "STATEMENT SET",
    "STRING",
    "SUM",
    "TABLE",
    "THEN",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "TUMBLE",
    "UNION ALL",
    "VALUES",
    "VIEW",
    "WATERMARK FOR",
    "WHEN",
    "WHERE",
    "WITH",
    "window_end",
    "window_start",
    "window_time",
];

const HELP: &str = "\
Statements end with `;` and may span lines.
  \\d            tables
  \\d TABLE      columns, watermark and options of a table
  \\h            this text
  \\q            leave (also Ctrl-D)
Ctrl-C stops a running query: what was read is computed and shown. At the prompt it drops what was typed.";

/// Arguments of `pelton sql`.
#[derive(clap::Args, Debug)]
pub struct ShellArgs {
    /// Files whose tables, views and settings should be there; their queries are not run.
    #[arg(value_name = "FILE.sql")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    how: HowArgs,
}

/// What the shell is doing.
struct Shell<'a> {
    session: Session,
    registry: Registry,
    how: &'a HowArgs,
    statements: usize,
    errors: usize,
}

/// Reads and runs statements to the end of the input. From a pipe, the first error ends it.
pub fn shell(args: &ShellArgs, json: bool) -> Answer {
    let registry = pelton_io::registry();
    let session = Session::with_overrides(registry.clone(), &args.how.options().sets)?;
    let mut shell = Shell { session, registry, how: &args.how, statements: 0, errors: 0 };
    for file in &args.files {
        let text = Text::load(file)?;
        let outcomes = shell.session.run(&text.content).map_err(|e| text.failed(e))?;
        let queries: usize = outcomes.iter().map(|o| if let Outcome::Jobs(jobs) = o { jobs.len() } else { 0 }).sum();
        if queries > 0 {
            note(&format!("{}: its {queries} queries are not run here; `pelton run` does", text.name));
        }
    }
    let ended = if std::io::stdin().is_terminal() { shell.interactive() } else { shell.piped() };
    let code = match ended {
        Ok(()) => 0,
        Err(failure) => failure.show(false),
    };
    if json {
        say_json(&json!({ "statements": shell.statements, "errors": shell.errors, "exit_code": code }));
    }
    Ok(code)
}

impl Shell<'_> {
    fn piped(&mut self) -> Result<(), Failure> {
        let mut all = String::new();
        std::io::stdin().read_to_string(&mut all).map_err(|e| Error::user("cannot read stdin").because(e))?;
        let mut waiting = String::new();
        for line in all.split_inclusive('\n') {
            if waiting.trim().is_empty() && line.trim_start().starts_with('\\') {
                if !self.command(line.trim())? {
                    return Ok(());
                }
                continue;
            }
            waiting += line;
            if statements::is_complete(&waiting) {
                self.run(&std::mem::take(&mut waiting))?;
            }
        }
        self.run(&waiting)
    }

    fn interactive(&mut self) -> Result<(), Failure> {
        let failed = |e: ReadlineError| Error::world("cannot read from the terminal").because(e);
        let config = Config::builder().history_ignore_space(true).build();
        let mut editor: Editor<Names, DefaultHistory> = Editor::with_config(config).map_err(failed)?;
        editor.set_helper(Some(Names(self.names())));
        let kept = history_file();
        if let Some(path) = &kept {
            // The first time there is none.
            let _ = editor.load_history(path);
        }
        say(&format!("Pelton {}: \\h for help, \\q to leave", env!("CARGO_PKG_VERSION")));
        let mut waiting = String::new();
        loop {
            match editor.readline(if waiting.is_empty() { "pelton> " } else { "   ...> " }) {
                Ok(line) if waiting.is_empty() && line.trim_start().starts_with('\\') => {
                    let _ = editor.add_history_entry(line.trim());
                    match self.command(line.trim()) {
                        Ok(true) => {}
                        Ok(false) => break,
                        Err(failure) => {
                            failure.show(false);
                        }
                    }
                }
                Ok(line) => {
                    waiting += &line;
                    if !statements::is_complete(&waiting) {
                        waiting.push('\n');
                        continue;
                    }
                    let text = std::mem::take(&mut waiting);
                    if text.trim().is_empty() {
                        continue;
                    }
                    let _ = editor.add_history_entry(text.trim());
                    if let Err(failure) = self.run(&text) {
                        failure.show(false);
                    }
                    if let Some(helper) = editor.helper_mut() {
                        helper.0 = self.names();
                    }
                }
                Err(ReadlineError::Interrupted) => waiting.clear(),
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(failed(error).into()),
            }
        }
        if let Some(path) = &kept
            && let Err(error) = std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))
                .map_err(ReadlineError::from)
                .and_then(|()| editor.save_history(path))
        {
            note(&format!("what was typed could not be kept in '{}': {error}", path.display()));
        }
        Ok(())
    }

    /// Runs a `\` command; false to leave.
    fn command(&mut self, line: &str) -> Result<bool, Failure> {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim().trim_end_matches(';').trim_matches('`');
        match name {
            "\\q" => return Ok(false),
            "\\h" | "\\?" => say(HELP),
            "\\d" if rest.is_empty() => say(&self.tables()),
            "\\d" => {
                let tables = self.session.tables();
                let Some(table) = tables.iter().find(|t| t.table.name.eq_ignore_ascii_case(rest)) else {
                    self.errors += 1;
                    let error = Error::user(format!("there is no table '{rest}'"));
                    return Err(match Error::suggest(rest, tables.iter().map(|t| t.table.name.as_str())) {
                        Some(near) => error.hint(format!("did you mean '{near}'?")),
                        None => error.hint("\\d lists the tables"),
                    }
                    .into());
                };
                say(&describe(table));
            }
            _ => {
                self.errors += 1;
                return Err(Error::user(format!("unknown command {name}")).hint("\\h lists the commands").into());
            }
        }
        Ok(true)
    }

    fn run(&mut self, sql: &str) -> Result<(), Failure> {
        let statements = statements::count(sql);
        if statements == 0 {
            return Ok(());
        }
        self.statements += statements;
        let text = Text { name: "<shell>".into(), content: sql.to_string() };
        let done =
            self.session.run(sql).and_then(|outcomes| outcomes.into_iter().try_for_each(|o| self.outcome(o, &text)));
        done.map_err(|e| {
            self.errors += 1;
            text.failed(e)
        })
    }

    fn outcome(&mut self, outcome: Outcome, text: &Text) -> Result<()> {
        match outcome {
            Outcome::Created(name) => note(&format!("created {name}")),
            Outcome::Dropped(name) => note(&format!("dropped {name}")),
            Outcome::Set { key, value: Some(value) } => note(&format!("{key} = {value}")),
            Outcome::Set { key, value: None } => note(&format!("{key} is as before")),
            Outcome::Nothing => {}
            Outcome::Jobs(jobs) => {
                let (explained, run): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|j| j.explain);
                if !explained.is_empty() {
                    say(explain_script(&self.script(explained), &self.registry)?.trim_end());
                }
                if !run.is_empty() {
                    self.query(self.script(run), text)?;
                }
            }
        }
        Ok(())
    }

    fn script(&self, jobs: Vec<Job>) -> Script {
        Script {
            settings: self.session.settings().clone(),
            tables: self.session.tables().to_vec(),
            volatile: jobs.iter().any(|j| j.volatile),
            jobs,
        }
    }

    fn query(&self, script: Script, text: &Text) -> Result<()> {
        let mut options = self.how.options();
        self.how.complete(&mut options, &script);
        let summary = drive(&script, self.registry.clone(), &options)?;
        let printed = script.jobs.iter().all(|j| matches!(j.target, Target::Print));
        let told = summary_text(&summary);
        // The digest of what was only looked at is of no use.
        note(if printed { told.lines().next().unwrap_or_default() } else { &told });
        letters_hint(&summary, script.settings.get("dead-letters.path"));
        report_broken(&summary, Some(text));
        Ok(())
    }

    fn tables(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .session
            .tables()
            .iter()
            .map(|t| {
                let connector = t.table.options.get("connector").unwrap_or("").to_string();
                let kind = if t.bounded { "bounded" } else { "stream" };
                vec![t.table.name.clone(), connector, kind.to_string(), t.columns.len().to_string()]
            })
            .collect();
        if rows.is_empty() {
            "no tables yet".to_string()
        } else {
            columns(&["table", "connector", "kind", "columns"], &rows)
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names = self.session.names();
        names.extend(KEYWORDS.iter().map(|k| k.to_string()));
        names.extend(KNOWN_SETTINGS.iter().map(|k| k.key.to_string()));
        names.sort();
        names.dedup();
        names
    }
}

/// Columns, watermark and options of a table.
fn describe(def: &TableDef) -> String {
    let rows: Vec<Vec<String>> = def
        .columns
        .iter()
        .map(|c| {
            let from = match &c.kind {
                ColumnKind::Physical(_) => String::new(),
                ColumnKind::Computed(expr) => format!("AS {expr}"),
                ColumnKind::Metadata { key } => format!("METADATA '{key}'"),
            };
            let null = if c.nullable { "" } else { "NOT NULL" };
            vec![c.name.clone(), c.data_type.to_string(), null.to_string(), from]
        })
        .collect();
    let mut text = columns(&["column", "type", "null", "from"], &rows);
    if let Some(mark) = &def.watermark {
        text += &format!("\nwatermark for {}: {}", def.columns[mark.column].name, mark.expr);
    }
    for (key, value) in def.table.options.iter() {
        text += &format!("\n'{key}' = '{}'", if crate::report::is_secret(key) { "***" } else { value });
    }
    text
}

/// Where what was typed is kept between sessions.
fn history_file() -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".local/state"));
    let state = std::env::var_os("XDG_STATE_HOME").filter(|s| !s.is_empty()).map(PathBuf::from).or_else(home)?;
    Some(state.join("pelton/sql-history"))
}

/// Completes words.
struct Names(Vec<String>);

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let start = line[..at]
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.' || c == '-'))
            .map_or(0, |i| i + line[i..].chars().next().map_or(1, char::len_utf8));
        let word = line[start..at].to_lowercase();
        if word.is_empty() {
            return Ok((at, vec![]));
        }
        let fits = |name: &&String| name.to_lowercase().starts_with(&word);
        Ok((start, self.0.iter().filter(fits).cloned().collect()))
    }
}

impl Hinter for Names {
    type Hint = String;
}
impl Highlighter for Names {}
impl Validator for Names {}
impl Helper for Names {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_completed() {
        let names = Names(vec!["amount".into(), "AND".into(), "payments".into(), "pelton.float-sum".into()]);
        let history = DefaultHistory::new();
        let complete = |line: &str| names.complete(line, line.len(), &Context::new(&history)).unwrap();
        assert_eq!(complete("SELECT a"), (7, vec!["amount".to_string(), "AND".to_string()]));
        assert_eq!(complete("SET 'pelton.f"), (5, vec!["pelton.float-sum".to_string()]));
        assert_eq!(complete("SELECT é, pay"), (11, vec!["payments".to_string()]));
        assert_eq!(complete("SELECT "), (7, vec![]));
    }

    #[test]
    fn secrets_stay_secret() {
        assert!(
            crate::report::is_secret("sasl.password")
                && crate::report::is_secret("s3.access-key-id")
                && !crate::report::is_secret("path")
        );
    }
}
