//! What a table's options say, named as Flink names them.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::datatypes::{DataType, Schema};
use pelton_engine::connector::{Options, Table};
use pelton_engine::error::{Error, Result};

use crate::formats::find_column;

/// How long a broker may take to answer at the start.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often new partitions are looked for.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(300);
/// Bytes of messages that librdkafka reads ahead, over all partitions of a table.
const READ_AHEAD_MIB: usize = 64;

/// Where the brokers are, and how to talk to them.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The table, for messages.
    pub owner: String,
    /// `properties.bootstrap.servers`.
    pub servers: String,
    /// What stands behind `properties.`, for librdkafka.
    pub properties: BTreeMap<String, String>,
    /// All options, for places in the text.
    pub options: Options,
    /// How long a broker may take to answer at the start.
    pub timeout: Duration,
}

impl Connection {
    fn read(table: &Table) -> Result<Self> {
        let options = &table.options;
        let servers = options.require("properties.bootstrap.servers")?.to_string();
        let mut properties = BTreeMap::new();
        for (key, value) in options.iter() {
            if let Some(property) = key.strip_prefix("properties.") {
                options.get(key);
                properties.insert(property.to_string(), value.to_string());
            }
        }
        let timeout = options.duration("connect.timeout", CONNECT_TIMEOUT)?;
        let owner = options.owner().to_string();
        Ok(Connection { owner, servers, properties, options: options.clone(), timeout })
    }

    /// `properties.group.id`.
    pub fn group(&self) -> Option<&str> {
        self.properties.get("group.id").map(String::as_str)
    }
}

/// True if reading ends by itself.
pub fn is_bounded(options: &Options) -> Result<bool> {
    Ok(options.one_of("scan.bounded.mode", &BOUNDED_MODES)? != "unbounded")
}

const STARTUP_MODES: [&str; 5] = ["earliest-offset", "latest-offset", "group-offsets", "timestamp", "specific-offsets"];
const BOUNDED_MODES: [&str; 5] = ["unbounded", "latest-offset", "group-offsets", "timestamp", "specific-offsets"];

/// A place in each partition.
#[derive(Clone, Debug, PartialEq)]
pub enum Position {
    /// The first offset that is there.
    Earliest,
    /// The end as it is when reading begins.
    Latest,
    /// What the consumer group has committed.
    Group,
    /// The first offset with this time or a later one, in ms since 1970.
    Time(i64),
    /// By partition.
    Offsets(BTreeMap<i32, i64>),
}

/// Which columns are in the key, and which in the value.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Indices of the columns in the key, in the order of `key.fields`; empty without a key format.
    pub key: Vec<usize>,
    /// Indices of the columns in the value, ascending.
    pub value: Vec<usize>,
    /// What stands before the names of the key's columns in the table, but not in the key.
    pub key_prefix: String,
    /// What becomes of messages without a value.
    pub tombstones: Tombstones,
}

/// What becomes of messages without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tombstones {
    /// The format says.
    Format,
    /// No row, no letter.
    Skip,
    /// A row whose columns of the value are NULL.
    Null,
}

impl Parts {
    /// `kept_out`: columns that are neither.
    fn read(table: &Table, kept_out: &[usize]) -> Result<Self> {
        let options = &table.options;
        let schema = &table.schema;
        options.get("format");
        options.get("value.format");
        if options.get("format").is_none() && options.get("value.format").is_none() {
            options.require("format")?;
        }
        let key_prefix = options.get("key.fields-prefix").unwrap_or_default().to_string();
        let fields = options.get("key.fields");
        let format = options.get("key.format");
        let include = options.one_of("value.fields-include", &["all", "except_key"])?;
        let key = match (format, fields) {
            (None, None) => vec![],
            (Some(_), Some(fields)) => columns(options, "key.fields", fields, schema)?,
            (Some(_), None) => {
                return Err(Error::user(format!("{}: 'key.format' needs the option 'key.fields'", options.owner()))
                    .at(options.span("key.format"))
                    .hint("name the columns of the key: 'key.fields' = 'a;b'"));
            }
            (None, Some(_)) => {
                return Err(Error::user(format!("{}: 'key.fields' needs the option 'key.format'", options.owner()))
                    .at(options.span("key.fields"))
                    .hint("say how the key is written: 'key.format' = 'raw'"));
            }
        };
        if let Some(at) = key.iter().find(|at| !schema.field(**at).name().starts_with(&key_prefix)) {
            let name = schema.field(*at).name();
            return Err(Error::user(format!(
                "{}: column '{name}' of the key does not begin with '{key_prefix}'",
                options.owner()
            ))
            .at(options.span("key.fields-prefix")));
        }
        let all = (0..schema.fields().len()).filter(|at| !kept_out.contains(at));
        let value = all.filter(|at| include == "all" || !key.contains(at)).collect();
        let tombstones = match options.one_of("value.tombstones", &["dead-letter", "skip", "null"])? {
            "skip" => Tombstones::Skip,
            "null" => Tombstones::Null,
            _ => Tombstones::Format,
        };
        Ok(Parts { key, value, key_prefix, tombstones })
    }

