//! What of a program lies where on a device: columns of a batch, words of a key, words of a group's state.
//!
//! A device folds what needs no more than 32-bit integer atomics: counts, exact sums as limbs, extremes. Its layout
//! also says what it can not fold: [`Layout::of`] names every such call at once. The layout of a stage is that of its
//! program, the pane being a further word of the key, with the columns that only tests and times need behind the
//! others.

use arrow::datatypes::DataType;
use pelton_kernels::aggregate::{AggregateKind, AggregateSpec};
use pelton_kernels::program::{AggregateCall, Program, Stop};
use pelton_kernels::stage::{Stage, Test};

use crate::Unfit;

/// How the values of a column are uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// None: only which rows take part.
    Presence,
    /// Ids that the host has given to values which have no other form.
    Id,
    /// An integer or what is stored as one: words, and whether it has a sign.
    Integer { words: u32, signed: bool },
    /// A float, by its bits: one or two words.
    Float { words: u32 },
    /// The place of a value in the column's dictionary; NULL is behind them all.
    Code,
    /// What tells the pane of a time: ticks from the beginning of the first pane of the batch.
    Ticks,
}

impl Form {
    /// Words of a value.
    pub(crate) fn words(self) -> u32 {
        match self {
            Form::Presence => 0,
            Form::Id | Form::Code | Form::Ticks => 1,
            Form::Integer { words, .. } | Form::Float { words } => words,
        }
    }
}

/// A column that a batch brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// The input column of the values; `None` if rows are counted, whatever is in them.
    pub input: Option<usize>,
    /// The input column that says which rows take part.
    pub filter: Option<usize>,
    /// How values are uploaded.
    pub form: Form,
}

/// What is kept of a column in each group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// How many rows took part: one word.
    Count,
    /// Likewise, and their sum: a word and limbs, and with doubles a word of flags.
    Sum { limbs: u32 },
    /// Likewise, and behind the limbs of the sum those of the sum of squares; flags come last.
    Moments { limbs: u32, squares: u32 },
    /// The least or greatest value: the best row of a batch, whether there is a value, and its words.
    Extreme { greatest: bool },
}

impl Kept {
    /// Limbs of the sum and of the sum of squares.
    pub(crate) fn limbs(self) -> (u32, u32) {
        match self {
            Kept::Sum { limbs } => (limbs, 0),
            Kept::Moments { limbs, squares } => (limbs, squares),
            Kept::Count | Kept::Extreme { .. } => (0, 0),
        }
    }
}

/// The states of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    /// Index of the call in the program.
    pub call: usize,
    /// What it is taken of; `None` of rows, all of which take part.
    pub column: Option<usize>,
    /// What is kept.
    pub kept: Kept,
    /// Where it begins among the words of a group.
    pub at: u32,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// What a batch brings: the keys first, in their order, then arguments, then what only tests and panes need.
    pub columns: Vec<Column>,
    /// How many keys there are.
    pub keys: usize,
    /// What a row must pass, each test with the place of the column that it looks at.
    pub tests: Vec<(usize, Test)>,
    /// Which of the columns tells the pane, where the last word of the key is one.
    pub pane: Option<usize>,
    /// Words of a group's key: which parts are NULL, then the parts, then the pane.
    pub key_words: u32,
    /// The states, in the order of [`Program::states`].
    pub states: Vec<State>,
    /// Words of a group's state.
    pub state_words: u32,
}

/// Limbs of a sum of doubles. Rows are below 2^32, so there is room for last bits that lie [`SPAN`] powers of two
/// apart.
pub(crate) const DOUBLE_LIMBS: u32 = 6;
/// How far apart the last bits of the smallest and the largest double of a sum may lie: the limbs, less a mantissa, the
/// count and the sign.
pub(crate) const SPAN: i32 = DOUBLE_LIMBS as i32 * 32 - 53 - 32 - 1;
/// Keys that can be NULL by their bit in the first word. Further ones get ids, in which NULL is a value.
const NULL_BITS: usize = 32;

