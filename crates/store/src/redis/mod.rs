//! The store on Redis or Valkey: the link to the servers, and the operations on it.

mod address;
mod answer;
mod cluster;
mod command;
mod connect;
mod keeper;
mod link;
mod ops;
mod sentinel;
mod server;
mod settings;
mod slots;
mod tls;

pub(crate) use command::{Command, Script};
pub(crate) use link::Link;
pub use ops::reference_page;
pub(crate) use ops::Data;
