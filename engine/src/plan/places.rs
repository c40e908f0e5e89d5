//! `EXPLAIN PLACEMENT`: for every step of a plan where it runs and why, and what its batches take there.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt;

use pelton_kernels::costs::ProcessorProfile;
use pelton_kernels::program::Program;
use serde::Serialize;

use super::models::{ModelPlace, models};
use super::placement::Found;
use super::share::{Family, families};
use super::steps::{RowWindows, Stage, Step};
use super::{Planner, TimeRange, planned};
use crate::connector::Registry;
use crate::error::Result;
use crate::expr::Compiled;
use crate::graph::Input;
use crate::operators::{Operator, SelectStep};
use crate::placement::{Calibration, Candidate, Gpu, StagePlacement, StageReport};
use crate::sql::{Job, Script};

/// Where a step runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Place {
    /// A `GROUP BY`, which devices may take.
    Stage(StageReport),
    /// A call of a model in the step before.
    Model(ModelPlace),
    /// Anything else.
    Step {
        /// What it does.
        step: String,
        /// Always the processor.
        device: &'static str,
        /// Why.
        reason: &'static str,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Stage(report) => report.fmt(f),
            Place::Model(place) => place.fmt(f),
            Place::Step { step, device, reason } => writeln!(f, "{step}\n  on {device}: {reason}"),
        }
    }
}

/// Where the steps of these jobs run, in the order of the rows' way.
pub fn places(jobs: &[&Job], script: &Script, registry: &Registry) -> Result<Vec<Place>> {
    planned(jobs, script, registry, 2, TimeRange::default())?.places()
}

impl Planner<'_> {
    fn places(&self) -> Result<Vec<Place>> {
        let families = families(&self.steps)?;
        let costs = match self.registry.machine() {
            Some(machine) => Calibration::processor(machine.as_ref()),
            None => ProcessorProfile::default(),
        };
        let gpu = OnceCell::new();
        let stage = |windows: &str, program: &Program, columns: &[Compiled]| {
            let found = gpu.get_or_init(|| self.placement.candidate(self.registry));
            self.stage(windows, program, columns, &costs, found)
        };
        let mut told: BTreeSet<usize> = BTreeSet::new();
        let mut scored: BTreeSet<String> = BTreeSet::new();
        let mut places = vec![];
        for at in self.used(&families) {
            let family = families.iter().position(|family| family.member(at).is_some());
            if family.is_some_and(|family| !told.insert(family)) {
                continue;
            }
            let step = |step: String, reason| Place::Step { step: plain(&step), device: "cpu", reason };
            const NO_PATH: &str = "devices fold groups, with a filter right before a GROUP BY, and score with models; other expressions, joins and sorting are the CPU's";
            places.push(match (family.map(|family| &families[family]), &self.steps[at].step) {
                (Some(family), _) => {
                    let windows: Vec<&str> = family.views.iter().map(|view| view.text.as_str()).collect();
                    let columns = family.reads.columns.as_deref().unwrap_or_default();
                    stage(&windows.join(" and "), &family.program, columns)
                }
                (None, Step::Aggregate(Stage { rows: RowWindows::Assigned(_), text, program, columns, .. })) => {
                    stage(text, program, columns)
                }
                (None, Step::Aggregate(stage)) => {
                    let calls = calls(&stage.program, &stage.columns).join(", ");
                    step(format!("{} {calls}", stage.text), "sessions grow and merge by the row, on the CPU")
                }
                (None, Step::Select(select)) => step(SelectStep(select.clone()).describe(), NO_PATH),
                (None, Step::Over(over)) => {
                    let text = over.stage.text(&|at| column(&over.columns, at));
                    step(format!("Over {text}"), "rows are kept and answered by key, on the CPU")
                }
                (None, Step::Learn(stage)) => {
                    let text = stage.text(&|at| stage.input.field(at).name().clone());
                    step(format!("Learn {text}"), "rows teach and are answered one by one, on the CPU")
                }
                (None, Step::Expand(expand)) => step(expand.describe(), NO_PATH),
                (None, Step::Join(join)) => step(join.describe(), NO_PATH),
                (None, Step::Sort { keys, fetch, .. }) => {
                    let keys: Vec<String> = keys.iter().map(|(key, _)| key.to_string()).collect();
                    let limit = fetch.map(|rows| format!(" limit {rows}")).unwrap_or_default();
                    step(format!("Sort [{}]{limit}", keys.join(", ")), NO_PATH)
                }
            });
            // Behind the first step that has it, each call once.
            let calls = models(&self.steps[at].step).into_iter().filter(|call| scored.insert(call.name.clone()));
            places.extend(calls.map(|call| Place::Model(self.placement.model(&call, self.registry))));
        }
        Ok(places)
    }

    /// The steps whose rows go to a sink, without those that a family looks through.
    fn used(&self, families: &[Family]) -> BTreeSet<usize> {
        let mut used = BTreeSet::new();
        let mut next: Vec<Input> = self.sinks.iter().flat_map(|sink| sink.inputs.clone()).collect();
        while let Some(input) = next.pop() {
            if let Input::Node(n) = input
                && used.insert(n)
            {
                let family = families.iter().find(|family| family.member(n).is_some());
                next.extend(family.map_or(&self.steps[n].inputs, |family| &family.inputs));
            }
        }
        used
    }

    fn stage(
        &self,
        windows: &str,
        program: &Program,
        columns: &[Compiled],
        costs: &ProcessorProfile,
        gpu: &Found,
    ) -> Place {
        let calls = calls(program, columns);
        let keys: Vec<String> = program.keys.iter().map(|(at, _)| column(columns, *at)).collect();
        let text = format!("{windows} keys [{}] aggregates [{}]", keys.join(", "), calls.join(", "));
        let candidate = match gpu {
            Ok((device, profile)) => {
                let stops = device.stops(program).into_iter();
                let stops = stops.map(|stop| format!("{}: {}", calls[stop.aggregate], stop.reason)).collect();
                Candidate::Gpu(Gpu { name: device.name(), profile: *profile, stops })
            }
            Err(why) => Candidate::None(why.clone()),
        };
        let placement = StagePlacement::new(plain(&text), program, self.placement.mode(), costs, candidate);
        if let (Ok(_), Some(why)) = (gpu, self.placement.holds()) {
            placement.hold(why);
        }
        Place::Stage(placement.report())
    }
}

