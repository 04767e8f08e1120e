//! Sealing of what goes into the store, and the judgement of what comes out.

use crate::{StoreError, StoreErrorKind};
use bytes::Bytes;
use holdfast_seal::KeyRing;
use holdfast_telemetry::{StoreMetrics, StoreValue};
use parking_lot::RwLock;
use std::sync::Arc;

/// The key ring of the moment, and the count of what it did not open.
pub(crate) struct Sealer {
    ring: RwLock<Arc<KeyRing>>,
    metrics: Arc<StoreMetrics>,
}

/// Where a value stands: it opens nowhere else.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// What it is.
    pub(crate) value: StoreValue,
    /// Its key.
    pub(crate) key: &'a [u8],
    /// Its field, member or the like; empty if it is the only value of the key.
    pub(crate) field: &'a [u8],
    /// The number that stands beside it in clear.
    pub(crate) number: u64,
}

impl<'a> Place<'a> {
    pub(crate) fn new(value: StoreValue, key: &'a [u8]) -> Self {
        Self { value, key, field: &[], number: 0 }
    }

    pub(crate) fn field(self, field: &'a [u8]) -> Self {
        Self { field, ..self }
    }

    pub(crate) fn number(self, number: u64) -> Self {
        Self { number, ..self }
    }

    /// The full name: each part behind its length, so that no two places have one name.
    fn name(&self) -> Vec<u8> {
        let mut name = Vec::with_capacity(self.key.len() + self.field.len() + 24);
        for part in [self.key, self.field, &self.number.to_be_bytes()] {
            name.extend_from_slice(&(part.len() as u64).to_be_bytes());
            name.extend_from_slice(part);
        }
        name
    }
}

impl Sealer {
    pub(crate) fn new(ring: Arc<KeyRing>, metrics: Arc<StoreMetrics>) -> Self {
        Self { ring: RwLock::new(ring), metrics }
    }

    /// From now on another ring seals and opens.
    pub(crate) fn rekey(&self, ring: Arc<KeyRing>) {
        *self.ring.write() = ring;
    }

    pub(crate) fn seal(&self, place: Place<'_>, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        let ring = Arc::clone(&self.ring.read());
        let failed = |_| StoreError::new(StoreErrorKind::Protocol, "the value could not be sealed");
        ring.seal_value(&place.name(), value).map_err(failed)
    }

    /// What was sealed for this place, or nothing, counted.
    pub(crate) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Option<Bytes> {
        let ring = Arc::clone(&self.ring.read());
        if let Ok(value) = ring.open_value(&place.name(), sealed) {
            return Some(value.into());
        }
        self.count_bad(place.value);
        None
    }

    /// Counts what has not even the form of a sealed value.
    pub(crate) fn count_bad(&self, value: StoreValue) {
        self.metrics.bad_seals.inc(value);
    }
}
