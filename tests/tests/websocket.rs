//! A terminating echo on our own WebSocket codec before the Autobahn cases, as a server and as a client.

#![allow(clippy::print_stdout, reason = "prints the tables that people read")]

use bytes::Bytes;
use holdfast_tests::{
    Error, Result,
    kosoku::{CASES, Selection, Server, Verdicts},
    load, soak, wait,
};
use holdfast_websocket::{
    Accepted, Close, CloseCode, Limits, Message, Nonce, Offer, Protocols, Role, Socket, accept,
};
use http_body_util::Empty;
use hyper::{
    Request, Response, body::Incoming, client, header::HOST, server::conn::http1, service::service_fn,
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream};

/// Time for all cases of one run.
const LIMIT: Duration = Duration::from_mins(4);
/// The same for large messages, on a busy machine.
const SOAK_LIMIT: Duration = Duration::from_mins(15);
/// Time for a peer to end its side.
const CLOSE: Duration = Duration::from_secs(5);
/// The cases send messages of 16 MiB.
const LIMITS: Limits = Limits { max_message_bytes: 16 << 20, unsent_bytes_max: 1 << 20 };
/// Clients at once: cases are independent.
const CLIENTS: usize = 4;

type Io = TokioIo<Upgraded>;

/// Gives every message back until the peer closes, or breaks the protocol.
async fn echo(mut socket: Socket<Io>) {
    let close = loop {
        match socket.next().await {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                if socket.send(message).await.is_err() {
                    break CloseCode::INTERNAL;
                }
            }
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            Ok(Message::Close(_)) | Err(_) => break CloseCode::NORMAL,
        }
    };
    // Some cases cut the connection: how it ends is the report's to judge.
    let _ = socket.close(Close::new(close, ""), CLOSE).await;
}

async fn answer(mut request: Request<Incoming>) -> std::result::Result<Response<Empty<Bytes>>, Infallible> {
    let upgraded = hyper::upgrade::on(&mut request);
    let head = match accept(&request.into_parts().0, Protocols::Optional(&[])) {
        Ok(Accepted { head, .. }) => {
            tokio::spawn(async move {
                if let Ok(io) = upgraded.await {
                    echo(Socket::new(TokioIo::new(io), Role::Server, LIMITS)).await;
                }
            });
            head
        }
        Err(refusal) => refusal.head(),
    };
    Ok(Response::from_parts(head, Empty::new()))
}

/// A server that echoes, for as long as the test runs.
async fn server() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(connection.with_upgrades());
        }
    });
    Ok(address)
}

/// A connection to a WebSocket server.
async fn connect(address: SocketAddr, target: &str) -> Result<Socket<Io>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let offer = Offer::new(Nonce::random()?, &[]);
    let mut request = Request::get(target).header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    request.headers_mut().extend(offer.headers());
    let mut response = sender.send_request(request).await?;
    let upgraded = hyper::upgrade::on(&mut response);
    offer.check(&response.into_parts().0)?;
    Ok(Socket::new(TokioIo::new(upgraded.await?), Role::Client, LIMITS))
}

/// Asks the report's server for its one message, if it has one. It ends some connections without a close.
async fn ask(address: SocketAddr, target: &str) -> Result<Option<String>> {
    let mut socket = connect(address, target).await?;
    let mut said = None;
    loop {
        match socket.next().await {
            Ok(Message::Text(text)) => said = Some(String::from_utf8(text.to_vec())?),
            Ok(Message::Close(_)) | Err(holdfast_websocket::Error::Ended) => break,
            Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let _ = socket.close(Close::new(CloseCode::NORMAL, ""), CLOSE).await;
    Ok(said)
}

/// Runs our client through all cases of `server`.
async fn run_client(server: Server, limit: Duration) -> Result<Verdicts> {
    let address = server.address();
    let count: usize = ask(address, "/getCaseCount").await?.ok_or("no count of cases")?.parse()?;
    let mut runners = tokio::task::JoinSet::new();
    for first in 1..=CLIENTS {
        runners.spawn(async move {
            for case in (first..=count).step_by(CLIENTS) {
                echo(connect(address, &format!("/runCase?case={case}&agent=holdfast")).await?).await;
            }
            Ok::<_, Error>(())
        });
    }
    let all = async {
        while let Some(ended) = runners.join_next().await {
            ended??;
        }
        Ok(())
    };
    wait::within("the cases", limit, all).await?;
    ask(address, "/updateReports?agent=holdfast").await?;
    server.verdicts(CLOSE).await
}

fn judge(role: &str, verdicts: &Verdicts, expected: Option<usize>) {
    println!("{}", verdicts.table());
    load::total(&format!("WebSocket, our {role}, {}", verdicts.figures()));
    assert!(
        !verdicts.is_empty() && expected.is_none_or(|cases| cases == verdicts.len()),
        "{} cases",
        verdicts.len()
    );
    let broken = verdicts.broken();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[tokio::test]
async fn our_server_passes_every_case() -> Result {
    let verdicts = Verdicts::of_server(server().await?, Selection::Protocol, LIMIT).await?;
    judge("server", &verdicts, Some(CASES));
    Ok(())
}

#[tokio::test]
async fn our_client_passes_every_case() -> Result {
    let verdicts = run_client(Server::start(Selection::Protocol).await?, LIMIT).await?;
    judge("client", &verdicts, Some(CASES));
    Ok(())
}

#[tokio::test]
async fn large_messages_pass_both_ways() -> Result {
    let (selection, limit) =
        if soak() { (Selection::Largest, SOAK_LIMIT) } else { (Selection::Large, LIMIT) };
    let verdicts = Verdicts::of_server(server().await?, selection, limit).await?;
    judge("server, large messages", &verdicts, None);
    let verdicts = run_client(Server::start(selection).await?, limit).await?;
    judge("client, large messages", &verdicts, None);
    Ok(())
}
