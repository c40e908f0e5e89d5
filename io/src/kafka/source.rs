//! Reading topics: a partition of Kafka's is one of ours, and its offsets are ours.
//!
//! One consumer has all partitions of a table, each with a queue of its own from which a reader takes what is there. What librdkafka
//! reads ahead is capped by partition; a full queue is not fetched for until somebody takes from it, so a slow pipeline slows its
//! topics down and memory stays bounded. The end of a partition is told by librdkafka with its offset: what lies between the last
//! message and there (marks of transactions, gaps) becomes a chunk without rows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use pelton_engine::connector::{Chunk, Decoded, Next, PartitionReader, Source};
use pelton_engine::error::{Error, Result};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{Ears, config, in_words, no_answer, not_made, partitions_of, words_of};
use super::messages::{Messages, Queue};
use super::options::{Connection, Position, SourceOptions};
use super::rows::RowReader;

/// Messages that a chunk holds at most.
pub const CHUNK_MESSAGES: usize = 8192;
/// A chunk of fewer messages than this waits for others, as long as [`LINGER`] after the one before.
const LINGER_MESSAGES: usize = 1024;
const LINGER: Duration = Duration::from_millis(2);
/// How soon to ask again where nothing is: the longer nothing came, the later, but within a quarter of what a record may take. Many
/// partitions are asked less often, so that asking does not become the work.
const IDLE_MIN: Duration = Duration::from_millis(1);
const IDLE_MAX: Duration = Duration::from_millis(100);
const ASKING: Duration = Duration::from_micros(100);
/// How often the consumer is asked what it has to say.
const SERVE_INTERVAL: Duration = Duration::from_millis(50);
/// And for how many things.
const SERVED_AT_ONCE: usize = 16;
/// Read ahead of one partition, at least and at most.
const PARTITION_KIB: (usize, usize) = (64, 32 << 10);
/// New partitions that nobody has asked for yet; others are found again.
const NEW_PARTITIONS_MAX: usize = 1024;
/// Offsets in a chunk, gaps included.
const CHUNK_OFFSETS_MAX: i64 = 1 << 30;
/// The group of those that name none. Nothing is committed to it.
const NO_GROUP: &str = "pelton";

/// A partition of a topic.
type Key = (String, i32);

/// The consumer of a table, which all its readers share.
struct Shared {
    consumer: Arc<BaseConsumer<Ears>>,
    connection: Connection,
    rows: RowReader,
    served: Mutex<Instant>,
    /// The longest pause of a partition to which nothing comes.
    idle_max: Duration,
    linger: Duration,
}

impl Shared {
    fn ears(&self) -> &Ears {
        self.consumer.client().context()
    }

    /// Lets the consumer say what it has to say, now and then.
    fn serve(&self) {
        if let Ok(mut served) = self.served.try_lock()
            && served.elapsed() >= SERVE_INTERVAL
        {
            *served = Instant::now();
            serve(&self.consumer);
        }
    }

    fn list(&self, partitions: impl IntoIterator<Item = (Key, Offset)>) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset) in partitions {
            list.add_partition_offset(&topic, partition, offset).map_err(|e| self.failed("an offset", &e))?;
        }
        Ok(list)
    }

    fn failed(&self, what: &str, error: &rdkafka::error::KafkaError) -> Error {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut) {
            return no_answer(&self.connection, self.ears());
        }
        Error::world(format!(
            "{}: {what} cannot be had from Kafka at '{}'",
            self.connection.owner, self.connection.servers
        ))
        .because(in_words(error))
    }

    /// Offsets of partitions by time, or by one of Kafka's two words for its ends.
    fn offsets_at(&self, partitions: &[Key], time: Offset) -> Result<BTreeMap<Key, i64>> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let list = self.list(partitions.iter().map(|key| (key.clone(), time)))?;
        let found = self.consumer.offsets_for_times(list, self.connection.timeout);
        let found = found.map_err(|e| self.failed("the offsets of partitions", &e))?;
        let mut offsets = BTreeMap::new();
        for element in found.elements() {
            element.error().map_err(|e| self.failed("the offset of a partition", &e))?;
            let offset = if let Offset::Offset(offset) = element.offset() { offset } else { -1 };
            offsets.insert((element.topic().to_string(), element.partition()), offset);
        }
        Ok(offsets)
    }

    /// What the group has committed; -1 where nothing.
    fn committed(&self, partitions: &[Key]) -> Result<BTreeMap<Key, i64>> {
        let list = self.list(partitions.iter().map(|key| (key.clone(), Offset::Invalid)))?;
        let found = self.consumer.committed_offsets(list, self.connection.timeout);
        let found = found.map_err(|e| self.failed("the offsets of the group", &e))?;
        let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { -1 };
        Ok(found.elements().iter().map(|e| ((e.topic().to_string(), e.partition()), offset(e.offset()))).collect())
    }
}

