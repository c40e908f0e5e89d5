//! Manifests: what a checkpoint holds, and where.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::piece::PieceId;
use crate::by_window::WindowDigests;
use crate::error::{Error, Result};
use crate::versions::ModelState;

/// The form of manifests that this version writes and reads.
const VERSION: u32 = 1;

/// All of a checkpoint but the large pieces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of it.
    pub version: u32,
    /// A name that no other pipeline has, and that stays the same from run to run.
    pub pipeline: String,
    /// The epoch that it ends, from 1.
    pub epoch: u64,
    /// When it was taken, in milliseconds since 1970.
    pub taken_ms: u64,
    /// True if the input has ended: there is nothing to go on with.
    pub ended: bool,
    /// Sources by name.
    pub sources: BTreeMap<String, SourceState>,
    /// Steps with state.
    pub steps: Vec<StepState>,
    /// Sinks by name.
    pub sinks: BTreeMap<String, SinkState>,
    /// By source, what its history has staged.
    pub histories: BTreeMap<String, String>,
    /// What the dead letters have staged.
    pub letters: Option<String>,
    /// What the run has counted.
    pub counts: Counts,
    /// The versions of models whose files are read again, by name.
    #[serde(default)]
    pub models: BTreeMap<String, ModelState>,
}

/// How far a source was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceState {
    /// The watermark that was announced, µs.
    pub mark: i64,
    /// Its partitions in the order of their numbers.
    pub partitions: Vec<Position>,
    /// What the source itself has to remember.
    #[serde(default)]
    pub token: Option<String>,
}

/// How far a partition was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// What the source knows it by, if not by its number.
    pub name: Option<String>,
    /// Offset after the last record.
    pub offset: u64,
    /// Watermark after the last row, µs.
    pub mark: i64,
    /// Watermarks lent to it: (offset, floor).
    pub floors: Vec<(u64, i64)>,
}

/// What a step holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepState {
    /// See [`crate::operators::Operator::state_schema`].
    pub schema: String,
    /// The watermark of its output, µs.
    pub mark: i64,
    /// Small values.
    pub facts: Value,
    /// Large ones.
    pub pieces: Vec<PieceRef>,
}

/// Where a piece is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PieceRef {
    /// Its name; the epoch tells the object.
    pub id: PieceId,
    /// What it is to its step.
    pub tag: Value,
    /// Where it begins in the object.
    pub start: u64,
    /// Bytes of it.
    pub bytes: u64,
    /// XXH3-128 of these.
    pub checksum: String,
}

/// What a sink was given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SinkState {
    /// What [`crate::connector::Staged::stage`] said.
    pub token: String,
    /// Digest of all rows since the beginning.
    pub digest: String,
    /// The same by window, if it is wanted.
    pub windows: WindowDigests,
}

/// What the run has counted since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in `Counters`")]
pub struct Counts {
    pub rows_in: u64,
    pub rows_out: u64,
    pub late: u64,
    pub letters: u64,
    pub batches: u64,
}

impl Manifest {
    /// The epochs whose objects it needs.
    pub fn objects(&self) -> std::collections::BTreeSet<u64> {
        self.steps.iter().flat_map(|step| &step.pieces).map(|piece| piece.id.epoch).collect()
    }

    /// Bytes of state that it names.
    pub fn state_bytes(&self) -> u64 {
        self.steps.iter().flat_map(|step| &step.pieces).map(|piece| piece.bytes).sum()
    }

    /// As bytes: a line with the checksum of the rest, and JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let manifest = Manifest { version: VERSION, ..self.clone() };
        let json = serde_json::to_vec(&manifest).map_err(|e| Error::world("cannot write a manifest").because(e))?;
        let mut bytes = format!("{}\n", checksum(&json)).into_bytes();
        bytes.extend(json);
        Ok(bytes)
    }

    /// The same back; in words, why not.
    pub fn of_bytes(bytes: &[u8]) -> Result<Manifest, String> {
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("it has no checksum")?;
        let (sum, json) = (&bytes[..end], &bytes[end + 1..]);
        if sum != checksum(json).as_bytes() {
            return Err("its checksum is another".to_string());
        }
        let manifest: Manifest = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        if manifest.version != VERSION {
            return Err(format!("it is of version {}, this Pelton reads {VERSION}", manifest.version));
        }
        Ok(manifest)
    }
}

/// XXH3-128 as text.
pub fn checksum(bytes: &[u8]) -> String {
    format!("{:032x}", pelton_kernels::digest::hash_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damage_is_seen() {
        let manifest = Manifest { version: VERSION, epoch: 7, ..Default::default() };
        let bytes = manifest.to_bytes().unwrap();
        assert_eq!(Manifest::of_bytes(&bytes).unwrap(), manifest);
        for cut in 0..bytes.len() {
            Manifest::of_bytes(&bytes[..cut]).unwrap_err();
            let mut flipped = bytes.clone();
            flipped[cut] ^= 1;
            Manifest::of_bytes(&flipped).unwrap_err();
        }
        let newer = Manifest { version: 2, ..manifest };
        let json = serde_json::to_vec(&newer).unwrap();
        let bytes = [checksum(&json).as_bytes(), b"\n", &json[..]].concat();
        assert_eq!(Manifest::of_bytes(&bytes).unwrap_err(), "it is of version 2, this Pelton reads 1");
    }
}