impl Layout {
    /// The layout of a program, or all that stops it.
    pub(crate) fn of(program: &Program) -> Result<Layout, Vec<Stop>> {
        let mut layout = Layout {
            columns: vec![],
            keys: program.keys.len(),
            tests: vec![],
            pane: None,
            key_words: 1,
            states: vec![],
            state_words: 0,
        };
        for (place, (input, data_type)) in program.keys.iter().enumerate() {
            let form = integer(data_type).filter(|_| place < NULL_BITS).unwrap_or(Form::Id);
            layout.key_words += form.words();
            layout.columns.push(Column { input: Some(*input), filter: None, form });
        }
        let mut stops = vec![];
        for aggregate in 0..program.aggregates.len() {
            if let Err(reason) = kept(&program.aggregates[aggregate].spec) {
                stops.push(Stop { aggregate, reason });
            }
        }
        if !stops.is_empty() {
            return Err(stops);
        }
        for call in program.states().0 {
            layout.add(call, &program.aggregates[call]);
        }
        Ok(layout)
    }

    /// The layout of a stage over input columns of these types, if its program has one and its tests are of such.
    pub(crate) fn of_stage(stage: &Stage, types: &[DataType]) -> Result<Layout, Unfit> {
        let mut layout = Layout::of(&stage.program).map_err(|_| Unfit::Type)?;
        let columns = &mut layout.columns;
        let mut place = |input: usize, form: Form| {
            let wanted = Column { input: Some(input), filter: None, form };
            columns.iter().position(|there| *there == wanted).unwrap_or_else(|| {
                columns.push(wanted);
                columns.len() - 1
            })
        };
        for test in &stage.tests {
            let form = match test {
                Test::Integer { column, .. } => match integer(&types[*column]).ok_or(Unfit::Type)? {
                    // Not all of them lie in the order of signed words.
                    Form::Integer { words: 2, signed: false } | Form::Integer { words: 4, .. } => {
                        return Err(Unfit::Type);
                    }
                    form => form,
                },
                Test::Double { .. } => Form::Float { words: 2 },
                Test::Among { .. } => Form::Code,
            };
            let column = place(test.column(), form);
            layout.tests.push((column, test.clone()));
        }
        if let Some(panes) = stage.panes {
            layout.pane = Some(place(panes.column, Form::Ticks));
            layout.key_words += 1;
        }
        Ok(layout)
    }

    fn add(&mut self, call: usize, aggregate: &AggregateCall) {
        let (kept, form) = kept(&aggregate.spec).expect("nothing stops the program");
        let wanted = Column { input: aggregate.args.first().copied(), filter: aggregate.filter, form };
        let column = (wanted.input.is_some() || wanted.filter.is_some()).then(|| self.column(wanted));
        self.states.push(State { call, column, kept, at: self.state_words });
        self.state_words += match kept {
            Kept::Count => 1,
            Kept::Sum { limbs } => 1 + limbs + u32::from(matches!(form, Form::Float { .. })),
            Kept::Moments { limbs, squares } => 1 + limbs + squares + u32::from(matches!(form, Form::Float { .. })),
            Kept::Extreme { .. } => 2 + form.words(),
        };
    }

    /// The place of a column among those that a batch brings; a new one if it is not there yet.
    fn column(&mut self, wanted: Column) -> usize {
        let calls = self.keys..self.columns.len();
        calls.clone().find(|at| self.columns[*at] == wanted).unwrap_or_else(|| {
            self.columns.push(wanted);
            calls.end
        })
    }

    /// The form of the values that a state is taken of.
    pub(crate) fn form(&self, state: &State) -> Form {
        state.column.map_or(Form::Presence, |column| self.columns[column].form)
    }

    /// Words of the header of a batch: those that are about all of it, and three a column.
    pub(crate) fn header_words(&self) -> usize {
        self.header_at(self.columns.len())
    }

    /// Where the words of the header that are about a column begin.
    pub(crate) fn header_at(&self, column: usize) -> usize {
        4 + 3 * column
    }
}

