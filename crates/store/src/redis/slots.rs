//! Which master of a cluster has a key. Pure.

use super::{address::Address, answer::text};
use redis::Value;

/// Slots of a cluster.
pub(crate) const SLOTS: u16 = 16384;

/// The slot of a key: CRC16 (XMODEM) over the key, or over what stands between its first `{` and the next `}` if that is
/// not empty (Redis Cluster specification, "Hash tags").
pub(crate) fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let inner = &key[open + 1..];
        let close = inner.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &inner[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// Ranges of slots with their masters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlotMap {
    /// Sorted, first slot, last slot, master.
    ranges: Vec<(u16, u16, Address)>,
}

impl SlotMap {
    /// From the answer to `CLUSTER SLOTS`; `asked` stands for a host that the server leaves out. `None` = not such an answer.
    pub(crate) fn read(value: &Value, asked: &Address) -> Option<Self> {
        let Value::Array(rows) = value else { return None };
        let mut ranges = Vec::with_capacity(rows.len());
        for row in rows {
            let Value::Array(row) = row else { return None };
            let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &row[..] else {
                return None;
            };
            let [host, Value::Int(port), ..] = &master[..] else { return None };
            let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
            if first > last || last >= SLOTS {
                return None;
            }
            // "?" = it does not know the name of that server; NULL or "" = the host it was asked at.
            let host = match text(host) {
                Some("?") => continue,
                None | Some("") => &asked.host,
                Some(host) => host,
            };
            ranges.push((first, last, Address::new(host, u16::try_from(*port).ok()?)));
        }
        ranges.sort_unstable();
        Some(Self { ranges })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(crate) fn master(&self, slot: u16) -> Option<&Address> {
        let after = self.ranges.partition_point(|(first, _, _)| *first <= slot);
        let (_, last, master) = self.ranges.get(after.checked_sub(1)?)?;
        (slot <= *last).then_some(master)
    }

    /// Every master once.
    pub(crate) fn masters(&self) -> Vec<Address> {
        let mut masters: Vec<_> = self.ranges.iter().map(|(_, _, master)| master.clone()).collect();
        masters.sort_unstable();
        masters.dedup();
        masters
    }

    /// Whether each slot has the master it had.
    pub(crate) fn same_masters(&self, other: &Self) -> bool {
        let edges = self.ranges.iter().chain(&other.ranges).flat_map(|(first, last, _)| [*first, *last]);
        edges.into_iter().all(|slot| self.master(slot) == other.master(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // Redis Cluster specification, appendix A, and `CLUSTER KEYSLOT` of a real server.
        assert_eq!(crc16(b"123456789"), 0x31C3);
        for (key, expected) in
            [("foo", 12182), ("bar", 5061), ("", 0), ("{user1000}.following", 3443), ("{}x", slot(b"{}x"))]
        {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
        assert_eq!(slot(b"{user1000}.following"), slot(b"{user1000}.followers"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
        assert_ne!(slot(b"foo{}{bar}"), slot(b"bar"), "an empty tag is none");
    }

    fn row(first: i64, last: i64, host: Value, port: i64) -> Value {
        Value::Array(vec![Value::Int(first), Value::Int(last), Value::Array(vec![host, Value::Int(port)])])
    }
    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn a_map_is_read_with_hosts_left_out() {
        let asked = Address::new("seed", 1);
        let value = Value::Array(vec![
            row(100, 200, bulk("b"), 2),
            row(0, 99, bulk(""), 1),
            row(201, 201, Value::Nil, 3),
            row(300, 400, bulk("?"), 4),
        ]);
        let map = SlotMap::read(&value, &asked).unwrap();
        assert_eq!(map.master(0), Some(&Address::new("seed", 1)));
        assert_eq!(map.master(150), Some(&Address::new("b", 2)));
        assert_eq!(map.master(201), Some(&Address::new("seed", 3)));
        assert_eq!((map.master(202), map.master(300), map.master(16383)), (None, None, None));
        assert_eq!(map.masters().len(), 3);
    }

    #[test]
    fn what_is_no_map_is_refused() {
        let asked = Address::new("seed", 1);
        for value in [
            Value::Nil,
            Value::Array(vec![Value::Nil]),
            Value::Array(vec![row(5, 4, bulk("a"), 1)]),
            Value::Array(vec![row(0, 16384, bulk("a"), 1)]),
            Value::Array(vec![row(-1, 4, bulk("a"), 1)]),
            Value::Array(vec![row(0, 4, bulk("a"), 99_999)]),
        ] {
            assert_eq!(SlotMap::read(&value, &asked), None, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn every_slot_of_a_range_has_its_master(cuts in proptest::collection::btree_set(0u16..SLOTS, 0..20), probe in 0u16..SLOTS) {
            let mut bounds: Vec<u16> = cuts.into_iter().collect();
            bounds.push(SLOTS);
            let mut first = 0;
            let mut rows = Vec::new();
            for (index, end) in bounds.iter().enumerate().filter(|(_, end)| **end > 0) {
                rows.push(row(i64::from(first), i64::from(*end) - 1, bulk("h"), i64::try_from(index).unwrap() + 1));
                first = *end;
            }
            let map = SlotMap::read(&Value::Array(rows), &Address::new("seed", 1)).unwrap();
            let expected = bounds.iter().position(|end| probe < *end).unwrap() as u16 + 1;
            prop_assert_eq!(map.master(probe).map(|master| master.port), Some(expected));
            prop_assert!(map.same_masters(&map.clone()));
        }
    }
}
