//! What blocks keep of a stage's groups in their own memory (`shaders/cuda/own.cu`): how many groups, which words, and the lines of
//! code that are of a plan.

use std::fmt::Write;

use super::plan::{Plan, limbs};
use super::source::{Wire, present};
use crate::layout::{Form, Kept, State};

/// Groups of a block at most: their numbers are halves of words.
const GROUPS_MAX: u32 = 1 << 14;
/// Bits of a digit of a sum. Fewer leave room in a word for more rows before carries have to be handed on; more make less digits.
pub(crate) const DIGIT: u32 = 14;
/// Bits of the mantissa of a double.
pub(crate) const MANTISSA: u32 = 53;
/// Rows that may be added to a word of digits, with what was left there and the carry of the word below, before carries are handed on.
const UNSETTLED_MAX: u32 = (i32::MAX as u32 - (1 << DIGIT) - (1 << (31 - DIGIT))) >> DIGIT;
/// Rows of a block after which it hands carries on.
const UNSETTLED: u32 = 7 << 14;
/// Rows that may have come beside them by then: those of a tile, and those that wait in warps.
const BESIDE: u32 = 1024 * (8 + 2);
const _: () = assert!(UNSETTLED + BESIDE <= UNSETTLED_MAX);
/// Words in front: what a block knows of its groups.
const FIRST: u32 = 4;
/// Digits of the square of an integer of 64 bits.
const INTEGER_SQUARE: u32 = 128_u32.div_ceil(DIGIT);

/// See the module.
pub(crate) struct Own {
    /// Groups that there is room for; 0: blocks keep none.
    pub groups: u32,
    slots: u32,
    key: Key,
    /// Words of a key, words of a state, and pairs of words of its extremes.
    key_words: u32,
    words: u32,
    longs: u32,
    /// The word that says which extremes of a group there are, and how many are not always there.
    there: u32,
    sometimes: u32,
    /// Threads of a block, which has a multiprocessor for itself.
    pub threads: u32,
    /// Rows side by side that a thread looks at at a time.
    rows: u32,
    /// Words for the rows that warps keep for later: that pass, and in all.
    passing: u32,
    queued: u32,
    /// Where the states of the layout are.
    places: Vec<Place>,
}

/// How a key is told apart from others in a block.
enum Key {
    /// As in the table.
    Whole,
    /// The values as they travel in one word, then the pane from that of the batch.
    Narrow { paned: bool },
}

/// Where a state is.
#[derive(Clone, Copy)]
enum Place {
    /// The word of how many rows took no part, if there may be some.
    Count { absent: Option<u32> },
    /// Likewise, and the word of the first digit, how many digits the sum has, and the squares behind it.
    Digits { absent: Option<u32>, at: u32, sum: u32, squares: u32 },
    /// The pair of words of an extreme, and the bit that tells that it is there, if it is not always.
    Extreme { at: u32, bit: Option<u32> },
}

impl Own {
    /// What a block with so much memory of its own keeps.
    pub(crate) fn of(plan: &Plan, wire: &Wire, shared_max: u32) -> Own {
        // Rows that pass are halves of words, those for which there is no room words.
        let rows = rows(plan);
        let threads = threads(plan);
        let passing = if plan.tests.is_empty() { 0 } else { threads * rows / 2 };
        let queued = passing + threads;
        let key = key(plan, wire);
        let key_words = match key {
            Key::Whole => plan.key_words,
            Key::Narrow { paned } => 1 + u32::from(paned),
        };
        // The first word counts all rows.
        let mut own = Own {
            groups: 0,
            slots: 0,
            key,
            key_words,
            words: 1,
            longs: 0,
            there: 0,
            sometimes: 0,
            threads,
            rows,
            passing,
            queued,
            places: vec![],
        };
        for state in &plan.layout.states {
            let place = own.place(plan, wire, state);
            own.places.push(place);
        }
        let is_wide = |state: &State| state.column.is_some_and(|column| wire.columns[column].bytes == 16);
        if own.sometimes > 32 || plan.layout.states.iter().any(is_wide) {
            return own;
        }
        let group = own.words + 2 * own.longs + own.key_words;
        // More slots leave less room, fewer are too full.
        let groups = |slots: u32| {
            let room = (shared_max / 4).saturating_sub(FIRST + queued + slots) / group;
            room.min(slots / 4 * 3).min(GROUPS_MAX) & !1
        };
        own.slots = (6..15).map(|bits| 1 << bits).max_by_key(|slots| groups(*slots)).expect("some");
        own.groups = groups(own.slots);
        own
    }