    /// The columns of the key as the key names them.
    pub fn key_schema(&self, schema: &Schema) -> Schema {
        let fields = self.key.iter().map(|at| {
            let field = schema.field(*at);
            field.clone().with_name(field.name().strip_prefix(&self.key_prefix).unwrap_or(field.name()))
        });
        Schema::new(fields.collect::<Vec<_>>())
    }

    /// The columns of the value.
    pub fn value_schema(&self, schema: &Schema) -> Schema {
        Schema::new(self.value.iter().map(|at| schema.field(*at).clone()).collect::<Vec<_>>())
    }
}

/// Indices of columns named as `a;b`.
fn columns(options: &Options, key: &str, names: &str, schema: &Schema) -> Result<Vec<usize>> {
    names.split(';').map(|name| column(options, key, name.trim(), schema)).collect()
}

fn column(options: &Options, key: &str, name: &str, schema: &Schema) -> Result<usize> {
    let names = || schema.fields().iter().map(|f| f.name().as_str());
    find_column(name, names()).ok_or_else(|| {
        let error = Error::user(format!("{}: '{key}' names '{name}', which is no column", options.owner()))
            .at(options.span(key));
        match Error::suggest(name, names()) {
            Some(near) => error.hint(format!("did you mean '{near}'?")),
            None => error.hint(format!("the columns are: {}", names().collect::<Vec<_>>().join(", "))),
        }
    })
}

/// A column that an option names.
fn named_column(table: &Table, key: &str) -> Result<Option<usize>> {
    table.options.get(key).map(|name| column(&table.options, key, name.trim(), &table.schema)).transpose()
}

/// What is read.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// Where.
    pub connection: Connection,
    /// Its topics, in the order in which their partitions are numbered.
    pub topics: Vec<String>,
    /// Where reading begins.
    pub start: Position,
    /// Where it ends, if it does.
    pub end: Option<Position>,
    /// How often new partitions are looked for; zero: never.
    pub discovery: Duration,
    /// Bytes read ahead over all partitions.
    pub read_ahead_bytes: usize,
    /// Columns of key and value.
    pub parts: Parts,
}

impl SourceOptions {
    /// What the options of `table` say.
    pub fn read(table: &Table) -> Result<Self> {
        let options = &table.options;
        let connection = Connection::read(table)?;
        SinkOptions::know(options);
        let topics: Vec<String> = options.require("topic")?.split(';').map(|t| t.trim().to_string()).collect();
        if topics.iter().any(String::is_empty) {
            return Err(options.bad("topic", "a topic, or several as 'a;b'"));
        }
        let start = match options.get("scan.startup.mode") {
            None if connection.group().is_some() => Position::Group,
            None => Position::Earliest,
            Some(_) => {
                let mode = options.one_of("scan.startup.mode", &STARTUP_MODES)?;
                position(&connection, mode, "scan.startup", topics.len())?
            }
        };
        let end = match options.one_of("scan.bounded.mode", &BOUNDED_MODES)? {
            "unbounded" => None,
            mode => Some(position(&connection, mode, "scan.bounded", topics.len())?),
        };
        for prefix in ["scan.startup", "scan.bounded"] {
            options.get(&format!("{prefix}.timestamp-millis"));
            options.get(&format!("{prefix}.specific-offsets"));
        }
        let read_ahead: usize = options.parse("scan.read-ahead-mib", READ_AHEAD_MIB)?;
        Ok(SourceOptions {
            start,
            end,
            discovery: options.duration("scan.topic-partition-discovery.interval", DISCOVERY_INTERVAL)?,
            read_ahead_bytes: read_ahead.clamp(1, 1 << 20) << 20,
            parts: Parts::read(table, &[])?,
            connection,
            topics,
        })
    }

    fn know(options: &Options) {
        for key in [
            "topic",
            "scan.startup.mode",
            "scan.startup.timestamp-millis",
            "scan.startup.specific-offsets",
            "scan.bounded.mode",
            "scan.bounded.timestamp-millis",
            "scan.bounded.specific-offsets",
            "scan.topic-partition-discovery.interval",
            "scan.read-ahead-mib",
            "value.tombstones",
        ] {
            options.get(key);
        }
    }
}

