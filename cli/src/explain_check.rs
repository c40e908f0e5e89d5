//! `pelton explain` and `pelton check`: what would run, without running it.

use pelton_engine::pipeline::{check_script, explain_placement, explain_script, places_text};
use serde_json::json;

use crate::report::{Answer, say, say_json};
use crate::statements;
use crate::text::{HowArgs, TextArgs};

/// Arguments of both.
#[derive(clap::Args, Debug)]
pub struct PlanArgs {
    #[command(flatten)]
    text: TextArgs,
    #[command(flatten)]
    how: HowArgs,
}

/// Arguments of `pelton explain`.
#[derive(clap::Args, Debug)]
pub struct ExplainArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// For every step the device that it runs on, why, and what batches take there; looks for a GPU and measures it.
    #[arg(long)]
    placement: bool,
}

/// Prints the plan of a pipeline, or where its steps run.
pub fn explain(args: &ExplainArgs, json: bool) -> Answer {
    let PlanArgs { text, how } = &args.plan;
    let text = text.load()?;
    let registry = pelton_io::registry();
    let script = text.script(&registry, &how.options())?;
    if args.placement {
        let places = explain_placement(&script, &registry).map_err(|e| text.failed(e))?;
        if json {
            say_json(&json!({ "placement": places, "queries": script.jobs.len() }));
        } else {
            say(places_text(&places).trim_end());
        }
        return Ok(0);
    }
    let plan = explain_script(&script, &registry).map_err(|e| text.failed(e))?;
    if json {
        say_json(&json!({ "plan": plan, "queries": script.jobs.len() }));
    } else {
        say(plan.trim_end());
    }
    Ok(0)
}

/// Reads and plans a pipeline. Nothing is opened but what must be looked at to know a table's columns.
pub fn check(args: &PlanArgs, json: bool) -> Answer {
    let text = args.text.load()?;
    let registry = pelton_io::registry();
    let script = text.script(&registry, &args.how.options())?;
    check_script(&script, &registry).map_err(|e| text.failed(e))?;
    let (statements, queries) = (statements::count(&text.content), script.jobs.len());
    if json {
        say_json(&json!({ "ok": true, "statements": statements, "queries": queries, "tables": script.tables.len() }));
    } else {
        let many = |n: usize, one: &str, more: &str| format!("{n} {}", if n == 1 { one } else { more });
        say(&format!("ok: {}, {}", many(statements, "statement", "statements"), many(queries, "query", "queries")));
    }
    Ok(0)
}
