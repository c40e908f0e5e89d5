//! `protobuf-confluent`: every message says by an id in a schema registry, and by the place of its type there, what it is.

use std::sync::Arc;

use arrow::array::{BinaryArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use pelton_engine::connector::Options;
use pelton_engine::error::{Error, Result};
use prost_reflect::MessageDescriptor;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::super::grown::Wrong;
use super::super::registry::{Framed, Frames, Registry, Text, head};
use super::super::rows::{self, Reads};
use super::super::wire::{Wire, put_zigzag};
use super::super::{MessageDecoder, MessageEncoder};
use super::{ProtobufReader, ProtobufWriter, bad_type, message_type};

/// The name of the format, and the start of its options.
const NAME: &str = "protobuf-confluent";
/// Messages in messages that a type may lie.
const DEPTH_MAX: u64 = 64;
/// What the schema itself is called among those that it imports.
const MAIN: &str = "pelton-main.proto";

/// Makes rows of messages; columns that a message's type lacks are NULL.
pub fn decoder(options: &Options, schema: &SchemaRef, columns: &[usize]) -> Result<Arc<dyn MessageDecoder>> {
    let registry = Registry::open(options, NAME)?;
    let defaults = options.flag("protobuf-confluent.read-default-values", false)?;
    // Only for writing; known here too, so that one table may be read and written.
    for key in ["subject", "file", "message-class-name"] {
        options.get(&format!("{NAME}.{key}"));
    }
    Ok(Arc::new(Framed::new(ProtobufFrames { defaults }, registry, rows::wanted(schema, columns))))
}

/// Makes messages; the type is registered when the first one is made.
pub fn encoder(options: &Options, schema: &SchemaRef) -> Result<Box<dyn MessageEncoder>> {
    let registry = Registry::open(options, NAME)?;
    let subject = registry.subject(options)?;
    let path = options.require("protobuf-confluent.file")?;
    let of = message_type(options, NAME)?;
    options.flag("protobuf-confluent.read-default-values", false)?;
    let at = || options.span("protobuf-confluent.file");
    if let Some(other) = of.parent_file().dependencies().find(|f| f.package_name() != "google.protobuf") {
        let error = format!("{}: '{path}' imports '{}', which is not registered", options.owner(), other.name());
        return Err(Error::user(error).at(at()).hint("put all messages into one file"));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::user(format!("{}: '{path}' cannot be read", options.owner())).at(at()).because(e))?;
    let writer = ProtobufWriter::new(&of, schema).map_err(|wrong| bad_type(options, &of, wrong))?;
    Ok(Box::new(Registered { writer, registry, subject, text, place: place(&of) }))
}

/// Where a type is in its file: the index of its message, of the message in that, and so on.
fn place(of: &MessageDescriptor) -> Vec<u8> {
    let indices: Vec<i32> = of.path().iter().skip(1).step_by(2).copied().collect();
    let mut out = vec![];
    if indices == [0] {
        // Nearly always so, and said by one byte.
        return vec![0];
    }
    put_zigzag(indices.len() as i64, &mut out);
    indices.iter().for_each(|&index| put_zigzag(index.into(), &mut out));
    out
}

struct ProtobufFrames {
    defaults: bool,
}

impl Frames for ProtobufFrames {
    fn path<'a>(&self, body: &'a [u8]) -> Result<(Vec<usize>, &'a [u8]), Wrong> {
        let mut wire = Wire::new(body);
        let index = |wire: &mut Wire| {
            let index = wire.zigzag()?;
            usize::try_from(index).map_err(|_| format!("no message type has the index {index}"))
        };
        let path = match index(&mut wire)? {
            0 => vec![0],
            depth if depth as u64 <= DEPTH_MAX => (0..depth).map(|_| index(&mut wire)).collect::<Result<_, _>>()?,
            depth => return Err(format!("a message type {depth} deep")),
        };
        Ok((path, &body[body.len() - wire.left()..]))
    }

    fn reader(&self, text: &Text, path: &[usize], wanted: &SchemaRef) -> Result<Box<dyn Reads>, Wrong> {
        if text.kind != "PROTOBUF" {
            return Err(format!("it is of the kind {}, not PROTOBUF", text.kind));
        }
        let mut files = ChainFileResolver::new();
        files.add(Texts(text.clone()));
        files.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(files);
        compiler.include_imports(true);
        compiler.open_file(MAIN).map_err(|e| e.to_string())?;
        let file = compiler.descriptor_pool().get_file_by_name(MAIN).expect("it was compiled");
        let mut of: Option<MessageDescriptor> = None;
        for &index in path {
            of = match of {
                None => file.messages().nth(index),
                Some(of) => of.child_messages().nth(index),
            };
            if of.is_none() {
                return Err(format!("it has no message at {path:?}"));
            }
        }
        let of = of.ok_or("it has no message")?;
        Ok(Box::new(ProtobufReader::new(&of, wanted, self.defaults)?))
    }
}

/// The files that a registry has given.
struct Texts(Text);

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let text = match name {
            MAIN => Some(&self.0.schema),
            name => self.0.references.iter().find(|(known, _)| known == name).map(|(_, text)| text),
        };
        File::from_source(name, text.ok_or_else(|| protox::Error::file_not_found(name))?)
    }
}

struct Registered {
    writer: ProtobufWriter,
    registry: Arc<Registry>,
    subject: String,
    text: String,
    place: Vec<u8>,
}

impl MessageEncoder for Registered {
    fn encode(&mut self, rows: &RecordBatch) -> Result<BinaryArray> {
        if self.writer.head.is_empty() {
            let id = self.registry.register(&self.subject, "PROTOBUF", &self.text)?;
            self.writer.head = [head(id), self.place.clone()].concat();
        }
        self.writer.encode(rows)
    }
}
