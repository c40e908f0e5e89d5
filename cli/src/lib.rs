//! The `pelton` command, as a library: its binary and Python's wheel have the same. Translates a command line into calls of the engine, and what comes back into words.
//!
//! Comes in: arguments, SQL files, signals. Goes out: tables, progress, errors that point at the text, exit codes
//! (DESIGN 13). Stays outside: everything that decides an answer (`engine`, `kernels`), connectors and files of data (`io`).

mod bench;
mod checkpoints;
mod dead_letters;
mod doctor;
mod explain_check;
mod history;
mod mem;
mod print;
mod progress;
mod replay_verify;
pub mod report;
mod reprocess;
mod run;
mod shell;
mod signals;
mod statements;
pub mod sys;
pub mod text;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use clap::{Parser, Subcommand};
use serde_json::json;

/// Streaming SQL over micro-batches, with one answer: live, replayed, on any number of threads.
#[derive(Parser, Debug)]
#[command(name = "pelton", version, max_term_width = 110, disable_help_subcommand = true)]
struct Cli {
    /// Print one JSON object as the last line of stdout.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run a pipeline; bare SELECTs print. Ctrl-C drains, commits and ends with exit code 0.
    Run(run::RunArgs),
    /// Run a pipeline over its own history, as fast as the machine can.
    Replay(replay_verify::ReplayArgs),
    /// Replay what the last run saw and compare the digests. Exit code 1 if anything differs.
    Verify(replay_verify::VerifyArgs),
    /// Show how a pipeline would run.
    Explain(explain_check::ExplainArgs),
    /// Read and plan a pipeline without running it.
    Check(explain_check::PlanArgs),
    /// A shell for SQL, with history and completion.
    Sql(shell::ShellArgs),
    /// Look at the history that sources keep.
    #[command(subcommand)]
    History(history::HistoryCommand),
    /// Look at what a pipeline can go on from; keep and remove it.
    #[command(subcommand)]
    Checkpoints(checkpoints::CheckpointsCommand),
    /// Look at what was refused, and run it again.
    #[command(subcommand)]
    DeadLetters(dead_letters::LettersCommand),
    /// Show what stages can run on.
    Devices,
    /// Show what this machine has, what is missing, and why it matters.
    Doctor,
    /// Take part in ./x bench as one of the engines.
    Bench(bench::BenchArgs),
}

/// Runs the command with these arguments, its own name first. Answers the exit code (DESIGN 13).
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Also prints what --help and --version ask for, with exit code 0.
            let _ = error.print();
            if error.use_stderr() && arguments.iter().any(|a| a == "--json") {
                let message = error.render().to_string();
                let message =
                    message.trim().trim_start_matches("error: ").lines().next().unwrap_or_default().to_string();
                report::say_json(&json!({ "error": {
                    "message": message, "line": null, "column": null, "hint": null, "exit_code": error.exit_code(),
                }}));
            }
            return error.exit_code() as u8;
        }
    };
    let json = cli.json;
    match catch_unwind(AssertUnwindSafe(|| dispatch(&cli.command, json))) {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => failure.show(json),
        Err(_) => {
            // The panic has said where.
            report::note("error: this is a bug in Pelton; nothing that was not yet committed was kept");
            if json {
                report::say_json(&json!({ "error": {
                    "message": "internal error", "line": null, "column": null, "hint": "this is a bug in Pelton", "exit_code": 1,
                }}));
            }
            1
        }
    }
}

fn dispatch(command: &Command, json: bool) -> report::Answer {
    match command {
        Command::Run(args) => run::run(args, json),
        Command::Replay(args) => replay_verify::replay(args, json),
        Command::Verify(args) => replay_verify::verify(args, json),
        Command::Explain(args) => explain_check::explain(args, json),
        Command::Check(args) => explain_check::check(args, json),
        Command::Sql(args) => shell::shell(args, json),
        Command::History(command) => history::history(command, json),
        Command::Checkpoints(command) => checkpoints::checkpoints(command, json),
        Command::DeadLetters(command) => dead_letters::dead_letters(command, json),
        Command::Devices => doctor::devices(json),
        Command::Doctor => doctor::doctor(json),
        Command::Bench(args) => bench::bench(args, json),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn json_is_known_everywhere() {
        for line in ["pelton run --json x.sql", "pelton --json doctor", "pelton history ls h --json"] {
            assert!(Cli::try_parse_from(line.split(' ')).unwrap().json, "{line}");
        }
    }
}
