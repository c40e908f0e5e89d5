//! Writing to topics: rows become messages, which librdkafka sends in batches of its own.
//!
//! At least once: a commit waits until brokers have acknowledged everything, and a run that fails may have written rows that it
//! writes again. Exactly once: see [`cluster`](super::cluster).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use arrow::array::{Array, AsArray, BinaryArray, MapArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampMillisecondType};
use pelton_engine::connector::{Committed, Sink, Staged, Table};
use pelton_engine::error::{Error, Result};
use pelton_engine::run::latency::Arrival;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer};

use super::client::{Ears, config, in_words, not_made, partitions_of};
use super::cluster::{Cluster, Transaction};
use super::options::{Connection, Partitioner, Parts, SinkOptions};
use crate::formats::messages::{MessageEncoder, encoder};

/// A client that writes, with a thread of its own that hears of deliveries.
pub type Producer = ThreadedProducer<Ears>;

/// How long to wait for room in librdkafka's queue before looking again.
const FULL_PAUSE: Duration = Duration::from_millis(2);
/// How often to look whether all is delivered, if nobody says so.
const DELIVERY_PAUSE: Duration = Duration::from_millis(20);
/// How many things a client is asked for at once of what it has to say.
const SERVED_AT_ONCE: usize = 16;
/// Messages and KiB that wait to be sent, at most.
const WAITING_MESSAGES_MAX: &str = "200000";
const WAITING_KIB_MAX: &str = "65536";

/// Messages on their way, together: those of an epoch, or since the last commit.
#[derive(Debug, Default)]
pub struct Pending {
    count: AtomicU64,
    failed: Mutex<Option<String>>,
    done: Condvar,
}

impl Pending {
    fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn remove(&self, failed: Option<String>) {
        if failed.is_some() {
            let mut first = self.failed.lock().expect("no panic holds this lock");
            *first = first.take().or(failed);
        }
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_all();
        }
    }

    /// Why the first of those failed that did.
    pub fn failure(&self) -> Option<String> {
        self.failed.lock().expect("no panic holds this lock").clone()
    }

    /// Waits until none is on its way: librdkafka gives up on each after `message.timeout.ms`.
    pub fn wait(&self) -> Result<(), String> {
        let mut failed = self.failed.lock().expect("no panic holds this lock");
        while self.count.load(Ordering::Acquire) > 0 && failed.is_none() {
            failed = self.done.wait_timeout(failed, DELIVERY_PAUSE).expect("no panic holds this lock").0;
        }
        failed.clone().map_or(Ok(()), Err)
    }
}

/// What the messages of a micro-batch carry.
pub struct Sent {
    pending: Arc<Pending>,
    /// Let go of with the last of the messages.
    _arrival: Option<Arc<Arrival>>,
}

impl ProducerContext for Ears {
    type DeliveryOpaque = Arc<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Arc<Sent>) {
        match result {
            Ok(_) => {
                self.hear();
                sent.pending.remove(None);
            }
            Err((error, _)) => sent.pending.remove(Some(in_words(error))),
        }
    }
}

/// The configuration of a client that writes.
pub fn producer_config(connection: &Connection, more: &[(&str, &str)]) -> rdkafka::ClientConfig {
    let mut defaults = vec![
        ("enable.idempotence", "true"),
        // What Kafka's own clients do: equal keys go where they have put them.
        ("partitioner", "murmur2_random"),
        ("queue.buffering.max.messages", WAITING_MESSAGES_MAX),
        ("queue.buffering.max.kbytes", WAITING_KIB_MAX),
    ];
    defaults.extend(more);
    let mut config = config(connection, &defaults);
    config.remove("group.id");
    config.remove("auto.offset.reset");
    config
}

/// A topic to write to.
pub struct Topic {
    name: String,
    partitions: i32,
    partitioner: Partitioner,
    /// The partition that is next, in turn.
    turn: i32,
}

impl Topic {
    /// Looks for the topic.
    fn look(options: &SinkOptions) -> Result<Self> {
        let connection = &options.connection;
        let client: BaseProducer<Ears> = producer_config(connection, &[])
            .create_with_context(Ears::new(connection))
            .map_err(|e| not_made(connection, e))?;
        // Of each call one thing comes, and errors stand behind what is only noted.
        let serve = || (0..SERVED_AT_ONCE).for_each(|_| client.poll(Duration::ZERO));
        let partitions = partitions_of(client.client(), client.context(), connection, &options.topic, serve)?;
        Ok(Topic { name: options.topic.clone(), partitions, partitioner: options.partitioner, turn: 0 })
    }

    fn next_partition(&mut self) -> Option<i32> {
        match self.partitioner {
            Partitioner::Default => None,
            Partitioner::Fixed => Some(0),
            Partitioner::RoundRobin => {
                self.turn = (self.turn + 1) % self.partitions.max(1);
                Some(self.turn)
            }
        }
    }
}

