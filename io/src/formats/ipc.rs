//! Arrow IPC files: a piece is a record batch, decoded where its block lies. The streaming form has no footer and is not
//! read.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::writer::FileWriter;
use arrow::ipc::{Block, root_as_footer};
use pelton_engine::connector::Decoded;
use pelton_engine::error::Result;

use super::convert::Origin;
use super::{InputFile, Out, Piece, PieceReader, Rows, Wanted, WriteError, guarded, locate, row_as_json};

/// Bytes at the end of a file: length of the footer, `ARROW1`.
const TRAILER_BYTES: u64 = 10;
/// A record batch that is written holds at most this many rows.
const BATCH_ROWS_MAX: usize = 1 << 20;
/// Rows are gathered to record batches of at least this many, unless the file ends.
const BATCH_ROWS_MIN: usize = 8192;

struct Footer {
    schema: SchemaRef,
    decoder: FileDecoder,
    batches: Vec<Block>,
}

/// Reads the footer and, if asked, all dictionaries.
fn load(file: &InputFile, dictionaries: bool) -> Result<Footer> {
    if file.size_bytes == 0 {
        return Err(file.broken("is empty: not an Arrow IPC file"));
    }
    let mut opened = file.open()?;
    let read = guarded(|| -> Result<Footer, String> {
        if file.size_bytes < TRAILER_BYTES {
            return Err("too short".into());
        }
        let text = |e: std::io::Error| e.to_string();
        let mut trailer = [0; TRAILER_BYTES as usize];
        opened.seek(SeekFrom::Start(file.size_bytes - TRAILER_BYTES)).map_err(text)?;
        opened.read_exact(&mut trailer).map_err(text)?;
        let length = read_footer_length(trailer).map_err(|e| e.to_string())? as u64;
        let start =
            (file.size_bytes - TRAILER_BYTES).checked_sub(length).ok_or("the footer is longer than the file")?;
        let mut bytes = vec![0; length as usize];
        opened.seek(SeekFrom::Start(start)).map_err(text)?;
        opened.read_exact(&mut bytes).map_err(text)?;
        let footer = root_as_footer(&bytes).map_err(|e| e.to_string())?;
        let schema = Arc::new(fb_to_schema(footer.schema().ok_or("the footer has no schema")?));
        let mut decoder = FileDecoder::new(schema.clone(), footer.version());
        if dictionaries {
            for block in footer.dictionaries().iter().flatten() {
                let bytes = read_block(&mut opened, file, block)?;
                decoder.read_dictionary(block, &bytes).map_err(|e| e.to_string())?;
            }
        }
        let batches = footer.recordBatches().map(|b| b.iter().copied().collect()).unwrap_or_default();
        Ok(Footer { schema, decoder, batches })
    });
    read.map_err(|cause| file.broken("is no readable Arrow IPC file").because(cause))
}

fn read_block(opened: &mut File, file: &InputFile, block: &Block) -> Result<Buffer, String> {
    let length = block
        .bodyLength()
        .checked_add(block.metaDataLength() as i64)
        .filter(|l| *l >= 0)
        .ok_or("a block has no length")?;
    let end = (block.offset().max(0) as u64).checked_add(length as u64).ok_or("a block is out of the file")?;
    if block.offset() < 0 || end > file.size_bytes {
        return Err("a block is out of the file".into());
    }
    let mut bytes = vec![0; length as usize];
    opened.seek(SeekFrom::Start(block.offset() as u64)).map_err(|e| e.to_string())?;
    opened.read_exact(&mut bytes).map_err(|e| e.to_string())?;
    Ok(Buffer::from_vec(bytes))
}

/// The columns of a file.
pub fn schema_of(file: &InputFile) -> Result<SchemaRef> {
    Ok(load(file, false)?.schema)
}

/// One file in pieces.
pub struct IpcPieces {
    shared: Arc<Shared>,
    batches: std::vec::IntoIter<Block>,
    number: usize,
}

