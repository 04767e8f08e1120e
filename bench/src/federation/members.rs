//! MCP servers in this process that list tools, and hang or die when told to.

use crate::Error;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{convert::Infallible, net::SocketAddr, sync::Arc, thread::JoinHandle};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

/// What a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Answers at once.
    Healthy,
    /// Takes requests and never answers.
    Hanging,
    /// Its port is closed, its connections are broken.
    Dead,
    /// Its thread ends.
    Over,
}

/// Members of one kind, each at an address of its own. They end when dropped.
pub(super) struct Members {
    pub(super) addresses: Vec<SocketAddr>,
    modes: Vec<watch::Sender<Mode>>,
    thread: Option<JoinHandle<()>>,
}

impl Members {
    /// `count` members with `tools` tools each, `page` of them on a page.
    pub(super) fn start(count: usize, tools: usize, page: usize) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let pages: Arc<[Bytes]> = pages(tools, page).into();
        let (mut addresses, mut modes, mut heard) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            // The caller may be in a runtime of its own: it is bound here, and listened to in the members' thread.
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            addresses.push(listener.local_addr()?);
            let (mode, said) = watch::channel(Mode::Healthy);
            modes.push(mode);
            heard.push((listener, said));
        }
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let members =
                    heard.into_iter().map(|(listener, said)| member(listener, said, Arc::clone(&pages)));
                futures_util::future::join_all(members).await;
            });
        });
        Ok(Self { addresses, modes, thread: Some(thread) })
    }

    /// From now on.
    pub(super) fn set(&self, member: usize, mode: Mode) {
        self.modes[member].send_replace(mode);
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for mode in &self.modes {
            mode.send_replace(Mode::Over);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The results of a list, page by page, without their last brace.
fn pages(tools: usize, page: usize) -> Vec<Bytes> {
    let tool = |number: usize| {
        json!({ "name": format!("tool_{number:04}"), "description": "Answers with what it was given, as a bench needs it.",
            "inputSchema": { "type": "object", "properties": { "text": { "type": "string" } } } })
    };
    let starts: Vec<usize> = (0..tools).step_by(page.max(1)).collect();
    let text = |start: &usize| {
        let list: Vec<Value> = (*start..tools.min(start + page)).map(tool).collect();
        let mut result =
            json!({ "resultType": "complete", "tools": list, "ttlMs": 0, "cacheScope": "private" });
        if start + page < tools {
            result["nextCursor"] = (start / page + 1).to_string().into();
        }
        Bytes::from(result.to_string())
    };
    starts.iter().map(text).collect()
}

async fn member(listener: std::net::TcpListener, mut said: watch::Receiver<Mode>, pages: Arc<[Bytes]>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let Ok(address) = listener.local_addr() else { return };
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let mode = *said.borrow_and_update();
        match mode {
            Mode::Over => return,
            Mode::Dead => {
                listener = None;
                connections.abort_all();
                if said.changed().await.is_err() {
                    return;
                }
                continue;
            }
            Mode::Healthy | Mode::Hanging => {}
        }
        let open = match listener.take() {
            Some(open) => open,
            None => match TcpListener::bind(address).await {
                Ok(open) => open,
                Err(_) => return,
            },
        };
        tokio::select! {
            accepted = open.accept() => {
                let Ok((stream, _)) = accepted else { return };
                let _ = stream.set_nodelay(true);
                let (said, pages) = (said.clone(), Arc::clone(&pages));
                let service = service_fn(move |request| answer(request, said.clone(), Arc::clone(&pages)));
                connections.spawn(async move {
                    // A gateway that closes its connection is no event here.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            changed = said.changed() => if changed.is_err() { return },
        }
        listener = Some(open);
    }
}

async fn answer(
    request: Request<Incoming>,
    mut said: watch::Receiver<Mode>,
    pages: Arc<[Bytes]>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if *said.borrow_and_update() == Mode::Hanging {
        let _ = said.wait_for(|mode| *mode != Mode::Hanging).await;
    }
    let message = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    let mut response = Response::new(Full::default());
    if message["method"] != "tools/list" {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    }
    let page =
        message["params"]["cursor"].as_str().and_then(|cursor| cursor.parse::<usize>().ok()).unwrap_or(0);
    let result = pages.get(page).cloned().unwrap_or_else(|| Bytes::from_static(b"{\"tools\":[]}"));
    let head = format!(r#"{{"jsonrpc":"2.0","id":{},"result":"#, message["id"]);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *response.body_mut() = Full::from([head.as_bytes(), &result, b"}"].concat());
    Ok(response)
}