/// Takes what is in the consumer's own queue: errors, and what its commits came to.
fn serve(consumer: &BaseConsumer<Ears>) {
    // Errors have been heard by then (`Ears::error`); that nothing comes out does not say that nothing was in.
    for _ in 0..SERVED_AT_ONCE {
        drop(consumer.poll(Duration::ZERO));
    }
}

/// Where a partition begins and ends, now.
struct Ends {
    first: BTreeMap<Key, i64>,
    last: BTreeMap<Key, i64>,
}

/// A partition to read.
#[derive(Clone, Debug)]
struct Stretch {
    key: Key,
    start: i64,
    end: Option<i64>,
    /// What there was when the table was opened.
    kept: (i64, i64),
}

/// An open table.
pub struct KafkaSource {
    shared: Arc<Shared>,
    options: SourceOptions,
    stretches: Vec<Stretch>,
    /// Partitions in the order of their numbers, with what was committed of them last.
    numbered: Vec<(Key, u64)>,
    outlook: Option<Outlook>,
}

/// Librdkafka's configuration for so many partitions.
fn consumer_config(options: &SourceOptions, partitions: usize) -> rdkafka::ClientConfig {
    let (min, max) = PARTITION_KIB;
    let kib = (options.read_ahead_bytes / 1024 / partitions.max(1)).clamp(min, max);
    let at_once = (kib * 1024).min(1 << 20).to_string();
    let kib = kib.to_string();
    let wait = if options.end.is_some() { "50" } else { "500" };
    let mut config = config(
        &options.connection,
        &[
            ("group.id", NO_GROUP),
            ("isolation.level", "read_committed"),
            ("queued.max.messages.kbytes", &kib),
            ("fetch.message.max.bytes", &at_once),
            ("fetch.wait.max.ms", wait),
            // A queue that was full is fetched for again at once when there is room.
            ("fetch.queue.backoff.ms", "5"),
        ],
    );
    // These are not the table's to say.
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    config.set("enable.partition.eof", "true");
    config.set("allow.auto.create.topics", "false");
    config.set("auto.offset.reset", "error");
    config
}

