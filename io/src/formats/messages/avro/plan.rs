//! How values of one Avro schema become columns, and columns such values: the schema's types beside the declared ones.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};

use super::super::super::{convert, find_column};
use super::super::cells::{Cells, Column};
use super::super::grown::{Grown, Wrong};
use super::super::wire::{Wire, put_zigzag};
use super::schema::{AvroSchema, Id, Logical, Shape, blocks, branch, length};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// How one type is read and written.
#[derive(Debug)]
pub enum Plan {
    /// Nothing, which is NULL.
    Null,
    /// BOOLEAN.
    Bool,
    /// INT, and DATE.
    Int,
    /// BIGINT, and TIMESTAMP.
    Long,
    /// Ticks of a day that has so many.
    Time(i64),
    /// FLOAT.
    Float,
    /// DOUBLE.
    Double,
    /// BYTES and STRING.
    Bytes,
    /// BYTES of one length.
    Fixed(usize),
    /// One of these.
    Enum(Arc<[String]>),
    /// DECIMAL in as many bytes as it takes, or in so many.
    Decimal(Option<usize>),
    /// ARRAY.
    List(Box<Plan>),
    /// MAP.
    Map(Box<Plan>),
    /// ROW.
    Row(Row),
    /// One of these.
    Union(Vec<Plan>),
}

/// How a record is read and written.
#[derive(Debug)]
pub struct Row {
    /// Its fields in the schema's order.
    fields: Vec<(String, Place)>,
    /// Declared columns that it lacks.
    pub missing: Vec<usize>,
}

/// Where a field of a record goes.
#[derive(Debug)]
enum Place {
    /// Nowhere.
    Skip(Id),
    /// Into this column.
    Into(usize, Plan),
}

/// How type `id` of a schema becomes a column, and the type of this. `declared` is what it is to become later: it says which
/// fields of rows are wanted.
pub fn plan(schema: &AvroSchema, id: Id, declared: &DataType) -> Result<(Plan, DataType), Wrong> {
    let found = schema.at(id);
    let fits = |plan: Plan, of: DataType| match convert::possible(&of, declared) {
        true => Ok((plan, of)),
        false => {
            let (from, to) = (convert::type_name(&of), convert::type_name(declared));
            Err(format!("{from} of the schema does not convert to {to}"))
        }
    };
    match (&found.shape, found.logical, declared) {
        (Shape::Null, ..) => Ok((Plan::Null, DataType::Null)),
        (Shape::Union(branches), ..) => union(schema, branches, declared),
        (Shape::Array(item), _, DataType::List(field)) => {
            let (item, of) = plan(schema, *item, field.data_type())?;
            Ok((Plan::List(Box::new(item)), DataType::List(retyped(field, of))))
        }
        (Shape::Map(value), _, DataType::Map(pair, sorted)) => map(schema, *value, pair, *sorted),
        (Shape::Record(fields), _, DataType::Struct(columns)) => {
            let (row, of) = row(schema, fields, columns, "field")?;
            Ok((Plan::Row(row), DataType::Struct(of)))
        }
        (Shape::Array(_) | Shape::Map(_) | Shape::Record(_), ..) => {
            let kind = match found.shape {
                Shape::Array(_) => "an array",
                Shape::Map(_) => "a map",
                _ => "a record",
            };
            Err(format!("{kind} of the schema does not convert to {}", convert::type_name(declared)))
        }
        (Shape::Boolean, ..) => fits(Plan::Bool, DataType::Boolean),
        (Shape::Int, Logical::Date, _) => fits(Plan::Int, DataType::Date32),
        (Shape::Int, Logical::Time(_), _) => fits(Plan::Time(DAY_MS), DataType::Time32(TimeUnit::Millisecond)),
        (Shape::Int, ..) => fits(Plan::Int, DataType::Int32),
        (Shape::Long, Logical::Time(_), _) => fits(Plan::Time(1000 * DAY_MS), DataType::Time64(TimeUnit::Microsecond)),
        (Shape::Long, Logical::Instant(unit), _) => fits(Plan::Long, DataType::Timestamp(unit, Some("+00:00".into()))),
        (Shape::Long, Logical::Local(unit), _) => fits(Plan::Long, DataType::Timestamp(unit, None)),
        (Shape::Long, ..) => fits(Plan::Long, DataType::Int64),
        (Shape::Float, ..) => fits(Plan::Float, DataType::Float32),
        (Shape::Double, ..) => fits(Plan::Double, DataType::Float64),
        (Shape::Bytes, Logical::Decimal(p, s), _) => decimal(p, s).and_then(|of| fits(Plan::Decimal(None), of)),
        (Shape::Fixed(size), Logical::Decimal(p, s), _) => {
            decimal(p, s).and_then(|of| fits(Plan::Decimal(Some(*size)), of))
        }
        (Shape::Bytes, ..) => fits(Plan::Bytes, DataType::Binary),
        (Shape::String, ..) => fits(Plan::Bytes, DataType::Utf8),
        (Shape::Fixed(size), ..) => fits(Plan::Fixed(*size), DataType::Binary),
        (Shape::Enum(symbols), ..) => fits(Plan::Enum(symbols.clone()), DataType::Utf8),
    }
}

