//! HTTP+SSE before two replicas: the stream is at one, the message comes to the other.

use crate::{
    config,
    raw::{Sse, call},
};
use holdfast_tests::{
    Result,
    fixture::{Fixture, Options},
    gateway::Gateway,
    sharing, wait,
};
use std::time::{Duration, Instant};

pub(crate) async fn pair() -> Result<([Gateway; 2], Fixture)> {
    let server = Fixture::start(Options::named("one")).await?;
    let mut gateways = Vec::new();
    for block in sharing::channel(2)? {
        gateways.push(Gateway::start(&config(&server.mcp(), "").root(&block)).await?);
    }
    let gateways: [Gateway; 2] = gateways.try_into().map_err(|_| "two gateways")?;
    sharing::meet(&[&gateways[0], &gateways[1]]).await?;
    Ok((gateways, server))
}

#[tokio::test]
async fn a_message_at_the_other_replica_is_answered_on_the_stream() -> Result {
    let ([holder, other], _server) = pair().await?;
    let mut sse = Sse::open(holder.address, "/mcp/guarded/sse", Some(crate::KEYS[0])).await?;
    sse.initialize(other.address).await?;
    for id in 2..30 {
        let at = if id % 3 == 0 { holder.address } else { other.address };
        assert_eq!(sse.say(at, &call(id, "whoami", "{}")).await?.0, 202);
        let answer = sse.message().await?;
        assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&id.into(), &"one".into()));
    }
    let passed =
        other.metrics().await?.sum("holdfast_conversation_messages_passed_total", &["result=\"answered\""]);
    assert!(passed >= 18.0, "{passed}");
    // Somebody else's name of it opens for nobody else, here or there.
    for address in [holder.address, other.address] {
        let stolen =
            crate::raw::post(address, &sse.endpoint, Some(crate::KEYS[1]), &call(99, "whoami", "{}")).await?;
        assert_eq!(stolen.0, 404, "{stolen:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_message_for_a_replica_that_died_gets_a_typed_answer_in_time() -> Result {
    let ([mut holder, other], _server) = pair().await?;
    let mut sse = Sse::open(holder.address, "/mcp/open/sse", None).await?;
    sse.initialize(other.address).await?;
    holder.kill()?;
    let gone = async || {
        let began = Instant::now();
        let (status, body) = sse.say(other.address, &call(2, "whoami", "{}")).await.ok()?;
        assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
        assert!([404, 502, 504].contains(&status.as_u16()), "{status}: {body}");
        let error: serde_json::Value = serde_json::from_str(&body).ok()?;
        assert_eq!(error["id"].as_u64().unwrap_or(2), 2, "{error}");
        (status == 404 && error["error"]["data"]["reason"] == "session_dead").then_some(())
    };
    wait::until("the other replica knows that the holder is dead", Duration::from_secs(30), gone).await
}
