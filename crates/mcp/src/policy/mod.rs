//! Who may use what: decisions without I/O (decision 0016).
//!
//! [`rules`] decides, [`named`] says what a request names, [`definition`] says what a tool is and whether it is the pinned one (decision 0019), [`mod@screen`] takes out of a server's messages what their reader may not see.

mod canonical;
mod definition;
mod limits;
mod named;
mod rules;
mod screen;

#[cfg(test)]
mod tests;

pub(crate) use canonical::canonical;
pub use definition::tool_digests;
pub(crate) use definition::{Digest, Pins, definitions};
pub(crate) use limits::{Allowance, Limits};
pub(crate) use named::Named;
pub(crate) use rules::{Kind, Rules, View};
pub(crate) use screen::{Screened, Sight, screen};
