//! What is sent: whole frames, in batches, within the bound.

use super::*;
use crate::Writer;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that counts what is asked of it.
struct Counting {
    io: DuplexStream,
    vectored: bool,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    writes: AtomicUsize,
    flushes: AtomicUsize,
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.counts.writes.fetch_add(1, Relaxed);
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.counts.writes.fetch_add(1, Relaxed);
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.counts.flushes.fetch_add(1, Relaxed);
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_batch_is_one_write_and_one_flush() {
    for vectored in [true, false] {
        let (one, two) = duplex(100_000);
        let counts = Arc::new(Counts::default());
        let io = Counting { io: one, vectored, counts: Arc::clone(&counts) };
        let mut server = Socket::new(io, Role::Server, Limits::default());
        let mut client = Socket::new(two, Role::Client, Limits::default());
        for len in 0..20 {
            server.feed(binary(len)).await.unwrap();
        }
        assert_eq!(counts.writes.load(Relaxed), 0);
        server.flush().await.unwrap();
        assert_eq!(
            (counts.writes.load(Relaxed), counts.flushes.load(Relaxed)),
            (1, 1),
            "vectored: {vectored}"
        );
        server.flush().await.unwrap();
        assert_eq!((counts.writes.load(Relaxed), counts.flushes.load(Relaxed)), (1, 1));
        for len in 0..20 {
            assert_eq!(client.next().await.unwrap(), binary(len));
        }
    }
}

#[tokio::test]
async fn a_burst_of_pings_is_answered_by_one_write() {
    let (one, mut peer) = duplex(100_000);
    let counts = Arc::new(Counts::default());
    let mut server = Socket::new(
        Counting { io: one, vectored: true, counts: Arc::clone(&counts) },
        Role::Server,
        Limits::default(),
    );
    let burst: Vec<u8> = (0..10).flat_map(|n: u8| wire(Message::Ping(vec![n].into()))).collect();
    peer.write_all(&burst).await.unwrap();
    for n in 0..10 {
        assert_eq!(server.next().await.unwrap(), Message::Ping(vec![n].into()));
    }
    assert_eq!(counts.writes.load(Relaxed), 1);
    drop(server);
    let pongs: Vec<Message> = (0..10).map(|n: u8| Message::Pong(vec![n].into())).collect();
    assert_eq!(sent(peer).await, pongs);
}

#[tokio::test]
async fn a_sender_waits_beyond_the_bound_and_goes_on_with_room() {
    let (mut socket, mut peer) = server(100, limits(1 << 20, 4000));
    socket.feed(binary(3000)).await.unwrap();
    assert!(once(socket.feed(binary(3000))).is_pending());
    let (_, mut writer) = socket.split();
    assert!(once(writer.ready(3000)).is_pending());
    assert!(writer.unsent() <= 4000);
    // Little fits as long as it is little.
    writer.feed(binary(10)).await.unwrap();
    let mut came = vec![0; 3004 + 12];
    let (read, sent) = tokio::join!(peer.read_exact(&mut came), async {
        writer.ready(3000).await.unwrap();
        writer.flush().await
    });
    read.unwrap();
    sent.unwrap();
    assert_eq!(writer.unsent(), 0);
    // One message is always taken.
    writer.feed(binary(100_000)).await.unwrap();
}

#[tokio::test]
async fn a_dropped_send_goes_out_whole_with_what_comes_next() {
    let (server, mut client) = pair(50);
    let (mut reader, mut writer) = server.split();
    assert!(once(writer.send(binary(1000))).is_pending());
    // Queued, partly written, and nobody waits for it but the reader.
    let server = tokio::spawn(async move { reader.next().await });
    assert_eq!(client.next().await.unwrap(), binary(1000));
    client.send(text("seen")).await.unwrap();
    assert_eq!(server.await.unwrap().unwrap(), text("seen"));
    writer.send(text("next")).await.unwrap();
    assert_eq!(client.next().await.unwrap(), text("next"));
}

#[tokio::test]
async fn a_feed_that_is_dropped_while_it_waits_sends_nothing() {
    let (mut server, mut client) = {
        let (one, two) = duplex(50);
        (
            Socket::new(one, Role::Server, limits(1 << 20, 500)),
            Socket::new(two, Role::Client, Limits::default()),
        )
    };
    server.feed(binary(400)).await.unwrap();
    assert!(once(server.feed(text("dropped"))).is_pending());
    let (sent, came) = tokio::join!(server.send(text("next")), async {
        [client.next().await.unwrap(), client.next().await.unwrap()]
    });
    sent.unwrap();
    assert_eq!(came, [binary(400), text("next")]);
}

#[tokio::test]
async fn pings_of_a_peer_that_reads_nothing_are_met_with_bounded_memory_and_answered_in_the_end() {
    let (server, mut peer) = server(4000, Limits::default());
    let (mut reader, mut writer) = server.split();
    // The stream is full, with a frame begun.
    assert!(once(writer.send(binary(20_000))).is_pending());
    let stuck = writer.unsent();
    for n in 0..500u32 {
        peer.write_all(&wire(Message::Ping(n.to_string().into()))).await.unwrap();
        assert_eq!(reader.next().await.unwrap(), Message::Ping(n.to_string().into()));
        assert!(writer.unsent() <= stuck + PONGS_MAX * (size_of::<Frame>() + 125));
    }
    writer.feed(text("behind")).await.unwrap();
    let server = tokio::spawn(async move {
        writer.flush().await.unwrap();
        drop((reader, writer));
    });
    let came = sent(peer).await;
    server.await.unwrap();
    assert_eq!(came[0], binary(20_000));
    assert_eq!(came.len(), 1 + PONGS_MAX + 1 + 1, "{:?}", &came[1..]);
    assert!(came.contains(&Message::Pong("499".into())), "the newest ping has no answer");
}

#[tokio::test]
async fn a_writer_that_waits_for_room_is_woken_by_what_the_reader_writes() {
    let (server, mut client) = pair(50);
    let (mut reader, mut writer) = server.split();
    let reading = tokio::spawn(async move {
        while let Ok(message) = reader.next().await {
            if matches!(message, Message::Close(_)) {
                return reader.finish(SOON).await;
            }
        }
        Err(Error::Ended)
    });
    let writing = tokio::spawn(async move {
        for n in 0..200 {
            writer.send(binary(n * 7)).await?;
        }
        Ok::<Writer<_>, Error>(writer)
    });
    for n in 0..200 {
        // Pings keep the other half writing, too.
        client.ping(Bytes::new()).await.unwrap();
        let message = loop {
            match client.next().await.unwrap() {
                Message::Pong(_) => {}
                message => break message,
            }
        };
        assert_eq!(message, binary(n * 7));
    }
    writing.await.unwrap().unwrap();
    client.close(Close::without_code(), SOON).await.unwrap();
    reading.await.unwrap().unwrap();
}

/// A stream that takes everything once it is open, and wakes nobody: whoever asks next finds out.
struct Gate(Arc<AtomicUsize>);

impl AsyncRead for Gate {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Gate {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.0.load(Relaxed) == 0 { Poll::Pending } else { Poll::Ready(Ok(bytes.len())) }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Woken(AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn what_one_half_writes_wakes_the_other() {
    let open = Arc::new(AtomicUsize::new(0));
    let socket = Socket::new(Gate(Arc::clone(&open)), Role::Server, limits(1000, 1000));
    let (mut reader, mut writer) = socket.split();
    assert!(once(writer.send(binary(900))).is_pending());
    let woken = Arc::new(Woken(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut room = pin!(writer.ready(900));
    assert!(room.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    open.store(1, Relaxed);
    assert!(once(reader.next()).is_pending());
    assert_eq!(woken.0.load(Relaxed), 1);
    assert!(matches!(room.poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(()))));
}
