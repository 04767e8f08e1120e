//! A day of sessions with injected time: every part that a process has but HTTP.

#![allow(clippy::print_stdout, reason = "prints the figures that people read")]

use super::*;
use crate::{
    era::Version,
    ids::Epoch,
    state::{Revoked, Use},
    token::{EndingRecord, EndpointTag, refused_from},
};
use bytes::Bytes;
use holdfast_config::{ProcessEnv, Role, Sessions, Source};
use holdfast_store::{Limits, Store};
use holdfast_telemetry::Registry;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

const TTL: Duration = Duration::from_hours(1);
const LIFE: Duration = Duration::from_hours(6);
const DAY: u64 = 24 * 3600;
const SESSIONS: u32 = 100_000;
/// Events take place a little after the beats of the task.
const OFFSET: Duration = Duration::from_millis(370);

fn sessions() -> Sessions {
    let text = "sessions: {ephemeral_key: true, ttl: 1h, absolute_ttl: 6h, max_entries: 100000}".to_owned();
    let source = Source::Text { name: "test".into(), text };
    holdfast_config::load(&[source], &ProcessEnv, Role::Any).unwrap().config.sessions
}

fn uid(number: u32) -> SessionUid {
    // As random as a real one, for the shards.
    SessionUid(u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes())
}

/// What one session does.
#[derive(Clone, Copy)]
enum Act {
    Use,
    /// A stream opens.
    Hold,
    Release,
}

/// Sessions that came to their end, and what a process would remember of them.
struct Book {
    start: Instant,
    uses: Arc<Uses>,
    revoked: Revoked,
    ended: Mutex<HashMap<SessionUid, Instant>>,
}

impl World for Arc<Book> {
    fn told(&self, _: &[Touch]) {}

    fn end(&self, due: Due) -> BoxFuture<'static, SessionEnd> {
        let (book, session) = (Arc::clone(self), SessionUid(due.session.0));
        let record = EndingRecord::decode(due.ending.as_deref().unwrap()).unwrap();
        assert_eq!(record.upstream_session.as_deref(), Some(&*format!("{session:?}")));
        let now = clock::now();
        let unix = now.duration_since(book.start).as_secs();
        if record.expires > unix && book.uses.keep(session, due.ending.as_ref()) {
            return std::future::ready(SessionEnd::Kept).boxed();
        }
        book.revoked.insert(session, refused_from(record.expires), unix).unwrap();
        assert!(book.ended.lock().insert(session, now).is_none(), "ended twice");
        book.uses.ended(session);
        std::future::ready(SessionEnd::Told).boxed()
    }
}

/// What all sessions do, by second.
fn plan(rng: &mut fastrand::Rng) -> BTreeMap<u64, Vec<(u32, Act)>> {
    let mut plan: BTreeMap<u64, Vec<(u32, Act)>> = BTreeMap::new();
    for number in 0..SESSIONS {
        let first = rng.u64(0..DAY);
        let mut act = |at: u64, act| plan.entry(first + at).or_default().push((number, act));
        act(0, Act::Use);
        match number % 100 {
            // Opened and never used.
            0..20 => {}
            // Comes back again and again just before it is idle.
            20..25 => (1..4).for_each(|round| act(round * (TTL.as_secs() - 1), Act::Use)),
            // Busy beyond its absolute end.
            25..30 => (1..24).for_each(|round| act(round * 1020, Act::Use)),
            // A stream that is open for long, nothing else.
            30..32 => {
                act(10, Act::Hold);
                act(3 * TTL.as_secs(), Act::Release);
            }
            _ => (0..rng.u32(1..5)).for_each(|_| act(rng.u64(1..600), Act::Use)),
        }
    }
    plan
}

/// The clients of the day, and what is to become of their sessions.
struct Clients {
    start: Instant,
    uses: Arc<Uses>,
    /// Last use and absolute end.
    expected: HashMap<SessionUid, (Instant, Instant)>,
    held: HashMap<u32, Use>,
    /// Uses of sessions that were over: their tokens are refused.
    refused: usize,
}

impl Clients {
    fn act(&mut self, number: u32, act: Act, now: Instant) {
        let session = uid(number);
        let (used, end) = self.expected.entry(session).or_insert((now, now + LIFE));
        if now >= *end {
            self.refused += 1;
            return;
        }
        *used = now;
        let expires = end.duration_since(self.start).as_secs();
        let using = self.uses.begin(session, end.duration_since(now), || ending(session, expires));
        match act {
            Act::Use => drop(using),
            Act::Hold => drop(self.held.insert(number, using)),
            Act::Release => drop((using, self.held.remove(&number))),
        }
    }

