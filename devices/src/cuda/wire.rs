//! Columns of a batch to the bytes that a device is sent: one piece, one copy, an event in as few bytes as it can be.
//!
//! Integers travel as their distance from the least of the batch, in one, two, four or eight bytes; text and what else has
//! no number as ids; doubles as they are. How wide a column is only grows over the batches of a table, because a kernel is
//! compiled for one width. Selections are squeezed out here.

use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::{DataType, Float64Type, Int32Type};
use pelton_kernels::Rows;
use pelton_kernels::cpu::{Level, level};
use pelton_kernels::group_table::GroupTable;
use pelton_kernels::select::Members;
use pelton_kernels::stage::Test;

use super::own::{DIGIT, MANTISSA};
use super::plan::{Brought, Plan};
use super::source::{FEW, Width, Wire};
use crate::Unfit;
use crate::layout::{Form, Kept};
use crate::pack::{Memory, bitmap, exponents, scale, without_dictionary};

/// What the columns of a device's copy begin at multiples of.
const ALIGNED: usize = 256;

/// Words of the header in front of the columns: `struct Batch` of `shaders/cuda/batch.cu`, in 64 bits.
fn header_len(plan: &Plan) -> usize {
    3 + plan.tests.len().max(1) + 6 * plan.columns.len().max(1)
}

/// A batch on its way to a device: looked at ([`Packed::look`]), fitted to what a table has until now ([`Packed::fit`]), written. To look
/// and to write take time, and touch nothing but the batch.
pub(crate) struct Packed<'a> {
    plan: &'a Plan,
    rows: Rows<'a>,
    wire: Wire,
    columns: Vec<Values>,
    /// Bits of the rows that take part.
    present: Vec<Option<Vec<u32>>>,
    /// Which values of a dictionary pass each of the tests of a column.
    passing: Vec<Vec<Members>>,
    /// Bits of the values that pass all of them, and how many values are known.
    members: Vec<Option<(Vec<u32>, u32)>>,
    /// Of doubles that are summed: the powers of two of the last bits of the smallest and the largest.
    ranges: Vec<Option<(i32, i32)>>,
    scales: Vec<Option<i32>>,
    /// Of the same: digits from the scale on that none of the batch reaches down to.
    low: Vec<u32>,
    times: Times,
    constants: Vec<u64>,
}

/// Where panes are counted from.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    pane: i32,
    into: u32,
    origin: i64,
}

/// The values of a column before they are narrowed.
enum Values {
    None,
    /// Ids are to be found.
    Unknown(ArrayRef),
    /// Ids, by the keys of a dictionary; the least of them, and how far the greatest is from it.
    Coded {
        keys: ScalarBuffer<i32>,
        of_values: Vec<u32>,
        base: u64,
        span: u64,
    },
    /// So many bytes each; the least of them, and how far the greatest is from it.
    Integers {
        values: Buffer,
        bytes: u8,
        signed: bool,
        rows: Squeeze,
        base: u64,
        span: u64,
    },
    /// Sent as they are.
    Plain {
        values: Buffer,
        bytes: u8,
        rows: Squeeze,
    },
}

/// Which of a buffer's values.
enum Squeeze {
    All,
    List(Vec<u32>),
}

/// The number of the first pane of a table: the origin of the pane words of its keys.
pub(crate) type Origin = Option<i64>;

impl<'a> Packed<'a> {
    /// Looks at the selected rows of a batch.
    pub(crate) fn look(plan: &'a Plan, columns: &[ArrayRef], rows: Rows<'a>) -> Result<Self, Unfit> {
        let n = plan.columns.len();
        let mut packed = Packed {
            plan,
            rows,
            wire: narrowest(plan),
            columns: vec![],
            present: vec![],
            passing: vec![],
            members: vec![None; n],
            ranges: vec![None; n],
            scales: vec![],
            low: vec![0; n],
            times: Times::default(),
            constants: plan.stage.tests.iter().map(constant).collect(),
        };
        for (place, column) in plan.columns.iter().enumerate() {
            packed.look_at(place, column, columns)?;
        }
        Ok(packed)
    }

