//! Random traffic against a model that remembers everything.

use super::*;
use holdfast_frames::frame;
use proptest::prelude::*;
use std::collections::HashSet;

const IDS: [&str; 6] = ["1", "-1", "\"1\"", "\"\\u0031\"", "2", "123456789012345678901234567890"];

#[derive(Clone, Debug)]
enum Op {
    Begin {
        owner: u8,
        id: usize,
        token: bool,
    },
    /// Of the n-th request begun, counted from the last.
    Answer(usize),
    Progress(usize),
    Leave(usize),
    /// A name that was never given, or a message without one.
    Stranger(u64),
    Unasked,
    Listen(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..3u8, 0..IDS.len(), any::<bool>())
            .prop_map(|(owner, id, token)| Op::Begin { owner, id, token }),
        3 => (0..12usize).prop_map(Op::Answer),
        2 => (0..12usize).prop_map(Op::Progress),
        1 => (0..12usize).prop_map(Op::Leave),
        1 => (1000..2000u64).prop_map(Op::Stranger),
        1 => Just(Op::Unasked),
        1 => any::<bool>().prop_map(Op::Listen),
    ]
}

/// A request that went out.
struct Asked {
    name: Name,
    id: &'static str,
    token: Option<String>,
    live: bool,
}

fn parse(text: &str) -> Frame {
    Frame::parse(Bytes::copy_from_slice(text.as_bytes()), &frame::Limits::default()).unwrap()
}