    fn words(&mut self, n: u32) -> u32 {
        self.words += n;
        self.words - n
    }

    fn place(&mut self, plan: &Plan, wire: &Wire, state: &State) -> Place {
        let width = state.column.map(|column| wire.columns[column]);
        let holes = width.is_some_and(|width| width.holes);
        if let Kept::Extreme { .. } = state.kept {
            self.longs += 1;
            if !holes {
                return Place::Extreme { at: self.longs - 1, bit: None };
            }
            if self.sometimes == 0 {
                self.there = self.words(1);
            }
            self.sometimes += 1;
            return Place::Extreme { at: self.longs - 1, bit: Some(self.sometimes - 1) };
        }
        let absent = holes.then(|| self.words(1));
        let (Kept::Sum { .. } | Kept::Moments { .. }, Some(width)) = (state.kept, width) else {
            return Place::Count { absent };
        };
        let of = match plan.layout.form(state) {
            Form::Float { .. } => u32::from(width.digits),
            _ => (8 * u32::from(width.bytes)).div_ceil(DIGIT),
        };
        // One more takes what is carried out of the others.
        let sum = 1 + of;
        let squares = match (state.kept, plan.layout.form(state)) {
            (Kept::Sum { .. }, _) => 0,
            (_, Form::Float { .. }) => 1 + 2 * of,
            _ => 1 + INTEGER_SQUARE,
        };
        Place::Digits { absent, at: self.words(sum + squares), sum, squares }
    }

    /// Bytes of its own memory that a block wants, with groups of its own or without.
    pub(crate) fn bytes(&self, with_groups: bool) -> u32 {
        let groups = self.groups * (self.words + 2 * self.longs + self.key_words) + self.slots;
        4 * (FIRST + self.queued + if with_groups { groups } else { 0 })
    }

    /// The constants of the text.
    pub(crate) fn constants(&self) -> String {
        let has_digits = self.places.iter().any(|place| matches!(place, Place::Digits { .. }));
        let of = |name: &str, value: u32| format!("#define {name} {value}\n");
        [
            of("THREADS", self.threads),
            of("ROWS", self.rows),
            of("DIGIT", DIGIT),
            of("MANTISSA", MANTISSA),
            of("FIRST", FIRST),
            of("GROUPS", self.groups),
            of("SLOTS", self.slots),
            of("OWN_LONGS", self.longs),
            of("OWN_WORDS", self.words),
            of("OWN_KEY", self.key_words),
            of("QUEUED", self.queued),
            of("PASSING_AT", FIRST),
            of("MISSES_AT", FIRST + self.passing),
            of("OWN_DIGITS", has_digits.into()),
            of("UNSETTLED", UNSETTLED / (self.threads * self.rows)),
        ]
        .concat()
    }

    /// The functions of the plan.
    pub(crate) fn functions(&self, plan: &Plan, wire: &Wire) -> String {
        if self.groups == 0 {
            return String::new();
        }
        [self.values(plan, wire), self.keys(plan, wire), self.fold(plan, wire), self.settle(), self.merge(plan)]
            .concat()
    }