struct Shared {
    file: Arc<InputFile>,
    wanted: Arc<Wanted>,
    decoder: FileDecoder,
    /// Where each wanted column is among the decoded ones.
    places: Vec<Option<usize>>,
}

impl IpcPieces {
    /// Reads footer and dictionaries.
    pub fn open(file: &Arc<InputFile>, wanted: &Arc<Wanted>) -> Result<Self> {
        let Footer { schema, mut decoder, batches } = load(file, true)?;
        let mut places = locate(file, wanted, &schema)?;
        let mut found: Vec<usize> = places.iter().flatten().copied().collect();
        found.sort_unstable();
        found.dedup();
        if !found.is_empty() {
            for place in places.iter_mut().flatten() {
                *place = found.binary_search(place).expect("just put there");
            }
            decoder = decoder.with_projection(found);
        }
        let shared = Arc::new(Shared { file: file.clone(), wanted: wanted.clone(), decoder, places });
        Ok(IpcPieces { shared, batches: batches.into_iter(), number: 0 })
    }
}

impl PieceReader for IpcPieces {
    fn next(&mut self) -> Result<Option<Box<dyn Piece>>> {
        let Some(block) = self.batches.next() else { return Ok(None) };
        self.number += 1;
        Ok(Some(Box::new(IpcPiece { shared: self.shared.clone(), block, number: self.number })))
    }
}

struct IpcPiece {
    shared: Arc<Shared>,
    block: Block,
    number: usize,
}

impl IpcPiece {
    fn read(&self) -> Result<Option<RecordBatch>, String> {
        let shared = &self.shared;
        let mut opened = File::open(&shared.file.path).map_err(|e| e.to_string())?;
        guarded(|| {
            let bytes = read_block(&mut opened, &shared.file, &self.block)?;
            shared.decoder.read_record_batch(&self.block, &bytes).map_err(|e| e.to_string())
        })
    }
}

impl Piece for IpcPiece {
    fn records(&self) -> u64 {
        // A batch that can't be read has no rows: `decode` says so too.
        self.read().ok().flatten().map_or(0, |b| b.num_rows() as u64)
    }

    fn decode(self: Box<Self>) -> Decoded {
        let shared = &self.shared;
        let mut out = Out::new(&shared.wanted);
        let place = |record: u32| format!("row {} of record batch {} of '{}'", record + 1, self.number, shared.file);
        let read = self.read().and_then(|batch| {
            let Some(batch) = batch else { return Ok(0) };
            for start in (0..batch.num_rows()).step_by(shared.wanted.decode_rows()) {
                let rows = shared.wanted.decode_rows().min(batch.num_rows() - start);
                let part = batch.slice(start, rows);
                let columns: Vec<Option<ArrayRef>> =
                    shared.places.iter().map(|p| p.map(|p| part.column(p).clone())).collect();
                let kept = columns.clone();
                let bytes = |row: usize| row_as_json(&shared.wanted.schema, &kept, row);
                out.rows(columns, rows, Rows::From(start as u32), Origin::Typed, place, bytes)
                    .map_err(|e| e.to_string())?;
            }
            Ok(batch.num_rows() as u64)
        });
        match read {
            Ok(records) => out.done(records, None),
            Err(cause) => {
                let error = shared.file.broken(format!("is corrupt in record batch {}", self.number)).because(cause);
                Out::new(&shared.wanted).done(0, Some(error))
            }
        }
    }
}

/// Writes an Arrow IPC file. Small batches are gathered; dictionaries become plain columns, since a file can't replace
/// the dictionary of an earlier batch.
pub struct IpcRows {
    writer: FileWriter<Box<dyn std::io::Write + Send>>,
    schema: SchemaRef,
    held: Vec<RecordBatch>,
    held_rows: usize,
}

