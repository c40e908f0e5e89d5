//! The line on a terminal that says how a run goes. In a pipe there is none.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pelton_engine::batch::{MARK_MAX, MARK_MIN};
use pelton_engine::connector::{Connector, Options, Registry, Sink, Staged, Table};
use pelton_engine::error::Result;
use pelton_engine::operators::show_time;
use pelton_engine::run::Counters;

use crate::report::{grouped, short};

/// Time between two looks at the counters.
const TICK: Duration = Duration::from_millis(150);

/// Who writes to the terminal while the line is there steps aside for a moment.
#[derive(Clone, Default)]
pub struct Screen(Option<ProgressBar>);

impl Screen {
    /// Takes the line away, lets `write` write, and puts it back.
    pub fn aside<R>(&self, write: impl FnOnce() -> R) -> R {
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

/// The line, as long as it lives.
pub struct Progress {
    screen: Screen,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Shows the counters, if stderr is a terminal.
    pub fn start(counters: &Arc<Counters>) -> Progress {
        let done = Arc::new(AtomicBool::new(false));
        if !stderr().is_terminal() {
            return Progress { screen: Screen::default(), done, thread: None };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        let (counters, line, over) = (counters.clone(), bar.clone(), done.clone());
        let thread = std::thread::spawn(move || {
            let started = Instant::now();
            // Rows and time about a second ago: the rate is that of the last second.
            let mut past = std::collections::VecDeque::from([(started, 0u64)]);
            while !over.load(Ordering::Relaxed) {
                std::thread::park_timeout(TICK);
                let (now, rows) = (Instant::now(), counters.rows_in.load(Ordering::Relaxed));
                past.push_back((now, rows));
                if past.len() > 8 {
                    past.pop_front();
                }
                let (then, before) = past[0];
                let rate = rows.saturating_sub(before) as f64 / now.duration_since(then).as_secs_f64().max(1e-3);
                line.set_message(show(&counters, rate));
                line.tick();
            }
        });
        Progress { screen: Screen(Some(bar)), done, thread: Some(thread) }
    }

    /// For those who write to the terminal.
    pub fn screen(&self) -> Screen {
        self.screen.clone()
    }

    /// The registry with a `print` connector that knows of the line.
    pub fn around(&self, mut registry: Registry) -> Registry {
        let mut options = Options::default();
        options.set("connector", "print");
        if self.screen.0.is_some()
            && let Ok(print) = registry.of(&options).cloned()
        {
            registry.add(Arc::new(Aside { print, screen: self.screen() }));
        }
        registry
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
        if let Some(bar) = &self.screen.0 {
            bar.finish_and_clear();
        }
    }
}

fn show(counters: &Counters, rate: f64) -> String {
    let count = |c: &std::sync::atomic::AtomicU64| c.load(Ordering::Relaxed);
    let mut parts = vec![
        format!("{} rows in", grouped(count(&counters.rows_in))),
        format!("{}/s", short(rate)),
        format!("{} out", grouped(count(&counters.rows_out))),
    ];
    let (late, letters) = (count(&counters.late), count(&counters.letters));
    if late > 0 {
        parts.push(format!("{} late", grouped(late)));
    }
    if letters > 0 {
        parts.push(format!("{} dead letters", grouped(letters)));
    }
    let mark = counters.watermark.load(Ordering::Relaxed);
    if ![0, MARK_MIN, MARK_MAX].contains(&mark) {
        parts.push(format!("watermark {}", show_time(mark)));
    }
    parts.join(" · ")
}

/// The `print` connector, stepping around the line.
struct Aside {
    print: Arc<dyn Connector>,
    screen: Screen,
}

impl Connector for Aside {
    fn name(&self) -> &'static str {
        self.print.name()
    }

    fn bounded(&self, options: &Options) -> Result<bool> {
        self.print.bounded(options)
    }

    fn sink(&self, table: &Table) -> Result<Box<dyn Sink>> {
        Ok(Box::new(AsideSink { sink: self.print.sink(table)?, screen: self.screen.clone() }))
    }

    fn epoch_sink(&self, table: &Table) -> Result<Box<dyn Sink>> {
        Ok(Box::new(AsideSink { sink: self.print.epoch_sink(table)?, screen: self.screen.clone() }))
    }
}

struct AsideSink {
    sink: Box<dyn Sink>,
    screen: Screen,
}

impl Sink for AsideSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.screen.aside(|| self.sink.write(batch))
    }

    fn commit(&mut self) -> Result<()> {
        self.screen.aside(|| self.sink.commit())
    }

    fn abort(&mut self) {
        self.sink.abort();
    }

    fn restore(&mut self, from: Option<(u64, &str)>) -> Result<()> {
        self.sink.restore(from)
    }

    fn seal(&mut self, epoch: u64) -> Result<Box<dyn Staged>> {
        self.screen.aside(|| self.sink.seal(epoch))
    }
}
