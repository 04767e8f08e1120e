use super::agenda::ROOM_MIN;
use super::*;
use crate::memory::Uses;
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};

const TTL: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const SECOND: Duration = Duration::from_secs(1);

fn id(number: u16) -> SessionId {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&number.to_be_bytes());
    SessionId(id)
}

#[allow(clippy::unnecessary_wraps, reason = "as the table asks for it")]
fn ending() -> Option<Bytes> {
    Some(Bytes::from_static(b"ending"))
}

/// A replica's table before a store, driven once a second as the driver does.
struct Replica {
    table: Table,
    store: Uses,
    ended: HashMap<SessionId, Instant>,
}

impl Replica {
    fn new(max: usize, now: Instant) -> Self {
        Self {
            table: Table::new(Rhythm::new(TTL), max, now),
            store: Uses::new(max, TTL, now),
            ended: HashMap::new(),
        }
    }

    fn second(&mut self, now: Instant) {
        for touch in self.table.flush(1000, now) {
            self.store.touch(&touch, now);
        }
        for due in self.store.due(1000, now) {
            assert_eq!(due.ending, ending());
            assert!(self.ended.insert(due.session, now).is_none(), "ended twice");
        }
    }
}

#[test]
fn a_session_is_touched_when_it_becomes_quiet() {
    let start = Instant::now();
    let mut table = Table::new(Rhythm::new(TTL), 8, start);
    assert!(table.used(id(1), start + DAY, ending, start));
    assert_eq!(table.next(), Some(start + SECOND));
    assert!(table.flush(9, start + SECOND / 2).is_empty());
    assert!(table.used(id(1), start + DAY, || panic!("known"), start + SECOND / 2));
    assert!(table.flush(9, start + SECOND).is_empty(), "used half a second ago");
    let touches = table.flush(9, start + SECOND * 3 / 2);
    let expected = Touch { session: id(1), idle: SECOND, due: Duration::from_secs(3599), ending: ending() };
    assert_eq!(touches, [expected]);
    assert!(table.knows(id(1), start + 2 * SECOND));
    assert!(table.flush(9, start + SECOND * 10).is_empty());
    let forgotten = table.next().unwrap();
    assert!(table.flush(9, forgotten).is_empty() && table.is_empty() && table.next().is_none());
}

#[test]
fn what_the_memory_of_this_process_was_told_is_soon_forgotten_here() {
    let start = Instant::now();
    let forgotten = |rhythm| {
        let mut table = Table::new(rhythm, 8, start);
        table.used(id(1), start + DAY, ending, start);
        assert_eq!(table.flush(9, start + SECOND).len(), 1);
        let at = table.next().unwrap();
        assert!(table.flush(9, at).is_empty() && table.is_empty());
        at - start
    };
    assert_eq!(forgotten(Rhythm::beside_memory(TTL)), SECOND + REPEAT);
    assert_eq!(forgotten(Rhythm::new(TTL)), TTL / BUSY_PARTS);
}

#[test]
fn a_busy_session_is_touched_every_sixteenth_of_its_ttl() {
    let start = Instant::now();
    let mut table = Table::new(Rhythm::new(TTL), 8, start);
    let mut touches = Vec::new();
    let mut now = start;
    while now < start + TTL {
        table.used(id(1), start + DAY, ending, now);
        touches.extend(table.flush(9, now));
        now += Duration::from_millis(200);
    }
    assert_eq!(touches.len(), 15);
    assert!(touches.iter().all(|touch| touch.idle.is_zero() && touch.due == TTL));
    assert_eq!(touches.iter().filter(|touch| touch.ending.is_some()).count(), 1, "the ending goes once");
}

#[test]
fn the_absolute_end_comes_before_the_idle_one() {
    let start = Instant::now();
    let mut table = Table::new(Rhythm::new(TTL), 8, start);
    table.used(id(1), start + 5 * SECOND, ending, start);
    assert_eq!(table.flush(9, start + SECOND)[0].due, 4 * SECOND);
}

#[test]
fn what_did_not_arrive_and_what_may_be_lost_is_touched_again() {
    let start = Instant::now();
    let mut table = Table::new(Rhythm::new(TTL), 8, start);
    table.used(id(1), start + DAY, ending, start);
    let touches = table.flush(9, start + SECOND);
    table.failed(touches, start + SECOND);
    assert!(table.flush(9, start + SECOND).is_empty(), "not at once");
    let again = table.flush(9, start + 2 * SECOND);
    assert_eq!((again.len(), again[0].idle, again[0].ending.clone()), (1, 2 * SECOND, ending()));

    table.interrupted(start + 5 * SECOND);
    assert_eq!(table.flush(9, start + 5 * SECOND)[0].idle, 5 * SECOND);
    table.interrupted(start + 60 * SECOND);
    assert!(
        table.flush(9, start + 60 * SECOND).is_empty(),
        "a touch of a minute ago has reached the replicas"
    );
    table.used(id(1), start + DAY, ending, start + 61 * SECOND);
    assert_eq!(table.flush(9, start + 62 * SECOND)[0].ending, ending(), "the store may have lost it");
}

