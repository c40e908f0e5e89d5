//! Schema registries, as Confluent's and those that speak like it: schemas by id, and what a message says of its schema.
//!
//! A message begins with a zero and the four bytes of an id. Schemas are asked for once; a registry that does not answer is
//! left alone for a while, so that a run whose registry is gone ends with messages that say so and not in waiting.

#[cfg(test)]
mod played;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::BinaryArray;
use arrow::datatypes::SchemaRef;
use pelton_engine::connector::{Decoded, Options};
use pelton_engine::error::{Error, Result};
use reqwest::{Client, Method, StatusCode, Url};
use serde_json::{Value, json};

use super::MessageDecoder;
use super::grown::Wrong;
use super::rows::{Answer, Growing, Reads, TOMBSTONE};
use crate::web;

/// How often a request is made, at most, of each server.
const TRIES: u32 = 3;
/// How long is waited before the second try; twice as long before the third.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a server may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// What is not known, or could not be asked for, is not asked for again so long.
const FORGET_AFTER: Duration = Duration::from_secs(10);
/// Schemas that are kept, known and unknown. More only come of messages that are none.
const KEPT_MAX: usize = 10_000;
/// Schemas that one may refer to, with theirs.
const REFERENCES_MAX: usize = 100;

/// A schema registry.
#[derive(Debug)]
pub struct Registry {
    /// The name of the format, for messages and options.
    format: &'static str,
    urls: Vec<Url>,
    client: Client,
    /// User and password.
    user: Option<(String, String)>,
    token: Option<String>,
}

/// A schema as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// What it says.
    pub schema: String,
    /// In which language: `AVRO`, `PROTOBUF`, `JSON`.
    pub kind: String,
    /// Schemas that it refers to by these names, each after those that it refers to itself.
    pub references: Vec<(String, String)>,
}

/// Why there is no schema.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The registry says so.
    Refused(StatusCode, String),
    /// It does not answer.
    Unreachable(String),
}

impl Registry {
    /// The registry at `<format>.url`. Nothing is asked yet.
    pub fn open(options: &Options, format: &'static str) -> Result<Arc<Self>> {
        let key = |name: &str| format!("{format}.{name}");
        let url = key("url");
        let mut urls = vec![];
        for text in options.require(&url)?.split(',').map(str::trim) {
            let parsed = Url::parse(text).ok().filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
            urls.push(parsed.ok_or_else(|| options.bad(&url, "one or several http:// or https:// addresses"))?);
        }
        let source = key("basic-auth.credentials-source");
        options.one_of(&source, &["USER_INFO", "URL"])?;
        let info = key("basic-auth.user-info");
        let user = match options.get(&info).map(|text| text.split_once(':')) {
            None => None,
            Some(Some((user, password))) => Some((user.to_string(), password.to_string())),
            Some(None) => {
                let error = Error::user(format!("{}: option '{info}' has no ':'", options.owner()));
                return Err(error.at(options.span(&info)).hint("it is 'user:password'"));
            }
        };
        let token = options.get(&key("bearer-auth.token")).map(str::to_string);
        Ok(Arc::new(Registry { format, urls, client: web::client()?, user, token }))
    }

    /// The name under which the schema of a table's messages is registered.
    pub fn subject(&self, options: &Options) -> Result<String> {
        let key = format!("{}.subject", self.format);
        match (options.get(&key), options.get("topic")) {
            (Some(subject), _) => Ok(subject.to_string()),
            (None, Some(topic)) => Ok(format!("{topic}-value")),
            (None, None) => options.require(&key).map(str::to_string),
        }
    }

    /// Where it is, without passwords.
    fn place(&self) -> String {
        let plain = |url: &Url| {
            let mut url = url.clone();
            let _ = (url.set_username(""), url.set_password(None));
            url.to_string().trim_end_matches('/').to_string()
        };
        self.urls.iter().map(plain).collect::<Vec<_>>().join(", ")
    }

    /// The schema with this id, and all that it refers to.
    pub fn by_id(&self, id: u32) -> Result<Text, Failure> {
        let found = self.ask(Method::GET, &["schemas", "ids", &id.to_string()], None)?;
        let mut references = vec![];
        self.follow(&found, &mut references)?;
        let text = |key: &str| found.get(key).and_then(Value::as_str).map(str::to_string);
        let schema = text("schema").ok_or_else(|| odd("its answer has no 'schema'"))?;
        Ok(Text { schema, kind: text("schemaType").unwrap_or_else(|| "AVRO".into()), references })
    }

