//! The reference page, from the table.

use super::{DURATION_BUCKETS, Kind, Metric, OPERATION_BUCKETS};
use std::fmt::Write as _;

/// Markdown of `docs/reference/metrics.md`.
pub fn reference_page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Generated from the table in `crates/telemetry/src/metrics/table.rs`; a test keeps this page current.\n\n\
         `GET /metrics` on the admin port answers in OpenMetrics text. `observability.metrics.additional_labels` puts\n\
         constant labels on every series. Series of label values that are known in advance exist from the start, at 0;\n\
         series of a route, an upstream or an endpoint disappear when a reload or a name resolution takes it away.\n\n",
    );
    // Writing into a String cannot fail.
    let _ = write!(page, "Buckets of histograms, in seconds: ");
    for bound in DURATION_BUCKETS {
        let _ = write!(page, "{bound}, ");
    }
    page.push_str("+Inf. Of metrics whose name begins with `mcp_`, which are those of the\nOpenTelemetry semantic conventions: ");
    for bound in OPERATION_BUCKETS {
        let _ = write!(page, "{bound}, ");
    }
    page.push_str("+Inf; their series appear\nwith their first event.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for metric in Metric::ALL {
        let definition = metric.definition();
        let kind = match definition.kind {
            Kind::Counter => "counter",
            Kind::Gauge | Kind::Seconds => "gauge",
            Kind::Histogram | Kind::Operations => "histogram",
        };
        let labels: Vec<String> = definition.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(
            page,
            "| `{}` | {kind} | {} | {} |",
            definition.full_name(),
            labels.join(", "),
            definition.help
        );
    }
    page
}
