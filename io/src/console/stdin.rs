//! `'connector' = 'stdin'`: a source that reads JSON lines or CSV from a pipe, live, until its writer closes it.
//!
//! | option | default | meaning |
//! |---|---|---|
//! | `format` | `json` | or `csv`, with the options of CSV files |
//! | `scan.bounded` | `false` | the pipe is known to end: allows what needs the end of the input, such as ORDER BY |
//!
//! A thread reads ahead, at most [`QUEUE_BLOCKS`] blocks; `next` never waits for it. Records are handed on when a block is
//! full or the oldest of them is [`LINGER`] old. Stdin belongs to one table: it can be read once.

use std::io::{Cursor, ErrorKind, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::datatypes::Schema;
use crossbeam_channel::{Receiver, TryRecvError, bounded};
use pelton_engine::connector::{Chunk, Connector, Decoded, Next, Options, PartitionReader, ReadRequest, Source, Table};
use pelton_engine::error::{Error, Result};

use super::text_format;
use crate::formats::compression::Compression;
use crate::formats::text::{RECORD_BYTES_MAX, Records, TextFile, find_byte, newlines};
use crate::formats::{Format, InputFile, Wanted, csv, json};

/// Bytes that the thread reads at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// Blocks that the thread reads ahead at most; then the writer of the pipe waits.
const QUEUE_BLOCKS: usize = 32;
/// How long a record waits for others to share its chunk.
const LINGER: Duration = Duration::from_millis(20);
/// How soon to ask again when nothing is there.
const IDLE: Duration = Duration::from_millis(10);

/// Set once a table has taken stdin.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The `stdin` connector.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stdin;

impl Connector for Stdin {
    fn name(&self) -> &'static str {
        "stdin"
    }

    fn follows_the_clock(&self, _options: &Options) -> bool {
        true
    }

    fn bounded(&self, options: &Options) -> Result<bool> {
        options.flag("scan.bounded", false)
    }

    fn check(&self, table: &Table, _reads: bool) -> Result<()> {
        Pipe::new(table, &ReadRequest::default()).map(drop)
    }

    fn source(&self, table: &Table, request: &ReadRequest) -> Result<Box<dyn Source>> {
        let pipe = Pipe::new(table, request)?;
        if TAKEN.swap(true, Ordering::SeqCst) {
            return Err(Error::user(format!("{}: stdin is already read by another table", table.options.owner()))
                .hint("read it once, and use the one table in several queries"));
        }
        Ok(Box::new(Open { pipe: Some(pipe), input: Some(Box::new(std::io::stdin())) }))
    }
}

struct Open {
    pipe: Option<Pipe>,
    input: Option<Box<dyn Read + Send>>,
}

impl Source for Open {
    fn partitions(&mut self) -> Result<Vec<Box<dyn PartitionReader>>> {
        let (Some(pipe), Some(input)) = (self.pipe.take(), self.input.take()) else {
            return Err(Error::world("stdin can be read only once"));
        };
        Ok(vec![Box::new(pipe.start(input)?)])
    }
}

/// What is wanted of the pipe.
struct Pipe {
    wanted: Arc<Wanted>,
    file: Arc<InputFile>,
}

impl Pipe {
    fn new(table: &Table, request: &ReadRequest) -> Result<Self> {
        let options = &table.options;
        options.get("rows-per-second");
        options.flag("scan.bounded", false)?;
        let (format, csv) = text_format(options)?;
        let wanted = Wanted::new(&Schema::clone(&table.schema), &request.columns, request.batch_rows, format, csv);
        let file =
            InputFile { path: PathBuf::from("stdin"), size_bytes: 0, modified: None, compression: Compression::None };
        Ok(Pipe { wanted: Arc::new(wanted), file: Arc::new(file) })
    }

