//! Tree ensembles as XGBoost and LightGBM train them, or as ONNX files have them, computed with the bits of their libraries; and graphs
//! of operators from ONNX files, computed with the same bits everywhere.
//!
//! Bytes in, numbers out: there is no SQL, Arrow, file or clock in here. A file becomes a [`Model`] ([`xgboost`], [`lightgbm`], [`onnx`]),
//! which is checked whole, so that computing cannot fail: every child is there, no node has two parents, every feature is one of
//! the model's. [`Model::raw`] is the sum of the leaves as the library adds them (`f32` in XGBoost, `f64` in LightGBM, in the order
//! of the trees), [`Model::predict`] what its `predict` answers, [`Model::leaves`] where each row ends in each tree,
//! [`Model::contributions`] what each feature did to a row's score.
//!
//! A missing value is NaN. What becomes of it is each node's own matter, as it was trained.
//!
//! [`Online`] is a linear model that has no file: it learns from rows as they come.

mod bins;
mod byte_forest;
mod contributions;
mod device;
mod document;
mod error;
mod exp;
mod lanes;
mod lightgbm;
mod link;
mod model;
mod online;
mod onnx;
mod tiles;
mod ubjson;
mod xgboost;

pub use byte_forest::{ByteForest, ByteTree, Found};
pub use device::ForestDevice;
pub use error::ModelError;
pub use model::{Format, Model, Scores};
pub use online::{Learning, Loss, Online, Refused};
