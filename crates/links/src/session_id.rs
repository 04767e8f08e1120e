//! Ids of sessions: which replica holds one, and 128 bits that nobody guesses.

use holdfast_store::ReplicaId;

/// A new one: visible ASCII ("Session Management", 1). `None` if the system has no randomness.
pub(crate) fn new(replica: ReplicaId) -> Option<Box<str>> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(format!("{replica}-{:032x}", u128::from_be_bytes(bytes)).into())
}

/// The replica that holds a session; `None` for what is no id of ours.
pub(crate) fn replica(id: &str) -> Option<ReplicaId> {
    let (replica, _) = id.split_once('-')?;
    u64::from_str_radix(replica, 16).ok().map(ReplicaId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_replica_and_is_visible_ascii() {
        let mine = ReplicaId(0xab);
        let (one, two) = (new(mine).unwrap(), new(mine).unwrap());
        assert_ne!(one, two);
        assert!(one.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
        assert_eq!(replica(&one), Some(mine));
        assert_eq!(replica("nonsense"), None);
        assert_eq!(one.len(), 16 + 1 + 32);
    }
}
