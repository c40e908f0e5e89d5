//! Avro schemas: read from their JSON, and derived from the columns of a table as Flink does.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use serde_json::{Value, json};

use super::super::grown::Wrong;
use super::super::wire::Wire;

/// Rows in rows that a message may be nested: only schemas that hold themselves reach it.
const DEPTH_MAX: usize = 64;

/// Index of a type in its schema.
pub type Id = usize;

/// A schema: all its types, of which named ones may be used in several places.
#[derive(Debug)]
pub struct AvroSchema {
    types: Vec<Type>,
    root: Id,
}

/// A type and what it means.
#[derive(Clone, Debug)]
pub struct Type {
    /// How it is written.
    pub shape: Shape,
    /// What its values mean.
    pub logical: Logical,
}

/// How values are written.
#[derive(Clone, Debug)]
pub enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    /// So many bytes.
    Fixed(usize),
    /// Its symbols.
    Enum(Arc<[String]>),
    Array(Id),
    /// Of strings to these.
    Map(Id),
    Union(Vec<Id>),
    /// Fields by name.
    Record(Vec<(String, Id)>),
}

/// What values mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logical {
    /// What they are.
    Plain,
    /// Digits, and those of them behind the point.
    Decimal(u64, u64),
    /// Days since 1970.
    Date,
    /// Milliseconds or microseconds of a day.
    Time(TimeUnit),
    /// Since 1970, as an instant.
    Instant(TimeUnit),
    /// Since 1970, on some wall clock.
    Local(TimeUnit),
}

impl AvroSchema {
    /// Reads a schema. `before`: schemas whose named types it may use.
    pub fn parse(text: &str, before: &[String]) -> Result<Self, Wrong> {
        let mut parser = Parser::default();
        for earlier in before {
            parser.json(earlier)?;
        }
        let root = parser.json(text)?;
        let types: Option<Vec<Type>> = parser.types.into_iter().collect();
        Ok(AvroSchema { types: types.expect("every type that was begun is read"), root })
    }

    /// The type that all others are part of.
    pub fn root(&self) -> Id {
        self.root
    }

    /// A type.
    pub fn at(&self, id: Id) -> &Type {
        &self.types[id]
    }

    /// Passes over a value.
    pub fn skip(&self, id: Id, wire: &mut Wire, depth: usize) -> Result<(), Wrong> {
        if depth > DEPTH_MAX {
            return Err(format!("a value more than {DEPTH_MAX} deep"));
        }
        match &self.at(id).shape {
            Shape::Null => Ok(()),
            Shape::Boolean => wire.take(1).map(drop),
            Shape::Int | Shape::Long | Shape::Enum(_) => wire.varint().map(drop),
            Shape::Float => wire.take(4).map(drop),
            Shape::Double => wire.take(8).map(drop),
            Shape::Bytes | Shape::String => length(wire).and_then(|length| wire.take(length)).map(drop),
            Shape::Fixed(size) => wire.take(*size).map(drop),
            Shape::Array(item) => blocks(wire, |wire| self.skip(*item, wire, depth + 1)),
            Shape::Map(value) => blocks(wire, |wire| {
                length(wire).and_then(|length| wire.take(length))?;
                self.skip(*value, wire, depth + 1)
            }),
            Shape::Union(branches) => self.skip(branch(wire, branches)?.to_owned(), wire, depth + 1),
            Shape::Record(fields) => fields.iter().try_for_each(|(_, id)| self.skip(*id, wire, depth + 1)),
        }
    }
}

/// The length of bytes that follow.
pub fn length(wire: &mut Wire) -> Result<usize, Wrong> {
    let length = wire.zigzag()?;
    usize::try_from(length).map_err(|_| format!("bytes of a length of {length}"))
}

/// Which branch of a union follows, or which symbol of an enum.
pub fn branch<'a, T>(wire: &mut Wire, branches: &'a [T]) -> Result<&'a T, Wrong> {
    let at = wire.zigzag()?;
    let found = usize::try_from(at).ok().and_then(|at| branches.get(at));
    found.ok_or_else(|| format!("choice {at} of a union or an enum that has {}", branches.len()))
}

