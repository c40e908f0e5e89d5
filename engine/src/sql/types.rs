//! SQL types: their names, their Arrow types, and which fits into which.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};
use datafusion_common::Result as DfResult;
use datafusion_expr::planner::TypePlanner;
use datafusion_sql::sqlparser::ast::{self, ArrayElemTypeDef, DataType as Sql, ExactNumberInfo, TimezoneInfo};

use super::ddl::parse_all;
use super::errors::carry;
use super::text::{Source, tokenize};
use crate::error::{Error, Result};

/// The zone of `TIMESTAMP_LTZ`.
pub const UTC: &str = "UTC";

/// Types of SQL texts as Arrow types, for `CREATE TABLE`, `CAST` and typed literals alike.
#[derive(Debug)]
pub struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql: &Sql) -> DfResult<Option<FieldRef>> {
        let data_type = arrow_type(sql).map_err(carry)?;
        Ok(Some(Arc::new(Field::new("", data_type, true))))
    }
}

/// The Arrow type of a SQL type that is written out: `DECIMAL(10, 2)`. As tables keep it.
pub fn parse(text: &str) -> Result<DataType> {
    let source = Source::new(text);
    let sql = parse_all(&tokenize(&source, &|_| None)?, |p| p.parse_data_type())?;
    Ok(kept(&arrow_type(&sql)?))
}

/// The Arrow type of a SQL type.
pub fn arrow_type(sql: &Sql) -> Result<DataType> {
    Ok(match sql {
        Sql::Boolean | Sql::Bool => DataType::Boolean,
        Sql::TinyInt(_) => DataType::Int8,
        Sql::SmallInt(_) | Sql::Int2(_) | Sql::Int16 => DataType::Int16,
        Sql::Int(_) | Sql::Integer(_) | Sql::Int4(_) | Sql::Int32 => DataType::Int32,
        Sql::BigInt(_) | Sql::Int8(_) | Sql::Int64 => DataType::Int64,
        Sql::TinyIntUnsigned(_) | Sql::UTinyInt | Sql::UInt8 => DataType::UInt8,
        Sql::SmallIntUnsigned(_) | Sql::Int2Unsigned(_) | Sql::USmallInt | Sql::UInt16 => DataType::UInt16,
        Sql::IntUnsigned(_) | Sql::IntegerUnsigned(_) | Sql::Int4Unsigned(_) | Sql::UInt32 => DataType::UInt32,
        Sql::BigIntUnsigned(_) | Sql::Int8Unsigned(_) | Sql::UBigInt | Sql::UInt64 => DataType::UInt64,
        Sql::Float(_) | Sql::Real | Sql::Float4 | Sql::Float32 => DataType::Float32,
        Sql::Double(_) | Sql::DoublePrecision | Sql::Float8 | Sql::Float64 => DataType::Float64,
        Sql::Decimal(info) | Sql::Numeric(info) | Sql::Dec(info) => decimal(info)?,
        Sql::String(_)
        | Sql::Text
        | Sql::Varchar(_)
        | Sql::Nvarchar(_)
        | Sql::Char(_)
        | Sql::Character(_)
        | Sql::CharVarying(_)
        | Sql::CharacterVarying(_) => DataType::Utf8,
        Sql::Bytes(_) | Sql::Bytea | Sql::Binary(_) | Sql::Varbinary(_) | Sql::Blob(_) => DataType::Binary,
        Sql::Date | Sql::Date32 => DataType::Date32,
        Sql::Time(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => match unit(precision.unwrap_or(0))?
        {
            u @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(u),
            u => DataType::Time64(u),
        },
        Sql::Timestamp(precision, zone) => {
            let zoned = matches!(zone, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz);
            DataType::Timestamp(unit(precision.unwrap_or(6))?, zoned.then(|| UTC.into()))
        }
        Sql::TimestampNtz(precision) | Sql::Datetime(precision) => {
            DataType::Timestamp(unit(precision.unwrap_or(6))?, None)
        }
        Sql::Interval { fields, .. } => match fields {
            None => DataType::Interval(IntervalUnit::MonthDayNano),
            Some(ast::IntervalFields::Year | ast::IntervalFields::Month | ast::IntervalFields::YearToMonth) => {
                DataType::Interval(IntervalUnit::YearMonth)
            }
            Some(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        },
        Sql::Array(ArrayElemTypeDef::AngleBracket(inner) | ArrayElemTypeDef::SquareBracket(inner, None)) => {
            DataType::List(Arc::new(Field::new_list_field(arrow_type(inner)?, true)))
        }
        Sql::Struct(fields, _) => {
            let fields: Result<Vec<Field>> = fields
                .iter()
                .enumerate()
                .map(|(i, f)| {
                    let name = f.field_name.as_ref().map_or_else(|| format!("f{i}"), |n| n.value.clone());
                    Ok(Field::new(name, arrow_type(&f.field_type)?, true))
                })
                .collect();
            DataType::Struct(Fields::from(fields?))
        }
        Sql::Map(key, value) => {
            let entries = Fields::from(vec![
                Field::new("key", arrow_type(key)?, false),
                Field::new("value", arrow_type(value)?, true),
            ]);
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
        }
        Sql::Custom(name, modifiers) => {
            let word = name.to_string().to_ascii_uppercase();
            let precision = modifiers.first().and_then(|m| m.parse().ok());
            match word.as_str() {
                "TIMESTAMP_LTZ" | "TIMESTAMPLTZ" => {
                    DataType::Timestamp(unit(precision.unwrap_or(6))?, Some(UTC.into()))
                }
                "TIMESTAMP_NTZ" => DataType::Timestamp(unit(precision.unwrap_or(6))?, None),
                "ROW" => return Err(Error::user("ROW needs its fields").hint("write ROW<name TYPE, …>")),
                "MULTISET" | "RAW" | "VARIANT" => {
                    return Err(Error::user(format!("the type {word} is not supported yet")));
                }
                _ => {
                    let error = Error::user(format!("unknown type `{name}`"));
                    return Err(match Error::suggest(&word, KNOWN.iter().copied()) {
                        Some(near) => error.hint(format!("did you mean {near}?")),
                        None => error.hint(format!("there are: {}", KNOWN.join(", "))),
                    });
                }
            }
        }
        other => return Err(Error::user(format!("the type {other} is not supported yet"))),
    })
}

const KNOWN: &[&str] = &[
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INT",
    "BIGINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "STRING",
    "VARCHAR",
    "CHAR",
    "BYTES",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "ARRAY",
    "ROW",
    "MAP",
];

fn decimal(info: &ExactNumberInfo) -> Result<DataType> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => (10, 0),
        ExactNumberInfo::Precision(p) => (*p, 0),
        ExactNumberInfo::PrecisionAndScale(p, s) => (*p, *s),
    };
    if precision == 0 || precision > 38 || scale < 0 || scale as u64 > precision {
        return Err(Error::user(format!("DECIMAL({precision}, {scale}) does not exist"))
            .hint("precision is 1 to 38, scale 0 to the precision"));
    }
    Ok(DataType::Decimal128(precision as u8, scale as i8))
}

