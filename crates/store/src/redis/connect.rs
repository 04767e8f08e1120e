//! One connection: name, socket, TLS, login, and the question whether the other side is a master.

use super::{
    address::Address,
    answer::{Role, connection_error},
    settings::{Login, Settings},
};
use crate::{StoreError, StoreErrorKind};
use holdfast_telemetry::StoreConnect;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisError, Value, aio::MultiplexedConnection};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, watch},
    task::AbortHandle,
    time::timeout_at,
};

/// A connection that all operations on one server share. The last clone closes the socket.
#[derive(Clone)]
pub(crate) struct Connection {
    pipe: MultiplexedConnection,
    pub(crate) role: Role,
    pub(crate) address: Address,
    pub(crate) peer: SocketAddr,
    closed: watch::Receiver<bool>,
    _socket: Arc<Socket>,
}

/// Ends with the last clone of the connection.
struct Socket {
    driver: AbortHandle,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Why there is no connection.
#[derive(Clone, Debug)]
pub(crate) struct NotConnected {
    pub(crate) error: StoreError,
    pub(crate) result: StoreConnect,
    /// For the log and for `/status`: what the system or TLS said. Never what the server said.
    pub(crate) cause: Arc<str>,
}

impl NotConnected {
    pub(crate) fn new(kind: StoreErrorKind, detail: &'static str, result: StoreConnect) -> Self {
        Self { error: StoreError::new(kind, detail), result, cause: detail.into() }
    }

    fn because(mut self, cause: &dyn std::fmt::Display) -> Self {
        self.cause = format!("{}: {cause}", self.error.detail()).into();
        self
    }

    fn failed(detail: &'static str) -> Self {
        Self::new(StoreErrorKind::Connection, detail, StoreConnect::Failed)
    }
}

impl Connection {
    /// Connects within `connect_timeout`. Call it on the control runtime: it drives the connection there.
    pub(crate) async fn open(
        settings: &Settings,
        login: &Login,
        address: &Address,
    ) -> Result<Self, NotConnected> {
        let permit = Arc::clone(&settings.sockets).try_acquire_owned().map_err(|_| {
            NotConnected::new(
                StoreErrorKind::Connection,
                "all sockets of `pool_size` are in use",
                StoreConnect::NoSocket,
            )
        })?;
        let until = tokio::time::Instant::now() + settings.connect_timeout;
        let late = || {
            NotConnected::new(
                StoreErrorKind::Connection,
                "no connection within `connect_timeout`",
                StoreConnect::Timeout,
            )
        };
        timeout_at(until, Self::set_up(settings, login, address, permit)).await.map_err(|_| late())?
    }

