//! Bytes as they are, on a socket.

use holdfast_tests::{Result, wait};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Time for one exchange.
const LIMIT: Duration = Duration::from_secs(20);

/// Sends `bytes` and reads until the peer closes the connection.
pub(crate) async fn until_closed(address: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    wait::within("a connection that the gateway must close", LIMIT, async {
        let mut socket = TcpStream::connect(address).await?;
        // The gateway may refuse before it has read everything.
        let _ = socket.write_all(bytes).await;
        let mut answer = Vec::new();
        match socket.read_to_end(&mut answer).await {
            Ok(_) => Ok(answer),
            // A close with bytes unread is a reset; what came before it counts.
            Err(why) if why.kind() == std::io::ErrorKind::ConnectionReset => Ok(answer),
            Err(why) => Err(why.into()),
        }
    })
    .await
}

/// Sends `bytes` and reads until `done` says that enough has come.
pub(crate) async fn until(address: SocketAddr, bytes: &[u8], done: impl Fn(&str) -> bool) -> Result<String> {
    wait::within("an exchange", LIMIT, async {
        let mut socket = TcpStream::connect(address).await?;
        socket.write_all(bytes).await?;
        let mut answer = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&answer).into_owned();
            if done(&text) {
                return Ok(text);
            }
            if socket.read_buf(&mut answer).await? == 0 {
                return Err(format!("closed too early after {text:?}").into());
            }
        }
    })
    .await
}

/// Status codes of all responses in these bytes.
pub(crate) fn statuses(bytes: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(bytes);
    let after = text.split("HTTP/1.").skip(1);
    after.filter_map(|part| part.get(2..5)?.parse().ok()).collect()
}
