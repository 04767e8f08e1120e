//! The limit on open files, looked at once at start.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors beyond those of connections: listening sockets, epoll, files, probes.
const HEADROOM: u64 = 256;

/// Raises the soft limit as far as needed and allowed, and warns where that is not enough for `max_connections`: each client
/// connection may need one more towards an upstream.
pub(crate) fn raise(max_connections: usize) {
    let wanted = (max_connections as u64).saturating_mul(2).saturating_add(HEADROOM);
    let (soft, hard) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok(limits) => limits,
        Err(error) => {
            tracing::warn!(%error, "the limit on open files cannot be read");
            return;
        }
    };
    if soft >= wanted {
        return;
    }
    let reachable = wanted.min(hard);
    let reached = match setrlimit(Resource::RLIMIT_NOFILE, reachable, hard) {
        Ok(()) => reachable,
        Err(_) => soft,
    };
    if reached < wanted {
        tracing::warn!(
            limit = reached,
            wanted,
            max_connections,
            "too few open files are allowed for server.max_connections; raise the limit (ulimit -n, LimitNOFILE=)"
        );
    }
}
