use super::*;
use proptest::prelude::*;

const DEADLINES: Deadlines =
    Deadlines { handshake: 4, head: 5, read: 6, write: 7, idle: 8, stream_idle: 100 };

struct World {
    worker: Arc<WorkerShared>,
    cell: Arc<ConnectionCell>,
    stalls: Vec<Stall>,
}

impl World {
    fn new() -> Self {
        let worker = Arc::new(WorkerShared::default());
        worker.sweep(false, |_, _| {});
        let cell = ConnectionCell::new(&worker, DEADLINES, 0);
        Self { worker, cell, stalls: Vec::new() }
    }

    fn ticks(&mut self, count: u32, closing: bool) -> Verdict {
        for _ in 0..count {
            let stalls = &mut self.stalls;
            self.worker.sweep(closing, |_, stall| stalls.push(stall));
        }
        self.cell.verdict()
    }
}

#[test]
fn each_wait_has_its_own_deadline_and_verdict() {
    let cases = [
        (Waiting::Handshake, DEADLINES.handshake, Verdict::Cut, None),
        (Waiting::Idle, DEADLINES.idle, Verdict::Cut, Some(Stall::Idle)),
        (Waiting::Head, DEADLINES.head, Verdict::Head, Some(Stall::Head)),
        (Waiting::Body, DEADLINES.read, Verdict::Body, Some(Stall::RequestBody)),
        (Waiting::Tunnel, DEADLINES.stream_idle, Verdict::Cut, Some(Stall::Stream)),
    ];
    for (waiting, limit, verdict, stall) in cases {
        let mut world = World::new();
        world.ticks(1, false);
        world.cell.touch();
        world.cell.wait_for(waiting);
        assert_eq!(world.ticks(limit - 1, false), Verdict::None, "{waiting:?} too early");
        assert_eq!(world.ticks(1, false), verdict, "{waiting:?}");
        assert_eq!(world.stalls, stall.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_wait_that_goes_on_keeps_its_start_and_a_new_one_begins_anew() {
    let mut world = World::new();
    world.cell.wait_for(Waiting::Head);
    world.ticks(3, false);
    world.cell.wait_for(Waiting::Head);
    assert_eq!(world.ticks(3, false), Verdict::Head, "dripping bytes extended the deadline");
    let mut world = World::new();
    world.cell.wait_for(Waiting::Body);
    for _ in 0..20 {
        world.ticks(4, false);
        world.cell.wait_for(Waiting::Nothing);
        world.cell.wait_for(Waiting::Body);
    }
    assert_eq!(world.cell.verdict(), Verdict::None, "a body that moves was cut");
}

#[test]
fn a_request_under_way_has_no_idle_deadline() {
    let mut world = World::new();
    world.cell.request_began();
    world.cell.wait_for(Waiting::Idle);
    assert_eq!(world.ticks(1000, true), Verdict::None);
    world.cell.response_done();
    assert_eq!(world.ticks(DEADLINES.idle - 1, false), Verdict::None, "idle did not begin with the answer");
    assert_eq!(world.ticks(1, false), Verdict::Cut);
}

#[test]
fn a_blocked_write_is_cut_whatever_else_is_going_on() {
    let mut world = World::new();
    world.cell.request_began();
    world.cell.wait_for(Waiting::Nothing);
    world.cell.write_blocked();
    world.ticks(DEADLINES.write - 2, false);
    world.cell.write_blocked();
    world.ticks(1, false);
    world.cell.write_moved();
    world.cell.write_blocked();
    assert_eq!(world.ticks(DEADLINES.write - 1, false), Verdict::None, "progress did not count");
    assert_eq!(world.ticks(1, false), Verdict::Cut);
    assert_eq!(world.stalls, [Stall::Response]);
}

#[test]
fn a_drain_lets_idle_connections_go_after_a_grace_and_busy_ones_stay() {
    let mut world = World::new();
    world.cell.wait_for(Waiting::Idle);
    assert_eq!(world.ticks(ticks(DRAIN_IDLE) - 1, true), Verdict::None);
    assert_eq!(world.ticks(1, true), Verdict::DrainIdle);
    let mut busy = World::new();
    busy.cell.wait_for(Waiting::Idle);
    busy.cell.request_began();
    assert_eq!(busy.ticks(100, true), Verdict::None);
}

#[test]
fn an_idle_http2_connection_is_told_before_it_is_cut() {
    let mut world = World::new();
    world.cell.http2.store(true, Relaxed);
    world.cell.wait_for(Waiting::Idle);
    assert_eq!(world.ticks(DEADLINES.idle + 1, false), Verdict::DrainIdle);
    assert_eq!(world.ticks(ticks(LINGER), false), Verdict::Cut);
    assert_eq!(world.stalls, [Stall::Idle]);
}

#[test]
fn ended_connections_leave_the_list_however_fast_they_come() {
    let world = World::new();
    for _ in 0..20 * TIDY_MIN {
        ConnectionCell::new(&world.worker, DEADLINES, 0).close();
    }
    assert!(world.worker.cells.lock().len() <= 2 * TIDY_MIN, "{}", world.worker.cells.lock().len());
}

#[test]
fn a_silent_stream_expires_and_a_talking_one_does_not() {
    let mut world = World::new();
    let (silent, talking) = (StreamCell::new(DEADLINES.stream_idle), StreamCell::new(DEADLINES.stream_idle));
    let waker = futures_util::task::noop_waker();
    world.ticks(1, false);
    silent.silent(&world.worker, &waker);
    for _ in 0..DEADLINES.stream_idle {
        talking.silent(&world.worker, &waker);
        world.ticks(1, false);
        talking.moved();
    }
    assert!(silent.is_expired() && !talking.is_expired());
    talking.end();
    world.ticks(1, false);
    assert!(world.worker.streams.lock().is_empty());
}

#[test]
fn a_stream_that_gave_something_before_its_reader_looked_is_watched_anew() {
    let mut world = World::new();
    let stream = StreamCell::new(DEADLINES.read);
    let waker = futures_util::task::noop_waker();
    for _ in 0..2 {
        stream.silent(&world.worker, &waker);
        world.ticks(DEADLINES.read + 1, false);
        assert!(stream.is_expired());
        stream.moved();
        assert!(!stream.is_expired());
    }
    assert!(stream.fail() && !stream.fail() && stream.has_failed());
    assert!(world.worker.streams.lock().is_empty(), "what expired is in the list no longer");
}

proptest! {
    #[test]
    fn ticks_cover_the_duration(millis in 0u64..1_000_000) {
        let duration = Duration::from_millis(millis);
        prop_assert!(TICK * (ticks(duration) - 1) >= duration);
        prop_assert!(TICK * ticks(duration) <= duration + 2 * TICK);
    }
}
