//! MCP servers that are programs, through the gateway: real SDKs on both sides, and programs that do not behave.

mod ends;
mod faults;
mod replicas;
mod sdks;
mod site;
