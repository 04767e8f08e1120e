//! Who may use what: decisions without I/O (decision 0016).
//!
//! [`rules`] decides, [`named`] says what a request names, [`mod@screen`] takes out of a server's messages what their reader may not see.

mod limits;
mod named;
mod rules;
mod screen;

#[cfg(test)]
mod tests;

pub(crate) use limits::{Allowance, Limits};
pub(crate) use named::Named;
pub(crate) use rules::{Kind, Rules, View};
pub(crate) use screen::{Screened, screen};