    fn look_at(&mut self, place: usize, column: &Brought, columns: &[ArrayRef]) -> Result<(), Unfit> {
        let rows = self.rows;
        let array = column.input.map(|input| &columns[input]);
        let filter = column.filter.map(|filter| &columns[filter]);
        let plain = array.filter(|_| !column.dictionary);
        let array = plain.map(|array| without_dictionary(array, column.form)).transpose()?.or(array.cloned());
        // Of ids NULL is one, and no test passes it.
        let is_id = column.form == Form::Id;
        let holes = if is_id { None } else { bitmap(array.as_ref(), filter, rows) };
        let mut passing = vec![];
        let values = match (column.form, array) {
            (Form::Presence, _) | (_, None) => Values::None,
            (Form::Id, Some(array)) => {
                let tests = self.plan.tests.iter().zip(&self.plan.stage.tests).filter(|(at, _)| **at == place);
                for (_, test) in tests {
                    let Test::Among { values, .. } = test else { continue };
                    passing.push(values.members(&array).ok_or(Unfit::Type)?);
                }
                Values::Unknown(array)
            }
            (Form::Float { words }, Some(array)) => {
                let summed = |state: &crate::layout::State| {
                    state.column == Some(place) && matches!(state.kept, Kept::Sum { .. } | Kept::Moments { .. })
                };
                if self.plan.layout.states.iter().any(summed) {
                    self.ranges[place] = range_of(&array, rows, holes.as_deref())?;
                }
                match (array.data_type(), words) {
                    (DataType::Float64, 2) => plain_values(&array, 8, rows)?,
                    (DataType::Float32, _) => plain_values(&array, 4, rows)?,
                    _ => return Err(Unfit::Type),
                }
            }
            (form, Some(array)) => integer_values(&array, form, rows)?,
        };
        self.columns.push(values);
        self.present.push(holes);
        self.passing.push(passing);
        Ok(())
    }

    /// Fits it to what a table has until now. Where it does not fit, nothing is remembered but ids.
    pub(crate) fn fit(&mut self, memory: &mut Memory, wire: &Wire, origin: Origin) -> Result<(), Unfit> {
        self.wire = wire.clone();
        self.scales.clone_from(&memory.scales);
        let plan = self.plan;
        for (place, column) in plan.columns.iter().enumerate() {
            if let Values::Unknown(array) = &self.columns[place] {
                let ids = match column.dictionary {
                    true => None,
                    false => Some(memory.ids[place].as_mut().expect("keys without a form have a table")),
                };
                let (values, of_values) = ids_of(array, ids, self.rows)?;
                for passing in &self.passing[place] {
                    let mut of_test = members_of(passing, of_values.as_deref())?;
                    // Several tests of one column share its bits: a value is a member if it passes all.
                    if let Some((others, _)) = &self.members[place] {
                        of_test.0.iter_mut().zip(others).for_each(|(bits, others)| *bits &= others);
                    }
                    self.members[place] = Some(of_test);
                }
                self.columns[place] = values;
            }
            if let Some((finest, coarsest)) = self.ranges[place] {
                let scale = scale(self.ranges[place], self.scales[place])?.expect("there are numbers");
                self.scales[place] = Some(scale);
                self.low[place] = (finest - scale) as u32 / DIGIT;
                let bits = (coarsest - scale) as u32 + MANTISSA - DIGIT * self.low[place];
                // A few more, so that the next batches need no other kernel.
                let digits = bits.div_ceil(DIGIT).next_multiple_of(2) as u8;
                let width = &mut self.wire.columns[place];
                width.digits = width.digits.max(digits);
            }
            let width = &mut self.wire.columns[place];
            width.many |= self.members[place].as_ref().is_some_and(|(_, known)| *known > FEW);
            width.holes |= self.present[place].is_some();
            width.bytes = width.bytes.max(self.columns[place].bytes());
        }
        match plan.time {
            Some(time) => self.place_panes(time, origin),
            None => Ok(()),
        }
    }

    /// Where the panes of the batch's times are, from the table's first.
    fn place_panes(&mut self, time: usize, origin: Origin) -> Result<(), Unfit> {
        let panes = self.plan.stage.panes.expect("there are times");
        let Values::Integers { base, span, .. } = self.columns[time] else { return Err(Unfit::Type) };
        if self.wire.columns[time].holes {
            return Err(Unfit::Type);
        }
        let low = base as i64;
        let high = i64::try_from(span).ok().and_then(|span| low.checked_add(span)).ok_or(Unfit::Range)?;
        let first = i64::try_from(panes.number(low)).map_err(|_| Unfit::Range)?;
        let last = i64::try_from(panes.number(high)).map_err(|_| Unfit::Range)?;
        // Room on both sides of the first batch's panes.
        let origin = origin.unwrap_or(first);
        let from_origin = |pane: i64| pane.checked_sub(origin).and_then(|n| i32::try_from(n).ok());
        let (Some(pane), Some(_)) = (from_origin(first), from_origin(last)) else { return Err(Unfit::Range) };
        low.checked_sub(panes.offset).and(high.checked_sub(panes.offset)).ok_or(Unfit::Range)?;
        let into = (i128::from(low) - i128::from(panes.start(first))) as u64;
        let short = span.saturating_add(into) < 1 << 32 && panes.width < 1 << 32;
        self.wire.short_times &= short && self.wire.columns[time].bytes <= 4;
        self.times = Times { pane, into: if short { into as u32 } else { 0 }, origin };
        Ok(())
    }

