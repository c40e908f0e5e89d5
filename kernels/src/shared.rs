//! `SharedState`: groups that several workers fold into at once.
//!
//! Plain idea: each worker folds into a state of its own, and these are merged. Departure: with many groups that keeps most
//! of them once a worker, in memory and in caches, and merging them costs as much as folding. So groups are cut into parts by
//! a hash of their keys, each with a lock; a worker sorts the rows of a batch by part and takes the parts that are free.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::*;

use crate::Rows;
use crate::canonical::canonical_key_floats;
use crate::group_table::{GroupTableError, hash};
use crate::program::{Device, GroupState, Program, ProgramError};

/// Rows that are looked at to guess how many groups there will be.
const SAMPLE: usize = 4096;

/// See the module.
pub struct SharedState {
    /// Columns of the key.
    keys: Vec<usize>,
    /// These, and those of arguments and filters.
    reads: BTreeSet<usize>,
    parts: Vec<Mutex<Box<dyn GroupState>>>,
    /// The part that the next update begins with, so that workers begin apart.
    next: AtomicUsize,
}

impl SharedState {
    /// Whether the keys of a program have a hash.
    pub fn is_possible(program: &Program) -> bool {
        !program.keys.is_empty() && program.keys.iter().all(|(_, data_type)| has_hash(data_type))
    }

    /// Whether the first rows of a batch are so many and so different that most groups are still to come.
    pub fn is_worth_it(program: &Program, columns: &[ArrayRef], rows: Rows<'_>) -> bool {
        Self::different(program, columns, rows).is_some_and(|keys| keys > SAMPLE / 2)
    }

    /// Whether keys are skewed: the first rows of a batch, so many that it can be told, have half as many keys at most.
    pub fn is_skewed(program: &Program, columns: &[ArrayRef], rows: Rows<'_>) -> bool {
        Self::different(program, columns, rows).is_some_and(|keys| keys <= SAMPLE / 2)
    }

    /// How many different keys the first rows of a batch have, if there are enough rows.
    fn different(program: &Program, columns: &[ArrayRef], rows: Rows<'_>) -> Option<usize> {
        if rows.len() < SAMPLE || !Self::is_possible(program) {
            return None;
        }
        let sample: Vec<u32> = (0..SAMPLE).map(|i| rows.get(i) as u32).collect();
        let keys: Vec<&ArrayRef> = program.keys.iter().map(|(key, _)| &columns[*key]).collect();
        let mut hashes = hashes(&keys, Rows::List(&sample));
        hashes.sort_unstable();
        hashes.dedup();
        Some(hashes.len())
    }

    /// An empty state for some workers, of about `expected` groups.
    pub fn new(
        device: &dyn Device,
        program: &Arc<Program>,
        workers: usize,
        expected: usize,
    ) -> Result<Self, ProgramError> {
        let parts = 4 * workers;
        let part = |_| device.state(program, expected / parts).map(Mutex::new);
        let keys: Vec<usize> = program.keys.iter().map(|(column, _)| *column).collect();
        let of_calls = program.aggregates.iter().flat_map(|call| call.args.iter().chain(&call.filter));
        Ok(SharedState {
            reads: keys.iter().chain(of_calls).copied().collect(),
            keys,
            parts: (0..parts).map(part).collect::<Result<_, _>>()?,
            next: AtomicUsize::new(0),
        })
    }