fn decimal(precision: u64, scale: u64) -> Result<DataType, Wrong> {
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(p @ 1..=38), Ok(s)) if scale <= precision => Ok(DataType::Decimal128(p, s)),
        _ => Err(format!("DECIMAL({precision}, {scale}) of the schema has more than 38 digits or is none")),
    }
}

fn retyped(field: &FieldRef, of: DataType) -> FieldRef {
    Arc::new(Field::new(field.name(), of, true))
}

fn map(schema: &AvroSchema, value: Id, pair: &FieldRef, sorted: bool) -> Result<(Plan, DataType), Wrong> {
    let DataType::Struct(both) = pair.data_type() else { unreachable!("a map is of pairs") };
    if !convert::is_text(both[0].data_type()) {
        return Err("Avro has maps of STRING alone".into());
    }
    let (value, of) = plan(schema, value, both[1].data_type())?;
    let key = Arc::new(Field::new(both[0].name(), DataType::Utf8, false));
    let entries = Field::new(pair.name(), DataType::Struct(Fields::from(vec![key, retyped(&both[1], of)])), false);
    Ok((Plan::Map(Box::new(value)), DataType::Map(Arc::new(entries), sorted)))
}

fn union(schema: &AvroSchema, branches: &[Id], declared: &DataType) -> Result<(Plan, DataType), Wrong> {
    let (mut plans, mut of) = (vec![], DataType::Null);
    for &branch in branches {
        if matches!(schema.at(branch).shape, Shape::Union(_)) {
            return Err("a union holds a union".into());
        }
        let (plan, own) = plan(schema, branch, declared)?;
        of = match both(&of, &own) {
            Some(of) => of,
            None => {
                let (a, b) = (convert::type_name(&of), convert::type_name(&own));
                return Err(format!("a union of {a} and {b} is no column"));
            }
        };
        plans.push(plan);
    }
    Ok((Plan::Union(plans), of))
}

/// The type that holds the values of both.
fn both(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::*;
    match (a, b) {
        (a, b) if a == b => Some(a.clone()),
        (Null, other) | (other, Null) => Some(other.clone()),
        (Int32, Int64) | (Int64, Int32) => Some(Int64),
        (Int32 | Float32 | Float64, Int32 | Float32 | Float64) => Some(Float64),
        _ => None,
    }
}

