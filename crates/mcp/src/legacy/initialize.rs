//! `initialize`: opens a session on any endpoint and gives the client a token that *is* the session.

use super::session::Session;
use crate::{
    caller::{Caller, may_repeat, reason},
    era::Version,
    errors::{McpError, Problem},
    exchange::{Answer, Hold, SESSION, ask, bare_error},
    failure::Failure,
    frame::{Frame, Kind, Member},
    ids::Epoch,
    reply,
    tally::{Tally, failure_verdict, verdict},
    token::{Audience, EndpointTag, SessionToken, SessionUid, unix_now},
};
use bytes::Bytes;
use holdfast_config::EraMode;
use holdfast_edge::Body;
use holdfast_resilience::Safety;
use holdfast_telemetry::metrics::{MappedEra, McpOutcome};
use holdfast_upstream::{EndpointKey, clock};
use http::{HeaderValue, Response};
use std::sync::Arc;

/// Answers an `initialize` request.
pub(crate) async fn initialize(caller: &Caller, frame: &Frame) -> Response<Body> {
    let tally = Tally::new(caller, frame, MappedEra::Legacy);
    if caller.server.era == EraMode::Modern {
        tally.end(McpOutcome::Refused);
        let error = McpError::new(Problem::EraUnbridged)
            .list("supported", Version::MODERN.iter().map(|version| version.as_str()));
        caller.note_outcome(McpOutcome::Refused, reason(&error));
        return reply::error(&error, frame.id());
    }
    match handshake(caller, frame).await {
        Ok(Answer::Message(head, response)) => {
            tally.end(verdict(&response));
            opened(caller, frame, &head.endpoint, head.session, head.status, &response)
        }
        Ok(Answer::Events(head, events)) => {
            let response = events.into_iter().rev().find_map(|event| event.frame);
            match response {
                Some(response) => {
                    tally.end(verdict(&response));
                    opened(caller, frame, &head.endpoint, head.session, head.status, &response)
                }
                None => reply::error(&McpError::new(Problem::BadUpstream), frame.id()),
            }
        }
        Ok(Answer::Open(head, ..) | Answer::Bare(head)) => {
            tally.end(McpOutcome::UpstreamError);
            reply::error(&bare_error(head.status), frame.id())
        }
        Err(failure) => {
            let (error, outcome) = (failure.to_error(), failure_verdict(&failure));
            tally.end(outcome);
            caller.note_outcome(outcome, reason(&error));
            reply::error(&error, frame.id())
        }
    }
}

/// `initialize` changes nothing that anybody else sees: until its answer is here it can be asked of any endpoint.
pub(crate) async fn handshake(caller: &Caller, frame: &Frame) -> Result<Answer, Failure> {
    let until = caller.until.min(clock::after(clock::now(), caller.server.initialize_timeout));
    let mut avoid: Vec<EndpointKey> = Vec::new();
    let mut left = caller.server.attempts_max;
    loop {
        let mut out = caller.message(caller.about(frame), frame.bytes().clone(), Safety::Safe);
        out.until = until;
        out.avoid.clone_from(&avoid);
        left -= 1;
        match ask(&caller.server, out, frame.id(), Hold::OnlyAnswer).await {
            Ok(answer) => {
                caller.note_head(answer.head());
                return Ok(answer);
            }
            Err(failure) => {
                caller.note_failure(&failure);
                let again = left > 0 && failure.broken() && may_repeat(&failure, Safety::Safe);
                if !again {
                    return Err(failure);
                }
                avoid.extend(failure.endpoint().cloned());
            }
        }
    }
}

fn opened(
    caller: &Caller,
    frame: &Frame,
    endpoint: &EndpointKey,
    upstream_session: Option<Arc<str>>,
    status: http::StatusCode,
    response: &Frame,
) -> Response<Body> {
    let mut reply = reply::json(status, response.bytes().clone());
    if response.kind() != Kind::Response {
        return reply;
    }
    match mint(caller, frame, endpoint, upstream_session, response) {
        Ok(token) => {
            caller.server.metrics.sessions_minted.inc();
            reply.headers_mut().insert(SESSION, token);
            reply
        }
        Err(error) => {
            caller.note_outcome(McpOutcome::UpstreamError, reason(&error));
            reply::error(&error, frame.id())
        }
    }
}

/// A token for the new session, even if the server keeps none: the client's next request then finds its version again.
fn mint(
    caller: &Caller,
    frame: &Frame,
    endpoint: &EndpointKey,
    upstream_session: Option<Arc<str>>,
    response: &Frame,
) -> Result<HeaderValue, McpError> {
    let unusable = |why: &str| McpError::new(Problem::BadUpstream).detail(why);
    let version = response.text(Member::ProtocolVersion).and_then(|text| Version::parse(&text));
    let version = version
        .filter(|version| !version.is_modern())
        .ok_or_else(|| unusable("its protocolVersion is not one that Holdfast speaks"))?;
    let now = unix_now();
    let token = SessionToken {
        uid: SessionUid::random().map_err(|_| McpError::new(Problem::Internal))?,
        epoch: Epoch(0),
        version,
        endpoint: EndpointTag::of(endpoint.as_str()),
        upstream_session: upstream_session.map(|id| id.as_ref().to_owned()),
        issued: now,
        expires: now.saturating_add(caller.shared.session_ttl.as_secs()),
        initialize: frame.raw(Member::Params).map(Bytes::copy_from_slice),
    };
    let audience = Audience { server: &caller.server.name, principal: &caller.principal };
    let sealed = token.seal(&caller.shared.ring, audience).map_err(|error| unusable(&error.to_string()))?;
    if caller.server.replayable && !sealed.replayable {
        tracing::warn!(
            server = &*caller.server.name,
            "initialize parameters do not fit into the session token; the session cannot be replayed"
        );
    }
    let value = HeaderValue::from_str(&sealed.token).map_err(|_| McpError::new(Problem::Internal))?;
    // Its first use: a session that its client never comes back to ends as well.
    Session::of(caller, token).begin(caller, now);
    Ok(value)
}
