//! CUDA C++ from a plan: templates, which say how, and a few generated lines a column, which say of what.
//!
//! One text is for one plan and one [`Wire`]: how wide values are on the way is a constant of the text, so that a load is one
//! instruction. What may change from batch to batch (row counts, places, constants of tests, scales) is data.

use std::fmt::Write;

use pelton_kernels::select::Comparison;
use pelton_kernels::stage::Test;

use super::plan::{Plan, limbs};
use crate::layout::{Form, Kept};

/// Threads of a block.
pub(crate) const THREADS: u32 = 256;
/// Buckets of its own memory that a block looks at for a row.
const PROBES: u32 = 4;

const BATCH: &str = include_str!("../../../shaders/cuda/batch.cu");
const LIMBS: &str = include_str!("../../../shaders/cuda/limbs.cu");
const TABLE: &str = include_str!("../../../shaders/cuda/table.cu");
const FOLD: &str = include_str!("../../../shaders/cuda/fold.cu");

/// The kernels of a text, in the order of [`KERNELS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Folds a batch.
    Fold,
    /// Enters groups into another table.
    Enter,
    /// Takes the groups of some panes.
    Take,
}

/// Their names.
pub(crate) const KERNELS: [&str; 3] = ["fold", "enter", "take"];

/// How values travel: see [`super::wire`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Wire {
    /// One a column.
    pub columns: Vec<Width>,
    /// Times are so close together that their panes are found with 32 bits.
    pub short_times: bool,
}

/// How the values of a column travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Width {
    /// Bytes of a value: 0, 1, 2, 4, 8 or 16.
    pub bytes: u8,
    /// Whether a bitmap says which rows take part.
    pub holes: bool,
}

/// The text. What stands before it is the compiler's business: on a GPU nothing, in tests a page that plays one.
pub(crate) fn text(plan: &Plan, wire: &Wire) -> String {
    let batch = BATCH
        .replace("[CONSTANTS]", &format!("[{}]", plan.tests.len().max(1)))
        .replace("[COLUMNS]", &format!("[{}]", plan.columns.len().max(1)));
    let table = TABLE.replace("// Merges a bucket into", &format!("{}\n// Merges a bucket into", merges(plan)));
    let constants = format!(
        "#define THREADS {THREADS}\n#define PROBES {PROBES}\n#define KEY_WORDS {}\n#define STATE_WORDS {}\n#define PANE_WORD {}\n\
         #ifndef SHARED_MEMORY\n#define SHARED_MEMORY(name) extern __shared__ u64 shared_memory[]; u32* name = (u32*)shared_memory\n#endif\n",
        plan.key_words, plan.state_words, plan.pane_word
    );
    [
        &batch,
        &constants,
        LIMBS,
        &table,
        &loads(plan, wire),
        &passes(plan, wire),
        &key_of(plan, wire),
        &folds(plan, wire),
        FOLD,
    ]
    .join("\n")
}

fn has_holes(wire: &Wire, column: usize) -> bool {
    wire.columns[column].holes
}

fn present(column: usize) -> String {
    format!("bit_of(batch, header->columns[{column}].present, row)")
}

/// What loads a value of each column; of 128 bits in two halves.
fn loads(plan: &Plan, wire: &Wire) -> String {
    let mut text = String::new();
    for (at, (column, width)) in plan.columns.iter().zip(&wire.columns).enumerate() {
        let raw =
            |c_type: &str, index: &str| format!("((const {c_type}*)(batch + header->columns[{at}].values))[{index}]");
        let c_type = match width.bytes {
            0 => continue,
            1 => "u8",
            2 => "u16",
            4 => "u32",
            _ => "u64",
        };
        let function = |name: &str, body: &str| {
            format!(
                "__device__ __forceinline__ u64 {name}_{at}(const u8* __restrict__ batch, const Batch* header, u32 row) \
                 {{\n    return {body};\n}}\n"
            )
        };
        let value = raw(c_type, "row");
        match (column.form, width.bytes) {
            (_, 16) => {
                text += &function("load", &raw("u64", "2 * (u64)row"));
                text += &function("high", &raw("u64", "2 * (u64)row + 1"));
            }
            (Form::Float { words: 2 }, 4) => {
                text += &function("load", &format!("__double_as_longlong((double)__uint_as_float({value}))"));
            }
            (Form::Float { .. }, _) => text += &function("load", &value),
            (form, _) => {
                text += &function("raw", &value);
                text += &function("load", &format!("header->columns[{at}].base + {value}"));
                if form.words() == 4 {
                    text += &function("high", &format!("(u64)((i64)load_{at}(batch, header, row) >> 63)"));
                }
            }
        }
    }
    text
}