impl KafkaSource {
    /// Finds the partitions, and where each is to be read from and to. Messages are waited for by far less than `latency_target`.
    pub fn open(options: SourceOptions, rows: RowReader, latency_target: Duration) -> Result<Self> {
        let connection = &options.connection;
        let make = |partitions: usize| -> Result<BaseConsumer<Ears>> {
            let config = consumer_config(&options, partitions);
            config.create_with_context(Ears::new(connection)).map_err(|e| not_made(connection, e))
        };
        // How much each partition may read ahead is known when their number is.
        let probe = make(1)?;
        let mut partitions: Vec<Key> = vec![];
        for topic in &options.topics {
            let ears = probe.client().context();
            let count = partitions_of(probe.client(), ears, connection, topic, || serve(&probe))?;
            partitions.extend((0..count).map(|partition| (topic.clone(), partition)));
        }
        let consumer = Arc::new(make(partitions.len())?);
        let asking = ASKING * partitions.len() as u32;
        let shared = Shared {
            consumer,
            connection: connection.clone(),
            rows,
            served: Mutex::new(Instant::now()),
            idle_max: (latency_target / 4).max(asking).clamp(IDLE_MIN, IDLE_MAX),
            linger: LINGER.min(latency_target / 8),
        };
        let ends = Ends {
            first: shared.offsets_at(&partitions, Offset::Beginning)?,
            last: shared.offsets_at(&partitions, Offset::End)?,
        };
        let start = shared.positions(&options.start, "scan.startup", &partitions, &ends)?;
        let end = match &options.end {
            None => BTreeMap::new(),
            Some(end) => shared.positions(end, "scan.bounded", &partitions, &ends)?,
        };
        let mut stretches = vec![];
        for key in partitions {
            let kept = (ends.first[&key], ends.last[&key]);
            let stretch = Stretch { start: start[&key], end: end.get(&key).copied(), kept, key };
            if matches!(options.start, Position::Offsets(_)) {
                stretch.check(stretch.start, &shared.connection)?;
            }
            stretches.push(stretch);
        }
        shared.ears().speak();
        Ok(KafkaSource { shared: Arc::new(shared), options, stretches, numbered: vec![], outlook: None })
    }

    fn reader(&mut self, stretch: Stretch) -> Box<dyn PartitionReader> {
        self.numbered.push((stretch.key.clone(), stretch.start.max(0) as u64));
        Box::new(Reader::new(self.shared.clone(), stretch))
    }

    /// Looks for new partitions from time to time, until the answer is dropped.
    fn look_out(&self) -> Result<Option<Outlook>> {
        if self.options.end.is_some() || self.options.discovery.is_zero() {
            return Ok(None);
        }
        let (into, found) = bounded(NEW_PARTITIONS_MAX);
        let (alive, gone) = bounded::<()>(0);
        let count = |topic: &String| self.stretches.iter().filter(|s| s.key.0 == *topic).count() as i32;
        let known = self.options.topics.iter().map(|topic| (topic.clone(), count(topic))).collect();
        let mut lookout = Lookout { shared: self.shared.clone(), known, into };
        let every = self.options.discovery;
        let watch = move || {
            while gone.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                lookout.look();
            }
        };
        let thread = std::thread::Builder::new().name("pelton-kafka".into()).spawn(watch);
        thread.map_err(|e| Error::world("cannot start a thread that looks for new partitions").because(e))?;
        Ok(Some(Outlook { found, _alive: alive }))
    }
}

impl Source for KafkaSource {
    fn partitions(&mut self) -> Result<Vec<Box<dyn PartitionReader>>> {
        self.outlook = self.look_out()?;
        Ok(self.stretches.clone().into_iter().map(|stretch| self.reader(stretch)).collect())
    }

    /// Where a bounded table ends: `latest-offset` and `group-offsets` would be another place when it is opened again.
    fn token(&mut self) -> Option<String> {
        self.options.end.as_ref()?;
        let end = |s: &Stretch| Some((name_of(&s.key), s.end?));
        let ends: BTreeMap<String, i64> = self.stretches.iter().filter_map(end).collect();
        serde_json::to_string(&ends).ok()
    }

    fn restore(&mut self, token: &str) -> Result<()> {
        if self.options.end.is_none() {
            return Ok(());
        }
        let ends: BTreeMap<String, i64> = serde_json::from_str(token)
            .map_err(|e| Error::world("the checkpoint does not say where topics end").because(e))?;
        // A partition that has come since belongs to none of the rows that the run is about.
        self.stretches.retain_mut(|stretch| {
            stretch.end = ends.get(&name_of(&stretch.key)).copied();
            stretch.end.is_some()
        });
        Ok(())
    }

    fn fingerprint(&self) -> Option<String> {
        self.options.end.as_ref()?;
        let of = |s: &Stretch| format!("{}-{}:{}..{}", s.key.0, s.key.1, s.start, s.end.unwrap_or(s.start));
        Some(self.stretches.iter().map(of).collect::<Vec<_>>().join(" "))
    }