#[test]
fn a_touch_that_fails_for_longer_than_sessions_are_remembered_is_still_owed() {
    let start = Instant::now();
    let rhythm = Rhythm::new(TTL);
    let mut table = Table::new(rhythm, 8, start);
    table.used(id(1), start + DAY, ending, start);
    let mut now = start;
    while now < start + 2 * rhythm.remember {
        now = table.next().unwrap();
        let touches = table.flush(9, now);
        assert_eq!(touches.len(), 1);
        table.failed(touches, now);
    }
}

#[test]
fn what_is_held_is_in_use_until_it_is_finished() {
    let start = Instant::now();
    let rhythm = Rhythm::new(TTL);
    let mut table = Table::new(rhythm, 1, start);
    assert!(table.begin(id(1), start + DAY, ending, start));
    assert!(table.begin(id(1), start + DAY, ending, start + SECOND), "a second stream");
    table.finish(id(1), start + 2 * SECOND);
    let (mut now, mut touches) = (start, Vec::new());
    while now < start + 3 * TTL {
        now = now.max(table.next().unwrap());
        assert!(table.knows(id(1), now), "held");
        assert!(!table.used(id(2), now + DAY, ending, now), "what is held makes no room");
        touches.extend(table.flush(9, now).into_iter().map(|touch| (now, touch)));
    }
    assert_eq!(touches.len(), 3 * 16);
    assert!(touches.iter().all(|(_, touch)| touch.idle.is_zero() && touch.due == TTL));
    assert!(touches.windows(2).all(|two| two[1].0 - two[0].0 == rhythm.busy));
    table.finish(id(1), now + SECOND);
    let last = table.flush(9, now + 2 * SECOND);
    assert_eq!((last.len(), last[0].idle), (1, SECOND), "it became quiet");
    assert!(!table.knows(id(1), now + SECOND + TTL));
    let forgotten = table.next().unwrap();
    assert!(table.flush(9, forgotten).is_empty() && table.is_empty());
    table.finish(id(1), forgotten);
    assert!(table.is_empty(), "what has ended in the meantime is not noted");
}

#[test]
fn what_the_store_gave_out_while_it_was_in_use_is_touched_at_once_with_its_ending() {
    let start = Instant::now();
    let mut table = Table::new(Rhythm::new(TTL), 8, start);
    table.begin(id(1), start + DAY, ending, start);
    while table.flush(9, table.next().unwrap()).is_empty() {}
    let now = start + TTL;
    assert!(table.keep(id(1), ending().as_ref(), now) && !table.keep(id(2), None, now));
    let touches = table.flush(9, now);
    assert_eq!((touches.len(), touches[0].ending.clone()), (1, ending()));
    table.finish(id(1), now);
    assert!(!table.keep(id(1), None, now + TTL), "idle by now");
}

#[test]
fn a_replica_that_leaves_tells_all_that_it_owes() {
    let start = Instant::now();
    let mut table = Table::new(Rhythm::new(TTL), 8, start);
    table.begin(id(1), start + DAY, ending, start);
    table.used(id(2), start + DAY, ending, start);
    table.used(id(3), start + DAY, ending, start);
    assert_eq!(table.flush(1, start + SECOND).len(), 1);
    table.used(id(2), start + DAY, ending, start + SECOND);
    let mut told: HashMap<SessionId, Duration> = HashMap::new();
    for _ in 0..3 {
        let touches = table.last(1, start + 2 * SECOND);
        told.extend(touches.into_iter().map(|touch| (touch.session, touch.idle)));
    }
    assert!(table.last(9, start + 2 * SECOND).is_empty());
    assert_eq!(told[&id(1)], Duration::ZERO, "it was in use");
    assert_eq!(told[&id(2)], SECOND);
}

#[test]
fn a_full_table_forgets_what_owes_nothing_and_else_refuses() {
    let start = Instant::now();
    let mut table = Table::new(Rhythm::new(TTL), 2, start);
    assert!(table.used(id(1), start + DAY, ending, start) && table.used(id(2), start + DAY, ending, start));
    assert!(!table.used(id(3), start + DAY, ending, start));
    assert_eq!(table.flush(1, start + SECOND).len(), 1);
    assert!(table.used(id(3), start + DAY, ending, start + SECOND));
    assert_eq!(table.len(), 2);
    table.ended(id(3));
    assert_eq!(table.flush(9, start + 3 * SECOND).len(), 1);
}

