//! Which arguments of which tools their servers want mirrored into headers, as their lists said. Asked only where the server itself gets no
//! headers, so that nobody but the gateway can compare them.

use crate::{
    frame::{Frame, Member},
    headers::ParamSchema,
    listing::tools,
};
use moka::sync::Cache;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a list is believed. A tool that changes is noticed within this time, or when the same client lists again.
const BELIEVED: Duration = Duration::from_mins(5);
/// Annotated tools remembered over all lists. What was used longest ago goes first.
const TOOLS_TOTAL_MAX: u64 = 64 * 1024;
/// Annotated tools remembered of one list; those beyond are not compared.
const TOOLS_MAX: usize = 1024;

/// Annotated tools by name.
pub(crate) type Annotated = HashMap<Box<str>, ParamSchema>;

/// A server, and for whom it listed.
type Key = (Arc<str>, [u8; 32]);

/// See the module.
pub(crate) struct Params(Cache<Key, (Arc<Annotated>, Instant)>);

impl Default for Params {
    fn default() -> Self {
        let weigh = |_: &Key, (tools, _): &(Arc<Annotated>, Instant)| {
            u32::try_from(tools.len().saturating_add(1)).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(TOOLS_TOTAL_MAX).weigher(weigh).build())
    }
}

impl Params {
    /// What `server` listed for `principal`, unless that is too long ago.
    pub(crate) fn get(
        &self,
        server: &Arc<str>,
        principal: &[u8; 32],
        now: Instant,
    ) -> Option<Arc<Annotated>> {
        let (tools, at) = self.0.get(&(Arc::clone(server), *principal))?;
        (now.saturating_duration_since(at) < BELIEVED).then_some(tools)
    }

    /// Keeps a whole list.
    pub(crate) fn put(&self, server: &Arc<str>, principal: &[u8; 32], tools: Annotated, now: Instant) {
        self.0.insert((Arc::clone(server), *principal), (Arc::new(tools), now));
    }
}

/// Adds the annotated tools of one page. A tool whose annotations are no good has none.
pub(crate) fn read(page: &Frame, into: &mut Annotated) {
    for tool in tools(page) {
        let (Some(name), Ok(params)) = (tool.name, tool.params) else { continue };
        if !params.is_empty() && into.len() < TOOLS_MAX {
            into.insert(name.into(), params);
        }
    }
}

/// Whether `request` and its answer are a list from its beginning to its end.
pub(crate) fn is_whole(request: &Frame, page: &Frame) -> bool {
    !request.has(Member::Cursor) && page.has(Member::Tools) && !page.has(Member::NextCursor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Limits;
    use bytes::Bytes;

    fn frame(text: &str) -> Frame {
        Frame::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
    }

    #[test]
    fn a_list_is_believed_for_a_while_and_for_whom_it_was() {
        let (params, now) = (Params::default(), Instant::now());
        let (server, me, you) = ("run".into(), [1; 32], [2; 32]);
        let page = frame(
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[
            {"name":"a","inputSchema":{"properties":{"p":{"type":"string","x-mcp-header":"P"}}}},
            {"name":"b","inputSchema":{"properties":{"p":{"type":"number","x-mcp-header":"P"}}}},{"name":"c"}]}}"#,
        );
        let mut tools = Annotated::new();
        read(&page, &mut tools);
        assert_eq!(tools.keys().map(|name| &**name).collect::<Vec<_>>(), ["a"]);
        params.put(&server, &me, tools, now);
        assert_eq!(params.get(&server, &me, now).unwrap().len(), 1);
        assert!(params.get(&server, &you, now).is_none() && params.get(&"other".into(), &me, now).is_none());
        assert!(params.get(&server, &me, now + BELIEVED).is_none());
    }

    #[test]
    fn a_page_of_several_is_no_list() {
        let ask = |cursor: &str| {
            frame(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{cursor}}}}}"#))
        };
        let page =
            |more: &str| frame(&format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[]{more}}}}}"#));
        assert!(is_whole(&ask(""), &page("")));
        assert!(!is_whole(&ask(r#""cursor":"c""#), &page("")));
        assert!(!is_whole(&ask(""), &page(r#","nextCursor":"c""#)));
        let error = frame(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":""}}"#);
        assert!(!is_whole(&ask(""), &error));
    }
}
