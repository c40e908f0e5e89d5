//! The places that settings name: dead letter tables, storages, history segments.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use pelton_engine::connector::{DeadLetterStore, Places, SegmentWriter, Storage};
use pelton_engine::error::{Error, Result};

use crate::dead_letters::ParquetDeadLetters;
use crate::segments::{self, ParquetSegment};
use crate::storage::{self, LocalStorage};

/// Places by path or URL: storages anywhere, everything else on the local disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct NamedPlaces;

impl Places for NamedPlaces {
    fn file(&self, path: &str) -> Result<Vec<u8>> {
        let local = storage::local(path)?;
        std::fs::read(local).map_err(|e| {
            let error = Error::user(format!("file '{path}' cannot be read")).because(e);
            match std::env::current_dir() {
                Ok(here) if Path::new(local).is_relative() => {
                    error.hint(format!("relative paths start at the working directory, {}", here.display()))
                }
                _ => error,
            }
        })
    }

    fn dead_letters(&self, path: &str, retention: Option<Duration>) -> Result<Box<dyn DeadLetterStore>> {
        Ok(Box::new(ParquetDeadLetters::open(storage::local(path)?, retention)?))
    }

    fn storage(&self, path: &str) -> Result<Arc<dyn Storage>> {
        storage::open(path)
    }

    fn directory(&self, path: &str) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(LocalStorage::new(storage::local(path)?)))
    }

    fn segment_writer(&self, path: &Path, schema: &SchemaRef) -> Result<Box<dyn SegmentWriter>> {
        Ok(Box::new(ParquetSegment::create(path, schema)?))
    }

    fn read_segment(&self, path: &Path) -> Result<Vec<RecordBatch>> {
        segments::read(path)
    }
}
