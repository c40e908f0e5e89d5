//! What all clients of librdkafka have in common: configuration, what they say of brokers that are away, errors in words.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pelton_engine::error::{Error, Result};
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;

use super::options::Connection;

/// How long one request may take before it is tried again.
const ATTEMPT: Duration = Duration::from_secs(2);

/// How long a broker may take to make a topic that it makes by itself.
const MAKING: Duration = Duration::from_secs(3);

/// The configuration of a client: what `defaults` say, unless the table says otherwise.
pub fn config(connection: &Connection, defaults: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", "pelton");
    // Brokers that went away come back: look for them at least every second.
    config.set("reconnect.backoff.max.ms", "1000");
    config.set("socket.keepalive.enable", "true");
    for (key, value) in defaults {
        config.set(*key, *value);
    }
    for (key, value) in &connection.properties {
        config.set(key, value);
    }
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// Holds properties against what librdkafka knows, without a connection.
pub fn check(connection: &Connection) -> Result<()> {
    config(connection, &[]).create_native_config().map(drop).map_err(|e| not_made(connection, e))
}

/// What Java's clients call what librdkafka calls otherwise.
fn name_here(property: &str) -> Option<&'static str> {
    Some(match property {
        "sasl.jaas.config" => "write 'properties.sasl.username' and 'properties.sasl.password' instead",
        "ssl.truststore.location" | "ssl.truststore.certificates" => {
            "name a PEM file with the authorities: 'properties.ssl.ca.location'"
        }
        "ssl.keystore.type" | "ssl.truststore.type" | "ssl.truststore.password" => {
            "PEM files have no type: 'properties.ssl.ca.location', 'properties.ssl.certificate.location', 'properties.ssl.key.location'"
        }
        "key.deserializer" | "value.deserializer" | "key.serializer" | "value.serializer" => {
            "say 'format' and 'key.format' instead"
        }
        _ => return None,
    })
}

/// True for properties whose values nobody may see.
fn is_secret(property: &str) -> bool {
    ["password", "secret", "token", "key.pem", "jaas", "username"].iter().any(|word| property.contains(word))
}

/// The error for a client that can not be made.
pub fn not_made(connection: &Connection, error: KafkaError) -> Error {
    let owner = &connection.owner;
    match error {
        KafkaError::ClientConfig(_, reason, property, _) => {
            let key = format!("properties.{property}");
            let reason = if is_secret(&property) { "the value does not fit".to_string() } else { reason };
            let reason = reason.trim_end_matches('.');
            let error = Error::user(format!("{owner}: option '{key}': {reason}")).at(connection.options.span(&key));
            match name_here(&property) {
                Some(hint) => error.hint(hint),
                None => error.hint("properties are those of librdkafka (CONFIGURATION.md there)"),
            }
        }
        KafkaError::ClientCreation(reason) => Error::user(format!("{owner}: no Kafka client with these properties"))
            .at(connection.options.span("properties.bootstrap.servers"))
            .because(reason),
        other => Error::world(format!("{owner}: no Kafka client")).because(in_words(&other)),
    }
}

/// What librdkafka says, without the kind of its error.
pub fn in_words(error: &KafkaError) -> String {
    match error {
        KafkaError::Transaction(cause) => cause.string(),
        other => match other.rdkafka_error_code() {
            Some(code) => words_of(code),
            None => other.to_string(),
        },
    }
}

/// An error's code in words: `Broker: Unknown topic or partition`.
pub fn words_of(code: RDKafkaErrorCode) -> String {
    let text = code.to_string();
    match text.split_once(" (") {
        Some((_, words)) if words.ends_with(')') => words[..words.len() - 1].to_string(),
        _ => text,
    }
}

/// Hears what a client has to say of itself: brokers that are away are told once, until they are back.
pub struct Ears {
    owner: String,
    servers: String,
    /// Set once it may be said on stderr: before, the error of who waits says it.
    speaks: AtomicBool,
    away: AtomicBool,
    last: Mutex<Option<String>>,
}

impl Ears {
    /// The ears of a client of this table.
    pub fn new(connection: &Connection) -> Self {
        Ears {
            owner: connection.owner.clone(),
            servers: connection.servers.clone(),
            speaks: AtomicBool::new(false),
            away: AtomicBool::new(false),
            last: Mutex::default(),
        }
    }

    /// From now on, what is wrong is said on stderr.
    pub fn speak(&self) {
        self.speaks.store(true, Ordering::Relaxed);
    }