/// Makes messages of rows.
pub struct Encoders {
    key: Option<(SchemaRef, Box<dyn MessageEncoder>)>,
    value: (SchemaRef, Box<dyn MessageEncoder>),
    parts: Parts,
    headers: Option<usize>,
    timestamp: Option<usize>,
}

/// What messages are made of.
struct Encoded {
    key: Option<BinaryArray>,
    value: BinaryArray,
    headers: Option<MapArray>,
    timestamp: Option<arrow::array::PrimitiveArray<TimestampMillisecondType>>,
}

impl Encoders {
    /// Encoders of a table's rows.
    pub fn new(table: &Table, options: &SinkOptions) -> Result<Self> {
        let parts = options.parts.clone();
        let value = Arc::new(parts.value_schema(&table.schema));
        let value = (value.clone(), encoder(&table.options.under("value."), &value)?);
        let key = match parts.key.is_empty() {
            true => None,
            false => {
                let key = Arc::new(parts.key_schema(&table.schema));
                Some((key.clone(), encoder(&table.options.under("key."), &key)?))
            }
        };
        Ok(Encoders { key, value, parts, headers: options.headers, timestamp: options.timestamp })
    }

    fn encode(&mut self, rows: &RecordBatch) -> Result<Encoded> {
        let internal = |e: arrow::error::ArrowError| Error::world("rows cannot be made into messages").because(e);
        let part = |schema: &SchemaRef, columns: &[usize]| {
            let columns = columns.iter().map(|at| rows.column(*at).clone()).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
            // Rows may be NULL where the table says otherwise only if the engine let them.
            let fields: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
            let schema = Arc::new(arrow::datatypes::Schema::new(fields));
            RecordBatch::try_new_with_options(schema, columns, &options).map_err(internal)
        };
        let value = self.value.1.encode(&part(&self.value.0, &self.parts.value)?)?;
        let key = match &mut self.key {
            None => None,
            Some((schema, encoder)) => Some(encoder.encode(&part(schema, &self.parts.key)?)?),
        };
        let headers = self.headers.map(|at| rows.column(at).as_map().clone());
        let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
        let timestamp = self.timestamp.map(|at| cast(rows.column(at), &millis)).transpose().map_err(internal)?;
        let timestamp = timestamp.map(|times| times.as_primitive().clone());
        Ok(Encoded { key, value, headers, timestamp })
    }
}

impl Encoded {
    fn headers_of(&self, row: usize) -> Option<OwnedHeaders> {
        let all = self.headers.as_ref().filter(|headers| headers.is_valid(row))?;
        let entries = all.value(row);
        let (names, values) = (entries.column(0).as_string::<i32>(), entries.column(1));
        let mut headers = OwnedHeaders::new_with_capacity(entries.len());
        for at in 0..entries.len() {
            let value: Option<&[u8]> = match values.is_null(at) {
                true => None,
                false => match values.data_type() {
                    DataType::Binary => Some(values.as_binary::<i32>().value(at)),
                    _ => Some(values.as_string::<i32>().value(at).as_bytes()),
                },
            };
            headers = headers.insert(Header { key: names.value(at), value });
        }
        Some(headers)
    }
}

/// Hands messages to librdkafka, waiting where its queue is full.
fn send(producer: &Producer, topic: &mut Topic, encoded: &Encoded, sent: Sent) -> Result<(), String> {
    let (sent, name) = (Arc::new(sent), topic.name.clone());
    let pending = &sent.pending;
    for row in 0..encoded.value.len() {
        let mut record: BaseRecord<'_, [u8], [u8], Arc<Sent>> = BaseRecord::with_opaque_to(&name, sent.clone());
        if encoded.value.is_valid(row) {
            record = record.payload(encoded.value.value(row));
        }
        if let Some(key) = encoded.key.as_ref().filter(|key| key.is_valid(row)) {
            record = record.key(key.value(row));
        }
        if let Some(times) = encoded.timestamp.as_ref().filter(|times| times.is_valid(row)) {
            record = record.timestamp(times.value(row));
        }
        if let Some(headers) = encoded.headers_of(row) {
            record = record.headers(headers);
        }
        if let Some(partition) = topic.next_partition() {
            record = record.partition(partition);
        }
        pending.add();
        while let Err((error, back)) = producer.send(record) {
            if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
                pending.remove(None);
                return Err(in_words(&error));
            }
            if let Some(failed) = pending.failure() {
                pending.remove(None);
                return Err(failed);
            }
            std::thread::sleep(FULL_PAUSE);
            record = back;
        }
    }
    Ok(())
}

/// What all sinks have.
struct Writer {
    connection: Connection,
    encoders: Encoders,
    topic: Topic,
}

impl Writer {
    fn open(table: &Table, options: &SinkOptions) -> Result<Self> {
        let encoders = Encoders::new(table, options)?;
        Ok(Writer { connection: options.connection.clone(), encoders, topic: Topic::look(options)? })
    }

