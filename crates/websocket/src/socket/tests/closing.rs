//! How connections end.

use super::*;

fn bye() -> Close {
    Close::new(CloseCode::GOING_AWAY, "bye")
}

#[tokio::test(start_paused = true)]
async fn a_close_is_echoed_and_both_sides_end() {
    for server_first in [true, false] {
        let (server, client) = pair(1000);
        let (first, mut second) = if server_first { (server, client) } else { (client, server) };
        let first = tokio::spawn(first.close(bye(), SOON));
        assert_eq!(second.next().await.unwrap(), Message::Close(bye()));
        assert!(matches!(second.send(text("late")).await, Err(Error::Closed)));
        assert!(matches!(second.next().await, Err(Error::Closed)));
        second.close(bye(), SOON).await.unwrap();
        first.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn closes_that_cross_end_both_sides() {
    let (server, client) = pair(1000);
    let (one, two) = tokio::join!(server.close(bye(), SOON), client.close(bye(), SOON));
    one.unwrap();
    two.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_a_close_arrives_and_the_other_side_may_finish_its_words() {
    let (server, mut client) = pair(64);
    let (mut reader, mut writer) = server.split();
    let server = tokio::spawn(async move {
        writer.feed(binary(5000)).await.unwrap();
        writer.close(bye()).await.unwrap();
        assert_eq!(reader.next().await.unwrap(), text("still here"));
        assert!(matches!(reader.next().await.unwrap(), Message::Close(_)));
        reader.finish(SOON).await
    });
    assert_eq!(client.next().await.unwrap(), binary(5000));
    client.send(text("still here")).await.unwrap();
    assert_eq!(client.next().await.unwrap(), Message::Close(bye()));
    client.close(bye(), SOON).await.unwrap();
    server.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_close_is_waited_for_until_the_deadline() {
    let (socket, peer) = server(1000, Limits::default());
    let begin = tokio::time::Instant::now();
    assert!(matches!(socket.close(bye(), SOON).await, Err(Error::Deadline)));
    assert_eq!(begin.elapsed(), SOON);
    assert_eq!(sent(peer).await, [Message::Close(bye())]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_waited_for_until_the_deadline() {
    let (mut socket, _peer) = server(10, Limits::default());
    socket.feed(binary(1000)).await.unwrap();
    assert!(matches!(socket.close(bye(), SOON).await, Err(Error::Deadline)));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_talks_on_is_cut() {
    let (mut socket, mut peer) = server(1000, Limits::default());
    peer.write_all(b"\xff").await.unwrap();
    assert!(matches!(socket.next().await, Err(Error::Protocol(Fault::ReservedBits))));
    let flood = tokio::spawn(async move { while peer.write_all(&[0xff; 500]).await.is_ok() {} });
    let begin = tokio::time::Instant::now();
    assert!(matches!(socket.close(bye(), SOON).await, Err(Error::Deadline)));
    assert!(begin.elapsed() < SOON, "it was the amount, not the time");
    flood.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_told_after_what_was_sent_before_it() {
    let (mut socket, mut peer) = server(1000, limits(100, 1000));
    socket.feed(text("before")).await.unwrap();
    let mut stream = wire(text("fine"));
    stream.extend_from_slice(&wire(binary(101)));
    peer.write_all(&stream).await.unwrap();
    assert_eq!(socket.next().await.unwrap(), text("fine"));
    assert!(matches!(socket.next().await, Err(Error::Protocol(Fault::MessageTooBig))));
    assert!(matches!(socket.next().await, Err(Error::Closed)));
    assert!(matches!(socket.send(text("late")).await, Err(Error::Closed)));
    let told = tokio::spawn(sent(peer));
    // The peer reads to the end and goes: the end is a good one.
    socket.close(bye(), SOON).await.unwrap();
    let fault = Close::new(CloseCode::TOO_BIG, "the message is above the limit");
    assert_eq!(told.await.unwrap(), [text("before"), Message::Close(fault)]);
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_for_the_server_to_end_the_stream() {
    let (one, mut peer) = duplex(1000);
    let client = tokio::spawn(Socket::new(one, Role::Client, Limits::default()).close(bye(), SOON));
    peer.write_all(b"\x88\x00").await.unwrap();
    // Its own end stays open until ours comes: there is a frame, and no end behind it.
    let mut frame = [0; 11];
    peer.read_exact(&mut frame).await.unwrap();
    let more = tokio::time::timeout(SOON / 2, peer.read(&mut frame)).await;
    assert!(more.is_err(), "the client ended first");
    drop(peer);
    client.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_until_the_peers_close_has_come() {
    for by_next in [true, false] {
        let (server, mut peer) = server(1000, Limits::default());
        let (mut reader, mut writer) = server.split();
        writer.close(bye()).await.unwrap();
        let mut stream = wire(Message::Ping("late".into()));
        stream.extend_from_slice(&wire(binary(10)));
        peer.write_all(&stream).await.unwrap();
        if by_next {
            assert_eq!(reader.next().await.unwrap(), Message::Ping("late".into()));
            assert_eq!(reader.next().await.unwrap(), binary(10));
        }
        let (ended, ()) = tokio::join!(reader.finish(SOON), async {
            let mut answers = vec![0; 7 + 6];
            peer.read_exact(&mut answers).await.unwrap();
            assert_eq!(answers, b"\x88\x05\x03\xe9bye\x8a\x04late");
            // Behind a close nothing is answered.
            let mut stream = wire(Message::Close(Close::without_code()));
            stream.extend_from_slice(&wire(Message::Ping("too late".into())));
            peer.write_all(&stream).await.unwrap();
            assert_eq!(sent(peer).await, []);
        });
        ended.unwrap();
    }
}
