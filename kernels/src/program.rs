//! Programs and devices: the typed form of a keyed stage, and who runs it.
//!
//! A [`Program`] says which columns are keys and which aggregates are kept; a [`Device`] makes [`GroupState`]s that run
//! it. All devices give the same bits, so states of different devices merge through `save`d bytes. The processor is the
//! one device today; CUDA and wgpu come in beside it behind the same trait.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::DataType;

use crate::Rows;
use crate::aggregate::{Aggregate, AggregateError, AggregateSpec};
use crate::group_table::{GroupTable, GroupTableError};

/// One aggregate of a program.
#[derive(Clone, Debug)]
pub struct AggregateCall {
    /// Which aggregate, over which types.
    pub spec: AggregateSpec,
    /// Input columns of its arguments.
    pub args: Vec<usize>,
    /// Input column (boolean) that says which rows take part; NULL is no.
    pub filter: Option<usize>,
}

/// The keyed part of a stage: keys and aggregates over numbered input columns.
#[derive(Clone, Debug)]
pub struct Program {
    /// Input columns of the key, with their types.
    pub keys: Vec<(usize, DataType)>,
    /// The aggregates, in output order.
    pub aggregates: Vec<AggregateCall>,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys [")?;
        for (i, (column, key_type)) in self.keys.iter().enumerate() {
            write!(f, "{}#{column}: {key_type}", if i > 0 { ", " } else { "" })?;
        }
        write!(f, "] aggregates [")?;
        for (i, call) in self.aggregates.iter().enumerate() {
            let args: Vec<String> = call.args.iter().map(|a| format!("#{a}")).collect();
            let distinct = if call.spec.distinct { "DISTINCT " } else { "" };
            write!(f, "{}{:?}({distinct}{})", if i > 0 { ", " } else { "" }, call.spec.kind, args.join(", "))?;
            if let Some(filter) = call.filter {
                write!(f, " WHERE #{filter}")?;
            }
        }
        write!(f, "]")
    }
}

impl Program {
    /// Which calls need states of their own, and for each call the place among those of the one that answers it: a call
    /// over the same rows whose states [cover](AggregateSpec::covers) what it wants.
    pub fn states(&self) -> (Vec<usize>, Vec<usize>) {
        let covers = |by: usize, call: usize| {
            let (by, call) = (&self.aggregates[by], &self.aggregates[call]);
            by.args == call.args && by.filter == call.filter && by.spec.covers(&call.spec)
        };
        let mut answered_by = vec![];
        for call in 0..self.aggregates.len() {
            // Of calls that cover each other the first; one that covers more wins over one that covers less.
            let best = (0..self.aggregates.len())
                .filter(|by| covers(*by, call))
                .reduce(|a, b| if covers(b, a) && !covers(a, b) { b } else { a });
            answered_by.push(best.unwrap_or(call));
        }
        let mut states = answered_by.clone();
        states.sort_unstable();
        states.dedup();
        let place = |by: &usize| states.binary_search(by).expect("it is among them");
        let answers = answered_by.iter().map(place).collect();
        (states, answers)
    }

    /// What a program without keys answers over no rows at all: one row (`COUNT` 0, the others NULL).
    pub fn over_nothing(&self) -> Result<Vec<ArrayRef>, ProgramError> {
        let columns = self.aggregates.iter().map(|call| {
            let mut identity = call.spec.build()?;
            identity.resize(1);
            identity.finish()
        });
        columns.enumerate().map(|(index, c)| c.map_err(|source| ProgramError::Aggregate { index, source })).collect()
    }
}

/// Why a program could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// An aggregate failed; its index in the program.
    #[error("{source}")]
    Aggregate {
        /// Index in [`Program::aggregates`].
        index: usize,
        /// What happened, and in which group.
        #[source]
        source: AggregateError,
    },
    /// The group table failed.
    #[error(transparent)]
    Table(#[from] GroupTableError),
}

/// Runs programs. Law: every device gives the same bits for the same program and rows.
pub trait Device: Send + Sync {
    /// `cpu`, `cuda:0`, `wgpu:0`.
    fn name(&self) -> String;
    /// An empty state of a program.
    fn state(&self, program: &Arc<Program>) -> Result<Box<dyn GroupState>, ProgramError>;
}