    fn discover(&mut self) -> Result<Vec<Box<dyn PartitionReader>>> {
        let found: Vec<Stretch> = self.outlook.iter().flat_map(|outlook| outlook.found.try_iter()).collect();
        Ok(found.into_iter().map(|stretch| self.reader(stretch)).collect())
    }

    fn completed(&mut self, offsets: &[(Option<String>, u64)]) {
        if self.shared.connection.group().is_none() {
            return;
        }
        let now =
            |key: &Key| offsets.iter().find(|(name, _)| name.as_deref() == Some(&name_of(key))).map(|(_, at)| *at);
        let mut news: Vec<(Key, Offset)> = vec![];
        for (key, last) in &mut self.numbered {
            if let Some(now) = now(key).filter(|now| now != last) {
                *last = now;
                news.push((key.clone(), Offset::Offset(now as i64)));
            }
        }
        if news.is_empty() {
            return;
        }
        // What became of it is told to `serve`, and harms nobody.
        if let Ok(list) = self.shared.list(news) {
            let _ = self.shared.consumer.commit(&list, CommitMode::Async);
        }
    }
}

/// What a checkpoint knows a partition by.
fn name_of((topic, partition): &Key) -> String {
    format!("{topic}-{partition}")
}

/// Where new partitions come from. Dropped, nobody looks any more.
struct Outlook {
    found: Receiver<Stretch>,
    _alive: Sender<()>,
}

/// Looks for new partitions.
struct Lookout {
    shared: Arc<Shared>,
    /// Topics, with how many partitions are known.
    known: Vec<(String, i32)>,
    into: Sender<Stretch>,
}

impl Lookout {
    fn look(&mut self) {
        for (topic, known) in &mut self.known {
            let metadata = self.shared.consumer.fetch_metadata(Some(topic), self.shared.connection.timeout);
            let Ok(metadata) = metadata else { continue };
            let found = metadata.topics().iter().find(|t| t.name() == topic).map_or(0, |t| t.partitions().len() as i32);
            let new: Vec<Key> = (*known..found).map(|partition| (topic.clone(), partition)).collect();
            // A partition without a leader has no offsets yet: the next look finds it again.
            let Ok(first) = self.shared.offsets_at(&new, Offset::Beginning) else { continue };
            for key in new {
                let start = first[&key].max(0);
                if self.into.try_send(Stretch { key, start, end: None, kept: (start, i64::MAX) }).is_err() {
                    break;
                }
                *known += 1;
            }
        }
    }
}

impl Stretch {
    /// Fails if reading cannot go on at this offset.
    fn check(&self, offset: i64, connection: &Connection) -> Result<()> {
        let (first, last) = self.kept;
        let (topic, partition) = &self.key;
        let (owner, what) = (&connection.owner, format!("partition {partition} of topic '{topic}'"));
        if offset < first {
            return Err(Error::world(format!("{owner}: offset {offset} of {what} is gone: it begins at {first} now"))
                .hint("its retention has removed what was before; begin anew, or from another offset"));
        }
        if offset > last {
            return Err(Error::world(format!("{owner}: there is no offset {offset} in {what}: it ends at {last}"))
                .hint("was the topic made anew? begin anew, or from another offset"));
        }
        Ok(())
    }
}