/// What `mode` and the options beside it say.
fn position(connection: &Connection, mode: &str, prefix: &str, topics: usize) -> Result<Position> {
    let options = &connection.options;
    let mode_key = format!("{prefix}.mode");
    match mode {
        "earliest-offset" => Ok(Position::Earliest),
        "latest-offset" => Ok(Position::Latest),
        "group-offsets" if connection.group().is_none() => {
            Err(Error::user(format!("{}: '{mode_key}' = 'group-offsets' needs a group", options.owner()))
                .at(options.span(&mode_key))
                .hint("add 'properties.group.id' = '...'"))
        }
        "group-offsets" => Ok(Position::Group),
        "timestamp" => {
            let key = format!("{prefix}.timestamp-millis");
            options.require(&key)?;
            Ok(Position::Time(options.parse(&key, 0)?))
        }
        _ => {
            let key = format!("{prefix}.specific-offsets");
            let text = options.require(&key)?;
            if topics > 1 {
                return Err(Error::user(format!("{}: '{key}' wants a single topic", options.owner()))
                    .at(options.span(&key))
                    .hint("declare a table for each topic"));
            }
            let offsets = specific_offsets(text);
            offsets
                .map(Position::Offsets)
                .ok_or_else(|| options.bad(&key, "'partition:0,offset:42;partition:1,offset:7'"))
        }
    }
}

/// Reads `partition:0,offset:42;partition:1,offset:300`.
fn specific_offsets(text: &str) -> Option<BTreeMap<i32, i64>> {
    let pair = |part: &str| {
        let (partition, offset) = part.split_once(',')?;
        let partition: i32 = partition.trim().strip_prefix("partition:")?.trim().parse().ok()?;
        let offset: i64 = offset.trim().strip_prefix("offset:")?.trim().parse().ok()?;
        (partition >= 0 && offset >= 0).then_some((partition, offset))
    };
    text.split(';').filter(|part| !part.trim().is_empty()).map(pair).collect()
}

/// What is promised of rows that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// By transactions, with checkpoints.
    ExactlyOnce,
    /// Again after a failure.
    AtLeastOnce,
}

/// Which partition a row goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitioner {
    /// By the hash of the key that Kafka's own clients take; anywhere without a key.
    Default,
    /// One after the other.
    RoundRobin,
    /// All to the first.
    Fixed,
}

/// What is written.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// Where.
    pub connection: Connection,
    /// The topic.
    pub topic: String,
    /// Columns of key and value.
    pub parts: Parts,
    /// `sink.delivery-guarantee`, if it is set.
    pub guarantee: Option<Guarantee>,
    /// `sink.transactional-id-prefix`.
    pub prefix: Option<String>,
    /// `sink.partitioner`.
    pub partitioner: Partitioner,
    /// The column with the headers, a MAP.
    pub headers: Option<usize>,
    /// The column with the time of the message.
    pub timestamp: Option<usize>,
}

impl SinkOptions {
    /// What the options of `table` say.
    pub fn read(table: &Table) -> Result<Self> {
        let options = &table.options;
        SinkOptions::know(options);
        SourceOptions::know(options);
        let topic = options.require("topic")?.trim().to_string();
        if topic.is_empty() || topic.contains(';') {
            return Err(options.bad("topic", "one topic"));
        }
        let (headers, timestamp) =
            (named_column(table, "sink.headers-field")?, named_column(table, "sink.timestamp-field")?);
        expect_type(table, "sink.headers-field", headers, "MAP<STRING, STRING> or MAP<STRING, BYTES>", |t| {
            matches!(t, DataType::Map(entries, _) if matches!(entries.data_type(), DataType::Struct(fields)
                if fields[0].data_type() == &DataType::Utf8
                    && matches!(fields[1].data_type(), DataType::Utf8 | DataType::Binary)))
        })?;
        expect_type(table, "sink.timestamp-field", timestamp, "TIMESTAMP_LTZ", |t| {
            matches!(t, DataType::Timestamp(..))
        })?;
        let kept_out: Vec<usize> = headers.into_iter().chain(timestamp).collect();
        let guarantee = match options.get("sink.delivery-guarantee") {
            None => None,
            Some(_) => match options.one_of("sink.delivery-guarantee", &["exactly-once", "at-least-once"])? {
                "exactly-once" => Some(Guarantee::ExactlyOnce),
                _ => Some(Guarantee::AtLeastOnce),
            },
        };
        let partitioner = match options.one_of("sink.partitioner", &["default", "round-robin", "fixed"])? {
            "round-robin" => Partitioner::RoundRobin,
            "fixed" => Partitioner::Fixed,
            _ => Partitioner::Default,
        };
        Ok(SinkOptions {
            connection: Connection::read(table)?,
            topic,
            parts: Parts::read(table, &kept_out)?,
            guarantee,
            prefix: options.get("sink.transactional-id-prefix").map(str::to_string),
            partitioner,
            headers,
            timestamp,
        })
    }