    /// Gets the schemas that one refers to, each after its own.
    fn follow(&self, found: &Value, into: &mut Vec<(String, String)>) -> Result<(), Failure> {
        let none = vec![];
        for reference in found.get("references").and_then(Value::as_array).unwrap_or(&none) {
            let text = |key: &str| reference.get(key).and_then(Value::as_str);
            let (Some(name), Some(subject)) = (text("name"), text("subject")) else {
                return Err(odd("a reference has no name or subject"));
            };
            if into.iter().any(|(known, _)| known == name) {
                continue;
            }
            if into.len() >= REFERENCES_MAX {
                return Err(odd("a schema refers to more than 100 others"));
            }
            let version = reference.get("version").map_or("latest".into(), Value::to_string);
            // Its place first: a schema that refers to itself would be followed for ever.
            let at = into.len();
            into.push((name.to_string(), String::new()));
            let other = self.ask(Method::GET, &["subjects", subject, "versions", &version], None)?;
            self.follow(&other, into)?;
            let schema =
                other.get("schema").and_then(Value::as_str).ok_or_else(|| odd("its answer has no 'schema'"))?;
            let (name, _) = into.remove(at);
            into.push((name, schema.to_string()));
        }
        Ok(())
    }

    /// Registers a schema, or finds it registered; its id.
    pub fn register(&self, subject: &str, kind: &str, schema: &str) -> Result<u32> {
        let mut body = json!({"schema": schema});
        if kind != "AVRO" {
            body["schemaType"] = json!(kind);
        }
        let failed = |failure: Failure| match (self.shut(&failure), failure) {
            (Some(error), _) => error,
            (None, Failure::Unreachable(why)) => self.unreachable(&why),
            (None, Failure::Refused(status, why)) => {
                let error = Error::world(format!(
                    "the schema registry at {} does not take the schema of '{subject}': {why} (HTTP {})",
                    self.place(),
                    status.as_u16()
                ));
                match status {
                    StatusCode::CONFLICT => error.hint(
                        "the columns do not go with the schemas of that subject: change them, its compatibility, or the subject",
                    ),
                    _ => error,
                }
            }
        };
        let answer = self.ask(Method::POST, &["subjects", subject, "versions"], Some(&body)).map_err(failed)?;
        let id = answer.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| failed(odd("its answer has no 'id'")))
    }

    /// The error for a registry that gives nobody here anything: it does not answer, or entry is denied.
    fn shut(&self, failure: &Failure) -> Option<Error> {
        match failure {
            Failure::Unreachable(why) => Some(self.unreachable(why)),
            Failure::Refused(status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN), why) => {
                let code = status.as_u16();
                let error = format!("the schema registry at {} denies entry: {why} (HTTP {code})", self.place());
                Some(Error::world(error).hint(format!("set '{}.basic-auth.user-info' = 'user:password'", self.format)))
            }
            Failure::Refused(..) => None,
        }
    }

    /// The error for a registry that does not answer.
    fn unreachable(&self, why: &str) -> Error {
        Error::world(format!("the schema registry at {} does not answer: {why}", self.place()))
            .hint(format!("is '{}.url' right, and the registry running?", self.format))
    }

    /// Asks each server in turn, until one answers.
    fn ask(&self, method: Method, path: &[&str], body: Option<&Value>) -> Result<Value, Failure> {
        let mut failure = Failure::Unreachable("no address".into());
        for round in 0..TRIES {
            if round > 0 {
                std::thread::sleep(PAUSE * round);
            }
            for url in &self.urls {
                match web::wait(self.ask_once(&method, url, path, body)) {
                    Err(Failure::Unreachable(why)) => failure = Failure::Unreachable(why),
                    answer => return answer,
                }
            }
        }
        Err(failure)
    }

    async fn ask_once(
        &self,
        method: &Method,
        url: &Url,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let mut url = url.clone();
        url.path_segments_mut().expect("http addresses have paths").pop_if_empty().extend(path);
        let mut request = self.client.request(method.clone(), url);
        request = request.header("Accept", "application/vnd.schemaregistry.v1+json, application/json");
        if let Some((user, password)) = &self.user {
            request = request.basic_auth(user, Some(password));
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/vnd.schemaregistry.v1+json").body(body.to_string());
        }
        request = request.timeout(ANSWER_TIMEOUT);
        let unreachable = |e: reqwest::Error| Failure::Unreachable(web::reason(&e.without_url()));
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let text = response.text().await.map_err(unreachable)?;
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Failure::Unreachable(format!("HTTP {}", status.as_u16())));
        }
        let answer: Result<Value, _> = serde_json::from_str(&text);
        match answer {
            Ok(answer) if status.is_success() => Ok(answer),
            Ok(answer) => {
                let why = answer.get("message").and_then(Value::as_str).unwrap_or("it gives no reason");
                Err(Failure::Refused(status, why.to_string()))
            }
            Err(_) => Err(Failure::Refused(status, "its answer is no JSON: is this the address of a registry?".into())),
        }
    }
}

