//! The call side: endpoint sets, connections, probes, and *the* way to make an attempt.
//!
//! [`Upstream::send`] is the only way a request reaches an endpoint: pick, permit, connect or reuse, send, outcome. It fails
//! over before the first response byte, never twice into an endpoint that is dead, and never repeats an unsafe request
//! that a server may have seen. What it hands back, a [`Reply`], streams; its body holds the permit and the connection.
//!
//! [`clock`] has the coarse deadlines that the whole hot path uses.

mod address;
mod attempt;
mod background;
mod call;
pub mod clock;
mod connect;
mod connection;
mod dns;
mod endpoint;
mod error;
mod expect;
mod h1;
mod hold;
mod io;
mod key;
mod out_body;
mod policy;
mod pool;
mod probe;
mod reply;
mod reply_body;
mod send;
mod set;
mod shared;
mod slots;
mod tls;
mod upgraded;
mod upstream;
mod url;
mod verdict;

pub use background::Background;
pub use call::{BoxError, BoxedBody, Call, CallBody, Target, safety_of};
pub use dns::{ADDRESSES_MAX, Answer, LOOKUP_TIMEOUT, Resolve};
pub use error::{BuildError, CallError, Limit};
pub use h1::{content_length, fuzz_http1_response};
pub use key::EndpointKey;
pub use policy::endpoint as endpoint_policy;
pub use reply::{Reply, Timings};
pub use reply_body::ReplyBody;
pub use shared::Shared;
pub use upgraded::UpgradedIo;
pub use upstream::{EndpointView, Upstream};
