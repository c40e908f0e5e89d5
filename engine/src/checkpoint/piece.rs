//! Pieces: the large parts of a step's state, written while the flow goes on.
//!
//! At a cut a step says what it holds: *facts*, a few small values, and *pieces*, immutable groups or rows that it has moved
//! aside. A piece that an earlier checkpoint has written is named again and not written again; so a checkpoint costs what
//! has changed.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use pelton_kernels::program::{Cpu, Device, GroupState, Program, ProgramError, SavedGroups};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::batch::internal;
use crate::error::{Error, Result};

/// Name of a piece: the epoch that writes it, and its number in that epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PieceId {
    /// The epoch that writes it.
    pub epoch: u64,
    /// Its number there.
    pub number: u32,
}

/// Something that becomes the bytes of a piece.
pub trait Encode: Send + Sync {
    /// Its rows, as batches of any schemas.
    fn encode(&self) -> Result<Vec<RecordBatch>>;
}

/// A piece in a cut.
pub struct Piece {
    /// Its name.
    pub id: PieceId,
    /// What it is to its step.
    pub tag: Value,
    /// What is to be written; `None` if an earlier checkpoint has written it.
    pub fresh: Option<Arc<dyn Encode>>,
}

/// What a step holds at a cut.
#[derive(Default)]
pub struct StepCut {
    /// Small values.
    pub facts: Value,
    /// Large ones.
    pub pieces: Vec<Piece>,
}

/// Collects what a step holds.
pub struct Cut<'a> {
    epoch: u64,
    next: &'a mut u32,
    step: StepCut,
}

impl<'a> Cut<'a> {
    /// Of a step, in an epoch whose next piece has the number `next`.
    pub fn new(epoch: u64, next: &'a mut u32) -> Self {
        Cut { epoch, next, step: StepCut::default() }
    }

    /// A name for a piece that this epoch writes.
    pub fn id(&mut self) -> PieceId {
        *self.next += 1;
        PieceId { epoch: self.epoch, number: *self.next - 1 }
    }

    /// Names a piece; `fresh` if it is to be written.
    pub fn piece(&mut self, id: PieceId, tag: Value, fresh: Option<Arc<dyn Encode>>) {
        self.step.pieces.push(Piece { id, tag, fresh });
    }

    /// Says the small values.
    pub fn facts(&mut self, facts: Value) {
        self.step.facts = facts;
    }

    /// What was collected.
    pub fn done(self) -> StepCut {
        self.step
    }
}

/// A piece as it was read back.
pub struct SavedPiece {
    /// Its name.
    pub id: PieceId,
    /// What it is to its step.
    pub tag: Value,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
}

/// What a step held at a cut, as it was read back.
#[derive(Default)]
pub struct SavedStep {
    /// Small values.
    pub facts: Value,
    /// Large ones.
    pub pieces: Vec<SavedPiece>,
}

/// The error for saved state that can not be what a step has saved.
pub fn misfit(what: impl std::fmt::Display) -> Error {
    Error::world(format!("the checkpoint holds {what}")).hint("it was written by another version or is damaged")
}

/// A fact that must be there.
pub fn fact<T: serde::de::DeserializeOwned>(facts: &Value, name: &str) -> Result<T> {
    let value = facts.get(name).cloned().unwrap_or(Value::Null);
    serde_json::from_value(value).map_err(|e| misfit(format!("no '{name}' that can be read")).because(e))
}

/// Batches as bytes: each one Arrow IPC stream, behind its length.
pub fn to_bytes(batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut bytes = vec![];
    for batch in batches {
        let start = bytes.len();
        bytes.extend(0_u64.to_le_bytes());
        let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema()).map_err(internal)?;
        writer.write(batch).and_then(|()| writer.finish()).map_err(internal)?;
        drop(writer);
        let len = (bytes.len() - start - 8) as u64;
        bytes[start..start + 8].copy_from_slice(&len.to_le_bytes());
    }
    Ok(bytes)
}