/// An answer that no registry should give.
fn odd(why: &str) -> Failure {
    Failure::Refused(StatusCode::OK, why.into())
}

/// What stands before a message with this schema.
pub fn head(id: u32) -> Vec<u8> {
    [&[0], id.to_be_bytes().as_slice()].concat()
}

/// The schema's id and what follows it.
fn split(message: &[u8]) -> Result<(u32, &[u8]), Wrong> {
    match message.split_first_chunk::<5>() {
        Some(([0, id @ ..], body)) => Ok((u32::from_be_bytes(*id), body)),
        Some(([magic, ..], _)) => Err(format!("no schema id: the message begins with {magic}, not with 0")),
        None => Err("no schema id: the message has fewer than 5 bytes".into()),
    }
}

/// What a format does with schemas of a registry.
pub trait Frames: Send + Sync {
    /// Which of a schema's messages follows, and the message; for formats that have several in a schema.
    fn path<'a>(&self, body: &'a [u8]) -> Result<(Vec<usize>, &'a [u8]), Wrong> {
        Ok((vec![], body))
    }

    /// A reader of the messages that this schema has written.
    fn reader(&self, text: &Text, path: &[usize], wanted: &SchemaRef) -> Result<Box<dyn Reads>, Wrong>;
}

/// A schema's id, and which of its messages is meant.
type Key = (u32, Vec<usize>);

/// A schema, or why it can't be read.
type Known = Result<Arc<dyn Reads>, (Wrong, Option<Failure>)>;

/// Makes rows of messages whose schemas are in a registry.
pub struct Framed<F> {
    frames: F,
    registry: Arc<Registry>,
    wanted: SchemaRef,
    /// What is known of ids and paths, and until when.
    known: Mutex<HashMap<Key, (Known, Option<Instant>)>>,
}

impl<F: Frames> Framed<F> {
    /// A decoder; nothing is asked yet.
    pub fn new(frames: F, registry: Arc<Registry>, wanted: SchemaRef) -> Self {
        Framed { frames, registry, wanted, known: Mutex::default() }
    }

    fn known(&self, id: u32, path: &[usize]) -> Known {
        // Held while the registry is asked: whoever else wants the same waits for the one answer.
        let mut known = self.known.lock().expect("no panic holds this lock");
        let key = (id, path.to_vec());
        if let Some((found, until)) = known.get(&key)
            && until.is_none_or(|until| Instant::now() < until)
        {
            return found.clone();
        }
        if known.len() >= KEPT_MAX {
            known.clear();
        }
        // One registry that does not answer is as good as all its schemas.
        let down = known.values().find_map(|(found, until)| match (found, until) {
            (Err((_, Some(Failure::Unreachable(why)))), Some(until)) if Instant::now() < *until => {
                Some(Failure::Unreachable(why.clone()))
            }
            _ => None,
        });
        let found = self.look(id, path, down);
        let until = found.as_ref().err().map(|_| Instant::now() + FORGET_AFTER);
        known.insert(key, (found.clone(), until));
        found
    }

    fn look(&self, id: u32, path: &[usize], down: Option<Failure>) -> Known {
        let text = match down.map_or_else(|| self.registry.by_id(id), Err) {
            Ok(text) => text,
            Err(failure) => {
                let place = self.registry.place();
                let why = match &failure {
                    Failure::Refused(StatusCode::NOT_FOUND, _) => {
                        format!("schema {id} is unknown to the registry at {place}")
                    }
                    Failure::Refused(status, why) => {
                        format!("the registry at {place} does not give schema {id}: {why} (HTTP {})", status.as_u16())
                    }
                    Failure::Unreachable(why) => format!("the registry at {place} does not answer: {why}"),
                };
                return Err((why, Some(failure)));
            }
        };
        let reader = self.frames.reader(&text, path, &self.wanted);
        reader.map(Arc::from).map_err(|wrong| (format!("schema {id} of the registry: {wrong}"), None))
    }
}

