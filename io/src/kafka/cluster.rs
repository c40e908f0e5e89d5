//! Exactly once: the transactions that all sinks of a pipeline on the same brokers share.
//!
//! There are two clients, used in turn: while the transaction of epoch *e* is on its way to being committed, the rows of *e + 1* go to the
//! other. The first sink that seals *e* turns to the other client, the next ones join. With the rows goes a mark, in the same
//! transaction: the consumer group named as the pipeline commits *e* as offset of partition 0 of each sink's topic. So after a crash
//! the group tells which epochs readers have seen, and nothing else has to be remembered.
//!
//! A transaction ends with its process: a new one's `init_transactions` throws away what the old one left open, and shuts the old one out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use pelton_engine::connector::Staged;
use pelton_engine::error::{Error, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{Ears, config, in_words, not_made};
use super::options::Connection;
use super::sink::{Pending, Producer, producer_config};

/// How long an open transaction may last: as long as brokers allow unless told otherwise; and where they allow less.
const TRANSACTION_TIMEOUTS_MS: [&str; 2] = ["900000", "60000"];
/// How long the beginning of transactions may take: the broker may have to end those of a killed process.
const INIT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one request may take before it is made again, and how often that is done.
const ATTEMPT: Duration = Duration::from_secs(30);
const ATTEMPTS: usize = 10;
/// How long rows wait for the epoch before the last to be published.
const TURN_TIMEOUT: Duration = Duration::from_secs(600);
const TURN_PAUSE: Duration = Duration::from_millis(5);

/// Those of this process, by servers and prefix. Two with the same prefix would shut each other out.
static CLUSTERS: Mutex<BTreeMap<(String, String), Weak<Cluster>>> = Mutex::new(BTreeMap::new());

/// The transactions of a pipeline on some brokers.
pub struct Cluster {
    connection: Connection,
    prefix: String,
    producers: [Producer; 2],
    /// Knows the group whose offsets are the marks.
    consumer: BaseConsumer<Ears>,
    state: Mutex<State>,
}

struct State {
    /// The one that rows go to.
    current: Arc<Transaction>,
    /// The last of each client.
    last: [Option<Arc<Transaction>>; 2],
    /// Topics of the sinks that have joined.
    topics: BTreeSet<String>,
}

/// The rows of an epoch, of all sinks.
pub struct Transaction {
    /// Counts from 0; the client is that of its parity.
    number: usize,
    pending: Arc<Pending>,
    epoch: Mutex<Option<u64>>,
    phase: Mutex<Phase>,
}

#[derive(Clone, Debug, PartialEq)]
enum Phase {
    /// No row yet.
    Empty,
    /// Begun.
    Open,
    /// Committed: readers see it.
    Committed,
    /// Thrown away, for this reason.
    Gone(String),
}

impl Transaction {
    fn new(number: usize) -> Arc<Self> {
        Arc::new(Transaction {
            number,
            pending: Arc::default(),
            epoch: Mutex::new(None),
            phase: Mutex::new(Phase::Empty),
        })
    }

    /// Its rows on their way.
    pub fn pending(&self) -> &Arc<Pending> {
        &self.pending
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().expect("no panic holds this lock")
    }

    fn is_over(&self) -> bool {
        matches!(*self.phase(), Phase::Committed | Phase::Gone(_))
    }
}

/// Whether the error of a transaction passes when it is tried again.
fn is_passing(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(cause) if cause.is_retriable() && !cause.is_fatal())
}

