//! Programs and devices: the typed form of a keyed stage, and who runs it.
//!
//! A [`Program`] says which columns are keys and which aggregates are kept; a [`Device`] makes [`GroupState`]s that run
//! it. All devices give the same bits, so states of different devices merge through `save`d bytes: [`Cpu::load`]. The
//! processor is the device that runs every program; others stand behind the same trait in a crate of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, UInt32Array};
use arrow::datatypes::DataType;

use crate::Rows;
use crate::aggregate::{Aggregate, AggregateError, AggregateKind, AggregateSpec, sum_extreme};
use crate::gather::gather;
use crate::group_table::{GroupTable, GroupTableError};
use crate::stage::{PaneTable, Stage};

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

impl AggregateCall {
    /// Whether it is `COUNT(*)` over all rows.
    fn is_row_count(&self) -> bool {
        self.spec.kind == AggregateKind::Count && self.args.is_empty() && self.filter.is_none()
    }
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
        f.write_str(&self.text(&|column| format!("#{column}")))
    }
}

impl Program {
    /// Itself as text, with columns called as `column` says.
    pub fn text(&self, column: &dyn Fn(usize) -> String) -> String {
        let keys: Vec<String> = self.keys.iter().map(|(at, of)| format!("{}: {of}", column(*at))).collect();
        let call = |call: &AggregateCall| {
            let args: Vec<String> = call.args.iter().map(|at| column(*at)).collect();
            let distinct = if call.spec.distinct { "DISTINCT " } else { "" };
            let filter = call.filter.map_or(String::new(), |at| format!(" WHERE {}", column(at)));
            format!("{:?}({distinct}{}){filter}", call.spec.kind, args.join(", "))
        };
        let calls: Vec<String> = self.aggregates.iter().map(call).collect();
        format!("keys [{}] aggregates [{}]", keys.join(", "), calls.join(", "))
    }

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
    /// The device failed, and what it held is lost.
    #[error("the device {device} failed: {message}")]
    Device {
        /// Its name.
        device: String,
        /// What its driver says.
        message: String,
    },
}

/// A part of a program that a device can not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Index in [`Program::aggregates`].
    pub aggregate: usize,
    /// Why not, as the end of a sentence.
    pub reason: String,
}

/// Runs programs. Law: every device gives the same bits for the same program and rows.
pub trait Device: Send + Sync {
    /// `cpu`, `cuda:0`, `wgpu:0`.
    fn name(&self) -> String;
    /// Everything in a program that it can not run. A program of which something is named must not be given to `state`.
    fn stops(&self, program: &Program) -> Vec<Stop> {
        let _ = program;
        vec![]
    }
    /// Whether it keeps tables for all panes of a program's stages.
    fn keeps_panes(&self, program: &Program) -> bool {
        let _ = program;
        false
    }
    /// A table of its own for all panes of a stage, where it keeps one; a device without keeps a state a pane.
    fn panes(&self, stage: &Arc<Stage>) -> Option<Box<dyn PaneTable>> {
        let _ = stage;
        None
    }
    /// An empty state of a program. A state that grows to many groups makes room for `expected` of them at once.
    fn state(&self, program: &Arc<Program>, expected: usize) -> Result<Box<dyn GroupState>, ProgramError>;
}

