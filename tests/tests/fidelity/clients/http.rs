//! Streamable HTTP.

use super::{About, Told, connect, events::Events, request};
use crate::scribe::MODERN;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use holdfast_tests::Result;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::SendRequest,
    header::{self, HeaderValue},
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::task::JoinSet;

/// See the module.
pub(super) struct Http {
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

struct Shared {
    address: SocketAddr,
    path: String,
    told: Told,
    session: Mutex<Option<HeaderValue>>,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Http {
    pub(super) fn new(address: SocketAddr, path: String, told: Told) -> Self {
        let shared = Shared { address, path, told, session: Mutex::default(), idle: Mutex::default() };
        Self { shared: Arc::new(shared), tasks: Mutex::default() }
    }

    pub(super) fn say(&self, message: Bytes, about: &About) {
        self.start(Method::POST, message, about);
    }

    pub(super) fn listen(&self, about: &About) {
        self.start(Method::GET, Bytes::new(), about);
    }

    /// Ends the session, if there is one.
    pub(super) async fn leave(&self) -> Result {
        let session = self.shared.session.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if !session {
            return Ok(());
        }
        let mut sender = self.shared.sender().await?;
        let delete = self.shared.head(Method::DELETE, Bytes::new(), &About::default())?;
        let status = request(&mut sender, delete).await?.status();
        if status.is_success() { Ok(()) } else { Err(format!("DELETE was answered {status}").into()) }
    }

    fn start(&self, method: Method, body: Bytes, about: &About) {
        let (shared, about) = (Arc::clone(&self.shared), about.clone());
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            if let Err(why) = shared.exchange(method, body, &about).await {
                // Heard in place of the message that is missing.
                let _ = shared.told.send(format!("the client failed: {why}").into());
            }
        });
    }
}

impl Shared {
    async fn exchange(&self, method: Method, body: Bytes, about: &About) -> Result {
        let mut sender = self.sender().await?;
        let response = request(&mut sender, self.head(method, body, about)?).await?;
        if let Some(session) = response.headers().get("mcp-session-id") {
            *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.clone());
        }
        let status = response.status();
        let media = response.headers().get(header::CONTENT_TYPE).cloned();
        if media.as_ref().is_some_and(|media| media == "text/event-stream") {
            self.follow(response.into_body()).await?;
        } else {
            let body = response.into_body().collect().await?.to_bytes();
            if !body.is_empty() {
                let _ = self.told.send(body);
            } else if status != StatusCode::ACCEPTED {
                return Err(format!("HTTP status {status}").into());
            }
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        Ok(())
    }

    async fn sender(&self) -> Result<SendRequest<Full<Bytes>>> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut sender) = idle else { return connect(self.address).await };
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
    }

    fn head(&self, method: Method, body: Bytes, about: &About) -> Result<Request<Full<Bytes>>> {
        let accept =
            if method == Method::POST { "application/json, text/event-stream" } else { "text/event-stream" };
        let mut head = Request::builder()
            .method(method)
            .uri(&self.path)
            .header(header::HOST, self.address.to_string())
            .header(header::ACCEPT, accept)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(method) = &about.modern {
            head = head.header("mcp-protocol-version", MODERN).header("mcp-method", method);
            for (param, value) in &about.params {
                head = head.header(*param, value);
            }
            if let Some(name) = &about.name {
                head = head.header("mcp-name", format!("=?base64?{}?=", STANDARD.encode(name)));
            }
        } else {
            let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(session) = session {
                head = head.header("mcp-session-id", session);
            }
            // Older versions have no such header.
            if let Some(version) = about.version.filter(|version| *version >= "2025-06-18") {
                head = head.header("mcp-protocol-version", version);
            }
        }
        Ok(head.body(Full::new(body))?)
    }

    async fn follow(&self, body: Incoming) -> Result {
        let mut events = Events::new(body);
        while let Some((_, data)) = events.next().await? {
            let _ = self.told.send(data);
        }
        Ok(())
    }
}
