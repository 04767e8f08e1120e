//! What servers say of their tools, learned from `tools/list` answers passing by. Asked only where the operator set `trust_hints`.

use crate::{frame::Frame, listing::tools};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

/// Tools remembered per server; a server with more is not trusted for the rest.
const TOOLS_MAX: usize = 10_000;
/// Servers remembered.
const SERVERS_MAX: usize = 4096;

/// By name: whether it may be called again.
type Tools = HashMap<Box<str>, bool>;

/// Tools that may be called again, by server.
#[derive(Default)]
pub(crate) struct Hints {
    servers: Mutex<HashMap<Arc<str>, Tools>>,
}

impl Hints {
    /// Learns from a `tools/list` response. Pages add up; a tool seen again is judged anew.
    pub(crate) fn learn(&self, server: &Arc<str>, response: &Frame) {
        let tools = tools(response);
        let mut servers = self.servers.lock();
        if servers.len() >= SERVERS_MAX && !servers.contains_key(server) {
            return;
        }
        let known = servers.entry(Arc::clone(server)).or_default();
        for tool in tools {
            let Some(name) = tool.name else { continue };
            if known.len() < TOOLS_MAX || known.contains_key(&*name) {
                known.insert(name.into(), tool.read_only || tool.idempotent);
            }
        }
    }

    /// Whether `server` says that calling `tool` twice does no more than calling it once.
    pub(crate) fn repeatable(&self, server: &str, tool: &str) -> bool {
        self.servers.lock().get(server).and_then(|tools| tools.get(tool)).copied().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Limits;
    use bytes::Bytes;

    fn list(tools: &str) -> Frame {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tools}]}}}}"#);
        Frame::parse(Bytes::from(text), &Limits::default()).unwrap()
    }

    #[test]
    fn only_hinted_tools_of_that_server_are_repeatable() {
        let hints = Hints::default();
        let server: Arc<str> = "files".into();
        hints.learn(
            &server,
            &list(
                r#"{"name":"read","annotations":{"readOnlyHint":true}},{"annotations":{"idempotentHint":true},"name":"put"},
                {"name":"pay","annotations":{"readOnlyHint":false}},{"name":"bare"}"#,
            ),
        );
        assert!(hints.repeatable("files", "read") && hints.repeatable("files", "put"));
        assert!(!hints.repeatable("files", "pay") && !hints.repeatable("files", "bare"));
        assert!(!hints.repeatable("other", "read"));
        hints.learn(&server, &list(r#"{"name":"read"}"#));
        assert!(!hints.repeatable("files", "read"), "judged anew");
    }
}