/// How a record becomes these columns, and their types. `word` is what a column is called.
pub fn row(schema: &AvroSchema, fields: &[(String, Id)], columns: &Fields, word: &str) -> Result<(Row, Fields), Wrong> {
    let names = || fields.iter().map(|(name, _)| name.as_str());
    let found: Vec<Option<usize>> = columns.iter().map(|c| find_column(c.name(), names())).collect();
    let mut types: Vec<FieldRef> = columns.iter().map(|c| retyped(c, DataType::Null)).collect();
    let mut places = vec![];
    for (i, (name, id)) in fields.iter().enumerate() {
        let place = match found.iter().position(|at| *at == Some(i)) {
            None => Place::Skip(*id),
            Some(column) => {
                let (plan, of) = plan(schema, *id, columns[column].data_type())
                    .map_err(|wrong| format!("{word} '{}': {wrong}", columns[column].name()))?;
                types[column] = retyped(&columns[column], of);
                Place::Into(column, plan)
            }
        };
        places.push((name.clone(), place));
    }
    let missing = (0..columns.len()).filter(|&c| found[c].is_none()).collect();
    Ok((Row { fields: places, missing }, Fields::from(types)))
}

impl Row {
    /// Reads a record: appends a value to each column. `word` is what a column is called.
    pub fn read(&self, schema: &AvroSchema, wire: &mut Wire, columns: &mut [Grown], word: &str) -> Result<(), Wrong> {
        for (name, place) in &self.fields {
            let read = match place {
                Place::Skip(id) => schema.skip(*id, wire, 0),
                Place::Into(column, plan) => plan.read(schema, wire, &mut columns[*column]),
            };
            read.map_err(|wrong| format!("{word} '{name}': {wrong}"))?;
        }
        self.missing.iter().for_each(|&column| columns[column].push_null());
        Ok(())
    }

    /// Writes a record.
    pub fn write(&self, schema: &AvroSchema, columns: &[Column], row: usize, out: &mut Vec<u8>) -> Result<(), Wrong> {
        for (name, place) in &self.fields {
            let written = match place {
                Place::Skip(id) => null_of(schema, *id).map(|at| at.into_iter().for_each(|at| put_zigzag(at, out))),
                Place::Into(column, plan) => plan.write(schema, &columns[*column], row, out),
            };
            written.map_err(|wrong| format!("field '{name}': {wrong}"))?;
        }
        Ok(())
    }

    /// Says which field can't be written, whatever the rows.
    pub fn check_writable(&self, schema: &AvroSchema) -> Result<(), Wrong> {
        self.fields.iter().try_for_each(|(name, place)| {
            let fits = match place {
                Place::Skip(id) => null_of(schema, *id).map(drop),
                Place::Into(_, plan) => plan.check_writable(schema),
            };
            fits.map_err(|wrong| format!("field '{name}': {wrong}"))
        })
    }
}

/// How NULL of a type is written: the branch of a union, or nothing.
fn null_of(schema: &AvroSchema, id: Id) -> Result<Option<i64>, Wrong> {
    match &schema.at(id).shape {
        Shape::Null => Ok(None),
        Shape::Union(branches) => {
            let null = branches.iter().position(|&b| matches!(schema.at(b).shape, Shape::Null));
            null.map(|at| Some(at as i64)).ok_or_else(|| "no column has this name, and it may not be NULL".into())
        }
        _ => Err("no column has this name, and it may not be NULL".into()),
    }
}