/// Groups and their aggregate states: a commutative monoid whose merge is exact.
pub trait GroupState: Send + Sync {
    /// Folds the selected rows in.
    fn update(&mut self, columns: &[ArrayRef], rows: Rows<'_>) -> Result<(), ProgramError>;
    /// Folds another state of the same program in.
    fn merge(&mut self, other: &dyn GroupState) -> Result<(), ProgramError>;
    /// Takes another state of the same program, which was merged in before, out again. Its groups stay, perhaps without
    /// rows. False, and nothing done, where that can not be: see [`AggregateSpec::is_invertible`].
    fn unmerge(&mut self, other: &dyn GroupState) -> Result<bool, ProgramError>;
    /// Number of groups; where a device still folds, of those it has told of.
    fn groups(&self) -> usize;
    /// Key columns of all groups.
    fn keys(&self) -> Result<Vec<ArrayRef>, ProgramError>;
    /// One column per aggregate, in the order of the groups.
    fn finish(&self) -> Result<Vec<ArrayRef>, ProgramError>;
    /// States of the processor, without a common key, that this one consists of; itself, if it is one. What a device holds is
    /// read back.
    fn parts(&self) -> Result<Vec<&dyn GroupState>, ProgramError>;
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

    fn state(&self, program: &Arc<Program>, expected: usize) -> Result<Box<dyn GroupState>, ProgramError> {
        Ok(Box::new(Cpu::empty(program, expected)?))
    }
}

impl Cpu {
    fn empty(program: &Arc<Program>, expected: usize) -> Result<CpuState, ProgramError> {
        let types: Vec<DataType> = program.keys.iter().map(|(_, t)| t.clone()).collect();
        let (states, answers) = program.states();
        let build = |index: &usize| {
            let spec = &program.aggregates[*index].spec;
            spec.build().map_err(|source| ProgramError::Aggregate { index: *index, source })
        };
        let mut aggregates: Vec<Box<dyn Aggregate>> = states.iter().map(build).collect::<Result<_, _>>()?;
        let mut lenders = lenders(program, &states);
        for (sum, extreme) in neighbours(program, &states) {
            if let Some(both) = sum_extreme::build(spec_of(program, &states, sum), spec_of(program, &states, extreme)) {
                (aggregates[sum], lenders[extreme]) = (both, Some(sum));
            }
        }
        let table = GroupTable::new(&types).expecting(expected);
        Ok(CpuState { program: program.clone(), table, states, aggregates, lenders, answers, ids: Vec::new() })
    }

    /// The state of groups that another device has folded: the columns of their keys, no key twice, and for each call that
    /// has states ([`Program::states`]) these as [`Aggregate::save`] writes them.
    pub fn load(
        program: &Arc<Program>,
        groups: usize,
        keys: &[ArrayRef],
        saved: &[BinaryArray],
    ) -> Result<Box<dyn GroupState>, ProgramError> {
        let mut state = Cpu::empty(program, groups)?;
        state.table.intern(keys, Rows::All(groups), &mut state.ids)?;
        debug_assert_eq!(state.table.len(), groups, "no key twice");
        let counts: Vec<usize> = (0..state.states.len()).filter(|place| state.is_row_count(*place)).collect();
        counts.into_iter().for_each(|count| state.lenders[count] = None);
        for (place, saved) in saved.iter().enumerate() {
            let failed = state.failed(place);
            if state.lenders[place].is_none() {
                state.aggregates[place].load(saved).map_err(failed)?;
            }
        }
        for (place, saved) in saved.iter().enumerate() {
            if let Some(lender) = state.lenders[place] {
                let failed = state.failed(place);
                state.aggregates[lender].load_beside(saved).map_err(failed)?;
            }
        }
        Ok(Box::new(state))
    }

    /// The groups of a state of any device, as [`Cpu::load`] takes them back; in parts that have no key in common.
    pub fn save(state: &dyn GroupState) -> Result<Vec<SavedGroups>, ProgramError> {
        state.parts()?.into_iter().map(|part| of_cpu(part).save()).collect()
    }
}

/// Groups with their states as bytes.
#[derive(Clone, Debug)]
pub struct SavedGroups {
    /// How many there are.
    pub groups: usize,
    /// Columns of their keys.
    pub keys: Vec<ArrayRef>,
    /// For each call that has states ([`Program::states`]) these as [`Aggregate::save`] writes them.
    pub states: Vec<BinaryArray>,
}

/// A group table and columns of states.
struct CpuState {
    program: Arc<Program>,
    table: GroupTable,
    /// The calls that have states; see [`Program::states`].
    states: Vec<usize>,
    aggregates: Vec<Box<dyn Aggregate>>,
    /// For states of `COUNT(*)`: whose counts say the same, because no NULL has come there yet. They have no states of
    /// their own until one does. For extremes: the sums of the same values that have them beside each, for good.
    lenders: Vec<Option<usize>>,
    /// Whose states answer each call.
    answers: Vec<usize>,
    /// Scratch: the group of each row of the batch at hand.
    ids: Vec<u32>,
}

/// For each state of `COUNT(*)` another that counts the rows of an argument.
fn lenders(program: &Program, states: &[usize]) -> Vec<Option<usize>> {
    let counts = |state: &usize| {
        let call = &program.aggregates[*state];
        call.filter.is_none() && call.spec.counts_rows()
    };
    let lender = states.iter().position(counts);
    states.iter().map(|state| lender.filter(|_| program.aggregates[*state].is_row_count())).collect()
}

/// Places of a sum and of an extreme of the same values, over the same rows: at most one extreme to a sum.
fn neighbours(program: &Program, states: &[usize]) -> Vec<(usize, usize)> {
    let call = |place: usize| &program.aggregates[states[place]];
    let of_rows = |place: usize| (&call(place).args, call(place).filter);
    let places = || 0..states.len();
    let sums = places().filter(|sum| matches!(call(*sum).spec.kind, AggregateKind::Sum | AggregateKind::Avg));
    let is_extreme = |place: usize| matches!(call(place).spec.kind, AggregateKind::Min | AggregateKind::Max);
    sums.filter_map(|sum| Some((sum, places().find(|place| is_extreme(*place) && of_rows(*place) == of_rows(sum))?)))
        .collect()
}

fn spec_of<'p>(program: &'p Program, states: &[usize], place: usize) -> &'p AggregateSpec {
    &program.aggregates[states[place]].spec
}

