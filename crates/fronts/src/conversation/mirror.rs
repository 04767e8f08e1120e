//! The headers that a Streamable HTTP client would have sent with a message (2026-07-28 "Standard Request Headers").

use holdfast_frames::frame::{Frame, Kind, Member, elements, fields, unquote};
use holdfast_mcp::headers::{METHOD, NAME, PROTOCOL_VERSION, ParamSchema, name_value};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::collections::HashMap;

/// Tools of one conversation whose `Mcp-Param-*` are known. Of more than this many, those listed first.
const TOOLS_MAX: usize = 1024;
/// What a list must mention before it is read.
const ANNOTATION: &[u8] = b"x-mcp-header";

/// Adds what mirrors a modern message. What no header can hold is left out, and is then missed as it would be of any client.
pub(super) fn add(headers: &mut HeaderMap, frame: &Frame, schemas: &Schemas) {
    let mut put = |name: HeaderName, value: Option<HeaderValue>| {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    };
    let version = frame.text(Member::MetaProtocolVersion);
    put(PROTOCOL_VERSION, version.and_then(|version| HeaderValue::from_str(&version).ok()));
    put(METHOD, HeaderValue::from_bytes(&frame.method_bytes()).ok());
    if frame.kind() != Kind::Request {
        return;
    }
    put(NAME, name_value(frame));
    if let Some(schema) = schemas.of(frame) {
        for (name, value) in schema.headers(frame) {
            put(name, HeaderValue::from_str(&value).ok());
        }
    }
}

/// Which arguments of which tools have headers (2026-07-28 "Custom Headers from Tool Parameters"), as the lists said that passed
/// through this conversation. A tool that was never listed here has none.
#[derive(Default)]
pub(super) struct Schemas(HashMap<Box<str>, ParamSchema>);

impl Schemas {
    /// Reads the result of a `tools/list`.
    pub(super) fn learn(&mut self, result: &Frame) {
        let Some(tools) = result.raw(Member::Tools) else { return };
        if self.0.is_empty() && !tools.windows(ANNOTATION.len()).any(|window| window == ANNOTATION) {
            return;
        }
        for tool in elements(tools) {
            let (mut name, mut schema) = (None, None);
            for (key, value) in fields(tool.raw) {
                match &*key {
                    "name" => name = unquote(value.raw),
                    "inputSchema" => schema = ParamSchema::read(value.raw).ok(),
                    _ => {}
                }
            }
            let Some(name) = name else { continue };
            match schema.filter(|schema| !schema.is_empty()) {
                Some(schema) if self.0.len() < TOOLS_MAX || self.0.contains_key(&*name) => {
                    self.0.insert(name.into(), schema);
                }
                Some(_) => {}
                None => drop(self.0.remove(&*name)),
            }
        }
    }

    fn of(&self, call: &Frame) -> Option<&ParamSchema> {
        if self.0.is_empty() || !call.is("tools/call") {
            return None;
        }
        self.0.get(&*call.text(Member::Name)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use holdfast_frames::frame::Limits;
    use holdfast_mcp::{era::Version, headers::check_modern};
    use proptest::prelude::*;

    fn frame(text: &str) -> Frame {
        Frame::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
    }

    const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

    proptest! {
        #[test]
        fn what_is_added_is_what_a_server_checks(
            name in "\\PC{1,40}",
            method in prop_oneof![Just("tools/call"), Just("prompts/get"), Just("server/discover"), Just("x/ö")],
        ) {
            let name = serde_json::to_string(&name).unwrap();
            let message = frame(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"name":{name},{META}}}}}"#));
            let mut headers = HeaderMap::new();
            add(&mut headers, &message, &Schemas::default());
            let checked = check_modern(&headers, &message, &Version::MODERN);
            prop_assert_eq!(checked.is_ok(), method.is_ascii(), "{:?}", checked);
        }
    }

    #[test]
    fn arguments_get_their_headers_once_the_tool_was_listed() {
        let call = frame(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{{"region":"eu"}},{META}}}}}"#
        ));
        let list = |schema: &str| {
            frame(&format!(
                r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{{"name":"t","inputSchema":{schema}}}]}}}}"#
            ))
        };
        let mut schemas = Schemas::default();
        let param = |schemas: &Schemas| {
            let mut headers = HeaderMap::new();
            add(&mut headers, &call, schemas);
            headers.get("mcp-param-region").cloned()
        };
        assert_eq!(param(&schemas), None);
        schemas.learn(&list(r#"{"properties":{"region":{"type":"string","x-mcp-header":"Region"}}}"#));
        assert_eq!(param(&schemas).unwrap(), "eu");
        schemas.learn(&list("{}"));
        assert_eq!(param(&schemas), None, "the tool has changed");
    }
}
