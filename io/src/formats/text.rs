//! Text in blocks: reads (and decompresses) a file a block at a time and cuts it where records end.
//!
//! Memory is bounded by the block and the longest record. When reading fails half-way (a truncated gzip, a disk error),
//! the whole records before the damage are delivered first; a record that the damage cuts is not.

use std::io::Read;
use std::sync::Arc;

use pelton_engine::connector::Decoded;
use pelton_engine::error::{Error, Result};

use super::{InputFile, Piece, PieceReader};

/// Bytes asked of the decompressor at once. Small, so that little is lost of what it had before it failed.
const READ_BYTES: usize = 1 << 16;

/// As much memory is asked for before it is known that there is text to fill it.
const RESERVED_BYTES_MAX: usize = 4 << 20;

/// A record may be this long before the file counts as broken.
pub const RECORD_BYTES_MAX: usize = 256 << 20;

/// Where records end in some kind of text, and what they say.
pub trait Records: Send + Sync + 'static {
    /// Length of the longest prefix of `text` that ends with a record. With `at_end`, nothing follows on `text`, and all
    /// of it counts. Law: cutting where this says, anywhere, gives the same records as not cutting.
    fn cut(&self, text: &[u8], at_end: bool) -> usize;
    /// How many records there are in whole records.
    fn count(&self, text: &[u8]) -> u64;
    /// Decodes whole records; the first line is number `line` of the file.
    fn decode(&self, text: &[u8], line: u64) -> Decoded;
}

/// Bytes and line of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Its first byte.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
    /// Number of its (first) line.
    pub number: u64,
}

impl Line {
    /// What is in it.
    pub fn of(self, text: &[u8]) -> &[u8] {
        &text[self.start..self.end]
    }
}

/// The bytes of one file, decompressed, with what was read ahead.
pub struct TextFile {
    file: Arc<InputFile>,
    stream: Box<dyn Read + Send>,
    pending: Vec<u8>,
    /// Number of the first line in `pending`, from 1.
    line: u64,
    at_end: bool,
    failed: Option<Error>,
}

impl TextFile {
    /// Opens a file; a byte order mark at its start is skipped.
    pub fn open(file: &Arc<InputFile>) -> Result<Self> {
        let opened = file.open()?;
        // An empty file is empty text, whatever its name says.
        let stream = match file.size_bytes {
            0 => Box::new(std::io::empty()),
            _ => file.compression.reader(opened).map_err(|e| file.broken("cannot be read").because(e))?,
        };
        Ok(TextFile::over(file, stream))
    }

    /// Text from a stream, as if it were in `file`; a byte order mark at its start is skipped.
    pub fn over(file: &Arc<InputFile>, stream: Box<dyn Read + Send>) -> Self {
        let mut text = TextFile { file: file.clone(), stream, pending: vec![], line: 1, at_end: false, failed: None };
        text.fill(READ_BYTES);
        if text.pending.starts_with(b"\xef\xbb\xbf") {
            text.pending.drain(..3);
        }
        text
    }

    /// Reads until `bytes` are pending, the end is reached, or reading fails.
    pub fn fill(&mut self, bytes: usize) {
        // A block is allocated at once, not grown; what wants more than that may not be there.
        self.pending.reserve(bytes.saturating_sub(self.pending.len()).min(RESERVED_BYTES_MAX));
        while self.pending.len() < bytes && !self.at_end && self.failed.is_none() {
            let start = self.pending.len();
            self.pending.resize(start + READ_BYTES.min(bytes - start), 0);
            let got = loop {
                match self.stream.read(&mut self.pending[start..]) {
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                    got => break got,
                }
            };
            self.pending.truncate(start + *got.as_ref().unwrap_or(&0));
            match got {
                Ok(0) => self.at_end = true,
                Ok(_) => {}
                Err(cause) => self.failed = Some(self.failure(cause)),
            }
        }
    }

    fn failure(&self, cause: std::io::Error) -> Error {
        let lines = self.line + newlines(&self.pending);
        let what = match cause.kind() {
            std::io::ErrorKind::UnexpectedEof => "is cut off",
            _ => "cannot be read",
        };
        self.file.broken(format!("{what} in line {lines}")).because(cause)
    }

    /// What was read and not yet taken.
    pub fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// True if nothing follows on `pending`, and it is whole.
    pub fn at_end(&self) -> bool {
        self.at_end
    }

    /// The error that reading ended in, once.
    pub fn failure_once(&mut self) -> Option<Error> {
        self.at_end |= self.failed.is_some();
        self.failed.take()
    }