impl CpuState {
    fn failed(&self, state: usize) -> impl Fn(AggregateError) -> ProgramError + use<> {
        let index = self.states[state];
        move |source| ProgramError::Aggregate { index, source }
    }

    fn is_row_count(&self, state: usize) -> bool {
        self.program.aggregates[self.states[state]].is_row_count()
    }

    /// The rows of each group that `lender` has counted, as states of `COUNT(*)`.
    fn counted(&self, count: usize, lender: usize) -> Result<Box<dyn Aggregate>, ProgramError> {
        let spec = &self.program.aggregates[self.states[count]].spec;
        let counts = self.aggregates[lender].answer(spec).map_err(self.failed(count))?;
        let counts = counts.as_primitive::<arrow::datatypes::Int64Type>();
        let mut states = spec.build().map_err(self.failed(count))?;
        let saved = BinaryArray::from_iter_values(counts.values().iter().map(|count| count.to_le_bytes()));
        states.load(&saved).map_err(self.failed(count))?;
        Ok(states)
    }

    /// The selected rows of number columns that several states want, side by side: gathered once, not by each.
    fn squeezed(&self, columns: &[ArrayRef], rows: Rows<'_>) -> Result<BTreeMap<usize, ArrayRef>, ProgramError> {
        let Rows::List(list) = rows else { return Ok(BTreeMap::new()) };
        let calls = || self.states.iter().map(|state| &self.program.aggregates[*state]);
        let alone = || calls().filter(|call| call.args.len() == 1 && call.filter.is_none()).map(|call| call.args[0]);
        let wanted = |column: &usize| {
            columns[*column].data_type().is_primitive() && alone().filter(|other| other == column).count() > 1
        };
        let wanted: BTreeSet<usize> = alone().filter(wanted).collect();
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        let from: Vec<ArrayRef> = wanted.iter().map(|column| columns[*column].clone()).collect();
        let gathered = gather(&from, &UInt32Array::from(list.to_vec())).map_err(GroupTableError::from)?;
        Ok(wanted.into_iter().zip(gathered).collect())
    }

    /// Gives `COUNT(*)` states of its own.
    fn settle(&mut self, count: usize) -> Result<(), ProgramError> {
        if let Some(lender) = self.lenders[count].filter(|_| self.is_row_count(count)) {
            self.aggregates[count] = self.counted(count, lender)?;
            self.lenders[count] = None;
        }
        Ok(())
    }

    fn save(&self) -> Result<SavedGroups, ProgramError> {
        let states = (0..self.states.len()).map(|state| match self.lenders[state] {
            None => Ok(self.aggregates[state].save()),
            Some(lender) if self.is_row_count(state) => Ok(self.counted(state, lender)?.save()),
            Some(lender) => Ok(self.extremes(state, lender)?.save()),
        });
        Ok(SavedGroups {
            groups: self.table.len(),
            keys: self.table.keys()?,
            states: states.collect::<Result<_, ProgramError>>()?,
        })
    }

