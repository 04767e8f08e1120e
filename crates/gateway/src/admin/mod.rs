//! The admin API: metrics and probes for everybody, status and mutations for the operator (see [`access`]).

mod access;
mod page;
mod server;

pub(crate) use server::{Admin, AdminError};
