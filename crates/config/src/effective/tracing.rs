//! Where spans go, if the configuration does not say.

use super::derive;
use crate::{
    diagnostic::Draft,
    schema::Rule,
    value::{BlockVal, Data, Origin, Val},
};

/// The variable that programs with OpenTelemetry agree on (its specification, "OpenTelemetry Protocol Exporter").
pub(crate) const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Its default for OTLP over HTTP.
const USUAL: &str = "http://localhost:4318";

/// The variable fills the address of the collector where spans are spoken of and there is none.
pub(crate) fn from_environment(root: &mut BlockVal, url: Option<&str>, drafts: &mut Vec<Draft>) {
    let Some(url) = url else { return };
    let tracing = root.block_mut("observability").and_then(|block| block.block_mut("tracing"));
    let Some(tracing) = tracing.filter(|block| !block.mentions("endpoint")) else { return };
    match Rule::Url.check(url) {
        Ok(()) => tracing.set("endpoint", Val::derived(Data::Text(url.to_owned()), Origin::Given)),
        Err(expected) => {
            let message = format!("the variable `{OTLP_ENDPOINT}` {expected}");
            drafts.push(Draft::error("observability.tracing.endpoint", tracing.at, message));
        }
    }
}

pub(super) fn settle(block: &mut BlockVal) {
    derive(block, "endpoint", Data::Text(USUAL.to_owned()));
}