    fn write(&mut self, producer: &Producer, rows: &RecordBatch, sent: Sent) -> Result<()> {
        if let Some(failed) = sent.pending.failure() {
            return Err(self.lost(failed));
        }
        let encoded = self.encoders.encode(rows)?;
        send(producer, &mut self.topic, &encoded, sent).map_err(|cause| self.lost(cause))
    }

    fn lost(&self, cause: String) -> Error {
        lost(&self.connection, &self.topic.name, cause)
    }
}

/// The error for rows that no broker took.
fn lost(connection: &Connection, topic: &str, cause: String) -> Error {
    let (owner, servers) = (&connection.owner, &connection.servers);
    Error::world(format!("{owner}: rows could not be written to topic '{topic}' at '{servers}'"))
        .because(cause)
        .hint("'properties.message.timeout.ms' says how long brokers may be away")
}

/// Writes each row at least once.
pub struct AtLeastOnce {
    writer: Writer,
    producer: Producer,
    pending: Arc<Pending>,
    /// Of the rows that are written next.
    arrival: Option<Arc<Arrival>>,
}

impl AtLeastOnce {
    /// Finds the topic and starts a client.
    pub fn open(table: &Table, options: SinkOptions) -> Result<Self> {
        let writer = Writer::open(table, &options)?;
        let connection = &options.connection;
        let producer: Producer = producer_config(connection, &[])
            .create_with_context(Ears::new(connection))
            .map_err(|e| not_made(connection, e))?;
        producer.context().speak();
        Ok(AtLeastOnce { writer, producer, pending: Arc::default(), arrival: None })
    }
}

impl Sink for AtLeastOnce {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let sent = Sent { pending: self.pending.clone(), _arrival: self.arrival.take() };
        self.writer.write(&self.producer, batch, sent)
    }

    fn follow(&mut self, arrival: &Arc<Arrival>) -> bool {
        self.arrival = Some(arrival.clone());
        true
    }

    fn commit(&mut self) -> Result<()> {
        self.pending.wait().map_err(|cause| self.writer.lost(cause))
    }

    fn abort(&mut self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
    }

    fn seal(&mut self, _epoch: u64) -> Result<Box<dyn Staged>> {
        let (connection, topic) = (self.writer.connection.clone(), self.writer.topic.name.clone());
        Ok(Box::new(Delivery { pending: std::mem::take(&mut self.pending), connection, topic }))
    }
}

/// An epoch whose rows can be seen as they arrive.
struct Delivery {
    pending: Arc<Pending>,
    connection: Connection,
    topic: String,
}

impl Staged for Delivery {
    fn stage(&mut self) -> Result<String> {
        self.pending.wait().map_err(|cause| lost(&self.connection, &self.topic, cause))?;
        Ok(String::new())
    }

    fn publish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Writes each row exactly once, by the transactions of a [`Cluster`].
pub struct ExactlyOnce {
    writer: Writer,
    options: SinkOptions,
    /// Known once the pipeline is.
    joined: Option<(Arc<Cluster>, Arc<Transaction>)>,
}

impl ExactlyOnce {
    /// Finds the topic.
    pub fn open(table: &Table, options: SinkOptions) -> Result<Self> {
        Ok(ExactlyOnce { writer: Writer::open(table, &options)?, options, joined: None })
    }

    fn joined(&mut self) -> Result<&mut (Arc<Cluster>, Arc<Transaction>)> {
        let owner = &self.options.connection.owner;
        self.joined.as_mut().ok_or_else(|| Error::world(format!("{owner}: its pipeline has no name to write under")))
    }
}

impl Sink for ExactlyOnce {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let (cluster, transaction) = self.joined()?.clone();
        let producer = cluster.begin(&transaction)?;
        let sent = Sent { pending: transaction.pending().clone(), _arrival: None };
        self.writer.write(producer, batch, sent)
    }

    fn commit(&mut self) -> Result<()> {
        let owner = &self.options.connection.owner;
        Err(Error::world(format!("{owner}: transactions end with epochs, and there are none without checkpoints")))
    }

    fn abort(&mut self) {
        if let Some((cluster, transaction)) = &self.joined {
            cluster.abort(transaction, "the run was given up");
        }
    }

    fn committed(&mut self, pipeline: &str) -> Result<Committed> {
        let prefix = self.options.prefix.as_deref().unwrap_or(pipeline);
        let cluster = Cluster::join(&self.options.connection, prefix, &self.options.topic)?;
        let epoch = cluster.committed(&self.options.topic)?;
        let transaction = cluster.current();
        self.joined = Some((cluster, transaction));
        Ok(Committed::Until(epoch))
    }

    fn seal(&mut self, epoch: u64) -> Result<Box<dyn Staged>> {
        let (cluster, transaction) = self.joined()?;
        let (sealed, next) = cluster.seal(epoch, transaction)?;
        *transaction = next;
        Ok(Box::new(sealed))
    }
}
