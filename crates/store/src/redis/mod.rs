//! The store on Redis or Valkey: the link to the servers, and the operations on it.

mod address;
mod advice;
mod answer;
mod cluster;
mod command;
mod connect;
mod drive;
mod keeper;
mod link;
mod ops;
mod sentinel;
mod server;
mod settings;
mod slots;
#[cfg(test)]
mod tests;
mod tls;
mod view;

pub(crate) use command::{Command, Script};
pub(crate) use link::Link;
pub(crate) use ops::Data;
pub use ops::reference_page;
pub use view::{LinkView, ServerView};
