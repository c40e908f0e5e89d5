//! `'connector' = 'datagen'`: random and counted columns for any declared schema, with Flink's options.
//!
//! | option | default | meaning |
//! |---|---|---|
//! | `number-of-rows` | no end | how many rows |
//! | `seed` | 0 | another seed, other values |
//! | `start` | 2024-01-01T00:00:00Z | the fixed point that stands for "now" |
//! | `fields.X.kind` | `random` | or `sequence`, which ends the table after `fields.X.end` |
//! | `fields.X.min`, `fields.X.max` | the type's range | of random numbers, both included |
//! | `fields.X.start`, `.end`, `.step` | –, no end, 1 | of sequences; times start at `start` and step by `1s`, dates by `1d` |
//! | `fields.X.length` | 100 | of strings (hex letters), bytes and arrays |
//! | `fields.X.var-len` | `false` | lengths from 1 to `length` |
//! | `fields.X.max-past` | `1d` | random times lie less than this before `start`; sequence times come late by less than this (0 unless set) |
//! | `fields.X.null-rate` | 0 | share of NULLs |
//!
//! A field of a `ROW` is addressed as `fields.X.sub.…`, the items of an `ARRAY` as `fields.X.element.…`.
//!
//! Differences from Flink: values repeat from run to run; random times are spread over `max-past` before a fixed `start`
//! instead of the wall clock; `rows-per-second` has no default.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryBuilder,
    ListArray, PrimitiveArray, StringBuilder, StructArray, Time32MillisecondArray, Time32SecondArray,
    Time64MicrosecondArray, Time64NanosecondArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::kernels::cast_utils::parse_decimal;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, FieldRef, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use pelton_engine::connector::{Connector, Options, ReadRequest, Source, Table, parse_duration};
use pelton_engine::error::{Error, Result};

use super::dice::{Dice, below, unit};
use super::{
    DEFAULT_START, Generated, RowMaker, convert, has_nulls, instant_ns, per_second, seed, sql_name, timestamps, whole,
};

const NS_PER_DAY: i128 = 86_400_000_000_000;

/// The `datagen` connector.
#[derive(Clone, Copy, Debug, Default)]
pub struct Datagen;

impl Connector for Datagen {
    fn name(&self) -> &'static str {
        "datagen"
    }

    fn bounded(&self, options: &Options) -> Result<bool> {
        let sequence_ends = options.iter().any(|(key, _)| key.starts_with("fields.") && key.ends_with(".end"));
        Ok(whole(options, "number-of-rows")?.is_some() || sequence_ends)
    }

    fn source(&self, table: &Table, request: &ReadRequest) -> Result<Box<dyn Source>> {
        let context = Context {
            table,
            seed: seed(&table.options)?,
            base_ns: instant_ns(&table.options, "start", DEFAULT_START)?,
        };
        let mut rows = whole(&table.options, "number-of-rows")?;
        let mut columns = Vec::with_capacity(table.schema.fields().len());
        for field in table.schema.fields() {
            let column = context.column(field.name(), field, Inside::Table)?;
            rows = [rows, column.rows].into_iter().flatten().min();
            columns.push(column);
        }
        let wanted = request.columns.iter().map(|&i| columns[i].clone()).collect();
        let shapes = |key: &str| matches!(key, "number-of-rows" | "seed" | "start") || key.starts_with("fields.");
        Generated::open(table, request, Rows { rows, columns: wanted }, shapes)
    }
}

/// The wanted columns.
struct Rows {
    rows: Option<u64>,
    columns: Vec<Column>,
}

impl RowMaker for Rows {
    fn rows(&self) -> Option<u64> {
        self.rows
    }

    fn columns(&self, first: u64, count: usize) -> Result<Vec<ArrayRef>> {
        self.columns.iter().map(|column| column.make(first..first + count as u64)).collect()
    }
}

/// How one column, field of a `ROW` or item of an `ARRAY` is made.
#[derive(Clone, Debug)]
struct Column {
    path: String,
    data_type: DataType,
    dice: Dice,
    /// Where to draw for NULL, and below which number it is one.
    nulls: Option<(Dice, f64)>,
    values: Values,
    /// Where a sequence ends.
    rows: Option<u64>,
}

/// The recipe of a column's values.
#[derive(Clone, Debug)]
enum Values {
    Bool,
    /// `min` and how many values there are from there on; also for decimals, in units of the last digit.
    Whole {
        min: i128,
        span: u128,
    },
    Float {
        min: f64,
        max: f64,
    },
    Text {
        length: u64,
        vary: bool,
    },
    Bytes {
        length: u64,
        vary: bool,
    },
    TimeOfDay,
    /// Nanoseconds: less than `past` before `base`.
    Time {
        base: i128,
        past: u64,
    },
    /// Counts numbers, also as text; of decimals the last digit.
    Count {
        start: i128,
        step: i128,
    },
    CountFloat {
        start: f64,
        step: f64,
    },
    /// Counts nanoseconds, late by less than `past`.
    CountTime {
        start: i128,
        step: i128,
        past: u64,
    },
    Row {
        children: Vec<Column>,
    },
    Array {
        item: FieldRef,
        element: Box<Column>,
        length: u64,
    },
}

