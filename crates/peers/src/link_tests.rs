use super::*;
use fastrand::Rng;
use proptest::prelude::*;

const ME: ReplicaId = ReplicaId(1);
const YOU: ReplicaId = ReplicaId(2);
const POLICY: Policy = Policy {
    dial: Duration::from_secs(3),
    ping: Duration::from_secs(1),
    misses_max: 3,
    longest_pause: Duration::from_secs(10),
};

struct Play {
    link: Link,
    now: Instant,
    rng: Rng,
}

impl Play {
    fn new() -> Self {
        let now = Instant::now();
        Self { link: Link::new(ME, now), now, rng: Rng::with_seed(7) }
    }

    fn on(&mut self, event: Event) -> Action {
        self.link.on(event, self.now, &POLICY, &mut self.rng)
    }

    /// Goes to the moment the link waits for.
    fn tick(&mut self) -> Action {
        self.now = self.now.max(self.link.wake().expect("it waits for something"));
        self.on(Event::Tick)
    }

    fn living() -> Self {
        let mut play = Self::new();
        assert_eq!(play.tick(), Action::Dial);
        assert_eq!(play.on(Event::Greeted(YOU)), Action::Announce);
        play
    }
}

#[test]
fn a_named_address_is_dialled_at_once_and_pinged_each_second() {
    let mut play = Play::living();
    let start = play.now;
    for n in 1..100 {
        assert_eq!(play.tick(), Action::Ping);
        assert_eq!(play.now - start, n * POLICY.ping);
        assert_eq!(play.on(Event::Ponged), Action::None);
    }
}

#[test]
fn three_pings_without_an_answer_are_death_within_four_seconds() {
    let mut play = Play::living();
    let frozen = play.now;
    let actions: Vec<_> = (0..4).map(|_| play.tick()).collect();
    assert_eq!(actions, [Action::Ping, Action::Ping, Action::Ping, Action::Dead(Death::Silent)]);
    assert_eq!(play.now - frozen, Duration::from_secs(4));
    assert!(matches!(play.link.state(), State::Waiting { .. }));
}

#[test]
fn an_answer_however_late_starts_the_count_anew() {
    let mut play = Play::living();
    for _ in 0..10 {
        assert_eq!([play.tick(), play.tick(), play.tick()], [Action::Ping; 3]);
        play.on(Event::Ponged);
    }
}

#[test]
fn a_pause_of_this_process_does_not_kill_the_others() {
    let mut play = Play::living();
    play.tick();
    play.now += Duration::from_mins(1);
    assert_eq!(play.on(Event::Tick), Action::Ping, "one miss, not sixty");
    assert_eq!(play.on(Event::Ponged), Action::None);
}

#[test]
fn a_lost_connection_is_death_at_once() {
    let mut play = Play::living();
    assert_eq!(play.on(Event::Lost), Action::Dead(Death::Lost));
    assert_eq!(play.on(Event::Lost), Action::None, "once");
    assert_eq!(play.tick(), Action::Dial);
}

#[test]
fn this_very_process_is_left_alone_and_looked_at_again_later() {
    let mut play = Play::new();
    play.tick();
    assert_eq!(play.on(Event::Greeted(ME)), Action::Abandon);
    let found = play.now;
    assert_eq!(play.tick(), Action::Dial);
    assert_eq!(play.now - found, OWN_AGAIN);
}

#[test]
fn a_name_that_disappears_ends_a_link_only_with_its_connection() {
    let mut play = Play::living();
    assert_eq!(play.on(Event::Named(false)), Action::None);
    assert_eq!(play.tick(), Action::Ping);
    assert_eq!(play.on(Event::Lost), Action::Dead(Death::Lost));
    assert_eq!(play.link.state(), State::Gone);

    let mut waiting = Play::new();
    waiting.tick();
    assert_eq!(waiting.on(Event::Named(false)), Action::Abandon);
    assert_eq!(waiting.link.state(), State::Gone);

    let mut back = Play::living();
    back.on(Event::Named(false));
    back.on(Event::Named(true));
    back.on(Event::Lost);
    assert_eq!(back.tick(), Action::Dial);
}

#[test]
fn pauses_grow_and_a_link_that_lasted_starts_small_again() {
    let mut play = Play::new();
    let mut pauses = Vec::new();
    for _ in 0..12 {
        assert_eq!(play.tick(), Action::Dial);
        assert_eq!(play.on(Event::Failed), Action::Abandon);
        pauses.push(play.link.wake().unwrap() - play.now);
    }
    assert!(pauses[0] <= backoff::FIRST && pauses[11] >= POLICY.longest_pause / 2, "{pauses:?}");
    play.tick();
    play.on(Event::Greeted(YOU));
    play.on(Event::Lost);
    assert!(
        play.link.wake().unwrap() - play.now >= POLICY.longest_pause / 2,
        "it fell at once: no fresh start"
    );
    play.tick();
    play.on(Event::Greeted(YOU));
    play.now += POLICY.longest_pause + Duration::from_secs(1);
    play.on(Event::Lost);
    assert!(play.link.wake().unwrap() - play.now <= backoff::FIRST);
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Tick),
        1 => Just(Event::Greeted(YOU)),
        1 => Just(Event::Greeted(ME)),
        1 => Just(Event::Failed),
        2 => Just(Event::Ponged),
        1 => Just(Event::Lost),
        1 => Just(Event::Withdrawn),
        1 => any::<bool>().prop_map(Event::Named),
    ]
}

proptest! {
    /// Whatever comes in whatever order: a connection is announced once and dropped once, dials and connections never overlap, the
    /// link always waits for something until it is gone, and a silent replica is dead after at most `misses_max + 1` pauses.
    #[test]
    fn every_order_of_events_is_survived(events in prop::collection::vec((event(), 0u64..2_000), 1..300), seed: u64) {
        let mut play = Play { rng: Rng::with_seed(seed), ..Play::new() };
        let (mut dialling, mut living, mut unanswered) = (false, false, 0);
        for (event, passed) in events {
            play.now += Duration::from_millis(passed);
            let gone = play.link.state() == State::Gone;
            let action = play.on(event);
            match action {
                Action::None => {}
                Action::Dial => {
                    prop_assert!(!dialling && !living);
                    dialling = true;
                }
                Action::Announce => {
                    prop_assert!(dialling && !living);
                    (dialling, living, unanswered) = (false, true, 0);
                }
                Action::Ping => {
                    prop_assert!(living);
                    unanswered += 1;
                    prop_assert!(unanswered <= POLICY.misses_max);
                }
                Action::Abandon => {
                    prop_assert!(dialling && !living);
                    dialling = false;
                }
                Action::Dead(_) => {
                    prop_assert!(living);
                    living = false;
                }
            }
            if event == Event::Ponged {
                unanswered = 0;
            }
            prop_assert!(!gone || action == Action::None, "gone is the end");
            prop_assert_eq!(play.link.wake().is_none(), play.link.state() == State::Gone);
            prop_assert_eq!(matches!(play.link.state(), State::Living { .. }), living);
            prop_assert_eq!(matches!(play.link.state(), State::Dialling { .. }), dialling);
        }
    }
}