impl Cluster {
    /// The transactions of this process under `prefix`; begun anew if there are none. `topic` is one more that is written to.
    pub fn join(connection: &Connection, prefix: &str, topic: &str) -> Result<Arc<Self>> {
        let key = (connection.servers.clone(), prefix.to_string());
        let mut clusters = CLUSTERS.lock().expect("no panic holds this lock");
        let elsewhere = |(servers, other): &(String, String)| other == prefix && *servers != connection.servers;
        if clusters.iter().any(|(key, cluster)| elsewhere(key) && cluster.strong_count() > 0) {
            let text = "exactly once on two clusters: no transaction is over both";
            return Err(Error::user(format!("{}: {text}", connection.owner))
                .at(connection.options.span("properties.bootstrap.servers"))
                .hint("give one 'sink.delivery-guarantee' = 'at-least-once', or run two pipelines"));
        }
        let known = clusters.get(&key).and_then(Weak::upgrade);
        let cluster = match known {
            Some(cluster) if cluster.connection.properties == connection.properties => cluster,
            Some(cluster) => {
                let (owner, other) = (&connection.owner, &cluster.connection.owner);
                return Err(Error::user(format!("{owner}: its 'properties.*' differ from those of {other}"))
                    .at(connection.options.span("properties.bootstrap.servers"))
                    .hint("exactly-once sinks on the same brokers share a transaction: give both the same properties, or one a 'sink.transactional-id-prefix'"));
            }
            None => {
                let cluster = Arc::new(Cluster::begin_anew(connection, prefix)?);
                clusters.insert(key, Arc::downgrade(&cluster));
                cluster
            }
        };
        cluster.state().topics.insert(topic.to_string());
        Ok(cluster)
    }

