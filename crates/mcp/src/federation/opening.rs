//! `initialize` at the merged endpoint: every member is asked at once, and those that answer in time are in the token.

use super::{Federation, Said, capabilities, instructions, modern::MERGED, whole::Part};
use crate::{
    era::Version,
    errors::{McpError, Problem},
    exchange::{Answer, SESSION},
    frame::{Frame, Kind, Member, quote},
    guest::Guest,
    ids::Epoch,
    legacy::{Session, handshake, initialized},
    reply,
    server::Server,
    state::Binding,
    token::{Audience, EndpointTag, MemberPart, MemberTag, MergedToken, SessionUid, unix_now},
};
use bytes::Bytes;
use futures_util::future::join_all;
use holdfast_config::EraMode;
use holdfast_edge::Body;
use holdfast_upstream::clock;
use http::{HeaderValue, Response, StatusCode};
use std::{sync::Arc, time::Duration};

/// What members may offer and the merged endpoint cannot: task ids of these versions name no member.
const NOT_MERGED: [&str; 1] = ["tasks"];

/// One member that answered.
struct Opened {
    member: Arc<Server>,
    part: MemberPart,
    binding: Binding,
    said: Said,
}

/// Answers an `initialize` request.
pub(super) async fn initialize(guest: &Guest, federation: &Arc<Federation>, frame: &Frame) -> Response<Body> {
    match open(guest, federation, frame).await {
        Ok(response) => response,
        Err(error) => reply::error(&error, frame.id()),
    }
}

async fn open(
    guest: &Guest,
    federation: &Arc<Federation>,
    frame: &Frame,
) -> Result<Response<Body>, McpError> {
    let asked = frame.text(Member::ProtocolVersion).unwrap_or_default();
    let version = Version::negotiate(&asked);
    let asking = federation
        .members
        .iter()
        .map(|member| clock::timeout(federation.patience.without, ask(guest, member, frame)));
    let opened: Vec<Opened> =
        join_all(asking).await.into_iter().filter_map(|opened| opened.ok().flatten()).collect();
    if opened.is_empty() {
        let error = McpError::new(Problem::NoEndpoint).detail("no member of the merged endpoint answers");
        return Err(error.retry_after(Duration::from_secs(1)));
    }
    let now = unix_now();
    let token = MergedToken {
        uid: SessionUid::random().map_err(|_| McpError::new(Problem::Internal))?,
        version,
        issued: now,
        expires: now.saturating_add(guest.shared.session_ttl.as_secs()),
        initialize: frame.raw(Member::Params).map(Bytes::copy_from_slice).unwrap_or_default(),
        members: opened.iter().map(|opened| opened.part.clone()).collect(),
    };
    let audience = Audience { server: MERGED, principal: &guest.principal };
    let (sealed, fitted) = token
        .seal(&guest.shared.ring, audience)
        .map_err(|error| McpError::new(Problem::PayloadTooLarge).detail(error.to_string()))?;
    let value = HeaderValue::from_str(&sealed.token).map_err(|_| McpError::new(Problem::Internal))?;
    join_all(
        opened.iter().enumerate().map(|(number, opened)| settle(guest, &token, opened, number < fitted)),
    )
    .await;
    let mut response = reply::json(StatusCode::OK, answer(frame, version, &opened));
    response.headers_mut().insert(SESSION, value);
    Ok(response)
}

/// Asks one member. None if it does not answer, or not with a version that has sessions.
async fn ask(guest: &Guest, member: &Arc<Server>, frame: &Frame) -> Option<Opened> {
    if member.era == EraMode::Modern {
        return None;
    }
    let caller = guest.caller(member, guest.headers.clone());
    let answer = handshake(&caller, frame).await.ok()?;
    let head = answer.head().clone();
    let response = match &answer {
        Answer::Message(_, frame) => frame,
        Answer::Events(_, events) => events.iter().rev().find_map(|event| event.frame.as_ref())?,
        Answer::Open(..) | Answer::Bare(_) => return None,
    };
    if response.kind() != Kind::Response || head.status != StatusCode::OK {
        return None;
    }
    let version =
        Version::parse(&response.text(Member::ProtocolVersion)?).filter(|version| !version.is_modern())?;
    let part = MemberPart {
        member: MemberTag::of(member.name()),
        version,
        endpoint: EndpointTag::of(head.endpoint.as_str()),
        upstream_session: head.session.as_deref().map(str::to_owned),
    };
    let binding = Binding {
        endpoint: head.session.is_some().then(|| head.endpoint.clone()),
        upstream_session: head.session,
        epoch: Epoch(0),
    };
    let said = Said::read(response.raw(Member::Result)?);
    member.metrics.sessions_minted.inc();
    Some(Opened { member: Arc::clone(member), part, binding, said })
}

/// Tells the member that the session is open. One that found no room in the token is remembered here.
async fn settle(guest: &Guest, token: &MergedToken, opened: &Opened, fitted: bool) {
    let session = Arc::new(Session::part(&guest.shared, &opened.member, token, guest.principal));
    let part = Part { member: Arc::clone(&opened.member), session };
    let caller = part.caller(guest);
    part.session.begin(&caller, token.issued);
    let until = clock::after(clock::now(), opened.member.initialize_timeout);
    initialized(&caller, &part.session, &opened.binding, until).await;
    if !fitted {
        let binding = Binding { epoch: Epoch(1), ..opened.binding.clone() };
        guest.shared.state.journal.put(part.session.uid, binding, clock::now());
    }
}

fn answer(frame: &Frame, version: Version, opened: &[Opened]) -> Bytes {
    let mut all = capabilities(opened.iter().map(|opened| &opened.said));
    for name in NOT_MERGED {
        all.remove(name);
    }
    let text = instructions(opened.iter().map(|opened| (opened.member.name(), &opened.said)));
    let text = text.map(|text| format!(r#","instructions":{}"#, quote(&text))).unwrap_or_default();
    let id = String::from_utf8_lossy(frame.id().unwrap_or(b"null"));
    let (all, version) = (serde_json::Value::Object(all), version.as_str());
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocolVersion":"{version}","capabilities":{all},"serverInfo":{{"name":"holdfast","version":"{}"}}{text}}}}}"#,
        env!("CARGO_PKG_VERSION")
    );
    body.into()
}
