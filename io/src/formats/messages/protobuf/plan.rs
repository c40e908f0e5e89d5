//! How messages of one Protobuf type become columns, and columns such messages: the type's fields beside the declared ones.
//!
//! Fields come in any order and more than once, so what a message holds is noted first, by field, and then appended.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value};

use super::super::super::{convert, find_column};
use super::super::cells::{Cells, Column};
use super::super::grown::{Grown, Wrong};
use super::super::wire::{Wire, put_varint, unzigzag};

/// Groups in groups that are passed over.
const DEPTH_MAX: usize = 64;
/// The first and last second of google.protobuf.Timestamp: years 1 to 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// How one message type is read and written.
#[derive(Debug)]
pub struct Message {
    /// In the order of their numbers.
    fields: Vec<Slot>,
    /// Declared columns that it lacks.
    pub missing: Vec<usize>,
    /// A required field that no column has.
    required: Option<String>,
}

/// One field and its column.
#[derive(Debug)]
struct Slot {
    number: u32,
    name: String,
    column: usize,
    of: Of,
    how: How,
    /// What the column has where the message has nothing; `None` is NULL.
    absent: Option<Value>,
    /// Zero is not written: nothing means zero.
    zero_is_nothing: bool,
    required: bool,
    /// The group of fields of which only one may be set.
    oneof: Option<String>,
}

/// How often a field comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Once,
    /// One after the other, or many in one piece.
    List {
        packed: bool,
    },
}

/// What a field's values are.
#[derive(Debug)]
enum Of {
    Int32,
    Int64,
    UInt32,
    UInt64,
    SInt32,
    SInt64,
    Fixed32,
    Fixed64,
    SFixed32,
    SFixed64,
    Bool,
    Float,
    Double,
    Bytes,
    /// Numbers of an enum, as their names.
    Named(HashMap<i32, String>, HashMap<String, i32>),
    Row(Message),
    /// A google.protobuf.Timestamp.
    Instant(TimeUnit),
    /// A message around one value, such as google.protobuf.StringValue.
    Wrapped(Message),
}

