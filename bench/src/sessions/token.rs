//! What it costs to seal a session token and to open it, in this process, in time of this thread: others on the machine do not count.

use crate::figures::{Budget, Figures};
use crate::{Error, rounds::median};
use bytes::Bytes;
use holdfast_mcp::{
    era::Version,
    ids::Epoch,
    seal::KeyRing,
    token::{Audience, EndpointTag, SEALED_BYTES_MAX, SessionToken, SessionUid},
};
use nix::time::{ClockId, clock_gettime};
use std::{hint::black_box, time::Duration};

/// Tokens per round.
const TOKENS: u32 = 20_000;
/// What a client says of itself when it begins.
const PARAMS: &[u8] = br#"{"protocolVersion":"2025-11-25","capabilities":{"roots":{"listChanged":true},"sampling":{},"elicitation":{}},"clientInfo":{"name":"bench","title":"A client of usual length","version":"1.0.0"}}"#;
/// Seconds since 1970; any time will do.
const NOW: u64 = 1_700_000_000;

/// Medians over `rounds`.
pub(crate) fn measure(rounds: u16, figures: &mut Figures) -> Result<(), Error> {
    let ring = KeyRing::ephemeral()?;
    let audience = Audience { server: "bench", principal: &[7; 32] };
    let token = SessionToken {
        uid: SessionUid::random()?,
        epoch: Epoch(0),
        version: Version::V2025_11_25,
        endpoint: EndpointTag::of("http://127.0.0.1:8080/mcp"),
        upstream_session: Some("8e7d7f5a-9a63-4c5c-9a55-0d4e1f0c5b1e".to_owned()),
        issued: NOW,
        expires: NOW + 86_400,
        initialize: Some(Bytes::from_static(PARAMS)),
    };
    let sealed = token.seal(&ring, audience)?.token;
    let (mut sealing, mut opening) = (Vec::new(), Vec::new());
    // One more, for the caches.
    for _ in 0..=rounds {
        sealing.push(each(|| token.seal(&ring, audience).is_ok())?);
        opening.push(each(|| SessionToken::open(&ring, audience, &sealed, NOW).is_ok())?);
    }
    figures.add("token: seal", median(sealing.into_iter().skip(1)), "ns");
    figures.add("token: open", median(opening.into_iter().skip(1)), "ns");
    let most = Budget { most: SEALED_BYTES_MAX as f64, words: "<= 2 KiB" };
    figures.judge("token: length", sealed.len() as f64, "bytes", most);
    Ok(())
}

/// Nanoseconds of this thread per call. A call that fails would be cheaper than one that does its work, so it is an error.
fn each(mut call: impl FnMut() -> bool) -> Result<f64, Error> {
    let before = thread_time()?;
    for _ in 0..TOKENS {
        if !black_box(call()) {
            return Err("a token was not sealed or not opened".into());
        }
    }
    Ok((thread_time()?.saturating_sub(before)).as_secs_f64() * 1e9 / f64::from(TOKENS))
}

fn thread_time() -> Result<Duration, Error> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?))
}