fn request(id: &str, token: Option<&str>) -> Frame {
    let meta = token.map(|token| format!(r#","_meta":{{"progressToken":{token}}}"#)).unwrap_or_default();
    parse(&format!(r#"{{"id":{id},"jsonrpc":"2.0","method":"m","params":{{"big":1.50,"n":1{meta}}}}}"#))
}

/// The switchboard, and what is known of it.
struct Play {
    sharing: Sharing,
    board: Switchboard,
    asked: Vec<Asked>,
}

type Checked = Result<(), TestCaseError>;

const LIMITS: Limits = Limits { requests: 8, waiting_messages: 4, waiting_bytes: 400 };

impl Play {
    fn renames(&self) -> bool {
        self.sharing != Sharing::Session
    }

    fn step(&mut self, step: usize, op: &Op) -> Checked {
        match op {
            Op::Begin { owner, id, token } => self.begin(*owner, IDS[*id], token.then_some(step))?,
            Op::Answer(back) => self.answer(*back)?,
            Op::Progress(back) => self.progress(*back)?,
            Op::Leave(back) => {
                let renames = self.renames();
                let Some(target) = pick(&mut self.asked, *back) else { return Ok(()) };
                let told = self.board.leave(target.name);
                prop_assert_eq!(told.is_some(), renames && target.live);
                target.live = false;
            }
            Op::Stranger(id) => {
                let came = self.board.incoming(&result(&id.to_string()));
                prop_assert_eq!(came, Incoming::Dropped(LinkDrop::Unknown));
            }
            Op::Unasked => self.unasked()?,
            Op::Listen(true) => prop_assert!(self.board.listen().len() <= LIMITS.waiting_messages),
            Op::Listen(false) => self.board.stop_listening(),
        }
        prop_assert_eq!(self.board.in_flight(), self.asked.iter().filter(|asked| asked.live).count());
        Ok(())
    }

    fn begin(&mut self, owner: u8, id: &'static str, token: Option<usize>) -> Checked {
        let token = token.map(|step| format!("\"token {step}\""));
        let frame = request(id, token.as_deref());
        let taken = self.asked.iter().any(|asked| asked.live && same(asked.id, id));
        match self.board.begin(&frame, [owner; 32]) {
            Ok(begun) => {
                prop_assert!(self.renames() || !taken, "an id in flight was taken twice");
                let name = begun.name.0.to_string();
                let expected = if self.renames() {
                    request(&name, token.as_deref().map(|_| &*name)).into_bytes()
                } else {
                    frame.into_bytes()
                };
                prop_assert_eq!(begun.message, expected);
                prop_assert!(begun.before.is_empty() || !self.renames());
                self.asked.push(Asked { name: begun.name, id, token, live: true });
            }
            Err(Refused::IdInUse) => prop_assert!(taken && !self.renames()),
            Err(why) => prop_assert_eq!((why, self.board.in_flight()), (Refused::Full, LIMITS.requests)),
        }
        Ok(())
    }

    fn answer(&mut self, back: usize) -> Checked {
        let renames = self.renames();
        let Some(target) = pick(&mut self.asked, back) else { return Ok(()) };
        let (was_live, own) = (target.live, target.id);
        let id = if renames { target.name.0.to_string() } else { own.to_owned() };
        match self.board.incoming(&result(&id)) {
            Incoming::Answer(name, message) => {
                let got = self.asked.iter_mut().find(|asked| asked.name == name).unwrap();
                prop_assert!(got.live, "an answer for somebody who left");
                prop_assert!(same(got.id, own), "an answer under another id");
                let written = if renames { got.id } else { &*id };
                prop_assert_eq!(message, result(written).into_bytes());
                got.live = false;
            }
            Incoming::Dropped(_) => prop_assert!(!was_live, "an answer was lost"),
            other => prop_assert!(false, "{other:?}"),
        }
        Ok(())
    }

    fn progress(&mut self, back: usize) -> Checked {
        let renames = self.renames();
        let Some(target) = pick(&mut self.asked, back) else { return Ok(()) };
        let Some(token) = target.token.clone() else { return Ok(()) };
        let (name, live) = (target.name, target.live);
        let sent = if renames { name.0.to_string() } else { token.clone() };
        let note = |token: &str| {
            let params = format!(r#"{{"progressToken":{token},"progress":0.10}}"#);
            parse(&format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}"#))
        };
        match self.board.incoming(&note(&sent)) {
            Incoming::Before(to, message) if live => {
                prop_assert_eq!((to, message), (name, note(&token).into_bytes()));
            }
            Incoming::Before(to, _) => {
                prop_assert!(!renames && self.asked.iter().any(|other| other.name == to && other.live));
            }
            _ => prop_assert!(!live, "progress of a live request was lost"),
        }
        Ok(())
    }

    fn unasked(&mut self) -> Checked {
        let newest = self.asked.iter().rev().find(|asked| asked.live).map(|asked| asked.name);
        match self.board.incoming(&parse(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#)) {
            Incoming::Before(name, _) => prop_assert_eq!((Some(name), self.renames()), (newest, false)),
            Incoming::Dropped(why) => prop_assert_eq!((why, self.renames()), (LinkDrop::Unmatched, true)),
            Incoming::Listener(_) | Incoming::Waits(_) => prop_assert!(!self.renames() && newest.is_none()),
            other => prop_assert!(false, "{other:?}"),
        }
        Ok(())
    }
}

fn pick(asked: &mut [Asked], back: usize) -> Option<&mut Asked> {
    let at = asked.len().checked_sub(back + 1)?;
    asked.get_mut(at)
}

fn same(one: &str, other: &str) -> bool {
    IdKey::of(one.as_bytes()) == IdKey::of(other.as_bytes())
}

fn result(id: &str) -> Frame {
    parse(&format!(r#"{{"jsonrpc":"2.0","result":{{"x":1.0}},"id":{id}}}"#))
}

proptest! {
    #[test]
    fn every_message_reaches_its_request_or_nobody(
        sharing in prop_oneof![Just(Sharing::Session), Just(Sharing::Principal), Just(Sharing::Everybody)],
        ops in proptest::collection::vec(op(), 0..120),
    ) {
        let mut play = Play { sharing, board: Switchboard::new(sharing, LIMITS), asked: Vec::new() };
        for (step, op) in ops.iter().enumerate() {
            play.step(step, op)?;
        }
        let names: HashSet<Name> = play.asked.iter().map(|asked| asked.name).collect();
        prop_assert_eq!(names.len(), play.asked.len(), "a name was given twice");
    }

    #[test]
    fn any_message_of_a_server_is_decided_upon(
        sharing in prop_oneof![Just(Sharing::Session), Just(Sharing::Principal), Just(Sharing::Everybody)],
        texts in proptest::collection::vec(prop_oneof![
            Just(r#"{"jsonrpc":"2.0","id":1,"result":{"_meta":{"io.modelcontextprotocol/subscriptionId":2}}}"#),
            Just(r#"{"jsonrpc":"2.0","id":2,"error":{"code":1}}"#),
            Just(r#"{"jsonrpc":"2.0","error":{"code":1}}"#),
            Just(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"progressToken":2}}"#),
            Just(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"_meta":{"io.modelcontextprotocol/subscriptionId":2}}}"#),
            Just(r#"{"jsonrpc":"2.0","method":"x","id":1}"#),
            Just(r#"{"jsonrpc":"2.0","method":"notifications/message"}"#),
        ], 0..30),
    ) {
        let mut board = Switchboard::new(sharing, Limits { requests: 3, waiting_messages: 2, waiting_bytes: 100 });
        for (n, text) in texts.into_iter().enumerate() {
            let _ = board.begin(&request(&n.to_string(), None), [0; 32]);
            let came = board.incoming(&parse(text));
            // What leads to two requests leads to none.
            let names_two = sharing != Sharing::Session && text.contains("progressToken\":1") && text.contains("Id\":2");
            prop_assert!(!names_two || matches!(came, Incoming::Dropped(_) | Incoming::Before(Name(2), _)));
            prop_assert!(board.in_flight() <= 3);
        }
    }
}