/// What is kept for an aggregate, and the form it takes values in; or why a device does not keep it.
fn kept(spec: &AggregateSpec) -> Result<(Kept, Form), String> {
    use AggregateKind::*;
    let argument = spec.arg_types.first().map(plain);
    let unknown = |of: &DataType| format!("{} of {of} is not computed there", spec.kind);
    match spec.kind {
        Count | Sum | Avg | VarSamp | VarPop | StddevSamp | StddevPop if spec.distinct => {
            Err("DISTINCT needs a set of values, which is kept on the processor".into())
        }
        Count => Ok((Kept::Count, Form::Presence)),
        Sum | Avg | VarSamp | VarPop | StddevSamp | StddevPop => {
            let argument = argument.ok_or("it has no argument")?;
            let (limbs, squares, form) = match argument {
                DataType::Float32 | DataType::Float64 if spec.fast_float => {
                    return Err("sums under 'pelton.float-sum' = 'fast' depend on the order".into());
                }
                DataType::Float32 | DataType::Float64 => (DOUBLE_LIMBS, 2 * DOUBLE_LIMBS, Form::Float { words: 2 }),
                DataType::Decimal128(..) => (5, 9, Form::Integer { words: 4, signed: true }),
                other if other.is_integer() => {
                    let form = integer(other).ok_or_else(|| unknown(other))?;
                    (2 + form.words(), 2 + 2 * form.words(), form)
                }
                other => return Err(unknown(other)),
            };
            let kept = match spec.kind {
                Sum | Avg => Kept::Sum { limbs },
                _ => Kept::Moments { limbs, squares },
            };
            Ok((kept, form))
        }
        Min | Max => {
            let argument = argument.ok_or("it has no argument")?;
            let form = match argument {
                DataType::Float32 => Form::Float { words: 1 },
                DataType::Float64 => Form::Float { words: 2 },
                other => integer(other).ok_or_else(|| unknown(other))?,
            };
            Ok((Kept::Extreme { greatest: spec.kind == Max }, form))
        }
        _ => Err(format!("{} is not computed there", spec.kind)),
    }
}

/// The value type of dictionaries.
pub(crate) fn plain(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        other => other,
    }
}

/// The form of types that are stored as integers.
fn integer(data_type: &DataType) -> Option<Form> {
    use DataType::*;
    let (words, signed) = match data_type {
        Int8 | Int16 | Int32 | Date32 | Time32(_) => (1, true),
        Boolean | UInt8 | UInt16 | UInt32 => (1, false),
        Int64 | Date64 | Time64(_) | Timestamp(..) | Duration(_) => (2, true),
        UInt64 => (2, false),
        Decimal128(..) => (4, true),
        _ => return None,
    };
    Some(Form::Integer { words, signed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(kind: AggregateKind, arg_types: &[DataType], args: &[usize]) -> AggregateCall {
        let spec = AggregateSpec { kind, distinct: false, arg_types: arg_types.to_vec(), fast_float: false };
        AggregateCall { spec, args: args.to_vec(), filter: None }
    }

    #[test]
    fn calls_over_one_column_bring_it_once() {
        use AggregateKind::*;
        let aggregates = vec![
            call(Count, &[], &[]),
            call(Sum, &[DataType::Float64], &[1]),
            call(Max, &[DataType::Float64], &[1]),
            call(Min, &[DataType::Int32], &[2]),
        ];
        let layout = Layout::of(&Program { keys: vec![(0, DataType::Utf8)], aggregates }).unwrap();
        assert_eq!(layout.columns.len(), 3, "key, double, integer");
        assert_eq!((layout.key_words, layout.state_words), (2, 1 + 8 + 4 + 3));
    }

    #[test]
    fn everything_that_stops_a_program_is_named() {
        use AggregateKind::*;
        let mut aggregates = vec![
            call(Count, &[DataType::Utf8], &[1]),
            call(Max, &[DataType::Utf8], &[1]),
            call(VarPop, &[DataType::Float64], &[2]),
            call(FirstValue, &[DataType::Float64], &[2]),
            call(Sum, &[DataType::Int64], &[3]),
        ];
        aggregates[4].spec.distinct = true;
        let stops = Layout::of(&Program { keys: vec![], aggregates }).unwrap_err();
        assert_eq!(stops.iter().map(|stop| stop.aggregate).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(stops[0].reason, "MAX of Utf8 is not computed there");
        assert_eq!(stops[1].reason, "FIRST_VALUE is not computed there");
    }
}
