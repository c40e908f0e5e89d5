//! Watched directories: `'source.monitor-interval'`. A file that appears is read once, however often the run is killed.
//!
//! All files are one partition, in the order in which they were found; those of one look in the order of their paths. That order
//! is what a checkpoint has to remember ([`Source::token`]), with the number of records of each file, so that an offset names the
//! same record for ever. Of a file that is gone, and whose records are all in a checkpoint, only the number stays.
//!
//! A file must be whole when it appears: written beside, or under a name that begins with `.` or `_`, and then renamed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pelton_engine::connector::{Chunk, Decoded, Next, Options, PartitionReader, Source};
use pelton_engine::error::{Error, Result};
use serde::{Deserialize, Serialize};

use super::Settings;
use super::source::{FileReader, Files};
use crate::formats::InputFile;

/// The longest wait until somebody asks again.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// A table whose files come one after the other.
pub(super) struct Watched {
    files: Arc<Files>,
    look: Arc<Look>,
    seen: Arc<Mutex<Seen>>,
}

/// How files are looked for.
struct Look {
    settings: Settings,
    options: Options,
    every: Duration,
}

/// The files that were found, in order.
#[derive(Default)]
struct Seen {
    /// Records of files before the first.
    forgotten: u64,
    files: Vec<Found>,
    /// The first of them that nobody has begun to read.
    next: usize,
    /// How far the partition is in a checkpoint.
    completed: u64,
    /// What was there at the last look.
    there: BTreeSet<PathBuf>,
}

struct Found {
    file: Arc<InputFile>,
    count: Arc<Count>,
}

/// Records of a file, as far as it was read.
#[derive(Default)]
struct Count {
    records: AtomicU64,
    /// Chunks with somebody, and one more until the end was seen.
    open: AtomicU64,
}

impl Count {
    /// Of a file that is read from this record on.
    fn from(record: u64) -> Arc<Self> {
        Arc::new(Count { records: AtomicU64::new(record), open: AtomicU64::new(1) })
    }

    /// How many records the file has, once that is known.
    fn known(&self) -> Option<u64> {
        (self.open.load(Ordering::Acquire) == 0).then(|| self.records.load(Ordering::Relaxed))
    }
}

/// A file as a checkpoint knows it.
#[derive(Serialize, Deserialize)]
struct Kept {
    path: PathBuf,
    bytes: u64,
    /// `None` if it was not read to its end.
    records: Option<u64>,
}

/// [`Seen`] as a checkpoint knows it.
#[derive(Serialize, Deserialize)]
struct KeptList {
    forgotten: u64,
    files: Vec<Kept>,
}

impl Seen {
    /// Forgets files that are gone, and whose records are all in a checkpoint: nobody will ask for them.
    fn forget(&mut self) {
        let (mut at, mut end) = (0, self.forgotten);
        while at < self.files.len() {
            let Some(records) = self.files[at].count.known() else { return };
            end += records;
            if end > self.completed {
                return;
            }
            if self.there.contains(&self.files[at].file.path) {
                at += 1;
                continue;
            }
            self.files.remove(at);
            self.next -= 1;
            // Its records count with those before it. No offset among these is asked for any more.
            match at.checked_sub(1) {
                Some(before) => drop(self.files[before].count.records.fetch_add(records, Ordering::Relaxed)),
                None => self.forgotten += records,
            }
        }
    }
}