/// A value as it stands in a message.
#[derive(Clone, Copy)]
enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// What a message holds of one field.
enum Noted<'a> {
    Nothing,
    One(Raw<'a>),
    Many(Vec<Raw<'a>>),
}

/// How messages of this type become these columns, and their types. `defaults`: a field that is not there has the default
/// that the type says. `word` is what a column is called.
pub fn plan(of: &MessageDescriptor, columns: &Fields, defaults: bool, word: &str) -> Result<(Message, Fields), Wrong> {
    let fields: Vec<FieldDescriptor> = of.fields().collect();
    let mut types: Vec<FieldRef> = vec![];
    let mut message = Message { fields: vec![], missing: vec![], required: None };
    for (i, column) in columns.iter().enumerate() {
        let Some(found) = find_column(column.name(), fields.iter().map(FieldDescriptor::name)) else {
            message.missing.push(i);
            types.push(retyped(column, DataType::Null));
            continue;
        };
        let (slot, of) = slot(&fields[found], i, column.data_type(), defaults)
            .map_err(|wrong| format!("{word} '{}': {wrong}", column.name()))?;
        types.push(retyped(column, of));
        message.fields.push(slot);
    }
    message.fields.sort_by_key(|slot| slot.number);
    let lost = fields.iter().find(|f| f.is_required() && !message.fields.iter().any(|slot| slot.number == f.number()));
    message.required = lost.map(|field| field.name().to_string());
    Ok((message, Fields::from(types)))
}

fn retyped(field: &FieldRef, of: DataType) -> FieldRef {
    Arc::new(Field::new(field.name(), of, true))
}

fn slot(
    field: &FieldDescriptor,
    column: usize,
    declared: &DataType,
    defaults: bool,
) -> Result<(Slot, DataType), Wrong> {
    let mut how = How::Once;
    let (of, natural) = if field.is_map() {
        how = How::List { packed: false };
        map(field, declared, defaults)?
    } else if field.is_list() {
        how = How::List { packed: field.is_packed() };
        let DataType::List(item) = declared else {
            return Err(format!("a repeated field does not convert to {}", convert::type_name(declared)));
        };
        let (of, natural) = value(field, item.data_type(), defaults)?;
        (of, DataType::List(retyped(item, natural)))
    } else {
        value(field, declared, defaults)?
    };
    let is_message = matches!(field.kind(), Kind::Message(_));
    let absent =
        (how == How::Once && !is_message && (defaults || !field.supports_presence())).then(|| field.default_value());
    let slot = Slot {
        number: field.number(),
        name: field.name().to_string(),
        column,
        of,
        how,
        absent,
        zero_is_nothing: how == How::Once && !field.supports_presence(),
        required: field.is_required(),
        oneof: field.containing_oneof().filter(|o| !o.is_synthetic()).map(|o| o.name().to_string()),
    };
    Ok((slot, natural))
}

/// What the values of a field are, and the type of column that holds them.
fn value(field: &FieldDescriptor, declared: &DataType, defaults: bool) -> Result<(Of, DataType), Wrong> {
    let (of, natural) = match field.kind() {
        Kind::Int32 => (Of::Int32, DataType::Int32),
        Kind::Int64 => (Of::Int64, DataType::Int64),
        Kind::Uint32 => (Of::UInt32, DataType::UInt32),
        Kind::Uint64 => (Of::UInt64, DataType::UInt64),
        Kind::Sint32 => (Of::SInt32, DataType::Int32),
        Kind::Sint64 => (Of::SInt64, DataType::Int64),
        Kind::Fixed32 => (Of::Fixed32, DataType::UInt32),
        Kind::Fixed64 => (Of::Fixed64, DataType::UInt64),
        Kind::Sfixed32 => (Of::SFixed32, DataType::Int32),
        Kind::Sfixed64 => (Of::SFixed64, DataType::Int64),
        Kind::Bool => (Of::Bool, DataType::Boolean),
        Kind::Float => (Of::Float, DataType::Float32),
        Kind::Double => (Of::Double, DataType::Float64),
        Kind::String => (Of::Bytes, DataType::Utf8),
        Kind::Bytes => (Of::Bytes, DataType::Binary),
        Kind::Enum(_) if declared.is_integer() => (Of::Int32, DataType::Int32),
        Kind::Enum(names) => {
            let (mut by_number, mut by_name) = (HashMap::new(), HashMap::new());
            for value in names.values() {
                by_number.entry(value.number()).or_insert_with(|| value.name().to_string());
                by_name.insert(value.name().to_string(), value.number());
            }
            (Of::Named(by_number, by_name), DataType::Utf8)
        }
        Kind::Message(_) if field.is_group() => return Err("groups cannot be read".into()),
        Kind::Message(message) => return inner(&message, declared, defaults),
    };
    if !convert::possible(&natural, declared) {
        let (from, to) = (convert::type_name(&natural), convert::type_name(declared));
        return Err(format!("{from} of the message does not convert to {to}"));
    }
    Ok((of, natural))
}

/// A message in a message: a row, or what well-known ones stand for.
fn inner(message: &MessageDescriptor, declared: &DataType, defaults: bool) -> Result<(Of, DataType), Wrong> {
    match declared {
        DataType::Struct(columns) => {
            let (row, of) = plan(message, columns, defaults, "field")?;
            Ok((Of::Row(row), DataType::Struct(of)))
        }
        DataType::Timestamp(unit, _) if message.full_name() == "google.protobuf.Timestamp" => {
            let unit = if *unit == TimeUnit::Nanosecond { TimeUnit::Nanosecond } else { TimeUnit::Microsecond };
            Ok((Of::Instant(unit), DataType::Timestamp(unit, Some("+00:00".into()))))
        }
        _ if message.package_name() == "google.protobuf"
            && message.name().ends_with("Value")
            && !declared.is_nested() =>
        {
            let column = Fields::from(vec![Field::new("value", declared.clone(), true)]);
            let (one, of) = plan(message, &column, true, "field")?;
            match one.missing.is_empty() {
                true => Ok((Of::Wrapped(one), of[0].data_type().clone())),
                false => Err(format!("{} does not convert to {}", message.full_name(), convert::type_name(declared))),
            }
        }
        _ => Err(format!("the message {} does not convert to {}", message.full_name(), convert::type_name(declared))),
    }
}

fn map(field: &FieldDescriptor, declared: &DataType, defaults: bool) -> Result<(Of, DataType), Wrong> {
    let (DataType::Map(pair, sorted), Kind::Message(entry)) = (declared, field.kind()) else {
        return Err(format!("a map does not convert to {}", convert::type_name(declared)));
    };
    let DataType::Struct(both) = pair.data_type() else { unreachable!("a map is of pairs") };
    let named = [both[0].as_ref().clone().with_name("key"), both[1].as_ref().clone().with_name("value")];
    let (entry, of) = plan(&entry, &Fields::from(named.to_vec()), defaults, "field")?;
    let key = Field::new(both[0].name(), of[0].data_type().clone(), false);
    let value = Field::new(both[1].name(), of[1].data_type().clone(), true);
    let entries = Field::new(pair.name(), DataType::Struct(Fields::from(vec![key, value])), false);
    Ok((Of::Row(entry), DataType::Map(Arc::new(entries), *sorted)))
}

impl Message {
    /// Reads a message: appends a value to each column. `word` is what a column is called.
    pub fn read(&self, bytes: &[u8], columns: &mut [Grown], word: &str) -> Result<(), Wrong> {
        let mut wire = Wire::new(bytes);
        let mut noted: Vec<Noted> = self.fields.iter().map(|_| Noted::Nothing).collect();
        while wire.left() > 0 {
            let (number, kind) = tag(&mut wire)?;
            let Ok(at) = self.fields.binary_search_by_key(&number, |slot| slot.number) else {
                skip(&mut wire, number, kind, 0)?;
                continue;
            };
            let slot = &self.fields[at];
            let raw = raw(&mut wire, kind).map_err(|wrong| format!("{word} '{}': {wrong}", slot.name))?;
            // Of a message that comes twice, the parts are read as one.
            let whole = slot.how == How::Once && !matches!(slot.of, Of::Row(_) | Of::Wrapped(_) | Of::Instant(_));
            match &mut noted[at] {
                Noted::Many(all) => all.push(raw),
                other => *other = if whole { Noted::One(raw) } else { Noted::Many(vec![raw]) },
            }
        }
        for (slot, noted) in self.fields.iter().zip(noted) {
            slot.append(noted, &mut columns[slot.column])
                .map_err(|wrong| format!("{word} '{}': {wrong}", slot.name))?;
        }
        self.missing.iter().for_each(|&column| columns[column].push_null());
        Ok(())
    }

    /// Writes a message.
    pub fn write(&self, columns: &[Column], row: usize, out: &mut Vec<u8>) -> Result<(), Wrong> {
        let mut set: HashSet<&str> = HashSet::new();
        for slot in &self.fields {
            let column = &columns[slot.column];
            let failed = |wrong: Wrong| format!("field '{}': {wrong}", slot.name);
            if column.is_null(row) {
                match slot.required {
                    true => return Err(failed("NULL in a required field".into())),
                    false => continue,
                }
            }
            if let Some(oneof) = &slot.oneof
                && !set.insert(oneof)
            {
                return Err(failed(format!("only one field of '{oneof}' may have a value")));
            }
            slot.write(column, row, out).map_err(failed)?;
        }
        Ok(())
    }

    /// Says which field can't be written, whatever the rows.
    pub fn check_writable(&self) -> Result<(), Wrong> {
        if let Some(name) = &self.required {
            return Err(format!("no column is called '{name}', which is required"));
        }
        self.fields.iter().try_for_each(|slot| match &slot.of {
            Of::Row(inner) if !inner.missing.is_empty() => {
                Err(format!("field '{}' lacks fields of its column", slot.name))
            }
            Of::Row(inner) => inner.check_writable().map_err(|wrong| format!("field '{}': {wrong}", slot.name)),
            _ => Ok(()),
        })
    }
}

impl Slot {
    fn append(&self, noted: Noted, into: &mut Grown) -> Result<(), Wrong> {
        if self.how != How::Once {
            if let Noted::Many(all) = noted {
                for raw in all {
                    self.append_items(raw, into.items())?;
                }
            }
            into.close_list();
            return Ok(());
        }
        match noted {
            Noted::Nothing => match &self.absent {
                Some(value) => self.append_default(value, into),
                None => {
                    into.push_null();
                    Ok(())
                }
            },
            Noted::One(raw) => self.of.append(raw, into),
            Noted::Many(parts) => match parts.as_slice() {
                [one] => self.of.append(*one, into),
                parts => {
                    let mut whole = vec![];
                    for part in parts {
                        match part {
                            Raw::Bytes(bytes) => whole.extend(*bytes),
                            _ => return Err(self.of.other_kind()),
                        }
                    }
                    self.of.append(Raw::Bytes(&whole), into)
                }
            },
        }
    }

    /// One item of a list, or many in one piece.
    fn append_items(&self, raw: Raw, into: &mut Grown) -> Result<(), Wrong> {
        let Raw::Bytes(packed) = raw else { return self.of.append(raw, into) };
        let Some(kind) = self.of.packed_kind() else { return self.of.append(raw, into) };
        let mut wire = Wire::new(packed);
        while wire.left() > 0 {
            self.of.append(super::plan::raw(&mut wire, kind)?, into)?;
        }
        Ok(())
    }

    fn append_default(&self, value: &Value, into: &mut Grown) -> Result<(), Wrong> {
        match (value, &self.of) {
            (Value::EnumNumber(number), Of::Named(names, _)) => into.push_bytes(name_of(names, *number)?.as_bytes())?,
            (Value::EnumNumber(number) | Value::I32(number), _) => into.push_whole((*number).into()),
            (Value::Bool(value), _) => into.push_bool(*value),
            (Value::I64(value), _) => into.push_whole(*value),
            (Value::U32(value), _) => into.push_whole((*value).into()),
            (Value::U64(value), _) => into.push_whole(*value as i64),
            (Value::F32(value), _) => into.push_real((*value).into()),
            (Value::F64(value), _) => into.push_real(*value),
            (Value::String(value), _) => into.push_bytes(value.as_bytes())?,
            (Value::Bytes(value), _) => into.push_bytes(value)?,
            _ => into.push_null(),
        }
        Ok(())
    }

    fn write(&self, from: &Column, row: usize, out: &mut Vec<u8>) -> Result<(), Wrong> {
        let How::List { packed } = self.how else {
            let start = out.len();
            put_varint(u64::from(self.number) << 3 | self.of.kind(), out);
            let value = out.len();
            self.of.write(from, row, out)?;
            if self.zero_is_nothing && out[value..].iter().all(|&byte| byte == 0) {
                out.truncate(start);
            }
            return Ok(());
        };
        let Cells::List(offsets, items) = &from.cells else { unreachable!("a list is written from one") };
        let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
        if let Some(at) = (from..to).find(|&at| items.is_null(at)) {
            return Err(format!("NULL as item {} of a list, which Protobuf has not", at - from + 1));
        }
        if packed && from < to {
            let mut all = vec![];
            (from..to).try_for_each(|at| self.of.write(items, at, &mut all))?;
            put_varint(u64::from(self.number) << 3 | LENGTH, out);
            put_bytes(&all, out);
            return Ok(());
        }
        (from..to).try_for_each(|at| {
            put_varint(u64::from(self.number) << 3 | self.of.kind(), out);
            self.of.write(items, at, out)
        })
    }
}

/// The kinds of values on the wire.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;
const GROUP: u64 = 3;
const GROUP_END: u64 = 4;
const FIXED32: u64 = 5;

impl Of {
    fn append(&self, raw: Raw, into: &mut Grown) -> Result<(), Wrong> {
        match (self, raw) {
            (Of::Int32, Raw::Varint(value)) => into.push_whole((value as i32).into()),
            (Of::Int64 | Of::UInt64, Raw::Varint(value)) => into.push_whole(value as i64),
            (Of::UInt32, Raw::Varint(value)) => into.push_whole((value as u32).into()),
            (Of::SInt32, Raw::Varint(value)) => into.push_whole((unzigzag((value as u32).into()) as i32).into()),
            (Of::SInt64, Raw::Varint(value)) => into.push_whole(unzigzag(value)),
            (Of::Bool, Raw::Varint(value)) => into.push_bool(value != 0),
            (Of::Named(names, _), Raw::Varint(value)) => into.push_bytes(name_of(names, value as i32)?.as_bytes())?,
            (Of::Fixed32, Raw::Fixed32(value)) => into.push_whole(value.into()),
            (Of::SFixed32, Raw::Fixed32(value)) => into.push_whole((value as i32).into()),
            (Of::Float, Raw::Fixed32(value)) => into.push_real(f32::from_bits(value).into()),
            (Of::Fixed64 | Of::SFixed64, Raw::Fixed64(value)) => into.push_whole(value as i64),
            (Of::Double, Raw::Fixed64(value)) => into.push_real(f64::from_bits(value)),
            (Of::Bytes, Raw::Bytes(value)) => into.push_bytes(value)?,
            (Of::Row(row), Raw::Bytes(bytes)) => {
                row.read(bytes, into.fields(), "field")?;
                into.close_row();
            }
            (Of::Wrapped(one), Raw::Bytes(bytes)) => one.read(bytes, std::slice::from_mut(into), "field")?,
            (Of::Instant(unit), Raw::Bytes(bytes)) => into.push_whole(instant(bytes, *unit)?),
            _ => return Err(self.other_kind()),
        }
        Ok(())
    }

    fn other_kind(&self) -> Wrong {
        "its bytes are of another type than the descriptor says".into()
    }

    /// Which kind of value it is on the wire.
    fn kind(&self) -> u64 {
        match self {
            Of::Fixed32 | Of::SFixed32 | Of::Float => FIXED32,
            Of::Fixed64 | Of::SFixed64 | Of::Double => FIXED64,
            Of::Bytes | Of::Row(_) | Of::Wrapped(_) | Of::Instant(_) => LENGTH,
            _ => VARINT,
        }
    }

    /// The kind of the items that may come in one piece.
    fn packed_kind(&self) -> Option<u64> {
        Some(self.kind()).filter(|kind| *kind != LENGTH)
    }

    fn write(&self, from: &Column, row: usize, out: &mut Vec<u8>) -> Result<(), Wrong> {
        match (self, &from.cells) {
            // Negative numbers take ten bytes, as Protobuf wants it.
            (Of::Int32, Cells::Int(values)) => put_varint(i64::from(values[row]) as u64, out),
            (Of::SInt32, Cells::Int(values)) => {
                put_varint(((values[row] << 1) ^ (values[row] >> 31)) as u32 as u64, out)
            }
            (Of::SFixed32, Cells::Int(values)) => out.extend(values[row].to_le_bytes()),
            (Of::Int64, Cells::Long(values)) => put_varint(values[row] as u64, out),
            (Of::SInt64, Cells::Long(values)) => put_varint(((values[row] << 1) ^ (values[row] >> 63)) as u64, out),
            (Of::SFixed64, Cells::Long(values)) => out.extend(values[row].to_le_bytes()),
            (Of::UInt32, Cells::UInt(values)) => put_varint(values[row].into(), out),
            (Of::Fixed32, Cells::UInt(values)) => out.extend(values[row].to_le_bytes()),
            (Of::UInt64, Cells::ULong(values)) => put_varint(values[row], out),
            (Of::Fixed64, Cells::ULong(values)) => out.extend(values[row].to_le_bytes()),
            (Of::Bool, Cells::Bool(values)) => out.push(values.value(row).into()),
            (Of::Float, Cells::Float(values)) => out.extend(values[row].to_le_bytes()),
            (Of::Double, Cells::Double(values)) => out.extend(values[row].to_le_bytes()),
            (Of::Bytes, Cells::Text(values)) => put_bytes(values.value(row).as_bytes(), out),
            (Of::Bytes, Cells::Bytes(values)) => put_bytes(values.value(row), out),
            (Of::Named(_, numbers), Cells::Text(values)) => {
                let name = values.value(row);
                let number = numbers.get(name).ok_or_else(|| format!("'{name}' is no value of the enum"))?;
                put_varint(i64::from(*number) as u64, out);
            }
            (Of::Row(inner), Cells::Row(columns)) => {
                let mut bytes = vec![];
                inner.write(columns, row, &mut bytes)?;
                put_bytes(&bytes, out);
            }
            (Of::Wrapped(one), _) => {
                let mut bytes = vec![];
                one.write(std::slice::from_ref(from), row, &mut bytes)?;
                put_bytes(&bytes, out);
            }
            (Of::Instant(unit), Cells::Long(values)) => put_instant(values[row], *unit, out)?,
            _ => unreachable!("columns are put into the types of their plans before"),
        }
        Ok(())
    }
}

fn name_of(names: &HashMap<i32, String>, number: i32) -> Result<&str, Wrong> {
    names.get(&number).map(String::as_str).ok_or_else(|| format!("{number} is no value of the enum"))
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend(bytes);
}

/// The number of the next field, and the kind of its value.
fn tag(wire: &mut Wire) -> Result<(u32, u64), Wrong> {
    let key = wire.varint()?;
    match u32::try_from(key >> 3) {
        Ok(number @ 1..0x2000_0000) => Ok((number, key & 7)),
        _ => Err(format!("no message: a field has the number {}", key >> 3)),
    }
}

fn raw<'a>(wire: &mut Wire<'a>, kind: u64) -> Result<Raw<'a>, Wrong> {
    Ok(match kind {
        VARINT => Raw::Varint(wire.varint()?),
        FIXED64 => Raw::Fixed64(u64::from_le_bytes(wire.array()?)),
        FIXED32 => Raw::Fixed32(u32::from_le_bytes(wire.array()?)),
        LENGTH => {
            let length = usize::try_from(wire.varint()?).unwrap_or(usize::MAX);
            Raw::Bytes(wire.take(length)?)
        }
        kind => return Err(format!("no message: a value of the kind {kind}")),
    })
}

