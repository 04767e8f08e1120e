//! Copies of header values. Those of a request are slices of the buffer that it was read into: one value that is kept keeps it whole.

use crate::RequestContext;
use http::{HeaderMap, HeaderValue, uri::PathAndQuery};

/// The same headers in memory of their own, for who keeps them as long as a stream is open.
pub fn unshared(headers: &HeaderMap) -> HeaderMap {
    // A clone has room for no more than there is.
    let mut headers = headers.clone();
    headers.values_mut().for_each(|value| *value = unshared_value(value));
    headers
}

/// The same value in memory of its own.
pub fn unshared_value(value: &HeaderValue) -> HeaderValue {
    let mut copy = HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone());
    copy.set_sensitive(value.is_sensitive());
    copy
}

impl RequestContext {
    /// Keeps nothing of the buffer that its request was read into: for a context, or a record, that lives as long as a stream.
    pub fn unshare(&mut self) {
        self.id_header = None;
        self.record.user_agent = self.record.user_agent.as_ref().map(unshared_value);
        let target = self.record.target.take();
        self.record.target =
            target.map(|target| PathAndQuery::try_from(target.as_str()).unwrap_or_else(|_| target.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn copies_are_equal_and_hold_no_buffer() {
        let buffer = Bytes::from(b"one two".to_vec());
        let mut secret = HeaderValue::from_maybe_shared(buffer.slice(..3)).expect("value");
        secret.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.append("a", secret);
        headers.append("a", HeaderValue::from_maybe_shared(buffer.slice(4..)).expect("value"));
        let copies = unshared(&headers);
        assert_eq!(copies, headers);
        let sensitive: Vec<bool> = copies.get_all("a").iter().map(HeaderValue::is_sensitive).collect();
        assert_eq!(sensitive, [true, false]);
        assert!(!buffer.is_unique());
        drop(headers);
        assert!(buffer.is_unique());
    }
}
