//! WebSocket: one JSON-RPC message in a text frame, subprotocol `mcp`, as the SDKs speak it.

mod carry;
mod record;
#[cfg(test)]
mod tests;

pub use record::Sequel;

use crate::{Carriage, Conversation, Fronts, Opening, Place, polite};
use carry::{Pulse, carry};
use holdfast_edge::Body;
use holdfast_websocket::{self as codec, Limits, Protocols, Role, Socket};
use http::{HeaderMap, HeaderValue, Request, Response, header, request};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::{sync::Arc, time::Duration};

const SUBPROTOCOLS: &[&str] = &["mcp"];
/// From our 101 to the connection being ours.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// What the codec holds of what is sent: the conversation's own queue stands before it.
const UNSENT_BYTES: usize = 64 * 1024;

/// Whether the headers of a request ask for a WebSocket, well or not.
pub fn is_asked(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("websocket")))
}

/// A handshake that is good: its 101, and the connection to come.
pub struct Upgrade {
    response: Response<Body>,
    client: OnUpgrade,
}

impl Upgrade {
    /// Judges a handshake that has passed Origin and credential; its refusal as a whole answer.
    pub fn accept(parts: request::Parts, require_subprotocol: bool) -> Result<Self, Box<Response<Body>>> {
        let protocols = if require_subprotocol {
            Protocols::Required(SUBPROTOCOLS)
        } else {
            Protocols::Optional(SUBPROTOCOLS)
        };
        match codec::accept(&parts, protocols) {
            Ok(accepted) => {
                let client = hyper::upgrade::on(Request::from_parts(parts, ()));
                Ok(Self { response: Response::from_parts(accepted.head, Body::Empty), client })
            }
            Err(refusal) => {
                let mut response =
                    Response::from_parts(refusal.head(), Body::full(format!("{refusal}\n").into_bytes()));
                let text = HeaderValue::from_static("text/plain; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, text);
                Err(Box::new(response))
            }
        }
    }
}

impl Fronts {
    /// Begins the conversation of an upgrade on the runtime of the caller, and gives its 101. `sequel` is written when it ends.
    pub fn open_websocket(
        self: &Arc<Self>,
        upgrade: Upgrade,
        opening: Opening,
        (carriage, ping_interval): (Carriage, Duration),
        (place, sequel): (Place, Sequel),
    ) -> Response<Body> {
        let limits =
            Limits { max_message_bytes: opening.messages.client.bytes_max, unsent_bytes_max: UNSENT_BYTES };
        let pulse = Pulse { interval: ping_interval, write_timeout: opening.limits.write_timeout };
        let (drain, metrics) = (opening.connection.drain.clone(), Arc::clone(&self.metrics));
        let Upgrade { mut response, client } = upgrade;
        opening.comeback.acknowledge(response.headers_mut());
        let (mut conversation, say, told) = Conversation::new(opening);
        // It outlives the request; it ends by its own limits, or with its worker.
        drop(tokio::spawn(async move {
            let Ok(Ok(client)) = tokio::time::timeout(HANDSHAKE, client).await else {
                return sequel.never_began();
            };
            let socket = Socket::new(TokioIo::new(client), Role::Server, limits);
            let leave = polite(&drain, carriage.spread);
            let ends = socket.split();
            let (end, traffic) =
                carry(&mut conversation, (say, told), ends, pulse, carriage.grace, leave).await;
            metrics.ends.get(holdfast_telemetry::metrics::Carrier::WebSocket).inc(end);
            sequel.ended(end, traffic);
            drop(place);
        }));
        response
    }
}
