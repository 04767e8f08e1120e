//! The cache on Redis: one string a value.

use super::{Data, keys::Key, millis, reply, sealer::Place};
use crate::redis::Command;
use crate::seam::{Answer, Name, SharedCache, limits};
use bytes::Bytes;
use holdfast_telemetry::{StorePart, StoreValue};
use std::time::{Duration, Instant};

impl SharedCache for Data {
    fn get(&self, name: Name, until: Instant) -> Answer<'_, Option<Bytes>> {
        let core = &*self.core;
        core.counted(StorePart::Cache, async move {
            let key = core.names.named(Key::Cached, name);
            let command = Command::new("GET").arg(key.as_slice()).repeatable();
            let sealed = reply::bytes(core.run(&key, command, until).await?)?;
            Ok(sealed.and_then(|sealed| core.sealer.open(Place::new(StoreValue::Cached, &key), &sealed)))
        })
    }

    fn put(&self, name: Name, value: Bytes, ttl: Duration, until: Instant) -> Answer<'_, ()> {
        let core = &*self.core;
        core.counted(StorePart::Cache, async move {
            limits::fits(value.len(), core.limits.cache_value_bytes)?;
            let key = core.names.named(Key::Cached, name);
            let sealed = core.sealer.seal(Place::new(StoreValue::Cached, &key), &value)?;
            let command = Command::new("SET").arg(key.as_slice()).arg(sealed).arg("PX").arg(millis(ttl));
            core.run(&key, command.repeatable(), until).await.map(drop)
        })
    }

    fn remove(&self, name: Name, until: Instant) -> Answer<'_, ()> {
        let core = &*self.core;
        core.counted(StorePart::Cache, async move {
            let key = core.names.named(Key::Cached, name);
            core.run(&key, Command::new("UNLINK").arg(key.as_slice()).repeatable(), until).await.map(drop)
        })
    }
}
