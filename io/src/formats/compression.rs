//! Text files compressed as a whole: gzip (of several members too) and zstd (of several frames too).

use std::io::{self, BufReader, Read, Write};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// How a text file is compressed, by the last extension of its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// `.gz`
    Gzip,
    /// `.zst` or `.zstd`
    Zstd,
}

/// A stream that must be finished, not only flushed.
pub trait Finish: Write + Send {
    /// Writes the end of the stream and flushes everything below.
    fn finish(&mut self) -> io::Result<()>;
}

impl Compression {
    /// By the end of a lower-case file name.
    pub fn of_name(name: &str) -> Self {
        if name.ends_with(".gz") {
            Compression::Gzip
        } else if name.ends_with(".zst") || name.ends_with(".zstd") {
            Compression::Zstd
        } else {
            Compression::None
        }
    }

    /// The extension, with its dot.
    pub fn extension(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        }
    }

    /// A lower-case file name without the extension of the compression.
    pub fn strip(self, name: &str) -> &str {
        match self {
            Compression::None => name,
            Compression::Gzip => name.trim_end_matches(".gz"),
            Compression::Zstd => name.trim_end_matches(".zst").trim_end_matches(".zstd"),
        }
    }

    /// Reads what was compressed. A cut-off stream ends in an error, after everything that was in it.
    pub fn reader(self, from: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Compression::None => Box::new(from),
            Compression::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, from))),
            Compression::Zstd => Box::new(zstd::Decoder::new(from)?),
        })
    }

    /// Compresses what is written.
    pub fn writer(self, into: Box<dyn Write + Send>) -> io::Result<Box<dyn Finish>> {
        Ok(match self {
            Compression::None => Box::new(Plain(into)),
            Compression::Gzip => Box::new(Gzip(GzEncoder::new(into, flate2::Compression::default()))),
            Compression::Zstd => Box::new(Zstd(zstd::Encoder::new(into, 3)?)),
        })
    }
}

struct Plain(Box<dyn Write + Send>);
struct Gzip(GzEncoder<Box<dyn Write + Send>>);
struct Zstd(zstd::Encoder<'static, Box<dyn Write + Send>>);

macro_rules! forward_write {
    ($($name:ident),*) => {$(
        impl Write for $name {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.0.write(buf)
            }
            fn flush(&mut self) -> io::Result<()> {
                self.0.flush()
            }
        }
    )*};
}
forward_write!(Plain, Gzip, Zstd);

impl Finish for Plain {
    fn finish(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Finish for Gzip {
    fn finish(&mut self) -> io::Result<()> {
        self.0.try_finish()?;
        self.0.get_mut().flush()
    }
}

impl Finish for Zstd {
    fn finish(&mut self) -> io::Result<()> {
        self.0.do_finish()?;
        self.0.get_mut().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(compression: Compression, text: &[u8]) -> Vec<u8> {
        let out = tempfile::NamedTempFile::new().unwrap();
        let mut writer = compression.writer(Box::new(out.reopen().unwrap())).unwrap();
        writer.write_all(text).unwrap();
        writer.finish().unwrap();
        std::fs::read(out.path()).unwrap()
    }

    #[test]
    fn comes_back() {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let mut bytes = pressed(compression, b"one\n");
            bytes.extend(pressed(compression, b"two\n"));
            let mut text = String::new();
            compression.reader(io::Cursor::new(bytes)).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "one\ntwo\n", "{compression:?}: members and frames follow each other");
        }
    }

    #[test]
    fn cut_off_is_an_error_after_the_good_bytes() {
        let text: Vec<u8> = (0..200_000).flat_map(|i| format!("{i}\n").into_bytes()).collect();
        for compression in [Compression::Gzip, Compression::Zstd] {
            let mut bytes = pressed(compression, &text);
            bytes.truncate(bytes.len() / 2);
            let mut got = vec![];
            let error = compression.reader(io::Cursor::new(bytes)).unwrap().read_to_end(&mut got);
            assert!(error.is_err(), "{compression:?}");
            assert!(got.len() > text.len() / 4 && text.starts_with(&got), "{compression:?}: {}", got.len());
        }
    }

    #[test]
    fn by_name() {
        assert_eq!(Compression::of_name("a.csv.gz"), Compression::Gzip);
        assert_eq!(Compression::of_name("a.csv.zst"), Compression::Zstd);
        assert_eq!(Compression::of_name("a.csv"), Compression::None);
        assert_eq!(Compression::Gzip.strip("a.csv.gz"), "a.csv");
    }
}
