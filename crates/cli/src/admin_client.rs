//! One request to a gateway's admin API, over TCP or its Unix socket.

use crate::exit::Failure;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Time for one admin request, connect included.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer read.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Where the admin API is.
pub(crate) enum AdminAddress<'a> {
    /// TCP; mutations and status need a token.
    Tcp(SocketAddr),
    /// Unix socket; file permissions decide.
    Unix(&'a Path),
}

/// Sends one request and returns status and body. Fails within ten seconds.
pub(crate) async fn request(
    address: &AdminAddress<'_>,
    method: http::Method,
    path: &str,
    token: Option<&str>,
) -> Result<(http::StatusCode, Bytes), Failure> {
    let unreachable = |error: &dyn std::fmt::Display| {
        let place = match address {
            AdminAddress::Tcp(address) => address.to_string(),
            AdminAddress::Unix(path) => path.display().to_string(),
        };
        Failure::Failed(format!("no gateway answers on {place}: {error}"))
    };
    let exchange = async {
        match address {
            AdminAddress::Tcp(address) => {
                let stream = tokio::net::TcpStream::connect(address).await.map_err(|e| unreachable(&e))?;
                exchange(stream, method, &address.to_string(), path, token).await
            }
            AdminAddress::Unix(socket) => {
                let stream = tokio::net::UnixStream::connect(socket).await.map_err(|e| unreachable(&e))?;
                exchange(stream, method, "localhost", path, token).await
            }
        }
    };
    tokio::time::timeout(ADMIN_TIMEOUT, exchange).await.map_err(|_| unreachable(&"no answer in 10 s"))?
}

async fn exchange<S>(
    stream: S,
    method: http::Method,
    host: &str,
    path: &str,
    token: Option<&str>,
) -> Result<(http::StatusCode, Bytes), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken =
        |error: &dyn std::fmt::Display| Failure::Failed(format!("the admin connection broke: {error}"));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| broken(&e))?;
    let driver = tokio::spawn(connection);
    let mut request = http::Request::builder().method(method).uri(path).header(http::header::HOST, host);
    if let Some(token) = token {
        request = request.header(http::header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|e| broken(&e))?;
    let response = sender.send_request(request).await.map_err(|e| broken(&e))?;
    let status = response.status();
    let body =
        Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|e| broken(&e))?;
    driver.abort();
    Ok((status, body.to_bytes()))
}