/// What a column is part of.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Table,
    Row,
    Array,
}

/// Reads the options of one table.
struct Context<'a> {
    table: &'a Table,
    seed: u64,
    base_ns: i64,
}

impl Context<'_> {
    /// The key under which a property of a column is set (column names compare without case), or would be.
    fn key(&self, path: &str, property: &str) -> String {
        let wanted = format!("fields.{path}.{property}");
        self.table
            .options
            .iter()
            .map(|(key, _)| key)
            .find(|key| key.eq_ignore_ascii_case(&wanted))
            .map_or(wanted.clone(), str::to_string)
    }

    fn duration_ns(&self, key: &str, default_ns: u64) -> Result<u64> {
        let Some(text) = self.table.options.get(key) else { return Ok(default_ns) };
        let duration = parse_duration(text).and_then(|d| u64::try_from(d.as_nanos()).ok());
        duration.ok_or_else(|| self.table.options.bad(key, "a duration such as '300ms', '10s' or '1h'"))
    }

    /// How a column is made, with all its options asked for.
    fn column(&self, path: &str, field: &FieldRef, inside: Inside) -> Result<Column> {
        let options = &self.table.options;
        let data_type = field.data_type();
        let lower = path.to_ascii_lowercase();

        let rate_key = self.key(path, "null-rate");
        let rate: f64 = options.parse(&rate_key, 0.0)?;
        if !(0.0..=1.0).contains(&rate) {
            return Err(options.bad(&rate_key, "a share from 0 to 1"));
        }
        if rate > 0.0 && !field.is_nullable() {
            return Err(
                has_nulls(self.table, path, &format!("'{rate_key}' asks for NULLs")).at(options.span(&rate_key))
            );
        }

        let kind = self.key(path, "kind");
        let sequence = options.one_of(&kind, &["random", "sequence"])? == "sequence";
        if sequence && inside == Inside::Array {
            return Err(Error::user(format!("{}: items of an array cannot count: '{kind}'", options.owner()))
                .at(options.span(&kind)));
        }
        let (values, rows) =
            if sequence { self.sequence(path, &kind, data_type)? } else { (self.random(path, field)?, None) };
        let children_end = match &values {
            Values::Row { children } => children.iter().filter_map(|c| c.rows).min(),
            _ => None,
        };
        Ok(Column {
            path: path.to_string(),
            data_type: data_type.clone(),
            dice: Dice::new(self.seed, &lower),
            nulls: (rate > 0.0).then(|| (Dice::new(self.seed, &format!("{lower}?")), rate)),
            values,
            rows: rows.or(children_end),
        })
    }

    fn random(&self, path: &str, field: &FieldRef) -> Result<Values> {
        use DataType::*;
        let options = &self.table.options;
        let key = |property: &str| self.key(path, property);
        let length = || -> Result<u64> {
            let key = key("length");
            match whole(options, &key)? {
                Some(n) if n > 1_000_000 => Err(options.bad(&key, "at most 1000000")),
                n => Ok(n.unwrap_or(100)),
            }
        };
        Ok(match field.data_type() {
            Boolean => Values::Bool,
            Float32 | Float64 => {
                let max = if field.data_type() == &Float32 { f64::from(f32::MAX) } else { f64::MAX };
                let (min, max) = (self.float(&key("min"), 0.0)?, self.float(&key("max"), max)?);
                if min > max {
                    return Err(options.bad(&key("max"), &format!("a number not below '{}'", key("min"))));
                }
                Values::Float { min, max }
            }
            t @ (Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 | Decimal128(..)) => {
                let (least, most) = range(t);
                let min = self.number(&key("min"), t)?.unwrap_or(least);
                let max = self.number(&key("max"), t)?.unwrap_or(most);
                if min > max {
                    return Err(options.bad(&key("max"), &format!("a number not below '{}'", key("min"))));
                }
                Values::Whole { min, span: max.wrapping_sub(min) as u128 + 1 }
            }
            Utf8 | LargeUtf8 | Utf8View => {
                Values::Text { length: length()?, vary: options.flag(&key("var-len"), false)? }
            }
            Binary | LargeBinary | BinaryView => {
                Values::Bytes { length: length()?, vary: options.flag(&key("var-len"), false)? }
            }
            FixedSizeBinary(n) => Values::Bytes { length: *n as u64, vary: false },
            Time32(_) | Time64(_) => Values::TimeOfDay,
            Date32 | Timestamp(..) => {
                Values::Time { base: self.base_ns.into(), past: self.duration_ns(&key("max-past"), NS_PER_DAY as u64)? }
            }
            Struct(fields) => {
                let children = fields.iter().map(|f| self.column(&format!("{path}.{}", f.name()), f, Inside::Row));
                Values::Row { children: children.collect::<Result<_>>()? }
            }
            List(item) => {
                let element = Box::new(self.column(&format!("{path}.element"), item, Inside::Array)?);
                Values::Array { item: item.clone(), element, length: length()? }
            }
            other => return Err(self.unsupported(path, other)),
        })
    }

    fn sequence(&self, path: &str, kind: &str, data_type: &DataType) -> Result<(Values, Option<u64>)> {
        use DataType::*;
        let options = &self.table.options;
        let (start_key, end_key, step_key) = (self.key(path, "start"), self.key(path, "end"), self.key(path, "step"));
        let needed = || {
            Error::user(format!("{}: the sequence `{path}` needs the option '{start_key}'", options.owner()))
                .hint(format!("add '{start_key}' = '...' to WITH (...)"))
                .at(options.span(kind))
        };
        let not_zero = |zero: bool| if zero { Err(options.bad(&step_key, "a step other than 0")) } else { Ok(()) };
        match data_type {
            t @ (Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 | Decimal128(..) | Utf8
            | LargeUtf8 | Utf8View) => {
                // Strings count like BIGINT; a decimal steps by 1, not by its last digit.
                let one = if let Decimal128(_, s) = t { 10i128.pow(u32::try_from(*s).unwrap_or(0)) } else { 1 };
                let start = self.number(&start_key, t)?.ok_or_else(needed)?;
                let step = self.number(&step_key, t)?.unwrap_or(one);
                not_zero(step == 0)?;
                let rows = match self.number(&end_key, t)? {
                    None => None,
                    Some(end) => Some(self.steps(&end_key, end - start, step)?),
                };
                Ok((Values::Count { start, step }, rows))
            }
            Float32 | Float64 => {
                let start = self.float(&start_key, f64::NAN)?;
                if start.is_nan() {
                    return Err(needed());
                }
                let step = self.float(&step_key, 1.0)?;
                not_zero(step == 0.0)?;
                let end = self.float(&end_key, f64::NAN)?;
                let rows = match end.is_nan() {
                    true => None,
                    false if (end - start) / step < 0.0 => return Err(self.wrong_side(&end_key)),
                    false => Some(((end - start) / step) as u64 + 1),
                };
                Ok((Values::CountFloat { start, step }, rows))
            }
            Date32 | Timestamp(..) => {
                let default_step = if data_type == &Date32 { NS_PER_DAY as u64 } else { 1_000_000_000 };
                let step = i128::from(self.duration_ns(&step_key, default_step)?);
                not_zero(step == 0)?;
                let start = match options.get(&start_key) {
                    Some(_) => instant_ns(options, &start_key, "")?,
                    None => self.base_ns,
                };
                let rows = match options.get(&end_key) {
                    None => None,
                    Some(_) => Some(self.steps(
                        &end_key,
                        i128::from(instant_ns(options, &end_key, "")?) - i128::from(start),
                        step,
                    )?),
                };
                let past = self.duration_ns(&self.key(path, "max-past"), 0)?;
                Ok((Values::CountTime { start: start.into(), step, past }, rows))
            }
            other => {
                let error = Error::user(format!(
                    "{}: `{path}` is {}, which cannot be a sequence",
                    options.owner(),
                    sql_name(other)
                ));
                Err(error
                    .hint(format!("sequences count numbers, strings, dates and timestamps; leave out '{kind}'"))
                    .at(options.span(kind)))
            }
        }
    }

    /// Rows of a sequence whose last value lies `distance` from its first.
    fn steps(&self, end_key: &str, distance: i128, step: i128) -> Result<u64> {
        if distance != 0 && (distance < 0) != (step < 0) {
            return Err(self.wrong_side(end_key));
        }
        Ok(u64::try_from(distance / step).unwrap_or(u64::MAX - 1) + 1)
    }

    fn wrong_side(&self, end_key: &str) -> Error {
        self.table.options.bad(end_key, "an end that the sequence reaches from its start")
    }

    /// A number of this type; of a decimal, in units of its last digit.
    fn number(&self, key: &str, data_type: &DataType) -> Result<Option<i128>> {
        let Some(text) = self.table.options.get(key).map(str::trim) else { return Ok(None) };
        let (least, most) = range(data_type);
        let value = match data_type {
            DataType::Decimal128(p, s) => parse_decimal::<Decimal128Type>(text, *p, *s).ok(),
            _ => text.replace('_', "").parse::<i128>().ok(),
        };
        match value {
            Some(value) if (least..=most).contains(&value) => Ok(Some(value)),
            _ => {
                let name = if matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
                    "BIGINT".into()
                } else {
                    sql_name(data_type)
                };
                Err(self.table.options.bad(key, &format!("a number that fits {name}")))
            }
        }
    }

    fn float(&self, key: &str, default: f64) -> Result<f64> {
        match self.table.options.get(key) {
            None => Ok(default),
            Some(text) => text
                .trim()
                .parse()
                .ok()
                .filter(|x: &f64| x.is_finite())
                .ok_or_else(|| self.table.options.bad(key, "a number")),
        }
    }

    fn unsupported(&self, path: &str, data_type: &DataType) -> Error {
        Error::user(format!(
            "{}: connector 'datagen' cannot make {} (column `{path}`)",
            self.table.options.owner(),
            sql_name(data_type)
        ))
        .hint("it makes booleans, numbers, strings, bytes, dates, times, timestamps, and ROW and ARRAY of these")
    }
}