impl Shared {
    /// Offsets by what the options say.
    fn positions(
        &self,
        position: &Position,
        prefix: &str,
        partitions: &[Key],
        ends: &Ends,
    ) -> Result<BTreeMap<Key, i64>> {
        let starts = prefix == "scan.startup";
        match position {
            Position::Earliest => Ok(ends.first.clone()),
            Position::Latest => Ok(ends.last.clone()),
            Position::Time(time) => {
                let found = self.offsets_at(partitions, Offset::Offset(*time))?;
                Ok(found
                    .into_iter()
                    .map(|(key, at)| (key.clone(), if at < 0 { ends.last[&key] } else { at }))
                    .collect())
            }
            Position::Group => {
                let found = self.committed(partitions)?;
                let place = |(key, at): (Key, i64)| {
                    let known = at >= ends.first[&key];
                    let at = if known { at } else { self.without_commit(&key, starts, ends)? };
                    Ok((key, at))
                };
                found.into_iter().map(place).collect()
            }
            Position::Offsets(offsets) => {
                let option = format!("{prefix}.specific-offsets");
                let (owner, span) = (&self.connection.owner, self.connection.options.span(&option));
                if let Some(unknown) = offsets.keys().find(|at| !partitions.iter().any(|(_, p)| p == *at)) {
                    return Err(Error::user(format!(
                        "{owner}: '{option}' names partition {unknown}, which is not there"
                    ))
                    .at(span));
                }
                let place = |key: &Key| match offsets.get(&key.1) {
                    Some(at) => Ok((key.clone(), *at)),
                    None if starts => Ok((key.clone(), ends.first[key])),
                    None => Err(Error::user(format!("{owner}: '{option}' names no offset for partition {}", key.1))
                        .at(span)
                        .hint("a bounded table needs one for each partition")),
                };
                partitions.iter().map(place).collect()
            }
        }
    }

    /// Where a partition begins of which the group has committed nothing that is still there.
    fn without_commit(&self, key: &Key, starts: bool, ends: &Ends) -> Result<i64> {
        let (topic, partition) = key;
        let nothing = || {
            let (owner, group) = (&self.connection.owner, self.connection.group().unwrap_or_default());
            let what = format!("group '{group}' has committed no offset of partition {partition} of topic '{topic}'");
            Error::user(format!("{owner}: {what}")).at(self.connection.options.span("properties.group.id"))
        };
        if !starts {
            return Err(nothing());
        }
        match self.connection.properties.get("auto.offset.reset").map(String::as_str) {
            Some("latest" | "largest" | "end") => Ok(ends.last[key]),
            Some("none" | "error") => {
                Err(nothing().hint("say where to begin: 'properties.auto.offset.reset' = 'earliest'"))
            }
            _ => Ok(ends.first[key]),
        }
    }
}

/// Reads one partition.
struct Reader {
    /// What was taken from the queue and is not handed on yet.
    held: Option<Messages>,
    /// Once the partition is assigned.
    queue: Option<Queue>,
    stretch: Stretch,
    /// The offset after the last chunk.
    next: i64,
    failed: Option<Error>,
    last_taken: Option<Instant>,
    shared: Arc<Shared>,
}

impl Reader {
    fn new(shared: Arc<Shared>, stretch: Stretch) -> Self {
        let next = stretch.start;
        Reader { held: None, queue: None, stretch, next, failed: None, last_taken: None, shared }
    }

    /// Begins to fetch.
    fn assign(&mut self) -> Result<()> {
        let (topic, partition) = &self.stretch.key;
        let queue = Queue::split(&self.shared.consumer, topic, *partition);
        let list = self.shared.list([(self.stretch.key.clone(), Offset::Offset(self.next))])?;
        let assigned = self.shared.consumer.incremental_assign(&list);
        assigned.map_err(|e| self.shared.failed(&format!("partition {partition} of topic '{topic}'"), &e))?;
        self.queue = queue;
        Ok(())
    }

    /// The end of a bounded partition.
    fn close(&mut self) -> Next {
        if self.queue.take().is_some()
            && let Ok(list) = self.shared.list([(self.stretch.key.clone(), Offset::Invalid)])
        {
            // It would be read on, for nobody.
            let _ = self.shared.consumer.incremental_unassign(&list);
        }
        self.held = None;
        Next::End
    }

    /// Takes what is there.
    fn fill(&mut self) -> Result<()> {
        if self.held.as_ref().is_some_and(|held| !held.is_empty()) {
            return Ok(());
        }
        if self.queue.is_none() {
            self.assign()?;
        }
        let Some(queue) = &self.queue else { return Ok(()) };
        let lingers =
            self.last_taken.is_some_and(|at| at.elapsed() < self.shared.linger) && queue.len() < LINGER_MESSAGES;
        self.held = (!lingers).then(|| queue.take(CHUNK_MESSAGES)).filter(|held| !held.is_empty());
        if self.held.is_some() {
            self.last_taken = Some(Instant::now());
            self.shared.ears().hear();
        }
        Ok(())
    }

