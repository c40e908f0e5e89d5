//! Kafka, with a real broker: `./x setup` fetches it, the tests start it by `./x kafka`.

#[path = "kafka/broker.rs"]
#[allow(dead_code, reason = "another test uses the rest")]
mod broker;
mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Int64Array, MapBuilder, RecordBatch, StringArray, StringBuilder, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use broker::{Broker, PATIENCE, Sent, broker};
use common::Place;
use pelton_engine::connector::{
    Committed, Connector, Next, Options, PartitionReader, ReadRequest, Sink, Source, Staged, Table,
};
use pelton_engine::error::{Error, Result, Span};
use rdkafka::producer::Producer;

fn kafka() -> Arc<dyn Connector> {
    pelton_io::registry().of(&options([("connector", "kafka")])).unwrap().clone()
}

fn options<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Options {
    Options::new("table `t`", pairs.into_iter().map(|(k, v)| (k.to_string(), v.to_string(), Span::default())))
}

fn columns() -> Schema {
    Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("name", DataType::Utf8, true)])
}

/// A table over a topic, JSON unless it says otherwise.
fn table_with(broker: &Broker, schema: Schema, topic: &str, pairs: &[(&str, &str)]) -> Table {
    let servers = broker.servers();
    let mut all = BTreeMap::from([("topic", topic), ("format", "json"), ("properties.bootstrap.servers", &servers)]);
    all.extend(pairs.iter().copied());
    Table { name: "t".into(), schema: Arc::new(schema), options: options(all), primary_key: vec![] }
}

fn table(topic: &str, pairs: &[(&str, &str)]) -> Table {
    table_with(broker(), columns(), topic, pairs)
}

/// A table that ends where its topic ends now.
fn bounded(topic: &str, pairs: &[(&str, &str)]) -> Table {
    table(topic, &[&[("scan.bounded.mode", "latest-offset")], pairs].concat())
}

fn request(table: &Table, metadata: &[&str]) -> ReadRequest {
    ReadRequest {
        columns: (0..table.schema.fields().len()).collect(),
        metadata: metadata.iter().map(|key| key.to_string()).collect(),
        batch_rows: 1024,
        ..Default::default()
    }
}

/// Readers, with the offsets that they have come to.
struct Reading {
    source: Box<dyn Source>,
    readers: Vec<Box<dyn PartitionReader>>,
    offsets: Vec<u64>,
    ended: Vec<bool>,
    /// `topic-0@5: a|b`, or `topic-0@5! reason`.
    got: Vec<String>,
}

impl Reading {
    fn open(table: &Table, metadata: &[&str]) -> Result<Reading> {
        Reading::of(table, &request(table, metadata))
    }

    fn of(table: &Table, request: &ReadRequest) -> Result<Reading> {
        let mut source = kafka().source(table, request)?;
        let readers = source.partitions()?;
        let mut reading = Reading { source, readers: vec![], offsets: vec![], ended: vec![], got: vec![] };
        reading.add(readers)?;
        Ok(reading)
    }

    fn add(&mut self, readers: Vec<Box<dyn PartitionReader>>) -> Result<()> {
        for mut reader in readers {
            self.offsets.push(reader.start()?);
            self.ended.push(false);
            self.readers.push(reader);
        }
        Ok(())
    }

    /// Asks every reader once. True if something came.
    fn step(&mut self) -> Result<bool> {
        let mut some = false;
        for (at, reader) in self.readers.iter_mut().enumerate() {
            if self.ended[at] {
                continue;
            }
            let begun = Instant::now();
            let next = reader.next()?;
            assert!(begun.elapsed() < Duration::from_secs(1), "a reader that waits");
            let chunk = match next {
                Next::Pending(_) => continue,
                Next::End => {
                    self.ended[at] = true;
                    continue;
                }
                Next::Chunk(chunk) => chunk,
            };
            some = true;
            let (decoded, base) = (chunk.decode(), self.offsets[at]);
            assert!(decoded.broken.is_none(), "{:?}", decoded.broken);
            self.offsets[at] += decoded.records;
            let (name, mut found, mut follows) = (reader.name().unwrap(), vec![], 0);
            for batch in decoded.batches {
                let rows = batch.batch.num_rows();
                let records = batch.records.unwrap_or_else(|| (follows..follows + rows as u32).collect());
                follows = records.last().map_or(follows, |last| last + 1);
                let metadata = decoded.metadata_rows.iter().map(|(_, values)| values.clone());
                let columns: Vec<_> = batch.batch.columns().iter().cloned().chain(metadata).collect();
                let options = FormatOptions::default().with_null("NULL");
                let shown: Vec<_> = columns.iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
                for (row, record) in records.iter().enumerate() {
                    let row: Vec<String> = shown.iter().map(|c| c.value(row).to_string()).collect();
                    found.push((*record, format!("{name}@{}: {}", base + u64::from(*record), row.join("|"))));
                }
            }
            for bad in decoded.bad {
                let bytes = String::from_utf8_lossy(&bad.bytes).into_owned();
                let offset = base + u64::from(bad.record);
                found.push((bad.record, format!("{name}@{offset}! {} ({bytes})", bad.reason)));
            }
            found.sort();
            assert!(found.iter().all(|(record, _)| u64::from(*record) < decoded.records));
            self.got.extend(found.into_iter().map(|(_, text)| text));
        }
        Ok(some)
    }

