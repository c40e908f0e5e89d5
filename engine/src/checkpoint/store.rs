//! Checkpoints on storage: written, found, read back, and cleared away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::manifest::{Manifest, PieceRef, StepState, checksum};
use super::piece::{SavedPiece, SavedStep, StepCut, of_bytes, to_bytes};
use super::recover::FoundManifest;
use crate::connector::Storage;
use crate::error::{Error, Result};

/// Manifests kept unless a script says otherwise. At least two, as a transaction may be lost with its process.
pub const RETAINED: usize = 3;

/// Who writes into a storage.
#[derive(Serialize, Deserialize)]
struct Identity {
    /// A name that no other pipeline has.
    id: String,
}

/// The checkpoints of one pipeline.
pub struct Store {
    storage: Arc<dyn Storage>,
    /// Where the pieces of the newest checkpoint are.
    written: BTreeMap<super::piece::PieceId, PieceRef>,
    retained: usize,
}

fn manifest_name(epoch: u64) -> String {
    format!("epoch-{epoch:012}.json")
}

fn object_name(epoch: u64) -> String {
    format!("state-{epoch:012}")
}

fn savepoint_name(name: &str) -> String {
    format!("savepoints/{name}.json")
}

/// The number in a name between a prefix and a suffix.
fn number(name: &str, prefix: &str, suffix: &str) -> Option<u64> {
    name.strip_prefix(prefix)?.strip_suffix(suffix)?.parse().ok()
}

impl Store {
    /// The checkpoints in a storage, of which the newest `retained` are kept.
    pub fn new(storage: Arc<dyn Storage>, retained: usize) -> Self {
        Store { storage, written: BTreeMap::new(), retained: retained.max(2) }
    }

    /// Where they lie.
    pub fn storage(&self) -> &dyn Storage {
        self.storage.as_ref()
    }

    /// Keeps other processes away until what is answered is dropped. `place` is what people call the storage.
    pub fn lock(&self, place: &str) -> Result<Box<dyn Send>> {
        self.storage.lock("lock")?.ok_or_else(|| {
            Error::user(format!("another process runs a pipeline with its checkpoints in {place}"))
                .hint("wait until it ends, or give this one another 'pelton.checkpoint.dir'")
        })
    }

    /// A name for the pipeline that stays the same from run to run. `fresh` is one that no other has.
    pub fn identity(&self, fresh: impl FnOnce() -> String) -> Result<String> {
        const NAME: &str = "pipeline.json";
        if let Some(bytes) = self.storage.get(NAME)?
            && let Ok(identity) = serde_json::from_slice::<Identity>(&bytes)
        {
            return Ok(identity.id);
        }
        // Nothing was given to anybody under a name that no manifest has.
        let of = |found: &FoundManifest| match found {
            FoundManifest::Whole(manifest) => Some(manifest.pipeline.clone()),
            FoundManifest::Broken(..) => None,
        };
        let identity = Identity { id: self.find()?.iter().find_map(of).unwrap_or_else(fresh) };
        let bytes =
            serde_json::to_vec(&identity).map_err(|e| Error::world(format!("cannot write {NAME}")).because(e))?;
        self.storage.put(NAME, &bytes)?;
        Ok(identity.id)
    }

    /// All manifests, and whether what they name is there.
    pub fn find(&self) -> Result<Vec<FoundManifest>> {
        let names = self.storage.list("")?;
        let objects: BTreeSet<u64> = names.iter().filter_map(|name| number(name, "state-", "")).collect();
        let epochs = names.iter().filter_map(|name| number(name, "epoch-", ".json"));
        epochs
            .map(|epoch| {
                let Some(bytes) = self.storage.get(&manifest_name(epoch))? else {
                    return Ok(FoundManifest::Broken(epoch, "its manifest has gone".into()));
                };
                Ok(match Manifest::of_bytes(&bytes) {
                    Err(why) => {
                        FoundManifest::Broken(epoch, format!("of its manifest {}, {why}", manifest_name(epoch)))
                    }
                    Ok(manifest) => match manifest.objects().difference(&objects).next() {
                        Some(missing) => FoundManifest::Broken(epoch, format!("{} is missing", object_name(*missing))),
                        None => FoundManifest::Whole(manifest),
                    },
                })
            })
            .collect()
    }

