//! The engine's error: what went wrong, where in the text, what to do next, and whose turn it is.

use std::fmt;

/// A stretch of the SQL text. Lines and columns count from 1, columns in characters; `end_column` is exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First line.
    pub line: u64,
    /// First column.
    pub column: u64,
    /// Last line.
    pub end_line: u64,
    /// Column after the last one.
    pub end_column: u64,
}

impl Span {
    /// True for a place that is known.
    pub fn is_known(&self) -> bool {
        self.line > 0
    }
}

/// Whose turn it is: decides the exit code of the command (DESIGN 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The user's mistake: SQL, an option, a missing path. Exit code 2.
    User,
    /// The world's: a disk, a corrupt file, a server, a mismatch. Exit code 1.
    World,
}

/// An error of planning or running a pipeline.
#[derive(Debug)]
pub struct Error {
    blame: Blame,
    message: String,
    span: Option<Span>,
    hint: Option<String>,
    is_bug: bool,
    ends_run: bool,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Result with the engine's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A mistake in the SQL text, an option or a path.
    pub fn user(message: impl Into<String>) -> Self {
        Error {
            blame: Blame::User,
            message: message.into(),
            span: None,
            hint: None,
            is_bug: false,
            ends_run: false,
            cause: None,
        }
    }

    /// A failure of the world around: disk, file, server.
    pub fn world(message: impl Into<String>) -> Self {
        Error { blame: Blame::World, ..Error::user(message) }
    }

    /// A mistake of ours, which the same rows would bring about again.
    pub fn bug(message: impl Into<String>) -> Self {
        Error { is_bug: true, ..Error::world(message) }
    }

    /// True for a mistake of ours.
    pub fn is_bug(&self) -> bool {
        self.is_bug
    }

    /// Makes it an error of the run where an expression meets it: no row is looked for that might be to blame.
    pub fn of_the_run(mut self) -> Self {
        self.ends_run = true;
        self
    }

    /// True for an error that no row is to blame for.
    pub fn ends_run(&self) -> bool {
        self.ends_run
    }

    /// Adds what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the place in the SQL text, unless a closer one is already known.
    pub fn at(mut self, span: Span) -> Self {
        if self.span.is_none() && span.is_known() {
            self.span = Some(span);
        }
        self
    }

    /// Adds the error that caused this one.
    pub fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Puts `what` before the message, to say during which step it happened.
    pub fn during(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The message alone.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The place in the SQL text, if known.
    pub fn span(&self) -> Option<Span> {
        self.span
    }

    /// What to do next, if there is advice.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whose turn it is.
    pub fn blame(&self) -> Blame {
        self.blame
    }

    /// Exit code of the command: 2 for the user's mistakes, 1 for the world's.
    pub fn exit_code(&self) -> u8 {
        match self.blame {
            Blame::User => 2,
            Blame::World => 1,
        }
    }

    /// The closest of `known` to a misspelt `name`, if it is close enough to be meant.
    pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        let lower = name.to_lowercase();
        known
            .into_iter()
            .map(|k| (strsim::damerau_levenshtein(&lower, &k.to_lowercase()), k))
            .filter(|(distance, k)| *distance <= (k.chars().count().max(name.chars().count()) / 3).max(1))
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, k)| k)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(cause) = &self.cause {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|c| c as _)
    }
}