/// Takes the items of an array or map, which come in blocks, until an empty one.
pub fn blocks(wire: &mut Wire, mut item: impl FnMut(&mut Wire) -> Result<(), Wrong>) -> Result<(), Wrong> {
    loop {
        let count = wire.zigzag()?;
        if count == 0 {
            return Ok(());
        }
        if count < 0 {
            // Its size, for those who skip it.
            wire.zigzag()?;
        }
        wire.items(count.unsigned_abs())?;
        for _ in 0..count.unsigned_abs() {
            item(wire)?;
        }
    }
}

#[derive(Default)]
struct Parser {
    /// `None` while a type is being read.
    types: Vec<Option<Type>>,
    named: HashMap<String, Id>,
}

impl Parser {
    fn json(&mut self, text: &str) -> Result<Id, Wrong> {
        // A schema that is a name alone may come without quotes.
        let value: Value = serde_json::from_str(text.trim())
            .or_else(|e| if text.trim().chars().all(char::is_alphabetic) { Ok(json!(text.trim())) } else { Err(e) })
            .map_err(|e| format!("it is no JSON: {e}"))?;
        self.read(&value, "")
    }

    fn add(&mut self, shape: Shape, logical: Logical) -> Id {
        self.types.push(Some(Type { shape, logical }));
        self.types.len() - 1
    }

    fn read(&mut self, value: &Value, space: &str) -> Result<Id, Wrong> {
        match value {
            Value::String(name) => self.name(name, space),
            Value::Array(branches) => {
                let ids = branches.iter().map(|b| self.read(b, space)).collect::<Result<Vec<_>, _>>()?;
                Ok(self.add(Shape::Union(ids), Logical::Plain))
            }
            Value::Object(_) => self.object(value, space),
            other => Err(format!("{other} is no type")),
        }
    }

    fn name(&mut self, name: &str, space: &str) -> Result<Id, Wrong> {
        if let Some(shape) = primitive(name) {
            return Ok(self.add(shape, Logical::Plain));
        }
        let full = if name.contains('.') || space.is_empty() { name.to_string() } else { format!("{space}.{name}") };
        let found = self.named.get(&full).or_else(|| self.named.get(name));
        found.copied().ok_or_else(|| format!("no type is called '{name}'"))
    }

    fn object(&mut self, value: &Value, space: &str) -> Result<Id, Wrong> {
        let kind = value.get("type").ok_or_else(|| format!("{value} has no 'type'"))?;
        let Value::String(kind) = kind else { return self.read(kind, space) };
        let logical = logical_of(value);
        let inner = |key: &str| value.get(key).ok_or_else(|| format!("the {kind} has no '{key}'"));
        match kind.as_str() {
            "array" => self.read(inner("items")?, space).map(|id| self.add(Shape::Array(id), Logical::Plain)),
            "map" => self.read(inner("values")?, space).map(|id| self.add(Shape::Map(id), Logical::Plain)),
            "record" | "error" | "enum" | "fixed" => {
                let name = inner("name")?.as_str().ok_or("a name is no string")?;
                let (space, full) = match (name.rsplit_once('.'), value.get("namespace").and_then(Value::as_str)) {
                    (Some((space, _)), _) => (space, name.to_string()),
                    (None, own) => match own.unwrap_or(space) {
                        "" => ("", name.to_string()),
                        space => (space, format!("{space}.{name}")),
                    },
                };
                self.types.push(None);
                let id = self.types.len() - 1;
                // Known before it is read: it may hold itself.
                self.named.insert(full, id);
                let shape = self.named_shape(kind, value, space)?;
                self.types[id] = Some(Type { shape, logical });
                Ok(id)
            }
            name => match primitive(name) {
                Some(shape) => Ok(self.add(shape, logical)),
                None => self.name(name, space),
            },
        }
    }

    fn named_shape(&mut self, kind: &str, value: &Value, space: &str) -> Result<Shape, Wrong> {
        match kind {
            "enum" => {
                let symbols = value.get("symbols").and_then(Value::as_array).ok_or("an enum has no 'symbols'")?;
                let symbols = symbols.iter().map(|s| Some(s.as_str()?.to_string())).collect::<Option<Vec<_>>>();
                Ok(Shape::Enum(symbols.ok_or("a symbol is no string")?.into()))
            }
            "fixed" => {
                let size = value.get("size").and_then(Value::as_u64).ok_or("a fixed has no 'size'")?;
                Ok(Shape::Fixed(usize::try_from(size).map_err(|e| e.to_string())?))
            }
            _ => {
                let fields = value.get("fields").and_then(Value::as_array).ok_or("a record has no 'fields'")?;
                let mut all = vec![];
                for field in fields {
                    let name = field.get("name").and_then(Value::as_str).ok_or("a field has no 'name'")?;
                    let of = field.get("type").ok_or_else(|| format!("field '{name}' has no 'type'"))?;
                    all.push((name.to_string(), self.read(of, space)?));
                }
                Ok(Shape::Record(all))
            }
        }
    }
}

