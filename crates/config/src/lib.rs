//! One strict schema: load, validate, explain. Plain data, no handles.
//!
//! [`model`] is what every other crate reads; [`load()`] makes it. A key is here only if some code obeys it.
//!
//! The way of a file: YAML to a tree with places (`yaml`), the tree to typed values by the tables (`schema`, `decode`),
//! several files into one (`decode::unite`), short forms into long ones (`canonical`), inheritance and defaults
//! (`effective`), what no single key can know (`validate`), and at last the plain structs (`assemble`). Each step works on
//! values that know their place, so each message has a line; and each goes on after an error, so all are shown at once.

/// Appends formatted text. A `String` takes everything, so there is no error to pass on.
macro_rules! put {
    ($to:expr, $($text:tt)*) => {{
        use std::fmt::Write as _;
        let _ = $to.write_fmt(format_args!($($text)*));
    }};
}

mod assemble;
mod canonical;
mod decode;
mod diagnostic;
mod effective;
mod explain;
mod flags;
mod fuzz;
mod glob;
mod load;
pub mod model;
mod redis_url;
mod restart;
mod schema;
mod source;
mod text;
pub mod units;
mod validate;
mod value;
mod yaml;

pub use diagnostic::{Diagnostic, MAX_DIAGNOSTICS, Place, Report, Severity, render};
pub use explain::{PrintOptions, SecretText, json_schema, reference_markdown};
pub use flags::{config_from_flags, split_command};
#[doc(hidden)]
pub use fuzz::fuzz_load;
pub use glob::{Glob, is_plain_uri};
pub use load::{Loaded, Role, load};
pub use model::*;
pub use restart::restart_needed;
pub use source::{Env, MAX_FILE_BYTES, MAX_SOURCES, ProcessEnv, Source};
pub use units::{ByteSize, Ratio, Secret, is_private};
pub use yaml::{MAX_DEPTH, MAX_NODES};