    /// Something came: the brokers are there.
    pub fn hear(&self) {
        if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
            self.say(&format!("note: {}: Kafka answers again at '{}'", self.owner, self.servers));
        }
    }

    /// The last that was wrong.
    pub fn last(&self) -> Option<String> {
        self.last.lock().expect("no panic holds this lock").clone()
    }

    /// Notes that something is wrong that may pass.
    pub fn wrong(&self, reason: &str) {
        *self.last.lock().expect("no panic holds this lock") = Some(reason.to_string());
        if self.speaks.load(Ordering::Relaxed) && !self.away.swap(true, Ordering::Relaxed) {
            self.say(&format!("warning: {}: waiting for Kafka at '{}': {reason}", self.owner, self.servers));
        }
    }

    fn say(&self, text: &str) {
        if self.speaks.load(Ordering::Relaxed) {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }
}

impl ClientContext for Ears {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _text: &str) {
        // Errors come as such too.
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // One of several may be away; all are told as such.
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {
                *self.last.lock().expect("no panic holds this lock") = Some(reason.to_string());
            }
            Some(RDKafkaErrorCode::PartitionEOF) => {}
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                let reason = self.last().unwrap_or_else(|| reason.to_string());
                self.wrong(&reason);
            }
            _ => self.wrong(reason),
        }
    }
}

impl ConsumerContext for Ears {}

/// Waits until a broker answers about `topic`, at most as long as the table allows; answers how many partitions there are.
///
/// `serve` is called now and then to hear what the client says meanwhile.
pub fn partitions_of<C: ClientContext>(
    client: &Client<C>,
    ears: &Ears,
    connection: &Connection,
    topic: &str,
    serve: impl Fn(),
) -> Result<i32> {
    let begun = Instant::now();
    loop {
        let left = connection.timeout.saturating_sub(begun.elapsed());
        let answer = client.fetch_metadata(Some(topic), left.min(ATTEMPT).max(Duration::from_millis(100)));
        serve();
        let failed = match answer {
            Ok(metadata) => match metadata.topics().iter().find(|t| t.name() == topic).map(looked_at) {
                Some(Ok(partitions)) => return Ok(partitions),
                Some(Err(code)) if code == RDKafkaErrorCode::TopicAuthorizationFailed => {
                    return Err(refused(connection, topic, code));
                }
                Some(Err(code)) => Some(code),
                None => None,
            },
            Err(_) => None,
        };
        // A topic that was asked for and is not made by then, will not be.
        let enough = if failed.is_some() { connection.timeout.min(MAKING) } else { connection.timeout };
        if begun.elapsed() >= enough {
            return Err(match failed {
                Some(code) => refused(connection, topic, code),
                None => no_answer(connection, ears),
            });
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn looked_at(topic: &MetadataTopic) -> Result<i32, RDKafkaErrorCode> {
    match topic.error() {
        Some(error) => Err(error.into()),
        None => Ok(topic.partitions().len() as i32),
    }
}

/// The error for a topic that the brokers do not give.
fn refused(connection: &Connection, topic: &str, code: RDKafkaErrorCode) -> Error {
    let (owner, servers) = (&connection.owner, &connection.servers);
    match code {
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
            Error::user(format!("{owner}: there is no topic '{topic}' at '{servers}'"))
                .at(connection.options.span("topic"))
                .hint("create it, or look at its name")
        }
        code => Error::world(format!("{owner}: topic '{topic}' at '{servers}' cannot be used")).because(words_of(code)),
    }
}

/// The error for brokers that do not answer.
pub fn no_answer(connection: &Connection, ears: &Ears) -> Error {
    let (owner, servers, seconds) = (&connection.owner, &connection.servers, connection.timeout.as_secs_f64());
    let error = Error::world(format!("{owner}: no Kafka broker answered at '{servers}' within {seconds} s"))
        .at(connection.options.span("properties.bootstrap.servers"))
        .hint("is it running, and are 'properties.bootstrap.servers' and 'properties.security.protocol' right? 'connect.timeout' says how long to wait");
    match ears.last() {
        Some(last) => error.because(last),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_in_words() {
        assert_eq!(words_of(RDKafkaErrorCode::UnknownTopicOrPartition), "Broker: Unknown topic or partition");
    }

    #[test]
    fn secrets_are_known() {
        assert!(is_secret("sasl.password") && is_secret("ssl.key.pem") && !is_secret("group.id"));
    }
}
