//! From Kafka to Kafka and to files, killed again and again: what a reader of committed messages sees is what a run that nobody
//! disturbs writes, row for row and partition for partition.
//!
//! Fifty kills at random moments, one of them with the broker away for a while and one with no room for checkpoints.
//! `PELTON_KILLS=500` for more. Partitions are never idle here: when one is, is a matter of the clock.

#[path = "kafka/broker.rs"]
#[allow(dead_code, reason = "another test uses the rest")]
mod broker;
mod common;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use broker::Broker;
use common::{Place, Ran};

const EVENTS: u64 = 2_000_000;

/// Fills a topic of four partitions.
fn fill(place: &Place, broker: &Broker) {
    broker.topic("pay", 4);
    let sql = format!(
        "CREATE TABLE made (id BIGINT, card BIGINT, amount DOUBLE, at TIMESTAMP(3))
         WITH ('connector' = 'datagen', 'number-of-rows' = '{EVENTS}', 'fields.id.kind' = 'sequence', 'fields.id.start' = '0',
          'fields.card.min' = '0', 'fields.card.max' = '999', 'fields.amount.min' = '0', 'fields.amount.max' = '90',
          'fields.at.kind' = 'sequence', 'fields.at.step' = '2ms', 'fields.at.max-past' = '900ms');
         CREATE TABLE pay WITH ('connector' = 'kafka', 'topic' = 'pay', 'properties.bootstrap.servers' = '{}',
          'format' = 'json', 'key.format' = 'raw', 'key.fields' = 'card') AS SELECT * FROM made;",
        broker.servers()
    );
    place.write("fill.sql", sql);
    place.pelton(&["run", "fill.sql"]).says(0, &[]);
}

/// The pipeline, whose outputs have `name` in theirs; at most so many rows a second.
fn pipeline(broker: &Broker, name: &str, rate: Option<u64>) -> String {
    let servers = broker.servers();
    let rate = rate.map_or(String::new(), |rate| format!(", 'rows-per-second' = '{rate}'"));
    let sink = |topic: &str, key: &str| {
        format!(
            "('connector' = 'kafka', 'topic' = '{topic}-{name}', 'properties.bootstrap.servers' = '{servers}', 'format' = 'json',
             'key.format' = 'raw', 'key.fields' = '{key}', 'sink.delivery-guarantee' = 'exactly-once')"
        )
    };
    format!(
        "SET 'pelton.checkpoint.dir' = 'checkpoints-{name}';
         SET 'pelton.checkpoint.interval' = '60ms';
         CREATE TABLE pay (id BIGINT, card BIGINT, amount DOUBLE, at TIMESTAMP(3), WATERMARK FOR at AS at - INTERVAL '2' SECOND)
         WITH ('connector' = 'kafka', 'topic' = 'pay', 'properties.bootstrap.servers' = '{servers}', 'format' = 'json',
          'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
          'scan.watermark.idle-timeout' = '0s', 'history.path' = 'history-{name}'{rate});
         CREATE TABLE sums WITH {} AS
         SELECT card, window_end, COUNT(*) AS n, SUM(amount) AS s FROM TUMBLE(pay, at, INTERVAL '1' MINUTE)
         GROUP BY card, window_start, window_end;
         CREATE TABLE stays WITH {} AS
         SELECT card, window_start, window_end, COUNT(*) AS n
         FROM SESSION(TABLE pay PARTITION BY card, DESCRIPTOR(at), INTERVAL '5' SECOND) GROUP BY card, window_start, window_end;
         CREATE TABLE files WITH ('connector' = 'filesystem', 'path' = 'files-{name}', 'format' = 'parquet') AS
         SELECT id, amount FROM pay WHERE card = 11;",
        sink("sums", "card"),
        sink("stays", "card"),
    )
}

/// What readers of committed messages find in the outputs.
fn seen(place: &Place, broker: &Broker, name: &str) -> Vec<String> {
    let servers = broker.servers();
    let read = |topic: &str, columns: &str| {
        format!(
            "CREATE TABLE {topic} ({columns}, part BIGINT METADATA FROM 'partition' VIRTUAL) WITH ('connector' = 'kafka',
              'topic' = '{topic}-{name}', 'properties.bootstrap.servers' = '{servers}', 'format' = 'json',
              'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset');
             CREATE TABLE {topic}_seen WITH ('connector' = 'filesystem', 'path' = 'seen-{topic}-{name}.parquet',
              'sink.mode' = 'overwrite') AS SELECT * FROM {topic};"
        )
    };
    let sums = read("sums", "card BIGINT, window_end TIMESTAMP(3), n BIGINT, s DOUBLE");
    let stays = read("stays", "card BIGINT, window_start TIMESTAMP(3), window_end TIMESTAMP(3), n BIGINT");
    place.write("seen.sql", format!("{sums}{stays}"));
    place.pelton(&["run", "seen.sql"]).says(0, &[]);
    let mut rows = vec![];
    for topic in ["sums", "stays"] {
        let of_topic = place.rows(&format!("seen-{topic}-{name}.parquet"));
        rows.extend(of_topic.into_iter().map(|row| format!("{topic} {row}")));
    }
    for file in place.files(&[]).iter().filter(|file| file.starts_with(&format!("files-{name}/"))) {
        assert!(!file.contains("/."), "{file} is left");
        rows.extend(place.rows(file).into_iter().map(|row| format!("files {row}")));
    }
    rows.sort();
    rows
}