    async fn set_up(
        settings: &Settings,
        login: &Login,
        address: &Address,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, NotConnected> {
        let stream = dial(login, address, settings.names(address)).await?;
        let peer =
            stream.peer_addr().map_err(|e| NotConnected::failed("the connection broke").because(&e))?;
        let Some(tls) = &login.tls else { return Self::log_in(login, address, peer, stream, permit).await };
        let failed = |cause: &dyn std::fmt::Display| {
            NotConnected::new(StoreErrorKind::Connection, "no TLS session", StoreConnect::Tls).because(cause)
        };
        let name = tls
            .name(&address.host)
            .ok_or_else(|| failed(&"the host is no name that a certificate can have"))?;
        let stream = tls.connector().connect(name, stream).await.map_err(|e| failed(&e))?;
        Self::log_in(login, address, peer, stream, permit).await
    }

    async fn log_in(
        login: &Login,
        address: &Address,
        peer: SocketAddr,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, NotConnected> {
        let refused = |error: &RedisError| {
            let error = connection_error(error);
            let result = match error.kind() {
                StoreErrorKind::Denied => StoreConnect::Denied,
                _ => StoreConnect::Failed,
            };
            NotConnected { error, result, cause: error.detail().into() }
        };
        // Each operation has its own deadline.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let (pipe, driver) = MultiplexedConnection::new_with_config(&login.info, stream, config)
            .await
            .map_err(|e| refused(&e))?;
        let (closing, closed) = watch::channel(false);
        let driver = tokio::spawn(async move {
            driver.await;
            closing.send_replace(true);
        });
        let socket = Arc::new(Socket { driver: driver.abort_handle(), _permit: permit });
        let mut connection =
            Self { pipe, role: Role::Unknown, address: address.clone(), peer, closed, _socket: socket };
        connection.role = connection.check().await?;
        Ok(connection)
    }

    /// Whether the server answers, serves, and is a master. Without a deadline of its own.
    pub(crate) async fn check(&self) -> Result<Role, NotConnected> {
        let mut ask = Pipeline::with_capacity(2);
        ask.cmd("PING").cmd("ROLE");
        let answers = self.send_all(&ask, 0, 2).await.map_err(|e| {
            let error = connection_error(&e);
            NotConnected { error, result: StoreConnect::Failed, cause: error.detail().into() }
        })?;
        let failed = |error: StoreError, result| NotConnected { error, result, cause: error.detail().into() };
        match answers.first() {
            Some(Value::ServerError(error)) => {
                match super::answer::Answer::of(Value::ServerError(error.clone())) {
                    // An access rule may forbid even this; who answers lives.
                    _ if error.code() == "NOPERM" => {}
                    super::answer::Answer::Later(later) => {
                        return Err(failed(later.error(), StoreConnect::Failed));
                    }
                    super::answer::Answer::Failed(error) if error.kind() == StoreErrorKind::Denied => {
                        return Err(failed(error, StoreConnect::Denied));
                    }
                    _ => return Err(NotConnected::failed("the server does not answer PING")),
                }
            }
            Some(_) => {}
            None => return Err(NotConnected::failed("the server does not answer PING")),
        }
        Ok(answers.get(1).map_or(Role::Unknown, Role::of))
    }

    pub(crate) async fn send(&self, command: &Cmd) -> Result<Value, RedisError> {
        self.pipe.clone().send_packed_command(command).await
    }

    /// Writes all in one piece; skips the first `offset` answers.
    pub(crate) async fn send_all(
        &self,
        commands: &Pipeline,
        offset: usize,
        count: usize,
    ) -> Result<Vec<Value>, RedisError> {
        self.pipe.clone().send_packed_commands(commands, offset, count).await
    }

    /// Resolves when the connection has ended.
    pub(crate) async fn ended(&self) {
        // An error means that its driver is gone, which is the same.
        let _ = self.closed.clone().wait_for(|closed| *closed).await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }
}

/// Resolves the name and connects to the first address that answers.
async fn dial(login: &Login, address: &Address, configured: bool) -> Result<TcpStream, NotConnected> {
    let found = tokio::net::lookup_host((&*address.host, address.port)).await;
    let found =
        found.map_err(|e| NotConnected::failed("the name of the server cannot be resolved").because(&e))?;
    let mut last = NotConnected::failed("the name of the server has no address");
    for place in found {
        if login.private_only && !holdfast_config::is_private(place.ip()) {
            last = NotConnected::new(
                StoreErrorKind::Denied,
                "the password would go in clear text to an address that is not private: use TLS, or `allow_plaintext`",
                StoreConnect::Denied,
            );
            continue;
        }
        if is_metadata(place.ip()) && !(configured && address.ip() == Some(place.ip())) {
            last = NotConnected::failed("the address is link-local and not configured");
            continue;
        }
        match TcpStream::connect(place).await {
            Ok(stream) => {
                // Answers are awaited, so nothing is gained by waiting for more to send.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(e) => last = NotConnected::failed("no connection to the server").because(&e),
        }
    }
    Err(last)
}

/// Where clouds keep credentials; no store is there, unless somebody wrote the address down.
fn is_metadata(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local() || ip.segments() == [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254]
        }
    }
}

/// A moment of the system's clock as tokio counts.
pub(crate) fn at(until: Instant) -> tokio::time::Instant {
    tokio::time::Instant::from_std(until)
}
