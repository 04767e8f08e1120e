//! Spans and the way to their collector.

use super::Check;
use crate::value::Data;

pub(super) fn check(check: &mut Check<'_>) {
    let path = "observability.tracing";
    let Some(block) = check.root.block("observability").and_then(|block| block.block("tracing")) else {
        return;
    };
    if let Some(Data::Secrets(headers)) = block.get("headers").map(|headers| &headers.data) {
        for (name, value) in headers {
            let at = block.at_key("headers");
            if http::HeaderValue::from_str(&value.value).is_err() {
                check.error(format!("{path}.headers.{name}"), at, "is no header value");
            }
        }
    }
    let Some(tls) = block.block("tls").filter(|tls| tls.fields.values().any(|val| val.at.is_some())) else {
        return;
    };
    check.pair(tls, &format!("{path}.tls"), ["cert_file", "key_file"]);
    check.readable(tls, &format!("{path}.tls"), &["ca_file", "cert_file", "key_file"]);
    if block.text("endpoint").is_some_and(|url| url.starts_with("http://")) {
        check.error(
            format!("{path}.tls"),
            tls.at,
            "the endpoint does not use TLS: its URL starts with `http://`",
        );
    }
}
