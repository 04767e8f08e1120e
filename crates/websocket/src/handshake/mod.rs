//! The opening handshake (RFC 6455 section 4), both sides, without I/O.
//!
//! Extensions are never negotiated: what a client offers is not answered, what a server claims is refused. Over HTTP/2 (RFC 8441)
//! there is no handshake of this kind; see the decision record.

mod client;
mod server;

pub use client::{Nonce, Offer, Rejected};
pub use server::{Accepted, Protocols, Refusal, accept};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName};

/// Section 1.3: proves that the server read the key as a WebSocket key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Section 4.1: the version of the protocol.
const VERSION: &str = "13";

/// The answer to a key (section 4.2.2): no secret, so SHA-1 does.
fn accept_value(key: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(GUID);
    STANDARD.encode(context.finish().as_ref())
}

/// Elements of a header that is a list, over all its fields; an element that is not ASCII is empty.
fn elements<'h>(headers: &'h HeaderMap, name: &'h HeaderName) -> impl Iterator<Item = &'h str> {
    let fields = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    fields.flat_map(|field| field.split(',')).map(|element| element.trim_matches([' ', '\t']))
}

/// Whether a list has this word, in any case.
fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    elements(headers, name).any(|element| element.eq_ignore_ascii_case(word))
}

/// The one value of a header that may be there once.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Section 4.1: names of subprotocols are tokens (RFC 9110 section 5.6.2).
fn is_token(word: &str) -> bool {
    let special = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || special(byte))
}
