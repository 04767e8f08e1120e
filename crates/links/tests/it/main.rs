//! Links to real processes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod ends;
mod faults;
mod messages;
mod support;
