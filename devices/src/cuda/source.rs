//! CUDA C++ from a plan: templates, which say how, and a few generated lines a column, which say of what.
//!
//! One text is for one plan and one [`Wire`]: how wide values are on the way is a constant of the text, so that a load is one
//! instruction. What may change from batch to batch (row counts, places, constants of tests, scales) is data.

use std::fmt::Write;

use pelton_kernels::select::Comparison;
use pelton_kernels::stage::Test;

use super::own::{Own, ordered};
use super::plan::{Plan, limbs};
use crate::layout::{Form, Kept, State};

/// Threads of a block that moves groups from table to table.
pub(crate) const MOVERS: u32 = 256;
/// Slots of its own groups that a block looks at for a row.
const PROBES: u32 = 4;

const BATCH: &str = include_str!("../../../shaders/cuda/batch.cu");
const LIMBS: &str = include_str!("../../../shaders/cuda/limbs.cu");
const TABLE: &str = include_str!("../../../shaders/cuda/table.cu");
const OWN: &str = include_str!("../../../shaders/cuda/own.cu");
const FOLD: &str = include_str!("../../../shaders/cuda/fold.cu");
const FOREST: &str = include_str!("../../../shaders/cuda/forest.cu");

/// What a GPU has: a block's own memory, whose size the launch says, threads of a warp, lines that are asked for ahead. Where one is played
/// they are defined already.
const SHARED: &str = "#ifndef SHARED_MEMORY\n#define SHARED_MEMORY(name) extern __shared__ unsigned long long shared_memory[]; \
                      unsigned* name = (unsigned*)shared_memory\n#define WARP 32\n\
                      #define PREFETCH(at) asm volatile(\"prefetch.global.L2 [%0];\" :: \"l\"(at))\n\
                      #define LOAD_PAST_L1(to, at) asm volatile(\"ld.volatile.global.v4.u32 {%0, %1, %2, %3}, [%4];\" \
                      : \"=r\"(to.x), \"=r\"(to.y), \"=r\"(to.z), \"=r\"(to.w) : \"l\"(at) : \"memory\")\n#endif\n";

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

/// Ids whose members fit a word.
pub(crate) const FEW: u32 = 64;

/// How the values of a column travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Width {
    /// Bytes of a value: 0, 1, 2, 4, 8 or 16.
    pub bytes: u8,
    /// Whether a bitmap says which rows take part.
    pub holes: bool,
    /// Of doubles that are summed: digits that the sum of a batch reaches over.
    pub digits: u8,
    /// Of ids among which some are sought: there are more than [`FEW`] of them.
    pub many: bool,
}