    /// Folds the selected rows in.
    pub fn update(&self, columns: &[ArrayRef], rows: Rows<'_>) -> Result<(), ProgramError> {
        let keys: Vec<&ArrayRef> = self.keys.iter().map(|key| &columns[*key]).collect();
        let ByPart { rows, starts } = sorted(&keys, rows, self.parts.len());
        // Each column is brought into the order of the parts once: the parts then read it from end to end.
        let (order, mut columns) = (UInt32Array::from(rows), columns.to_vec());
        for read in &self.reads {
            columns[*read] = take(&columns[*read], &order, None).map_err(GroupTableError::from)?;
        }
        let fold = |part: usize, state: &mut dyn GroupState| {
            let (start, len) = (starts[part], starts[part + 1] - starts[part]);
            let mut own = columns.clone();
            self.reads.iter().for_each(|read| own[*read] = columns[*read].slice(start, len));
            state.update(&own, Rows::All(len))
        };
        let first = self.next.fetch_add(1, Ordering::Relaxed) * 3;
        let mut busy: Vec<usize> = (0..self.parts.len()).map(|i| (first + i) % self.parts.len()).collect();
        busy.retain(|part| starts[*part] < starts[part + 1]);
        // Those that are free first, then those that were not.
        let mut failed = None;
        busy.retain(|part| match self.parts[*part].try_lock() {
            Ok(mut state) => {
                failed = failed.take().or(fold(*part, state.as_mut()).err());
                false
            }
            Err(_) => true,
        });
        for part in busy {
            let mut state = self.parts[part].lock().unwrap_or_else(PoisonError::into_inner);
            failed = failed.take().or(fold(part, state.as_mut()).err());
        }
        failed.map_or(Ok(()), Err)
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.parts.iter().map(|part| part.lock().unwrap_or_else(PoisonError::into_inner).groups()).sum()
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.lock().unwrap_or_else(PoisonError::into_inner).memory_bytes()).sum()
    }

    /// The groups as one state, when the workers are done.
    pub fn into_state(self) -> Box<dyn GroupState> {
        let parts = self.parts.into_iter().map(|part| part.into_inner().unwrap_or_else(PoisonError::into_inner));
        Box::new(Parts(parts.collect()))
    }
}

/// States that have no key in common, cut alike: part by part the same keys as in others of so many parts.
struct Parts(Vec<Box<dyn GroupState>>);

impl Parts {
    /// Makes one part of all.
    fn join(&mut self) -> Result<&mut dyn GroupState, ProgramError> {
        let mut rest = self.0.drain(1..).collect::<Vec<_>>();
        // A state with rows is merged in, never lost: on an error the run ends.
        rest.drain(..).try_for_each(|part| self.0[0].merge(part.as_ref()))?;
        Ok(self.0[0].as_mut())
    }