fn unit(precision: u64) -> Result<TimeUnit> {
    match precision {
        0 => Ok(TimeUnit::Second),
        1..=3 => Ok(TimeUnit::Millisecond),
        4..=6 => Ok(TimeUnit::Microsecond),
        7..=9 => Ok(TimeUnit::Nanosecond),
        _ => {
            Err(Error::user(format!("a precision of {precision} digits does not exist"))
                .hint("times have 0 to 9 digits"))
        }
    }
}

/// The type in which a table keeps a column: Parquet has no seconds, so TIME(0) and TIMESTAMP(0) are kept as milliseconds.
pub fn kept(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Time32(TimeUnit::Second) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        DataType::List(item) => DataType::List(Arc::new(item.as_ref().clone().with_data_type(kept(item.data_type())))),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|f| f.as_ref().clone().with_data_type(kept(f.data_type()))).collect())
        }
        other => other.clone(),
    }
}

/// The SQL name of an Arrow type, for messages and `EXPLAIN`.
pub fn name(data_type: &DataType) -> String {
    let digits = |u: &TimeUnit| match u {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    match data_type {
        DataType::Null => "NULL".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt8 => "TINYINT UNSIGNED".into(),
        DataType::UInt16 => "SMALLINT UNSIGNED".into(),
        DataType::UInt32 => "INT UNSIGNED".into(),
        DataType::UInt64 => "BIGINT UNSIGNED".into(),
        DataType::Float16 | DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            format!("DECIMAL({p}, {s})")
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "BYTES".into()
        }
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Time32(u) | DataType::Time64(u) => format!("TIME({})", digits(u)),
        DataType::Timestamp(u, None) => format!("TIMESTAMP({})", digits(u)),
        DataType::Timestamp(u, Some(_)) => format!("TIMESTAMP_LTZ({})", digits(u)),
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL".into(),
        DataType::List(f)
        | DataType::LargeList(f)
        | DataType::ListView(f)
        | DataType::LargeListView(f)
        | DataType::FixedSizeList(f, _) => {
            format!("ARRAY<{}>", name(f.data_type()))
        }
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|f| format!("{} {}", f.name(), name(f.data_type()))).collect();
            format!("ROW<{}>", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(kv) if kv.len() == 2 => {
                format!("MAP<{}, {}>", name(kv[0].data_type()), name(kv[1].data_type()))
            }
            _ => "MAP".into(),
        },
        DataType::Dictionary(_, value) => name(value),
        other => other.to_string(),
    }
}

