//! One acknowledgement out of those of several endpoints.

use crate::frame::{elements, fields, quote};
use std::collections::BTreeSet;

/// The union of what endpoints agreed to send (raw `notifications` objects): a notification type that one of them sends is
/// sent. Members keep the order in which they were first seen; a member that is neither true nor a list is taken from the
/// first that has it.
pub(super) fn agreed(filters: &[&[u8]]) -> String {
    let mut members: Vec<(String, Agreed)> = Vec::new();
    for filter in filters {
        for (key, value) in fields(filter) {
            let found = Agreed::read(value.raw);
            match members.iter_mut().find(|(known, _)| *known == *key) {
                Some((_, known)) => known.join(found),
                None => members.push((key.into_owned(), found)),
            }
        }
    }
    let written: Vec<String> =
        members.into_iter().map(|(key, value)| format!("{}:{}", quote(&key), value.write())).collect();
    format!("{{{}}}", written.join(","))
}

enum Agreed {
    List(Vec<String>),
    Other(String),
}

impl Agreed {
    fn read(raw: &[u8]) -> Self {
        let text = |raw: &[u8]| String::from_utf8_lossy(raw).into_owned();
        if raw.first() == Some(&b'[') {
            Self::List(elements(raw).iter().map(|element| text(element.raw)).collect())
        } else {
            Self::Other(text(raw))
        }
    }

    fn join(&mut self, other: Self) {
        match (self, other) {
            (Self::List(known), Self::List(more)) => {
                let seen: BTreeSet<String> = known.iter().cloned().collect();
                known.extend(more.into_iter().filter(|element| !seen.contains(element)));
            }
            (Self::Other(known), Self::Other(more)) if more == "true" => *known = more,
            (Self::List(_) | Self::Other(_), _) => {}
        }
    }

    fn write(self) -> String {
        match self {
            Self::List(elements) => format!("[{}]", elements.join(",")),
            Self::Other(raw) => raw,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::agreed;

    #[test]
    fn what_one_endpoint_sends_is_agreed() {
        let merged = agreed(&[
            br#"{"toolsListChanged":false,"resourceSubscriptions":["a","b"],"x":{"y":1}}"#,
            br#"{"promptsListChanged":true,"toolsListChanged":true,"resourceSubscriptions":["b","c"],"x":2}"#,
        ]);
        assert_eq!(
            merged,
            r#"{"toolsListChanged":true,"resourceSubscriptions":["a","b","c"],"x":{"y":1},"promptsListChanged":true}"#
        );
        assert_eq!(agreed(&[b"{}"]), "{}");
        assert_eq!(agreed(&[]), "{}");
    }
}
