//! WGSL from a layout: templates, which say how, and a few generated lines a column, which say of what.
//!
//! Nothing a shader needs goes beyond 32-bit integers and their atomics, which every back end has: no 64-bit types, no
//! floats, no subgroups. What may change from batch to batch (row counts, places, scales) is data in the batch's header, so
//! one program is one text.

use std::fmt::Write;

use pelton_kernels::select::Comparison;
use pelton_kernels::stage::Test;

use crate::layout::{Form, Kept, Layout, State};

/// Invocations of a workgroup: what every adapter can.
pub(crate) const WORKGROUP: u32 = 256;

const BATCH: &str = include_str!("../../shaders/wgsl/batch.wgsl");
const GROUPS: &str = include_str!("../../shaders/wgsl/groups.wgsl");
const SUMS: &str = include_str!("../../shaders/wgsl/sums.wgsl");
const EXTREMES: &str = include_str!("../../shaders/wgsl/extremes.wgsl");
const PASSING: &str = include_str!("../../shaders/wgsl/passing.wgsl");
const FOLD: &str = include_str!("../../shaders/wgsl/fold.wgsl");
const TAKE: &str = include_str!("../../shaders/wgsl/take.wgsl");
const FOREST: &str = include_str!("../../shaders/wgsl/forest.wgsl");

/// The text that walks forests of which so many trees have their ends in a word.
pub(crate) fn forest_text(ends_per_word: usize) -> String {
    format!("const WORKGROUP: u32 = {WORKGROUP}u;\nconst ENDS_PER_WORD: u32 = {ends_per_word}u;\n{FOREST}")
}

/// The text that sorts out the groups of closing panes, whatever is in them.
pub(crate) fn take_text() -> String {
    format!("const WORKGROUP: u32 = {WORKGROUP}u;\n{TAKE}")
}

/// The text of a layout.
pub(crate) fn text(layout: &Layout) -> String {
    let constants = format!(
        "const WORKGROUP: u32 = {WORKGROUP}u;\nconst ALL_ONES: u32 = 0xffffffffu;\nconst KEY_WORDS: u32 = {}u;\n\
         const STATE_WORDS: u32 = {}u;\n",
        layout.key_words, layout.state_words
    );
    let fold = FOLD.replace("//FOLD", &folds(layout)).replace("//SETTLE", &settles(layout));
    let generated = [passes(layout), key_of_row(layout), value_of(layout), fold];
    [&constants, BATCH, PASSING, GROUPS, SUMS, EXTREMES]
        .into_iter()
        .chain(generated.iter().map(String::as_str))
        .fold(String::new(), |text, part| text + part + "\n")
}

/// Whether there is anything to settle.
pub(crate) fn has_extremes(layout: &Layout) -> bool {
    extremes(layout).next().is_some()
}

fn extremes(layout: &Layout) -> impl Iterator<Item = (usize, &State, bool)> {
    let extreme = |state: &'_ State| match state.kept {
        Kept::Extreme { greatest } => Some(greatest),
        _ => None,
    };
    layout
        .states
        .iter()
        .filter_map(move |state| Some((state, extreme(state)?)))
        .enumerate()
        .map(|(i, (s, g))| (i, s, g))
}

/// Whether a row passes all tests.
fn passes(layout: &Layout) -> String {
    let mut text = String::from("fn passes(row: u32) -> bool {\n");
    for (column, test) in &layout.tests {
        let compared = |value: String, op: &Comparison, [high, low]: [u32; 2]| {
            let op = match op {
                Comparison::Eq => "==",
                Comparison::NotEq => "!=",
                Comparison::Lt => "<",
                Comparison::LtEq => "<=",
                Comparison::Gt => ">",
                Comparison::GtEq => ">=",
            };
            format!("compared({value}, vec2<u32>({high}u, {low}u)) {op} 0")
        };
        let truth = match (test, layout.columns[*column].form) {
            (Test::Integer { op, constant, .. }, Form::Integer { words, signed }) => {
                let sign = if signed { "signed" } else { "unsigned" };
                let value = format!("ordered_integer({sign}_{}({column}u, row))", number(words));
                compared(value, op, halves(*constant as u64 ^ 1 << 63))
            }
            (Test::Double { op, constant, .. }, _) => {
                compared(format!("ordered_double(load_two({column}u, row))"), op, halves(ordered_double(*constant)))
            }
            (Test::Among { .. }, _) => format!("is_member({column}u, row)"),
            (Test::Integer { .. }, _) => unreachable!("the layout has refused it"),
        };
        writeln!(text, "    if !(takes_part({column}u, row) && {truth}) {{\n        return false;\n    }}")
            .expect("a string");
    }
    text + "    return true;\n}\n"
}