/// The text. What stands before it is the compiler's business: on a GPU nothing, in tests a page that plays one.
pub(crate) fn text(plan: &Plan, wire: &Wire, own: &Own) -> String {
    let batch = BATCH
        .replace("[CONSTANTS]", &format!("[{}]", plan.tests.len().max(1)))
        .replace("[COLUMNS]", &format!("[{}]", plan.columns.len().max(1)));
    let own_text = if own.groups > 0 { OWN } else { "" };
    let table = TABLE.replace("// Merges a bucket into", &format!("{}\n// Merges a bucket into", merges(plan)));
    let constants = format!(
        "{SHARED}#define MOVERS {MOVERS}\n#define PROBES {PROBES}\n#define KEY_WORDS {}\n#define STATE_WORDS {}\n\
         #define PANE_WORD {}\n#define FILTERED {}\n{}",
        plan.key_words,
        plan.state_words,
        plan.pane_word,
        u32::from(!plan.tests.is_empty()),
        own.constants()
    );
    [
        &constants[..],
        &batch[..],
        LIMBS,
        &table[..],
        own_text,
        &loads(plan, wire),
        &passing(plan, wire),
        &key_of(plan, wire),
        &folds(plan, wire),
        &own.functions(plan, wire),
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

pub(crate) fn present(column: usize) -> String {
    format!("bit_of(in.present_{column}, row)")
}

/// What a thread knows of the batch, taken from its header once; and what loads a value of each column, of 128 bits in two
/// halves.
fn loads(plan: &Plan, wire: &Wire) -> String {
    let (mut fields, mut opens) = (String::new(), String::new());
    let (mut functions, mut prefetches) = (String::new(), String::new());
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
            let (members, known) = (of("members"), of("known"));
            // Where no value is known the bits are those of nobody, and are not looked at.
            let test = if width.many {
                field("const u32*", &format!("members_{at}"), &format!("(const u32*)(batch + {members})"));
                field("u32", &format!("known_{at}"), &known);
                format!("id < in.known_{at} && bit_of(in.members_{at}, id)")
            } else {
                field("u64", &format!("members_{at}"), &format!("{known} ? *(const u64*)(batch + {members}) : 0"));
                format!("id < {FEW} && in.members_{at} >> id & 1")
            };
            writeln!(
                functions,
                "__device__ __forceinline__ bool is_member_{at}(const In& in, u32 id) {{\n    return {test};\n}}"
            )
            .expect("a string");
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
        let mut function = |name: &str, of: &str, body: &str| {
            writeln!(
                functions,
                "__device__ __forceinline__ u64 {name}_{at}(const In& in, {of}) {{\n    return {body};\n}}"
            )
            .expect("a string");
        };
        let (row, raw) = ("u32 row", "u64 raw");
        if width.bytes == 16 {
            function("load", row, &format!("__ldg(&in.values_{at}[2 * (u64)row])"));
            function("high", row, &format!("__ldg(&in.values_{at}[2 * (u64)row + 1])"));
            continue;
        }
        writeln!(prefetches, "    PREFETCH(in.values_{at} + row);").expect("a string");
        let is_integer = match (column.form, width.bytes) {
            (Form::Float { words: 2 }, 4) => {
                function("of", raw, "__double_as_longlong((double)__uint_as_float((u32)raw))");
                false
            }
            (Form::Float { .. }, _) => {
                function("of", raw, "raw");
                false
            }
            _ => {
                field("u64", &format!("base_{at}"), &of("base"));
                function("of", raw, &format!("in.base_{at} + raw"));
                true
            }
        };
        if !is_integer {
            field("i32", &format!("scale_{at}"), &of("scale"));
            field("u32", &format!("low_{at}"), &of("low"));
        }
        // What is read once need not stay in the L2, where the table is.
        let read = if plan.tests.is_empty() { "__ldcs" } else { "__ldg" };
        function("raw", row, &format!("{read}(&in.values_{at}[row])"));
        function("load", row, &format!("of_{at}(in, raw_{at}(in, row))"));
        if is_integer && column.form.words() == 4 {
            function("high", row, &format!("(u64)((i64)load_{at}(in, row) >> 63)"));
        }
    }
    format!(
        "struct In {{\n{fields}}};\n\n__device__ __forceinline__ In opened(const u8* __restrict__ batch) {{\n    \
         const Batch* __restrict__ header = (const Batch*)batch;\n    In in;\n{opens}    return in;\n}}\n\n{functions}\n\
         __device__ __forceinline__ void prefetch(const In& in, u32 row, u32 end) {{\n    if (row >= end) return;\n{prefetches}}}\n"
    )
}

fn load(column: usize) -> String {
    format!("load_{column}(in, row)")
}

/// Which of four rows side by side count, a bit each. Every test is made, so that all its loads are on their way at once.
fn passing(plan: &Plan, wire: &Wire) -> String {
    let (mut loads, mut tests) = (String::new(), String::new());
    let mut columns = plan.tests.clone();
    columns.sort_unstable();
    columns.dedup();
    for column in columns {
        writeln!(loads, "    u64 raw_{column}[4];\n    four(in.values_{column} + first, raw_{column});")
            .expect("a string");
        if has_holes(wire, column) {
            writeln!(loads, "    all &= __ldg(&in.present_{column}[first >> 5]) >> (first & 31);").expect("a string");
        }
    }
    for (place, (test, column)) in plan.stage.tests.iter().zip(&plan.tests).enumerate() {
        let value = format!("of_{column}(in, raw_{column}[i])");
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
            // NaN is above every constant.
            Test::Double { op, .. } => {
                let (value, constant) =
                    (format!("__longlong_as_double({value})"), format!("__longlong_as_double(in.constant_{place})"));
                match op {
                    Comparison::Gt => format!("!({value} <= {constant})"),
                    Comparison::GtEq => format!("!({value} < {constant})"),
                    _ => compared(&value, op, &constant),
                }
            }
            Test::Among { .. } => format!("is_member_{column}(in, (u32){value})"),
        };
        writeln!(tests, "        passes &= {truth};").expect("a string");
    }
    format!(
        "__device__ __forceinline__ u32 passing(const In& in, u32 first) {{\n    u32 all = 15;\n{loads}#pragma unroll\n    \
         for (int i = 0; i < 4; i++) {{\n        bool passes = true;\n{tests}        if (!passes) all &= ~(1u << i);\n    }}\n    \
         return all;\n}}\n"
    )
}

