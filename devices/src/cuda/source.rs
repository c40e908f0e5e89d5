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
/// Rows that a thread has on their way.
pub(crate) const AT_A_TIME: u32 = 4;

const BATCH: &str = include_str!("../../../shaders/cuda/batch.cu");
const LIMBS: &str = include_str!("../../../shaders/cuda/limbs.cu");
const TABLE: &str = include_str!("../../../shaders/cuda/table.cu");
const FOLD: &str = include_str!("../../../shaders/cuda/fold.cu");
const FOREST: &str = include_str!("../../../shaders/cuda/forest.cu");

/// A block's own memory, whose size the launch says; where a GPU is played it is there already.
const SHARED: &str = "#ifndef SHARED_MEMORY\n#define SHARED_MEMORY(name) extern __shared__ unsigned long long shared_memory[]; \
                      unsigned* name = (unsigned*)shared_memory\n#endif\n";

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
        "#define THREADS {THREADS}\n#define PROBES {PROBES}\n#define AT_A_TIME {AT_A_TIME}\n#define KEY_WORDS {}\n#define STATE_WORDS {}\n#define PANE_WORD {}\n{SHARED}",
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

/// Threads of a block that walks trees: as many as hide how long a node takes to come, two blocks on a multiprocessor.
pub(crate) const FOREST_THREADS: u32 = 512;
/// Trees that a thread goes down side by side.
const TREES_AT_A_TIME: u32 = 2;
/// The kernels of [`forest_text`].
pub(crate) const FOREST_KERNELS: [&str; 2] = ["add", "end"];

/// The text that walks forests whose leaves are of single or double precision.
pub(crate) fn forest_text(single: bool) -> String {
    let (leaf, add) = if single { ("float", "__fadd_rn") } else { ("double", "__dadd_rn") };
    format!(
        "#define THREADS {FOREST_THREADS}\n#define AT_A_TIME {TREES_AT_A_TIME}\n#define LEAF {leaf}\n#define ADD {add}\n{SHARED}\n{FOREST}"
    )
}

fn has_holes(wire: &Wire, column: usize) -> bool {
    wire.columns[column].holes
}

fn present(column: usize) -> String {
    format!("bit_of(in.present_{column}, row)")
}

/// What a thread knows of the batch, taken from its header once; and what loads a value of each column, of 128 bits in two
/// halves.
fn loads(plan: &Plan, wire: &Wire) -> String {
    let (mut fields, mut opens, mut functions) = (String::new(), String::new(), String::new());
    let mut field = |c_type: &str, name: &str, value: &str| {
        writeln!(fields, "    {c_type} {name};").expect("a string");
        writeln!(opens, "    in.{name} = {value};").expect("a string");
    };
    field("i32", "pane", "header->pane");
    field("u32", "into", "header->into");
    field("i64", "origin", "header->origin");
    for place in 0..plan.tests.len() {
        field("u64", &format!("constant_{place}"), &format!("header->constants[{place}]"));
    }
    for (at, (column, width)) in plan.columns.iter().zip(&wire.columns).enumerate() {
        let of = |name: &str| format!("header->columns[{at}].{name}");
        if width.holes {
            field("const u32*", &format!("present_{at}"), &format!("(const u32*)(batch + {})", of("present")));
        }
        let tests = || plan.stage.tests.iter().zip(&plan.tests).filter(|(_, column)| **column == at);
        if tests().any(|(test, _)| matches!(test, Test::Among { .. })) {
            field("const u32*", &format!("members_{at}"), &format!("(const u32*)(batch + {})", of("members")));
            field("u32", &format!("known_{at}"), &of("known"));
        }
        let c_type = match width.bytes {
            0 => continue,
            1 => "u8",
            2 => "u16",
            4 => "u32",
            _ => "u64",
        };
        field(
            &format!("const {c_type}*"),
            &format!("values_{at}"),
            &format!("(const {c_type}*)(batch + {})", of("values")),
        );
        let mut function = |name: &str, body: &str| {
            writeln!(
                functions,
                "__device__ __forceinline__ u64 {name}_{at}(const In& in, u32 row) {{\n    return {body};\n}}"
            )
            .expect("a string");
        };
        let value = format!("__ldg(&in.values_{at}[row])");
        match (column.form, width.bytes) {
            (_, 16) => {
                function("load", &format!("__ldg(&in.values_{at}[2 * (u64)row])"));
                function("high", &format!("__ldg(&in.values_{at}[2 * (u64)row + 1])"));
            }
            (Form::Float { words: 2 }, 4) => {
                field("i32", &format!("scale_{at}"), &of("scale"));
                function("load", &format!("__double_as_longlong((double)__uint_as_float({value}))"));
            }
            (Form::Float { .. }, _) => {
                field("i32", &format!("scale_{at}"), &of("scale"));
                function("load", &value);
            }
            (form, _) => {
                field("u64", &format!("base_{at}"), &of("base"));
                function("raw", &value);
                function("load", &format!("in.base_{at} + {value}"));
                if form.words() == 4 {
                    function("high", &format!("(u64)((i64)load_{at}(in, row) >> 63)"));
                }
            }
        }
    }
    format!(
        "struct In {{\n{fields}}};\n\n__device__ __forceinline__ In opened(const u8* __restrict__ batch) {{\n    \
         const Batch* __restrict__ header = (const Batch*)batch;\n    In in;\n{opens}    return in;\n}}\n\n{functions}"
    )
}