    /// What of a row blocks' own groups want to know, loaded before it is looked at; and whether they can take it.
    fn values(&self, plan: &Plan, wire: &Wire) -> String {
        let (mut fields, mut lines, mut plain) = (String::new(), String::new(), String::from("    return true"));
        if let Key::Narrow { paned } = self.key {
            for place in 0..plan.layout.keys {
                line(&mut fields, &format!("u32 key_{place};"));
                line(&mut lines, &format!("values.key_{place} = (u32)raw_{place}(in, row);"));
                if wire.columns[place].holes {
                    line(&mut fields, &format!("bool is_{place};"));
                    line(&mut lines, &format!("values.is_{place} = {};", present(place)));
                }
            }
            if let (true, Some(time)) = (paned, plan.time) {
                line(&mut fields, "u32 time;");
                line(&mut lines, &format!("values.time = (u32)raw_{time}(in, row);"));
            }
        }
        for (column, of) in plan.layout.columns.iter().enumerate().skip(plan.layout.keys) {
            let width = wire.columns[column];
            if width.holes {
                line(&mut fields, &format!("bool here_{column};"));
                line(&mut lines, &format!("values.here_{column} = {};", present(column)));
            }
            if width.bytes == 0 {
                continue;
            }
            let c_type = if width.bytes < 8 { "u32" } else { "u64" };
            line(&mut fields, &format!("{c_type} raw_{column};"));
            line(&mut lines, &format!("values.raw_{column} = ({c_type})raw_{column}(in, row);"));
            let is_summed = |state: &State| {
                state.column == Some(column) && matches!(state.kept, Kept::Sum { .. } | Kept::Moments { .. })
            };
            if matches!(of.form, Form::Float { .. }) && plan.layout.states.iter().any(is_summed) {
                let here = if width.holes { format!("!values.here_{column} || ") } else { String::new() };
                write!(plain, " && ({here}is_number({}))", value(column)).expect("a string");
            }
        }
        format!(
            "struct Values {{\n    u32 row;\n{fields}}};\n\n__device__ __forceinline__ Values values_of(const In& in, u32 row) {{\n    \
             Values values;\n    values.row = row;\n{lines}    return values;\n}}\n\n\
             __device__ __forceinline__ bool is_plain(const In& in, const Values& values) {{\n{plain};\n}}\n\n"
        )
    }

    /// The key of a row, and a group's key as the table has it.
    fn keys(&self, plan: &Plan, wire: &Wire) -> String {
        let Key::Narrow { paned } = self.key else {
            return "__device__ __forceinline__ void own_key_of(const In& in, const Values& values, u32* key) {\n    key_of(in, values.row, key);\n}\n\n\
                    __device__ __forceinline__ void key_of_own(const In&, const u32* memory, u32 group, u32* key) {\n\
                    #pragma unroll\n    for (int word = 0; word < KEY_WORDS; word++) key[word] = memory[KEYS_AT + word * GROUPS + group];\n}\n\n"
                .into();
        };
        let (mut of, mut back) = (String::new(), String::new());
        let (mut bit, mut word) = (0, 1);
        for (place, column) in plan.layout.columns[..plan.layout.keys].iter().enumerate() {
            let width = wire.columns[place];
            let bits = 8 * u32::from(width.bytes);
            let mask = u32::MAX >> (32 - bits);
            let mut value = vec![
                format!("const u64 value = in.base_{place} + (all >> {bit} & {mask}u);"),
                format!("key[{word}] = (u32)value;"),
            ];
            if column.form.words() > 1 {
                value.push(format!("key[{}] = (u32)(value >> 32);", word + 1));
            }
            let value = value.join(" ");
            let raw = format!("all |= values.key_{place} << {bit};");
            bit += bits;
            if width.holes {
                line(&mut of, &format!("if (values.is_{place}) {{ {raw} }} else {{ all |= 1u << {bit}; }}"));
                line(
                    &mut back,
                    &format!("if (all >> {bit} & 1) {{ key[0] |= {}u; }} else {{ {value} }}", 1u32 << place),
                );
                bit += 1;
            } else {
                line(&mut of, &raw);
                line(&mut back, &format!("{{ {value} }}"));
            }
            word += column.form.words();
        }
        line(&mut of, "key[0] = all;");
        if paned {
            line(&mut of, "key[1] = pane_of(in, values.time);");
            line(
                &mut back,
                &format!("key[{}] = (u32)(in.pane + (i32)memory[KEYS_AT + GROUPS + group]);", plan.pane_word),
            );
        }
        format!(
            "__device__ __forceinline__ void own_key_of(const In& in, const Values& values, u32* key) {{\n    u32 all = 0;\n{of}}}\n\n\
             __device__ __forceinline__ void key_of_own(const In& in, const u32* memory, u32 group, u32* key) {{\n    \
             const u32 all = memory[KEYS_AT + group];\n#pragma unroll\n    for (int word = 0; word < KEY_WORDS; word++) key[word] = 0;\n{back}}}\n\n"
        )
    }