/// Groups and their aggregate states: a commutative monoid whose merge is exact.
pub trait GroupState: Send {
    /// Folds the selected rows in.
    fn update(&mut self, columns: &[ArrayRef], rows: Rows<'_>) -> Result<(), ProgramError>;
    /// Folds another state of the same program in.
    fn merge(&mut self, other: &dyn GroupState) -> Result<(), ProgramError>;
    /// Number of groups.
    fn groups(&self) -> usize;
    /// Key columns of all groups.
    fn keys(&self) -> Result<Vec<ArrayRef>, ProgramError>;
    /// One column per aggregate, in the order of the groups.
    fn finish(&self) -> Result<Vec<ArrayRef>, ProgramError>;
    /// Bytes held.
    fn memory_bytes(&self) -> usize;
    /// For merging between states of one device.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// The processor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Device for Cpu {
    fn name(&self) -> String {
        "cpu".to_string()
    }

    fn state(&self, program: &Arc<Program>) -> Result<Box<dyn GroupState>, ProgramError> {
        let types: Vec<DataType> = program.keys.iter().map(|(_, t)| t.clone()).collect();
        let (states, answers) = program.states();
        let build = |index: &usize| {
            let spec = &program.aggregates[*index].spec;
            spec.build().map_err(|source| ProgramError::Aggregate { index: *index, source })
        };
        let aggregates = states.iter().map(build).collect::<Result<_, _>>()?;
        let table = GroupTable::new(&types);
        Ok(Box::new(CpuState { program: program.clone(), table, states, aggregates, answers, ids: Vec::new() }))
    }
}

/// A group table and columns of states.
struct CpuState {
    program: Arc<Program>,
    table: GroupTable,
    /// The calls that have states; see [`Program::states`].
    states: Vec<usize>,
    aggregates: Vec<Box<dyn Aggregate>>,
    /// Whose states answer each call.
    answers: Vec<usize>,
    /// Scratch: the group of each row of the batch at hand.
    ids: Vec<u32>,
}

impl GroupState for CpuState {
    fn update(&mut self, columns: &[ArrayRef], rows: Rows<'_>) -> Result<(), ProgramError> {
        if rows.is_empty() {
            return Ok(());
        }
        let keys: Vec<ArrayRef> = self.program.keys.iter().map(|(column, _)| columns[*column].clone()).collect();
        self.table.intern(&keys, rows, &mut self.ids)?;
        let groups = self.table.len();
        let program = self.program.clone();
        for (&index, aggregate) in self.states.iter().zip(&mut self.aggregates) {
            let call = &program.aggregates[index];
            aggregate.resize(groups);
            let args: Vec<ArrayRef> = call.args.iter().map(|a| columns[*a].clone()).collect();
            let folded = match call.filter {
                None => aggregate.update(&args, rows, &self.ids),
                Some(filter) => {
                    let (kept, ids) = keep(columns[filter].as_boolean(), rows, &self.ids);
                    aggregate.update(&args, Rows::List(&kept), &ids)
                }
            };
            folded.map_err(|source| ProgramError::Aggregate { index, source })?;
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn GroupState) -> Result<(), ProgramError> {
        let other = other.as_any().downcast_ref::<CpuState>().expect("states of one device merge");
        let map = self.table.absorb(&other.table)?;
        let groups = self.table.len();
        for (&index, (mine, theirs)) in self.states.iter().zip(self.aggregates.iter_mut().zip(&other.aggregates)) {
            mine.resize(groups);
            mine.merge(theirs.as_ref(), &map).map_err(|source| ProgramError::Aggregate { index, source })?;
        }
        Ok(())
    }

    fn groups(&self) -> usize {
        self.table.len()
    }

    fn keys(&self) -> Result<Vec<ArrayRef>, ProgramError> {
        Ok(self.table.keys()?)
    }

    fn finish(&self) -> Result<Vec<ArrayRef>, ProgramError> {
        let calls = self.program.aggregates.iter().zip(&self.answers).enumerate();
        calls
            .map(|(index, (call, state))| {
                let answer = self.aggregates[*state].answer(&call.spec);
                answer.map_err(|source| ProgramError::Aggregate { index, source })
            })
            .collect()
    }

    fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.aggregates.iter().map(|a| a.memory_bytes()).sum::<usize>()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// The selected rows whose `filter` is true, with their groups.
pub fn keep(filter: &BooleanArray, rows: Rows<'_>, ids: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let values = filter.values();
    let passes = |row: usize| values.value(row) && arrow::array::Array::nulls(filter).is_none_or(|n| n.is_valid(row));
    (0..rows.len())
        .map(|i| (rows.get(i), ids[i]))
        .filter(|(row, _)| passes(*row))
        .map(|(row, id)| (row as u32, id))
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::AggregateKind;

    #[test]
    fn calls_over_the_same_rows_share_states() {
        let call = |kind, args: &[usize], filter| {
            let arg_types = args.iter().map(|_| DataType::Float64).collect();
            let spec = AggregateSpec { kind, distinct: false, arg_types, fast_float: false };
            AggregateCall { spec, args: args.to_vec(), filter }
        };
        use AggregateKind::*;
        let aggregates = vec![
            call(Count, &[], None),
            call(Sum, &[1], None),
            call(Avg, &[1], None),
            call(Max, &[1], None),
            call(StddevSamp, &[1], None),
            call(VarPop, &[1], None),
            call(Sum, &[1], Some(2)),
            call(Sum, &[3], None),
            call(Avg, &[3], None),
            call(Count, &[3], None),
            call(Sum, &[3], None),
        ];
        let program = Program { keys: vec![], aggregates };
        assert_eq!(program.states(), (vec![0, 3, 4, 6, 8], vec![0, 2, 2, 1, 2, 2, 3, 4, 4, 4, 4]));
    }
}