    /// Starts the thread that reads.
    fn start(self, mut input: Box<dyn Read + Send>) -> Result<Reader> {
        let (into, blocks) = bounded(QUEUE_BLOCKS);
        let read_on = move || {
            loop {
                let mut block = vec![0; BLOCK_BYTES];
                let read = match input.read(&mut block) {
                    Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                    Ok(0) => return,
                    Ok(bytes) => {
                        block.truncate(bytes);
                        Ok(block)
                    }
                    Err(e) => Err(e),
                };
                let failed = read.is_err();
                // The run is over when nobody takes blocks any more.
                if into.send(read).is_err() || failed {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("pelton-stdin".into());
        thread.spawn(read_on).map_err(|e| Error::world("cannot start a thread to read stdin").because(e))?;
        Ok(Reader { pipe: self, blocks, records: None, pending: vec![], line: 1, since: None, end: None })
    }

    /// What the records are, once the first lines are known, and how many bytes of them are no records (a header).
    fn records(&self, head: &[u8]) -> Result<(Arc<dyn Records>, usize)> {
        let text = TextFile::over(&self.file, Box::new(Cursor::new(head.to_vec())));
        let (records, rest): (Arc<dyn Records>, _) = match self.wanted.format {
            Format::Csv => {
                let (records, rest) = csv::over(text, &self.file, &self.wanted)?.into_parts();
                (records, rest)
            }
            _ => {
                let (records, rest) = json::over(text, &self.file, &self.wanted)?.into_parts();
                (records, rest)
            }
        };
        Ok((records, head.len() - rest))
    }
}

/// How the input ended.
enum End {
    Closed,
    Failed(std::io::Error),
}

struct Reader {
    pipe: Pipe,
    blocks: Receiver<std::io::Result<Vec<u8>>>,
    /// Known once the first line is there.
    records: Option<Arc<dyn Records>>,
    pending: Vec<u8>,
    /// Number of the first line in `pending`, from 1.
    line: u64,
    /// When the first byte of `pending` came.
    since: Option<Instant>,
    end: Option<End>,
}

impl Reader {
    /// Takes what the thread has read, up to about the size of a chunk.
    fn take_blocks(&mut self) {
        while self.end.is_none() && self.pending.len() < self.pipe.wanted.block_bytes {
            match self.blocks.try_recv() {
                Ok(Ok(block)) => {
                    self.pending.extend_from_slice(&block);
                    self.since.get_or_insert_with(Instant::now);
                }
                Ok(Err(cause)) => self.end = Some(End::Failed(cause)),
                Err(TryRecvError::Disconnected) => self.end = Some(End::Closed),
                Err(TryRecvError::Empty) => return,
            }
        }
    }

    /// Removes the first bytes of `pending`.
    fn take(&mut self, bytes: usize) -> (Vec<u8>, u64) {
        let rest = self.pending.split_off(bytes);
        let taken = std::mem::replace(&mut self.pending, rest);
        let line = self.line;
        self.line += newlines(&taken);
        self.since = (!self.pending.is_empty()).then(Instant::now);
        (taken, line)
    }

    /// Looks at the first line that says something: the header, or the record whose names the others share. By lines, so
    /// that nothing depends on what happens to have arrived.
    fn look_at_head(&mut self) -> Result<Option<Arc<dyn Records>>> {
        if let Some(records) = &self.records {
            return Ok(Some(records.clone()));
        }
        let mut head = 0;
        loop {
            match find_byte(b'\n', &self.pending[head..]) {
                Some(at) => {
                    let (line, next) = (head..head + at, head + at + 1);
                    head = next;
                    let line = &self.pending[line];
                    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
                    let comment = self.pipe.wanted.csv.comments && line.starts_with(b"#");
                    if !line.is_empty() && !comment {
                        break;
                    }
                }
                None if self.end.is_some() => {
                    head = self.pending.len();
                    break;
                }
                None => return Ok(None),
            }
        }
        let (records, skip) = self.pipe.records(&self.pending[..head])?;
        self.take(skip);
        self.records = Some(records.clone());
        Ok(Some(records))
    }
}

impl PartitionReader for Reader {
    fn next(&mut self) -> Result<Next> {
        self.take_blocks();
        let (ended, full) = (self.end.is_some(), self.pending.len() >= self.pipe.wanted.block_bytes);
        let waited = self.since.map(|since| since.elapsed());
        match waited {
            Some(waited) if !ended && !full && waited < LINGER => return Ok(Next::Pending(LINGER - waited)),
            None if !ended => return Ok(Next::Pending(IDLE)),
            _ => {}
        }
        if let Some(records) = self.look_at_head()? {
            // What a failure cuts is no record.
            let cut = records.cut(&self.pending, matches!(self.end, Some(End::Closed)));
            if cut > 0 {
                let (text, line) = self.take(cut);
                return Ok(Next::Chunk(Box::new(Lines { records, text, line })));
            }
        }
        match self.end.take() {
            Some(End::Closed) => {
                self.end = Some(End::Closed);
                Ok(Next::End)
            }
            Some(End::Failed(cause)) => {
                self.end = Some(End::Closed);
                self.pending.clear();
                Err(Error::world(format!("stdin cannot be read on from line {}", self.line)).because(cause))
            }
            None if self.pending.len() >= RECORD_BYTES_MAX => Err(Error::world(format!(
                "stdin has a record of more than {} MiB at line {}",
                RECORD_BYTES_MAX >> 20,
                self.line
            ))),
            None => {
                // Part of a record longer than a chunk, or than the lingering: read on.
                if full {
                    self.pending_more();
                }
                Ok(Next::Pending(IDLE))
            }
        }
    }

    fn seek(&mut self, offset: u64) -> Result<()> {
        match offset {
            0 => Ok(()),
            _ => Err(Error::world("stdin cannot be read again: what was in it before is gone")
                .hint("keep a history ('history.path') to replay what was read")),
        }
    }
}

impl Reader {
    /// Takes one more block although a chunk's worth is pending: the record is longer than that.
    fn pending_more(&mut self) {
        match self.blocks.try_recv() {
            Ok(Ok(block)) => self.pending.extend_from_slice(&block),
            Ok(Err(cause)) => self.end = Some(End::Failed(cause)),
            Err(TryRecvError::Disconnected) => self.end = Some(End::Closed),
            Err(TryRecvError::Empty) => {}
        }
    }
}

/// Whole records of the pipe.
struct Lines {
    records: Arc<dyn Records>,
    text: Vec<u8>,
    line: u64,
}

impl Chunk for Lines {
    fn decode(self: Box<Self>) -> Decoded {
        self.records.decode(&self.text, self.line)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc;

    use arrow::array::RecordBatch;
    use arrow::compute::concat_batches;
    use arrow::datatypes::{DataType, Field};
    use pelton_engine::error::Span;

    use super::*;
    use crate::console::print::render_table;

    fn table(pairs: &[(&str, &str)]) -> Table {
        let schema =
            Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("name", DataType::Utf8, true)]);
        let options =
            Options::new("table `t`", pairs.iter().map(|(k, v)| (k.to_string(), v.to_string(), Span::default())));
        Table { name: "t".into(), schema: Arc::new(schema), options, primary_key: vec![] }
    }

    /// A pipe: what is sent comes out in such pieces, and an error fails it.
    struct Pieces(Mutex<mpsc::Receiver<std::io::Result<Vec<u8>>>>);

    impl Read for Pieces {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            match self.0.lock().unwrap().recv() {
                Ok(piece) => {
                    let piece = piece?;
                    into[..piece.len()].copy_from_slice(&piece);
                    Ok(piece.len())
                }
                Err(_) => Ok(0),
            }
        }
    }

    fn open(pairs: &[(&str, &str)]) -> (mpsc::Sender<std::io::Result<Vec<u8>>>, Reader) {
        let table = table(pairs);
        let pipe =
            Pipe::new(&table, &ReadRequest { columns: vec![0, 1], batch_rows: 1024, ..Default::default() }).unwrap();
        let (into, pieces) = mpsc::channel();
        (into, pipe.start(Box::new(Pieces(Mutex::new(pieces)))).unwrap())
    }

    /// The next chunk, decoded; `None` at the end.
    fn chunk(reader: &mut Reader) -> Result<Option<Decoded>> {
        loop {
            match reader.next()? {
                Next::Chunk(chunk) => return Ok(Some(chunk.decode())),
                Next::Pending(time) => std::thread::sleep(time),
                Next::End => return Ok(None),
            }
        }
    }

    /// Rows and bad records of a text that comes in pieces of so many bytes.
    fn read(pairs: &[(&str, &str)], text: &str, piece_bytes: usize) -> (String, Vec<String>) {
        let (into, mut reader) = open(pairs);
        for piece in text.as_bytes().chunks(piece_bytes) {
            into.send(Ok(piece.to_vec())).unwrap();
        }
        drop(into);
        let (mut batches, mut bad): (Vec<RecordBatch>, _) = (vec![], vec![]);
        while let Some(decoded) = chunk(&mut reader).unwrap() {
            assert!(decoded.broken.is_none());
            batches.extend(decoded.batches.into_iter().map(|b| b.batch));
            bad.extend(decoded.bad.into_iter().map(|b| b.reason));
        }
        (render_table(&[concat_batches(&reader.pipe.wanted.schema, &batches).unwrap()]).unwrap(), bad)
    }

    const JSON: &str = "\u{feff}\n{\"ID\":1,\"name\":\"a\"}\n\n{\"ID\":2}\r\n{\"ID\":\"x\"}\n{\"ID\":3,\"name\":\"é\"}";
    const CSV: &str = "name,id\n\"a\nb\",1\n,2\nc,x\n\"d\"\"\",3";

    #[test]
    fn rows_do_not_depend_on_how_they_arrive() {
        for piece_bytes in [1, 2, 3, 7, 1000] {
            let (rows, bad) = read(&[], JSON, piece_bytes);
            assert_eq!(
                rows.lines().skip(3).take(3).collect::<Vec<_>>(),
                ["| 1  | a    |", "| 2  | NULL |", "| 3  | é    |"]
            );
            assert_eq!(bad, ["column 'id': 'x' is no BIGINT (line 5 of 'stdin')"]);
            let (rows, bad) = read(&[("format", "csv")], CSV, piece_bytes);
            assert_eq!(
                rows.lines().skip(3).take(4).collect::<Vec<_>>(),
                ["| 1  | a    |", "|    | b    |", "| 2  | NULL |", "| 3  | d\"   |"]
            );
            assert_eq!(bad, ["column 'id': 'x' is no BIGINT (line 5 of 'stdin')"]);
        }
        for format in ["json", "csv"] {
            assert_eq!(read(&[("format", format)], "", 1).1.len(), 0);
        }
    }

    #[test]
    fn records_come_while_the_pipe_is_open() {
        let (into, mut reader) = open(&[]);
        assert!(matches!(reader.next().unwrap(), Next::Pending(_)));
        into.send(Ok(b"{\"id\":1}\n{\"id\":2}\n{\"id\"".to_vec())).unwrap();
        let started = Instant::now();
        let decoded = chunk(&mut reader).unwrap().unwrap();
        assert_eq!(decoded.records, 2);
        assert!(started.elapsed() < Duration::from_secs(5));
        let started = Instant::now();
        assert!(matches!(reader.next().unwrap(), Next::Pending(_)));
        assert!(started.elapsed() < Duration::from_millis(50), "it does not wait");
        into.send(Ok(b":3}".to_vec())).unwrap();
        drop(into);
        assert_eq!(chunk(&mut reader).unwrap().unwrap().records, 1);
        assert!(chunk(&mut reader).unwrap().is_none());
        assert!(chunk(&mut reader).unwrap().is_none());
    }

    #[test]
    fn what_came_before_a_failure_is_kept() {
        let (into, mut reader) = open(&[]);
        into.send(Ok(b"{\"id\":1}\n{\"id\":2}\n{\"id\"".to_vec())).unwrap();
        into.send(Err(std::io::Error::other("cable pulled"))).unwrap();
        assert_eq!(chunk(&mut reader).unwrap().unwrap().records, 2);
        let error = chunk(&mut reader).err().unwrap();
        assert_eq!(error.to_string(), "stdin cannot be read on from line 3: cable pulled");
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn a_record_may_be_longer_than_a_chunk() {
        let long = format!("{{\"id\":1,\"name\":\"{}\"}}\n{{\"id\":2,\"name\":\"b\"}}\n", "x".repeat(3 << 20));
        let (into, mut reader) = open(&[]);
        for piece in long.as_bytes().chunks(BLOCK_BYTES) {
            into.send(Ok(piece.to_vec())).unwrap();
        }
        drop(into);
        let mut records = 0;
        while let Some(decoded) = chunk(&mut reader).unwrap() {
            assert!(decoded.bad.is_empty());
            records += decoded.records;
        }
        assert_eq!(records, 2);
    }

    #[test]
    fn stdin_is_live_and_belongs_to_one_table() {
        let request = ReadRequest { columns: vec![0], batch_rows: 10, ..Default::default() };
        assert!(!Stdin.bounded(&table(&[]).options).unwrap());
        assert!(Stdin.bounded(&table(&[("scan.bounded", "true")]).options).unwrap());
        let bad = table(&[("format", "parquet")]);
        assert_eq!(
            Stdin.source(&bad, &request).err().unwrap().to_string(),
            "table `t`: option 'format' is 'parquet', wanted one of json, csv"
        );
        let _open = Stdin.source(&table(&[]), &request).unwrap();
        assert_eq!(
            Stdin.source(&table(&[]), &request).err().unwrap().to_string(),
            "table `t`: stdin is already read by another table"
        );
        assert!(open(&[]).1.seek(5).is_err());
    }
}
