//! What the gateway reads from a server's `tools/list`: names, hints, mirrored parameters.

use crate::frame::{Frame, Json, Member, SpliceError, elements, fields, unquote};
use crate::headers::{ParamSchema, SchemaFault};
use bytes::Bytes;
use std::borrow::Cow;

/// One entry of `result.tools`.
#[derive(Clone, Debug)]
pub struct Tool<'a> {
    /// Its name; None when there is none that can be called.
    pub name: Option<Cow<'a, str>>,
    /// `annotations.readOnlyHint`. A claim of the server, to be believed only where configured.
    pub read_only: bool,
    /// `annotations.idempotentHint`. Likewise.
    pub idempotent: bool,
    /// Parameters that are mirrored into headers, or why the tool must not be shown to HTTP clients.
    pub params: Result<ParamSchema, SchemaFault>,
    raw: &'a [u8],
}

/// The tools of a `tools/list` response; nothing for any other message.
pub fn tools(response: &Frame) -> Vec<Tool<'_>> {
    response.raw(Member::Tools).map(elements).unwrap_or_default().into_iter().map(tool).collect()
}

fn tool(json: Json<'_>) -> Tool<'_> {
    let raw = json.raw;
    let mut tool =
        Tool { name: None, read_only: false, idempotent: false, params: Ok(ParamSchema::default()), raw };
    for (key, value) in fields(raw) {
        match &*key {
            "name" => tool.name = unquote(value.raw),
            "inputSchema" => tool.params = ParamSchema::read(value.raw),
            "annotations" => {
                for (hint, value) in fields(value.raw) {
                    match &*hint {
                        "readOnlyHint" => tool.read_only = value.raw == b"true",
                        "idempotentHint" => tool.idempotent = value.raw == b"true",
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    tool
}

/// The response without the tools whose `x-mcp-header` annotations are invalid: "clients MUST exclude the invalid tool
/// from the result of tools/list" (2026-07-28 "Schema Extension"). Shares the bytes when none is.
pub fn without_invalid(response: &Frame, tools: &[Tool<'_>]) -> Result<Bytes, SpliceError> {
    if tools.iter().all(|tool| tool.params.is_ok()) {
        return Ok(response.bytes().clone());
    }
    let kept: Vec<&[u8]> = tools.iter().filter(|tool| tool.params.is_ok()).map(|tool| tool.raw).collect();
    let list = [&b"["[..], &kept.join(&b','), b"]"].concat();
    response.splice().set(Member::Tools, list).finish()
}

#[cfg(test)]
mod tests {
    use super::{tools, without_invalid};
    use crate::frame::{Frame, Limits};
    use bytes::Bytes;

    const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[
        {"name":"a","annotations":{"readOnlyHint":true,"idempotentHint":false},"inputSchema":{"type":"object"},"x":1.10},
        {"name":"b","inputSchema":{"properties":{"p":{"type":"number","x-mcp-header":"P"}}}},
        {"name":"c","annotations":{"idempotentHint":true},"inputSchema":{"properties":{"p":{"type":"string","x-mcp-header":"P"}}}}
    ],"ttlMs":5}}"#;

    fn frame(text: &str) -> Frame {
        Frame::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
    }

    #[test]
    fn hints_and_params_are_read() {
        let list = frame(LIST);
        let tools = tools(&list);
        let hints: Vec<_> =
            tools.iter().map(|tool| (tool.read_only, tool.idempotent, tool.params.is_ok())).collect();
        assert_eq!(hints, [(true, false, true), (false, false, false), (false, true, true)]);
        assert_eq!(tools[2].params.as_ref().unwrap().params[0].header, "mcp-param-p");
        assert_eq!(tools[1].name.as_deref(), Some("b"));
    }

    #[test]
    fn invalid_tools_are_left_out_and_the_others_stay_byte_for_byte() {
        let list = frame(LIST);
        let shown = without_invalid(&list, &tools(&list)).unwrap();
        let text = std::str::from_utf8(&shown).unwrap();
        assert!(
            !text.contains(r#""name":"b""#)
                && text.contains(r#""x":1.10"#)
                && text.ends_with(r#","ttlMs":5}}"#)
        );
        assert_eq!(tools(&frame(text)).len(), 2);
        let good = frame(r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"}]}}"#);
        assert_eq!(without_invalid(&good, &tools(&good)).unwrap().as_ptr(), good.bytes().as_ptr());
    }

    #[test]
    fn other_messages_have_no_tools() {
        assert!(tools(&frame(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)).is_empty());
        assert!(tools(&frame(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}"#)).is_empty());
    }
}
