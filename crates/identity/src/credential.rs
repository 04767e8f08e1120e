//! Where a credential is in a request.

use crate::AuthError;
use http::{
    HeaderMap, HeaderName,
    header::{AUTHORIZATION, GetAll},
};

/// The bearer token (RFC 6750 section 2.1); `None` if there is no `Authorization`, or it is of another scheme.
///
/// A token in the query (RFC 6750 section 2.3) or in a form is not accepted: it would be in every log on the way.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, AuthError> {
    let Some(value) = only(headers.get_all(AUTHORIZATION).iter())? else { return Ok(None) };
    let Some(space) = value.iter().position(|b| *b == b' ') else { return Ok(None) };
    let (scheme, rest) = value.split_at(space);
    // Schemes are compared without case (RFC 9110 section 11.1).
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(None);
    }
    let token = rest.trim_ascii();
    if token.is_empty() {
        return Err(AuthError::Malformed("the bearer token is empty"));
    }
    Ok(Some(token))
}

/// The value of a header that may occur once.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, AuthError> {
    let all: GetAll<'a, _> = headers.get_all(name);
    only(all.iter())
}

/// Two values are two credentials: which one counts must not depend on who reads.
fn only<'a>(mut values: impl Iterator<Item = &'a http::HeaderValue>) -> Result<Option<&'a [u8]>, AuthError> {
    let first = values.next();
    if values.next().is_some() {
        return Err(AuthError::Malformed("more than one credential"));
    }
    Ok(first.map(http::HeaderValue::as_bytes))
}