impl Plan {
    fn read(&self, schema: &AvroSchema, wire: &mut Wire, into: &mut Grown) -> Result<(), Wrong> {
        match self {
            Plan::Null => into.push_null(),
            Plan::Bool => match wire.take(1)? {
                [0] => into.push_bool(false),
                [1] => into.push_bool(true),
                other => return Err(format!("a boolean that is {}", other[0])),
            },
            Plan::Int => {
                let value = wire.zigzag()?;
                i32::try_from(value).map_err(|_| format!("{value} is no int"))?;
                into.push_whole(value);
            }
            Plan::Long => into.push_whole(wire.zigzag()?),
            Plan::Time(day) => match wire.zigzag()? {
                value if (0..*day).contains(&value) => into.push_whole(value),
                value => return Err(format!("{value} is no time of a day")),
            },
            Plan::Float => into.push_real(f32::from_le_bytes(wire.array()?).into()),
            Plan::Double => into.push_real(f64::from_le_bytes(wire.array()?)),
            Plan::Bytes => {
                let length = length(wire)?;
                into.push_bytes(wire.take(length)?)?;
            }
            Plan::Fixed(size) => into.push_bytes(wire.take(*size)?)?,
            Plan::Enum(symbols) => into.push_bytes(branch(wire, symbols)?.as_bytes())?,
            Plan::Decimal(size) => {
                let size = size.map_or_else(|| length(wire), Ok)?;
                into.push_decimal(whole_of(wire.take(size)?)?)?;
            }
            Plan::List(item) => {
                blocks(wire, |wire| item.read(schema, wire, into.items()))?;
                into.close_list();
            }
            Plan::Map(value) => {
                blocks(wire, |wire| {
                    let pair = into.items();
                    let length = length(wire)?;
                    pair.fields()[0].push_bytes(wire.take(length)?)?;
                    value.read(schema, wire, &mut pair.fields()[1])?;
                    pair.close_row();
                    Ok(())
                })?;
                into.close_list();
            }
            Plan::Row(row) => {
                row.read(schema, wire, into.fields(), "field")?;
                into.close_row();
            }
            Plan::Union(branches) => branch(wire, branches)?.read(schema, wire, into)?,
        }
        Ok(())
    }

    fn write(&self, schema: &AvroSchema, from: &Column, row: usize, out: &mut Vec<u8>) -> Result<(), Wrong> {
        if let Plan::Union(branches) = self {
            let null = from.is_null(row);
            let branch = branches.iter().position(|b| matches!(b, Plan::Null) == null);
            let branch = branch.ok_or("NULL where the schema has none")?;
            put_zigzag(branch as i64, out);
            return branches[branch].write(schema, from, row, out);
        }
        if from.is_null(row) {
            return if matches!(self, Plan::Null) { Ok(()) } else { Err("NULL where the schema has none".into()) };
        }
        match (self, &from.cells) {
            (Plan::Bool, Cells::Bool(values)) => out.push(values.value(row).into()),
            (Plan::Int | Plan::Time(_), Cells::Int(values)) => put_zigzag(values[row].into(), out),
            (Plan::Long | Plan::Time(_), Cells::Long(values)) => put_zigzag(values[row], out),
            (Plan::Float, Cells::Float(values)) => out.extend(values[row].to_le_bytes()),
            (Plan::Double, Cells::Double(values)) => out.extend(values[row].to_le_bytes()),
            (Plan::Bytes, Cells::Text(values)) => put_bytes(values.value(row).as_bytes(), out),
            (Plan::Bytes, Cells::Bytes(values)) => put_bytes(values.value(row), out),
            (Plan::Fixed(size), Cells::Bytes(values)) => match values.value(row) {
                value if value.len() == *size => out.extend(value),
                value => return Err(format!("{} bytes where the schema has {size}", value.len())),
            },
            (Plan::Enum(symbols), Cells::Text(values)) => {
                let value = values.value(row);
                let at = symbols.iter().position(|s| s == value);
                put_zigzag(at.ok_or_else(|| format!("'{value}' is no symbol of the enum"))? as i64, out);
            }
            (Plan::Decimal(size), Cells::Decimal(values)) => put_decimal(values[row], *size, out)?,
            (Plan::List(item), Cells::List(offsets, items)) => {
                put_blocks(offsets, row, out, |at, out| item.write(schema, items, at, out))?
            }
            (Plan::Map(value), Cells::List(offsets, pairs)) => {
                let Cells::Row(pair) = &pairs.cells else { unreachable!("a map is of pairs") };
                let Cells::Text(keys) = &pair[0].cells else { unreachable!("its keys are text") };
                put_blocks(offsets, row, out, |at, out| {
                    put_bytes(keys.value(at).as_bytes(), out);
                    value.write(schema, &pair[1], at, out)
                })?;
            }
            (Plan::Row(fields), Cells::Row(columns)) => fields.write(schema, columns, row, out)?,
            _ => unreachable!("columns are put into the types of their plans before"),
        }
        Ok(())
    }

