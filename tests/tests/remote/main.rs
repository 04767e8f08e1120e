//! MCP servers over HTTP+SSE and WebSocket, through the gateway: real SDKs on both sides, servers that do not behave, and servers that die.

mod faults;
mod kills;
mod replicas;
mod sdks;
mod site;