    /// The selected rows.
    pub(crate) fn rows(&self) -> Rows<'a> {
        self.rows
    }

    /// How the batch travels.
    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// The scale of each column's sums, for those whose sums have one.
    pub(crate) fn scales(&self) -> &[Option<i32>] {
        &self.scales
    }

    /// The number of the table's first pane.
    pub(crate) fn origin(&self) -> i64 {
        self.times.origin
    }

    /// The pane that the earliest of the batch's times is in, from the table's first.
    pub(crate) fn first_pane(&self) -> i64 {
        i64::from(self.times.pane)
    }

    /// Bytes of the whole, which begins with the header.
    pub(crate) fn len(&self) -> usize {
        self.places().1
    }

    /// Where values, bits of rows and bits of members of each column begin; and the end of all.
    fn places(&self) -> (Vec<[usize; 3]>, usize) {
        let mut end = (8 * header_len(self.plan)).next_multiple_of(ALIGNED);
        let mut place = |bytes: usize| {
            let at = end;
            end += bytes.next_multiple_of(ALIGNED);
            if bytes > 0 { at } else { 0 }
        };
        let mut places = vec![];
        for at in 0..self.columns.len() {
            let width = self.wire.columns[at];
            let bits = if width.holes { self.rows.len().div_ceil(32) * 4 } else { 0 };
            let members = self.members[at].as_ref().map_or(0, |(bits, _)| bits.len() * 4);
            places.push([place(self.rows.len() * usize::from(width.bytes)), place(bits), place(members)]);
        }
        (places, end)
    }

    /// Writes it. `into` is `len` long.
    pub(crate) fn write(&self, into: &mut [u8]) {
        let (places, _) = self.places();
        let Times { pane, into: ticks, origin } = self.times;
        let mut header = vec![self.rows.len() as u64 | u64::from(pane as u32) << 32, u64::from(ticks), origin as u64];
        header.extend(&self.constants);
        if self.constants.is_empty() {
            header.push(0);
        }
        for (at, [values, bits, members]) in places.iter().enumerate() {
            let known = self.members[at].as_ref().map_or(0, |(_, known)| *known);
            let scale = self.scales.get(at).copied().flatten().unwrap_or(0);
            let base = self.columns[at].base(self.wire.columns[at].bytes);
            let last = u64::from(scale as u32) | u64::from(known) << 32;
            header.extend([*values as u64, *bits as u64, *members as u64, base, last, u64::from(self.low[at])]);
        }
        copy_words(&header, into);
        for (at, [values, bits, members]) in places.into_iter().enumerate() {
            let width = self.wire.columns[at];
            let end = values + self.rows.len() * usize::from(width.bytes);
            self.columns[at].write(width.bytes, &mut into[values..end]);
            if width.holes {
                let words = self.rows.len().div_ceil(32);
                match &self.present[at] {
                    Some(present) => copy_words(present, &mut into[bits..]),
                    None => into[bits..bits + 4 * words].fill(0xff),
                }
            }
            if let Some((bits, _)) = &self.members[at] {
                copy_words(bits, &mut into[members..]);
            }
        }
    }
}

/// A wire of a table that has seen nothing yet.
pub(crate) fn narrowest(plan: &Plan) -> Wire {
    Wire {
        columns: vec![Width { bytes: 0, holes: false, digits: 0, many: false }; plan.columns.len()],
        short_times: plan.time.is_some(),
    }
}

fn copy_words<T: bytemuck::Pod>(words: &[T], into: &mut [u8]) {
    let bytes: &[u8] = bytemuck::cast_slice(words);
    into[..bytes.len()].copy_from_slice(bytes);
}

