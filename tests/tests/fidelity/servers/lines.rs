//! stdio: the program is a relay to here.

use super::{Board, Say, listen};
use holdfast_tests::Result;
use hyper::body::Bytes;
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    sync::mpsc,
};

pub(super) async fn start(board: Arc<Board>) -> Result<SocketAddr> {
    listen(move |stream| serve(Arc::clone(&board), stream)).await
}

async fn serve(board: Arc<Board>, stream: TcpStream) {
    let (from, mut to) = stream.into_split();
    let (way, mut said) = mpsc::unbounded_channel();
    let mut from = BufReader::new(from);
    let read = async {
        let mut line = Vec::new();
        while let Ok(1..) = from.read_until(b'\n', &mut line).await {
            let end = if line.last() == Some(&b'\n') { line.len() - 1 } else { line.len() };
            board.hear(Bytes::copy_from_slice(&line[..end]), way.clone());
            line.clear();
        }
    };
    let write = async {
        while let Some(say) = said.recv().await {
            if let Say::Json(message) | Say::Opened(message) | Say::Event(message) = say
                && to.write_all(&[&message[..], b"\n"].concat()).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
}
