//! `Mcp-Param-*`: tool arguments that a tool's schema mirrors into headers (2026-07-28 "Custom Headers from Tool
//! Parameters").

use super::{HeaderFault, PARAM_PREFIX, decode_value, mismatch, single};
use crate::errors::McpError;
use crate::frame::{Frame, Json, Member, fields, unquote};
use http::header::{HeaderMap, HeaderName};
use std::collections::HashSet;

const ANNOTATION: &str = "x-mcp-header";
/// Largest integer that a mirrored parameter may have: 2^53 - 1.
const INTEGER_MAX: f64 = 9_007_199_254_740_991.0;
/// Deepest chain of `properties`.
const PATH_MAX: usize = 32;

/// The annotated parameters of one tool. Empty for most tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParamSchema {
    /// In the order of the schema.
    pub params: Vec<HeaderParam>,
}

/// One annotated parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderParam {
    /// `mcp-param-<name>`
    pub header: HeaderName,
    /// Keys from `arguments` to the value.
    pub path: Vec<String>,
    /// Declared type.
    pub kind: ParamKind,
}

/// Types that may be mirrored; `number` may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Compared as text
    String,
    /// Compared as numbers
    Integer,
    /// `true` or `false`
    Boolean,
}

/// An annotation that makes the tool invalid: clients over HTTP must not see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaFault {
    /// Not a header name
    #[error("x-mcp-header is not a header name")]
    Name,
    /// The same name twice, without regard to case
    #[error("two parameters have the same x-mcp-header")]
    Twice,
    /// Not on a string, integer or boolean
    #[error("x-mcp-header is on a parameter that is no string, integer or boolean")]
    Kind,
    /// Not reachable through `properties` alone
    #[error("x-mcp-header is on a parameter that is not reachable through `properties` alone")]
    Place,
    /// Nested too deep
    #[error("the schema is nested deeper than {PATH_MAX} levels")]
    Depth,
}

impl ParamSchema {
    /// Reads a tool's `inputSchema` (raw JSON).
    pub fn read(schema: &[u8]) -> Result<Self, SchemaFault> {
        let mut found = Self::default();
        // Most schemas have none: one search instead of a walk. A key may also be spelt with escapes.
        let mention = schema.windows(ANNOTATION.len()).any(|window| window == ANNOTATION.as_bytes());
        if mention || schema.contains(&b'\\') {
            found.walk(schema, &mut Vec::new())?;
            let names: HashSet<_> = found.params.iter().map(|param| &param.header).collect();
            if names.len() != found.params.len() {
                return Err(SchemaFault::Twice);
            }
        }
        Ok(found)
    }

    /// No parameter is annotated.
    pub fn is_empty(&self) -> bool {
        self.params.is_empty()
    }

    /// Checks a `tools/call`: each annotated parameter that the body has must have its header, with the same value,
    /// and none that the body lacks (or has as null) may have one. Other `Mcp-Param-*` are not looked at.
    pub fn check(&self, headers: &HeaderMap, frame: &Frame) -> Result<(), McpError> {
        for param in &self.params {
            let header = match single(headers, &param.header) {
                Ok(Some(raw)) => decode_value(raw).map(Some),
                Ok(None) => Ok(None),
                Err(fault) => Err(fault),
            };
            let header =
                header.map_err(|fault: HeaderFault| mismatch(format!("{} {fault}", param.header)))?;
            let body = param.find(frame).map_err(mismatch)?;
            match (header, body) {
                (None, None) => {}
                (Some(header), Some(body)) if param.equals(&header, body) => {}
                (Some(_), _) => {
                    return Err(mismatch(format!("{} does not match the argument", param.header)));
                }
                (None, Some(_)) => return Err(mismatch(format!("{} is missing", param.header))),
            }
        }
        Ok(())
    }

    /// Headers for a `tools/call`, to add when the client could send none.
    pub fn headers(&self, frame: &Frame) -> Vec<(HeaderName, String)> {
        let value = |param: &HeaderParam| {
            let raw = param.find(frame).ok().flatten()?;
            let text = unquote(raw).map_or_else(|| String::from_utf8_lossy(raw).into_owned(), Into::into);
            Some((param.header.clone(), super::encode_value(&text).into_owned()))
        };
        self.params.iter().filter_map(value).collect()
    }

