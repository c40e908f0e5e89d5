//! `pelton checkpoints`: what a pipeline can go on from.

use pelton_engine::checkpoint::manifest::Manifest;
use pelton_engine::checkpoint::recover::FoundManifest;
use pelton_engine::checkpoint::store::{RETAINED, Store};
use pelton_engine::error::{Error, Result};
use pelton_engine::operators::show_time;
use serde_json::{Value, json};

use crate::report::{Answer, Failure, columns, grouped, note, say, say_json};
use crate::text::PlaceArgs;

/// What to do with checkpoints.
#[derive(clap::Subcommand, Debug)]
pub enum CheckpointsCommand {
    /// List checkpoints and savepoints.
    Ls(PlaceArgs),
    /// Show what one holds: offsets, state, sinks.
    Inspect(OneArgs),
    /// Read all state of one, or of all, and compare checksums. Exit code 1 if anything is damaged.
    Verify {
        #[command(flatten)]
        place: PlaceArgs,
        /// Epoch or name [default: all].
        #[arg(long, value_name = "EPOCH|NAME")]
        which: Option<String>,
    },
    /// Keep the newest checkpoint as a savepoint until it is removed; the pipeline may be running.
    Create {
        #[command(flatten)]
        place: PlaceArgs,
        /// Name of the savepoint.
        #[arg(long)]
        name: String,
    },
    /// Remove a checkpoint or savepoint.
    Rm(OneArgs),
}

/// One checkpoint.
#[derive(clap::Args, Debug)]
pub struct OneArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Epoch of a checkpoint, or name of a savepoint [default: the newest].
    #[arg(long, value_name = "EPOCH|NAME")]
    which: Option<String>,
}

/// One that was found.
struct One {
    name: String,
    savepoint: bool,
    /// In words, what is wrong with it.
    manifest: Result<Manifest, String>,
}

/// Does it.
pub fn checkpoints(command: &CheckpointsCommand, json: bool) -> Answer {
    match command {
        CheckpointsCommand::Ls(place) => ls(&open(place)?, json),
        CheckpointsCommand::Inspect(args) => inspect(&open(&args.place)?, args.which.as_deref(), json),
        CheckpointsCommand::Verify { place, which } => verify(&mut open(place)?, which.as_deref(), json),
        CheckpointsCommand::Create { place, name } => create(&open(place)?, name, json),
        CheckpointsCommand::Rm(args) => rm(&open(&args.place)?, &args.place, args.which.as_deref(), json),
    }
}

/// The path or URL that is meant.
fn dir(place: &PlaceArgs) -> Result<String, Failure> {
    let registry = pelton_io::registry();
    let Some(script) = place.script(&registry)? else { return Ok(place.place.to_string_lossy().into_owned()) };
    let dir = script.settings.get("pelton.checkpoint.dir").map(str::to_string);
    dir.ok_or_else(|| {
        Error::user(format!("{} keeps no checkpoints", place.place.display()))
            .hint("SET 'pelton.checkpoint.dir' = '…' makes it keep them")
            .into()
    })
}

fn open(place: &PlaceArgs) -> Result<Store, Failure> {
    let dir = dir(place)?;
    if !dir.contains("://") {
        PlaceArgs::folder(std::path::Path::new(&dir), "no checkpoint")?;
    }
    Ok(Store::new(pelton_io::registry().places()?.storage(&dir)?, RETAINED))
}

/// All of them, the oldest first, savepoints last.
fn all(store: &Store) -> Result<Vec<One>> {
    let mut found = store.find()?;
    found.sort_by_key(FoundManifest::epoch);
    let mut all: Vec<One> = found
        .into_iter()
        .map(|found| One {
            name: found.epoch().to_string(),
            savepoint: false,
            manifest: match found {
                FoundManifest::Whole(manifest) => Ok(manifest),
                FoundManifest::Broken(_, why) => Err(why),
            },
        })
        .collect();
    for name in store.savepoints()?.into_keys() {
        let manifest = match store.savepoint(&name) {
            Ok(Some(manifest)) => Ok(manifest),
            Ok(None) => Err("it has gone".to_string()),
            Err(error) => Err(error.to_string()),
        };
        all.push(One { name, savepoint: true, manifest });
    }
    Ok(all)
}

/// The one of this name; the newest checkpoint without one.
fn one(store: &Store, which: Option<&str>) -> Result<One> {
    let mut all = all(store)?;
    let at = match which {
        Some(name) => all.iter().position(|one| one.name == name),
        None => all.iter().rposition(|one| !one.savepoint && one.manifest.is_ok()),
    };
    at.map(|at| all.swap_remove(at)).ok_or_else(|| {
        let text =
            which.map_or("there is no checkpoint here".into(), |name| format!("there is no checkpoint '{name}'"));
        Error::user(text).hint("`pelton checkpoints ls` lists those that there are")
    })
}

fn whole(one: One) -> Result<Manifest> {
    let name = one.name;
    one.manifest.map_err(|why| Error::world(format!("checkpoint {name} can not be used: {why}")))
}

