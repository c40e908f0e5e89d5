//! Opening the checkpoints of a pipeline, and bringing a graph to where the one that is chosen left it.

use std::collections::BTreeMap;

use super::manifest::{Manifest, Position, SourceState, StepState};
use super::piece::SavedStep;
use super::recover::{FoundManifest, recover};
use super::store::Store;
use crate::batch::MARK_MIN;
use crate::connector::{Committed, PartitionReader};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::lineage::Lineage;

/// What a run goes on with, read from storage.
#[derive(Default)]
pub struct Chosen {
    /// The checkpoint; `None` if the run begins at the beginning.
    pub manifest: Option<Manifest>,
    /// What its steps held.
    pub steps: Vec<(StepState, SavedStep)>,
    /// Epochs whose manifests are to go before the run begins.
    pub drop: Vec<u64>,
    /// What a person should hear.
    pub warnings: Vec<String>,
}

/// Which checkpoint to go on from, and what it holds. A checkpoint whose state is damaged is as good as none. `wanted` names a
/// savepoint or an epoch to go on from instead of the newest.
pub fn choose(store: &mut Store, sinks: &[(String, Committed)], wanted: Option<&str>) -> Result<Chosen> {
    let mut found = store.find()?;
    if let Some(name) = wanted {
        return named(store, &found, sinks, name);
    }
    loop {
        let recovery = recover(&found, sinks)?;
        let of = |f: &FoundManifest| match f {
            FoundManifest::Whole(manifest) if Some(manifest.epoch) == recovery.from => Some(manifest.clone()),
            _ => None,
        };
        let Some(manifest) = found.iter().find_map(of) else {
            return Ok(Chosen { drop: recovery.drop, warnings: recovery.warnings, ..Default::default() });
        };
        match store.read(&manifest) {
            Ok(steps) => {
                let (drop, warnings) = (recovery.drop, recovery.warnings);
                return Ok(Chosen { manifest: Some(manifest), steps, drop, warnings });
            }
            Err(error) => {
                let broken = FoundManifest::Broken(manifest.epoch, error.to_string());
                found.retain(|f| f.epoch() != manifest.epoch);
                found.push(broken);
            }
        }
    }
}

/// The savepoint or the epoch of this name, if all sinks can go on from it.
fn named(store: &mut Store, found: &[FoundManifest], sinks: &[(String, Committed)], name: &str) -> Result<Chosen> {
    let epoch = name.parse::<u64>().ok();
    let of_epoch = |f: &FoundManifest| match f {
        FoundManifest::Whole(manifest) if Some(manifest.epoch) == epoch => Some(manifest.clone()),
        _ => None,
    };
    let manifest = match found.iter().find_map(of_epoch) {
        Some(manifest) => Some(manifest),
        None => store.savepoint(name)?,
    };
    let manifest = manifest.ok_or_else(|| {
        Error::user(format!("there is no checkpoint or savepoint '{name}'"))
            .hint("`pelton checkpoints ls` names those that there are")
    })?;
    let steps = store.read(&manifest)?;
    let later = found.iter().map(FoundManifest::epoch).filter(|epoch| *epoch > manifest.epoch).collect();
    // Sinks with transactions have the rows of later epochs already: only who asks for it gets them again.
    let mut warnings = vec![format!("going on from checkpoint {} as asked", manifest.epoch)];
    let has_more = |committed: &Committed| matches!(committed, Committed::Until(epoch) if *epoch > manifest.epoch);
    for (sink, _) in sinks.iter().filter(|(_, committed)| has_more(committed)) {
        warnings.push(format!("{sink} has rows of later epochs: it is given them again"));
    }
    Ok(Chosen { manifest: Some(manifest), steps, drop: later, warnings })
}

/// Gives the steps of a graph the state that steps with the same schema have left. Answers the watermarks of their output.
///
/// State that no step takes is an error that names it, unless it may be `dropped`.
pub fn load_steps(graph: &Graph, saved: Vec<(StepState, SavedStep)>, dropped: bool) -> Result<BTreeMap<usize, i64>> {
    let mut open: Vec<(usize, String)> = vec![];
    for (index, (node, input)) in graph.nodes.iter().zip(Lineage::of_inputs(graph)).enumerate() {
        open.extend(node.operator.state_schema(&input).map(|schema| (index, schema)));
    }
    let (mut marks, mut left) = (BTreeMap::new(), vec![]);
    for (state, step) in saved {
        match open.iter().position(|(_, schema)| *schema == state.schema) {
            Some(at) => {
                let (index, _) = open.remove(at);
                graph.nodes[index].operator.load(step).map_err(|e| e.during("loading the state of a checkpoint"))?;
                marks.insert(index, state.mark);
            }
            None => left.push(state.schema),
        }
    }
    match left.first() {
        Some(schema) if !dropped => Err(no_taker(schema, &open)),
        _ => Ok(marks),
    }
}

/// The error for state that no step takes.
fn no_taker(schema: &str, open: &[(usize, String)]) -> Error {
    let (what, how) = schema.split_once('\n').unwrap_or((schema, ""));
    let now = open.iter().find_map(|(_, other)| other.split_once('\n').filter(|(name, _)| *name == what));
    let text = match now {
        Some((_, now)) => format!("the state of {what} was kept as {how}, and the query now wants {now}"),
        None => format!("the checkpoint has state of {what} ({how}), and no step of the query takes it"),
    };
    Error::user(text).hint(
        "run the query as it was, or go on without this state by --allow-dropped-state, or begin anew with another \
         'pelton.checkpoint.dir'",
    )
}

/// The readers of a source, where the checkpoint has left them: those it knows in its order, new ones behind them.
///
/// Answers them with where they stand.
pub fn seek(
    table: &str,
    readers: Vec<Box<dyn PartitionReader>>,
    from: Option<&SourceState>,
) -> Result<(Vec<Box<dyn PartitionReader>>, SourceState)> {
    let mut readers: Vec<Option<Box<dyn PartitionReader>>> = readers.into_iter().map(Some).collect();
    let mut state = SourceState { mark: from.map_or(MARK_MIN, |from| from.mark), ..Default::default() };
    let mut placed = vec![];
    for (number, at) in from.iter().flat_map(|from| &from.partitions).enumerate() {
        let place = match &at.name {
            Some(name) => readers.iter().position(|r| r.as_ref().is_some_and(|r| r.name().as_ref() == Some(name))),
            None => Some(number),
        };
        let mut reader = place.and_then(|place| readers.get_mut(place)?.take()).ok_or_else(|| {
            let name = at.name.clone().unwrap_or_else(|| format!("partition {number}"));
            Error::world(format!("{table}: {name} was read before, and is gone"))
        })?;
        reader.seek(at.offset).map_err(|e| e.during(format!("reading {table} on from the checkpoint")))?;
        placed.push(reader);
        state.partitions.push(at.clone());
    }
    for mut reader in readers.into_iter().flatten() {
        let position = Position { name: reader.name(), offset: reader.start()?, mark: MARK_MIN, floors: vec![] };
        placed.push(reader);
        state.partitions.push(position);
    }
    Ok((placed, state))
}
