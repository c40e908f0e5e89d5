//! What a bare `SELECT` prints: a table with a frame, its widths from the first rows, the rest in pieces as they come.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use pelton_engine::connector::Sink;
use pelton_engine::error::{Error, Result};
use pelton_engine::pipeline::PrintSink;

use crate::progress::Screen;

/// Rows that are held back so that the columns fit. A result with more of them streams.
const HELD_ROWS_MAX: usize = 1000;

/// How values are shown, as the `print` connector does.
const FORMAT: FormatOptions<'static> = FormatOptions::new().with_null("NULL");

/// What all tables of a run share.
struct Desk {
    screen: Screen,
    /// Set when nobody reads stdout any more: the run then ends in order.
    stop: Arc<AtomicBool>,
    closed: AtomicBool,
    made: AtomicUsize,
    /// Who printed last and has not closed its table: number, and the line that closes it.
    open: Mutex<Option<(usize, String)>>,
}

/// Makes the sinks of bare `SELECT`s. `live`: rows are shown as they come. `titled`: each table says its name.
pub fn printer(screen: Screen, stop: Arc<AtomicBool>, live: bool, titled: bool) -> Arc<PrintSink> {
    let desk = Arc::new(Desk {
        screen,
        stop,
        closed: AtomicBool::new(false),
        made: AtomicUsize::new(0),
        open: Mutex::new(None),
    });
    Arc::new(move |name: &str, schema: &SchemaRef| {
        Box::new(Printer {
            number: desk.made.fetch_add(1, Ordering::Relaxed),
            desk: desk.clone(),
            title: titled.then(|| name.to_string()),
            schema: schema.clone(),
            live,
            held: vec![],
            widths: schema.fields().iter().map(|f| f.name().chars().count()).collect(),
            shown: false,
        })
    })
}

struct Printer {
    desk: Arc<Desk>,
    number: usize,
    title: Option<String>,
    schema: SchemaRef,
    live: bool,
    /// Cells of rows that are not yet shown.
    held: Vec<Vec<String>>,
    widths: Vec<usize>,
    /// Rows or at least the header were shown since the last commit.
    shown: bool,
}

impl Printer {
    fn frame(&self) -> String {
        let dashes: Vec<String> = self.widths.iter().map(|w| "-".repeat(w + 2)).collect();
        format!("+{}+\n", dashes.join("+"))
    }

    fn line(&self, cells: impl Iterator<Item = impl AsRef<str>>) -> String {
        let mut line = String::new();
        for (cell, width) in cells.zip(&self.widths) {
            line += &format!("| {:<width$} ", cell.as_ref());
        }
        line + "|\n"
    }

    /// Shows what is held, and closes the table if asked to.
    fn show(&mut self, close: bool) -> Result<()> {
        for row in &self.held {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        let desk = self.desk.clone();
        let mut open = desk.open.lock().expect("no panic holds this lock");
        if open.as_ref().is_none_or(|(number, _)| *number != self.number) {
            text += open.take().map(|(_, frame)| frame).as_deref().unwrap_or_default();
            if let Some(title) = &self.title {
                text += &format!("{title}:\n");
            }
            let names = self.line(self.schema.fields().iter().map(|f| f.name()));
            text += &[self.frame(), names, self.frame()].concat();
        }
        for row in std::mem::take(&mut self.held) {
            text += &self.line(row.iter());
        }
        *open = Some((self.number, self.frame()));
        if close {
            text += &self.frame();
            *open = None;
        }
        self.shown = !close;
        self.desk.write(&text)
    }
}

impl Desk {
    fn write(&self, text: &str) -> Result<()> {
        if self.closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let written = self.screen.aside(|| {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        });
        match written {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                // As after `| head`: whoever asked has seen enough.
                self.closed.store(true, Ordering::Relaxed);
                self.stop.store(true, Ordering::SeqCst);
                Ok(())
            }
            written => written.map_err(|e| Error::world("cannot write to stdout").because(e)),
        }
    }
}

impl Sink for Printer {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let failed = |e| Error::world("cannot show a row").because(e);
        let formatters = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &FORMAT));
        let formatters = formatters.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        for row in 0..batch.num_rows() {
            let cells = formatters.iter().map(|f| f.value(row).to_string().replace('\n', "\\n").replace('\r', "\\r"));
            self.held.push(cells.collect());
            if self.held.len() >= HELD_ROWS_MAX {
                self.show(false)?;
            }
        }
        if self.live && !self.held.is_empty() { self.show(false) } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<()> {
        self.show(true)
    }

    fn abort(&mut self) {
        self.held.clear();
        if self.shown {
            // What was printed cannot be taken back; the frame at least is closed.
            let _ = self.show(true);
        }
    }
}
