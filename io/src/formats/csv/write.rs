//! Writing CSV.

use std::io::Write;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::super::compression::Finish;
use super::super::{CsvSyntax, RowWriter, WriteError};
use super::is_null;

/// Writes CSV with a header. NULL is an empty field (or the null literal), an empty string is `""`, quotes stand only
/// where they are needed.
pub struct CsvRows {
    into: Box<dyn Finish>,
    syntax: CsvSyntax,
}

impl CsvRows {
    /// A writer into a stream, which first gets the header if `header` (and the syntax) say so.
    pub fn new(into: Box<dyn Finish>, syntax: CsvSyntax, schema: &Schema, header: bool) -> Result<Self, WriteError> {
        let mut rows = CsvRows { into, syntax };
        if header && rows.syntax.header {
            let mut line = vec![];
            for (i, field) in schema.fields().iter().enumerate() {
                rows.syntax.put(&mut line, i, Some(field.name()));
            }
            rows.syntax.end(&mut line, 0);
            rows.into.write_all(&line)?;
        }
        Ok(rows)
    }
}

impl CsvSyntax {
    fn put(&self, line: &mut Vec<u8>, column: usize, value: Option<&str>) {
        if column > 0 {
            line.push(self.delimiter);
        }
        let Some(value) = value else {
            line.extend(self.null_literal.as_deref().unwrap_or("").bytes());
            return;
        };
        let special = |b: u8| b == self.delimiter || b == b'\n' || b == b'\r' || Some(b) == self.quote;
        let comment = self.comments && column == 0 && value.starts_with('#');
        match self.quote {
            Some(quote) if comment || is_null(value, false, self) || value.bytes().any(special) => {
                line.push(quote);
                for b in value.bytes() {
                    if b == quote {
                        line.push(quote);
                    }
                    line.push(b);
                }
                line.push(quote);
            }
            _ => line.extend(value.bytes()),
        }
    }

    /// Ends the line that began at `start`. A NULL alone in its line would make a blank one, which is no record: it
    /// becomes `""`.
    fn end(&self, lines: &mut Vec<u8>, start: usize) {
        if lines.len() == start {
            lines.extend(self.quote.into_iter().cycle().take(2));
        }
        lines.push(b'\n');
    }

    /// The record of each row, without a line break, one after the other.
    pub(in crate::formats) fn each_row(
        &self,
        batch: &RecordBatch,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), ArrowError> {
        let options = FormatOptions::default();
        let formatters: Vec<_> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options)).collect::<Result<_, _>>()?;
        let nulls: Vec<_> = batch.columns().iter().map(|c| c.logical_nulls()).collect();
        let (mut line, mut value) = (vec![], String::new());
        for row in 0..batch.num_rows() {
            line.clear();
            for (column, formatter) in formatters.iter().enumerate() {
                if nulls[column].as_ref().is_some_and(|n| n.is_null(row)) {
                    self.put(&mut line, column, None);
                } else {
                    value.clear();
                    formatter.value(row).write(&mut value)?;
                    self.put(&mut line, column, Some(&value));
                }
            }
            self.end(&mut line, 0);
            take(&line[..line.len() - 1]);
        }
        Ok(())
    }
}

impl RowWriter for CsvRows {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let (mut lines, mut failed) = (vec![], None);
        let into = &mut self.into;
        self.syntax.each_row(batch, |line| {
            lines.extend_from_slice(line);
            lines.push(b'\n');
            if lines.len() > 1 << 16 && failed.is_none() {
                failed = into.write_all(&lines).err();
                lines.clear();
            }
        })?;
        if let Some(cause) = failed {
            return Err(cause.into());
        }
        self.into.write_all(&lines)?;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        self.into.flush()?;
        Ok(self.into.finish()?)
    }
}