fn said(ran: &Ran) -> String {
    let json = ran.json();
    format!("{} {} {} {}", json["digests"], json["rows_in"], json["rows_out"], json["late"])
}

fn start(place: &Place, limit: Option<u32>) -> Child {
    let mut command = place.command(&["run", "--json", "stormy.sql"]);
    if let Some(blocks) = limit {
        let program = command.get_program().to_os_string();
        command = Command::new("bash");
        command.args(["-c", &format!("ulimit -f {blocks}; exec \"$0\" run --json stormy.sql")]).arg(program);
        command.current_dir(place.0.path()).stdin(Stdio::null());
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn killed_again_and_again_and_nothing_is_lost_or_repeated() {
    let kills: u32 = std::env::var("PELTON_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let (place, broker) = (Place::new(), Broker::start());
    fill(&place, &broker);
    for topic in ["sums", "stays"] {
        broker.topic(&format!("{topic}-calm"), 3);
        broker.topic(&format!("{topic}-stormy"), 3);
    }
    place.write("calm.sql", pipeline(&broker, "calm", None));
    let calm = place.pelton(&["run", "--json", "calm.sql"]);
    calm.says(0, &[]);
    let want = seen(&place, &broker, "calm");
    assert!(want.len() > 60_000, "{}", want.len());
    // About as long as the kills take.
    place.write("stormy.sql", pipeline(&broker, "stormy", Some(EVENTS / u64::from(kills) * 5 / 2)));
    let (mut dice, begun) = (4711_u64, Instant::now());
    for kill in 0..kills {
        dice = dice.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        // No file may grow beyond a few hundred KiB, which is as good as a full disk for state and history.
        let limit = (kill == kills / 2).then_some(100);
        let mut child = start(&place, limit);
        std::thread::sleep(Duration::from_millis(200 + (dice >> 33) % 700));
        if kill == kills / 3 {
            broker.down();
            std::thread::sleep(Duration::from_millis(300));
            broker.up();
            std::thread::sleep(Duration::from_millis(1500));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let storm = begun.elapsed();
    place.write("stormy.sql", pipeline(&broker, "stormy", None));
    let epochs = place.pelton(&["checkpoints", "ls", "--json", "checkpoints-stormy"]).json();
    let last = place.pelton(&["run", "--json", "stormy.sql"]);
    last.says(0, &[]);
    assert_eq!(said(&last), said(&calm));
    let got = seen(&place, &broker, "stormy");
    assert_eq!(got.len(), want.len(), "as many rows");
    assert!(got == want, "the same rows");
    place.pelton(&["verify", "stormy.sql"]).says(0, &[]);
    println!("{kills} kills in {storm:?}; before the last run: {epochs}");
}

#[test]
fn the_example_goes_on_after_a_kill() {
    let (place, broker) = (Place::new(), Broker::start());
    broker.topic("payments", 4);
    broker.topic("alerts", 2);
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/fraud/kafka/");
    for name in ["payments.sql", "alerts.sql", "show.sql"] {
        let text = std::fs::read_to_string(format!("{example}{name}")).unwrap();
        let text = text.replace("localhost:9092", &broker.servers()).replace("'20000'", "'60000'");
        place.write(name, text);
    }
    place.pelton(&["run", "payments.sql"]).says(0, &["100,000 rows in"]);
    let start = || place.command(&["run", "alerts.sql"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..2 {
        let mut child = start();
        std::thread::sleep(Duration::from_millis(900));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut child = start();
    std::thread::sleep(Duration::from_millis(2500));
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(child.wait().unwrap().success());
    place.pelton(&["verify", "alerts.sql"]).says(0, &[]);
    let shown = place.pelton(&["run", "show.sql"]);
    shown.says(0, &[]);
    assert!(shown.out.contains("| window_end "), "{}", shown.out);
}
