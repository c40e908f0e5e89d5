//! Errors of the engine as exceptions of `pelton.errors`, and exceptions on their way through the engine.

use std::error::Error as StdError;
use std::fmt;

use pelton_cli::report;
use pelton_cli::text::Text;
use pelton_engine::error::{Blame, Error};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What Python has done wrong when the engine called it, as the cause of an error.
#[derive(Debug)]
pub struct Callback {
    /// The exception to be raised, a class of `pelton.errors`.
    class: &'static str,
    message: String,
    /// What was raised.
    raised: Option<PyErr>,
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Callback {}

/// The error for an exception that `what` has raised.
pub fn raised(class: &'static str, what: &str, raised: PyErr) -> Error {
    let message = Python::attach(|py| {
        let name = raised.get_type(py).name().map_or_else(|_| "an exception".into(), |name| name.to_string());
        format!("raised {name}: {}", raised.value(py))
    });
    Error::user(what).because(Callback { class, message, raised: Some(raised) })
}

/// The error for an answer of `what` that cannot be used.
pub fn answered(class: &'static str, what: &str, message: String) -> Error {
    Error::user(what).because(Callback { class, message, raised: None })
}

/// The exception for an error; `text` is the SQL that its place is in.
pub fn to_python(py: Python<'_>, error: &Error, text: Option<&str>) -> PyErr {
    let callback = callback(error);
    let span = error.span().filter(|span| span.is_known());
    let class = match (callback, error.blame(), span) {
        (Some(callback), ..) => callback.class,
        (None, Blame::User, Some(_)) => "SqlError",
        (None, Blame::User, None) => "InputError",
        (None, Blame::World, _) => "RunError",
    };
    let shown = match text.filter(|_| span.is_some()) {
        Some(text) => {
            let text = Text { name: "SQL".into(), content: text.into() };
            let shown = report::render(error, Some(&text), false);
            shown.strip_prefix("error: ").map(str::to_string).unwrap_or(shown)
        }
        None => {
            let hint = error.advice().map_or(String::new(), |hint| format!("\nhelp: {hint}"));
            report::chain(error).join(": ") + &hint
        }
    };
    let details = PyDict::new(py);
    let filled = details
        .set_item("message", report::chain(error).join(": "))
        .and_then(|()| details.set_item("hint", error.advice()))
        .and_then(|()| details.set_item("line", span.map(|s| s.line)))
        .and_then(|()| details.set_item("column", span.map(|s| s.column)));
    let exception = filled.and_then(|()| exception(py, class, &shown, Some(&details)));
    if let (Some(callback), Ok(value)) = (callback, exception.as_ref())
        && let Some(raised) = &callback.raised
    {
        value.set_cause(py, Some(raised.clone_ref(py)));
    }
    exception.unwrap_or_else(|error| error)
}

fn callback(error: &Error) -> Option<&Callback> {
    let mut next: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(cause) = next {
        if let Some(callback) = cause.downcast_ref() {
            return Some(callback);
        }
        next = cause.source();
    }
    None
}

fn exception(py: Python<'_>, class: &str, shown: &str, details: Option<&Bound<'_, PyDict>>) -> PyResult<PyErr> {
    let class = py.import("pelton.errors")?.getattr(class)?;
    Ok(PyErr::from_value(class.call((shown,), details)?))
}

/// An exception of `pelton.errors` with this text.
pub fn new(py: Python<'_>, class: &str, text: impl Into<String>) -> PyErr {
    exception(py, class, &text.into(), None).unwrap_or_else(|error| error)
}

/// The `SchemaError` for an exception that taking over columns has raised; others (`KeyboardInterrupt`) stay what they are.
pub fn of_data(py: Python<'_>, raised: PyErr, what: &str) -> PyErr {
    if !raised.is_instance_of::<pyo3::exceptions::PyException>(py) {
        return raised;
    }
    let error = new(py, "SchemaError", format!("{what}: {}", raised.value(py)));
    error.set_cause(py, Some(raised));
    error
}