/// The least and the largest value of a type, of decimals in units of the last digit; of strings what a counter may hold.
fn range(data_type: &DataType) -> (i128, i128) {
    use DataType::*;
    match data_type {
        Int8 => (i8::MIN.into(), i8::MAX.into()),
        Int16 => (i16::MIN.into(), i16::MAX.into()),
        Int32 => (i32::MIN.into(), i32::MAX.into()),
        UInt8 => (0, u8::MAX.into()),
        UInt16 => (0, u16::MAX.into()),
        UInt32 => (0, u32::MAX.into()),
        UInt64 => (0, u64::MAX.into()),
        Decimal128(p, _) => (1 - 10i128.pow((*p).into()), 10i128.pow((*p).into()) - 1),
        _ => (i64::MIN.into(), i64::MAX.into()),
    }
}

impl Column {
    fn make(&self, rows: Range<u64>) -> Result<ArrayRef> {
        use DataType::*;
        let count = (rows.end - rows.start) as usize;
        let nulls = self.nulls.map(|(dice, rate)| {
            NullBuffer::new(BooleanBuffer::from_iter(rows.clone().map(|row| unit(dice.at(row)) >= rate)))
        });
        let is_null = |i: usize| nulls.as_ref().is_some_and(|n| n.is_null(i));
        let made: ArrayRef = match (&self.values, &self.data_type) {
            (Values::Bool, _) => Arc::new(BooleanArray::new(
                BooleanBuffer::from_iter(rows.map(|row| self.dice.at(row) >> 63 == 1)),
                nulls,
            )),
            (Values::Row { children }, Struct(fields)) => {
                let children = children.iter().map(|c| c.make(rows.clone())).collect::<Result<Vec<_>>>()?;
                let made = StructArray::try_new_with_length(fields.clone(), children, nulls, count);
                Arc::new(made.map_err(|e| Error::world("a generated ROW does not fit").because(e))?)
            }
            (Values::Array { item, element, length }, _) => {
                let items = element.make(rows.start * length..rows.end * length)?;
                let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(*length as usize, count));
                let made = ListArray::try_new(item.clone(), offsets, items, nulls);
                Arc::new(made.map_err(|e| Error::world("a generated ARRAY does not fit").because(e))?)
            }
            (Values::Text { length, vary }, _) => {
                let mut out = StringBuilder::with_capacity(count, count * *length as usize);
                let mut text = String::new();
                for (i, row) in rows.enumerate() {
                    if is_null(i) {
                        out.append_null();
                        continue;
                    }
                    text.clear();
                    self.bytes(row, *length, *vary, 4, |nibble| {
                        text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]))
                    });
                    out.append_value(&text);
                }
                Arc::new(out.finish())
            }
            (Values::Bytes { length, vary }, FixedSizeBinary(width)) => {
                let mut out = FixedSizeBinaryBuilder::with_capacity(count, *width);
                let mut bytes = Vec::new();
                for (i, row) in rows.enumerate() {
                    if is_null(i) {
                        out.append_null();
                        continue;
                    }
                    bytes.clear();
                    self.bytes(row, *length, *vary, 8, |byte| bytes.push(byte));
                    out.append_value(&bytes).expect("as long as the width");
                }
                Arc::new(out.finish())
            }
            (Values::Bytes { length, vary }, _) => {
                let mut out = BinaryBuilder::with_capacity(count, count * *length as usize);
                let mut bytes = Vec::new();
                for (i, row) in rows.enumerate() {
                    if is_null(i) {
                        out.append_null();
                        continue;
                    }
                    bytes.clear();
                    self.bytes(row, *length, *vary, 8, |byte| bytes.push(byte));
                    out.append_value(&bytes);
                }
                let made: BinaryArray = out.finish();
                Arc::new(made)
            }
            (Values::Count { .. }, Utf8 | LargeUtf8 | Utf8View) => {
                let mut out = StringBuilder::with_capacity(count, count * 8);
                for (i, row) in rows.enumerate() {
                    match is_null(i) {
                        true => out.append_null(),
                        false => out.append_value(self.number(row)?.to_string()),
                    }
                }
                Arc::new(out.finish())
            }
            (_, Int8) => self.primitive::<Int8Type>(rows, nulls, |v| v as i8)?,
            (_, Int16) => self.primitive::<Int16Type>(rows, nulls, |v| v as i16)?,
            (_, Int32) => self.primitive::<Int32Type>(rows, nulls, |v| v as i32)?,
            (_, Int64) => self.primitive::<Int64Type>(rows, nulls, |v| v as i64)?,
            (_, UInt8) => self.primitive::<UInt8Type>(rows, nulls, |v| v as u8)?,
            (_, UInt16) => self.primitive::<UInt16Type>(rows, nulls, |v| v as u16)?,
            (_, UInt32) => self.primitive::<UInt32Type>(rows, nulls, |v| v as u32)?,
            (_, UInt64) => self.primitive::<UInt64Type>(rows, nulls, |v| v as u64)?,
            (_, Decimal128(..)) => {
                let values = rows.map(|row| self.number(row)).collect::<Result<Vec<i128>>>()?;
                Arc::new(Decimal128Array::new(values.into(), nulls).with_data_type(self.data_type.clone()))
            }
            (_, Float32) => {
                Arc::new(PrimitiveArray::<Float32Type>::new(rows.map(|row| self.float(row) as f32).collect(), nulls))
            }
            (_, Float64) => {
                Arc::new(PrimitiveArray::<Float64Type>::new(rows.map(|row| self.float(row)).collect(), nulls))
            }
            (_, Date32) => {
                let days = rows.map(|row| self.time_ns(row).div_euclid(NS_PER_DAY) as i32);
                Arc::new(Date32Array::new(days.collect(), nulls))
            }
            (_, Time32(TimeUnit::Second)) => {
                Arc::new(Time32SecondArray::new(self.time_of_day(rows, TimeUnit::Second), nulls))
            }
            (_, Time32(_)) => {
                Arc::new(Time32MillisecondArray::new(self.time_of_day(rows, TimeUnit::Millisecond), nulls))
            }
            (_, Time64(TimeUnit::Microsecond)) => {
                Arc::new(Time64MicrosecondArray::new(self.time_of_day(rows, TimeUnit::Microsecond), nulls))
            }
            (_, Time64(_)) => Arc::new(Time64NanosecondArray::new(self.time_of_day(rows, TimeUnit::Nanosecond), nulls)),
            (_, Timestamp(unit, zone)) => {
                let tick = 1_000_000_000 / i128::from(per_second(*unit));
                let mut values = Vec::with_capacity(count);
                for (i, row) in rows.enumerate() {
                    let value = i64::try_from(self.time_ns(row).div_euclid(tick)).map_err(|_| self.overflow(row))?;
                    values.push((!is_null(i)).then_some(value));
                }
                timestamps(values, *unit, zone.clone())
            }
            (values, data_type) => unreachable!("{values:?} is never chosen for {data_type}"),
        };
        convert(made, &self.data_type)
    }

    fn primitive<T: ArrowPrimitiveType>(
        &self,
        rows: Range<u64>,
        nulls: Option<NullBuffer>,
        narrow: impl Fn(i128) -> T::Native,
    ) -> Result<ArrayRef> {
        let values: ScalarBuffer<T::Native> = match self.values {
            // The common case, in 64 bits: half the time of the one below.
            Values::Whole { min, span } if span <= u128::from(u64::MAX) => {
                rows.map(|row| narrow(min + i128::from(below(self.dice.at(row), span as u64)))).collect()
            }
            _ => rows.map(|row| self.number(row).map(&narrow)).collect::<Result<Vec<_>>>()?.into(),
        };
        Ok(Arc::new(PrimitiveArray::<T>::new(values, nulls)))
    }

    /// A whole number, or the digits of a decimal.
    fn number(&self, row: u64) -> Result<i128> {
        match self.values {
            Values::Whole { min, span } if span <= u128::from(u64::MAX) => {
                Ok(min + i128::from(below(self.dice.at(row), span as u64)))
            }
            Values::Whole { min, span } => {
                let mut roll = self.dice.roll(row);
                // At most 2¹²⁷ values out of 2¹²⁸ draws: the remainder is uneven by a part that no one will ever see.
                let draw = u128::from(roll.draw()) << 64 | u128::from(roll.draw());
                Ok(min.wrapping_add((draw % span) as i128))
            }
            Values::Count { start, step } => {
                let value = i128::from(row)
                    .checked_mul(step)
                    .and_then(|d| start.checked_add(d))
                    .ok_or_else(|| self.overflow(row))?;
                let (least, most) = range(&self.data_type);
                if (least..=most).contains(&value) { Ok(value) } else { Err(self.overflow(row)) }
            }
            _ => unreachable!("asked for a number of {:?}", self.values),
        }
    }

    fn float(&self, row: u64) -> f64 {
        match self.values {
            Values::Float { min, max } => {
                let u = unit(self.dice.at(row));
                // Written as a mean of both ends: `max - min` may overflow.
                (min * (1.0 - u) + max * u).clamp(min, max)
            }
            Values::CountFloat { start, step } => start + row as f64 * step,
            _ => unreachable!("asked for a float of {:?}", self.values),
        }
    }

    fn time_ns(&self, row: u64) -> i128 {
        match self.values {
            Values::Time { base, past } => base - i128::from(below(self.dice.at(row), past)),
            Values::CountTime { start, step, past } => {
                start + i128::from(row) * step - i128::from(below(self.dice.at(row), past))
            }
            _ => unreachable!("asked for a time of {:?}", self.values),
        }
    }

    fn time_of_day<T: TryFrom<u64> + arrow::datatypes::ArrowNativeType>(
        &self,
        rows: Range<u64>,
        unit: TimeUnit,
    ) -> ScalarBuffer<T> {
        let ticks = 86_400 * per_second(unit) as u64;
        rows.map(|row| T::try_from(below(self.dice.at(row), ticks)).ok().expect("a day fits its type")).collect()
    }

    /// Gives `length` random pieces of `bits` bits, or from 1 to `length` if they `vary`.
    fn bytes(&self, row: u64, length: u64, vary: bool, bits: u32, mut take: impl FnMut(u8)) {
        let mut roll = self.dice.roll(row);
        let length = if vary { 1 + roll.below(length) } else { length };
        let (mut draw, mut left) = (0, 0);
        for _ in 0..length {
            if left == 0 {
                (draw, left) = (roll.draw(), 64 / bits);
            }
            take(draw as u8 & ((1u16 << bits) - 1) as u8);
            draw >>= bits;
            left -= 1;
        }
    }

    fn overflow(&self, row: u64) -> Error {
        Error::world(format!(
            "the sequence `{}` leaves the range of {} at row {row}",
            self.path,
            sql_name(&self.data_type)
        ))
        .hint(format!("end it with 'fields.{}.end' or 'number-of-rows'", self.path))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Date32Type, Field, Schema, TimestampMillisecondType};

    use super::super::testing::*;
    use super::*;

    fn fields(list: &[(&str, DataType)]) -> Schema {
        Schema::new(list.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect::<Vec<_>>())
    }

    fn every_type() -> Schema {
        use DataType::*;
        let item = Arc::new(Field::new("item", Int16, true));
        let inner = vec![Field::new("a", Int64, true), Field::new("b", Utf8, true)];
        fields(&[
            ("flag", Boolean),
            ("i8", Int8),
            ("i16", Int16),
            ("i32", Int32),
            ("i64", Int64),
            ("u8", UInt8),
            ("u64", UInt64),
            ("f32", Float32),
            ("f64", Float64),
            ("dec", Decimal128(10, 2)),
            ("wide", Decimal128(38, 0)),
            ("s", Utf8),
            ("ls", LargeUtf8),
            ("vs", Utf8View),
            ("bin", Binary),
            ("fixed", FixedSizeBinary(5)),
            ("d", Date32),
            ("t3", Time32(TimeUnit::Millisecond)),
            ("t6", Time64(TimeUnit::Microsecond)),
            ("ts0", Timestamp(TimeUnit::Second, None)),
            ("ts3", Timestamp(TimeUnit::Millisecond, None)),
            ("ltz", Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            ("ts9", Timestamp(TimeUnit::Nanosecond, None)),
            ("r", Struct(inner.into())),
            ("arr", List(item)),
        ])
    }

    const EVERY_OPTION: &[(&str, &str)] = &[
        ("seed", "42"),
        ("rows-per-second", "5"),
        ("fields.s.length", "8"),
        ("fields.vs.length", "20"),
        ("fields.vs.var-len", "true"),
        ("fields.bin.length", "3"),
        ("fields.arr.length", "2"),
        ("fields.arr.element.min", "1"),
        ("fields.r.a.max", "9"),
        ("fields.r.a.min", "1"),
        ("fields.i32.null-rate", "0.25"),
        ("fields.r.null-rate", "0.5"),
        ("fields.ts3.kind", "sequence"),
        ("fields.ts3.step", "250ms"),
        ("fields.ts3.max-past", "1s"),
    ];

    #[test]
    fn rows_do_not_depend_on_chunks() {
        let table = table(every_type(), EVERY_OPTION);
        check_cuts(&Datagen, &table, 300);
        let first = read(&Datagen, &table, &all_columns(&table, 1000), 0, 1000);
        assert_eq!(digest(&first), "8e37d7e3d641ef86");
    }

    #[test]
    fn the_end_is_the_first_sequence_or_the_number_of_rows() {
        let schema = || {
            fields(&[
                ("n", DataType::Int64),
                ("at", DataType::Timestamp(TimeUnit::Millisecond, None)),
                ("s", DataType::Utf8),
            ])
        };
        let rows = |pairs: &[(&str, &str)]| {
            let table = table(schema(), pairs);
            assert!(Datagen.bounded(&table.options).unwrap());
            read_all(&Datagen, &table).num_rows()
        };
        assert_eq!(rows(&[("number-of-rows", "1_000")]), 1000);
        assert_eq!(rows(&[("number-of-rows", "0")]), 0);
        assert_eq!(rows(&[("fields.n.kind", "sequence"), ("fields.n.start", "5"), ("fields.n.end", "9")]), 5);
        assert_eq!(
            rows(&[
                ("fields.n.kind", "sequence"),
                ("fields.n.start", "9"),
                ("fields.n.end", "5"),
                ("fields.n.step", "-2")
            ]),
            3
        );
        assert_eq!(
            rows(&[
                ("fields.N.kind", "sequence"),
                ("fields.n.start", "5"),
                ("fields.n.end", "9"),
                ("number-of-rows", "2")
            ]),
            2
        );
        assert_eq!(rows(&[("fields.at.kind", "sequence"), ("fields.at.end", "2024-01-01 00:01:00")]), 61);
        assert_eq!(rows(&[("fields.s.kind", "sequence"), ("fields.s.start", "1"), ("fields.s.end", "3")]), 3);
        assert!(!Datagen.bounded(&options(&[("fields.n.kind", "sequence"), ("fields.n.start", "5")])).unwrap());
    }

    #[test]
    fn sequences_count() {
        let schema = fields(&[
            ("n", DataType::Int32),
            ("x", DataType::Float64),
            ("m", DataType::Decimal128(6, 2)),
            ("s", DataType::Utf8),
            ("at", DataType::Timestamp(TimeUnit::Millisecond, None)),
            ("d", DataType::Date32),
        ]);
        let kinds = ["n", "x", "m", "s", "at", "d"].map(|c| (format!("fields.{c}.kind"), "sequence"));
        let starts =
            [("fields.n.start", "-1"), ("fields.x.start", "0.5"), ("fields.m.start", "9.75"), ("fields.s.start", "7")];
        let more = [("number-of-rows", "3"), ("fields.at.step", "1500ms"), ("fields.d.start", "2024-02-28")];
        let pairs: Vec<_> = kinds.iter().map(|(k, v)| (k.as_str(), *v)).chain(starts).chain(more).collect();
        let batch = read_all(&Datagen, &table(schema, &pairs));
        let text = arrow::util::pretty::pretty_format_batches(&[batch]).unwrap().to_string();
        let rows: Vec<&str> = text.lines().skip(3).take(3).collect();
        assert_eq!(
            rows,
            [
                "| -1 | 0.5 | 9.75  | 7 | 2024-01-01T00:00:00     | 2024-02-28 |",
                "| 0  | 1.5 | 10.75 | 8 | 2024-01-01T00:00:01.500 | 2024-02-29 |",
                "| 1  | 2.5 | 11.75 | 9 | 2024-01-01T00:00:03     | 2024-03-01 |",
            ]
        );
    }

    #[test]
    fn values_keep_to_their_ranges() {
        let batch = read_all(
            &Datagen,
            &table(
                fields(&[
                    ("i", DataType::Int64),
                    ("x", DataType::Float64),
                    ("m", DataType::Decimal128(6, 2)),
                    ("s", DataType::Utf8),
                    ("at", DataType::Timestamp(TimeUnit::Millisecond, None)),
                    ("d", DataType::Date32),
                    ("maybe", DataType::Boolean),
                ]),
                &[
                    ("number-of-rows", "20000"),
                    ("start", "2020-06-01"),
                    ("fields.i.min", "-3"),
                    ("fields.i.max", "3"),
                    ("fields.x.min", "-0.5"),
                    ("fields.x.max", "0.5"),
                    ("fields.m.min", "1.05"),
                    ("fields.m.max", "1.07"),
                    ("fields.s.length", "4"),
                    ("fields.s.var-len", "true"),
                    ("fields.at.max-past", "10s"),
                    ("fields.maybe.null-rate", "0.1"),
                ],
            ),
        );
        let mut seen = [0; 7];
        batch.column(0).as_primitive::<Int64Type>().values().iter().for_each(|v| seen[(v + 3) as usize] += 1);
        assert!(seen.iter().all(|n| (2600..3100).contains(n)), "{seen:?}");
        let x = batch.column(1).as_primitive::<Float64Type>().values();
        assert!(x.iter().all(|v| (-0.5..=0.5).contains(v)) && x.iter().sum::<f64>().abs() < 150.0);
        assert!(batch.column(2).as_primitive::<Decimal128Type>().values().iter().all(|v| (105..=107).contains(v)));
        let mut lengths = [0; 5];
        batch.column(3).as_string::<i32>().iter().flatten().for_each(|s| {
            assert!(s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{s}");
            lengths[s.len()] += 1;
        });
        assert!(lengths[0] == 0 && lengths[1..].iter().all(|n| *n > 4000), "{lengths:?}");
        let base = 1_590_969_600_000;
        assert!(
            batch
                .column(4)
                .as_primitive::<TimestampMillisecondType>()
                .values()
                .iter()
                .all(|v| (base - 10_000..=base).contains(v))
        );
        assert!(batch.column(5).as_primitive::<Date32Type>().values().iter().all(|v| (18_413..=18_414).contains(v)));
        assert!((1800..2200).contains(&batch.column(6).null_count()));
    }

    #[test]
    fn defaults_cover_the_whole_range() {
        let batch = read_all(
            &Datagen,
            &table(fields(&[("i", DataType::Int64), ("b", DataType::Int8)]), &[("number-of-rows", "2000")]),
        );
        let values = batch.column(0).as_primitive::<Int64Type>().values();
        assert!(values.iter().any(|v| *v > i64::MAX / 4 * 3) && values.iter().any(|v| *v < i64::MIN / 4 * 3));
        let bytes = batch.column(1).as_primitive::<Int8Type>().values();
        assert!(bytes.contains(&i8::MIN) && bytes.contains(&i8::MAX));
    }

    #[test]
    fn a_late_sequence_stays_within_max_past() {
        let schema = fields(&[("at", DataType::Timestamp(TimeUnit::Millisecond, None))]);
        let batch = read_all(
            &Datagen,
            &table(
                schema,
                &[("number-of-rows", "5000"), ("fields.at.kind", "sequence"), ("fields.at.max-past", "30s")],
            ),
        );
        let times = batch.column(0).as_primitive::<TimestampMillisecondType>().values();
        let (mut top, mut late) = (times[0], 0);
        for at in times {
            assert!(*at > top - 30_000);
            late += i32::from(*at < top);
            top = top.max(*at);
        }
        assert!(late > 1000, "{late}");
    }

    #[test]
    fn mistakes_are_named() {
        let says = |t: DataType, pairs: &[(&str, &str)]| refusal(&Datagen, &table(fields(&[("price", t)]), pairs));
        let int = || DataType::Int8;
        assert_eq!(
            says(int(), &[("fields.price.max", "300")]),
            "table `t`: option 'fields.price.max' is '300', wanted a number that fits TINYINT"
        );
        assert_eq!(
            says(int(), &[("fields.price.min", "5"), ("fields.price.max", "4")]),
            "table `t`: option 'fields.price.max' is '4', wanted a number not below 'fields.price.min'"
        );
        assert_eq!(
            says(int(), &[("fields.price.kind", "sequenc")]),
            "table `t`: option 'fields.price.kind' is 'sequenc', wanted one of random, sequence"
        );
        assert_eq!(
            says(int(), &[("fields.price.kind", "sequence"), ("fields.price.end", "4")]),
            "table `t`: the sequence `price` needs the option 'fields.price.start' | add 'fields.price.start' = '...' to WITH (...)"
        );
        assert_eq!(
            says(int(), &[("fields.price.kind", "sequence"), ("fields.price.start", "4"), ("fields.price.end", "1")]),
            "table `t`: option 'fields.price.end' is '1', wanted an end that the sequence reaches from its start"
        );
        assert_eq!(
            says(DataType::Boolean, &[("fields.price.kind", "sequence")]),
            "table `t`: `price` is BOOLEAN, which cannot be a sequence | sequences count numbers, strings, dates and timestamps; leave out 'fields.price.kind'"
        );
        assert_eq!(
            says(int(), &[("fields.pric.min", "5")]),
            "table `t`: unknown option 'fields.pric.min' | did you mean 'fields.price.min'?"
        );
        assert!(
            says(int(), &[("fields.price.length", "5")]).starts_with("table `t`: unknown option 'fields.price.length'")
        );
        assert_eq!(
            says(int(), &[("fields.price.null-rate", "2")]),
            "table `t`: option 'fields.price.null-rate' is '2', wanted a share from 0 to 1"
        );
        assert_eq!(
            says(int(), &[("number-of-rows", "ten")]),
            "table `t`: option 'number-of-rows' is 'ten', wanted a whole number, 0 or more"
        );
        assert!(
            says(int(), &[("start", "soon")]).starts_with("table `t`: option 'start' is 'soon', wanted a time such as")
        );
        assert!(
            says(DataType::Null, &[]).starts_with("table `t`: connector 'datagen' cannot make Null (column `price`)")
        );
        let strict =
            table(Schema::new(vec![Field::new("price", DataType::Int8, false)]), &[("fields.price.null-rate", "0.5")]);
        assert_eq!(
            refusal(&Datagen, &strict),
            "table `t`: column `price` is declared NOT NULL, but 'fields.price.null-rate' asks for NULLs | leave out NOT NULL"
        );
    }

    #[test]
    fn a_sequence_that_leaves_its_type_stops_the_run() {
        let table =
            table(fields(&[("n", DataType::Int8)]), &[("fields.n.kind", "sequence"), ("fields.n.start", "126")]);
        let mut reader = Datagen.source(&table, &all_columns(&table, 10)).unwrap().partitions().unwrap().remove(0);
        let pelton_engine::connector::Next::Chunk(chunk) = reader.next().unwrap() else { panic!("no chunk") };
        let broken = chunk.decode().broken.expect("an error");
        assert_eq!(broken.to_string(), "the sequence `n` leaves the range of TINYINT at row 2");
    }

    #[test]
    fn reading_on_past_the_end_is_refused() {
        let table = table(fields(&[("n", DataType::Int8)]), &[("number-of-rows", "10")]);
        let mut reader = Datagen.source(&table, &all_columns(&table, 10)).unwrap().partitions().unwrap().remove(0);
        assert_eq!(
            reader.seek(11).unwrap_err().to_string(),
            "cannot read on from row 11: the generator ends after 10 rows"
        );
    }
}
