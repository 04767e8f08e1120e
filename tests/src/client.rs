//! An HTTP/1.1 client that keeps one connection, never retries, and says exactly what became of a request.

use crate::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Response, StatusCode, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::net::TcpSocket;

/// Time for one whole request.
const LIMIT: Duration = Duration::from_mins(1);

/// An answer that was read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Header lines.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Why there is no whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// No connection: nothing was sent.
    Connect(String),
    /// The connection broke after the request had gone out, before or in the middle of the answer.
    Sent(String),
    /// No whole answer within a minute.
    Slow,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(why) => write!(f, "no connection: {why}"),
            Self::Sent(why) => write!(f, "broken after the request was sent: {why}"),
            Self::Slow => write!(f, "no whole answer within {LIMIT:?}"),
        }
    }
}

impl std::error::Error for Broken {}

/// One client with at most one connection.
#[derive(Debug)]
pub struct Caller {
    address: SocketAddr,
    source: Option<IpAddr>,
    sender: Option<http1::SendRequest<Full<Bytes>>>,
}

impl Caller {
    /// A client of `address`; it connects with its first request.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, source: None, sender: None }
    }

    /// The same, with connections that come from `source`.
    #[must_use]
    pub fn from(self, source: Option<IpAddr>) -> Self {
        Self { source, ..self }
    }

    /// Forgets the connection: the next request opens a new one.
    pub fn hang_up(&mut self) {
        self.sender = None;
    }

    /// Sends one request and reads the whole answer.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> std::result::Result<Reply, Broken> {
        let answer = tokio::time::timeout(LIMIT, self.exchange(request)).await.unwrap_or(Err(Broken::Slow));
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    /// Sends one request, reads the head of the answer, and hangs up.
    pub async fn head(&mut self, request: Request<Full<Bytes>>) -> std::result::Result<StatusCode, Broken> {
        let answer = tokio::time::timeout(LIMIT, self.begin(request)).await.unwrap_or(Err(Broken::Slow));
        self.sender = None;
        Ok(answer?.status())
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> std::result::Result<Reply, Broken> {
        let (head, body) = self.begin(request).await?.into_parts();
        let body = body.collect().await.map_err(|why| Broken::Sent(story(&why)))?;
        Ok(Reply { status: head.status, headers: head.headers, body: body.to_bytes() })
    }

    async fn begin(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> std::result::Result<Response<Incoming>, Broken> {
        let mut request = request;
        // A kept connection that was closed while idle hands the request back unsent; that is no retry.
        loop {
            let fresh = self.sender.is_none();
            let sender = self.connected().await?;
            match sender.try_send_request(request).await {
                Ok(answer) => return Ok(answer),
                Err(mut refused) => match refused.take_message() {
                    Some(unsent) if !fresh => {
                        request = unsent;
                        self.sender = None;
                    }
                    Some(_) => return Err(Broken::Connect(refused.error().to_string())),
                    None => return Err(Broken::Sent(story(refused.error()))),
                },
            }
        }
    }

    async fn connected(&mut self) -> std::result::Result<&mut http1::SendRequest<Full<Bytes>>, Broken> {
        if let Some(sender) = self.sender.as_mut()
            && (sender.is_closed() || sender.ready().await.is_err())
        {
            self.sender = None;
        }
        let sender = match self.sender.take() {
            Some(sender) => sender,
            None => self.connect().await.map_err(|why| Broken::Connect(why.to_string()))?,
        };
        Ok(self.sender.insert(sender))
    }

    async fn connect(&self) -> Result<http1::SendRequest<Full<Bytes>>> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let socket = socket.connect(self.address).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        // Ends with the sender or with the peer; errors reach the request that was under way.
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn story(error: &hyper::Error) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