    /// The extremes that lie beside the sums of `lender`, as states of their own.
    fn extremes(&self, state: usize, lender: usize) -> Result<Box<dyn Aggregate>, ProgramError> {
        let (spec, failed) = (&self.program.aggregates[self.states[state]].spec, self.failed(state));
        let values = self.aggregates[lender].answer(spec).map_err(&failed)?;
        let mut own = spec.build().map_err(&failed)?;
        own.resize(values.len());
        let ids: Vec<u32> = (0..values.len() as u32).collect();
        own.update(&[values], Rows::All(ids.len()), &ids).map_err(failed)?;
        Ok(own)
    }

    fn merge_part(&mut self, other: &CpuState) -> Result<(), ProgramError> {
        for count in 0..self.states.len() {
            if other.lenders[count].is_none() {
                self.settle(count)?;
            }
        }
        let map = self.table.absorb(&other.table)?;
        let groups = self.table.len();
        for (state, theirs) in other.aggregates.iter().enumerate() {
            let counted = match (self.lenders[state], other.lenders[state]) {
                (Some(_), _) => continue,
                (None, Some(lender)) => Some(other.counted(state, lender)?),
                (None, None) => None,
            };
            let failed = self.failed(state);
            let mine = &mut self.aggregates[state];
            mine.resize(groups);
            mine.merge(counted.as_deref().unwrap_or(theirs.as_ref()), &map).map_err(failed)?;
        }
        Ok(())
    }

    fn unmerge_part(&mut self, other: &CpuState) -> Result<bool, ProgramError> {
        let mut counted: Vec<Option<Box<dyn Aggregate>>> = vec![];
        for state in 0..self.states.len() {
            counted.push(match (self.lenders[state], other.lenders[state]) {
                (None, Some(lender)) => Some(other.counted(state, lender)?),
                (Some(_), None) => return Ok(false),
                _ => None,
            });
        }
        let own: Vec<usize> = (0..self.states.len()).filter(|state| self.lenders[*state].is_none()).collect();
        let theirs = |state: usize| counted[state].as_deref().unwrap_or(other.aggregates[state].as_ref());
        if !own.iter().all(|state| self.aggregates[*state].can_unmerge(theirs(*state))) {
            return Ok(false);
        }
        let map = self.table.absorb(&other.table)?;
        for state in own {
            self.aggregates[state].unmerge(theirs(state), &map);
        }
        Ok(true)
    }
}