    fn begin_anew(connection: &Connection, prefix: &str) -> Result<Self> {
        let mut failed = None;
        for timeout in TRANSACTION_TIMEOUTS_MS {
            match producers(connection, prefix, timeout) {
                Ok(producers) => {
                    let consumer = marks(connection, prefix)?;
                    let state = State { current: Transaction::new(0), last: [None, None], topics: BTreeSet::new() };
                    let (connection, prefix) = (connection.clone(), prefix.to_string());
                    return Ok(Cluster { connection, prefix, producers, consumer, state: Mutex::new(state) });
                }
                Err((code, error)) => {
                    let told = connection.properties.contains_key("transaction.timeout.ms");
                    if told || code != Some(RDKafkaErrorCode::InvalidTransactionTimeout) {
                        return Err(error);
                    }
                    failed = Some(error);
                }
            }
        }
        Err(failed.expect("there are timeouts to try"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic holds this lock")
    }

    /// The transaction that rows go to.
    pub fn current(&self) -> Arc<Transaction> {
        self.state().current.clone()
    }

    /// The last epoch whose rows readers of `topic` have; 0 if none.
    pub fn committed(&self, topic: &str) -> Result<u64> {
        let begun = Instant::now();
        loop {
            let mut list = TopicPartitionList::new();
            list.add_partition(topic, 0);
            let found = self.consumer.committed_offsets(list, ATTEMPT.min(INIT_TIMEOUT));
            match found {
                Ok(found) => match found.elements().first().map(|e| (e.error(), e.offset())) {
                    Some((Ok(()), Offset::Offset(epoch))) => return Ok(epoch.max(0) as u64),
                    Some((Err(error), _)) if begun.elapsed() >= INIT_TIMEOUT => {
                        return Err(self.failed("the last epoch is not known", &error));
                    }
                    Some((Err(_), _)) => {}
                    _ => return Ok(0),
                },
                Err(error) if begun.elapsed() >= INIT_TIMEOUT => {
                    return Err(self.failed("the last epoch is not known", &error));
                }
                Err(_) => {}
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn failed(&self, what: &str, error: &KafkaError) -> Error {
        failed(&self.connection, &self.prefix, what, error)
    }

    fn producer(&self, transaction: &Transaction) -> &Producer {
        &self.producers[transaction.number % 2]
    }

    /// Begins a transaction, if it is not: its client must be done with the one before.
    pub fn begin(&self, transaction: &Arc<Transaction>) -> Result<&Producer> {
        let producer = self.producer(transaction);
        match &*transaction.phase() {
            Phase::Open => return Ok(producer),
            Phase::Empty => {}
            Phase::Committed => return Err(self.over("it is committed already")),
            Phase::Gone(reason) => return Err(self.over(reason)),
        }
        self.wait_for_turn(transaction)?;
        let mut phase = transaction.phase();
        if *phase == Phase::Empty {
            producer.begin_transaction().map_err(|e| self.failed("cannot begin", &e))?;
            *phase = Phase::Open;
            drop(phase);
            self.state().last[transaction.number % 2] = Some(transaction.clone());
        }
        Ok(producer)
    }

    fn over(&self, reason: &str) -> Error {
        Error::world(format!("{}: the transaction of '{}' is over: {reason}", self.connection.owner, self.prefix))
    }

    /// Waits until the client is done with its last epoch, and the rows of the epoch before are all with the brokers: otherwise rows
    /// of a key could change places, and readers would not see that epoch before this one is committed too.
    fn wait_for_turn(&self, transaction: &Arc<Transaction>) -> Result<()> {
        let [last, before] = [0, 1].map(|more| self.state().last[(transaction.number + more) % 2].clone());
        if let Some(Err(cause)) = before.map(|before| before.pending.wait()) {
            return Err(self.over(&cause));
        }
        let Some(last) = last.filter(|last| !Arc::ptr_eq(last, transaction)) else { return Ok(()) };
        let begun = Instant::now();
        while !last.is_over() {
            if begun.elapsed() >= TURN_TIMEOUT {
                return Err(self.over("the epoch before the last is not published yet"));
            }
            std::thread::sleep(TURN_PAUSE);
        }
        Ok(())
    }

    /// Ends an epoch for a sink whose rows went to `transaction`: the epoch, and the transaction that rows go to now.
    pub fn seal(self: &Arc<Self>, epoch: u64, transaction: &Arc<Transaction>) -> Result<(Sealed, Arc<Transaction>)> {
        let mut state = self.state();
        if Arc::ptr_eq(&state.current, transaction) {
            *transaction.epoch.lock().expect("no panic holds this lock") = Some(epoch);
            state.current = Transaction::new(transaction.number + 1);
        }
        let sealed = *transaction.epoch.lock().expect("no panic holds this lock");
        if sealed != Some(epoch) {
            return Err(self.over(&format!("epoch {epoch} is not the one that others have sealed")));
        }
        let sealed = Sealed { cluster: self.clone(), transaction: transaction.clone(), epoch, published: false };
        Ok((sealed, state.current.clone()))
    }

    /// Throws a transaction away, unless it is over.
    pub fn abort(&self, transaction: &Transaction, reason: &str) {
        let mut phase = transaction.phase();
        if *phase == Phase::Open {
            // Where it fails, the next process does it, or the broker after the transaction's timeout.
            let _ = self.producer(transaction).abort_transaction(ATTEMPT);
        }
        if matches!(*phase, Phase::Open | Phase::Empty) {
            *phase = Phase::Gone(reason.to_string());
        }
    }

    /// Commits a transaction with its mark.
    fn publish(&self, transaction: &Arc<Transaction>, epoch: u64) -> Result<()> {
        if *transaction.phase() == Phase::Empty {
            self.begin(transaction)?;
        }
        let mut phase = transaction.phase();
        match &*phase {
            Phase::Committed => return Ok(()),
            Phase::Gone(reason) => return Err(self.over(reason)),
            Phase::Empty | Phase::Open => {}
        }
        let producer = self.producer(transaction);
        let mut marks = TopicPartitionList::new();
        for topic in &self.state().topics {
            let mark = marks.add_partition_offset(topic, 0, Offset::Offset(epoch as i64));
            mark.map_err(|e| self.failed("cannot be marked", &e))?;
        }
        let group = self.consumer.group_metadata();
        let group = group.ok_or_else(|| self.over("its group is not known"))?;
        let marked = tried(|| producer.send_offsets_to_transaction(&marks, &group, ATTEMPT));
        marked.map_err(|e| self.failed(&format!("epoch {epoch} cannot be marked"), &e))?;
        let committed = tried(|| producer.commit_transaction(ATTEMPT));
        committed.map_err(|e| self.failed(&format!("epoch {epoch} cannot be committed"), &e))?;
        *phase = Phase::Committed;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let state = self.state();
        let left: Vec<_> = state.last.iter().flatten().cloned().collect();
        drop(state);
        for transaction in left {
            self.abort(&transaction, "the run has ended");
        }
    }
}

/// Does something until it succeeds, or fails in a way that does not pass.
fn tried(mut attempt: impl FnMut() -> KafkaResult<()>) -> KafkaResult<()> {
    let mut result = attempt();
    for _ in 1..ATTEMPTS {
        match &result {
            Err(error) if is_passing(error) => result = attempt(),
            _ => break,
        }
    }
    result
}

fn failed(connection: &Connection, prefix: &str, what: &str, error: &KafkaError) -> Error {
    let (owner, servers) = (&connection.owner, &connection.servers);
    let error_here =
        Error::world(format!("{owner}: transaction '{prefix}' at '{servers}': {what}")).because(in_words(error));
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch) => {
            error_here.hint(
                "another run of the pipeline has taken over; two at once need a 'sink.transactional-id-prefix' each",
            )
        }
        Some(RDKafkaErrorCode::InvalidTransactionTimeout) => error_here
            .hint("'properties.transaction.timeout.ms' may not exceed the broker's transaction.max.timeout.ms"),
        _ => error_here,
    }
}

/// The two clients, ready to begin. What a process before has left open is thrown away.
fn producers(
    connection: &Connection,
    prefix: &str,
    timeout_ms: &str,
) -> Result<[Producer; 2], (Option<RDKafkaErrorCode>, Error)> {
    let make = |number: usize| {
        let id = format!("{prefix}-{number}");
        let mut config = producer_config(connection, &[("transaction.timeout.ms", timeout_ms)]);
        config.set("transactional.id", &id).set("enable.idempotence", "true");
        let producer: Producer =
            config.create_with_context(Ears::new(connection)).map_err(|e| (None, not_made(connection, e)))?;
        let begun = Instant::now();
        loop {
            match producer.init_transactions(INIT_TIMEOUT.saturating_sub(begun.elapsed())) {
                Ok(()) => break,
                Err(error) if is_passing(&error) && begun.elapsed() < INIT_TIMEOUT => {}
                Err(error) => {
                    let code = error.rdkafka_error_code();
                    return Err((code, failed(connection, prefix, "cannot be prepared", &error)));
                }
            }
        }
        producer.context().speak();
        Ok(producer)
    };
    Ok([make(0)?, make(1)?])
}

/// The client that knows the marks.
fn marks(connection: &Connection, prefix: &str) -> Result<BaseConsumer<Ears>> {
    let mut config = config(connection, &[]);
    config.remove("auto.offset.reset");
    // With it, offsets of open transactions are waited for.
    config.set("isolation.level", "read_committed").set("group.id", prefix).set("enable.auto.commit", "false");
    config.create_with_context(Ears::new(connection)).map_err(|e| not_made(connection, e))
}

/// An epoch of a sink.
pub struct Sealed {
    cluster: Arc<Cluster>,
    transaction: Arc<Transaction>,
    epoch: u64,
    published: bool,
}

impl Staged for Sealed {
    fn stage(&mut self) -> Result<String> {
        if let Err(cause) = self.transaction.pending.wait() {
            let owner = &self.cluster.connection.owner;
            self.cluster.abort(&self.transaction, &cause);
            let what = format!("{owner}: rows of epoch {} could not be written", self.epoch);
            return Err(Error::world(what).because(cause));
        }
        Ok(format!("{} epoch {}", self.cluster.prefix, self.epoch))
    }

    fn publish(&mut self) -> Result<()> {
        self.cluster.publish(&self.transaction, self.epoch)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        if !self.published {
            self.cluster.abort(&self.transaction, &format!("epoch {} was given up", self.epoch));
        }
    }
}
