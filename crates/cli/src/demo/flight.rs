//! What the gateway sees of one replica, read from its metrics: calls under way there, and calls that were cut there.

use super::process::Gateway;
use crate::admin_client::{self, AdminAddress};
use crate::exit::Failure;
use std::net::SocketAddr;

/// The calls at one replica.
pub(crate) struct Flight {
    /// Under way right now.
    pub(crate) now: u64,
    /// Whose connection was lost before their answer, since the gateway started.
    pub(crate) cut: u64,
}

impl Gateway {
    /// Looks at the replica on `address`.
    pub(crate) async fn flight(&self, address: SocketAddr) -> Result<Flight, Failure> {
        let admin = AdminAddress::Tcp(self.admin);
        let (status, page) = admin_client::request(&admin, http::Method::GET, "/metrics", None).await?;
        if status != http::StatusCode::OK {
            return Err(Failure::Failed(format!("/metrics answered {status}")));
        }
        let (page, endpoint) = (String::from_utf8_lossy(&page), endpoint(address));
        let lost = [&*endpoint, "outcome=\"reset\""];
        Ok(Flight {
            now: value(&page, "holdfast_upstream_requests_in_flight", &[&endpoint]),
            cut: value(&page, "holdfast_upstream_attempts_total", &lost),
        })
    }
}

fn endpoint(address: SocketAddr) -> String {
    format!("endpoint=\"http://{address}/mcp\"")
}

/// The first series called `name` that has all `labels`, or 0.
fn value(page: &str, name: &str, labels: &[&str]) -> u64 {
    let found = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')).find_map(|rest| {
        let (series, value) = rest.rsplit_once("} ")?;
        labels.iter().all(|label| series.contains(label)).then(|| value.parse().ok())?
    });
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_by_its_labels() {
        let one = endpoint(SocketAddr::from(([127, 0, 0, 1], 1)));
        let page = format!(
            "# TYPE a_total counter\na_total{{{one},outcome=\"ok\"}} 7\na_total{{{one},outcome=\"reset\"}} 3\n"
        );
        assert_eq!(value(&page, "a_total", &[&one, "outcome=\"reset\""]), 3);
        assert_eq!(value(&page, "a_total", &["outcome=\"connect\""]), 0);
        assert_eq!(value(&page, "a", &[&one]), 0, "another name that starts alike");
    }
}