    fn check_writable(&self, schema: &AvroSchema) -> Result<(), Wrong> {
        match self {
            Plan::List(inner) | Plan::Map(inner) => inner.check_writable(schema),
            Plan::Row(row) if !row.missing.is_empty() => Err("the schema lacks fields of the row".into()),
            Plan::Row(row) => row.check_writable(schema),
            Plan::Union(branches) => match branches.iter().filter(|b| !matches!(b, Plan::Null)).count() {
                0 | 1 => branches.iter().try_for_each(|b| b.check_writable(schema)),
                _ => Err("a union of several types can be read, not written".into()),
            },
            _ => Ok(()),
        }
    }
}

/// The number behind big-endian bytes in two's complement.
fn whole_of(bytes: &[u8]) -> Result<i128, Wrong> {
    const SIZE: usize = size_of::<i128>();
    let negative = bytes.first().is_some_and(|&first| first >= 0x80);
    let sign = if negative { 0xff } else { 0 };
    let (above, low) = bytes.split_at(bytes.len().saturating_sub(SIZE));
    let mut all = [sign; SIZE];
    all[SIZE - low.len()..].copy_from_slice(low);
    let value = i128::from_be_bytes(all);
    let whole = above.iter().all(|&byte| byte == sign) && (value < 0) == negative;
    whole.then_some(value).ok_or_else(|| format!("a decimal of {} bytes", bytes.len()))
}

fn put_decimal(value: i128, size: Option<usize>, out: &mut Vec<u8>) -> Result<(), Wrong> {
    let all = value.to_be_bytes();
    let sign = if value < 0 { 0xff } else { 0 };
    // Bytes that say nothing but the sign, which the next one says too.
    let spare = all.windows(2).take_while(|two| two[0] == sign && (two[1] >= 0x80) == (value < 0)).count();
    let least = &all[spare..];
    match size {
        None => put_bytes(least, out),
        Some(size) if size < least.len() => return Err(format!("{value} does not fit into {size} bytes")),
        Some(size) => {
            out.extend(std::iter::repeat_n(sign, size - least.len()));
            out.extend(least);
        }
    }
    Ok(())
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_zigzag(bytes.len() as i64, out);
    out.extend(bytes);
}

/// Writes the items of a list: one block, and an empty one.
fn put_blocks(
    offsets: &[i32],
    row: usize,
    out: &mut Vec<u8>,
    mut item: impl FnMut(usize, &mut Vec<u8>) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
    if from < to {
        put_zigzag((to - from) as i64, out);
    }
    (from..to).try_for_each(|at| item(at, out))?;
    put_zigzag(0, out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_come_back_in_the_fewest_bytes() {
        for (value, size) in
            [(0, 1), (1, 1), (-1, 1), (127, 1), (128, 2), (-128, 1), (-129, 2), (i128::MAX, 16), (i128::MIN, 16)]
        {
            let mut out = vec![];
            put_decimal(value, None, &mut out).unwrap();
            assert_eq!(out.len(), size + 1, "{value}");
            assert_eq!(whole_of(&out[1..]), Ok(value));
            let mut fixed = vec![];
            put_decimal(value, Some(20), &mut fixed).unwrap();
            assert_eq!((fixed.len(), whole_of(&fixed)), (20, Ok(value)));
        }
        assert!(put_decimal(128, Some(1), &mut vec![]).is_err());
        assert!(whole_of(&[1; 17]).is_err() && whole_of(&[0; 40]) == Ok(0) && whole_of(&[]) == Ok(0));
    }
}
