//! A Parquet file read in blocks. Pages are small, and the decoder asks for each of them and for its header: one read
//! of a block serves many pages, and pages that are not compressed are not copied again.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// Bytes of a block. What is read of a column chunk at once, if it has so many.
const BLOCK_BYTES: u64 = 1 << 20;

/// The column chunks of one row group, of each of which the block read last is kept.
#[derive(Clone)]
pub struct Blocks(Arc<Inner>);

struct Inner {
    length: u64,
    state: Mutex<State>,
}

struct State {
    file: File,
    /// Where each column chunk lies in the file, and its block: first byte, bytes.
    chunks: Vec<(Range<u64>, u64, Bytes)>,
}

impl Blocks {
    /// A file of which the column chunks that lie at `chunks` will be read, each from its start to its end.
    pub fn new(file: File, chunks: impl Iterator<Item = Range<u64>>) -> std::io::Result<Self> {
        let length = file.metadata()?.len();
        let chunks = chunks.map(|chunk| (chunk, 0, Bytes::new())).collect();
        Ok(Blocks(Arc::new(Inner { length, state: Mutex::new(State { file, chunks }) })))
    }

    /// The bytes from `start` on: at least `least`, and what else the block has.
    fn bytes(&self, start: u64, least: u64) -> Result<Bytes> {
        let mut state = self.0.state.lock().expect("no panic holds this lock");
        let State { file, chunks } = &mut *state;
        let mut read = |count: u64| -> Result<Bytes> {
            let mut bytes = Vec::with_capacity(count as usize);
            file.seek(SeekFrom::Start(start))?;
            file.take(count).read_to_end(&mut bytes)?;
            match bytes.len() as u64 >= least {
                true => Ok(bytes.into()),
                false => Err(ParquetError::EOF(format!("expected {least} bytes at {start}, found {}", bytes.len()))),
            }
        };
        // The footer may be wrong about sizes: nothing is reserved that the file does not have.
        let least = least.min(self.0.length.saturating_sub(start) + 1);
        let Some((chunk, first, block)) = chunks.iter_mut().find(|(chunk, ..)| chunk.contains(&start)) else {
            return read(least);
        };
        if start < *first || start + least > *first + block.len() as u64 {
            let rest = chunk.end.min(self.0.length).saturating_sub(start);
            (*first, *block) = (start, read(least.max(rest.min(BLOCK_BYTES)))?);
        }
        Ok(block.slice((start - *first) as usize..))
    }
}

impl Length for Blocks {
    fn len(&self) -> u64 {
        self.0.length
    }
}

impl ChunkReader for Blocks {
    type T = BlockReader;

    fn get_read(&self, start: u64) -> Result<BlockReader> {
        Ok(BlockReader { blocks: self.clone(), at: start, bytes: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.bytes(start, length as u64)?;
        match bytes.len() >= length {
            true => Ok(bytes.slice(..length)),
            false => Err(ParquetError::EOF(format!("expected {length} bytes at {start}, found {}", bytes.len()))),
        }
    }
}

/// Reads on from somewhere in the file.
pub struct BlockReader {
    blocks: Blocks,
    /// Where `bytes` begins.
    at: u64,
    bytes: Bytes,
}

impl Read for BlockReader {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.bytes.is_empty() && self.at < self.blocks.0.length {
            self.bytes = self.blocks.bytes(self.at, 1).map_err(std::io::Error::other)?;
        }
        let count = into.len().min(self.bytes.len());
        into[..count].copy_from_slice(&self.bytes.split_to(count));
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stretch_as_it_is_in_the_file() {
        let content: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &content).unwrap();
        let chunks = [4..2_500_000u64, 2_500_000..2_999_000];
        let blocks = Blocks::new(file, chunks.into_iter()).unwrap();
        assert_eq!(blocks.len(), content.len() as u64);
        let stretches = [
            (0, 4),
            (4, 10),
            (14, 1_500_000),
            (1_500_000, 20),
            (2_499_990, 20),
            (2_600_000, 1),
            (100, 100),
            (2_999_990, 10),
        ];
        for (start, length) in stretches {
            let want = &content[start..start + length];
            assert_eq!(blocks.get_bytes(start as u64, length).unwrap(), want, "{start} {length}");
            let mut read = vec![0; length];
            blocks.get_read(start as u64).unwrap().read_exact(&mut read).unwrap();
            assert_eq!(read, want, "{start} {length}");
        }
        let mut rest = vec![];
        blocks.get_read(900_000).unwrap().read_to_end(&mut rest).unwrap();
        assert_eq!(rest, &content[900_000..]);
        assert!(blocks.get_bytes(2_999_995, 6).is_err());
        assert!(blocks.get_bytes(2_600_000, usize::MAX >> 1).is_err(), "and nothing of that size is reserved");
    }
}
