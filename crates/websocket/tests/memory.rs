//! What an idle connection costs on the heap. A stream has 16 KiB for everything; this is the codec's and the driver's share.

#![allow(unsafe_code)] // A counting allocator cannot be written without.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use holdfast_websocket::{Limits, Message, Reader, Role, Socket, Writer};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The share of one idle connection.
const IDLE_BYTES_MAX: usize = 1024;
const CONNECTIONS: usize = 100;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; the counter is a plain cell of this thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.with(|live| live.set(live.get() + layout.size().cast_signed()));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.with(|live| live.set(live.get() - layout.size().cast_signed()));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A stream without memory of its own: it gives these bytes, then nothing, and takes everything.
struct Talk(&'static [u8]);

impl AsyncRead for Talk {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            return Poll::Pending;
        }
        let (now, later) = self.0.split_at(self.0.len().min(room.remaining()));
        room.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Talk {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A connection that has received a text of two frames and a ping, has sent, and waits.
fn idle(wire: &'static [u8]) -> (Reader<Talk>, Writer<Talk>) {
    let (mut reader, mut writer) = Socket::new(Talk(wire), Role::Server, Limits::default()).split();
    assert!(matches!(once(reader.next()), Poll::Ready(Ok(Message::Text(text))) if text == "Hello"));
    assert!(matches!(once(reader.next()), Poll::Ready(Ok(Message::Ping(_)))));
    let answer = Message::Binary(Bytes::from(vec![1; 10_000]));
    assert!(matches!(once(writer.send(answer)), Poll::Ready(Ok(()))));
    assert!(once(reader.next()).is_pending());
    (reader, writer)
}

#[test]
#[allow(clippy::print_stdout, reason = "the figure")]
fn an_idle_connection_takes_less_than_its_share() {
    // Masked with zeros.
    let wire = b"\x01\x83\0\0\0\0Hel\x80\x82\0\0\0\0lo\x89\x81\0\0\0\0p";
    let mut connections = Vec::with_capacity(CONNECTIONS);
    let before = LIVE.get();
    connections.extend((0..CONNECTIONS).map(|_| idle(wire)));
    let heap = (LIVE.get() - before).cast_unsigned() / CONNECTIONS;
    let inline = size_of::<(Reader<Talk>, Writer<Talk>)>();
    println!(
        "an idle connection: {heap} bytes on the heap and {inline} in its task, the stream's own included"
    );
    assert!(heap + inline < IDLE_BYTES_MAX, "{heap} + {inline}");
    connections.clear();
    assert_eq!(LIVE.get(), before, "something stays behind");
}
