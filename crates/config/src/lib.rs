//! One strict schema: load, validate, explain. Plain data, no handles.
//!
//! [`model`] is what every other crate reads. A key is here only if some code obeys it.
pub mod model;
pub mod units;

pub use model::*;
pub use units::{ByteSize, Ratio, Secret};