impl<F: Frames> MessageDecoder for Framed<F> {
    fn decode(&self, values: &BinaryArray) -> Decoded {
        let mut answer = Answer::new(values, &self.wanted);
        let mut groups: HashMap<Key, (Known, Option<Growing>)> = HashMap::new();
        for (record, value) in values.iter().enumerate() {
            let framed = value.ok_or_else(|| TOMBSTONE.to_string()).and_then(|message| {
                let (id, body) = split(message)?;
                let (path, body) = self.frames.path(body)?;
                Ok((id, path, body))
            });
            let (id, path, body) = match framed {
                Ok(framed) => framed,
                Err(wrong) => {
                    answer.bad(record, wrong);
                    continue;
                }
            };
            let (known, growing) = groups.entry((id, path)).or_insert_with_key(|(id, path)| {
                let known = self.known(*id, path);
                let growing = known.as_ref().ok().map(|reader| Growing::new(reader.as_ref()));
                (known, growing)
            });
            let added = match (&*known, growing) {
                (Ok(reader), Some(growing)) => growing.add(reader.as_ref(), record, body),
                (Err((wrong, failure)), _) => {
                    if let Some(error) = failure.as_ref().and_then(|failure| self.registry.shut(failure)) {
                        answer.broken(error);
                    }
                    Err(wrong.clone())
                }
                (Ok(_), None) => unreachable!("rows grow for every schema that is known"),
            };
            if let Err(wrong) = added {
                answer.bad(record, wrong);
            }
        }
        groups.into_values().filter_map(|(_, growing)| growing).for_each(|growing| growing.into_answer(&mut answer));
        answer.done()
    }
}

