//! HTTP/1.1 towards upstreams: a codec of our own, run by the task of the request itself.
//!
//! The parts that decide have no I/O: [`request`] writes heads, [`response`] reads them and decides how the body is framed,
//! [`body`] and [`chunks`] take bodies apart, [`outgoing`] frames what is sent, [`life`] is the table of what may happen to
//! an exchange and when its connection may carry another. [`connection`] moves bytes between them and a socket.
//!
//! An upstream is not trusted: whatever could be read in two ways is a [`Fault`](fault::Fault), the connection is closed, and nothing
//! of the message reaches a client.

mod body;
mod chunks;
mod connection;
mod failure;
mod fault;
mod life;
mod outgoing;
mod read_buffer;
mod request;
mod response;
mod section;

#[cfg(test)]
mod differential;
mod fuzz;

pub(crate) use connection::{Http1, Rest};
pub(crate) use failure::BodyError;
pub use fuzz::fuzz_http1_response;
pub(crate) use request::RequestHead;
pub use response::content_length;