    fn know(options: &Options) {
        for key in [
            "sink.partitioner",
            "sink.delivery-guarantee",
            "sink.transactional-id-prefix",
            "sink.headers-field",
            "sink.timestamp-field",
        ] {
            options.get(key);
        }
    }
}

fn expect_type(
    table: &Table,
    key: &str,
    column: Option<usize>,
    wanted: &str,
    fits: impl Fn(&DataType) -> bool,
) -> Result<()> {
    match column.map(|at| table.schema.field(at)) {
        Some(field) if !fits(field.data_type()) => {
            let (owner, name) = (table.options.owner(), field.name());
            Err(Error::user(format!("{owner}: column '{name}' of '{key}' must be a {wanted}"))
                .at(table.options.span(key)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Field;
    use pelton_engine::error::Span;

    use super::*;

    fn table(pairs: &[(&str, &str)]) -> Table {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("k_name", DataType::Utf8, true),
            Field::new("note", DataType::Utf8, true),
        ]);
        let always = [("topic", "t"), ("properties.bootstrap.servers", "localhost:1"), ("format", "json")];
        let entries = always.iter().chain(pairs).map(|(k, v)| (k.to_string(), v.to_string(), Span::default()));
        let options = Options::new("table `t`", entries);
        Table { name: "t".into(), schema: Arc::new(schema), options, primary_key: vec![] }
    }

    fn error_of(pairs: &[(&str, &str)]) -> String {
        let table = table(pairs);
        let error = SourceOptions::read(&table).err().or_else(|| SinkOptions::read(&table).err()).unwrap();
        format!("{error} | {}", error.advice().unwrap_or(""))
    }

    #[test]
    fn places_to_start_and_end() {
        let read = |pairs: &[(&str, &str)]| SourceOptions::read(&table(pairs)).unwrap();
        assert_eq!((read(&[]).start, read(&[]).end), (Position::Earliest, None));
        assert_eq!(read(&[("properties.group.id", "g")]).start, Position::Group);
        let options = read(&[
            ("scan.startup.mode", "specific-offsets"),
            ("scan.startup.specific-offsets", "partition:0,offset:42; partition:1,offset:300"),
            ("scan.bounded.mode", "timestamp"),
            ("scan.bounded.timestamp-millis", "1700000000000"),
        ]);
        assert_eq!(options.start, Position::Offsets(BTreeMap::from([(0, 42), (1, 300)])));
        assert_eq!(options.end, Some(Position::Time(1_700_000_000_000)));
    }

    #[test]
    fn mistakes_are_explained() {
        let group = [("scan.startup.mode", "group-offsets")];
        assert_eq!(
            error_of(&group),
            "table `t`: 'scan.startup.mode' = 'group-offsets' needs a group | add 'properties.group.id' = '...'"
        );
        let offsets = [("scan.startup.mode", "specific-offsets"), ("scan.startup.specific-offsets", "0:42")];
        assert!(error_of(&offsets).contains("is '0:42', wanted 'partition:0,offset:42"));
        assert!(error_of(&[("key.format", "raw")]).contains("needs the option 'key.fields'"));
        assert!(error_of(&[("key.fields", "id")]).contains("needs the option 'key.format'"));
        assert!(error_of(&[("key.format", "raw"), ("key.fields", "nam")]).contains("'key.fields' names 'nam'"));
        assert!(error_of(&[("sink.headers-field", "note")]).contains("must be a MAP<STRING, STRING>"));
        assert!(error_of(&[("topic", "a;")]).contains("wanted a topic"));
    }

    #[test]
    fn columns_of_key_and_value() {
        let pairs = [
            ("key.format", "json"),
            ("key.fields", "k_name"),
            ("key.fields-prefix", "k_"),
            ("value.fields-include", "EXCEPT_KEY"),
        ];
        let table = table(&pairs);
        let parts = SinkOptions::read(&table).unwrap().parts;
        let names = |schema: Schema| schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
        assert_eq!(names(parts.key_schema(&table.schema)), ["name"]);
        assert_eq!(names(parts.value_schema(&table.schema)), ["id", "note"]);
        assert!(table.options.reject_unknown().is_ok());
    }
}
