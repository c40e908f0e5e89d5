//! A pipeline with checkpoints: what a run goes on with, and what there is to say of one that had ended.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Pipeline, Ran, Summary, source_name};
use crate::checkpoint::manifest::Manifest as Checkpoint;
use crate::checkpoint::resume::{Chosen, choose, load_steps};
use crate::checkpoint::store::{RETAINED, Store};
use crate::connector::{Committed, DeadLetterStore, Sink};
use crate::error::Result;
use crate::graph::Graph;
use crate::run::checkpoints::{Checkpoints, Cuts, Resumed, Trigger};

impl Pipeline<'_> {
    /// Opens the checkpoints and the sinks, and decides what to go on with; gives the steps their state. Changes nothing outside.
    pub(super) fn checkpoints(&self, graph: &Graph) -> Result<Option<GoingOn>> {
        let Some(dir) = self.checkpoint_dir() else { return Ok(None) };
        let retained = self.script.settings.number("pelton.checkpoint.retained").map_or(RETAINED, |n| n as usize);
        let mut store = Store::new(self.registry.places()?.storage(dir)?, retained);
        let lock = store.lock(dir)?;
        let pipeline = store.identity(fresh_identity)?;
        let mut sinks = self.open_sinks(graph)?;
        let names = graph.sinks.iter().map(|sink| sink.name.clone());
        let committed = names
            .zip(&mut sinks)
            .map(|(name, sink)| Ok((name, sink.committed(&pipeline)?)))
            .collect::<Result<Vec<_>>>()?;
        let mut chosen = choose(&mut store, &committed, self.options.restore.as_deref())?;
        if let (Some(notice), warnings) = (&self.options.notice, &chosen.warnings) {
            warnings.iter().for_each(|warning| notice(warning));
        }
        let marks = load_steps(graph, std::mem::take(&mut chosen.steps), self.options.allow_dropped_state)?;
        let first = committed.iter().map(|(_, committed)| matches!(committed, Committed::Until(_))).collect();
        Ok(Some(GoingOn { store, lock, pipeline, sinks, chosen, marks, first }))
    }

    /// Brings everything outside to where the checkpoint left it. `Err` holds what there is to say of a run that had ended.
    #[expect(clippy::type_complexity, reason = "what a run is given, or what there is left to say")]
    pub(super) fn go_on(
        &self,
        graph: &Graph,
        going_on: GoingOn,
        mut sinks: Vec<Box<dyn Sink>>,
        mut letters: Option<Box<dyn DeadLetterStore>>,
    ) -> Result<Result<(Vec<Box<dyn Sink>>, Option<Box<dyn DeadLetterStore>>, Resumed), Ran>> {
        let GoingOn { store, lock, pipeline, chosen, marks, first, .. } = going_on;
        store.drop_manifests(&chosen.drop)?;
        let manifest = chosen.manifest.unwrap_or_default();
        let at = |token: Option<String>| token.filter(|_| manifest.epoch > 0).map(|token| (manifest.epoch, token));
        for (node, sink) in graph.sinks.iter().zip(&mut sinks) {
            let from = at(manifest.sinks.get(&node.name).map(|sink| sink.token.clone()));
            sink.restore(from.as_ref().map(|(epoch, token)| (*epoch, token.as_str())))?;
        }
        if let Some(letters) = &mut letters {
            let from = at(manifest.letters.clone());
            letters.restore(&pipeline, from.as_ref().map(|(epoch, token)| (*epoch, token.as_str())))?;
        }
        if manifest.ended {
            return Ok(Err(self.had_ended(&manifest)));
        }
        let settings = &self.script.settings;
        let interval = settings.duration("pelton.checkpoint.interval").unwrap_or(Duration::from_secs(10));
        let pause_min = settings.duration("pelton.checkpoint.min-pause").unwrap_or_default();
        let checkpoints = Checkpoints {
            store,
            lock,
            tries: if self.options.checkpoint_batches.is_some() { 1 } else { TRIES },
            trigger: match self.options.checkpoint_batches {
                Some(batches) => Trigger::Batches(batches),
                None => Trigger::Every { interval, pause_min },
            },
            cuts: Cuts {
                pipeline,
                epoch: manifest.epoch,
                sources: graph.sources.iter().enumerate().map(|(i, node)| source_name(i, node)).collect(),
                first,
            },
        };
        let resumed = Resumed { checkpoints: Some(checkpoints), sinks: manifest.sinks, marks, counts: manifest.counts };
        Ok(Ok((sinks, letters, resumed)))
    }

    /// What there is to say of a pipeline whose input had ended.
    pub(super) fn had_ended(&self, manifest: &Checkpoint) -> Ran {
        if let Some(notice) = &self.options.notice {
            notice("the input of this pipeline has ended, and all its results are there: nothing is left to do");
        }
        let prefix = self.prefix();
        let digests = manifest.sinks.iter().map(|(name, sink)| (name.clone(), format!("{prefix}{}", sink.digest)));
        let summary = Summary {
            rows_in: manifest.counts.rows_in,
            rows_out: manifest.counts.rows_out,
            late: manifest.counts.late,
            dead_letters: manifest.counts.letters,
            batches: manifest.counts.batches,
            digests: digests.collect(),
            ended: true,
            ..Default::default()
        };
        Ran { summary, ..Default::default() }
    }
}

/// How often the writing of a checkpoint is tried.
const TRIES: u32 = 6;

/// The checkpoints of a pipeline, and what its run goes on with.
pub(super) struct GoingOn {
    pub(super) store: Store,
    pub(super) lock: Box<dyn Send>,
    pub(super) pipeline: String,
    pub(super) sinks: Vec<Box<dyn Sink>>,
    pub(super) chosen: Chosen,
    pub(super) marks: BTreeMap<usize, i64>,
    pub(super) first: Vec<bool>,
}

/// A name that no other pipeline has.
fn fresh_identity() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seed = format!("{} {}", std::process::id(), now.as_nanos());
    format!("pelton-{:016x}", pelton_kernels::digest::hash_text(&seed) as u64)
}