impl IpcRows {
    /// A writer into a stream.
    pub fn new(into: Box<dyn std::io::Write + Send>, schema: &SchemaRef) -> Result<Self, WriteError> {
        let fields: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| match field.data_type() {
                arrow::datatypes::DataType::Dictionary(_, values) => {
                    Arc::new(field.as_ref().clone().with_data_type(values.as_ref().clone()))
                }
                _ => field.clone(),
            })
            .collect();
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        Ok(IpcRows { writer: FileWriter::try_new(into, &schema)?, schema, held: vec![], held_rows: 0 })
    }

    fn release(&mut self) -> Result<(), WriteError> {
        if self.held_rows > 0 {
            self.writer.write(&arrow::compute::concat_batches(&self.schema, &self.held)?)?;
        }
        self.held.clear();
        self.held_rows = 0;
        Ok(())
    }
}

impl super::RowWriter for IpcRows {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        for start in (0..batch.num_rows()).step_by(BATCH_ROWS_MAX) {
            let part = batch.slice(start, BATCH_ROWS_MAX.min(batch.num_rows() - start));
            let columns = part.columns().iter().zip(self.schema.fields());
            let columns =
                columns.map(|(c, f)| arrow::compute::cast(c, f.data_type())).collect::<Result<Vec<_>, _>>()?;
            self.held.push(RecordBatch::try_new(self.schema.clone(), columns)?);
            self.held_rows += part.num_rows();
            if self.held_rows >= BATCH_ROWS_MIN {
                self.release()?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        self.release()?;
        self.writer.finish()?;
        std::io::Write::flush(self.writer.get_mut())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests_of_formats::Case;
    use super::*;
    use arrow::array::*;
    use arrow::datatypes::{DataType, Field, Int32Type, Schema};

    fn file(batches: usize) -> (Vec<u8>, SchemaRef) {
        let batch = |from: i64| {
            let words: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
            RecordBatch::try_from_iter_with_nullable([
                ("id", Arc::new(Int64Array::from(vec![from, from + 1, from + 2])) as ArrayRef, true),
                ("word", Arc::new(words) as ArrayRef, true),
            ])
            .unwrap()
        };
        let mut bytes = vec![];
        let mut writer = FileWriter::try_new(&mut bytes, &batch(0).schema()).unwrap();
        for i in 0..batches {
            writer.write(&batch(i as i64 * 3)).unwrap();
        }
        writer.finish().unwrap();
        drop(writer);
        (bytes, batch(0).schema())
    }

    #[test]
    fn batches_and_columns() {
        let (bytes, schema) = file(3);
        let case = Case::new("a.arrow", &bytes, Format::Arrow).declare(schema.as_ref().clone());
        assert_eq!(schema_of(&case.file()).unwrap(), schema);
        let got = case.check_every_cut();
        assert_eq!(got.rows[..4], ["0: 0|a", "1: 1|b", "2: 2|a", "3: 3|a"]);
        assert_eq!(got.records, 9);
        let declared =
            Schema::new(vec![Field::new("word", DataType::Utf8, true), Field::new("id", DataType::Int16, true)]);
        let case = Case::new("a.arrow", &bytes, Format::Arrow).declare(declared);
        assert_eq!(case.check_every_cut().rows[8], "8: a|8");
        let case = case.take(&[1]);
        assert_eq!(case.check_every_cut().rows[8], "8: 8");
        assert_eq!(case.take(&[]).check_every_cut().rows.len(), 9);
    }

    #[test]
    fn damaged_batches_and_files() {
        let (mut bytes, schema) = file(3);
        let case = Case::new("a.arrow", &bytes, Format::Arrow);
        let block = load(&case.file(), false).unwrap().batches[1];
        for b in &mut bytes[block.offset() as usize..][..16] {
            *b = 0xff;
        }
        let got = Case::new("a.arrow", &bytes, Format::Arrow).declare(schema.as_ref().clone()).check_every_cut();
        assert_eq!(got.rows.len(), 6);
        assert!(got.broken.unwrap().contains("is corrupt in record batch 2"));
        for bytes in [&b""[..], b"short", b"long enough but nothing of the kind"] {
            let error = schema_of(&Case::new("a.arrow", bytes, Format::Arrow).file()).unwrap_err();
            assert_eq!(error.exit_code(), 1);
        }
    }
}
