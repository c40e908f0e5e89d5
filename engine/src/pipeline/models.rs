//! Models whose file is read again: what a run begins with, and who looks at the files while it runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::Expr;

use super::resume::GoingOn;
use super::{History, Mode, Pipeline};
use crate::error::{Error, Result};
use crate::run::Notice;
use crate::sql::{ModelDef, Reload};
use crate::versions::{Claim, Version, Versions};

/// How often a watcher looks whether its run has ended.
const NAP: Duration = Duration::from_millis(20);

/// A model of a run.
pub(super) struct Reloaded(Arc<ModelDef>);

impl Reloaded {
    fn reload(&self) -> &Reload {
        self.0.reload.as_ref().expect("only such models are here")
    }

    /// Its name and its versions.
    pub(super) fn versions(&self) -> (String, Arc<Versions>) {
        (self.0.name.clone(), self.reload().versions.clone())
    }
}

impl Pipeline<'_> {
    /// The models of all queries whose file is read again.
    pub(super) fn reloaded(&self) -> Result<Vec<Reloaded>> {
        let mut found: BTreeMap<String, Arc<ModelDef>> = BTreeMap::new();
        for job in self.script.jobs.iter().filter(|job| !job.explain) {
            let visit = job.plan.apply(|node| {
                for expr in node.expressions() {
                    expr.apply(|inner| {
                        if let Expr::ScalarFunction(call) = inner
                            && let Some(def) = ModelDef::of(&call.func).filter(|def| def.reload.is_some())
                        {
                            found.insert(def.name.clone(), def.clone());
                        }
                        Ok(TreeNodeRecursion::Continue)
                    })?;
                }
                Ok(TreeNodeRecursion::Continue)
            });
            visit.map_err(|e| Error::bug("cannot look for models in a plan").because(e))?;
        }
        Ok(found.into_values().map(Reloaded).collect())
    }

    /// Gives each the versions that the run goes on with, that it repeats, or the file as it is now.
    pub(super) fn begin_models(
        &self,
        models: &[Reloaded],
        going_on: Option<&GoingOn>,
        histories: &BTreeMap<String, History>,
    ) -> Result<Vec<Claim>> {
        let mut claims = vec![];
        for model in models {
            let (def, reload) = (&model.0, model.reload());
            claims.push(reload.versions.claim().ok_or_else(|| {
                Error::user(format!("model `{}` is read again by another query that is running", def.name))
                    .hint("create it once more under another name")
            })?);
            let read = |bytes| def.version_of(bytes);
            match self.mode {
                Mode::Replay { .. } => {
                    let kept = histories.values().find_map(|h| Some((h.manifest.models.get(&def.name)?, &h.storage)));
                    let (state, storage) = kept.ok_or_else(|| {
                        Error::world(format!("no history says which versions of model `{}` there were", def.name))
                            .hint("the run that wrote it had another query")
                    })?;
                    reload.versions.restore(state, storage.as_ref(), read)?;
                }
                Mode::Live => {
                    let going_on = going_on.ok_or_else(|| {
                        Error::user(format!(
                            "model `{}` has 'reload.interval', and a new file counts from a checkpoint on: there are none",
                            def.name
                        ))
                        .hint("SET 'pelton.checkpoint.dir' = '…'")
                    })?;
                    let manifest = going_on.chosen.manifest.as_ref();
                    match manifest.and_then(|manifest| manifest.models.get(&def.name)) {
                        Some(state) => reload.versions.restore(state, going_on.store.storage(), read)?,
                        None => reload.versions.begin(self.file_of(model)?),
                    }
                }
            }
        }
        Ok(claims)
    }

    fn file_of(&self, model: &Reloaded) -> Result<Version> {
        model.0.version_of(self.registry.places()?.file(&model.reload().path)?)
    }

    /// Runs, and looks at the models' files meanwhile.
    pub(super) fn beside_watcher<T>(&self, models: &[Reloaded], run: impl FnOnce() -> Result<T>) -> Result<T> {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watch = std::thread::Builder::new().name("pelton-models".into());
            watch
                .spawn_scoped(scope, || self.watch_models(models, &done))
                .map_err(|e| Error::world("cannot start the thread that looks at models").because(e))?;
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            done.store(true, Ordering::Relaxed);
            ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Looks at the files of all models now and then, until `done`.
    fn watch_models(&self, models: &[Reloaded], done: &AtomicBool) {
        let say = |text: &str| self.options.notice.iter().for_each(|notice: &Arc<Notice>| notice(text));
        let mut due: Vec<Instant> = models.iter().map(|model| Instant::now() + model.reload().interval).collect();
        // What went wrong when each was looked at last: a file that is just being written is not worth a word.
        let mut wrong: Vec<(Option<String>, bool)> = vec![(None, false); models.len()];
        while !done.load(Ordering::Relaxed) {
            std::thread::sleep(NAP);
            for (at, model) in models.iter().enumerate() {
                if due[at] > Instant::now() {
                    continue;
                }
                due[at] = Instant::now() + model.reload().interval;
                let versions = &model.reload().versions;
                match self.file_of(model) {
                    Ok(version) if version.digest == versions.newest() => wrong[at] = (None, false),
                    Ok(version) => {
                        let (name, path, digest) = (&model.0.name, &model.reload().path, &version.digest);
                        say(&format!(
                            "model `{name}`: '{path}' has changed; version {digest} counts from the next checkpoint on"
                        ));
                        versions.offer(version);
                        wrong[at] = (None, false);
                    }
                    Err(error) => {
                        let text = error.to_string();
                        let (before, said) = &mut wrong[at];
                        if before.as_ref() != Some(&text) {
                            (*before, *said) = (Some(text), false);
                        } else if !*said {
                            say(&format!("{text}; the version before stays in use"));
                            *said = true;
                        }
                    }
                }
            }
        }
    }
}