    /// What can be said of something that is no message: `None` if it passes.
    fn fault(&self, code: RDKafkaErrorCode, text: &str) -> Option<Error> {
        let (topic, partition) = &self.stretch.key;
        let (owner, what) = (&self.shared.connection.owner, format!("partition {partition} of topic '{topic}'"));
        match code {
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                let error = Error::world(format!("{owner}: offset {} of {what} is gone", self.next));
                Some(error.because(text.to_string()).hint("its retention has removed rows before they were read"))
            }
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::BadCompression
            | RDKafkaErrorCode::NotImplemented
            | RDKafkaErrorCode::Fatal => {
                let error = Error::world(format!("{owner}: {what} cannot be read on from offset {}", self.next));
                Some(error.because(if text.is_empty() { words_of(code) } else { text.to_string() }))
            }
            _ => {
                self.shared.ears().wrong(&words_of(code));
                None
            }
        }
    }

    /// Cuts the next run of messages off what is held, and says where it ends.
    fn cut(&mut self) -> Option<(Messages, i64)> {
        let held = self.held.as_mut()?;
        let bound = self.stretch.end.unwrap_or(i64::MAX);
        let limit = bound.min(self.next.saturating_add(CHUNK_OFFSETS_MAX));
        let stop = held.iter().position(|m| m.error().is_some() || m.offset() >= limit).unwrap_or(held.len());
        let mut run = held.split_to(stop);
        let old = run.iter().position(|m| m.offset() >= self.next).unwrap_or(run.len());
        drop(run.split_to(old));
        let mut end = run.last().map_or(self.next, |m| m.offset() + 1);
        let fault = match held.first().map(|m| (m.error(), m.offset())) {
            None => None,
            Some((None, _)) => {
                // Behind the bound, or behind a gap that is wider than a chunk.
                end = limit;
                None
            }
            Some((Some(code), offset)) => {
                let word = held.split_to(1);
                if code == RDKafkaErrorCode::PartitionEOF {
                    end = end.max(offset);
                    None
                } else {
                    Some((code, word[0].error_text()))
                }
            }
        };
        if let Some((code, text)) = fault {
            self.failed = self.fault(code, &text);
        }
        Some((run, end.min(bound)))
    }
}

impl PartitionReader for Reader {
    fn next(&mut self) -> Result<Next> {
        if let Some(error) = self.failed.take() {
            self.close();
            return Err(error);
        }
        if self.stretch.end.is_some_and(|end| self.next >= end) {
            return Ok(self.close());
        }
        self.shared.serve();
        self.fill()?;
        let Some((messages, end)) = self.cut() else {
            let quiet = self.last_taken.map_or(IDLE_MAX, |at| at.elapsed() / 8);
            return Ok(Next::Pending(quiet.clamp(IDLE_MIN, self.shared.idle_max)));
        };
        if end <= self.next {
            // Only word of something: an error, or an end that is known.
            return Ok(Next::Pending(Duration::ZERO));
        }
        let base = std::mem::replace(&mut self.next, end);
        let topic = self.stretch.key.0.clone();
        let records = (end - base) as u64;
        Ok(Next::Chunk(Box::new(Run { messages, topic, base, records, shared: self.shared.clone() })))
    }

    fn seek(&mut self, offset: u64) -> Result<()> {
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        self.stretch.check(offset, &self.shared.connection)?;
        self.next = offset;
        Ok(())
    }

    fn start(&mut self) -> Result<u64> {
        Ok(self.next.max(0) as u64)
    }

    fn name(&self) -> Option<String> {
        Some(name_of(&self.stretch.key))
    }
}

/// A run of offsets of a partition.
struct Run {
    messages: Messages,
    topic: String,
    base: i64,
    records: u64,
    shared: Arc<Shared>,
}

impl Chunk for Run {
    fn decode(self: Box<Self>) -> Decoded {
        self.shared.rows.decode(&self.topic, &self.messages, self.base, self.records)
    }
}