    /// Takes the first `bytes` of `pending` and the number of their first line.
    pub fn take(&mut self, bytes: usize) -> (Vec<u8>, u64) {
        let rest = self.pending.split_off(bytes);
        let taken = std::mem::replace(&mut self.pending, rest);
        let line = self.line;
        self.line += newlines(&taken);
        (taken, line)
    }

    /// Reads on until whole records are pending and takes them: about `block_bytes`, more if one record needs it. `None`
    /// at the end.
    pub fn next_records(&mut self, records: &dyn Records, block_bytes: usize) -> Result<Option<(Vec<u8>, u64)>> {
        let mut target = block_bytes.max(1);
        loop {
            self.fill(target);
            let done = self.at_end || self.failed.is_some();
            let cut = records.cut(&self.pending, self.at_end && self.failed.is_none());
            if cut > 0 {
                return Ok(Some(self.take(cut)));
            }
            if done {
                self.pending = vec![];
                return match self.failure_once() {
                    Some(error) => Err(error),
                    None => Ok(None),
                };
            }
            if self.pending.len() >= RECORD_BYTES_MAX {
                self.at_end = true;
                let error = self.file.broken(format!(
                    "has a record of more than {} MiB at line {}",
                    RECORD_BYTES_MAX >> 20,
                    self.line
                ));
                self.pending = vec![];
                return Err(error);
            }
            target = target.max(self.pending.len()) * 2;
        }
    }
}

/// A text file in pieces.
pub struct TextPieces<R> {
    text: TextFile,
    records: Arc<R>,
    block_bytes: usize,
}

impl<R: Records> TextPieces<R> {
    /// The rest of `text`.
    pub fn new(text: TextFile, records: R, block_bytes: usize) -> Self {
        TextPieces { text, records: Arc::new(records), block_bytes }
    }

    /// What the records are, for text that comes in another way, and how many bytes of the text are left.
    pub fn into_parts(mut self) -> (Arc<R>, usize) {
        self.text.fill(usize::MAX);
        (self.records, self.text.pending().len())
    }
}

impl<R: Records> PieceReader for TextPieces<R> {
    fn next(&mut self) -> Result<Option<Box<dyn Piece>>> {
        let Some((text, line)) = self.text.next_records(self.records.as_ref(), self.block_bytes)? else {
            return Ok(None);
        };
        Ok(Some(Box::new(TextPiece { records: self.records.clone(), text, line })))
    }
}

struct TextPiece<R> {
    records: Arc<R>,
    text: Vec<u8>,
    line: u64,
}

impl<R: Records> Piece for TextPiece<R> {
    fn records(&self) -> u64 {
        self.records.count(&self.text)
    }

    fn decode(self: Box<Self>) -> Decoded {
        self.records.decode(&self.text, self.line)
    }
}

/// How many `\n` there are.
pub fn newlines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

/// The first place of `byte`.
pub fn find_byte(byte: u8, text: &[u8]) -> Option<usize> {
    memchr::memchr(byte, text)
}

/// The line that starts at `from`: its end without line break, and the start of the next one (or the end of the text).
pub fn line_at(text: &[u8], from: usize) -> (usize, usize) {
    match find_byte(b'\n', &text[from..]) {
        Some(at) => {
            let end = from + at;
            (if end > from && text[end - 1] == b'\r' { end - 1 } else { end }, end + 1)
        }
        None => {
            let end = text.len();
            (if end > from && text[end - 1] == b'\r' { end - 1 } else { end }, end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_finds() {
        for length in [0, 1, 63, 64, 65, 191, 192, 193, 1000] {
            let mut text = vec![b'x'; length];
            assert_eq!(newlines(&text), 0);
            assert_eq!(find_byte(b'\n', &text), None);
            for at in [0, length / 2, length.saturating_sub(1)] {
                if at < length {
                    text[at] = b'\n';
                    assert_eq!(find_byte(b'\n', &text[at..]), Some(0));
                }
            }
            assert_eq!(newlines(&text), text.iter().filter(|&&b| b == b'\n').count() as u64);
        }
        assert_eq!(newlines(&[b'\n'; 1000]), 1000);
    }

    #[test]
    fn lines() {
        let text = b"ab\r\n\nc";
        assert_eq!(line_at(text, 0), (2, 4));
        assert_eq!(line_at(text, 4), (4, 5));
        assert_eq!(line_at(text, 5), (6, 6));
    }
}