    /// What a row does to a group.
    fn fold(&self, plan: &Plan, wire: &Wire) -> String {
        let mut text = String::new();
        line(&mut text, "atomicAdd(word_of(memory, 0, group), 1u);");
        for (state, place) in plan.layout.states.iter().zip(&self.places) {
            let Some(column) = state.column else { continue };
            let form = plan.layout.form(state);
            let value = value(column);
            let one_more = |absent: Option<u32>| absent.map(|at| format!(" else {{ atomicAdd({}, 1u); }}", word(at)));
            let (action, otherwise) = match (*place, state.kept) {
                (Place::Count { absent }, _) => (String::new(), one_more(absent)),
                (Place::Digits { absent, at, sum, squares }, _) => {
                    let (digits, behind) = (word(at), word(at + sum));
                    let add = match form {
                        Form::Float { .. } => format!(
                            "add_double_digits<{}>({digits}, {behind}, {value}, in.scale_{column}, in.low_{column});",
                            squares > 0
                        ),
                        _ => format!("add_digits<{}>({digits}, values.raw_{column}, 0, 0, false);", sum - 1),
                    };
                    let magnitude = match form {
                        Form::Integer { signed: true, .. } => format!("{value} >> 63 ? 0 - {value} : {value}"),
                        _ => value,
                    };
                    let square = match form {
                        Form::Integer { .. } if squares > 0 => format!(
                            " const u64 by = {magnitude}; add_digits<{INTEGER_SQUARE}>({behind}, by * by, __umul64hi(by, by), 0, false);"
                        ),
                        _ => String::new(),
                    };
                    (add + &square, one_more(absent))
                }
                (Place::Extreme { at, bit }, kept) => {
                    let greatest = kept == Kept::Extreme { greatest: true };
                    let win = format!("win_own(long_of(memory, {at}, group), {});", ordered(form, &value, greatest));
                    let there = bit.map_or(String::new(), |bit| {
                        let word = word(self.there);
                        format!(" if (!(*(volatile u32*){word} >> {bit} & 1)) atomicOr({word}, 1u << {bit});")
                    });
                    (win + &there, None)
                }
            };
            let otherwise = otherwise.unwrap_or_default();
            match wire.columns[column].holes {
                true => line(&mut text, &format!("if (values.here_{column}) {{ {action} }}{otherwise}")),
                false => line(&mut text, &format!("{{ {action} }}")),
            }
        }
        format!(
            "__device__ __forceinline__ void fold_own(u32* memory, u32 group, const In& in, const Values& values) {{\n{text}}}\n\n"
        )
    }

    /// Hands on the carries of a group.
    fn settle(&self) -> String {
        let mut text = String::new();
        for place in &self.places {
            let Place::Digits { at, sum, squares, .. } = *place else { continue };
            line(&mut text, &format!("settle<{sum}>({});", word(at)));
            if squares > 0 {
                line(&mut text, &format!("settle<{squares}>({});", word(at + sum)));
            }
        }
        format!("__device__ __forceinline__ void settle_own(u32* memory, u32 group) {{\n{text}}}\n\n")
    }