/// The constant of a test, as its kernel compares it.
fn constant(test: &Test) -> u64 {
    match test {
        Test::Integer { constant, .. } => *constant as u64,
        Test::Double { constant, .. } => constant.to_bits(),
        Test::Among { .. } => 0,
    }
}

/// Of NULL, where no row is.
const NO_ID: u32 = u32::MAX;

/// Ids of the selected rows, and for a dictionary those of its values, that of NULL behind them. Without a table the ids are the
/// dictionary's keys.
fn ids_of(
    array: &ArrayRef,
    table: Option<&mut GroupTable>,
    rows: Rows<'_>,
) -> Result<(Values, Option<Vec<u32>>), Unfit> {
    let values = |ids: Vec<u32>| integers(Buffer::from_vec(ids), 4, false, Squeeze::All);
    let by_row = |table: &mut GroupTable| {
        let mut ids = vec![];
        table.intern(std::slice::from_ref(array), rows, &mut ids).map_err(|_| Unfit::Type)?;
        Ok((values(ids), None))
    };
    let Some(dictionary) = array.as_any_dictionary_opt() else { return by_row(table.ok_or(Unfit::Type)?) };
    let (all, keys) = (dictionary.values(), dictionary.keys());
    let mut of_values: Vec<u32> = vec![];
    match table {
        None => of_values.extend(0..=all.len() as u32),
        // Most values are no row's.
        Some(table) if all.len() > rows.len().max(1 << 16) => return by_row(table),
        Some(table) => {
            let mut intern = |values: &ArrayRef, of: &mut Vec<u32>| {
                table.intern(std::slice::from_ref(values), Rows::All(values.len()), of).map_err(|_| Unfit::Type)
            };
            let typed = arrow::compute::cast(all, array.data_type()).map_err(|_| Unfit::Type)?;
            intern(&typed, &mut of_values)?;
            let mut null = vec![];
            if keys.null_count() > 0 {
                intern(&new_null_array(array.data_type(), 1), &mut null)?;
            }
            of_values.push(null.first().copied().unwrap_or(NO_ID));
        }
    }
    let null = all.len();
    let nulls = keys.logical_nulls();
    if let (Some(keys), None, Rows::All(n)) = (keys.as_primitive_opt::<Int32Type>(), &nulls, rows)
        && null > 0
    {
        // What Pelton's own readers bring: found by the keys when it is written.
        let used = &of_values[..null];
        let base = used.iter().copied().min().unwrap_or(0);
        let span = used.iter().copied().max().unwrap_or(0) - base;
        let keys = keys.values().slice(0, n);
        let coded = Values::Coded { keys, of_values: of_values.clone(), base: base.into(), span: span.into() };
        return Ok((coded, Some(of_values)));
    }
    // Where there are no values, every key is NULL.
    let normal = if all.is_empty() { vec![] } else { dictionary.normalized_keys() };
    let id = |row: usize| match &nulls {
        Some(nulls) if nulls.is_null(row) => of_values[null],
        _ => of_values[normal[row]],
    };
    Ok((values((0..rows.len()).map(|i| id(rows.get(i))).collect()), Some(of_values)))
}

/// The bits of a dictionary's members by the ids of its values and of NULL.
fn members_of(members: &Members, ids: Option<&[u32]>) -> Result<(Vec<u32>, u32), Unfit> {
    let ids = ids.ok_or(Unfit::Type)?;
    let known = ids.iter().filter(|id| **id != NO_ID).max().map_or(0, |id| id + 1);
    // Two words at least, which are read as one.
    let mut bits = vec![0u32; known.max(FEW).div_ceil(32) as usize];
    for (value, id) in ids.iter().enumerate().filter(|(_, id)| **id != NO_ID) {
        if members.bits().get(value / 32).is_some_and(|word| word >> (value % 32) & 1 == 1) {
            bits[*id as usize / 32] |= 1 << (id % 32);
        }
    }
    Ok((bits, known))
}

/// The powers of two of the last bits of the smallest and the largest number of a column.
fn range_of(array: &ArrayRef, rows: Rows<'_>, holes: Option<&[u32]>) -> Result<Option<(i32, i32)>, Unfit> {
    Ok(match (array.as_primitive_opt::<Float64Type>(), rows, holes) {
        (Some(array), Rows::All(n), None) => exponents(&array.values()[..n]),
        _ => exponents(&crate::pack::doubles(array, rows, holes)?),
    })
}

fn squeeze(rows: Rows<'_>) -> Squeeze {
    match rows {
        Rows::All(_) => Squeeze::All,
        Rows::List(list) => Squeeze::List(list.to_vec()),
    }
}