/// The aggregates of a program over these columns, as a query would write them.
fn calls(program: &Program, columns: &[Compiled]) -> Vec<String> {
    let call = |call: &pelton_kernels::program::AggregateCall| {
        // Behind the columns are those of a total order, which nobody has written.
        let args: Vec<String> =
            call.args.iter().filter(|at| **at < columns.len()).map(|at| column(columns, *at)).collect();
        let args = if args.is_empty() { "*".to_string() } else { args.join(", ") };
        let distinct = if call.spec.distinct { "DISTINCT " } else { "" };
        let filter = call.filter.map(|at| format!(" FILTER (WHERE {})", column(columns, at))).unwrap_or_default();
        format!("{}({distinct}{args}){filter}", call.spec.kind)
    };
    program.aggregates.iter().map(call).map(|text| plain(&text)).collect()
}

fn column(columns: &[Compiled], at: usize) -> String {
    columns[at].to_string()
}

/// Without the places of columns (`amount@3`), and with intervals as SQL has them.
fn plain(text: &str) -> String {
    let text = crate::sql::interval::readable(text);
    let mut pieces = text.split('@');
    let first = pieces.next().unwrap_or_default().to_string();
    pieces.fold(first, |text, piece| {
        let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit());
        text + if rest.len() < piece.len() { "" } else { "@" } + rest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_no_numbers() {
        assert_eq!(plain("SUM(CASE WHEN a@0 > 1 THEN b@12 END)"), "SUM(CASE WHEN a > 1 THEN b END)");
        assert_eq!(plain("x = 'me@home'"), "x = 'me@home'");
    }
}