    /// Merges a group into one of the table.
    fn merge(&self, plan: &Plan) -> String {
        let mut text = String::new();
        for ((state, state_at), place) in plan.layout.states.iter().zip(&plan.state_at).zip(&self.places) {
            let form = plan.layout.form(state);
            let column = state.column.unwrap_or_default();
            let into = |words: u32| format!("state + {}", state_at + words);
            let add_absent = |absent: Option<u32>| {
                absent.map_or(String::new(), |at| format!("if (*{}) atomicAdd({}, *{0}); ", word(at), into(0)))
            };
            let action = match *place {
                Place::Count { absent } => add_absent(absent),
                Place::Digits { absent, at, sum, squares } => {
                    let rows = match absent {
                        None => format!("*{}", word(0)),
                        Some(at) => format!("*{} - *{}", word(0), word(at)),
                    };
                    let (sum_words, square_words) = limbs(state.kept);
                    let signed = matches!(form, Form::Integer { signed: true, .. });
                    let of_limbs = |digits: u32, words: u32| format!("Adding<{}, LIMBS_OF({digits})>", words / 2);
                    let (adding, low) = match form {
                        Form::Float { .. } => (
                            format!(
                                "{} sums; merge_digits<{sum}>(sums, {}, {}, in.low_{column});",
                                of_limbs(sum, sum_words),
                                into(2),
                                word(at)
                            ),
                            format!("2 * in.low_{column}"),
                        ),
                        _ => (
                            format!(
                                "{} sums; merge_distances<{sum}, {signed}>(sums, {}, {}, in.base_{column}, {rows});",
                                of_limbs(sum, sum_words),
                                into(2),
                                word(at),
                            ),
                            "0".into(),
                        ),
                    };
                    let (squaring, end) = match squares {
                        0 => (String::new(), ""),
                        n => (
                            format!(
                                " {} squares; merge_digits<{n}>(squares, {}, {}, {low});",
                                of_limbs(n, square_words),
                                into(2 + sum_words),
                                word(at + sum)
                            ),
                            " squares.end();",
                        ),
                    };
                    // Both on their way at once where there are registers for that.
                    let all = match form {
                        Form::Float { .. } => format!("{adding}{squaring} sums.end();{end}"),
                        _ => format!("{adding} sums.end();{squaring}{end}"),
                    };
                    add_absent(absent) + &all
                }
                Place::Extreme { at, bit } => {
                    let best = format!("*long_of(memory, {at}, group)");
                    let flip = if state.kept == (Kept::Extreme { greatest: true }) { "" } else { "~" };
                    let win = match form {
                        Form::Integer { words: 4, .. } => format!(
                            "const u64 low = {flip}{best} ^ 1ull << 63, high = (u64)((i64)low >> 63); \
                             win_wide({}, {flip}low, {flip}(high ^ 1ull << 63));",
                            into(0)
                        ),
                        _ => format!("win({}, {best});", into(0)),
                    };
                    bit.map_or(win.clone(), |bit| format!("if (*{} >> {bit} & 1) {{ {win} }}", word(self.there)))
                }
            };
            line(&mut text, &format!("{{ {action} }}"));
        }
        format!(
            "__device__ __forceinline__ void merge_own(u32* state, const In& in, u32* memory, u32 group) {{\n{text}}}\n\n"
        )
    }
}

/// Threads of a block: all that a multiprocessor has registers for, of which columns take some, and sums more. How many is what the
/// compiler says of the benchmark's stages and of random ones.
fn threads(plan: &Plan) -> u32 {
    let of_state = |state: &State| match state.kept {
        Kept::Count | Kept::Extreme { .. } => 0,
        Kept::Sum { .. } => 1,
        Kept::Moments { .. } => 2,
    };
    let weight = plan.columns.len() + plan.layout.states.iter().map(of_state).sum::<usize>();
    match weight {
        0..6 => 1024,
        6 => 896,
        _ => 512,
    }
}

/// Rows side by side that a thread looks at at a time, a multiple of four: as many as it has registers for.
fn rows(plan: &Plan) -> u32 {
    let is_light = |state: &State| matches!(state.kept, Kept::Count);
    if plan.layout.states.iter().all(is_light) { 8 } else { 4 }
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "    {line}").expect("a string");
}

/// The address of a word of the group.
fn word(at: u32) -> String {
    format!("word_of(memory, {at}, group)")
}

/// The bits of an extreme's value, so that the greatest of them wins.
pub(crate) fn ordered(form: Form, value: &str, greatest: bool) -> String {
    let flip = if greatest { "" } else { "~" };
    match form {
        Form::Float { words: 1 } => format!("{flip}(u64)ordered_float((u32){value})"),
        Form::Float { .. } => format!("{flip}ordered_double({value})"),
        Form::Integer { signed: true, .. } => format!("{flip}({value} ^ 1ull << 63)"),
        _ => format!("{flip}{value}"),
    }
}

/// How keys are told apart: narrow ones fit a word, with a bit for NULL.
fn key(plan: &Plan, wire: &Wire) -> Key {
    let keys = &wire.columns[..plan.layout.keys];
    let bits: u32 = keys.iter().map(|width| 8 * u32::from(width.bytes) + u32::from(width.holes)).sum();
    let paned = plan.time.is_some();
    if bits <= 32 && (wire.short_times || !paned) { Key::Narrow { paned } } else { Key::Whole }
}

/// The value of a column of a row.
fn value(column: usize) -> String {
    format!("of_{column}(in, values.raw_{column})")
}
