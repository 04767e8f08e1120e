//! Plain HTTP routes: a streaming reverse proxy.
//!
//! [`RouteTable`] finds the route of a path, [`ApiRoute`] answers a request of it. A request is passed on as it came:
//! bytes stream in both directions, trailers included, and only what belongs to one hop is replaced. What a client can
//! forge (forwarding headers, hop-by-hop headers, a path that another reader would read differently) never reaches
//! an upstream. `Via` is not written: common servers switch compression off when they see it.

mod failure;
mod forward;
mod path;
mod problem;
mod request_body;
mod route;
mod route_table;
mod scan;
mod tunnel;
mod upgrade;
mod websocket;

pub use path::{AmbiguousPath, check_path, prefix_len};
pub use problem::Problem;
pub use route::{ApiRoute, BuildError};
pub use route_table::{DuplicatePrefix, RouteTable};
pub use upgrade::Tunnelled;
