//! `'connector' = 'stdout'`: a sink that writes rows as JSON lines or CSV, for the next program in a pipe.
//!
//! | option | default | meaning |
//! |---|---|---|
//! | `format` | `json` | or `csv`, with the options of CSV files |
//!
//! Rows go out as they come: what a reader has taken cannot be taken back, so a run that is aborted has written rows too.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use pelton_engine::connector::{Connector, Options, Sink, Table};
use pelton_engine::error::{Error, Result};

use super::{Target, text_format};
use crate::formats::compression::Compression;
use crate::formats::{self, RowWriter};

/// The `stdout` connector.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stdout;

impl Connector for Stdout {
    fn name(&self) -> &'static str {
        "stdout"
    }

    fn bounded(&self, _options: &Options) -> Result<bool> {
        Ok(true)
    }

    fn sink(&self, table: &Table) -> Result<Box<dyn Sink>> {
        Ok(Box::new(TextRows::new(table, |text| Target::Stdout.write(text))?))
    }
}

/// Rows as text, handed on a batch at a time.
struct TextRows<F> {
    rows: Box<dyn RowWriter>,
    text: Held,
    hand_on: F,
}

impl<F: FnMut(&[u8]) -> Result<()> + Send> TextRows<F> {
    fn new(table: &Table, hand_on: F) -> Result<Self> {
        let (format, csv) = text_format(&table.options)?;
        let text = Held::default();
        let rows = formats::writer(format, &csv, Compression::None, &table.schema, Box::new(text.clone()), false);
        Ok(TextRows {
            rows: rows.map_err(|e| Error::world(format!("{}: cannot be written", table.options.owner())).because(e))?,
            text,
            hand_on,
        })
    }

    fn flush(&mut self) -> Result<()> {
        let text = std::mem::take(&mut *self.text.0.lock().unwrap_or_else(PoisonError::into_inner));
        if text.is_empty() { Ok(()) } else { (self.hand_on)(&text) }
    }
}

impl<F: FnMut(&[u8]) -> Result<()> + Send> Sink for TextRows<F> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows.write(batch).map_err(|e| Error::world("a row cannot be written as text").because(e))?;
        self.flush()
    }

    /// Also writes the header of a CSV that has no rows.
    fn commit(&mut self) -> Result<()> {
        self.flush()
    }

    fn abort(&mut self) {}
}

/// The text of the rows of one batch, on its way from the writer of the format to the stream.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<Vec<u8>>>);

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use pelton_engine::error::Span;

    use super::*;

    fn written(pairs: &[(&str, &str)]) -> Result<String> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
        ]));
        let options =
            Options::new("table `t`", pairs.iter().map(|(k, v)| (k.to_string(), v.to_string(), Span::default())));
        let table = Table { name: "t".into(), schema: schema.clone(), options, primary_key: vec![] };
        let out = Arc::new(Mutex::new(vec![]));
        let into = out.clone();
        let mut sink = TextRows::new(&table, move |text| {
            into.lock().unwrap().extend_from_slice(text);
            Ok(())
        })?;
        table.options.reject_unknown()?;
        sink.commit()?;
        for ids in [vec![Some(1), None], vec![Some(3)]] {
            let names = StringArray::from(vec!["a, \"b\""; ids.len()]);
            sink.write(
                &RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(ids)), Arc::new(names)]).unwrap(),
            )?;
        }
        sink.commit()?;
        let text = out.lock().unwrap().clone();
        Ok(String::from_utf8(text).unwrap())
    }

    #[test]
    fn json_lines_and_csv() {
        let json = "{\"id\":1,\"name\":\"a, \\\"b\\\"\"}\n{\"id\":null,\"name\":\"a, \\\"b\\\"\"}\n{\"id\":3,\"name\":\"a, \\\"b\\\"\"}\n";
        assert_eq!(written(&[]).unwrap(), json);
        assert_eq!(written(&[("format", "JSON")]).unwrap(), json);
        let csv = "id,name\n1,\"a, \"\"b\"\"\"\n,\"a, \"\"b\"\"\"\n3,\"a, \"\"b\"\"\"\n";
        assert_eq!(written(&[("format", "csv")]).unwrap(), csv);
    }

    #[test]
    fn other_formats_are_refused() {
        assert_eq!(
            written(&[("format", "parquet")]).unwrap_err().to_string(),
            "table `t`: option 'format' is 'parquet', wanted one of json, csv"
        );
    }
}