/// The same back.
pub fn of_bytes(mut bytes: &[u8]) -> Result<Vec<RecordBatch>> {
    let mut batches = vec![];
    while !bytes.is_empty() {
        let (len, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| misfit("half a length"))?;
        let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
        if len > rest.len() {
            return Err(misfit("half a piece"));
        }
        let (own, rest) = rest.split_at(len);
        bytes = rest;
        let reader = StreamReader::try_new(Cursor::new(own), None).map_err(|e| misfit("no Arrow stream").because(e))?;
        let schema = reader.schema();
        let read = reader.collect::<Result<Vec<_>, _>>().map_err(|e| misfit("a broken Arrow stream").because(e))?;
        batches.push(arrow::compute::concat_batches(&schema, &read).map_err(internal)?);
    }
    Ok(batches)
}

/// A batch of unnamed columns.
pub fn batch_of(columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let field = |(at, column): (usize, &ArrayRef)| Field::new(at.to_string(), column.data_type().clone(), true);
    let schema: SchemaRef = Arc::new(Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(internal)
}

/// Groups that get no more rows, shared with who writes them.
#[derive(Clone)]
pub struct SharedGroups(pub Arc<Box<dyn GroupState>>);

impl Encode for SharedGroups {
    fn encode(&self) -> Result<Vec<RecordBatch>> {
        let saved = Cpu::save(self.0.as_ref().as_ref()).map_err(failed)?;
        saved
            .into_iter()
            .map(|SavedGroups { groups, keys, states }| {
                let states = states.into_iter().map(|state| Arc::new(state) as ArrayRef);
                batch_of(keys.into_iter().chain(states).collect(), groups)
            })
            .collect()
    }
}

/// Groups back from their piece: a state of the processor.
pub fn groups_of(program: &Arc<Program>, batches: &[RecordBatch]) -> Result<Box<dyn GroupState>> {
    let mut whole: Option<Box<dyn GroupState>> = None;
    for batch in batches {
        let (keys, states) = split(program, batch)?;
        let states: Vec<_> = states.iter().map(|state| state.as_binary::<i32>().clone()).collect();
        let part = Cpu::load(program, batch.num_rows(), &keys, &states).map_err(failed)?;
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => whole.merge(part.as_ref()).map_err(failed)?,
        }
    }
    whole.map_or_else(|| Cpu.state(program, 0).map_err(failed), Ok)
}

fn failed(error: ProgramError) -> Error {
    Error::world("cannot save or load the groups of a window").because(error)
}

/// The columns of keys, in the types of the program, and of states.
fn split(program: &Program, batch: &RecordBatch) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>)> {
    let keys = program.keys.len();
    let other = || misfit(format!("groups of other keys or aggregates than {program}"));
    let is_state = |column: &ArrayRef| *column.data_type() == DataType::Binary;
    if batch.num_columns() != keys + program.states().0.len() || !batch.columns()[keys..].iter().all(is_state) {
        return Err(other());
    }
    let (saved, states) = batch.columns().split_at(keys);
    let keys = saved.iter().zip(&program.keys).map(|(column, (_, key))| of_key(column, key).ok_or_else(other));
    Ok((keys.collect::<Result<_>>()?, states.to_vec()))
}

/// Saved keys in the type of the key, which may be a dictionary of what was saved; `None` if they are of another.
pub fn of_key(column: &ArrayRef, key: &DataType) -> Option<ArrayRef> {
    let plain = |data_type: &DataType| match data_type {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        other => other.clone(),
    };
    if column.data_type() == key {
        return Some(column.clone());
    }
    let fits = plain(column.data_type()) == plain(key);
    fits.then(|| arrow::compute::cast(column, key).ok()).flatten()
}

/// Rows as they are.
pub struct Rows(pub Vec<RecordBatch>);

impl Encode for Rows {
    fn encode(&self) -> Result<Vec<RecordBatch>> {
        Ok(self.0.clone())
    }
}
