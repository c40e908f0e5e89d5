//! `'connector' = 'print'`: a sink that prints a line a row, `alerts> +I[42, 2024-01-01T00:00:10, NULL]`, as Flink does.
//!
//! | option | default | meaning |
//! |---|---|---|
//! | `print-identifier` | the table's name | what stands before `>`; `''` prints `+I[…]` alone |
//! | `standard-error` | `false` | print to stderr |
//!
//! Rows are shown as they come: what is printed cannot be taken back, so a run that is aborted has printed rows too.

use std::fmt::Write;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;
use pelton_engine::connector::{Connector, Options, Sink, Table};
use pelton_engine::error::{Error, Result};

use super::Target;

/// How values are shown on a console: NULL as `NULL`, times as ISO 8601.
const FORMAT: FormatOptions<'static> = FormatOptions::new().with_null("NULL");

/// The `print` connector.
#[derive(Clone, Copy, Debug, Default)]
pub struct Print;

impl Connector for Print {
    fn name(&self) -> &'static str {
        "print"
    }

    fn bounded(&self, _options: &Options) -> Result<bool> {
        Ok(true)
    }

    fn sink(&self, table: &Table) -> Result<Box<dyn Sink>> {
        let identifier = table.options.get("print-identifier").unwrap_or(&table.name);
        let prefix = if identifier.is_empty() { String::new() } else { format!("{identifier}> ") };
        let target = if table.options.flag("standard-error", false)? { Target::Stderr } else { Target::Stdout };
        Ok(Box::new(Printer { prefix, target }))
    }
}

struct Printer {
    prefix: String,
    target: Target,
}

impl Sink for Printer {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.target.write(lines(&self.prefix, batch)?.as_bytes())
    }

    fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    fn abort(&mut self) {}
}

/// A line a row.
fn lines(prefix: &str, batch: &RecordBatch) -> Result<String> {
    let failed = |e| Error::world("cannot show a row").because(e);
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|c| ArrayFormatter::try_new(c, &FORMAT))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        text.push_str(prefix);
        text.push_str("+I[");
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                text.push_str(", ");
            }
            write!(text, "{}", column.value(row)).expect("a String takes everything");
        }
        text.push_str("]\n");
    }
    Ok(text)
}

/// The rows as a table with a frame, as for the result of a bare SELECT; the columns' names are its header.
pub fn render_table(batches: &[RecordBatch]) -> Result<String> {
    let table = pretty_format_batches_with_options(batches, &FORMAT);
    table.map(|t| t.to_string()).map_err(|e| Error::world("cannot show the result").because(e))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray, StructArray,
        TimestampMillisecondArray,
    };
    use arrow::datatypes::{DataType, Field, Schema};
    use pelton_engine::error::Span;

    use super::*;

    fn batch() -> RecordBatch {
        let inner: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(vec![Some(1), Some(-2), None]))),
            ("name", Arc::new(StringArray::from(vec![Some("Ada"), None, Some("é, \"x\"")]))),
            (
                "at",
                Arc::new(TimestampMillisecondArray::from(vec![Some(1_704_067_210_000), Some(1_704_067_210_005), None])),
            ),
            ("x", Arc::new(Float64Array::from(vec![0.5, 1.0, f64::NAN]))),
            ("m", Arc::new(Decimal128Array::from(vec![150, -5, 0]).with_precision_and_scale(10, 2).unwrap())),
            ("ok", Arc::new(BooleanArray::from(vec![true, false, true]))),
            ("r", Arc::new(StructArray::from(vec![(Arc::new(Field::new("a", DataType::Int64, true)), inner)]))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
    }

    #[test]
    fn a_line_a_row() {
        assert_eq!(
            lines("alerts> ", &batch()).unwrap(),
            "alerts> +I[1, Ada, 2024-01-01T00:00:10, 0.5, 1.50, true, {a: 1}]\n\
             alerts> +I[-2, NULL, 2024-01-01T00:00:10.005, 1.0, -0.05, false, {a: NULL}]\n\
             alerts> +I[NULL, é, \"x\", NULL, NaN, 0.00, true, {a: 3}]\n"
        );
    }

    #[test]
    fn options_are_known_and_checked() {
        let table = |pairs: &[(&str, &str)]| Table {
            name: "alerts".into(),
            schema: Arc::new(Schema::empty()),
            options: Options::new(
                "table `alerts`",
                pairs.iter().map(|(k, v)| (k.to_string(), v.to_string(), Span::default())),
            ),
            primary_key: vec![],
        };
        let good = table(&[("print-identifier", ""), ("standard-error", "true")]);
        Print.sink(&good).unwrap();
        good.options.reject_unknown().unwrap();
        let bad = table(&[("standard-error", "yes")]);
        assert_eq!(
            Print.sink(&bad).err().unwrap().to_string(),
            "table `alerts`: option 'standard-error' is 'yes', wanted true or false"
        );
        let error = Print.source(
            &bad,
            &pelton_engine::connector::ReadRequest { columns: vec![], batch_rows: 1, ..Default::default() },
        );
        assert_eq!(error.err().unwrap().to_string(), "table `alerts`: connector 'print' cannot be read from");
    }

    #[test]
    fn a_framed_table() {
        assert_eq!(
            render_table(&[batch().project(&[0, 1]).unwrap()]).unwrap(),
            "+------+--------+\n\
             | id   | name   |\n\
             +------+--------+\n\
             | 1    | Ada    |\n\
             | -2   | NULL   |\n\
             | NULL | é, \"x\" |\n\
             +------+--------+"
        );
    }
}
