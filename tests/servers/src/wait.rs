//! Waiting for a condition, never for an amount of time.

use crate::Result;
use std::time::{Duration, Instant};

/// Pause between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);

/// Asks `look` again and again until it gives a value. After `limit` the error names `what` was waited for.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = look() {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            return Err(format!("waited {limit:?} in vain until {what}").into());
        }
        std::thread::sleep(LOOK);
    }
}
