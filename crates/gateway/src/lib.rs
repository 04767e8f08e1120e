//! The gateway as a whole: one immutable [`runtime::Runtime`] snapshot, `serve()`, reload, the admin API.
//!
//! Start, `check` and reload run the same code: sources are loaded and validated, a complete snapshot is built beside the
//! running one, and one pointer changes. What fails changes nothing.

mod admin;
mod dispatch;
mod expiry;
mod export;
mod gateway;
mod local;
mod metadata;
mod pins;
mod reload;
mod replicas;
mod runtime;
mod serve;
mod status;
mod stdio;

pub use pins::{PinsError, PinsOptions, ServerTools, pins};
pub use serve::{ServeError, ServeOptions, serve};