    /// How late each session ended, and how many did so at their absolute end.
    fn lateness(&self, ended: &HashMap<SessionUid, Instant>) -> (Vec<Duration>, usize) {
        let due = |(used, end): &(Instant, Instant)| (*used + TTL).min(*end);
        let late = |(session, times): (&SessionUid, &(Instant, Instant))| {
            let at = ended.get(session).expect("a session that never ended");
            at.checked_duration_since(due(times)).expect("a session that ended early")
        };
        let by_absolute = self.expected.values().filter(|times| due(times) == times.1).count();
        (self.expected.iter().map(late).collect(), by_absolute)
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_of_100_000_sessions_expires_exactly_and_takes_no_more_memory_at_its_end_than_at_noon() {
    let (config, began) = (sessions(), Instant::now());
    let uses = Uses::new(&config, &Store::memory(Limits::new(&config)));
    let start = clock::now();
    let revoked = Revoked::new(config.max_entries);
    let book = Arc::new(Book { start, uses: Arc::clone(&uses), revoked, ended: Mutex::default() });
    let metrics = Arc::new(ExpiryMetrics::new(&Registry::new(&BTreeMap::new()).unwrap()));
    uses.count(&metrics);
    let driver = Driver { uses: Arc::clone(&uses), metrics: Arc::clone(&metrics), world: Arc::clone(&book) };
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(driver.run(stopped));

    let plan = plan(&mut fastrand::Rng::with_seed(11));
    let (expected, held) = (HashMap::new(), HashMap::new());
    let mut clients = Clients { start, uses: Arc::clone(&uses), expected, held, refused: 0 };
    let mut sizes = Vec::new();
    for second in 0..DAY + LIFE.as_secs() + 10 {
        let now = start + Duration::from_secs(second) + OFFSET;
        tokio::time::sleep_until(now.into()).await;
        for (number, act) in plan.get(&second).into_iter().flatten() {
            clients.act(*number, *act, now);
        }
        if second % 3600 == 3599 {
            let alive = clients.expected.len() - book.ended.lock().len();
            sizes.push((uses.len(), alive, book.revoked.len()));
        }
    }
    stop.send_replace(true);
    task.await.unwrap();

    let ended = book.ended.lock();
    let (lateness, by_absolute) = clients.lateness(&ended);
    let (worst, idle) = (*lateness.iter().max().unwrap(), ended.len() - by_absolute);
    println!("{SESSIONS} sessions in 24 h, ttl 1 h, absolute_ttl 6 h, simulated in {:?}", began.elapsed());
    println!(
        "ended: {idle} idle, {by_absolute} at their absolute end; none early, the latest {worst:?} late"
    );
    println!("hour: used lately, alive, remembered as ended");
    for (hour, (known, alive, revoked)) in sizes.iter().enumerate().filter(|(hour, _)| hour % 3 == 2) {
        println!("{:4}: {known:6} {alive:6} {revoked:6}", hour + 1);
    }
    assert_eq!(ended.len(), SESSIONS as usize, "each ended, once");
    assert!(worst <= uses.beat(), "{worst:?}");
    assert!(by_absolute > 4000 && clients.refused > 0);
    assert_eq!(metrics.unnoted.get(), 0);
    let (noon, end) = (sizes[11], sizes[23]);
    let flat = |noon: usize, end: usize| end * 10 <= noon * 11;
    assert!(flat(noon.1, end.1) && flat(noon.2, end.2), "{noon:?} {end:?}");
    // So few that chance moves them by more than a tenth: what was used in the last seconds, and streams.
    assert!(sizes.iter().all(|size| size.0 < 450), "{sizes:?}");
    assert_eq!((uses.len(), sizes[sizes.len() - 1].1), (0, 0), "nothing is left");
}

#[allow(clippy::unnecessary_wraps, reason = "as it is asked for")]
fn ending(session: SessionUid, expires: u64) -> Option<Bytes> {
    let record = EndingRecord {
        server: "tools".into(),
        version: Version::LEGACY[0],
        epoch: Epoch(0),
        endpoint: EndpointTag([7; 16]),
        upstream_session: Some(format!("{session:?}")),
        expires,
    };
    record.encode().map(Bytes::from)
}