fn load(column: usize) -> String {
    format!("load_{column}(in, row)")
}

/// Whether a row counts. Every test is made, so that all its loads are on their way at once.
fn passes(plan: &Plan, wire: &Wire) -> String {
    let mut text =
        String::from("__device__ __forceinline__ bool passes(const In& in, u32 row) {\n    bool all = true;\n");
    for (place, (test, column)) in plan.stage.tests.iter().zip(&plan.tests).enumerate() {
        if has_holes(wire, *column) {
            writeln!(text, "    all &= {};", present(*column)).expect("a string");
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
            Test::Integer { op, .. } => compared(&format!("(i64){value}"), op, &format!("(i64)in.constant_{place}")),
            Test::Double { op, .. } => {
                compared(&format!("ordered_double(canonical_double({value}))"), op, &format!("in.constant_{place}"))
            }
            // Where no value is known the bits are those of nobody, and are not looked at.
            Test::Among { .. } => {
                format!("({value} < in.known_{column} && bit_of(in.members_{column}, (u32){value}))")
            }
        };
        writeln!(text, "    all &= {truth};").expect("a string");
    }
    text + "    return all;\n}\n"
}

/// The key of a row: one bit a NULL, then the parts, of which those of a NULL are zero, then the pane.
fn key_of(plan: &Plan, wire: &Wire) -> String {
    let mut text = String::from("__device__ __forceinline__ void key_of(const In& in, u32 row, u32* key) {\n");
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
            lines.push(format!("const u64 high = high_{place}(in, row);"));
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
            let ticks = format!("(u32)raw_{time}(in, row) + in.into");
            format!("key[{pane}] = (u32)(in.pane + (i32)(({ticks}) / {width}u));")
        } else {
            format!(
                "const i64 ticks = (i64){} - ({}ll); i64 pane = ticks / {width}ll; if (ticks % {width}ll < 0) pane--; \
                 key[{pane}] = (u32)(i32)(pane - in.origin);",
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
        "template <class Limb>\n__device__ __forceinline__ void fold_row(u32* state, const In& in, u32 row) {\n",
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
        let high = format!("high_{column}(in, row)");
        let action = match state.kept {
            Kept::Count => count,
            Kept::Sum { .. } | Kept::Moments { .. } => {
                let (sum, squares) = limbs(state.kept);
                let call =
                    |name: &str, values: &str| format!("{name}<Limb, {sum}, {squares}>(state + {at}, {values});");
                match form {
                    Form::Float { .. } => call("add_double", &format!("{value}, in.scale_{column}")),
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