/// The key of a row: one bit a NULL, then the parts, of which those of a NULL are zero, then the pane.
fn key_of(plan: &Plan, wire: &Wire) -> String {
    let mut text = String::new();
    if let (Some(panes), true) = (plan.stage.panes, wire.short_times) {
        writeln!(
            text,
            "// The pane of a time, from the first of the batch.\n__device__ __forceinline__ u32 pane_of(const In& in, u32 raw) {{\n    \
             return (raw + in.into) / {}u;\n}}\n",
            panes.width
        )
        .expect("a string");
    }
    text += "__device__ __forceinline__ void key_of(const In& in, u32 row, u32* key) {\n";
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
            format!("key[{pane}] = (u32)(in.pane + (i32)pane_of(in, (u32)raw_{time}(in, row)));")
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
    let mut text = String::from("__device__ __forceinline__ void fold_row(u32* state, const In& in, u32 row) {\n");
    for (state, at) in plan.layout.states.iter().zip(&plan.state_at) {
        let form = plan.layout.form(state);
        // Rows of no column are those of the group.
        let Some(column) = state.column else { continue };
        let wide = wire.columns[column].bytes == 16;
        let value = load(column);
        let high = format!("high_{column}(in, row)");
        let action = match state.kept {
            Kept::Count => String::new(),
            Kept::Sum { .. } | Kept::Moments { .. } => {
                let (sum, squares) = limbs(state.kept);
                let call = |name: &str, values: &str| format!("{name}<{sum}, {squares}>(state + {at}, {values});");
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
            Kept::Extreme { greatest } => match form {
                Form::Integer { words: 4, .. } => {
                    let flip = if greatest { "" } else { "~" };
                    format!("win_wide(state + {at}, {flip}{value}, {flip}({high} ^ 1ull << 63));")
                }
                _ => format!("win(state + {at}, {});", ordered(form, &value, greatest)),
            },
        };
        match has_holes(wire, column) {
            true => writeln!(text, "    if ({}) {{ {action} }}{}", present(column), otherwise(state, *at)),
            false => writeln!(text, "    {{ {action} }}"),
        }
        .expect("a string");
    }
    text + "}\n"
}

/// What is done where a row takes no part.
fn otherwise(state: &State, at: u32) -> String {
    match state.kept {
        Kept::Extreme { .. } => String::new(),
        _ => format!(" else {{ atomicAdd(&state[{at}], 1u); }}"),
    }
}

/// What merges the states of two groups, of which nobody changes the second any more.
fn merges(plan: &Plan) -> String {
    let mut text = String::from("__device__ __forceinline__ void merge_states(u32* into, const u32* from) {\n");
    for (state, at) in plan.layout.states.iter().zip(&plan.state_at) {
        let line = match state.kept {
            Kept::Count => format!("if (from[{at}]) atomicAdd(&into[{at}], from[{at}]);"),
            Kept::Sum { .. } | Kept::Moments { .. } => {
                let (sum, squares) = limbs(state.kept);
                format!("merge_sums<{sum}, {squares}>(into + {at}, from + {at});")
            }
            Kept::Extreme { .. } => {
                let value = format!("((const u64*)(from + {at}))");
                match plan.layout.form(state).words() {
                    4 => format!("if (from[{}]) win_wide(into + {at}, {value}[1], {value}[2]);", at + 1),
                    _ => format!("if (from[{}] || {value}[1]) win(into + {at}, {value}[1]);", at + 1),
                }
            }
        };
        writeln!(text, "    {line}").expect("a string");
    }
    text + "}\n"
}