fn load(column: usize) -> String {
    format!("load_{column}(batch, header, row)")
}

/// Whether a row counts.
fn passes(plan: &Plan, wire: &Wire) -> String {
    let mut text = String::from(
        "__device__ __forceinline__ bool passes(const u8* __restrict__ batch, const Batch* header, u32 row) {\n",
    );
    for (place, (test, column)) in plan.stage.tests.iter().zip(&plan.tests).enumerate() {
        if has_holes(wire, *column) {
            writeln!(text, "    if (!{}) return false;", present(*column)).expect("a string");
        }
        let value = load(*column);
        let compared = |left: &str, op: &Comparison, right: &str| {
            let op = match op {
                Comparison::Eq => "==",
                Comparison::NotEq => "!=",
                Comparison::Lt => "<",
                Comparison::LtEq => "<=",
                Comparison::Gt => ">",
                Comparison::GtEq => ">=",
            };
            format!("{left} {op} {right}")
        };
        let truth = match test {
            Test::Integer { op, .. } => {
                compared(&format!("(i64){value}"), op, &format!("(i64)header->constants[{place}]"))
            }
            Test::Double { op, .. } => compared(
                &format!("ordered_double(canonical_double({value}))"),
                op,
                &format!("header->constants[{place}]"),
            ),
            Test::Among { .. } => format!(
                "{value} < header->columns[{column}].known && bit_of(batch, header->columns[{column}].members, (u32){value})"
            ),
        };
        writeln!(text, "    if (!({truth})) return false;").expect("a string");
    }
    text + "    return true;\n}\n"
}

/// The key of a row: one bit a NULL, then the parts, of which those of a NULL are zero, then the pane.
fn key_of(plan: &Plan, wire: &Wire) -> String {
    let mut text = String::from(
        "__device__ __forceinline__ void key_of(const u8* __restrict__ batch, const Batch* header, u32 row, u32* key) {\n",
    );
    for word in 0..plan.key_words {
        writeln!(text, "    key[{word}] = 0;").expect("a string");
    }
    let mut word = 1;
    for (place, column) in plan.layout.columns[..plan.layout.keys].iter().enumerate() {
        let words = column.form.words();
        let mut lines = vec![format!("const u64 low = {};", load(place)), format!("key[{word}] = (u32)low;")];
        if words > 1 {
            lines.push(format!("key[{}] = (u32)(low >> 32);", word + 1));
        }
        if words > 2 {
            lines.push(format!("const u64 high = high_{place}(batch, header, row);"));
            lines.push(format!("key[{}] = (u32)high; key[{}] = (u32)(high >> 32);", word + 2, word + 3));
        }
        let lines = lines.join(" ");
        if has_holes(wire, place) {
            writeln!(text, "    if ({}) {{ {lines} }} else {{ key[0] |= {}u; }}", present(place), 1u32 << place)
        } else {
            writeln!(text, "    {{ {lines} }}")
        }
        .expect("a string");
        word += words;
    }
    if let (Some(time), Some(panes)) = (plan.time, plan.stage.panes) {
        let (pane, width) = (plan.pane_word, panes.width);
        let line = if wire.short_times {
            let ticks = format!("(u32)raw_{time}(batch, header, row) + header->into");
            format!("key[{pane}] = (u32)(header->pane + (i32)(({ticks}) / {width}u));")
        } else {
            format!(
                "const i64 ticks = (i64){} - ({}ll); i64 pane = ticks / {width}ll; if (ticks % {width}ll < 0) pane--; \
                 key[{pane}] = (u32)(i32)(pane - header->origin);",
                load(time),
                panes.offset
            )
        };
        writeln!(text, "    {line}").expect("a string");
    }
    text + "}\n"
}

