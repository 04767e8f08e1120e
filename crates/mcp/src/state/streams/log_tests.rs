//! The log of one stream, without a pump.

use super::{
    id::StreamId,
    log::{End, Found, GAP_MAX, LiveStream, LogLimits, WINDOW},
    total::Total,
};
use bytes::Bytes;
use std::{
    future::Future,
    sync::Arc,
    task::{Context, Poll, Waker},
};

fn stream(events: usize, bytes: usize) -> Arc<LiveStream> {
    LiveStream::new(StreamId(7), 0, LogLimits { events, bytes }, Total::new(1 << 20))
}

fn read(stream: &LiveStream, generation: u64, position: u64) -> Poll<Found> {
    stream.poll_at(generation, position, &mut Context::from_waker(Waker::noop()))
}

fn has_room(stream: &LiveStream) -> bool {
    let mut room = std::pin::pin!(stream.room());
    room.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn a_slow_follower_holds_the_pump_back_and_loses_nothing() {
    let stream = stream(2, 1024);
    let generation = stream.attach(0).unwrap();
    for n in 0..WINDOW {
        assert!(has_room(&stream), "room before event {n}");
        stream.push(Bytes::from(n.to_string()));
    }
    assert!(!has_room(&stream));
    for n in 0..WINDOW {
        let Poll::Ready(Found::Event(event)) = read(&stream, generation, n) else { panic!("event {n}") };
        assert_eq!(event, n.to_string());
    }
    assert!(has_room(&stream));
}

#[test]
fn a_detached_stream_runs_on_and_forgets_its_oldest_events() {
    let stream = stream(2, 1024);
    let generation = stream.attach(0).unwrap();
    stream.detach(generation);
    for n in 0..10 {
        assert!(has_room(&stream));
        stream.push(Bytes::from(n.to_string()));
    }
    assert!(stream.attach(7).is_none(), "event 7 fell out");
    let generation = stream.attach(8).unwrap();
    assert!(matches!(read(&stream, generation, 8), Poll::Ready(Found::Event(e)) if e == "8"));
}

#[test]
fn a_second_follower_replaces_the_first() {
    let stream = stream(8, 1024);
    let first = stream.attach(0).unwrap();
    stream.push(Bytes::from_static(b"a"));
    let second = stream.attach(0).unwrap();
    assert!(matches!(read(&stream, first, 0), Poll::Ready(Found::Replaced)));
    assert!(matches!(read(&stream, second, 0), Poll::Ready(Found::Event(_))));
    stream.detach(first);
    assert!(stream.detached_since().is_none(), "a replaced follower cannot detach its successor");
}

#[test]
fn the_end_is_seen_only_after_the_last_event() {
    let stream = stream(8, 1024);
    let generation = stream.attach(0).unwrap();
    stream.push(Bytes::from_static(b"a"));
    stream.finish(End::Complete);
    stream.push(Bytes::from_static(b"late"));
    assert!(matches!(read(&stream, generation, 0), Poll::Ready(Found::Event(_))));
    assert!(matches!(read(&stream, generation, 1), Poll::Ready(Found::End(End::Complete))));
}

#[test]
fn a_log_taken_over_keeps_its_numbers_and_steps_over_what_was_never_logged() {
    let stream = LiveStream::new(StreamId(7), 5, LogLimits { events: 8, bytes: 1024 }, Total::new(1 << 20));
    assert!(stream.attach(4).is_none(), "before its beginning");
    let generation = stream.attach(5).unwrap();
    assert!(stream.push_at(6, Bytes::from_static(b"six")));
    assert!(!stream.push_at(6, Bytes::from_static(b"again")), "that number is taken");
    assert!(!stream.push_at(8 + GAP_MAX, Bytes::from_static(b"far")), "no store leaves such a gap");
    assert_eq!(stream.next_sequence(), 7);
    assert!(matches!(read(&stream, generation, 5), Poll::Ready(Found::Event(e)) if e.is_empty()));
    assert!(matches!(read(&stream, generation, 6), Poll::Ready(Found::Event(e)) if e == "six"));
}

#[test]
fn bytes_return_to_the_total_when_the_stream_goes() {
    let total = Total::new(1 << 20);
    let stream = LiveStream::new(StreamId(1), 0, LogLimits { events: 8, bytes: 100 }, Arc::clone(&total));
    stream.push(Bytes::from(vec![b'x'; 60]));
    stream.push(Bytes::from(vec![b'x'; 60]));
    assert_eq!(total.used(), 60, "the first event fell out of 100 bytes");
    drop(stream);
    assert_eq!(total.used(), 0);
}
