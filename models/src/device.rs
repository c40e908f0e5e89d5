//! What scores rows instead of the processor.

use crate::model::{Model, Scores};

/// A device that walks forests. Law: its answers have the bits of the processor's.
///
/// It keeps a copy of each forest that it was given, by the digest of the model's file, as long as it is used; so a file that is
/// replaced while a query runs has a copy of its own. What it can not do or did not do is [`None`], and then the processor's business.
pub trait ForestDevice: Send + Sync {
    /// `cuda:0`, `wgpu:0`.
    fn name(&self) -> String;
    /// What keeps a model from it, as the end of a sentence.
    fn stop(&self, digest: &str, model: &Model) -> Option<String>;
    /// What a row of a model brings over the bus, there and back, if it can walk it.
    fn row_bytes(&self, digest: &str, model: &Model) -> Option<usize>;
    /// [`Model::raw`].
    fn raw(&self, digest: &str, model: &Model, columns: &[&[f64]]) -> Option<Scores>;
    /// [`Model::predict`].
    fn predict(&self, digest: &str, model: &Model, columns: &[&[f64]]) -> Option<Scores>;
    /// [`Model::leaves`].
    fn leaves(&self, digest: &str, model: &Model, columns: &[&[f64]]) -> Option<Vec<u32>>;
}
