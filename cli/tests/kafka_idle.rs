//! Memory over a long time: a thousand topics in which nothing happens, and a busy one.

#[path = "kafka/broker.rs"]
#[allow(dead_code, reason = "another test uses the rest")]
mod broker;
mod common;

use std::process::Stdio;
use std::time::{Duration, Instant};

use broker::Broker;
use common::Place;

/// Bytes of memory that a process has of its own.
fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or("0 kB");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// With a checkpoint a second and results in transactions. `PELTON_IDLE_MINUTES` for another time; the first fifth is for
/// getting to where it stays. Memory goes up and down with batches and checkpoints: the middle of the last fifth may be a tenth (and
/// 4 MiB) above that of the second, and its greatest a quarter above all before.
#[test]
#[ignore = "30 minutes: ./x test --full"]
fn memory_is_flat() {
    let minutes = std::env::var("PELTON_IDLE_MINUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(30.0);
    let (broker, place) = (Broker::start_large(), Place::new());
    let idle: Vec<String> = (0..1000).map(|n| format!("idle-{n:03}")).collect();
    broker.topics(&idle);
    broker.topic("busy", 1);
    broker.topic("out", 1);
    let servers = broker.servers();
    let seconds = (minutes * 60.0) as u64;
    place.write(
        "make.sql",
        format!(
            "CREATE TABLE made (card BIGINT, amount DOUBLE, at TIMESTAMP_LTZ(3)) WITH ('connector' = 'datagen', 'number-of-rows' = '{}',
             'rows-per-second' = '5000', 'fields.card.min' = '0', 'fields.card.max' = '9999', 'fields.at.kind' = 'sequence', 'fields.at.step' = '1ms');
             CREATE TABLE busy WITH ('connector' = 'kafka', 'topic' = 'busy', 'properties.bootstrap.servers' = '{servers}', 'format' = 'json')
             AS SELECT * FROM made;",
            seconds * 5000
        ),
    );
    place.write(
        "q.sql",
        format!(
            "SET 'pelton.checkpoint.dir' = 'checkpoints'; SET 'pelton.checkpoint.interval' = '1s'; SET 'pelton.max-future-skew' = '100000 d';
             CREATE TABLE events (card BIGINT, amount DOUBLE, at TIMESTAMP_LTZ(3), WATERMARK FOR at AS at - INTERVAL '1' SECOND)
             WITH ('connector' = 'kafka', 'topic' = 'busy;{}', 'properties.bootstrap.servers' = '{servers}', 'format' = 'json',
              'scan.startup.mode' = 'earliest-offset', 'scan.watermark.idle-timeout' = '1s');
             CREATE TABLE sums WITH ('connector' = 'kafka', 'topic' = 'out', 'properties.bootstrap.servers' = '{servers}', 'format' = 'json')
             AS SELECT card, window_end, COUNT(*) AS n, SUM(amount) AS s FROM TUMBLE(events, at, INTERVAL '10' SECOND)
             GROUP BY card, window_start, window_end;",
            idle.join(";")
        ),
    );
    let start = |file: &str| {
        let mut command = place.command(&["run", "--json", "--threads", "2", file]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut reading = start("q.sql");
    let mut making = start("make.sql");
    let begun = Instant::now();
    let mut seen: Vec<u64> = vec![];
    while begun.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(Duration::from_secs(1));
        seen.push(resident(reading.id()));
        assert!(reading.try_wait().unwrap().is_none(), "the run has ended");
    }
    making.kill().unwrap();
    making.wait().unwrap();
    std::process::Command::new("kill").args(["-TERM", &reading.id().to_string()]).status().unwrap();
    assert!(reading.wait().unwrap().success());
    let fifth = seen.len() / 5;
    let part = |part: usize| {
        let mut seen = seen[part * fifth..(part + 1) * fifth].to_vec();
        seen.sort_unstable();
        (seen[fifth / 2] >> 20, seen[fifth - 1] >> 20)
    };
    let parts: Vec<(u64, u64)> = (0..5).map(part).collect();
    println!("resident by fifths of {minutes} minutes, in MiB: (half of the time below, most) {parts:?}");
    assert!(broker.end("out", 0) > 1000 * (seconds as i64 / 20), "results come");
    let before = parts[..4].iter().map(|(_, most)| *most).max().unwrap_or(0);
    assert!(parts[4].0 * 10 <= parts[1].0 * 11 + 40 && parts[4].1 * 4 <= before * 5, "memory grows: {parts:?} MiB");
}