    /// The state of a manifest's steps. An error if a piece is not what was written.
    pub fn read(&mut self, manifest: &Manifest) -> Result<Vec<(StepState, SavedStep)>> {
        let mut objects: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for epoch in manifest.objects() {
            let name = object_name(epoch);
            let bytes = self.storage.get(&name)?;
            objects.insert(epoch, bytes.ok_or_else(|| Error::world(format!("the checkpoints have no {name}")))?);
        }
        self.written = manifest.steps.iter().flat_map(|s| &s.pieces).map(|p| (p.id, p.clone())).collect();
        let piece = |piece: &PieceRef| {
            let all = &objects[&piece.id.epoch];
            let range = piece.start as usize..(piece.start + piece.bytes) as usize;
            let bytes = all.get(range).filter(|bytes| checksum(bytes) == piece.checksum).ok_or_else(|| {
                let name = object_name(piece.id.epoch);
                Error::world(format!("piece {} of {name} is damaged", piece.id.number)).hint(
                    "pelton checkpoints rm EPOCH removes the checkpoint; the next run goes on from the one before",
                )
            })?;
            Ok(SavedPiece { id: piece.id, tag: piece.tag.clone(), batches: of_bytes(bytes)? })
        };
        let step = |step: &StepState| {
            let pieces = step.pieces.iter().map(piece).collect::<Result<_>>()?;
            Ok((step.clone(), SavedStep { facts: step.facts.clone(), pieces }))
        };
        manifest.steps.iter().map(step).collect()
    }

    /// Writes what steps hold, as far as it is not written, and says where all of it is.
    pub fn write_state(&mut self, epoch: u64, steps: &[(String, i64, StepCut)]) -> Result<Vec<StepState>> {
        let mut object = vec![];
        let mut states = vec![];
        let mut written = BTreeMap::new();
        for (schema, mark, step) in steps {
            let mut pieces = vec![];
            for piece in &step.pieces {
                let place = match &piece.fresh {
                    Some(fresh) => {
                        let bytes = to_bytes(&fresh.encode()?)?;
                        let (start, len, sum) = (object.len() as u64, bytes.len() as u64, checksum(&bytes));
                        object.extend(bytes);
                        PieceRef { id: piece.id, tag: piece.tag.clone(), start, bytes: len, checksum: sum }
                    }
                    None => {
                        let before = self.written.get(&piece.id);
                        let before = before.ok_or_else(|| Error::world("a step names a piece that was not written"))?;
                        PieceRef { tag: piece.tag.clone(), ..before.clone() }
                    }
                };
                written.insert(piece.id, place.clone());
                pieces.push(place);
            }
            states.push(StepState { schema: schema.clone(), mark: *mark, facts: step.facts.clone(), pieces });
        }
        if !object.is_empty() {
            self.storage.put(&object_name(epoch), &object)?;
        }
        self.written = written;
        Ok(states)
    }

    /// Makes a checkpoint one that a run can go on from.
    pub fn complete(&self, manifest: &Manifest) -> Result<()> {
        self.storage.put(&manifest_name(manifest.epoch), &manifest.to_bytes()?)
    }

    /// Removes manifests: of these epochs a run will come again.
    pub fn drop_manifests(&self, epochs: &[u64]) -> Result<()> {
        epochs.iter().try_for_each(|epoch| self.storage.remove(&manifest_name(*epoch)))
    }

    /// Removes the manifests that are too many, and the state that none needs. `newest` is the one that was written last.
    pub fn clear_away(&self, newest: u64) -> Result<()> {
        let names = self.storage.list("")?;
        let mut epochs: Vec<u64> = names.iter().filter_map(|name| number(name, "epoch-", ".json")).collect();
        epochs.sort_unstable();
        let (gone, kept) = epochs.split_at(epochs.len().saturating_sub(self.retained));
        let mut needed = BTreeSet::new();
        for name in kept.iter().map(|epoch| manifest_name(*epoch)).chain(self.savepoints()?.into_values()) {
            // What can not be read may need anything.
            match self.storage.get(&name)?.as_deref().map(Manifest::of_bytes) {
                Some(Ok(manifest)) => needed.extend(manifest.objects()),
                _ => return Ok(()),
            }
        }
        self.drop_manifests(gone)?;
        let objects = names.iter().filter_map(|name| number(name, "state-", ""));
        let unneeded = objects.filter(|epoch| *epoch <= newest && !needed.contains(epoch));
        unneeded.into_iter().try_for_each(|epoch| self.storage.remove(&object_name(epoch)))
    }

    /// Savepoints by name, with the names of their objects.
    pub fn savepoints(&self) -> Result<BTreeMap<String, String>> {
        let names = self.storage.list("savepoints/")?;
        let name =
            |object: String| Some((object.strip_prefix("savepoints/")?.strip_suffix(".json")?.to_string(), object));
        Ok(names.into_iter().filter_map(name).collect())
    }

    /// Keeps a checkpoint under a name until it is removed.
    pub fn save_as(&self, name: &str, manifest: &Manifest) -> Result<()> {
        self.storage.put(&savepoint_name(name), &manifest.to_bytes()?)
    }

    /// The manifest of a savepoint.
    pub fn savepoint(&self, name: &str) -> Result<Option<Manifest>> {
        let Some(bytes) = self.storage.get(&savepoint_name(name))? else { return Ok(None) };
        let damaged = |why| Error::world(format!("savepoint {name} can not be used: {why}"));
        Manifest::of_bytes(&bytes).map(Some).map_err(damaged)
    }

    /// Removes a savepoint.
    pub fn remove_savepoint(&self, name: &str) -> Result<()> {
        self.storage.remove(&savepoint_name(name))
    }
}