fn primitive(name: &str) -> Option<Shape> {
    Some(match name {
        "null" => Shape::Null,
        "boolean" => Shape::Boolean,
        "int" => Shape::Int,
        "long" => Shape::Long,
        "float" => Shape::Float,
        "double" => Shape::Double,
        "bytes" => Shape::Bytes,
        "string" => Shape::String,
        _ => return None,
    })
}

fn logical_of(value: &Value) -> Logical {
    let number = |key: &str| value.get(key).and_then(Value::as_u64);
    match value.get("logicalType").and_then(Value::as_str).unwrap_or("") {
        "decimal" => number("precision").map_or(Logical::Plain, |p| Logical::Decimal(p, number("scale").unwrap_or(0))),
        "date" => Logical::Date,
        "time-millis" => Logical::Time(TimeUnit::Millisecond),
        "time-micros" => Logical::Time(TimeUnit::Microsecond),
        "timestamp-millis" => Logical::Instant(TimeUnit::Millisecond),
        "timestamp-micros" => Logical::Instant(TimeUnit::Microsecond),
        "timestamp-nanos" => Logical::Instant(TimeUnit::Nanosecond),
        "local-timestamp-millis" => Logical::Local(TimeUnit::Millisecond),
        "local-timestamp-micros" => Logical::Local(TimeUnit::Microsecond),
        "local-timestamp-nanos" => Logical::Local(TimeUnit::Nanosecond),
        _ => Logical::Plain,
    }
}

/// The schema of a table's rows, with the names that Flink gives.
pub fn derived(columns: &Fields) -> Result<Value, Wrong> {
    record("record", columns).map(|mut record| {
        record["namespace"] = json!("org.apache.flink.avro.generated");
        record
    })
}

fn record(name: &str, columns: &Fields) -> Result<Value, Wrong> {
    let mut fields = vec![];
    for column in columns {
        if !is_name(column.name()) {
            return Err(format!("column '{}': Avro has no such names", column.name()));
        }
        let of = type_of(column, &format!("{name}_{}", column.name()));
        let of = of.map_err(|wrong| format!("column '{}': {wrong}", column.name()))?;
        let mut field = json!({"name": column.name(), "type": of});
        if column.is_nullable() {
            field["default"] = Value::Null;
        }
        fields.push(field);
    }
    Ok(json!({"type": "record", "name": name, "fields": fields}))
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(plain) && name.starts_with(|c: char| !c.is_ascii_digit())
}

fn type_of(column: &Field, name: &str) -> Result<Value, Wrong> {
    let logical = |base: &str, meaning: &str| json!({"type": base, "logicalType": meaning});
    let of = match column.data_type() {
        DataType::Dictionary(_, values) => type_of(&Field::new("", values.as_ref().clone(), false), name)?,
        DataType::Boolean => json!("boolean"),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => json!("int"),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => json!("string"),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            json!("bytes")
        }
        DataType::Date32 => logical("int", "date"),
        DataType::Time32(_) => logical("int", "time-millis"),
        DataType::Time64(_) => logical("long", "time-micros"),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second | TimeUnit::Millisecond => logical("long", "timestamp-millis"),
            TimeUnit::Microsecond => logical("long", "timestamp-micros"),
            TimeUnit::Nanosecond => logical("long", "timestamp-nanos"),
        },
        DataType::Decimal128(precision, scale) => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
        }
        DataType::List(item) => json!({"type": "array", "items": type_of(item, name)?}),
        DataType::Map(pair, _) => match pair.data_type() {
            DataType::Struct(pair) if is_text(pair[0].data_type()) => {
                json!({"type": "map", "values": type_of(&pair[1], name)?})
            }
            _ => return Err("Avro has maps of STRING alone".into()),
        },
        DataType::Struct(fields) => record(name, fields)?,
        other => return Err(format!("Avro has no {}", super::super::super::convert::type_name(other))),
    };
    Ok(if column.is_nullable() { json!(["null", of]) } else { of })
}

fn is_text(of: &DataType) -> bool {
    super::super::super::convert::is_text(of)
}
