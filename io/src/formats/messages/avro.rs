//! Avro, one record a message: `avro` with a schema that both sides know, `avro-confluent` with the id of one in a registry.
//!
//! Values go straight between the bytes and columns of the types that the schema has, and only then into the declared
//! types. A library's rows or columns between would have no name for the column that is wrong, and columns that one bad
//! message spoils for all.

pub mod confluent;
mod plan;
mod schema;

use std::sync::Arc;

use arrow::array::{BinaryArray, BinaryBuilder, RecordBatch};
use arrow::datatypes::{DataType, Fields, Schema, SchemaRef};
use pelton_engine::connector::{Decoded, Options};
use pelton_engine::error::{Error, Result};

use super::cells::Column;
use super::grown::{Grown, Wrong};
use super::rows::{self, Reads};
use super::wire::Wire;
use super::{MessageDecoder, MessageEncoder};
use plan::Row;
use schema::{AvroSchema, Shape, derived};

/// The option with the schema of `avro`.
const SCHEMA: &str = "avro.schema";

/// Makes rows of messages in the schema of `avro.schema`, or in the one that the table's columns have.
pub fn decoder(options: &Options, schema: &SchemaRef, columns: &[usize]) -> Result<Arc<dyn MessageDecoder>> {
    let (text, given) = text_of(options, schema, SCHEMA)?;
    let wanted = rows::wanted(schema, columns);
    let bad = |wrong: Wrong| bad_schema(options, SCHEMA, given, wrong);
    let reader = AvroReader::new(AvroSchema::parse(&text, &[]).map_err(bad)?, &wanted).map_err(bad)?;
    if let Some(&lost) = reader.row.missing.first() {
        return Err(bad(format!("it has no field '{}'", wanted.field(lost).name())));
    }
    Ok(Arc::new(AvroMessages { reader, wanted }))
}

/// Makes messages in the same schema.
pub fn encoder(options: &Options, schema: &SchemaRef) -> Result<Box<dyn MessageEncoder>> {
    let (text, given) = text_of(options, schema, SCHEMA)?;
    let writer = AvroWriter::new(&text, schema).map_err(|wrong| bad_schema(options, SCHEMA, given, wrong))?;
    Ok(Box::new(writer))
}

/// The schema that the option gives, or else the one of the columns; and whether it is given.
fn text_of(options: &Options, schema: &SchemaRef, key: &str) -> Result<(String, bool)> {
    match options.get(key) {
        Some(text) => Ok((text.to_string(), true)),
        None => match derived(schema.fields()) {
            Ok(schema) => Ok((schema.to_string(), false)),
            Err(wrong) => Err(Error::user(format!("{}: no Avro schema for its columns: {wrong}", options.owner()))
                .hint(format!("give one with '{key}' = '{{…}}' in WITH (...)"))),
        },
    }
}

fn bad_schema(options: &Options, key: &str, given: bool, wrong: Wrong) -> Error {
    match given {
        true => Error::user(format!("{}: option '{key}': {wrong}", options.owner())).at(options.span(key)),
        false => Error::user(format!("{}: {wrong}", options.owner())),
    }
}

struct AvroMessages {
    reader: AvroReader,
    wanted: SchemaRef,
}

impl MessageDecoder for AvroMessages {
    fn decode(&self, values: &BinaryArray) -> Decoded {
        rows::decode_all(&self.reader, values, &self.wanted)
    }
}

/// Reads messages that one schema has written.
struct AvroReader {
    schema: AvroSchema,
    row: Row,
    types: Vec<DataType>,
}

impl AvroReader {
    fn new(schema: AvroSchema, wanted: &SchemaRef) -> Result<Self, Wrong> {
        let (row, types) = plan_row(&schema, wanted.fields())?;
        let types = types.iter().map(|f| f.data_type().clone()).collect();
        Ok(AvroReader { schema, row, types })
    }
}

fn plan_row(schema: &AvroSchema, columns: &Fields) -> Result<(Row, Fields), Wrong> {
    match &schema.at(schema.root()).shape {
        Shape::Record(fields) => plan::row(schema, fields, columns, "column"),
        _ => Err("the schema is no record".into()),
    }
}

impl Reads for AvroReader {
    fn types(&self) -> &[DataType] {
        &self.types
    }

    fn read(&self, message: &[u8], columns: &mut [Grown]) -> Result<(), Wrong> {
        let mut wire = Wire::new(message);
        self.row.read(&self.schema, &mut wire, columns, "column")?;
        match wire.left() {
            0 => Ok(()),
            left => Err(format!("{left} bytes follow the record: it was written with another schema")),
        }
    }
}