/// Arrow's type names in a message of DataFusion, replaced by SQL's.
pub fn in_our_words(message: &str) -> String {
    const WORDS: &[(&str, &str)] = &[
        ("LargeUtf8", "STRING"),
        ("Utf8View", "STRING"),
        ("Utf8", "STRING"),
        ("Boolean", "BOOLEAN"),
        ("Int8", "TINYINT"),
        ("Int16", "SMALLINT"),
        ("Int32", "INT"),
        ("Int64", "BIGINT"),
        ("Float32", "FLOAT"),
        ("Float64", "DOUBLE"),
        ("Date32", "DATE"),
        ("Decimal128", "DECIMAL"),
        ("Timestamp(s)", "TIMESTAMP(0)"),
        ("Timestamp(ms)", "TIMESTAMP(3)"),
        ("Timestamp(µs)", "TIMESTAMP(6)"),
        ("Timestamp(ns)", "TIMESTAMP(9)"),
    ];
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    'text: while let Some(first) = rest.chars().next() {
        let inside_word = out.chars().last().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '`' || c == '\'');
        if !inside_word {
            for (theirs, ours) in WORDS {
                if let Some(tail) = rest.strip_prefix(theirs)
                    && !tail.starts_with(|c: char| c.is_alphanumeric() || c == '_')
                {
                    out.push_str(ours);
                    rest = tail;
                    continue 'text;
                }
            }
        }
        out.push(first);
        rest = &rest[first.len_utf8()..];
    }
    out
}

/// True if a value of type `from` goes into a column of type `to` without `CAST`: nothing is lost but digits of a large
/// integer in a float, as in Flink; a value too large for a smaller precision of DECIMAL fails at run time.
pub fn fits(from: &DataType, to: &DataType, utc: bool) -> bool {
    use DataType::*;
    if from == to {
        return true;
    }
    let bits = |t: &DataType| match t {
        Int8 | UInt8 => 8,
        Int16 | UInt16 => 16,
        Int32 | UInt32 => 32,
        _ => 64,
    };
    let string = |t: &DataType| matches!(t, Utf8 | LargeUtf8 | Utf8View);
    let bytes = |t: &DataType| matches!(t, Binary | LargeBinary | BinaryView | FixedSizeBinary(_));
    match (from, to) {
        (Null, _) => true,
        (Dictionary(_, value), _) => fits(value, to, utc),
        (_, Dictionary(_, value)) => fits(from, value, utc),
        (a, b) if string(a) && string(b) => true,
        (a, b) if bytes(a) && bytes(b) => true,
        (a, b) if a.is_signed_integer() && b.is_signed_integer() => bits(a) <= bits(b),
        (a, b) if a.is_unsigned_integer() && b.is_unsigned_integer() => bits(a) <= bits(b),
        (a, b) if a.is_unsigned_integer() && b.is_signed_integer() => bits(a) < bits(b),
        (a, Float64 | Float32) if a.is_integer() => true,
        (Float16 | Float32, Float64) | (Float16, Float32) => true,
        (a, Decimal128(p, s)) if a.is_integer() => (*p as i32 - *s as i32) >= 1,
        (Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..), Float64) => true,
        (Decimal32(_, from) | Decimal64(_, from) | Decimal128(_, from) | Decimal256(_, from), Decimal128(_, to)) => {
            from <= to
        }
        (Date32, Date64) | (Date64, Date32) => true,
        (Time32(_) | Time64(_), Time32(_) | Time64(_)) => time_digits(from) <= time_digits(to),
        (Timestamp(a, from_zone), Timestamp(b, to_zone)) => {
            fineness(a) <= fineness(b) && (from_zone.is_some() == to_zone.is_some() || utc)
        }
        (List(a) | LargeList(a) | FixedSizeList(a, _), List(b) | LargeList(b)) => {
            fits(a.data_type(), b.data_type(), utc)
        }
        (Struct(a), Struct(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| a.name() == b.name() && fits(a.data_type(), b.data_type(), utc))
        }
        _ => false,
    }
}

fn fineness(unit: &TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    }
}

/// How fine a TIME is: 0 for seconds to 3 for nanoseconds.
pub fn time_digits(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Time32(u) | DataType::Time64(u) => fineness(u),
        _ => 0,
    }
}
