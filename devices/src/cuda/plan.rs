//! What a CUDA kernel of a stage sees: the columns that a batch brings, the words of a bucket; and what stops a stage.

use std::sync::Arc;

use arrow::datatypes::DataType;
use pelton_kernels::program::{Program, Stop};
use pelton_kernels::stage::{Stage, Test};

use crate::layout::{Form, Kept, Layout, State};

/// See the module.
#[derive(Debug)]
pub(crate) struct Plan {
    pub stage: Arc<Stage>,
    /// Keys and the states of aggregates.
    pub layout: Layout,
    /// What a batch brings: the layout's columns, then what only times and tests need.
    pub columns: Vec<Brought>,
    /// Which of the columns has the times of panes.
    pub time: Option<usize>,
    /// Which of the columns each test looks at.
    pub tests: Vec<usize>,
    /// Where the states of the layout begin among the words of a group's state, each at an even word.
    pub state_at: Vec<u32>,
    pub state_words: u32,
    /// Words of a key: which parts are NULL, the parts, the pane; an even number.
    pub key_words: u32,
    /// The word of the key that tells the pane.
    pub pane_word: u32,
}

/// A column of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Brought {
    /// The input column; `None` where rows are counted whatever is in them.
    pub input: Option<usize>,
    /// The input column that says which rows take part.
    pub filter: Option<usize>,
    pub form: Form,
    /// The values are keys of the input's dictionary.
    pub dictionary: bool,
}

/// Words before the key of a bucket: a tag, and how many rows it has.
pub(crate) const KEY_AT: u32 = 2;
/// Where the latter is.
pub(crate) const ROWS_AT: usize = 1;
/// Buckets begin at multiples of so many words, which are read at once.
const READ_WORDS: u32 = 4;

impl Plan {
    /// The plan of a stage, or everything in its program that stops it.
    pub(crate) fn of(stage: &Arc<Stage>) -> Result<Plan, Vec<Stop>> {
        let layout = Plan::layout(&stage.program)?;
        let brought = |input, filter, form| Brought { input, filter, form, dictionary: false };
        let mut columns: Vec<Brought> =
            layout.columns.iter().map(|column| brought(column.input, column.filter, column.form)).collect();
        let mut place = |wanted: Brought| {
            columns.iter().position(|there| *there == wanted).unwrap_or_else(|| {
                columns.push(wanted);
                columns.len() - 1
            })
        };
        let long = Form::Integer { words: 2, signed: true };
        let time = stage.panes.map(|panes| place(brought(Some(panes.column), None, long)));
        let tests = stage.tests.iter().map(|test| {
            let input = Some(test.column());
            match test {
                // Times are 64-bit integers too; shorter ones are widened by the wire.
                Test::Integer { .. } => place(brought(input, None, long)),
                Test::Double { .. } => place(brought(input, None, Form::Float { words: 2 })),
                // Ids of a key serve as well as the dictionary's keys.
                Test::Among { .. } => {
                    let key = layout.columns[..layout.keys].iter().position(|c| c.input == input && c.form == Form::Id);
                    key.unwrap_or_else(|| place(Brought { dictionary: true, ..brought(input, None, Form::Id) }))
                }
            }
        });
        let tests = tests.collect();
        let mut at = 0;
        let state_at = layout.states.iter().map(|state| {
            at += words_of(state, layout.form(state));
            at - words_of(state, layout.form(state))
        });
        let state_at = state_at.collect();
        let pane_word = layout.key_words;
        let key_words = (pane_word + 1).next_multiple_of(2);
        let state_words = (KEY_AT + key_words + at).next_multiple_of(READ_WORDS) - KEY_AT - key_words;
        Ok(Plan { stage: stage.clone(), layout, columns, time, tests, state_at, state_words, key_words, pane_word })
    }

    fn layout(program: &Program) -> Result<Layout, Vec<Stop>> {
        Layout::of(program)
    }

    /// Everything in a program that no kernel here does.
    pub(crate) fn stops(program: &Program) -> Vec<Stop> {
        Plan::layout(program).err().unwrap_or_default()
    }

    /// Words of a bucket.
    pub(crate) fn bucket_words(&self) -> u32 {
        KEY_AT + self.key_words + self.state_words
    }

    /// The types of the keys.
    pub(crate) fn key_types(&self) -> Vec<DataType> {
        self.stage.program.keys.iter().map(|(_, data_type)| data_type.clone()).collect()
    }
}

/// Words of the sum and of the sum of squares, each an even number.
pub(crate) fn limbs(kept: Kept) -> (u32, u32) {
    let (sum, squares) = kept.limbs();
    (sum.next_multiple_of(2), squares.next_multiple_of(2))
}

/// Words of a state: how many rows took no part; or that, flags and limbs; or a lock, whether there is a value, and the value.
fn words_of(state: &State, form: Form) -> u32 {
    match state.kept {
        Kept::Count => 2,
        Kept::Sum { .. } | Kept::Moments { .. } => {
            let (sum, squares) = limbs(state.kept);
            2 + sum + squares
        }
        Kept::Extreme { .. } => 2 + form.words().max(2),
    }
}