fn brief(one: &One) -> Value {
    let kind = if one.savepoint { "savepoint" } else { "checkpoint" };
    match &one.manifest {
        Err(why) => json!({ "name": one.name, "kind": kind, "broken": why }),
        Ok(manifest) => json!({
            "name": one.name,
            "kind": kind,
            "epoch": manifest.epoch,
            "taken_ms": manifest.taken_ms,
            "ended": manifest.ended,
            "rows_in": manifest.counts.rows_in,
            "rows_out": manifest.counts.rows_out,
            "state_bytes": manifest.state_bytes(),
        }),
    }
}

fn ls(store: &Store, json: bool) -> Answer {
    let all = all(store)?;
    if json {
        say_json(&json!({ "checkpoints": all.iter().map(brief).collect::<Vec<_>>() }));
        return Ok(0);
    }
    let row = |one: &One| match &one.manifest {
        Err(why) => vec![one.name.clone(), String::new(), String::new(), String::new(), format!("broken: {why}")],
        Ok(manifest) => vec![
            one.name.clone(),
            show_time(manifest.taken_ms as i64 * 1000),
            grouped(manifest.counts.rows_in),
            grouped(manifest.state_bytes()),
            match (one.savepoint, manifest.ended) {
                (true, _) => format!("savepoint of epoch {}", manifest.epoch),
                (false, true) => "the input has ended".into(),
                (false, false) => String::new(),
            },
        ],
    };
    say(&columns(&["name", "taken (UTC)", "rows in", "bytes", ""], &all.iter().map(row).collect::<Vec<_>>()));
    Ok(0)
}

fn inspect(store: &Store, which: Option<&str>, json: bool) -> Answer {
    let manifest = whole(one(store, which)?)?;
    if json {
        say_json(&serde_json::to_value(&manifest).map_err(|e| Error::world("cannot show a manifest").because(e))?);
        return Ok(0);
    }
    let ended = if manifest.ended { ", the input has ended" } else { "" };
    say(&format!("epoch {} of {}{ended}", manifest.epoch, show_time(manifest.taken_ms as i64 * 1000)));
    for (name, source) in &manifest.sources {
        for (number, at) in source.partitions.iter().enumerate() {
            let partition = at.name.clone().unwrap_or_else(|| number.to_string());
            say(&format!("source {name}, partition {partition}: offset {}", grouped(at.offset)));
        }
    }
    for step in &manifest.steps {
        let bytes: u64 = step.pieces.iter().map(|piece| piece.bytes).sum();
        let what = step.schema.lines().next().unwrap_or_default();
        say(&format!("step {what}: {} pieces, {} bytes", step.pieces.len(), grouped(bytes)));
    }
    for (name, sink) in &manifest.sinks {
        say(&format!("sink {name}: {}", sink.digest));
    }
    Ok(0)
}

fn verify(store: &mut Store, which: Option<&str>, json: bool) -> Answer {
    let mut all = match which {
        Some(_) => vec![one(store, which)?],
        None => all(store)?,
    };
    let mut broken = vec![];
    for one in all.drain(..) {
        let read = one.manifest.and_then(|manifest| store.read(&manifest).map(drop).map_err(|e| e.to_string()));
        match read {
            Ok(()) if !json => say(&format!("{}: whole", one.name)),
            Ok(()) => {}
            Err(why) => broken.push((one.name, why)),
        }
    }
    if json {
        let broken: Vec<Value> = broken.iter().map(|(name, why)| json!({ "name": name, "why": why })).collect();
        say_json(&json!({ "broken": broken }));
    } else {
        broken.iter().for_each(|(name, why)| note(&format!("{name}: broken: {why}")));
    }
    Ok(u8::from(!broken.is_empty()))
}

fn create(store: &Store, name: &str, json: bool) -> Answer {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if name.is_empty() || !is_plain || name.starts_with('.') || name.parse::<u64>().is_ok() {
        return Err(Error::user(format!("'{name}' can not be the name of a savepoint"))
            .hint("use letters, digits, '-' and '_', and not digits alone")
            .into());
    }
    let manifest = whole(one(store, None)?)?;
    store.save_as(name, &manifest)?;
    if json {
        say_json(&json!({ "savepoint": name, "epoch": manifest.epoch }));
    } else {
        say(&format!("savepoint {name} keeps epoch {}", manifest.epoch));
    }
    Ok(0)
}

fn rm(store: &Store, place: &PlaceArgs, which: Option<&str>, json: bool) -> Answer {
    let one = one(store, which)?;
    // A pipeline that runs relies on its checkpoints; a savepoint is nobody's.
    let _lock = if one.savepoint { None } else { Some(store.lock(&dir(place)?)?) };
    match (one.savepoint, one.name.parse()) {
        (false, Ok(epoch)) => store.drop_manifests(&[epoch])?,
        _ => store.remove_savepoint(&one.name)?,
    }
    if json {
        say_json(&json!({ "removed": one.name }));
    } else {
        say(&format!("removed {}", one.name));
    }
    Ok(0)
}