/// A day in which sessions come all the time, each used a few times and then left alone.
#[test]
fn a_day_of_idle_sessions_takes_no_memory_and_each_ends_within_a_second_of_its_time() {
    let start = Instant::now();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut replica = Replica::new(100_000, start);
    let mut last_use: HashMap<SessionId, Instant> = HashMap::new();
    let mut plans: BTreeSet<(Instant, SessionId)> = BTreeSet::new();
    for number in 0..20_000 {
        let first = start + DAY.mul_f64(rng.f64() * 0.9);
        for _ in 0..rng.u32(1..4) {
            plans.insert((first + Duration::from_millis(rng.u64(0..600_000)), id(number)));
        }
    }
    let (mut most, mut now) = (0, start);
    while now < start + DAY + 2 * TTL {
        while let Some((at, session)) = plans.first().copied().filter(|(at, _)| *at <= now) {
            plans.pop_first();
            assert!(replica.table.used(session, at + DAY, ending, at));
            last_use.insert(session, at);
        }
        replica.second(now);
        most = most.max(replica.table.len());
        now += SECOND;
    }
    // 20,000 sessions in 21.6 hours, each known for at most 10 minutes and a sixteenth of the ttl after its first use.
    assert!(most < 400, "{most} at once");
    assert!(replica.table.is_empty());
    assert_eq!(replica.ended.len(), last_use.len());
    for (session, ended) in &replica.ended {
        let expected = last_use[session] + TTL;
        let late = ended.saturating_duration_since(expected);
        assert!(*ended >= expected && late <= SECOND, "{late:?} late");
    }
}

proptest! {
    #[test]
    fn every_use_is_reported_before_the_session_could_be_taken_for_idle(
        steps in prop::collection::vec((0u16..4, 0u64..200_000, 0u8..10), 1..150),
    ) {
        let start = Instant::now();
        let rhythm = Rhythm::new(TTL);
        let mut table = Table::new(rhythm, 3, start);
        let mut now = start;
        let mut reported: HashMap<SessionId, Instant> = HashMap::new();
        let mut used: HashMap<SessionId, Instant> = HashMap::new();
        let mut held: Vec<SessionId> = Vec::new();
        for (number, wait, fate) in steps {
            let target = now + Duration::from_millis(wait);
            while let Some(at) = table.next().filter(|at| *at <= target) {
                now = now.max(at);
                let touches = table.flush(2, now);
                if fate == 0 {
                    table.failed(touches, now);
                    continue;
                }
                for touch in touches {
                    reported.insert(touch.session, now.checked_sub(touch.idle).unwrap());
                }
            }
            now = target;
            match fate {
                1 => table.interrupted(now),
                2 => {
                    table.ended(id(number));
                    used.remove(&id(number));
                    held.retain(|session| *session != id(number));
                }
                3 => {
                    if table.begin(id(number), now + DAY, ending, now) {
                        used.insert(id(number), now);
                        held.push(id(number));
                    }
                }
                4 => {
                    if let Some(session) = held.pop() {
                        table.finish(session, now);
                        used.entry(session).and_modify(|at| *at = now);
                    }
                }
                _ => {
                    if table.used(id(number), now + DAY, ending, now) {
                        used.insert(id(number), now);
                    }
                }
            }
            prop_assert!(table.len() <= 3 && table.sessions.is_sound());
        }
        for session in held {
            table.finish(session, now);
            used.insert(session, now);
        }
        // Nothing is used any more: within the time of a busy session all is told.
        let end = now + rhythm.busy + 2 * RETRY;
        while let Some(at) = table.next().filter(|at| *at <= end) {
            for touch in table.flush(9, now.max(at)) {
                reported.insert(touch.session, now.max(at).checked_sub(touch.idle).unwrap());
            }
        }
        for (session, used) in used {
            prop_assert_eq!(reported.get(&session), Some(&used));
        }
    }
}

#[test]
fn a_crowd_that_has_gone_leaves_no_room_behind() {
    let start = Instant::now();
    let mut table = Table::new(Rhythm::new(TTL), 100_000, start);
    for number in 0..20_000 {
        assert!(table.used(id(number), start + DAY, ending, start));
    }
    assert!(table.sessions.room() >= 20_000);
    let told = table.flush(100_000, start + 2 * SECOND);
    assert_eq!(told.len(), 20_000);
    assert_eq!(table.flush(100_000, start + Rhythm::new(TTL).remember), []);
    assert!(table.is_empty());
    assert!(table.sessions.room() <= ROOM_MIN, "room for {}", table.sessions.room());
}
