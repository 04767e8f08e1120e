//! The GET stream of a session: what its server says on its own.

use super::{
    carry::{Place, follow, is_event_stream},
    shared::Shared,
};
use bytes::Bytes;
use holdfast_mcp::headers::LAST_EVENT_ID;
use http::Method;
use std::sync::Arc;

/// Holds the stream open until the server has none, the session is over, or the process drains. Ended with its conversation.
pub(super) async fn listen(shared: Arc<Shared>) {
    let (mut place, mut tries) = (Place::default(), 0);
    loop {
        // In a scope, so that none of it takes room while the stream is open.
        let body = {
            let session = shared.talk.lock().session();
            let Some(mut headers) = session else { return };
            if let Some(event) = place.event() {
                headers.insert(LAST_EVENT_ID, event);
            }
            let response = shared.ask(Method::GET, headers, Bytes::new()).await;
            let (is_stream, status) = (is_event_stream(&response), response.status());
            if !is_stream && status.is_client_error() && status != http::StatusCode::CONFLICT {
                // 405: the server says nothing on its own. 404: the session is over, which the next request will hear.
                return;
            }
            is_stream.then(|| response.into_body())
        };
        if let Some(body) = body
            && follow(&shared, None, body, &mut place).await.is_err()
        {
            return;
        }
        if shared.opening.connection.drain.is_draining() {
            return;
        }
        tries = if place.was_fresh() { 0 } else { tries + 1 };
        tokio::time::sleep(place.pause(tries)).await;
    }
}
