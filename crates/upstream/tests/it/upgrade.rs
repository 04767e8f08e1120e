use crate::{
    server::{Act, Server},
    support::{Setup, at_rest, get, until},
};
use http::header;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\nfirst words";

#[tokio::test]
async fn a_101_hands_the_connection_over_with_its_permit() {
    let server = Server::always(Act::Raw(SWITCH)).await;
    let mut setup = Setup::of(&[&server]);
    setup.config.connection_pool.max_size = 1;
    let upstream = setup.build();
    let mut call = get();
    call.upgrade = true;
    call.headers.insert(header::UPGRADE, "echo".parse().unwrap());
    call.headers.insert(header::CONNECTION, "upgrade".parse().unwrap());
    let reply = upstream.send(call).await.unwrap();
    assert_eq!(reply.response.status(), 101);
    let mut tunnel = reply.upgraded.unwrap();
    let mut words = [0; 11];
    tunnel.read_exact(&mut words).await.unwrap();
    assert_eq!(&words, b"first words");
    // What goes up is no HTTP any more: the test's server reads it as one request, and answers as always.
    tunnel.write_all(b"GET /again HTTP/1.1\r\n\r\n").await.unwrap();
    let mut again = [0; SWITCH.len()];
    tunnel.read_exact(&mut again).await.unwrap();
    assert_eq!(again, SWITCH.as_bytes());
    assert_eq!(upstream.in_flight(), 1);
    assert_eq!(upstream.endpoints()[0].connections, 1, "a tunnel counts under the cap");
    drop(tunnel);
    until("closed", || server.open() == 0).await;
    at_rest(&upstream).await;
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_response() {
    let server = Server::always(Act::Answer(426, "", "no")).await;
    let upstream = Setup::of(&[&server]).build();
    let mut call = get();
    call.upgrade = true;
    let reply = upstream.send(call).await.unwrap();
    assert!(reply.upgraded.is_none());
    assert_eq!(reply.response.status(), 426);
    assert_eq!(crate::support::text(reply).await, "no");
    at_rest(&upstream).await;
}
