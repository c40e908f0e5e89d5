//! History segments: Parquet files of raw rows, written under a hidden name and renamed when they are complete.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use pelton_engine::connector::SegmentWriter;
use pelton_engine::error::{Error, Result};

/// The column of offsets ascends by one nearly always: as deltas it takes no room.
const OFFSET: &str = "__offset";

/// Writes one segment.
pub struct ParquetSegment {
    /// `None` once finished or failed.
    writer: Option<ArrowWriter<File>>,
    staged: PathBuf,
    path: PathBuf,
}

impl ParquetSegment {
    /// Starts a segment that will appear at `path`.
    pub fn create(path: &Path, schema: &SchemaRef) -> Result<Self> {
        let failed = |e: std::io::Error| Error::world(format!("cannot write history at {}", path.display())).because(e);
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(folder).map_err(failed)?;
        let name = path.file_name().map(|n| n.to_string_lossy().to_string()).unwrap_or_default();
        let staged = folder.join(format!(".{name}.staged"));
        let file = File::create(&staged).map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(
                ZstdLevel::try_new(1).map_err(|e| Error::world("zstd level").because(e))?,
            ))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_column_dictionary_enabled(ColumnPath::from(OFFSET), false)
            .set_column_encoding(ColumnPath::from(OFFSET), Encoding::DELTA_BINARY_PACKED)
            .build();
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))
            .map_err(|e| Error::world(format!("cannot write history at {}", path.display())).because(e))?;
        Ok(ParquetSegment { writer: Some(writer), staged, path: path.to_path_buf() })
    }

    fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::world(format!("cannot write history at {}", self.path.display())).because(error)
    }
}

impl SegmentWriter for ParquetSegment {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let written = self.writer.as_mut().map_or(Ok(()), |w| w.write(rows));
        written.map_err(|e| self.failed(e))
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        let writer = self.writer.take().expect("a segment is finished once");
        let file = writer.into_inner().map_err(|e| self.failed(e))?;
        file.sync_all().map_err(|e| self.failed(e))?;
        fs::rename(&self.staged, &self.path).map_err(|e| self.failed(e))?;
        if let Some(folder) = self.path.parent().and_then(|p| File::open(p).ok()) {
            folder.sync_all().map_err(|e| self.failed(e))?;
        }
        Ok(())
    }
}

impl Drop for ParquetSegment {
    fn drop(&mut self) {
        // Nothing to tell anybody: after `finish` there is nothing to remove.
        let _ = fs::remove_file(&self.staged);
    }
}

/// Reads a whole segment.
pub fn read(path: &Path) -> Result<Vec<RecordBatch>> {
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
        Error::world(format!("cannot read history segment {}", path.display())).because(e)
    };
    let file = File::open(path).map_err(|e| failed(e.into()))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| failed(e.into()))?;
    let reader = reader.with_batch_size(65_536).build().map_err(|e| failed(e.into()))?;
    reader.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| failed(e.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, DictionaryArray, Int64Array, StringArray, types::Int32Type};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn a_segment_appears_when_finished_and_comes_back_equal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run-000001/p0.parquet");
        let words: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("ß")].into_iter().collect();
        let schema = Arc::new(Schema::new(vec![
            Field::new("word", words.data_type().clone(), true),
            Field::new("text", DataType::Utf8, true),
            Field::new(OFFSET, DataType::Int64, false),
        ]));
        let rows = RecordBatch::try_new(
            schema.clone(),
            vec![
                Arc::new(words),
                Arc::new(StringArray::from(vec![Some(""), Some("x"), None])),
                Arc::new(Int64Array::from(vec![5, 6, 9])),
            ],
        )
        .unwrap();
        let mut writer = Box::new(ParquetSegment::create(&path, &schema).unwrap());
        writer.write(&rows).unwrap();
        assert!(!path.exists());
        writer.finish().unwrap();
        assert_eq!(read(&path).unwrap(), vec![rows]);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no staged file is left");
    }

    #[test]
    fn an_unfinished_segment_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p0.parquet");
        let schema = Arc::new(Schema::new(vec![Field::new(OFFSET, DataType::Int64, false)]));
        drop(ParquetSegment::create(&path, &schema).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