/// What a row does to the states of its group.
fn folds(plan: &Plan, wire: &Wire) -> String {
    let mut text = String::from(
        "template <class Limb>\n__device__ __forceinline__ void fold_row(u32* state, const u8* __restrict__ batch, const Batch* header, u32 row) {\n",
    );
    for (state, at) in plan.layout.states.iter().zip(&plan.state_at) {
        let form = plan.layout.form(state);
        let count = format!("atomicAdd(&state[{at}], 1u);");
        let Some(column) = state.column else {
            writeln!(text, "    {count}").expect("a string");
            continue;
        };
        let wide = wire.columns[column].bytes == 16;
        let value = load(column);
        let high = format!("high_{column}(batch, header, row)");
        let action = match state.kept {
            Kept::Count => count,
            Kept::Sum { .. } | Kept::Moments { .. } => {
                let (sum, squares) = limbs(state.kept);
                let call =
                    |name: &str, values: &str| format!("{name}<Limb, {sum}, {squares}>(state + {at}, {values});");
                match form {
                    Form::Float { .. } => call("add_double", &format!("{value}, header->columns[{column}].scale")),
                    _ if wide => call("add_wide", &format!("{value}, {high}")),
                    Form::Integer { signed: false, .. } => call("add_integer", &format!("{value}, false")),
                    _ => format!(
                        "const u64 value = {value}; const bool negative = value >> 63; {}",
                        call("add_integer", "negative ? 0 - value : value, negative")
                    ),
                }
            }
            Kept::Extreme { greatest } => {
                let flip = if greatest { "" } else { "~" };
                match form {
                    Form::Float { words: 1 } => format!("win(state + {at}, {flip}(u64)ordered_float((u32){value}));"),
                    Form::Float { .. } => format!("win(state + {at}, {flip}ordered_double({value}));"),
                    Form::Integer { words: 4, .. } => {
                        format!("win_wide(state + {at}, {flip}{value}, {flip}({high} ^ 1ull << 63));")
                    }
                    Form::Integer { signed: true, .. } => format!("win(state + {at}, {flip}({value} ^ 1ull << 63));"),
                    _ => format!("win(state + {at}, {flip}{value});"),
                }
            }
        };
        match has_holes(wire, column) {
            true => writeln!(text, "    if ({}) {{ {action} }}", present(column)),
            false => writeln!(text, "    {{ {action} }}"),
        }
        .expect("a string");
    }
    text + "}\n"
}

/// What merges the states of two groups, of which nobody changes the second any more.
fn merges(plan: &Plan) -> String {
    let mut text = String::from("__device__ __forceinline__ void merge_states(u32* into, const u32* from) {\n");
    for (state, at) in plan.layout.states.iter().zip(&plan.state_at) {
        let line = match state.kept {
            Kept::Count => format!("atomicAdd(&into[{at}], from[{at}]);"),
            Kept::Sum { .. } | Kept::Moments { .. } => {
                let (sum, squares) = limbs(state.kept);
                format!("merge_sums<{sum}, {squares}>(into + {at}, from + {at});")
            }
            Kept::Extreme { .. } => {
                let value = format!("((const u64*)(from + {at}))");
                let win = match plan.layout.form(state).words() {
                    4 => format!("win_wide(into + {at}, {value}[1], {value}[2]);"),
                    _ => format!("win(into + {at}, {value}[1]);"),
                };
                format!("if (from[{}]) {win}", at + 1)
            }
        };
        writeln!(text, "    {line}").expect("a string");
    }
    text + "}\n"
}