/// The upper word, then the lower.
fn halves(word: u64) -> [u32; 2] {
    [(word >> 32) as u32, word as u32]
}

/// A double that is no NaN as `ordered_double` of `passing.wgsl` orders it.
fn ordered_double(value: f64) -> u64 {
    // −0.0 + 0.0 is 0.0.
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// Reads a row's key: one bit a NULL, then the parts, of which those of a NULL are zero, then the pane.
fn key_of_row(layout: &Layout) -> String {
    let mut text = String::from("fn key_of_row(row: u32) -> Key {\n    var key: Key;\n");
    let mut word = 1;
    for (place, column) in layout.columns[..layout.keys].iter().enumerate() {
        let words = column.form.words();
        let load = match words {
            1 => format!("        key[{word}u] = load_one({place}u, row);\n"),
            2 => format!(
                "        let part_{place} = load_two({place}u, row);\n        key[{word}u] = part_{place}.x;\n        \
                 key[{}u] = part_{place}.y;\n",
                word + 1
            ),
            _ => {
                let parts = ["x", "y", "z", "w"].iter().zip(word..);
                let stores = parts.map(|(part, word)| format!("        key[{word}u] = part_{place}.{part};\n"));
                format!("        let part_{place} = load_four({place}u, row);\n{}", stores.collect::<String>())
            }
        };
        let null = 1u32.checked_shl(place as u32).filter(|_| column.form != Form::Id);
        let absent = null.map_or(String::new(), |bit| format!(" else {{\n        key[0u] |= {bit}u;\n    }}"));
        write!(text, "    if takes_part({place}u, row) {{\n{load}    }}{absent}\n").expect("a string");
        word += words;
    }
    if let Some(column) = layout.pane {
        writeln!(text, "    key[{word}u] = pane_of({column}u, row);").expect("a string");
    }
    text + "    return key;\n}\n"
}

/// The ordered words of a row's value for each extreme.
fn value_of(layout: &Layout) -> String {
    let mut text = String::from("fn value_of(extreme: u32, row: u32) -> vec4<u32> {\n    switch extreme {\n");
    for (extreme, state, greatest) in extremes(layout) {
        let (column, form) = (state.column.expect("extremes are of a column"), layout.form(state));
        let kind = match form {
            Form::Float { .. } => "float",
            Form::Integer { signed: true, .. } => "signed",
            _ => "unsigned",
        };
        let flip: Vec<&str> =
            (0..4).map(|word| if greatest && word < form.words() { "ALL_ONES" } else { "0u" }).collect();
        writeln!(
            text,
            "        case {extreme}u: {{ return ordered_{kind}_{}({column}u, row) ^ vec4<u32>({}); }}",
            number(form.words()),
            flip.join(", ")
        )
        .expect("a string");
    }
    text + "        default: { return vec4<u32>(); }\n    }\n}\n"
}

fn folds(layout: &Layout) -> String {
    let mut places = extremes(layout).map(|(extreme, ..)| extreme);
    let mut lines = vec![];
    for state in &layout.states {
        let at = format!("group + {}u", state.at);
        let Some(column) = state.column else {
            lines.push(format!("atomicAdd(&state[{at}], 1u);"));
            continue;
        };
        let form = layout.form(state);
        let action = match state.kept {
            Kept::Count => format!("atomicAdd(&state[{at}], 1u);"),
            Kept::Sum { .. } | Kept::Moments { .. } => {
                let (limbs, squares) = state.kept.limbs();
                let sums = format!("group + {}u, {limbs}u, {squares}u", state.at + 1);
                let add = match form {
                    Form::Float { .. } => format!("add_double({sums}, load_two({column}u, row), scale({column}u));"),
                    Form::Integer { words, signed } => {
                        let sign = if signed { "signed" } else { "unsigned" };
                        format!("add_integer({sums}, {sign}_{}({column}u, row));", number(words))
                    }
                    _ => unreachable!("sums are of numbers"),
                };
                format!("atomicAdd(&state[{at}], 1u);\n        {add}")
            }
            Kept::Extreme { .. } => {
                let extreme = places.next().expect("one a state");
                format!("compete({extreme}u, {at}, {}u, row);", form.words())
            }
        };
        lines.push(format!("if takes_part({column}u, row) {{\n        {action}\n    }}"));
    }
    lines.join("\n    ")
}

fn settles(layout: &Layout) -> String {
    let line = |(extreme, state, _): (usize, &State, bool)| {
        format!("keep({extreme}u, group + {}u, {}u, row);", state.at, layout.form(state).words())
    };
    extremes(layout).map(line).collect::<Vec<_>>().join("\n    ")
}

fn number(words: u32) -> &'static str {
    match words {
        1 => "one",
        2 => "two",
        _ => "four",
    }
}
