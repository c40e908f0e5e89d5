//! Opening what a pipeline reads from and writes to, before anything is read: bad options and missing paths come first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use super::{History, Mode, Pipeline, or_unknown_option, source_name};
use crate::checkpoint::manifest::Manifest as Checkpoint;
use crate::checkpoint::resume::seek;
use crate::connector::{Options, Sink, Storage, Table};
use crate::error::{Error, Result};
use crate::expr::plan_error;
use crate::graph::Graph;
use crate::history::{HistoryKeeper, HistorySource, SoFar};
use crate::intake::Intake;
use crate::operators::LookupTable;
use crate::prune::skip_rule;
use crate::run::checkpoints::Resumed;
use crate::run::{Collect, End, OpenSource, run_graph};
use crate::sql::Target;

impl Pipeline<'_> {
    #[expect(clippy::type_complexity, reason = "what was opened, and where the histories' manifests are")]
    pub(super) fn open_sources(
        &self,
        graph: &Graph,
        histories: &BTreeMap<String, History>,
        tables: &mut BTreeMap<String, String>,
        manifest: Option<&Checkpoint>,
    ) -> Result<(Vec<OpenSource>, Vec<(usize, Arc<dyn Storage>, u32)>)> {
        let mut sources = vec![];
        let mut keepers = vec![];
        for (index, node) in graph.sources.iter().enumerate() {
            let from = manifest.and_then(|manifest| manifest.sources.get(&source_name(index, node)));
            let Some(def) = &node.table else {
                let mut source = OpenSource::constant(node.constant.clone());
                (source.readers, source.state) = seek("constant rows", source.readers, from)?;
                sources.push(source);
                continue;
            };
            let options = &def.table.options;
            for key in crate::sql::ENGINE_TABLE_OPTIONS {
                options.get(key);
            }
            let connector = self.registry.of(options)?;
            let path = self.history_path(def).filter(|_| matches!(self.mode, Mode::Live));
            let future = (matches!(self.mode, Mode::Live) && connector.follows_the_clock(options)).then(|| {
                let skew = self.script.settings.duration("pelton.max-future-skew").unwrap_or(Duration::from_secs(3600));
                skew.as_micros() as i64
            });
            // A letter shows the whole row, so that it can be read again by another text.
            let whole = path.is_some() || self.letters_path().is_some();
            // History keeps what no query needs, too.
            let skip = skip_rule(graph, index).filter(|_| path.is_none());
            let mut intake = Intake::new(node, def, self.batch_rows(), whole, future, skip)?;
            intake.request.latency_target = self.latency_target();
            let intake = Arc::new(intake);
            let mut source: Box<dyn crate::connector::Source> = match histories.get(&def.table.name) {
                Some(history) => {
                    let raw = intake.raw_schema();
                    let columns = Schema::new(raw.fields()[..intake.request.columns.len()].to_vec());
                    Box::new(HistorySource {
                        places: self.registry.places()?.clone(),
                        storage: history.storage.clone(),
                        run: history.run,
                        manifest: history.manifest.clone(),
                        columns: Arc::new(columns),
                        request: intake.request.clone(),
                        turns: graph.takes_turns(),
                    })
                }
                None if matches!(self.mode, Mode::Replay { .. }) && graph.takes_turns() => {
                    return Err(Error::user(format!(
                        "OVER took rows in the order of arrival, and {} keeps no history: nothing says when its rows came",
                        def.table.name
                    ))
                    .at(def.span)
                    .hint("add 'history.path' = '...' to its WITH (...)"));
                }
                None if matches!(self.mode, Mode::Replay { .. })
                    && histories.values().any(|h| h.manifest.ended != "end-of-input") =>
                {
                    return Err(Error::user(format!(
                        "the last run was stopped, and {} keeps no history: nothing says how far it was read",
                        def.table.name
                    ))
                    .at(def.span)
                    .hint("add 'history.path' = '...' to its WITH (...)"));
                }
                None if matches!(self.mode, Mode::Replay { .. }) && !def.bounded => {
                    return Err(Error::user(format!(
                        "{} is not bounded and keeps no history: it cannot be replayed",
                        def.table.name
                    ))
                    .at(def.span)
                    .hint("add 'history.path' = '...' to its WITH (...)"));
                }
                None => connector
                    .source(&def.table, &intake.request)
                    .map_err(|e| or_unknown_option(e, options).at(def.span))?,
            };
            if def.bounded
                && self.keeps_history()
                && !histories.contains_key(&def.table.name)
                && self.history_path(def).is_none()
                && let Some(fingerprint) = source.fingerprint()
            {
                tables.insert(def.table.name.clone(), fingerprint);
            }
            let history: Option<Box<dyn crate::run::HistorySink>> = match path {
                None => None,
                Some(path) => {
                    let interval = options.duration("history.commit-interval", Duration::from_secs(10))?;
                    let retention = options.duration("history.retention", Duration::ZERO)?;
                    let places = self.registry.places()?.clone();
                    let retention = (!retention.is_zero()).then_some(retention);
                    let raw = intake.raw_schema();
                    let raw = (&raw, graph.takes_turns());
                    let token = manifest.and_then(|m| Some((m, m.histories.get(&source_name(index, node))?)));
                    let keeper = match token {
                        Some((manifest, token)) => {
                            let at = &manifest.sources[&source_name(index, node)];
                            let so_far =
                                SoFar::new(at, &manifest.sinks, &self.prefix(), manifest.ended, &manifest.models);
                            HistoryKeeper::resume(places, path, raw, retention, (manifest.epoch, token), &so_far)
                        }
                        None => HistoryKeeper::start(
                            places,
                            path,
                            &def.table.name,
                            &self.fingerprint(),
                            raw,
                            interval,
                            retention,
                        ),
                    };
                    let mut keeper = keeper.map_err(|e| e.at(options.span("history.path")))?;
                    if self.checkpoint_dir().is_some() {
                        keeper = keeper.with_checkpoints(&self.prefix());
                    }
                    let (storage, run) = keeper.location();
                    keepers.push((index, storage, run));
                    Some(Box::new(keeper))
                }
            };
            let live = matches!(self.mode, Mode::Live);
            let rate = options.get("rows-per-second").filter(|_| live);
            let rate = match rate {
                None => None,
                Some(text) => match text.trim().parse::<f64>() {
                    Ok(rate) if rate > 0.0 => Some(rate),
                    _ => return Err(options.bad("rows-per-second", "a number above 0")),
                },
            };
            let floors = histories.get(&def.table.name).map_or(vec![], |history| {
                let mut floors = vec![vec![]; history.manifest.partitions.len()];
                for p in &history.manifest.partitions {
                    let at = p.partition as usize;
                    floors.resize(floors.len().max(at + 1), vec![]);
                    floors[at] = p.floors.clone();
                }
                for (at, floors) in floors.iter_mut().enumerate() {
                    floors.splice(0..0, history.manifest.mark_after_expired(at as u32));
                }
                floors
            });
            let idle = options.duration("scan.watermark.idle-timeout", Duration::from_secs(30))?;
            let idle = (!def.bounded && live && !idle.is_zero()).then_some(idle);
            if let Some(token) = from.and_then(|from| from.token.as_deref()) {
                source.restore(token).map_err(|e| e.at(def.span))?;
            }
            let readers = source.partitions().map_err(|e| e.at(def.span))?;
            let (readers, state) = seek(&def.table.name, readers, from).map_err(|e| e.at(def.span))?;
            sources.push(OpenSource {
                is_endless: live && !def.bounded,
                source: Some(source),
                readers,
                state,
                intake: Some(intake),
                history,
                rate,
                idle,
                floors,
                end: match histories.get(&def.table.name) {
                    Some(history) if history.manifest.ended != "end-of-input" => {
                        End::Stopped(history.manifest.watermark)
                    }
                    _ => End::Input,
                },
            });
        }
        Ok((sources, keepers))
    }

    pub(super) fn open_sinks(&self, graph: &Graph) -> Result<Vec<Box<dyn Sink>>> {
        let mut sinks: Vec<Box<dyn Sink>> = vec![];
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for sink in &graph.sinks {
            *seen.entry(sink.name.clone()).or_default() += 1;
            sinks.push(match (&sink.target, &self.mode) {
                (_, Mode::Replay { into: None }) => Box::new(Nowhere),
                (_, Mode::Replay { into: Some(into) }) => {
                    let path = into.join(format!("{}.parquet", sink.name));
                    let mut options = Options::new(format!("replay of {}", sink.name), []);
                    options.set("connector", "filesystem");
                    options.set("path", path.to_string_lossy());
                    options.set("sink.mode", if self.options.overwrite { "overwrite" } else { "error" });
                    let connector = self.registry.of(&options)?.clone();
                    connector.sink(&Table {
                        name: sink.name.clone(),
                        schema: sink.schema.clone(),
                        options,
                        primary_key: vec![],
                    })?
                }
                (Some(Target::Table(def)), Mode::Live) => {
                    let options = &def.table.options;
                    for key in crate::sql::ENGINE_TABLE_OPTIONS {
                        options.get(key);
                    }
                    let connector = self.registry.of(options)?;
                    let opened = match self.checkpoint_dir() {
                        Some(_) => connector.epoch_sink(&def.table),
                        None => connector.sink(&def.table),
                    };
                    opened.map_err(|e| or_unknown_option(e, options).at(def.span))?
                }
                (_, Mode::Live) => match &self.options.print {
                    Some(print) => print(&sink.name, &sink.schema),
                    None => Box::new(Nowhere),
                },
            });
        }
        if let Some((name, _)) = seen.iter().find(|(_, n)| **n > 1) {
            let place = graph.sinks.iter().rfind(|s| s.name == *name).and_then(|s| match &s.target {
                Some(Target::Table(def)) => Some(def.span),
                _ => None,
            });
            return Err(Error::user(format!("two INSERTs write into {name}"))
                .at(place.unwrap_or_default())
                .hint("use one INSERT with UNION ALL"));
        }
        Ok(sinks)
    }

    /// Loads the tables that streams are joined with.
    pub(super) fn load(&self, graph: &Graph, tables: &mut BTreeMap<String, String>) -> Result<()> {
        for load in &graph.loads {
            self.load(&load.graph, tables)?;
            let mut sources = vec![];
            for (index, node) in load.graph.sources.iter().enumerate() {
                let Some(def) = &node.table else {
                    sources.push(OpenSource::constant(node.constant.clone()));
                    continue;
                };
                let intake = Arc::new(Intake::new(node, def, 65_536, false, None, skip_rule(&load.graph, index))?);
                let mut source = self
                    .registry
                    .of(&def.table.options)?
                    .source(&def.table, &intake.request)
                    .map_err(|e| e.at(def.span))?;
                if self.keeps_history()
                    && let Some(fingerprint) = source.fingerprint()
                {
                    tables.insert(def.table.name.clone(), fingerprint);
                }
                let readers = source.partitions().map_err(|e| e.at(def.span))?;
                let (readers, state) = seek(&def.table.name, readers, None)?;
                sources.push(OpenSource { readers, state, intake: Some(intake), ..Default::default() });
            }
            let rows = Collect::default();
            let mut execution = self.execution();
            execution.threads = 1;
            execution.counters = Arc::default();
            let outcome =
                run_graph(&load.graph, sources, vec![Box::new(rows.clone())], None, &execution, Resumed::default())?;
            if let Some(error) = outcome.broken.into_iter().next() {
                return Err(error.during("loading a table for a join"));
            }
            let batches: Vec<RecordBatch> = std::mem::take(&mut *rows.0.lock().expect("no panic holds this lock"));
            let all = arrow::compute::concat_batches(&load.graph.sinks[0].schema, &batches)
                .map_err(crate::batch::internal)?;
            let keys = load
                .keys
                .iter()
                .map(|k| k.evaluate(&all).and_then(|v| v.into_array(all.num_rows())).map_err(plan_error))
                .collect::<Result<Vec<_>>>()?;
            let table = LookupTable::build(all, keys)?;
            if load.slot.set(table).is_err() {
                unreachable!("a table is loaded once");
            }
        }
        Ok(())
    }
}

/// Takes rows and forgets them; their digest is what counts.
struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, _batch: &RecordBatch) -> Result<()> {
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    fn abort(&mut self) {}
}
