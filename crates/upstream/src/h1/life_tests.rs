use super::*;
use proptest::prelude::*;

const EVENTS: [Event; 9] = [
    Event::Begin,
    Event::Sent,
    Event::SendFailed,
    Event::Head { keep_alive: true },
    Event::Head { keep_alive: false },
    Event::Switch,
    Event::End { surplus: false },
    Event::End { surplus: true },
    Event::Fault,
];

fn after(events: &[Event]) -> Result<Life, Illegal> {
    events.iter().try_fold(Life::NEW, |life, event| life.on(*event))
}

const KEEP: Event = Event::Head { keep_alive: true };
const END: Event = Event::End { surplus: false };

#[test]
fn a_connection_is_used_again_after_a_whole_exchange_only() {
    assert!(after(&[Event::Begin, Event::Sent, KEEP, END]).unwrap().is_reusable());
    // The answer may come first, if the request is then sent to its end.
    assert!(after(&[Event::Begin, KEEP, Event::Sent, END]).unwrap().is_reusable());
    for events in [
        &[Event::Begin, KEEP, END][..],
        &[Event::Begin, Event::SendFailed, KEEP, END],
        &[Event::Begin, Event::Sent, Event::Head { keep_alive: false }, END],
        &[Event::Begin, Event::Sent, KEEP, Event::End { surplus: true }],
        &[Event::Begin, Event::Sent, Event::Switch],
        &[Event::Begin, Event::Sent, KEEP, Event::Fault],
        &[Event::Begin, Event::Sent, KEEP],
        &[Event::Begin],
    ] {
        let life = after(events).unwrap();
        assert!(!life.is_reusable(), "{events:?}");
        assert_eq!(life.on(Event::Begin), Err(Illegal), "{events:?}");
    }
}

/// Every state that can be reached: sending, reading, and whether the connection may live on.
const STATES: [&str; 16] = [
    "Done Body false",
    "Done Body true",
    "Done Head true",
    "Done Switched false",
    "Going Body false",
    "Going Body true",
    "Going Head true",
    "Going Switched false",
    "Idle Idle false",
    "Idle Idle true",
    "Stopped Body false",
    "Stopped Body true",
    "Stopped Broken false",
    "Stopped Head true",
    "Stopped Idle false",
    "Stopped Switched false",
];

#[test]
fn the_table_is_the_one_of_the_decision_record() {
    let mut states = vec![Life::NEW];
    let mut at = 0;
    while at < states.len() {
        for event in EVENTS {
            if let Ok(next) = states[at].on(event)
                && !states.contains(&next)
            {
                states.push(next);
            }
        }
        at += 1;
    }
    let mut shown: Vec<_> = states
        .iter()
        .map(|life| format!("{:?} {:?} {}", life.sending, life.reading, life.keep_alive))
        .collect();
    shown.sort();
    assert_eq!(shown, STATES);
    let reusable = states.iter().filter(|life| life.is_reusable()).count();
    assert_eq!(reusable, 1, "{shown:#?}");
    assert!(states.iter().all(|life| life.on(Event::Begin).is_err() || life.is_reusable()));
}

proptest! {
    #[test]
    fn nothing_brings_a_connection_back_that_was_given_up(events in prop::collection::vec(0..EVENTS.len(), 0..20)) {
        let mut life = Life::NEW;
        let mut given_up = false;
        for event in events {
            let Ok(next) = life.on(EVENTS[event]) else { continue };
            life = next;
            given_up |= matches!(EVENTS[event], Event::Fault | Event::SendFailed | Event::Switch);
            prop_assert!(!(given_up && life.is_reusable()));
        }
    }
}
