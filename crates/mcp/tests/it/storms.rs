//! All sessions of a dead endpoint at once.

use super::{
    gateway::{Answer, Gateway, Options, Session, replayable},
    upstream::{Act, Gate, Seen, Upstream, legacy, named},
    wait::until,
};
use futures_util::future::join_all;
use holdfast_telemetry::metrics::Rebinding;
use http::StatusCode;
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

const SESSIONS: usize = 500;
const AT_ONCE: usize = 16;

/// A server that lets nobody in before the test opens `gate`.
fn gated(name: &'static str, gate: &Arc<Gate>) -> impl Fn(&Seen) -> Act + Send + Sync + use<> {
    let (inner, gate) = (legacy(name, named(name)), Arc::clone(gate));
    move |seen| match inner(seen) {
        act @ Act::Opened(..) => Act::Behind(gate.enter(), Box::new(act)),
        act => act,
    }
}

/// Sessions opened through a replica that knows only `first`.
pub(crate) async fn sessions(first: &Gateway, count: usize) -> Vec<Session<'_>> {
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        open.push(first.open("2025-11-25").await);
    }
    open
}

/// One call of each of them through `gateway`, all at the same time.
pub(crate) async fn calls(gateway: &Gateway, sessions: &[Session<'_>], number: u64) -> Vec<Answer> {
    let call = |session: &Session<'_>| {
        let (token, version) = (session.token.clone(), session.version.clone());
        async move {
            let session = Session { gateway, token, version };
            session.call(number, "tools/call", json!({"name": "t"})).await
        }
    };
    join_all(sessions.iter().map(call)).await
}

pub(crate) async fn from(answers: Vec<Answer>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for answer in answers {
        assert_eq!(answer.status(), StatusCode::OK);
        let message: Value = answer.json().await;
        names.insert(message["result"]["from"].as_str().unwrap_or("nobody").to_owned());
    }
    names
}

#[tokio::test]
async fn sessions_of_a_dead_endpoint_move_a_few_at_a_time_and_each_once() {
    let gate = Gate::closed();
    let mut dead = Upstream::start(legacy("dead", named("dead"))).await;
    let other = Upstream::start(gated("other", &gate)).await;
    let first = replayable(&[&dead]);
    let all = sessions(&first, SESSIONS).await;
    let options = Options {
        server: "session: replayable\nmax_reinitializations: 16",
        root: "connection_pool: { max_size: 2000, max_waiting: 2000 }",
        ring: Some(Arc::clone(&first.ring)),
        ..Options::default()
    };
    let gateway = Gateway::new(&[&dead, &other], options);
    dead.kill().await;

    let storm = calls(&gateway, &all, 1);
    let watch = async {
        until("as many as may are under way", || gate.inside() == AT_ONCE).await;
        let waiting = i64::try_from(SESSIONS - AT_ONCE).unwrap();
        until("all the others wait", || gateway.metrics.rebindings_waiting.get() == waiting).await;
        assert_eq!(other.saw("initialize"), AT_ONCE, "nobody else has come");
        gate.open();
    };
    let (answers, ()) = tokio::join!(storm, watch);
    assert_eq!(from(answers).await, BTreeSet::from(["other".to_owned()]), "every session goes on");
    assert_eq!(gate.most(), AT_ONCE, "at no time more");
    assert_eq!(other.saw("initialize"), SESSIONS, "one each");
    assert_eq!(gateway.metrics.rebindings_waiting.get(), 0);

    let again = calls(&gateway, &all, 2).await;
    assert_eq!(from(again).await, BTreeSet::from(["other".to_owned()]));
    assert_eq!(other.saw("initialize"), SESSIONS, "and no more later");
}

#[tokio::test]
async fn a_session_whose_turn_does_not_come_in_time_is_told_when_to_come_again() {
    let gate = Gate::closed();
    let mut dead = Upstream::start(legacy("dead", named("dead"))).await;
    let other = Upstream::start(gated("other", &gate)).await;
    let first = replayable(&[&dead]);
    let all = sessions(&first, 2).await;
    let options = |server| Options { server, ring: Some(Arc::clone(&first.ring)), ..Options::default() };
    let patient = Gateway::new(&[&dead, &other], options("session: replayable\nmax_reinitializations: 1"));
    let hasty = options("session: replayable\nmax_reinitializations: 1\nrequest_timeout: 300ms");
    let reloaded = Options { state: Some(Arc::clone(patient.service.state())), ..hasty };
    let hasty = Gateway::new(&[&dead, &other], reloaded);
    dead.kill().await;
    let holding = calls(&patient, &all[..1], 1);
    let turned_away = async {
        until("the only turn is taken", || gate.inside() == 1).await;
        let answer = calls(&hasty, &all[1..], 7).await.pop().unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=5).contains(&after), "{after}");
        let message = answer.json().await;
        assert_eq!((&message["id"], &message["error"]["code"]), (&json!(7), &json!(-31005)));
        assert_eq!(message["error"]["data"]["reason"], "overloaded");
        assert_eq!(hasty.metrics.rebindings.get(Rebinding::Overloaded).get(), 1);
        assert_eq!(other.saw("initialize"), 1, "it never reached the server");
        gate.open();
    };
    let (answers, ()) = tokio::join!(holding, turned_away);
    assert_eq!(from(answers).await.len(), 1);
    assert_eq!(from(calls(&hasty, &all[1..], 8).await).await.len(), 1, "it may come again");
}