    /// A schema that is reached through `properties` alone.
    fn walk(&mut self, schema: &[u8], path: &mut Vec<String>) -> Result<(), SchemaFault> {
        if path.len() > PATH_MAX {
            return Err(SchemaFault::Depth);
        }
        for (key, value) in fields(schema) {
            match &*key {
                ANNOTATION if path.is_empty() => return Err(SchemaFault::Place),
                ANNOTATION => self.params.push(param(schema, value, path)?),
                "properties" => {
                    for (name, property) in fields(value.raw) {
                        path.push(name.into_owned());
                        self.walk(property.raw, path)?;
                        path.pop();
                    }
                }
                _ => no_annotation(&key, value.raw, 0)?,
            }
        }
        Ok(())
    }
}

impl HeaderParam {
    /// The value in the arguments; None when it is absent or null. A key that occurs twice is a fault: two readers
    /// could see two values.
    fn find<'f>(&self, frame: &'f Frame) -> Result<Option<&'f [u8]>, String> {
        let Some(mut value) = frame.raw(Member::Arguments) else { return Ok(None) };
        for key in &self.path {
            let mut found = fields(value).filter(|(name, _)| name == key);
            let Some((_, next)) = found.next() else { return Ok(None) };
            if found.next().is_some() {
                return Err(format!("the argument of {} occurs twice", self.header));
            }
            value = next.raw;
        }
        Ok((value != b"null").then_some(value))
    }

    fn equals(&self, header: &str, body: &[u8]) -> bool {
        match (body.first(), self.kind) {
            (Some(b'"'), _) => unquote(body).is_some_and(|text| text == header),
            (Some(b't' | b'f'), _) => header.as_bytes() == body,
            (Some(b'{' | b'[') | None, _) => false,
            // "SHOULD compare numerically": 42.0 and 42 are equal.
            (_, ParamKind::Integer) => match (integer(header.as_bytes()), integer(body)) {
                (Some(header), Some(body)) => header == body,
                _ => false,
            },
            _ => header.as_bytes() == body,
        }
    }
}

fn param(schema: &[u8], name: Json<'_>, path: &[String]) -> Result<HeaderParam, SchemaFault> {
    let name = unquote(name.raw).filter(|name| !name.is_empty()).ok_or(SchemaFault::Name)?;
    let header = HeaderName::try_from(format!("{PARAM_PREFIX}{name}")).map_err(|_| SchemaFault::Name)?;
    let kind = fields(schema).find(|(key, _)| key == "type").and_then(|(_, value)| unquote(value.raw));
    let kind = match kind.as_deref() {
        Some("string") => ParamKind::String,
        Some("integer") => ParamKind::Integer,
        Some("boolean") => ParamKind::Boolean,
        _ => return Err(SchemaFault::Kind),
    };
    Ok(HeaderParam { header, path: path.to_vec(), kind })
}

/// Below anything but `properties`, no annotation may stand. Data that happens to have such a key is none.
fn no_annotation(key: &str, value: &[u8], depth: usize) -> Result<(), SchemaFault> {
    if depth > PATH_MAX {
        return Err(SchemaFault::Depth);
    }
    if matches!(key, "default" | "examples" | "enum" | "const") {
        return Ok(());
    }
    if key == ANNOTATION && value.first() == Some(&b'"') {
        return Err(SchemaFault::Place);
    }
    for (key, value) in fields(value) {
        no_annotation(&key, value.raw, depth + 1)?;
    }
    for element in crate::frame::elements(value) {
        no_annotation("", element.raw, depth + 1)?;
    }
    Ok(())
}

/// A whole number in the safe range, in any JSON spelling.
fn integer(text: &[u8]) -> Option<i64> {
    let number: f64 = serde_json::from_slice(text).ok()?;
    (number.fract() == 0.0 && number.abs() <= INTEGER_MAX).then_some(number as i64)
}
