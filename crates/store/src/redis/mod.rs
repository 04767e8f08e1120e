//! The store on Redis or Valkey: the link to the servers, and the operations on it.

mod command;

pub(crate) use command::{Command, Script};
