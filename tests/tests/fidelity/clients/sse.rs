//! HTTP+SSE: a stream of events, and an address for messages.

use super::{Told, connect, events::Events, request};
use holdfast_tests::Result;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1::SendRequest, header};
use std::net::SocketAddr;
use tokio::task::AbortHandle;

/// See the module.
pub(super) struct Sse {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
    endpoint: String,
    reading: AbortHandle,
}

impl Sse {
    pub(super) async fn open(address: SocketAddr, path: &str, told: Told) -> Result<Self> {
        let get = Request::get(format!("{path}/sse"))
            .header(header::HOST, address.to_string())
            .header(header::ACCEPT, "text/event-stream")
            .body(Full::default())?;
        let response = request(&mut connect(address).await?, get).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("GET {path}/sse: {}", response.status()).into());
        }
        let mut events = Events::new(response.into_body());
        let (name, data) = events.next().await?.ok_or("a stream without an endpoint")?;
        if name != "endpoint" {
            return Err(format!("the first event is {name}").into());
        }
        let reading = tokio::spawn(async move {
            while let Ok(Some((_, data))) = events.next().await {
                let _ = told.send(data);
            }
        });
        let sender = connect(address).await?;
        let endpoint = String::from_utf8(data.to_vec())?;
        Ok(Self { address, sender, endpoint, reading: reading.abort_handle() })
    }

    pub(super) async fn say(&mut self, message: Bytes) -> Result {
        let post = Request::post(&self.endpoint)
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(message))?;
        self.sender.ready().await?;
        let response = request(&mut self.sender, post).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status == StatusCode::ACCEPTED {
            return Ok(());
        }
        Err(format!("a message was answered {status}: {}", String::from_utf8_lossy(&body)).into())
    }
}

impl Drop for Sse {
    fn drop(&mut self) {
        self.reading.abort();
    }
}
