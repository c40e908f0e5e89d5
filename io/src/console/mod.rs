//! The terminal, pipes, and nowhere: [`print`](mod@print), [`stdin`], [`stdout`] and [`blackhole`].

pub mod blackhole;
pub mod print;
pub mod stdin;
pub mod stdout;

use std::io::{self, Write};

use pelton_engine::connector::Options;
use pelton_engine::error::{Error, Result};

use crate::formats::{CsvSyntax, Format};

/// The format of text in a pipe. The options of CSV are known in either, so that switching needs one change.
fn text_format(options: &Options) -> Result<(Format, CsvSyntax)> {
    let format = match options.one_of("format", &["json", "csv"])? {
        "csv" => Format::Csv,
        _ => Format::Json,
    };
    Ok((format, CsvSyntax::read(options)?))
}

/// Where text goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    Stdout,
    Stderr,
}

impl Target {
    /// Writes a whole batch of text in one go, holding the stream's lock once.
    fn write(self, text: &[u8]) -> Result<()> {
        let written = match self {
            Target::Stdout => write_all(io::stdout().lock(), text),
            Target::Stderr => write_all(io::stderr().lock(), text),
        };
        written.map_err(|e| self.explain(e))
    }

    fn explain(self, error: io::Error) -> Error {
        let name = match self {
            Target::Stdout => "stdout",
            Target::Stderr => "stderr",
        };
        match error.kind() {
            io::ErrorKind::BrokenPipe => Error::world(format!("{name} was closed by its reader")),
            _ => Error::world(format!("cannot write to {name}")).because(error),
        }
    }
}

fn write_all(mut out: impl Write, text: &[u8]) -> io::Result<()> {
    out.write_all(text)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_said_plainly() {
        let error = Target::Stdout.explain(io::ErrorKind::BrokenPipe.into());
        assert_eq!((error.to_string().as_str(), error.exit_code()), ("stdout was closed by its reader", 1));
        assert!(Target::Stderr.explain(io::Error::other("full")).to_string().starts_with("cannot write to stderr: "));
    }
}