/// The values of an array, from its offset on, in so many bytes each.
fn values_of(array: &ArrayRef, bytes: usize) -> Result<Buffer, Unfit> {
    let data = array.to_data();
    let values = data.buffers()[0].slice_with_length(data.offset() * bytes, data.len() * bytes);
    if values.as_ptr().align_offset(bytes) == 0 { Ok(values) } else { Err(Unfit::Type) }
}

fn plain_values(array: &ArrayRef, bytes: u8, rows: Rows<'_>) -> Result<Values, Unfit> {
    Ok(Values::Plain { values: values_of(array, bytes.into())?, bytes, rows: squeeze(rows) })
}

fn integers(values: Buffer, bytes: u8, signed: bool, rows: Squeeze) -> Values {
    let (base, span) = by_type(bytes, signed, &values, &rows, Range).unwrap_or_default();
    Values::Integers { values, bytes, signed, rows, base, span }
}

/// The values of a column that is stored as integers.
fn integer_values(array: &ArrayRef, form: Form, rows: Rows<'_>) -> Result<Values, Unfit> {
    let Form::Integer { words, signed } = form else { return Err(Unfit::Type) };
    if let Some(booleans) = array.as_boolean_opt() {
        let bytes: Vec<u8> = (0..rows.len()).map(|i| u8::from(booleans.value(rows.get(i)))).collect();
        return Ok(integers(Buffer::from_vec(bytes), 1, false, Squeeze::All));
    }
    let bytes = array.data_type().primitive_width().filter(|bytes| *bytes <= 4 * words as usize).ok_or(Unfit::Type)?;
    let buffer = values_of(array, bytes)?;
    if bytes < 16 {
        return Ok(integers(buffer, bytes as u8, signed, squeeze(rows)));
    }
    // Decimals that fit 64 bits travel as such.
    let values: &[i128] = buffer.typed_data();
    let short: Option<Vec<i64>> = (0..rows.len()).map(|i| i64::try_from(values[rows.get(i)]).ok()).collect();
    Ok(match short {
        Some(short) => integers(Buffer::from_vec(short), 8, true, Squeeze::All),
        None => Values::Plain { values: buffer, bytes: 16, rows: squeeze(rows) },
    })
}

/// Something to be done with values of any integer type.
trait Of {
    type Answer;
    fn of<T: Integer>(self, values: &[T], rows: &Squeeze) -> Self::Answer;
}

/// A type of integers.
trait Integer: bytemuck::Pod + Ord {
    fn wide(self) -> u64;
}

macro_rules! integer {
    ($($type:ty),*) => {
        $(impl Integer for $type {
            #[inline(always)]
            fn wide(self) -> u64 {
                self as u64
            }
        })*
    };
}
integer!(i8, i16, i32, i64, u8, u16, u32, u64);

fn by_type<O: Of>(bytes: u8, signed: bool, values: &Buffer, rows: &Squeeze, what: O) -> O::Answer {
    macro_rules! go {
        ($type:ty) => {{
            let len = values.len() / size_of::<$type>() * size_of::<$type>();
            at_level::<$type, O>(what, bytemuck::cast_slice(&values.as_slice()[..len]), rows)
        }};
    }
    match (bytes, signed) {
        (1, true) => go!(i8),
        (2, true) => go!(i16),
        (4, true) => go!(i32),
        (8, true) => go!(i64),
        (1, false) => go!(u8),
        (2, false) => go!(u16),
        (4, false) => go!(u32),
        _ => go!(u64),
    }
}

/// The same loops in vectors as wide as the processor has.
fn at_level<T: Integer, O: Of>(what: O, values: &[T], rows: &Squeeze) -> O::Answer {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2<T: Integer, O: Of>(what: O, values: &[T], rows: &Squeeze) -> O::Answer {
            what.of(values, rows)
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
        fn avx512<T: Integer, O: Of>(what: O, values: &[T], rows: &Squeeze) -> O::Answer {
            what.of(values, rows)
        }
        match level() {
            // SAFETY: the processor has the features.
            Level::Avx512 => return unsafe { avx512(what, values, rows) },
            // SAFETY: likewise.
            Level::Avx2 => return unsafe { avx2(what, values, rows) },
            Level::Scalar => {}
        }
    }
    what.of(values, rows)
}

/// The least value, widened, and how far the greatest is from it.
struct Range;