/// Writes rows in one schema.
struct AvroWriter {
    schema: AvroSchema,
    row: Row,
    types: Schema,
    /// What stands before every message.
    head: Vec<u8>,
}

impl AvroWriter {
    fn new(text: &str, columns: &SchemaRef) -> Result<Self, Wrong> {
        let schema = AvroSchema::parse(text, &[])?;
        let (row, types) = plan_row(&schema, columns.fields())?;
        if let Some(&lost) = row.missing.first() {
            return Err(format!("it has no field '{}'", columns.field(lost).name()));
        }
        row.check_writable(&schema)?;
        Ok(AvroWriter { schema, row, types: Schema::new(types), head: vec![] })
    }
}

impl MessageEncoder for AvroWriter {
    fn encode(&mut self, rows: &RecordBatch) -> Result<BinaryArray> {
        let arrays = rows::in_types_of(rows, &self.types, "Avro")?;
        let columns: Vec<Column> = arrays.iter().map(Column::of).collect();
        let (mut out, mut message) = (BinaryBuilder::new(), vec![]);
        for row in 0..rows.num_rows() {
            message.clear();
            message.extend(&self.head);
            self.row
                .write(&self.schema, &columns, row, &mut message)
                .map_err(|wrong| Error::user(format!("a row cannot be written as Avro: {wrong}")))?;
            out.append_value(&message);
        }
        Ok(out.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::told::{check, check_neighbours, columns, damaged, list, map, options, row};
    use super::*;
    use crate::formats::tests_of_formats::rows_as_text;
    use apache_avro::types::Value;
    use arrow::array::*;
    use arrow::datatypes::{Field, Int32Type, TimeUnit};
    use arrow::json::ReaderBuilder;
    use proptest::prelude::*;

    /// A column of every type that there is.
    fn all_types() -> SchemaRef {
        use DataType::*;
        columns(&[
            ("flag", Boolean),
            ("tiny", Int8),
            ("small", Int16),
            ("int", Int32),
            ("big", Int64),
            ("real", Float32),
            ("double", Float64),
            ("text", Utf8),
            ("bytes", Binary),
            ("price", Decimal128(20, 3)),
            ("day", Date32),
            ("clock", Time32(TimeUnit::Millisecond)),
            ("at", Timestamp(TimeUnit::Millisecond, None)),
            ("at6", Timestamp(TimeUnit::Microsecond, None)),
            ("instant", Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
            ("tags", list(Utf8)),
            ("counts", map(Int64)),
            ("inner", row(&[("x", Int32), ("ys", list(row(&[("z", Utf8)])))])),
        ])
    }

    fn rows_of(schema: &SchemaRef, json: &str) -> RecordBatch {
        let mut reader = ReaderBuilder::new(schema.clone()).build(json.as_bytes()).unwrap();
        reader.next().unwrap().unwrap()
    }

    const FULL: &str = r#"{"flag":true,"tiny":-1,"small":300,"int":-70000,"big":9007199254740993,"real":0.5,"double":-1e300,
        "text":"grün","bytes":"00ff","price":"-12345678901234567.891","day":"1969-12-31","clock":"23:59:59.999",
        "at":"2024-05-01T09:00:05.123","at6":"1900-01-01T00:00:00.000001","instant":"2024-05-01T09:00:05.123Z",
        "tags":["a",null,""],"counts":{"k":7},"inner":{"x":1,"ys":[{"z":"q"},{"z":null},null]}}"#;

    fn written(schema: &SchemaRef, rows: &RecordBatch, pairs: &[(&str, &str)]) -> BinaryArray {
        encoder(&options(pairs), schema).unwrap().encode(rows).unwrap()
    }

    /// What another implementation reads in a message, and how it writes that.
    fn oracle(schema: &str, message: &[u8]) -> (Value, Vec<u8>) {
        let schema = apache_avro::Schema::parse_str(schema).unwrap();
        let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema).build().unwrap();
        let mut left = message;
        let value = reader.read_value(&mut left).unwrap();
        assert!(left.is_empty(), "all of it is read");
        let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().unwrap();
        let again = writer.write_value_to_vec(value.clone()).unwrap();
        (value, again)
    }

    fn shown(decoder: &dyn MessageDecoder, values: &BinaryArray) -> Vec<String> {
        check(decoder, &values.iter().collect::<Vec<_>>())
    }

    #[test]
    fn every_type_goes_to_the_other_implementation_and_back() {
        let schema = all_types();
        let rows = rows_of(&schema, &format!("{}\n{{}}", FULL.replace('\n', " ")));
        let messages = written(&schema, &rows, &[]);
        let text = derived(schema.fields()).unwrap().to_string();
        let decoder = decoder(&options(&[]), &schema, &(0..schema.fields().len()).collect::<Vec<_>>()).unwrap();
        let want: Vec<String> =
            rows_as_text(&rows).into_iter().enumerate().map(|(i, row)| format!("{i}: {row}")).collect();
        assert_eq!(shown(decoder.as_ref(), &messages), want);
        assert!(want[1].split('|').all(|value| value.ends_with("NULL")), "{}", want[1]);
        for message in messages.iter().flatten() {
            let (value, again) = oracle(&text, message);
            assert_eq!(again, message);
            assert!(matches!(value, Value::Record(_)));
        }
        let Value::Record(fields) = oracle(&text, messages.value(0)).0 else { unreachable!() };
        let of = |name: &str| fields.iter().find(|(n, _)| n == name).unwrap().1.clone();
        let some = |value: Value| Value::Union(1, Box::new(value));
        assert_eq!(of("small"), some(Value::Int(300)));
        assert_eq!(of("day"), some(Value::Date(-1)));
        assert_eq!(of("clock"), some(Value::TimeMillis(86_399_999)));
        assert_eq!(of("at"), some(Value::TimestampMillis(1_714_554_005_123)));
        assert_eq!(of("at6"), some(Value::TimestampMicros(-2_208_988_799_999_999)));
        assert_eq!(of("text"), some(Value::String("grün".into())));
    }

    #[test]
    fn some_columns_of_a_given_schema() {
        let given = r#"{"type":"record","name":"order","namespace":"shop","fields":[
            {"name":"skipped","type":{"type":"array","items":{"type":"map","values":["null","order"]}}},
            {"name":"kind","type":{"type":"enum","name":"kind","symbols":["NEW","OLD"]}},
            {"name":"hash","type":{"type":"fixed","name":"md","size":2}},
            {"name":"again","type":"shop.md"},
            {"name":"amount","type":["int","long","null"]},
            {"name":"price","type":{"type":"fixed","name":"price","size":6,"logicalType":"decimal","precision":10,"scale":2}},
            {"name":"at","type":{"type":"long","logicalType":"local-timestamp-micros"}},
            {"name":"next","type":["null","order"]}]}"#;
        use DataType::*;
        let table = columns(&[
            ("price", Float64),
            ("KIND", DataType::Dictionary(Box::new(Int32), Box::new(Utf8))),
            ("at", Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
            ("unwanted", Utf8),
            ("amount", Int16),
            ("again", Binary),
            ("next", row(&[("kind", Utf8), ("next", row(&[("amount", Int64)]))])),
        ]);
        let oracle_schema = apache_avro::Schema::parse_str(given).unwrap();
        let record = |kind: u32, amount: Value, next: Value| {
            let symbol = ["NEW", "OLD"][kind as usize].to_string();
            Value::Record(vec![
                (
                    "skipped".into(),
                    Value::Array(vec![
                        Value::Map(Default::default()),
                        Value::Map([("x".into(), Value::Union(0, Box::new(Value::Null)))].into()),
                    ]),
                ),
                ("kind".into(), Value::Enum(kind, symbol)),
                ("hash".into(), Value::Fixed(2, vec![1, 2])),
                ("again".into(), Value::Fixed(2, vec![3, 4])),
                ("amount".into(), amount),
                ("price".into(), Value::Decimal(apache_avro::Decimal::from(vec![0xff, 0xff, 0xff, 0xff, 0xff, 0x38]))),
                ("at".into(), Value::LocalTimestampMicros(1_999)),
                ("next".into(), next),
            ])
        };
        let none = || Value::Union(0, Box::new(Value::Null));
        let inner = record(1, Value::Union(0, Box::new(Value::Int(5))), none());
        let messages = [
            record(0, Value::Union(1, Box::new(Value::Long(7))), Value::Union(1, Box::new(inner))),
            record(1, Value::Union(2, Box::new(Value::Null)), none()),
            record(1, Value::Union(1, Box::new(Value::Long(1 << 40))), none()),
        ];
        let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&oracle_schema).build().unwrap();
        let messages: Vec<Vec<u8>> = messages.map(|m| writer.write_value_to_vec(m).unwrap()).into();
        let decoder = decoder(&options(&[("avro.schema", given)]), &table, &[0, 1, 2, 4, 5, 6]).unwrap();
        let mut values: Vec<Option<&[u8]>> = messages.iter().map(|m| Some(m.as_slice())).collect();
        values.insert(1, None);
        let longer = [messages[0].as_slice(), b"x"].concat();
        values.push(Some(&longer));
        assert_eq!(
            check(decoder.as_ref(), &values),
            [
                "0: -2.0|NEW|1970-01-01T00:00:00.001Z|7|0304|{kind: OLD, next: NULL}",
                "1! a tombstone: the message has no value",
                "2: -2.0|OLD|1970-01-01T00:00:00.001Z|NULL|0304|NULL",
                "3! column 'amount': 1099511627776 is no SMALLINT",
                "4! 1 bytes follow the record: it was written with another schema",
            ]
        );
    }

    #[test]
    fn schemas_that_do_not_go_with_the_table_are_refused() {
        let refused = |schema: &str, of: DataType| {
            let table = columns(&[("x", of)]);
            let pairs = [("avro.schema", schema)];
            let read = decoder(&options(&pairs), &table, &[0]).map(drop).unwrap_err().to_string();
            let write = encoder(&options(&pairs), &table).map(drop).unwrap_err().to_string();
            assert_eq!(read, write);
            read.strip_prefix("table `t`: option 'avro.schema': ").unwrap().to_string()
        };
        let record = |of: &str| format!(r#"{{"type":"record","name":"r","fields":[{{"name":"x","type":{of}}}]}}"#);
        use DataType::*;
        assert!(refused("{", Int32).starts_with("it is no JSON"));
        assert_eq!(refused("\"int\"", Int32), "the schema is no record");
        assert_eq!(refused(&record("\"nothing\""), Int32), "no type is called 'nothing'");
        assert_eq!(refused(&record("\"int\"").replace("\"x\"", "\"y\""), Int32), "it has no field 'x'");
        assert_eq!(
            refused(&record(r#"{"type":"array","items":"int"}"#), Utf8),
            "column 'x': an array of the schema does not convert to STRING"
        );
        assert_eq!(
            refused(&record("\"int\""), list(Int32)),
            "column 'x': INT of the schema does not convert to ARRAY<INT>"
        );
        assert_eq!(
            refused(&record(r#"["string","bytes"]"#), Utf8),
            "column 'x': a union of STRING and BYTES is no column"
        );
        assert!(
            refused(&record(r#"{"type":"bytes","logicalType":"decimal","precision":60}"#), Utf8).contains("38 digits")
        );
        let write = |schema: &str| {
            encoder(&options(&[("avro.schema", schema)]), &columns(&[("x", Int64)])).map(drop).unwrap_err()
        };
        assert!(
            write(&record(r#"["int","long"]"#))
                .to_string()
                .contains("a union of several types can be read, not written")
        );
        let more = r#"{"type":"record","name":"r","fields":[{"name":"x","type":"long"},{"name":"y","type":"int"}]}"#;
        assert!(write(more).to_string().contains("field 'y': no column has this name"));
        let named = columns(&[("no name", Int64)]);
        assert!(encoder(&options(&[]), &named).map(drop).unwrap_err().to_string().contains("Avro has no such names"));
    }

    #[test]
    fn rows_that_do_not_fit_are_named() {
        let table = columns(&[("x", DataType::Int64)]);
        let schema = r#"{"type":"record","name":"r","fields":[{"name":"x","type":"int"}]}"#;
        let mut encoder = encoder(&options(&[("avro.schema", schema)]), &table).unwrap();
        let mut encode = |value: Option<i64>| {
            let rows = RecordBatch::try_new(table.clone(), vec![Arc::new(Int64Array::from(vec![value]))]).unwrap();
            encoder.encode(&rows).map(|m| m.value(0).to_vec()).map_err(|e| e.to_string())
        };
        assert_eq!(encode(Some(-3)).unwrap(), [5]);
        assert_eq!(encode(Some(1 << 40)).unwrap_err(), "column 'x' cannot be written as Avro: 1099511627776 is no INT");
        assert!(encode(None).unwrap_err().contains("field 'x': NULL where the schema has none"));
    }

    #[test]
    fn few_bytes_cannot_ask_for_much() {
        let schema = r#"{"type":"record","name":"r","fields":[{"name":"x","type":{"type":"array","items":"null"}},
            {"name":"y","type":{"type":"array","items":{"type":"array","items":"null"}}}]}"#;
        let table = columns(&[("x", list(DataType::Utf8))]);
        let decoder = decoder(&options(&[("avro.schema", schema)]), &table, &[0]).unwrap();
        let mut huge = vec![];
        super::super::wire::put_zigzag(1 << 50, &mut huge);
        let inner = [&[0, 2][..], &huge, &[0, 0]].concat();
        let shown = check(decoder.as_ref(), &[Some(&huge), Some(&inner), Some(&[4, 0, 0]), Some(&[0x7f, 0x80])]);
        assert!(shown[0].starts_with("0! column 'x': a list of 1125899906842624 items"), "{shown:?}");
        assert!(shown[1].starts_with("1! column 'y': a list of"), "{shown:?}");
        assert_eq!(shown[2], "2: [NULL, NULL]");
    }

    fn any_rows() -> impl Strategy<Value = RecordBatch> {
        let text = proptest::option::of("[a-zß€]{0,5}");
        let row = (any::<Option<i64>>(), any::<Option<f64>>(), text, any::<Option<bool>>());
        let more = (any::<Option<i32>>(), proptest::option::of(proptest::collection::vec(any::<Option<i32>>(), 0..4)));
        let price = proptest::option::of(-(10_i128.pow(20)) + 1..10_i128.pow(20));
        proptest::collection::vec((row, more, price), 0..20).prop_map(|rows| {
            let list =
                ListArray::from_iter_primitive::<Int32Type, _, _>(rows.iter().map(|(_, (_, items), _)| items.clone()));
            let price = Decimal128Array::from_iter(rows.iter().map(|(_, _, price)| *price));
            RecordBatch::try_from_iter_with_nullable([
                ("a", Arc::new(Int64Array::from_iter(rows.iter().map(|(r, _, _)| r.0))) as ArrayRef, true),
                ("b", Arc::new(Float64Array::from_iter(rows.iter().map(|(r, _, _)| r.1))), true),
                ("c", Arc::new(StringArray::from_iter(rows.iter().map(|(r, _, _)| r.2.clone()))), true),
                ("d", Arc::new(BooleanArray::from_iter(rows.iter().map(|(r, _, _)| r.3))), true),
                ("e", Arc::new(Date32Array::from_iter(rows.iter().map(|(_, m, _)| m.0.map(|d| d % 100_000)))), true),
                ("f", Arc::new(list), true),
                ("g", Arc::new(price.with_precision_and_scale(20, 4).unwrap()), true),
            ])
            .unwrap()
        })
    }

    proptest! {
        #[test]
        fn rows_are_the_same_to_both_implementations(rows in any_rows()) {
            let schema = rows.schema();
            let messages = written(&schema, &rows, &[]);
            let text = derived(schema.fields()).unwrap().to_string();
            for message in messages.iter().flatten() {
                prop_assert_eq!(oracle(&text, message).1, message);
            }
            let decoder = decoder(&options(&[]), &schema, &(0..schema.fields().len()).collect::<Vec<_>>()).unwrap();
            let decoded = decoder.decode(&messages);
            prop_assert!(decoded.bad.is_empty() && decoded.broken.is_none());
            let got = decoded.batches.first().map_or(RecordBatch::new_empty(schema), |b| b.batch.clone());
            prop_assert_eq!(got.columns(), rows.columns());
        }

        #[test]
        fn a_damaged_message_harms_nobody(message in damaged({
            let schema = all_types();
            let rows = rows_of(&schema, &FULL.replace('\n', " "));
            vec![written(&schema, &rows, &[]).value(0).to_vec()]
        })) {
            let schema = all_types();
            let good = written(&schema, &rows_of(&schema, &FULL.replace('\n', " ")), &[]);
            for columns in [(0..schema.fields().len()).collect::<Vec<_>>(), vec![3, 17], vec![]] {
                let decoder = decoder(&options(&[]), &schema, &columns).unwrap();
                check_neighbours(decoder.as_ref(), good.value(0), &message);
            }
        }

        #[test]
        fn a_random_schema_text_never_panics(text in "[\\[\\]{}\":,a-z ]{0,40}") {
            let _ = AvroSchema::parse(&text, &[]);
        }
    }

    #[test]
    fn unsigned_and_not_null_columns() {
        let fields = vec![Field::new("n", DataType::UInt32, false), Field::new("m", DataType::Utf8, false)];
        let schema = Arc::new(Schema::new(fields));
        let rows = RecordBatch::try_new(
            schema.clone(),
            vec![Arc::new(UInt32Array::from(vec![u32::MAX])), Arc::new(StringArray::from(vec!["x"]))],
        );
        let messages = written(&schema, &rows.unwrap(), &[]);
        assert_eq!(messages.value(0), [0xfe, 0xff, 0xff, 0xff, 0x1f, 2, b'x']);
        let decoder = decoder(&options(&[]), &schema, &[0, 1]).unwrap();
        assert_eq!(shown(decoder.as_ref(), &messages), ["0: 4294967295|x"]);
    }
}