fn of_cpu(state: &dyn GroupState) -> &CpuState {
    state.as_any().downcast_ref().expect("parts are states of the processor")
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
        for count in 0..self.states.len() {
            let has_nulls = |lender: usize| {
                let args = &program.aggregates[self.states[lender]].args;
                args.iter().any(|arg| columns[*arg].logical_null_count() > 0)
            };
            if self.is_row_count(count) && self.lenders[count].is_some_and(has_nulls) {
                self.settle(count)?;
            }
        }
        let squeezed = self.squeezed(columns, rows)?;
        for ((&index, aggregate), lender) in self.states.iter().zip(&mut self.aggregates).zip(&self.lenders) {
            if lender.is_some() {
                continue;
            }
            let call = &program.aggregates[index];
            aggregate.resize(groups);
            if let ([arg], None) = (&call.args[..], call.filter)
                && let Some(column) = squeezed.get(arg)
            {
                let folded = aggregate.update(std::slice::from_ref(column), Rows::All(rows.len()), &self.ids);
                folded.map_err(|source| ProgramError::Aggregate { index, source })?;
                continue;
            }
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
        other.parts()?.into_iter().try_for_each(|part| self.merge_part(of_cpu(part)))
    }

    fn unmerge(&mut self, other: &dyn GroupState) -> Result<bool, ProgramError> {
        let parts = other.parts()?;
        for (done, part) in parts.iter().enumerate() {
            if !self.unmerge_part(of_cpu(*part))? {
                parts[..done].iter().try_for_each(|part| self.merge_part(of_cpu(*part)))?;
                return Ok(false);
            }
        }
        Ok(true)
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
                let answer = self.aggregates[self.lenders[*state].unwrap_or(*state)].answer(&call.spec);
                answer.map_err(|source| ProgramError::Aggregate { index, source })
            })
            .collect()
    }

    fn parts(&self) -> Result<Vec<&dyn GroupState>, ProgramError> {
        Ok(vec![self])
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
    let passes = |row: usize| values.value(row) && filter.nulls().is_none_or(|n| n.is_valid(row));
    (0..rows.len())
        .map(|i| (rows.get(i), ids[i]))
        .filter(|(row, _)| passes(*row))
        .map(|(row, id)| (row as u32, id))
        .unzip()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array};

    use super::*;

    #[test]
    fn rows_are_counted_by_a_sum_until_a_null_comes() {
        let spec = |kind, arg_types: &[DataType]| AggregateSpec {
            kind,
            distinct: false,
            arg_types: arg_types.to_vec(),
            fast_float: false,
        };
        let aggregates = vec![
            AggregateCall { spec: spec(AggregateKind::Count, &[]), args: vec![], filter: None },
            AggregateCall { spec: spec(AggregateKind::Sum, &[DataType::Float64]), args: vec![1], filter: None },
        ];
        let program = Arc::new(Program { keys: vec![(0, DataType::Int64)], aggregates });
        let fed = |rows: &[(i64, Option<f64>)]| {
            let mut state = Cpu.state(&program, 0).unwrap();
            for chunk in rows.chunks(2) {
                let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(chunk.iter().map(|r| r.0)));
                let values: ArrayRef = Arc::new(Float64Array::from_iter(chunk.iter().map(|r| r.1)));
                state.update(&[keys, values], Rows::All(chunk.len())).unwrap();
            }
            state
        };
        let counts = |state: &dyn GroupState| {
            let counts = state.finish().unwrap()[0].clone();
            counts.as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
        };
        let plain = [(7, Some(1.0)), (8, Some(2.0)), (7, Some(3.0))];
        let holed = [(7, Some(1.0)), (8, Some(2.0)), (8, None), (9, None), (7, Some(1.0))];
        assert_eq!(counts(fed(&plain).as_ref()), [2, 1]);
        assert_eq!(counts(fed(&holed).as_ref()), [2, 2, 1]);
        for (left, right, want) in [
            (&plain[..], &plain[..], vec![4, 2]),
            (&plain[..], &holed[..], vec![4, 3, 1]),
            (&holed[..], &plain[..], vec![4, 3, 1]),
            (&holed[..], &holed[..], vec![4, 4, 2]),
        ] {
            let (mut into, from) = (fed(left), fed(right));
            into.merge(from.as_ref()).unwrap();
            assert_eq!(counts(into.as_ref()), want);
            if into.unmerge(from.as_ref()).unwrap() {
                assert_eq!(counts(into.as_ref())[..2], counts(fed(left).as_ref())[..2]);
            }
        }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let call = |kind, args: &[usize]| {
            let arg_types = args.iter().map(|_| DataType::Float64).collect();
            let spec = AggregateSpec { kind, distinct: false, arg_types, fast_float: false };
            AggregateCall { spec, args: args.to_vec(), filter: None }
        };
        use AggregateKind::*;
        for kinds in [[Sum, Max], [Avg, Min], [StddevSamp, Max], [Max, Min]] {
            let aggregates = vec![call(Count, &[]), call(kinds[0], &[1]), call(kinds[1], &[1])];
            let program = Arc::new(Program { keys: vec![(0, DataType::Int64)], aggregates });
            let fed = |values: &[Option<f64>]| {
                let mut state = Cpu.state(&program, 0).unwrap();
                let keys: ArrayRef = Arc::new(Int64Array::from_iter_values((0..values.len()).map(|i| i as i64 % 3)));
                let values: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
                let rows = Rows::All(values.len());
                state.update(&[keys, values], rows).unwrap();
                state
            };
            for values in [
                [Some(1.5), Some(-0.0), Some(f64::NAN), Some(7.0), Some(1e300)],
                [Some(1.5), None, None, Some(7.0), None],
            ] {
                let state = fed(&values);
                let saved = Cpu::save(state.as_ref()).unwrap();
                let again = Cpu::load(&program, saved[0].groups, &saved[0].keys, &saved[0].states).unwrap();
                assert_eq!(format!("{:?}", again.finish().unwrap()), format!("{:?}", state.finish().unwrap()));
                assert_eq!(format!("{:?}", Cpu::save(again.as_ref()).unwrap()), format!("{saved:?}"));
            }
        }
    }

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