impl Watched {
    pub(super) fn new(files: Files, settings: Settings, options: Options, every: Duration) -> Self {
        let settings = Settings { format: Some(files.wanted.format), ..settings };
        Watched { files: Arc::new(files), look: Arc::new(Look { settings, options, every }), seen: Arc::default() }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Source for Watched {
    fn partitions(&mut self) -> Result<Vec<Box<dyn PartitionReader>>> {
        Ok(vec![Box::new(WatchedReader {
            files: self.files.clone(),
            look: self.look.clone(),
            seen: self.seen.clone(),
            current: None,
            looked: None,
            skip: 0,
        })])
    }

    fn token(&mut self) -> Option<String> {
        let mut seen = lock(&self.seen);
        seen.forget();
        let kept = |found: &Found| Kept {
            path: found.file.path.clone(),
            bytes: found.file.size_bytes,
            records: found.count.known(),
        };
        let list = KeptList { forgotten: seen.forgotten, files: seen.files.iter().map(kept).collect() };
        serde_json::to_string(&list).ok()
    }

    fn restore(&mut self, token: &str) -> Result<()> {
        let list: KeptList = serde_json::from_str(token)
            .map_err(|e| Error::world("the checkpoint does not say which files were read").because(e))?;
        let mut seen = lock(&self.seen);
        seen.forgotten = list.forgotten;
        for Kept { path, bytes, records } in list.files {
            let file = InputFile { path, size_bytes: bytes, modified: None, compression: Default::default() };
            let count = Count::from(records.unwrap_or_default());
            count.open.store(records.is_none().into(), Ordering::Release);
            seen.files.push(Found { file: Arc::new(file), count });
        }
        Ok(())
    }

    fn completed(&mut self, offsets: &[(Option<String>, u64)]) {
        if let Some((_, offset)) = offsets.first() {
            lock(&self.seen).completed = *offset;
        }
    }
}

/// Reads the files as they come.
struct WatchedReader {
    files: Arc<Files>,
    look: Arc<Look>,
    seen: Arc<Mutex<Seen>>,
    current: Option<Current>,
    looked: Option<Instant>,
    /// Records to leave out before the first one.
    skip: u64,
}

/// The file that is read.
struct Current {
    file: FileReader,
    count: Arc<Count>,
    /// The chunk after the last one that was given.
    ahead: Option<Box<dyn Chunk>>,
}

impl WatchedReader {
    /// The next file, if there is one that nobody has begun to read.
    fn next_file(&self) -> Option<Current> {
        let mut seen = lock(&self.seen);
        let at = seen.next;
        let Found { file, count } = seen.files.get_mut(at)?;
        *count = Count::from(self.skip);
        let file = FileReader::open(file, &self.files.wanted, &self.files.metadata);
        let current = Current { file, count: count.clone(), ahead: None };
        seen.next += 1;
        Some(current)
    }

    /// Looks for new files. True if there are some.
    fn look(&mut self) -> Result<bool> {
        self.looked = Some(Instant::now());
        let (listed, _) = self.look.settings.list(&self.look.options)?;
        let mut seen = lock(&self.seen);
        let known: BTreeSet<PathBuf> = seen.files.iter().map(|found| found.file.path.clone()).collect();
        seen.there = listed.iter().map(|file| file.path.clone()).collect();
        let new = listed.into_iter().filter(|file| !known.contains(&file.path));
        seen.files.extend(new.map(|file| Found { file: Arc::new(file), count: Count::from(0) }));
        Ok(seen.next < seen.files.len())
    }
}

impl PartitionReader for WatchedReader {
    fn next(&mut self) -> Result<Next> {
        loop {
            if let Some(Current { mut file, count, ahead }) = self.current.take() {
                let chunk = ahead.or_else(|| file.next(&mut self.skip));
                let ahead = file.next(&mut self.skip);
                count.open.fetch_add(chunk.is_some().into(), Ordering::Relaxed);
                match ahead {
                    // The end is known with the last chunk: once that is in a checkpoint, nobody wants the file any more.
                    None => drop(count.open.fetch_sub(1, Ordering::Release)),
                    ahead => self.current = Some(Current { file, count: count.clone(), ahead }),
                }
                if let Some(chunk) = chunk {
                    return Ok(Next::Chunk(Box::new(Counted { chunk, count })));
                }
            }
            self.current = self.next_file();
            if self.current.is_some() {
                continue;
            }
            let every = self.look.every;
            let left = self.looked.map_or(Duration::ZERO, |at| every.saturating_sub(at.elapsed()));
            if !left.is_zero() || !self.look()? {
                return Ok(Next::Pending(if left.is_zero() { every } else { left }.min(PAUSE_MAX)));
            }
        }
    }

    fn seek(&mut self, offset: u64) -> Result<()> {
        let mut seen = lock(&self.seen);
        let seen = &mut *seen;
        seen.completed = offset;
        let mut left =
            offset.checked_sub(seen.forgotten).ok_or_else(|| Error::world("files are gone that are to be read"))?;
        while let Some(records) = seen.files.get(seen.next).and_then(|found| found.count.known())
            && records <= left
        {
            left -= records;
            seen.next += 1;
        }
        self.skip = left;
        for found in &mut seen.files[seen.next..] {
            let (path, bytes) = (found.file.path.clone(), found.file.size_bytes);
            let shown = path.display();
            let file = InputFile::look(path.clone()).map_err(|e| {
                Error::world(format!("file '{shown}' was found before, and can't be looked at now"))
                    .because(e)
                    .hint("put it back: a file of a watched directory may go when its rows are in a checkpoint")
            })?;
            if file.size_bytes != bytes {
                let now = file.size_bytes;
                return Err(Error::world(format!("file '{shown}' had {bytes} bytes when it was found, and has {now} now"))
                    .hint("a file of a watched directory must be whole when it appears, and stay as it is until its rows are in a checkpoint"));
            }
            *found = Found { file: Arc::new(file), count: Count::from(0) };
        }
        Ok(())
    }
}

/// A chunk whose records are counted for its file.
struct Counted {
    chunk: Box<dyn Chunk>,
    count: Arc<Count>,
}

impl Chunk for Counted {
    fn decode(self: Box<Self>) -> Decoded {
        let decoded = self.chunk.decode();
        self.count.records.fetch_add(decoded.records, Ordering::Relaxed);
        self.count.open.fetch_sub(1, Ordering::Release);
        decoded
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use arrow::datatypes::{DataType, Field, Schema};
    use pelton_engine::connector::{Connector, ReadRequest, Table};

    use super::super::Filesystem;
    use super::super::tests::options;
    use super::*;
    use crate::formats::tests_of_formats::rows_as_text;

    fn open(path: &Path, words: &[&str], batch_rows: usize) -> Result<Box<dyn Source>> {
        let words: Vec<&str> = ["source.monitor-interval=1us"].iter().chain(words).copied().collect();
        let table = Table {
            name: "t".into(),
            schema: Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)])),
            options: options(path, &words),
            primary_key: vec![],
        };
        let request = ReadRequest { columns: vec![0], batch_rows, ..Default::default() };
        assert!(!Filesystem.bounded(&table.options)?);
        let source = Filesystem.source(&table, &request);
        table.options.reject_unknown()?;
        source
    }

    /// Values that come until nothing comes; with the offsets behind the chunks.
    fn drain(reader: &mut dyn PartitionReader) -> (Vec<String>, Vec<u64>) {
        let (mut rows, mut ends, mut quiet) = (vec![], vec![], 0);
        while quiet < 3 {
            match reader.next().unwrap() {
                Next::End => panic!("a watched directory has no end"),
                Next::Pending(_) => quiet += 1,
                Next::Chunk(chunk) => {
                    let decoded = chunk.decode();
                    rows.extend(decoded.batches.iter().flat_map(|batch| rows_as_text(&batch.batch)));
                    ends.push(decoded.records);
                }
            }
        }
        (rows, ends)
    }

    fn put(dir: &Path, name: &str, ids: std::ops::Range<i64>) {
        let lines: String = ids.map(|id| format!("{id}\n")).collect();
        std::fs::write(dir.join(".new"), format!("id\n{lines}")).unwrap();
        std::fs::rename(dir.join(".new"), dir.join(name)).unwrap();
    }

    fn texts(ids: std::ops::Range<i64>) -> Vec<String> {
        ids.map(|id| id.to_string()).collect()
    }

    #[test]
    fn files_are_read_once_in_the_order_in_which_they_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut source = open(dir.path(), &["format=csv"], 2).unwrap();
        let mut reader = source.partitions().unwrap().remove(0);
        assert!(drain(reader.as_mut()).0.is_empty());
        put(dir.path(), "b.csv", 0..3);
        assert_eq!(drain(reader.as_mut()).0, texts(0..3));
        put(dir.path(), "c.csv", 5..7);
        put(dir.path(), "a.csv", 3..5);
        put(dir.path(), "_half.csv", 90..95);
        assert_eq!(drain(reader.as_mut()).0, texts(3..7));
        assert!(drain(reader.as_mut()).0.is_empty());

        // From any offset the rest comes, then what is new.
        let token = source.token().unwrap();
        for offset in 0..=7 {
            let mut source = open(dir.path(), &["format=csv"], 2).unwrap();
            source.restore(&token).unwrap();
            let mut reader = source.partitions().unwrap().remove(0);
            reader.seek(offset).unwrap();
            assert_eq!(drain(reader.as_mut()).0, texts(offset as i64..7), "from {offset}");
            let again = source.token().unwrap();
            assert_eq!(again, token, "from {offset}");
        }
    }

    #[test]
    fn a_token_of_any_moment_will_do() {
        let dir = tempfile::tempdir().unwrap();
        for (name, ids) in [("a.csv", 0..5), ("b.csv", 5..5), ("c.csv", 5..12)] {
            put(dir.path(), name, ids);
        }
        let mut source = open(dir.path(), &[], 2).unwrap();
        let mut reader = source.partitions().unwrap().remove(0);
        let (mut chunks, mut tokens, mut read) = (vec![], vec![], 0);
        loop {
            tokens.push((read, source.token().unwrap()));
            // Chunks are decoded later than they are read.
            let ahead = match reader.next().unwrap() {
                Next::Chunk(chunk) => {
                    chunks.push(chunk);
                    1
                }
                _ if chunks.is_empty() => break,
                _ => 0,
            };
            if chunks.len() > ahead {
                read += chunks.remove(0).decode().records;
            }
        }
        assert_eq!(read, 12);
        for (read, token) in tokens {
            let mut source = open(dir.path(), &[], 3).unwrap();
            source.restore(&token).unwrap();
            let mut reader = source.partitions().unwrap().remove(0);
            reader.seek(read).unwrap();
            assert_eq!(drain(reader.as_mut()).0, texts(read as i64..12), "from {read} by {token}");
        }
    }

    #[test]
    fn what_is_gone_is_forgotten_once_it_is_in_a_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        for (name, ids) in [("a.csv", 0..2), ("b.csv", 2..4), ("c.csv", 4..6), ("d.csv", 6..8)] {
            put(dir.path(), name, ids);
        }
        let mut source = open(dir.path(), &[], 10).unwrap();
        let mut reader = source.partitions().unwrap().remove(0);
        assert_eq!(drain(reader.as_mut()).0.len(), 8);
        std::fs::remove_file(dir.path().join("a.csv")).unwrap();
        std::fs::remove_file(dir.path().join("c.csv")).unwrap();
        drain(reader.as_mut());
        let names =
            |token: &str| -> Vec<bool> { ["a.csv", "b.csv", "c.csv", "d.csv"].map(|n| token.contains(n)).to_vec() };
        let early = source.token().unwrap();
        assert_eq!(names(&early), [true; 4], "nothing is in a checkpoint yet");
        source.completed(&[(None, 7)]);
        let later = source.token().unwrap();
        assert_eq!(names(&later), [false, true, false, true]);

        let resume = |token: &str, offset: u64| -> Result<Vec<String>> {
            let mut source = open(dir.path(), &[], 10).unwrap();
            source.restore(token).unwrap();
            let mut reader = source.partitions().unwrap().remove(0);
            reader.seek(offset)?;
            Ok(drain(reader.as_mut()).0)
        };
        assert_eq!(resume(&later, 7).unwrap(), texts(7..8));
        assert_eq!(resume(&later, 8).unwrap(), texts(8..8));
        let error = resume(&early, 3).unwrap_err();
        assert!(error.to_string().contains("c.csv' was found before"), "{error}");
        put(dir.path(), "d.csv", 6..20);
        let error = resume(&later, 7).unwrap_err();
        assert!(error.to_string().contains("bytes when it was found"), "{error}");
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn what_can_not_be_watched() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |path: &Path, words: &[&str], want: &str| {
            let error = open(path, words, 1).err().unwrap();
            let all = format!("{error} {}", error.advice().unwrap_or_default());
            assert!(all.contains(want), "{all}");
            assert_eq!(error.exit_code(), 2);
        };
        refused(dir.path(), &[], "'format'");
        put(dir.path(), "a.csv", 0..1);
        refused(&dir.path().join("a.csv"), &[], "wants a directory or a pattern");
        refused(dir.path(), &["scan.partitions=file"], "are one partition");
        refused(&dir.path().join("nowhere"), &[], "does not exist");
        let words = ["source.monitor-interval=0s"];
        let table = options(dir.path(), &words);
        assert!(Filesystem.bounded(&table).unwrap_err().to_string().contains("above 0"));
        // A pattern that nothing fits yet.
        open(&dir.path().join("*.json"), &["format=json"], 1).unwrap();
    }
}