impl Of for Range {
    type Answer = Option<(u64, u64)>;
    #[inline(always)]
    fn of<T: Integer>(self, values: &[T], rows: &Squeeze) -> Option<(u64, u64)> {
        let first = match rows {
            Squeeze::All => values.first(),
            Squeeze::List(list) => list.first().map(|row| &values[*row as usize]),
        };
        let (mut least, mut most) = (*first?, *first?);
        let mut see = |value: T| (least, most) = (least.min(value), most.max(value));
        match rows {
            Squeeze::All => values.iter().for_each(|value| see(*value)),
            Squeeze::List(list) => list.iter().for_each(|row| see(values[*row as usize])),
        }
        Some((least.wide(), most.wide().wrapping_sub(least.wide())))
    }
}

/// Writes distances from a base in so many bytes.
struct Narrow<'a> {
    base: u64,
    bytes: u8,
    into: &'a mut [u8],
}

impl Of for Narrow<'_> {
    type Answer = ();
    #[inline(always)]
    fn of<T: Integer>(self, values: &[T], rows: &Squeeze) {
        let base = self.base;
        macro_rules! go {
            ($type:ty) => {{
                let into: &mut [$type] = bytemuck::cast_slice_mut(self.into);
                let narrow = |value: T| value.wide().wrapping_sub(base) as $type;
                match rows {
                    Squeeze::All => into.iter_mut().zip(values).for_each(|(to, value)| *to = narrow(*value)),
                    Squeeze::List(list) => {
                        into.iter_mut().zip(list).for_each(|(to, row)| *to = narrow(values[*row as usize]))
                    }
                }
            }};
        }
        match self.bytes {
            1 => go!(u8),
            2 => go!(u16),
            4 => go!(u32),
            8 => go!(u64),
            _ => {
                // Beside values of 128 bits in batches before.
                let into: &mut [i128] = bytemuck::cast_slice_mut(self.into);
                let wide = |value: T| i128::from(value.wide() as i64);
                match rows {
                    Squeeze::All => into.iter_mut().zip(values).for_each(|(to, value)| *to = wide(*value)),
                    Squeeze::List(list) => {
                        into.iter_mut().zip(list).for_each(|(to, row)| *to = wide(values[*row as usize]))
                    }
                }
            }
        }
    }
}

impl Values {
    /// Bytes that a value needs on the way.
    fn bytes(&self) -> u8 {
        match self {
            Values::None | Values::Unknown(_) => 0,
            Values::Plain { bytes, .. } => *bytes,
            Values::Integers { span, .. } | Values::Coded { span, .. } => match span {
                0..0x100 => 1,
                0x100..0x1_0000 => 2,
                0x1_0000..0x1_0000_0000 => 4,
                _ => 8,
            },
        }
    }

    /// What a kernel adds to values that travel in so many bytes.
    fn base(&self, bytes: u8) -> u64 {
        match self {
            Values::Integers { base, .. } if bytes < 16 => *base,
            Values::Coded { base, .. } => *base,
            _ => 0,
        }
    }

    fn write(&self, width: u8, into: &mut [u8]) {
        match self {
            Values::None | Values::Unknown(_) => {}
            Values::Coded { keys, of_values, base, .. } => {
                macro_rules! go {
                    ($type:ty) => {{
                        let ids: Vec<$type> =
                            of_values.iter().map(|id| id.wrapping_sub(*base as u32) as $type).collect();
                        let into: &mut [$type] = bytemuck::cast_slice_mut(into);
                        into.iter_mut().zip(keys.iter()).for_each(|(to, key)| *to = ids[*key as usize]);
                    }};
                }
                match width {
                    1 => go!(u8),
                    2 => go!(u16),
                    _ => go!(u32),
                }
            }
            Values::Integers { values, bytes, signed, rows, base, .. } => {
                let narrow = Narrow { base: *base, bytes: width, into };
                by_type(*bytes, *signed, values, rows, narrow);
            }
            Values::Plain { values, bytes, rows: Squeeze::All } => {
                debug_assert_eq!(*bytes, width);
                into.copy_from_slice(&values.as_slice()[..into.len()]);
            }
            Values::Plain { values, bytes, rows: Squeeze::List(list) } => {
                debug_assert_eq!(*bytes, width);
                let size = usize::from(*bytes);
                for (to, row) in into.chunks_exact_mut(size).zip(list) {
                    to.copy_from_slice(&values.as_slice()[*row as usize * size..][..size]);
                }
            }
        }
    }
}