    /// Reads until there are so many rows and bad records.
    fn until(&mut self, count: usize) -> &[String] {
        let begun = Instant::now();
        while self.got.len() < count {
            assert!(begun.elapsed() < PATIENCE, "{} of {count}: {:?}", self.got.len(), self.got);
            if !self.step().unwrap() {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        &self.got
    }

    /// Reads to the end.
    fn all(mut self) -> Vec<String> {
        let begun = Instant::now();
        while self.ended.iter().any(|ended| !ended) {
            assert!(begun.elapsed() < PATIENCE, "no end after {:?} at {:?}", self.got, self.offsets);
            if !self.step().unwrap() {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        self.got.sort();
        self.got
    }
}

/// Rows of a bounded table.
fn read(table: &Table) -> Vec<String> {
    Reading::open(table, &[]).unwrap().all()
}

fn rows(ids: impl IntoIterator<Item = i64>) -> RecordBatch {
    let ids: Vec<i64> = ids.into_iter().collect();
    let names = StringArray::from_iter_values(ids.iter().map(|id| format!("n{id}")));
    RecordBatch::try_new(Arc::new(columns()), vec![Arc::new(Int64Array::from(ids)), Arc::new(names)]).unwrap()
}

fn sink(table: &Table) -> Box<dyn Sink> {
    kafka().sink(table).unwrap()
}

/// An exactly-once sink of a pipeline, and the epoch that readers have.
fn epoch_sink(table: &Table, pipeline: &str) -> (Box<dyn Sink>, u64) {
    let mut sink = kafka().epoch_sink(table).unwrap();
    let Committed::Until(epoch) = sink.committed(pipeline).unwrap() else { panic!("marks are in Kafka") };
    sink.restore((epoch > 0).then_some((epoch, ""))).unwrap();
    (sink, epoch)
}

fn publish(mut staged: Box<dyn Staged>) {
    staged.stage().unwrap();
    staged.publish().unwrap();
}

#[track_caller]
fn error_of<T>(result: Result<T>) -> Error {
    result.err().expect("an error")
}

fn ids(got: &[String]) -> Vec<i64> {
    let id = |row: &String| row.split_once(": ").and_then(|(_, row)| row.split('|').next()?.parse().ok());
    let mut ids: Vec<i64> = got.iter().filter_map(id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn json_out_and_in_by_sql() {
    broker().topic("sql", 2);
    let place = Place::new();
    place.write("in.json", (0..1000).map(|i| format!("{{\"id\": {i}, \"name\": \"n{i}\"}}\n")).collect::<String>());
    let servers = broker().servers();
    let kafka = format!(
        "'connector' = 'kafka', 'topic' = 'sql', 'properties.bootstrap.servers' = '{servers}', 'format' = 'json'"
    );
    let ran = place.sql(&format!(
        "CREATE TABLE input (id BIGINT, name STRING) WITH ('connector' = 'filesystem', 'path' = 'in.json');
         CREATE TABLE output (id BIGINT, name STRING) WITH ({kafka}, 'key.format' = 'raw', 'key.fields' = 'name');
         INSERT INTO output SELECT * FROM input;"
    ));
    ran.says(0, &[]);
    broker().send("sql", 0, ["{\"id\": 1000, \"name\": ", "{\"id\": 1001, \"name\": \"good\"}"]);
    let ran = place.sql(&format!(
        "CREATE TABLE input (
             id BIGINT, name STRING, k STRING METADATA FROM 'key', p BIGINT METADATA FROM 'partition',
             topic STRING METADATA, at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
             h MAP<STRING, STRING> METADATA FROM 'headers'
         ) WITH ({kafka}, 'scan.bounded.mode' = 'latest-offset');
         CREATE TABLE output WITH ('connector' = 'filesystem', 'path' = 'out.parquet')
         AS SELECT id, name, k, topic, p IN (0, 1) AS placed, at > TIMESTAMP '2020-01-01 00:00:00' AS fresh FROM input;"
    ));
    ran.says(0, &[]);
    assert_eq!(ran.json()["dead_letters"], 1, "{}", ran.out);
    let rows = place.rows("out.parquet");
    assert_eq!(rows.len(), 1001);
    assert!(rows.contains(&"1001|good|NULL|sql|true|true".to_string()), "{:?}", &rows[..3]);
    assert!(rows.contains(&"7|n7|n7|sql|true|true".to_string()));
    let letters = place.pelton(&["dead-letters", "show", "letters"]);
    assert!(letters.out.contains("{\\\"id\\\": 1000") || letters.out.contains("{\"id\": 1000"), "{}", letters.out);
}

#[test]
fn every_place_to_start_and_to_end() {
    let broker = broker();
    broker.topic("places", 2);
    for partition in 0..2 {
        let message = |id: i64| (id, format!("{{\"id\": {id}}}"));
        let messages: Vec<_> = (0..6).map(|i| message(i64::from(partition) * 10 + i)).collect();
        let sent = messages.iter().map(|(id, value)| Sent {
            value: Some(value),
            time: Some(1_700_000_000_000 + id % 10 * 1000),
            ..Sent::default()
        });
        broker.send_all("places", partition, sent);
    }
    let check =
        |pairs: &[(&str, &str)], want: &[i64]| assert_eq!(ids(&read(&bounded("places", pairs))), want, "{pairs:?}");
    check(&[], &[0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]);
    check(&[("scan.startup.mode", "latest-offset")], &[]);
    check(&[("scan.startup.mode", "timestamp"), ("scan.startup.timestamp-millis", "1700000003500")], &[4, 5, 14, 15]);
    check(&[("scan.startup.mode", "timestamp"), ("scan.startup.timestamp-millis", "1800000000000")], &[]);
    let offsets = ("scan.startup.specific-offsets", "partition:0,offset:5;partition:1,offset:4");
    check(&[("scan.startup.mode", "specific-offsets"), offsets], &[5, 14, 15]);
    let ends = [("scan.bounded.mode", "timestamp"), ("scan.bounded.timestamp-millis", "1700000002000")];
    check(&ends, &[0, 1, 10, 11]);
    let ends = ("scan.bounded.specific-offsets", "partition:0,offset:1;partition:1,offset:2");
    check(&[("scan.bounded.mode", "specific-offsets"), ends], &[0, 10, 11]);
    // Groups: nothing committed, then what a checkpoint told.
    let group = [("properties.group.id", "places")];
    let mut reading = Reading::open(&bounded("places", &group), &[]).unwrap();
    reading.until(12);
    assert_eq!(broker.committed("places", "places", 0), None);
    reading.source.completed(&[(Some("places-1".into()), 6), (Some("places-0".into()), 2)]);
    let begun = Instant::now();
    while broker.committed("places", "places", 1) != Some(6) {
        assert!(begun.elapsed() < PATIENCE);
    }
    check(&group, &[2, 3, 4, 5]);
    let ends = [
        ("properties.group.id", "places"),
        ("scan.startup.mode", "earliest-offset"),
        ("scan.bounded.mode", "group-offsets"),
    ];
    check(&ends, &[0, 1, 10, 11, 12, 13, 14, 15]);
    let none = [("properties.group.id", "nobody"), ("properties.auto.offset.reset", "none")];
    let error = error_of(Reading::open(&bounded("places", &none), &[]));
    assert!(error.to_string().contains("group 'nobody' has committed no offset of partition"), "{error}");
    // Offsets beyond what is there.
    let far = [("scan.startup.mode", "specific-offsets"), ("scan.startup.specific-offsets", "partition:1,offset:7")];
    let error = error_of(Reading::open(&table("places", &far), &[]));
    assert!(
        error.to_string().contains("there is no offset 7 in partition 1 of topic 'places': it ends at 6"),
        "{error}"
    );
    let unknown =
        [("scan.startup.mode", "specific-offsets"), ("scan.startup.specific-offsets", "partition:2,offset:0")];
    assert!(error_of(Reading::open(&table("places", &unknown), &[])).to_string().contains("names partition 2"));
    let error = error_of(Reading::open(&table("place", &[]), &[]));
    assert!(error.to_string().contains("there is no topic 'place' at"), "{error}");
}

#[test]
fn reading_goes_on_from_an_offset_that_is_there() {
    let broker = broker();
    broker.topic("seek", 1);
    broker.send("seek", 0, (0..10).map(|_| "{\"id\": 1}"));
    broker.delete_before("seek", 0, 4);
    let mut source = kafka().source(&bounded("seek", &[]), &request(&bounded("seek", &[]), &[])).unwrap();
    let mut reader = source.partitions().unwrap().remove(0);
    assert_eq!((reader.start().unwrap(), reader.name().unwrap().as_str()), (4, "seek-0"));
    let error = error_of(reader.seek(3));
    assert!(
        error.to_string().contains("offset 3 of partition 0 of topic 'seek' is gone: it begins at 4 now"),
        "{error}"
    );
    let error = error_of(reader.seek(11));
    assert!(error.to_string().contains("it ends at 10"), "{error}");
    let mut reading = Reading::open(&bounded("seek", &[]), &[]).unwrap();
    reading.readers[0].seek(8).unwrap();
    reading.offsets[0] = 8;
    assert_eq!(reading.all(), ["seek-0@8: 1|NULL", "seek-0@9: 1|NULL"]);
}

#[test]
fn ends_behind_marks_of_transactions() {
    let broker = broker();
    broker.topic("marks", 1);
    broker.send("marks", 0, ["{\"id\": 0}"]);
    let committed = broker.open_transaction("marks-a", "marks", 0, &["{\"id\": 1}", "{\"id\": 2}"]);
    committed.commit_transaction(PATIENCE).unwrap();
    let aborted = broker.open_transaction("marks-b", "marks", 0, &["{\"id\": 3}", "{\"id\": 4}"]);
    aborted.abort_transaction(PATIENCE).unwrap();
    let begun = Instant::now();
    while broker.end("marks", 0) != 7 {
        assert!(begun.elapsed() < PATIENCE, "{}", broker.end("marks", 0));
    }
    let mut reading = Reading::open(&bounded("marks", &[]), &[]).unwrap();
    while !reading.ended[0] {
        reading.step().unwrap();
    }
    assert_eq!(reading.got, ["marks-0@0: 0|NULL", "marks-0@1: 1|NULL", "marks-0@2: 2|NULL"]);
    assert_eq!(reading.offsets, [7], "marks and what was thrown away are passed over");
    // An endless table comes to the same offset without another message.
    let mut reading = Reading::open(&table("marks", &[]), &[]).unwrap();
    let begun = Instant::now();
    while reading.offsets != [7] {
        assert!(begun.elapsed() < PATIENCE, "{:?}", reading.offsets);
        reading.step().unwrap();
    }
    // What is not committed yet is not waited for.
    let open = broker.open_transaction("marks-c", "marks", 0, &["{\"id\": 5}"]);
    assert_eq!(ids(&read(&bounded("marks", &[]))), [0, 1, 2]);
    let all = [("properties.isolation.level", "read_uncommitted")];
    assert_eq!(ids(&read(&bounded("marks", &all))), [0, 1, 2, 3, 4, 5]);
    open.abort_transaction(PATIENCE).unwrap();
}

#[test]
fn key_headers_and_times() {
    let broker = broker();
    broker.topic("meta", 1);
    let headers = [("a", "1"), ("b", "2"), ("a", "3")];
    let full = Sent { key: Some("k"), value: Some("{\"id\": 1}"), time: Some(1_700_000_000_000), headers: &headers };
    broker.send_all(
        "meta",
        0,
        [full, Sent { value: Some("no"), ..full }, Sent { value: Some("{}"), ..Sent::default() }],
    );
    let keys = ["topic", "timestamp", "timestamp-type", "headers", "key", "leader-epoch"];
    let got = Reading::open(&bounded("meta", &[]), &keys).unwrap().all();
    assert_eq!(got[0], "meta-0@0: 1|NULL|meta|2023-11-14T22:13:20Z|CreateTime|{b: 32, a: 33}|6b|0");
    assert!(got[1].starts_with("meta-0@1! no JSON"), "{got:?}");
    assert!(got[2].starts_with("meta-0@2: NULL|NULL|meta|") && got[2].ends_with("|CreateTime|{}|NULL|0"), "{got:?}");
}

#[test]
fn tombstones_and_keys_with_columns() {
    let broker = broker();
    broker.topic("keys", 1);
    let sent = |key, value| Sent { key, value, ..Sent::default() };
    broker.send_all(
        "keys",
        0,
        [
            sent(Some("1"), Some("{\"name\": \"a\"}")),
            sent(Some("2"), None),
            sent(None, Some("{\"name\": \"c\"}")),
            sent(Some("x"), Some("{\"name\": \"d\"}")),
            sent(Some("5"), Some("{\"name\": ")),
            sent(Some("6"), Some("{\"name\": \"f\"}")),
        ],
    );
    let key = [("key.format", "csv"), ("key.fields", "id"), ("value.fields-include", "EXCEPT_KEY")];
    let read_with = |more: &[(&str, &str)]| read(&bounded("keys", &[&key, more].concat()));
    let torn = "keys-0@4! no JSON: the object is not closed ({\"name\": )";
    let wrong = "keys-0@3! key: column 'id': 'x' is no BIGINT (x)";
    assert_eq!(
        read_with(&[]),
        [
            "keys-0@0: 1|a",
            "keys-0@1! a tombstone: the message has no value ()",
            "keys-0@2: NULL|c",
            wrong,
            torn,
            "keys-0@5: 6|f",
        ]
    );
    assert_eq!(
        read_with(&[("value.tombstones", "skip")]),
        ["keys-0@0: 1|a", "keys-0@2: NULL|c", wrong, torn, "keys-0@5: 6|f"]
    );
    assert_eq!(
        read_with(&[("value.tombstones", "null")]),
        ["keys-0@0: 1|a", "keys-0@1: 2|NULL", "keys-0@2: NULL|c", wrong, torn, "keys-0@5: 6|f"]
    );
    // Where only the key is looked at, nothing is wrong with a value.
    let table = bounded("keys", &key);
    let only_key = ReadRequest { columns: vec![0], ..request(&table, &[]) };
    let got = Reading::of(&table, &only_key).unwrap().all();
    assert_eq!(got[1], "keys-0@1: 2");
    assert_eq!(got[4], "keys-0@4: 5");
    // Raw: a tombstone is NULL.
    let name = Schema::new(vec![Field::new("name", DataType::Utf8, true)]);
    let raw = [("format", "raw"), ("scan.bounded.mode", "latest-offset")];
    let got = read(&table_with(broker, name, "keys", &raw));
    assert_eq!(got[..2], ["keys-0@0: {\"name\": \"a\"}", "keys-0@1: NULL"]);
}

#[test]
fn a_new_partition_is_found_and_read_from_its_beginning() {
    let broker = broker();
    broker.topic("grows", 1);
    broker.send("grows", 0, ["{\"id\": 1}"]);
    let every = [("scan.topic-partition-discovery.interval", "200ms"), ("scan.startup.mode", "latest-offset")];
    let mut reading = Reading::open(&table("grows", &every), &[]).unwrap();
    reading.step().unwrap();
    broker.add_partitions("grows", 2);
    broker.send("grows", 1, ["{\"id\": 2}"]);
    let begun = Instant::now();
    while reading.readers.len() < 2 {
        assert!(begun.elapsed() < PATIENCE);
        let asked = Instant::now();
        let new = reading.source.discover().unwrap();
        assert!(asked.elapsed() < Duration::from_millis(50));
        reading.add(new).unwrap();
    }
    assert_eq!(reading.until(1), ["grows-1@0: 2|NULL"]);
}

#[test]
fn a_broker_that_is_away_is_waited_for() {
    let broker = Broker::start();
    broker.topic("away", 1);
    let mut output = sink(&table_with(&broker, columns(), "away", &[("format", "csv")]));
    let mut reading = Reading::open(&table_with(&broker, columns(), "away", &[("format", "csv")]), &[]).unwrap();
    output.write(&rows(0..100)).unwrap();
    output.commit().unwrap();
    reading.until(100);
    broker.down();
    output.write(&rows(100..200)).unwrap();
    for _ in 0..50 {
        reading.step().unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
    broker.up();
    output.commit().unwrap();
    reading.until(200);
    assert_eq!(ids(&reading.got), (0..200).collect::<Vec<_>>());
}

#[test]
fn by_tls_and_with_a_password() {
    let keys = tempfile::tempdir().unwrap();
    let file = |name: &str| keys.path().join(name).display().to_string();
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", &file("key.pem"), "-out", &file("cert.pem")])
        .output();
    assert!(made.unwrap().status.success(), "openssl makes a key");
    let both = ["key.pem", "cert.pem"].map(|name| std::fs::read_to_string(file(name)).unwrap());
    std::fs::write(file("both.pem"), both.concat()).unwrap();
    let secure = broker::free_ports();
    let broker = Broker::start_with(|port| {
        let listeners = format!("PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secure}");
        format!(
            "listeners={listeners},CONTROLLER://127.0.0.1:{}\nadvertised.listeners={listeners}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL\n\
             sasl.enabled.mechanisms=PLAIN\nlistener.name.secure.sasl.enabled.mechanisms=PLAIN\n\
             listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_ann=\"open sesame\";\n\
             listener.name.secure.ssl.keystore.type=PEM\nlistener.name.secure.ssl.keystore.location={}\n",
            port + 1,
            file("both.pem")
        )
    });
    broker.topic("secret", 1);
    let servers = format!("127.0.0.1:{secure}");
    let ca = file("cert.pem");
    let of = |password: &str, ca: Option<&str>| {
        let mut pairs = vec![
            ("properties.bootstrap.servers", servers.as_str()),
            ("properties.security.protocol", "sasl_ssl"),
            ("properties.sasl.mechanism", "PLAIN"),
            ("properties.sasl.username", "ann"),
            ("properties.sasl.password", password),
            ("connect.timeout", "4s"),
            ("scan.bounded.mode", "latest-offset"),
        ];
        pairs.extend(ca.map(|ca| ("properties.ssl.ca.location", ca)));
        table_with(&broker, columns(), "secret", &pairs)
    };
    let right = of("open sesame", Some(&ca));
    let mut output = sink(&right);
    output.write(&rows(0..10)).unwrap();
    output.commit().unwrap();
    assert_eq!(ids(&read(&right)), (0..10).collect::<Vec<_>>());
    for (wrong, why) in
        [(of("let me in", Some(&ca)), "Authentication failed"), (of("open sesame", None), "certificate verify failed")]
    {
        let error = error_of(Reading::open(&wrong, &[]));
        let all = format!("{error} {:?}", error.advice());
        assert!(all.contains(why), "{all}");
        assert!(!all.contains("let me in") && !all.contains("sesame"), "{all}");
        assert_eq!(error.exit_code(), 1);
        assert!(error_of(kafka().sink(&wrong)).to_string().contains(why));
    }
}

#[test]
fn nobody_there_at_the_start() {
    let servers = ("properties.bootstrap.servers", "127.0.0.1:9");
    let schema = Arc::new(columns());
    let pairs = [("topic", "t"), ("format", "json"), servers, ("connect.timeout", "1s")];
    let table = Table { name: "t".into(), schema, options: options(pairs), primary_key: vec![] };
    for guarantee in [None, Some(false), Some(true)] {
        let begun = Instant::now();
        let error = match guarantee {
            None => error_of(kafka().source(&table, &request(&table, &[]))),
            Some(false) => error_of(kafka().sink(&table)),
            Some(true) => error_of(kafka().epoch_sink(&table)),
        };
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        let text = error.to_string();
        assert!(text.starts_with("table `t`: no Kafka broker answered at '127.0.0.1:9' within 1 s: "), "{text}");
        assert!(text.contains("refused"), "{text}");
        assert_eq!(error.exit_code(), 1);
        assert!(error.advice().unwrap().contains("'connect.timeout'"));
    }
    // Looking at a text asks nobody.
    kafka().check(&table, true).unwrap();
    kafka().check(&table, false).unwrap();
}

#[test]
fn properties_that_nobody_knows() {
    let wrong = table("t", &[("properties.sasl.jaas.config", "x")]);
    let error = error_of(kafka().source(&wrong, &request(&wrong, &[])));
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("option 'properties.sasl.jaas.config'"), "{error}");
    assert!(error.advice().unwrap().contains("'properties.sasl.password'"));
    let wrong = table("t", &[("properties.ssl.key.pem", "secret"), ("properties.security.protocol", "ssl")]);
    let error = error_of(kafka().source(&wrong, &request(&wrong, &[])));
    assert!(!format!("{error}{:?}", error.advice()).contains("secret"), "{error}");
}

#[test]
fn compression_keys_and_partitions() {
    let broker = broker();
    broker.topic("parts", 4);
    let key = [("key.format", "raw"), ("key.fields", "name")];
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let mut output = sink(&table("parts", &[&key[..], &[("properties.compression.type", codec)]].concat()));
        output.write(&rows(0..50)).unwrap();
        output.commit().unwrap();
    }
    let got = Reading::open(&bounded("parts", &[]), &["key"]).unwrap().all();
    assert_eq!(got.len(), 200);
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in &got {
        let (place, row) = row.split_once('@').unwrap();
        places.entry(row.split_once(": ").unwrap().1).or_default().push(place);
    }
    assert_eq!(places.len(), 50);
    assert!(places.values().all(|at| at.len() == 4 && at.iter().all(|p| *p == at[0])), "{places:?}");
    let hex = |text: &str| text.bytes().map(|b| format!("{b:02x}")).collect::<String>();
    assert!(places.contains_key(format!("7|n7|{}", hex("n7")).as_str()));
    // Where Kafka's own clients put the key: murmur2("n7") & 0x7fffffff, modulo 4.
    broker.topic("turns", 4);
    let mut output = sink(&table("turns", &[("sink.partitioner", "round-robin")]));
    output.write(&rows(0..8)).unwrap();
    output.commit().unwrap();
    assert!((0..4).all(|partition| broker.end("turns", partition) == 2));
    let mut output = sink(&table("turns", &[("sink.partitioner", "fixed")]));
    output.write(&rows(0..8)).unwrap();
    output.commit().unwrap();
    assert_eq!(broker.end("turns", 0), 10);
}

#[test]
fn headers_and_times_are_written() {
    broker().topic("heads", 1);
    let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    maps.keys().append_value("trace");
    maps.values().append_value("7");
    maps.append(true).unwrap();
    let maps = maps.finish();
    let times = TimestampMillisecondArray::from(vec![1_700_000_000_000]).with_timezone("UTC");
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("h", arrow::array::Array::data_type(&maps).clone(), true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
    ]);
    let rows = RecordBatch::try_new(
        Arc::new(schema.clone()),
        vec![Arc::new(Int64Array::from(vec![1])), Arc::new(maps), Arc::new(times)],
    );
    let pairs = [("sink.headers-field", "h"), ("sink.timestamp-field", "at")];
    let mut output = sink(&table_with(broker(), schema, "heads", &pairs));
    output.write(&rows.unwrap()).unwrap();
    output.commit().unwrap();
    let raw = [("format", "raw"), ("scan.bounded.mode", "latest-offset")];
    let value = Schema::new(vec![Field::new("value", DataType::Utf8, true)]);
    let table = table_with(broker(), value, "heads", &raw);
    let got = Reading::open(&table, &["headers", "timestamp"]).unwrap().all();
    assert_eq!(got, ["heads-0@0: {\"id\":1}|{trace: 37}|2023-11-14T22:13:20Z"]);
}

/// A topic comes to hold the ids below `want`, each once. A commit is known before its marks are in all partitions.
#[track_caller]
fn sees(topic: &str, want: i64) {
    let begun = Instant::now();
    loop {
        let got = ids(&read(&bounded(topic, &[])));
        if got == (0..want).collect::<Vec<_>>() {
            return;
        }
        assert!(got.len() < want as usize && begun.elapsed() < PATIENCE, "{got:?}");
    }
}

#[test]
fn each_epoch_is_seen_once() {
    let broker = broker();
    broker.topic("once", 2);
    broker.topic("once-too", 1);
    let seen = |want: i64| sees("once", want);
    let (mut output, epoch) = epoch_sink(&table("once", &[]), "p");
    assert_eq!(epoch, 0);
    let (mut other, _) = epoch_sink(&table("once-too", &[]), "p");
    output.write(&rows(0..10)).unwrap();
    other.write(&rows(0..1)).unwrap();
    let (mut first, mut also) = (output.seal(1).unwrap(), other.seal(1).unwrap());
    // While one is committed, the rows of the next are on their way.
    output.write(&rows(10..20)).unwrap();
    first.stage().unwrap();
    also.stage().unwrap();
    seen(0);
    first.publish().unwrap();
    also.publish().unwrap();
    also.publish().unwrap();
    seen(10);
    sees("once-too", 1);
    let second = (output.seal(2).unwrap(), other.seal(2).unwrap());
    publish(second.0);
    publish(second.1);
    seen(20);
    // An epoch without rows moves the mark.
    publish(output.seal(3).unwrap());
    for topic in ["once", "once-too"] {
        let begun = Instant::now();
        while broker.committed("p", topic, 0) != Some(3) {
            assert!(begun.elapsed() < PATIENCE);
        }
    }
    // Dropped between the steps: never seen.
    output.write(&rows(20..30)).unwrap();
    let mut staged = output.seal(4).unwrap();
    staged.stage().unwrap();
    drop(staged);
    seen(20);
    drop((output, other));
    let (mut output, epoch) = epoch_sink(&table("once", &[]), "p");
    assert_eq!(epoch, 3);
    output.write(&rows(20..30)).unwrap();
    publish(output.seal(4).unwrap());
    seen(30);
    // Given up with rows on their way.
    output.write(&rows(90..99)).unwrap();
    output.abort();
    drop(output);
    seen(30);
}

#[test]
fn what_a_killed_process_left_open_is_thrown_away() {
    let broker = broker();
    broker.topic("killed", 1);
    let (mut output, _) = epoch_sink(&table("killed", &[]), "k");
    output.write(&rows(0..2)).unwrap();
    publish(output.seal(1).unwrap());
    drop(output);
    // As a killed process would leave it: the rows are with the broker, the transaction is open.
    let killed = broker.open_transaction("k-1", "killed", 0, &["{\"id\": 66}"]);
    let (mut output, epoch) = epoch_sink(&table("killed", &[]), "k");
    assert_eq!(epoch, 1);
    output.write(&rows(2..4)).unwrap();
    publish(output.seal(2).unwrap());
    sees("killed", 4);
    assert!(killed.commit_transaction(PATIENCE).is_err(), "it is shut out");
    // A run that has been taken over says so.
    drop(broker.open_transaction("k-0", "killed", 0, &[]));
    drop(broker.open_transaction("k-1", "killed", 0, &[]));
    output.write(&rows(4..5)).unwrap();
    let mut staged = output.seal(3).unwrap();
    let error = error_of(staged.stage().and_then(|_| staged.publish()));
    assert!(!error.to_string().is_empty());
    drop(staged);
    sees("killed", 4);
}

#[test]
fn guarantees() {
    let broker = broker();
    broker.topic("least", 1);
    let once = table("least", &[("sink.delivery-guarantee", "exactly-once")]);
    let error = error_of(kafka().sink(&once));
    assert!(error.advice().unwrap().contains("'pelton.checkpoint.dir'"), "{error}");
    let mut output = kafka().epoch_sink(&table("least", &[("sink.delivery-guarantee", "at-least-once")])).unwrap();
    assert_eq!(output.committed("p").unwrap(), Committed::FromToken);
    output.restore(None).unwrap();
    output.write(&rows(0..5)).unwrap();
    let mut staged = output.seal(1).unwrap();
    output.write(&rows(5..6)).unwrap();
    staged.stage().unwrap();
    assert!(broker.end("least", 0) >= 5);
    staged.publish().unwrap();
    publish(output.seal(2).unwrap());
    assert_eq!(ids(&read(&bounded("least", &[]))), (0..6).collect::<Vec<_>>());
}

#[test]
fn many_partitions_without_a_row_cost_little() {
    let broker = broker();
    broker.topic("idle", 200);
    broker.send("idle", 77, ["{\"id\": 1}"]);
    let mut reading = Reading::open(&table("idle", &[]), &[]).unwrap();
    assert_eq!(reading.until(1), ["idle-77@0: 1|NULL"]);
    assert_eq!(read(&bounded("idle", &[])).len(), 1);
}
