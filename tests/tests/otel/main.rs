//! OpenTelemetry end to end: spans that a real receiver got, contexts that servers got, metrics of MCP operations, and collectors that
//! do not do their part.

mod collectors;
mod contexts;
mod metrics;
mod origin;
mod sampling;
