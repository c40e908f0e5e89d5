//! What is wrong with a model's file.

/// A file that is no model, or none that is understood: what, where in it, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct ModelError {
    /// What is wrong, with the place: `learner.objective.name: …`, `tree 3: …`, `line 17: …`.
    what: String,
    /// What to do, if there is advice.
    advice: Option<String>,
}

impl ModelError {
    /// An error.
    pub fn new(what: impl Into<String>) -> Self {
        ModelError { what: what.into(), advice: None }
    }

    /// With what to do.
    #[must_use]
    pub fn hint(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// What to do, if there is advice.
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }
}

/// Result with a model's error.
pub type Result<T> = std::result::Result<T, ModelError>;
