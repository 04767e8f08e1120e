//! Waiting for a condition, never for an amount of time.

use crate::Result;
use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Pause between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);

/// Asks `look` again and again until it gives a value. After `limit` the error names `what` was waited for.
pub async fn until<T, F>(what: &str, limit: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = look().await {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            return Err(format!("waited {limit:?} in vain until {what}").into());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Gives `work` until `limit`; after that the error names `what` did not end.
pub async fn within<T>(what: &str, limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(|why| format!("{what}: {why}").into()),
        Err(_) => Err(format!("{what} did not end within {limit:?}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_with_its_value_or_at_its_deadline() {
        let mut looks = 0;
        let value = until("three looks", Duration::from_secs(1), || {
            looks += 1;
            let seen = looks;
            async move { (seen == 3).then_some(seen) }
        });
        assert_eq!(value.await.unwrap(), 3);
        let never = until::<(), _>("the moon falls", Duration::ZERO, || async { None }).await;
        assert!(never.unwrap_err().to_string().contains("the moon falls"));
    }
}