#[cfg(test)]
mod tests {
    use super::super::avro::confluent as avro;
    use super::super::protobuf::confluent as protobuf;
    use super::super::rows::told::{check, check_neighbours, columns, damaged, options, show};
    use super::played::Played;
    use super::*;
    use arrow::array::{Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::DataType;
    use proptest::prelude::*;

    fn table() -> SchemaRef {
        columns(&[("id", DataType::Int64), ("name", DataType::Utf8)])
    }

    fn rows(ids: &[i64]) -> RecordBatch {
        let names: StringArray = ids.iter().map(|id| (*id != 0).then(|| format!("n{id}"))).collect();
        RecordBatch::try_new(table(), vec![Arc::new(Int64Array::from(ids.to_vec())), Arc::new(names)]).unwrap()
    }

    fn avro_schema(fields: &str) -> Value {
        json!({"schema": format!(r#"{{"type":"record","name":"r","fields":[{fields}]}}"#)})
    }

    #[test]
    fn written_schemas_are_registered_and_read_again() {
        let registry = Played::start(Some("Basic dXNlcjpwYXNz"));
        let pairs = [
            ("topic", "orders"),
            ("avro-confluent.url", &registry.url),
            ("avro-confluent.basic-auth.user-info", "user:pass"),
        ];
        let options = options(&pairs);
        let mut encoder = avro::encoder(&options, &table()).unwrap();
        assert!(registry.requests().is_empty(), "nothing is asked before the first row");
        let messages = encoder.encode(&rows(&[1, 0])).unwrap();
        encoder.encode(&rows(&[2])).unwrap();
        assert_eq!(&messages.value(0)[..5], [0, 0, 0, 0, 1]);
        let decoder = avro::decoder(&options, &table(), &[0, 1]).unwrap();
        assert_eq!(check(decoder.as_ref(), &messages.iter().collect::<Vec<_>>()), ["0: 1|n1", "1: 0|NULL"]);
        assert_eq!(registry.requests(), ["POST /subjects/orders-value/versions", "GET /schemas/ids/1"], "each once");
    }

    #[test]
    fn each_message_is_read_by_its_own_schema() {
        let registry = Played::start(None);
        let old = registry.add("s", avro_schema(r#"{"name":"id","type":"int"}"#));
        let new = registry.add(
            "s",
            avro_schema(
                r#"{"name":"more","type":"string"},{"name":"name","type":"string"},{"name":"id","type":"long"}"#,
            ),
        );
        let other = registry.add("s", avro_schema(r#"{"name":"id","type":{"type":"array","items":"int"}}"#));
        let json = registry.add("s", json!({"schema": "{}", "schemaType": "JSON"}));
        let named = json!({"schema": r#"{"type":"enum","name":"com.kind","symbols":["A","B"]}"#});
        registry.add("kinds", named);
        let mut referring = avro_schema(r#"{"name":"id","type":"long"},{"name":"name","type":"com.kind"}"#);
        referring["references"] = json!([{"name": "com.kind", "subject": "kinds", "version": 1}]);
        let referring = registry.add("s", referring);
        let decoder = avro::decoder(&options(&[("avro-confluent.url", &registry.url)]), &table(), &[0, 1]).unwrap();
        let message = |id: u32, body: &[u8]| [head(id).as_slice(), body].concat();
        let messages = [
            message(new, &[2, b'x', 2, b'n', 14]),
            message(old, &[4]),
            message(99, &[4]),
            message(other, &[0]),
            message(old, &[]),
            message(referring, &[2, 2]),
            message(json, b"{}"),
            message(new, &[0, 0, 16]),
            vec![1, 0, 0, 0, 1, 2],
            vec![0, 0],
        ];
        let values: Vec<Option<&[u8]>> = messages.iter().map(|m| Some(m.as_slice())).collect();
        let unknown = format!("2! schema 99 is unknown to the registry at {}", registry.url);
        assert_eq!(
            check(decoder.as_ref(), &values),
            [
                "0: 7|n",
                "1: 2|NULL",
                &unknown,
                "3! schema 3 of the registry: column 'id': an array of the schema does not convert to BIGINT",
                "4! column 'id': the message ends in the middle of a number",
                "5: 1|B",
                "6! schema 4 of the registry: it is of the kind JSON, not AVRO",
                "7: 8|",
                "8! no schema id: the message begins with 1, not with 0",
                "9! no schema id: the message has fewer than 5 bytes",
            ]
        );
        let asked = registry.requests();
        assert_eq!(
            asked.iter().filter(|r| r.ends_with("/99")).count(),
            1,
            "what is unknown is asked for once: {asked:?}"
        );
    }

    #[test]
    fn a_registry_that_is_gone_is_an_error_and_its_messages_are_kept() {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("http://user:secret@{gone}");
        let options = options(&[("topic", "t"), ("avro-confluent.url", &url)]);
        let start = Instant::now();
        let error = avro::encoder(&options, &table()).unwrap().encode(&rows(&[1])).unwrap_err();
        assert!(error.to_string().contains("does not answer") && !error.to_string().contains("secret"), "{error}");
        assert!(error.advice().unwrap().contains("avro-confluent.url"));
        let decoder = avro::decoder(&options, &table(), &[0, 1]).unwrap();
        for id in 0..50 {
            let decoded = decoder.decode(&BinaryArray::from_iter_values([[0, 0, 0, 0, id, 2], [0, 0, 0, 1, id, 2]]));
            assert_eq!(decoded.broken.unwrap().exit_code(), 1);
            assert_eq!((decoded.records, decoded.bad.len(), decoded.bad[0].bytes.len()), (2, 2, 6));
            assert!(decoded.bad[0].reason.contains("does not answer"), "{}", decoded.bad[0].reason);
        }
        assert!(start.elapsed() < Duration::from_secs(20), "it is not asked for every message");
    }

    #[test]
    fn refusals_say_what_to_do() {
        let registry = Played::start(Some("Bearer right"));
        let with = |extra: (&'static str, &'static str)| {
            options(&[("topic", "t"), ("avro-confluent.url", &registry.url), extra])
        };
        let refused = |options: &Options| avro::encoder(options, &table()).unwrap().encode(&rows(&[1])).unwrap_err();
        let wrong = with(("avro-confluent.bearer-auth.token", "wrong"));
        let decoder = avro::decoder(&wrong, &table(), &[0]).unwrap();
        let read = decoder.decode(&BinaryArray::from_iter_values([[0, 0, 0, 0, 1, 2]])).broken.unwrap();
        for error in [refused(&wrong), read] {
            assert!(error.to_string().contains("denies entry: Unauthorized (HTTP 401)"), "{error}");
            assert!(error.advice().unwrap().contains("user-info"));
        }
        let mut options = with(("avro-confluent.bearer-auth.token", "right"));
        options.set("avro-confluent.schema", r#"{"type":"record","name":"incompatible","fields":[{"name":"id","type":"long"},{"name":"name","type":["null","string"]}]}"#);
        assert!(refused(&options).advice().unwrap().contains("compatibility"));
        for (key, value) in
            [("avro-confluent.url", "localhost:8081"), ("avro-confluent.basic-auth.user-info", "nobody")]
        {
            let mut options = with(("avro-confluent.subject", "s"));
            options.set(key, value);
            assert!(avro::decoder(&options, &table(), &[0]).map(drop).unwrap_err().to_string().contains(key));
        }
    }

    #[test]
    fn protobuf_with_imports_and_nested_types() {
        let registry = Played::start(None);
        let common = "syntax = \"proto3\"; package c; message Name { string text = 1; }";
        registry.add("common", json!({"schema": common, "schemaType": "PROTOBUF"}));
        let main = "syntax = \"proto3\"; import \"c/common.proto\"; import \"google/protobuf/timestamp.proto\";
            message First { int32 id = 1; } message Second { message Inner { sint64 id = 7; string name = 8; c.Name n = 9; } }";
        let id = registry.add(
            "s",
            json!({"schema": main, "schemaType": "PROTOBUF",
            "references": [{"name": "c/common.proto", "subject": "common", "version": 1}]}),
        );
        let decoder =
            protobuf::decoder(&options(&[("protobuf-confluent.url", &registry.url)]), &table(), &[0, 1]).unwrap();
        let message = |body: &[u8]| [head(id).as_slice(), body].concat();
        let messages = [
            message(&[0, 8, 5]),
            message(&[2, 0, 8, 5]),
            message(&[4, 2, 0, 56, 3, 66, 1, b'x']),
            message(&[2, 8, 8, 5]),
            message(&[0x81]),
            message(&[0xfe, 0xff, 3]),
        ];
        let values: Vec<Option<&[u8]>> = messages.iter().map(|m| Some(m.as_slice())).collect();
        let shown = check(decoder.as_ref(), &values);
        assert_eq!(
            shown[..4],
            ["0: 5|NULL", "1: 5|NULL", "2: -2|x", "3! schema 2 of the registry: it has no message at [4]"]
        );
        assert!(shown[4].contains("ends in the middle") && shown[5].contains("deep"), "{shown:?}");
    }

    #[test]
    fn protobuf_types_are_registered() {
        let registry = Played::start(None);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("order.proto");
        std::fs::write(
            &file,
            "syntax = \"proto3\"; message A {} message B { message C { int64 id = 1; optional string name = 2; } }",
        )
        .unwrap();
        let pairs = [
            ("protobuf-confluent.url", registry.url.as_str()),
            ("protobuf-confluent.subject", "a subject/of two"),
            ("protobuf-confluent.file", file.to_str().unwrap()),
            ("protobuf-confluent.message-class-name", "B.C"),
        ];
        let messages = protobuf::encoder(&options(&pairs), &table()).unwrap().encode(&rows(&[1, 0])).unwrap();
        assert_eq!(messages.value(0), [0, 0, 0, 0, 1, 4, 2, 0, 8, 1, 18, 2, b'n', b'1']);
        assert_eq!(registry.requests(), ["POST /subjects/a%20subject%2Fof%20two/versions"]);
        let decoder = protobuf::decoder(&options(&pairs), &table(), &[0, 1]).unwrap();
        assert_eq!(check(decoder.as_ref(), &messages.iter().collect::<Vec<_>>()), ["0: 1|n1", "1: 0|NULL"]);
    }

    #[test]
    fn damaged_messages_harm_nobody() {
        let registry = Played::start(None);
        let id = registry.add("s", avro_schema(r#"{"name":"name","type":"string"},{"name":"id","type":"long"}"#));
        let decoder = avro::decoder(&options(&[("avro-confluent.url", &registry.url)]), &table(), &[0, 1]).unwrap();
        let good = [head(id).as_slice(), &[6, b'a', b'b', b'c', 20]].concat();
        let config = ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
        proptest!(config, |(message in damaged(vec![good.clone()]))| check_neighbours(decoder.as_ref(), &good, &message));
        assert_eq!(show(decoder.decode(&BinaryArray::from_iter_values([good]))), ["0: 10|abc"]);
    }
}