    fn concatenated(
        &self,
        columns: impl Fn(&dyn GroupState) -> Result<Vec<ArrayRef>, ProgramError>,
    ) -> Result<Vec<ArrayRef>, ProgramError> {
        let parts = self.0.iter().map(|part| columns(part.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let column = |at: usize| {
            let pieces: Vec<&dyn Array> = parts.iter().map(|columns| columns[at].as_ref()).collect();
            Ok(concat(&pieces).map_err(GroupTableError::from)?)
        };
        (0..parts[0].len()).map(column).collect()
    }
}

impl GroupState for Parts {
    fn update(&mut self, columns: &[ArrayRef], rows: Rows<'_>) -> Result<(), ProgramError> {
        self.join()?.update(columns, rows)
    }

    fn merge(&mut self, other: &dyn GroupState) -> Result<(), ProgramError> {
        let theirs = other.parts()?;
        if theirs.len() == self.0.len() {
            return self.0.iter_mut().zip(theirs).try_for_each(|(mine, theirs)| mine.merge(theirs));
        }
        self.join()?.merge(other)
    }

    fn unmerge(&mut self, other: &dyn GroupState) -> Result<bool, ProgramError> {
        self.join()?.unmerge(other)
    }

    fn groups(&self) -> usize {
        self.0.iter().map(|part| part.groups()).sum()
    }

    fn keys(&self) -> Result<Vec<ArrayRef>, ProgramError> {
        self.concatenated(|part| part.keys())
    }

    fn finish(&self) -> Result<Vec<ArrayRef>, ProgramError> {
        self.concatenated(|part| part.finish())
    }

    fn parts(&self) -> Result<Vec<&dyn GroupState>, ProgramError> {
        let parts = self.0.iter().map(|part| part.parts()).collect::<Result<Vec<_>, _>>()?;
        Ok(parts.concat())
    }

    fn memory_bytes(&self) -> usize {
        self.0.iter().map(|part| part.memory_bytes()).sum()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Rows by part.
struct ByPart {
    rows: Vec<u32>,
    /// Where the rows of each part begin; the last entry is their end.
    starts: Vec<usize>,
}

/// The selected rows by the hash of their keys, in order within a part.
fn sorted(keys: &[&ArrayRef], rows: Rows<'_>, parts: usize) -> ByPart {
    let hashes = hashes(keys, rows);
    // Not the top bits: the tables of the parts go by these.
    let part = |hash: u64| (((hash & 0xffff_ffff) * parts as u64) >> 32) as usize;
    let mut starts = vec![0; parts + 1];
    hashes.iter().for_each(|hash| starts[part(*hash) + 1] += 1);
    (0..parts).for_each(|i| starts[i + 1] += starts[i]);
    let (mut next, mut by_part) = (starts.clone(), vec![0; rows.len()]);
    for (i, hash) in hashes.iter().enumerate() {
        let at = &mut next[part(*hash)];
        by_part[*at] = rows.get(i) as u32;
        *at += 1;
    }
    ByPart { rows: by_part, starts }
}

fn has_hash(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => has_hash(values),
        DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        other => other.primitive_width().is_some_and(|width| width <= 16),
    }
}

/// The hashes of the selected rows' keys: equal keys, in whatever encoding, have equal hashes.
fn hashes(keys: &[&ArrayRef], rows: Rows<'_>) -> Vec<u64> {
    if let [key] = keys {
        return own_hashes(key, rows);
    }
    let mut all = vec![0_u64; rows.len()];
    for key in keys {
        for (hash, own) in all.iter_mut().zip(own_hashes(key, rows)) {
            *hash = hash::of_words(&[hash.rotate_left(17) ^ own]);
        }
    }
    all
}

/// The hashes of one column's values.
fn own_hashes(column: &ArrayRef, rows: Rows<'_>) -> Vec<u64> {
    const NULL: u64 = 0x9e37_79b9_7f4a_7c15;
    let column = if column.data_type().is_floating() { canonical_key_floats(column) } else { column.clone() };
    let selected = (0..rows.len()).map(|i| rows.get(i));
    let of = |word: u64| hash::of_words(&[word]);
    macro_rules! words {
        ($type:ty, $word:expr) => {{
            let data = column.to_data();
            let values = data.buffer::<$type>(0);
            selected.map(|row| of($word(values[row]))).collect()
        }};
    }
    macro_rules! texts {
        ($values:expr) => {{
            let values = $values;
            selected.map(|row| hash::of_bytes(values.value(row).as_bytes())).collect()
        }};
    }
    let mut hashes: Vec<u64> = match column.data_type() {
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let values = dictionary.values();
            let of_values = own_hashes(values, Rows::All(values.len()));
            let keys = if values.is_empty() { vec![0; column.len()] } else { dictionary.normalized_keys() };
            selected.map(|row| of_values.get(keys[row]).copied().unwrap_or(NULL)).collect()
        }
        DataType::Boolean => {
            let values = column.as_boolean().values().clone();
            selected.map(|row| of(u64::from(values.value(row)))).collect()
        }
        DataType::Utf8 => texts!(column.as_string::<i32>()),
        DataType::LargeUtf8 => texts!(column.as_string::<i64>()),
        DataType::Utf8View => texts!(column.as_string_view()),
        other => match other.primitive_width() {
            Some(1) => words!(u8, u64::from),
            Some(2) => words!(u16, u64::from),
            Some(4) => words!(u32, u64::from),
            Some(8) => words!(u64, std::convert::identity),
            Some(16) => words!(u128, |word: u128| word as u64 ^ (word >> 64) as u64),
            _ => unreachable!("`is_possible` was asked"),
        },
    };
    if let Some(nulls) = column.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
        hashes.iter_mut().enumerate().filter(|(i, _)| nulls.is_null(rows.get(*i))).for_each(|(_, hash)| *hash = NULL);
    }
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{AggregateKind, AggregateSpec};
    use crate::program::{AggregateCall, Cpu};
    use arrow::array::*;

    fn program(key: DataType) -> Arc<Program> {
        let spec = |kind, arg_types: &[DataType], distinct| AggregateSpec {
            kind,
            distinct,
            arg_types: arg_types.to_vec(),
            fast_float: false,
        };
        let call = |spec, args: &[usize]| AggregateCall { spec, args: args.to_vec(), filter: None };
        let aggregates = vec![
            call(spec(AggregateKind::Count, &[], false), &[]),
            call(spec(AggregateKind::Sum, &[DataType::Float64], false), &[1]),
            call(spec(AggregateKind::Max, &[DataType::Float64], false), &[1]),
            call(spec(AggregateKind::Count, &[DataType::Int64], true), &[2]),
        ];
        Arc::new(Program { keys: vec![(0, key)], aggregates })
    }

    fn columns(from: usize, n: usize) -> Vec<ArrayRef> {
        let number = |i: usize| (i * 7919) % 1009;
        vec![
            Arc::new((from..from + n).map(|i| (i % 11 > 0).then(|| number(i) as i64)).collect::<Int64Array>()),
            Arc::new((from..from + n).map(|i| (i % 7 > 0).then(|| i as f64 / 10.0)).collect::<Float64Array>()),
            Arc::new((from..from + n).map(|i| (i % 5) as i64).collect::<Int64Array>()),
        ]
    }

    /// Keys and answers of all groups, as text in order.
    fn answers(states: &[&dyn GroupState]) -> Vec<String> {
        let mut lines = vec![];
        for state in states {
            let columns = [state.keys().unwrap(), state.finish().unwrap()].concat();
            let options = arrow::util::display::FormatOptions::default().with_null("NULL");
            let shown = |c: &ArrayRef, row| {
                arrow::util::display::ArrayFormatter::try_new(c, &options).unwrap().value(row).to_string()
            };
            lines
                .extend((0..state.groups()).map(|g| columns.iter().map(|c| shown(c, g)).collect::<Vec<_>>().join("|")));
        }
        lines.sort();
        lines
    }

    #[test]
    fn the_first_rows_tell_many_keys_from_skewed_ones() {
        let program = program(DataType::Int64);
        let told = |n: usize, keys: i64| {
            let mut columns = columns(0, n);
            columns[0] = Arc::new((0..n as i64).map(|i| i % keys).collect::<Int64Array>());
            let (columns, rows) = (&columns, Rows::All(n));
            (SharedState::is_worth_it(&program, columns, rows), SharedState::is_skewed(&program, columns, rows))
        };
        assert_eq!(told(SAMPLE, 100_000), (true, false));
        assert_eq!(told(2 * SAMPLE, 100), (false, true));
        assert_eq!(told(SAMPLE - 1, 100), (false, false), "too few rows to tell");
    }

    #[test]
    fn several_workers_give_what_one_gives() {
        let program = program(DataType::Int64);
        let mut alone = Cpu.state(&program, 0).unwrap();
        for start in (0..20_000).step_by(1000) {
            alone.update(&columns(start, 1000), Rows::All(1000)).unwrap();
        }
        let want = answers(&[alone.as_ref()]);
        let shared = SharedState::new(&Cpu, &program, 3, 1000).unwrap();
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let shared = &shared;
                scope.spawn(move || {
                    for start in (0..20).filter(|i| i % 3 == worker) {
                        let odd: Vec<u32> = (0..1000).filter(|i| i % 2 == 1).collect();
                        let even: Vec<u32> = (0..1000).filter(|i| i % 2 == 0).collect();
                        shared.update(&columns(start * 1000, 1000), Rows::List(&odd)).unwrap();
                        shared.update(&columns(start * 1000, 1000), Rows::List(&even)).unwrap();
                    }
                });
            }
        });
        assert_eq!(shared.groups(), alone.groups());
        let state = shared.into_state();
        assert!(state.parts().unwrap().iter().filter(|part| part.groups() > 40).count() > 8, "the groups spread");
        assert_eq!(answers(&state.parts().unwrap()), want);
        assert_eq!(answers(&[state.as_ref()]), want);

        // Merged into a state of one part, and the other way round; and with another in parts.
        let mut whole = Cpu.state(&program, 0).unwrap();
        whole.merge(state.as_ref()).unwrap();
        assert_eq!(answers(&[whole.as_ref()]), want);
        let mut twice = Cpu.state(&program, 0).unwrap();
        twice.merge(alone.as_ref()).unwrap();
        twice.merge(alone.as_ref()).unwrap();
        let want = answers(&[twice.as_ref()]);
        let in_parts = || {
            let shared = SharedState::new(&Cpu, &program, 3, 0).unwrap();
            (0..20).for_each(|i| shared.update(&columns(i * 1000, 1000), Rows::All(1000)).unwrap());
            shared.into_state()
        };
        let (mut both, mut one) = (in_parts(), in_parts());
        both.merge(in_parts().as_ref()).unwrap();
        assert_eq!((answers(&[both.as_ref()]), both.parts().unwrap().len()), (want.clone(), 12));
        one.merge(alone.as_ref()).unwrap();
        assert_eq!(answers(&[one.as_ref()]), want);
    }

    #[test]
    fn what_was_merged_in_parts_can_be_taken_out() {
        let mut program = program(DataType::Int64).as_ref().clone();
        program.aggregates.truncate(2);
        let program = Arc::new(program);
        let state = |from: usize, in_parts: bool| -> Box<dyn GroupState> {
            let mut alone = Cpu.state(&program, 0).unwrap();
            let shared = SharedState::new(&Cpu, &program, 2, 0).unwrap();
            match in_parts {
                true => shared.update(&columns(from, 3000), Rows::All(3000)).unwrap(),
                false => alone.update(&columns(from, 3000), Rows::All(3000)).unwrap(),
            }
            if in_parts { shared.into_state() } else { alone }
        };
        let mut running = state(0, false);
        running.merge(state(3000, true).as_ref()).unwrap();
        assert!(running.unmerge(state(3000, true).as_ref()).unwrap());
        let counted = |lines: Vec<String>| lines.into_iter().filter(|l| !l.contains("|0|")).collect::<Vec<_>>();
        assert_eq!(counted(answers(&[running.as_ref()])), answers(&[state(0, false).as_ref()]));
    }

    #[test]
    fn equal_keys_have_equal_hashes_in_every_encoding() {
        let hashes = |column: ArrayRef| {
            assert!(has_hash(column.data_type()));
            hashes(&[&column], Rows::All(column.len()))
        };
        let words: StringArray = vec![Some("a"), None, Some("b"), Some("a")].into();
        let coded = |to: &DataType| arrow::compute::cast(&words, to).unwrap();
        let want = hashes(Arc::new(words.clone()));
        for to in [
            DataType::LargeUtf8,
            DataType::Utf8View,
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)),
        ] {
            assert_eq!(hashes(coded(&to)), want, "{to}");
        }
        assert!(want[0] == want[3] && want[0] != want[2] && want[0] != want[1]);
        let doubles = hashes(Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN])));
        assert!(doubles[0] == doubles[1] && doubles[2] == doubles[3] && doubles[0] != doubles[2]);
    }
}
