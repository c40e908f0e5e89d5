//! A broker of its own for this test, and what the tests do to topics without Pelton.

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tempfile::TempDir;

/// How long brokers may take for what tests ask of them.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running broker; it stops when this is dropped.
pub struct Broker {
    dir: TempDir,
    port: u16,
    /// Java's options instead of those of `./x kafka`.
    java: &'static str,
}

impl Broker {
    pub fn start() -> Broker {
        Broker::start_with(|_| String::new())
    }

    /// One with room for many topics and a long time.
    pub fn start_large() -> Broker {
        let broker =
            Broker { dir: tempfile::tempdir().unwrap(), port: free_ports(), java: "-Xmx1500m -XX:+UseSerialGC" };
        std::fs::write(
            broker.dir.path().join("properties"),
            "log.retention.bytes=67108864\nlog.segment.bytes=16777216\n",
        )
        .unwrap();
        broker.up();
        broker
    }

    /// One with further properties, which may name its port.
    pub fn start_with(properties: impl Fn(u16) -> String) -> Broker {
        let broker = Broker { dir: tempfile::tempdir().unwrap(), port: free_ports(), java: "" };
        std::fs::write(broker.dir.path().join("properties"), properties(broker.port)).unwrap();
        broker.up();
        broker
    }

    pub fn servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it (again, with what it had).
    pub fn up(&self) {
        let out = self.x("start");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "no Kafka broker for the tests (is `./x setup` done?): {said}");
    }

    pub fn down(&self) {
        self.x("stop");
    }

    fn x(&self, task: &str) -> std::process::Output {
        // What it prints must not come by a pipe that the broker keeps open.
        let said = self.dir.path().join("said");
        let into = std::fs::File::create(&said).unwrap();
        let mut command = Command::new("bash");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../x")).args(["kafka", task, &self.port.to_string()]);
        command.env("PELTON_KAFKA_DIR", self.dir.path()).stdin(Stdio::null());
        command.env("PELTON_KAFKA_OPTS", self.java);
        command.env("PELTON_KAFKA_PROPERTIES", self.dir.path().join("properties"));
        let status = command.stdout(Stdio::null()).stderr(into).status().unwrap();
        std::process::Output { status, stdout: vec![], stderr: std::fs::read(said).unwrap() }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.servers()).set("allow.auto.create.topics", "false");
        config
    }

    /// Makes topics of one partition.
    pub fn topics(&self, names: &[String]) {
        let new: Vec<_> = names.iter().map(|name| NewTopic::new(name, 1, TopicReplication::Fixed(1))).collect();
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE * 6)).request_timeout(Some(PATIENCE * 6));
        let made = pollster::block_on(self.admin().create_topics(&new, &options)).unwrap();
        made.into_iter().for_each(|made| drop(made.unwrap()));
    }

    /// Makes a topic.
    pub fn topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let made = pollster::block_on(self.admin().create_topics([&topic], &options)).unwrap();
        made.into_iter().for_each(|made| drop(made.unwrap()));
        // Told of it at once, clients need not ask twice.
        for partition in 0..partitions {
            self.end(name, partition);
        }
    }

    pub fn add_partitions(&self, name: &str, partitions: usize) {
        let new = NewPartitions::new(name, partitions);
        let made = pollster::block_on(self.admin().create_partitions([&new], &AdminOptions::new())).unwrap();
        made.into_iter().for_each(|made| drop(made.unwrap()));
        self.end(name, partitions as i32 - 1);
    }

    /// Removes what is before an offset.
    pub fn delete_before(&self, name: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(name, partition, Offset::Offset(offset)).unwrap();
        pollster::block_on(self.admin().delete_records(&list, &AdminOptions::new())).unwrap();
    }

    /// The offset after the last message (or mark).
    pub fn end(&self, name: &str, partition: i32) -> i64 {
        let consumer: BaseConsumer = self.config().create().unwrap();
        let begun = std::time::Instant::now();
        loop {
            match consumer.fetch_watermarks(name, partition, Duration::from_secs(2)) {
                Ok((_, end)) => return end,
                Err(e) => assert!(begun.elapsed() < PATIENCE, "{e}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends messages to a partition.
    pub fn send<'a>(&self, topic: &str, partition: i32, values: impl IntoIterator<Item = &'a str>) {
        let messages = values.into_iter().map(|value| Sent { value: Some(value), ..Sent::default() });
        self.send_all(topic, partition, messages);
    }

    pub fn send_all<'a>(&self, topic: &str, partition: i32, messages: impl IntoIterator<Item = Sent<'a>>) {
        let producer: BaseProducer = self.config().create().unwrap();
        messages.into_iter().for_each(|message| message.by(&producer, topic, partition));
        producer.flush(PATIENCE).unwrap();
    }

    /// A client with an open transaction, in which are these messages.
    pub fn open_transaction(&self, id: &str, topic: &str, partition: i32, values: &[&str]) -> BaseProducer {
        let producer: BaseProducer = self.config().set("transactional.id", id).create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        for value in values {
            Sent { value: Some(value), ..Sent::default() }.by(&producer, topic, partition);
        }
        producer.flush(PATIENCE).unwrap();
        producer
    }

    /// What a group has committed.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let found = consumer.committed_offsets(list, PATIENCE).unwrap();
        match found.elements()[0].offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.down();
    }
}

/// A message to send.
#[derive(Clone, Copy, Default)]
pub struct Sent<'a> {
    pub key: Option<&'a str>,
    pub value: Option<&'a str>,
    pub time: Option<i64>,
    pub headers: &'a [(&'a str, &'a str)],
}

impl Sent<'_> {
    fn by(&self, producer: &BaseProducer, topic: &str, partition: i32) {
        let mut record: BaseRecord<'_, str, str> = BaseRecord::to(topic).partition(partition);
        record.key = self.key;
        record.payload = self.value;
        record.timestamp = self.time;
        if !self.headers.is_empty() {
            let add = |headers: OwnedHeaders, (key, value): &(&str, &str)| {
                headers.insert(Header { key, value: Some(value.as_bytes()) })
            };
            record.headers = Some(self.headers.iter().fold(OwnedHeaders::new(), add));
        }
        producer.send(record).map_err(|(e, _)| e).unwrap();
    }
}

/// A port that is free, and the one after it too.
pub fn free_ports() -> u16 {
    let bound = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port));
    loop {
        let first = bound(0).unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && bound(port + 1).is_ok() {
            return port;
        }
    }
}

static SHARED: OnceLock<Broker> = OnceLock::new();

/// The broker that tests share which do it no harm. It stops at the end of the process.
pub fn broker() -> &'static Broker {
    extern "C" fn stop() {
        if let Some(broker) = SHARED.get() {
            broker.down();
            let _ = std::fs::remove_dir_all(broker.dir.path());
        }
    }
    SHARED.get_or_init(|| {
        // SAFETY: `stop` neither unwinds nor is it called twice.
        unsafe { libc::atexit(stop) };
        Broker::start()
    })
}