/// Passes over a field that no column wants.
fn skip(wire: &mut Wire, number: u32, kind: u64, depth: usize) -> Result<(), Wrong> {
    if kind != GROUP {
        return raw(wire, kind).map(drop);
    }
    if depth > DEPTH_MAX {
        return Err(format!("groups more than {DEPTH_MAX} deep"));
    }
    loop {
        match tag(wire)? {
            (end, GROUP_END) if end == number => return Ok(()),
            (inner, kind) => skip(wire, inner, kind, depth + 1)?,
        }
    }
}

/// A google.protobuf.Timestamp in this unit.
fn instant(bytes: &[u8], unit: TimeUnit) -> Result<i64, Wrong> {
    let (mut wire, mut seconds, mut nanos) = (Wire::new(bytes), 0_i64, 0_i64);
    while wire.left() > 0 {
        let (number, kind) = tag(&mut wire)?;
        match (number, kind) {
            (1, VARINT) => seconds = wire.varint()? as i64,
            (2, VARINT) => nanos = (wire.varint()? as i32).into(),
            _ => skip(&mut wire, number, kind, 0)?,
        }
    }
    if !SECONDS.contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return Err(format!("{seconds} s and {nanos} ns are no Timestamp"));
    }
    let ticks = if unit == TimeUnit::Nanosecond { 1_000_000_000 } else { 1_000_000 };
    let whole = seconds.checked_mul(ticks).and_then(|whole| whole.checked_add(nanos / (1_000_000_000 / ticks)));
    whole.ok_or_else(|| format!("{seconds} s since 1970 do not fit into a TIMESTAMP(9)"))
}

fn put_instant(value: i64, unit: TimeUnit, out: &mut Vec<u8>) -> Result<(), Wrong> {
    let ticks = if unit == TimeUnit::Nanosecond { 1_000_000_000 } else { 1_000_000 };
    let (seconds, nanos) = (value.div_euclid(ticks), value.rem_euclid(ticks) * (1_000_000_000 / ticks));
    if !SECONDS.contains(&seconds) {
        return Err("a time before the year 1 or after 9999".into());
    }
    let mut bytes = vec![];
    for (number, value) in [(1, seconds), (2, nanos)] {
        if value != 0 {
            put_varint(number << 3, &mut bytes);
            put_varint(value as u64, &mut bytes);
        }
    }
    put_bytes(&bytes, out);
    Ok(())
}
