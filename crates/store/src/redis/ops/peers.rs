//! The registry on Redis: one hash with every replica, each record with its own end.

use super::{Data, keys::Key, millis, reply, sealer::Place};
use crate::redis::{Command, Script};
use crate::seam::{Answer, ENTRY_BYTES_MAX, PeerRegistry, ReplicaId, limits};
use crate::{StoreError, StoreErrorKind};
use bytes::Bytes;
use holdfast_telemetry::{StorePart, StoreValue};
use std::time::{Duration, Instant};

static ANNOUNCE: Script = Script::new(include_str!("lua/peers_announce.lua"));
static LIST: Script = Script::new(include_str!("lua/peers_list.lua"));

/// As it stands in the store.
pub(super) fn parse(text: &[u8]) -> Option<ReplicaId> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 16)?;
    u64::from_str_radix(text, 16).ok().map(ReplicaId)
}

impl PeerRegistry for Data {
    fn announce(&self, replica: ReplicaId, record: Bytes, ttl: Duration, until: Instant) -> Answer<'_, ()> {
        let core = &*self.core;
        core.counted(StorePart::Registry, async move {
            limits::fits(record.len(), ENTRY_BYTES_MAX)?;
            let (key, field) = (core.names.only(Key::Peers), replica.to_string());
            let place = Place::new(StoreValue::Peer, &key).field(field.as_bytes());
            let sealed = core.sealer.seal(place, &record)?;
            let args = vec![field.clone().into_bytes(), sealed];
            let command = Command::script(&ANNOUNCE, vec![key.clone()], args).arg(millis(ttl));
            let command = command.arg(core.limits.peers).repeatable();
            match reply::some(core.run(&key, command, until).await?)?.as_slice() {
                b"1" => Ok(()),
                _ => Err(StoreError::new(StoreErrorKind::Full, "too many replicas")),
            }
        })
    }

    fn list(&self, until: Instant) -> Answer<'_, Vec<(ReplicaId, Bytes)>> {
        let core = &*self.core;
        core.counted(StorePart::Registry, async move {
            let key = core.names.only(Key::Peers);
            let command = Command::script(&LIST, vec![key.clone()], Vec::new()).repeatable();
            let answer = reply::all_bytes(core.run(&key, command, until).await?)?;
            let open = |pair: &[Vec<u8>]| {
                let [field, sealed] = pair else { return None };
                let place = Place::new(StoreValue::Peer, &key).field(field);
                Some((parse(field)?, core.sealer.open(place, sealed)?))
            };
            Ok(answer.chunks(2).filter_map(open).collect())
        })
    }

    fn leave(&self, replica: ReplicaId, until: Instant) -> Answer<'_, ()> {
        let core = &*self.core;
        core.counted(StorePart::Registry, async move {
            let key = core.names.only(Key::Peers);
            let command = Command::new("HDEL").arg(key.as_slice()).arg(replica.to_string()).repeatable();
            core.run(&key, command, until).await.map(drop)
        })
    }
}
