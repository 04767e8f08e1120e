//! What the tables say, for people and for editors: the effective configuration, the reference page, the JSON Schema.

mod json_schema;
mod print;
mod reference;

pub use json_schema::json_schema;
pub use print::{PrintOptions, SecretText};
pub use reference::reference_markdown;

pub(crate) use print::quote;
