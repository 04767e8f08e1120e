//! What can go wrong with a connection, and with a client.

use crate::{
    KEYS,
    raw::{INITIALIZE, STEP, Sse, Ws, call, post, upgrade},
    site, site_with,
};
use holdfast_tests::{Result, wait};
use hyper::StatusCode;
use nix::sys::signal::Signal;
use serde_json::json;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

#[tokio::test]
async fn an_upgrade_is_judged_before_the_101() -> Result {
    let (gateway, _server) = site().await?;
    let refused = async |path: &str, headers: &[(&str, &str)]| -> Result<(StatusCode, String)> {
        match upgrade(gateway.address, path, headers).await? {
            Ok(_) => Ok((StatusCode::SWITCHING_PROTOCOLS, String::new())),
            Err((status, headers)) => {
                let challenge =
                    headers.get("www-authenticate").map(|value| value.to_str().unwrap_or("").to_owned());
                Ok((status, challenge.unwrap_or_default()))
            }
        }
    };
    let mcp = ("sec-websocket-protocol", "mcp");
    assert_eq!(refused("/mcp/open", &[mcp]).await?.0, 101);
    assert_eq!(refused("/mcp/open", &[]).await?.0, 400, "no subprotocol");
    assert_eq!(refused("/mcp/open", &[mcp, ("origin", "http://evil.example")]).await?.0, 403);
    assert_eq!(refused("/mcp/open", &[mcp, ("origin", "http://localhost:1")]).await?.0, 101);
    assert_eq!(refused("/mcp/nobody", &[mcp]).await?.0, 404);
    let (status, challenge) = refused("/mcp/guarded", &[mcp]).await?;
    assert_eq!(status, 401);
    assert!(challenge.starts_with("Bearer"), "{challenge}");
    assert_eq!(
        refused("/mcp/guarded", &[mcp, ("authorization", &format!("Bearer {}", KEYS[0]))]).await?.0,
        101
    );
    let metrics = gateway.metrics().await?;
    assert!(metrics.sum("holdfast_conversation_ends_total", &["transport=\"websocket\""]) <= 3.0);
    Ok(())
}

#[tokio::test]
async fn posts_of_sse_are_judged_one_by_one() -> Result {
    let (gateway, _server) = site().await?;
    let address = gateway.address;
    let mut sse = Sse::open(address, "/mcp/open/sse", None).await?;
    sse.initialize(address).await?;
    assert_eq!(post(address, "/mcp/open/messages", None, INITIALIZE).await?.0, 400, "no name");
    assert_eq!(post(address, "/mcp/open/messages?session_id=v1.test.AAAA", None, INITIALIZE).await?.0, 404);
    let elsewhere = sse.endpoint.replace("/open/", "/guarded/");
    assert_eq!(post(address, &elsewhere, Some(KEYS[0]), INITIALIZE).await?.0, 404, "of another server");
    assert_eq!(post(address, "/mcp/open/sse", None, INITIALIZE).await?.0, 405);
    for (text, status) in [("nonsense", 400), ("{}", 400), (&*"x".repeat(5 << 20), 413)] {
        assert_eq!(sse.say(address, text).await?.0, status);
    }
    // Nothing of this has touched the conversation.
    assert_eq!(sse.say(address, &call(7, "whoami", "{}")).await?.0, 202);
    assert_eq!(sse.message().await?["id"], 7);
    Ok(())
}

#[tokio::test]
async fn two_callers_with_equal_ids_never_see_each_others_answers() -> Result {
    let (gateway, _server) = site().await?;
    let caller = async |index: usize| -> Result {
        let mut ws = Ws::open(gateway.address, "/mcp/guarded", Some(KEYS[index])).await?;
        ws.initialize().await?;
        let mine = format!("only for {index}");
        for round in 0..20u64 {
            // As many requests in flight as a conversation may have, all with ids that the other one uses, too.
            for id in 0..50 {
                ws.say(&call(round * 50 + id + 2, "test_custom_header", &json!({"value": mine}).to_string()))
                    .await?;
            }
            let mut answers = HashMap::new();
            while answers.len() < 50 {
                let answer = ws.next().await?.map_err(|code| code.to_string())?;
                let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned();
                let id = answer["id"].as_u64().ok_or_else(|| answer.to_string())?;
                assert!(answers.insert(id, text).is_none(), "{id} twice");
            }
            assert!(answers.keys().all(|id| (round * 50 + 2..round * 50 + 52).contains(id)));
            assert!(answers.values().all(|text| text.contains(&mine)), "{answers:?}");
        }
        Ok(())
    };
    tokio::try_join!(caller(0), caller(1)).map(drop)
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed_and_costs_little() -> Result {
    let (gateway, _server) = site_with("  conversations: {write_timeout: 3s}\n").await?;
    let before = gateway.memory()?;
    let mcp = [("sec-websocket-protocol", "mcp")];
    let io = upgrade(gateway.address, "/mcp/open", &mcp).await?.map_err(|(status, _)| status.to_string())?;
    let (_deaf, mut writes) = tokio::io::split(io);
    let say = |text: &str| {
        let head = [&[0x81, 0xfe][..], &(text.len() as u16).to_be_bytes(), &[0; 4]].concat();
        [&head[..], text.as_bytes()].concat()
    };
    let flood = async {
        writes.write_all(&say(INITIALIZE)).await?;
        for id in 2.. {
            writes
                .write_all(&say(&call(
                    id,
                    "test_custom_header",
                    &json!({"value": "x".repeat(4000)}).to_string(),
                )))
                .await?;
        }
        std::io::Result::Ok(())
    };
    assert!(timeout(Duration::from_mins(1), flood).await?.is_err(), "the connection was not closed");
    let grown = gateway.memory()?.saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB more");
    // Others do not notice.
    let mut other = Ws::open(gateway.address, "/mcp/open", None).await?;
    other.initialize().await
}

#[tokio::test]
async fn wrong_frames_are_closed_with_their_code() -> Result {
    let (gateway, _server) = site_with("  max_message_bytes: 64KiB\n").await?;
    let mcp = [("sec-websocket-protocol", "mcp")];
    let too_big = [&[0x81, 0xff][..], &100_000u64.to_be_bytes(), &[0; 4]].concat();
    for (wrong, code) in [
        (&[0x81, 2, b'{', b'}'][..], 1002u16),
        (&[0xc1, 0x82, 0, 0, 0, 0, b'{', b'}'], 1002),
        (&[0x82, 0x82, 0, 0, 0, 0, b'{', b'}'], 1003),
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
        (&too_big, 1009),
    ] {
        let io = upgrade(gateway.address, "/mcp/open", &mcp).await?;
        let mut io = io.map_err(|(status, _)| status.to_string())?;
        io.write_all(wrong).await?;
        let mut answer = Vec::new();
        timeout(STEP, io.read_to_end(&mut answer)).await??;
        assert_eq!(answer.get(2..4), Some(&code.to_be_bytes()[..]), "{wrong:?}");
    }
    // A message in pieces is one.
    let io = upgrade(gateway.address, "/mcp/open", &mcp).await?;
    let mut io = io.map_err(|(status, _)| status.to_string())?;
    let (first, rest) = INITIALIZE.as_bytes().split_at(100);
    io.write_all(&[&[0x01, 0x80 | 0x64, 0, 0, 0, 0], first].concat()).await?;
    io.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await?;
    io.write_all(&[&[0x80, 0x80 | rest.len() as u8, 0, 0, 0, 0], rest].concat()).await?;
    let mut answer = Vec::new();
    while !answer.windows(8).any(|window| window == b"\"result\"") {
        assert!(timeout(STEP, io.read_buf(&mut answer)).await?? > 0, "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn whoever_answers_pings_is_kept_and_whoever_is_silent_is_not() -> Result {
    let (gateway, _server) = site_with("  websocket: {ping_interval: 1s}\n").await?;
    let mut kept = Ws::open(gateway.address, "/mcp/open", None).await?;
    kept.initialize().await?;
    let mcp = [("sec-websocket-protocol", "mcp")];
    let io = upgrade(gateway.address, "/mcp/open", &mcp).await?;
    let mut silent = io.map_err(|(status, _)| status.to_string())?;
    let began = Instant::now();
    let mut heard = Vec::new();
    tokio::select! {
        read = timeout(STEP, silent.read_to_end(&mut heard)) => drop(read??),
        // It answers its pings while it waits.
        message = kept.next() => panic!("{message:?}"),
    }
    assert!(began.elapsed() >= Duration::from_millis(2400) && began.elapsed() < Duration::from_secs(10));
    kept.say(&call(9, "whoami", "{}")).await?;
    assert_eq!(kept.next().await?.map_err(|code| code.to_string())?["id"], 9);
    Ok(())
}

#[tokio::test]
async fn a_drain_under_load_ends_every_conversation_politely() -> Result {
    let (mut gateway, _server) = site().await?;
    let (mut sockets, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let mut ws = Ws::open(gateway.address, "/mcp/open", None).await?;
        ws.initialize().await?;
        sockets.push(ws);
        let mut sse = Sse::open(gateway.address, "/mcp/open/sse", None).await?;
        sse.initialize(gateway.address).await?;
        streams.push(sse);
    }
    let ends: Vec<_> = sockets
        .into_iter()
        .map(|mut ws| {
            tokio::spawn(async move {
                for id in 2.. {
                    if ws.say(&call(id, "whoami", "{}")).await.is_err() {
                        break;
                    }
                    match ws.next().await {
                        Ok(Ok(answer)) if answer["id"] == id => {}
                        Ok(Err(code)) => return (code, Instant::now()),
                        other => panic!("{other:?}"),
                    }
                }
                match ws.next().await {
                    Ok(Err(code)) => (code, Instant::now()),
                    other => panic!("{other:?}"),
                }
            })
        })
        .collect();
    gateway.signal(Signal::SIGTERM)?;
    let began = Instant::now();
    let mut moments = Vec::new();
    for end in ends {
        let (code, at) = timeout(STEP, end).await??;
        assert_eq!(code, 1012);
        moments.push(at.duration_since(began));
    }
    for mut stream in streams {
        let (name, pause) = stream.next().await?.ok_or("the stream ended without a word")?;
        assert_eq!(name, "retry");
        assert!((1_000..10_000).contains(&pause.parse::<u64>()?), "{pause}");
        assert_eq!(stream.next().await?, None);
    }
    assert!(gateway.ended(Duration::from_secs(20)).await?.success());
    moments.sort();
    let spread = moments[moments.len() - 1].saturating_sub(moments[0]);
    assert!(spread > Duration::from_millis(500), "all at once: {moments:?}");
    Ok(())
}

#[tokio::test]
async fn a_conversation_leaves_one_record_and_no_name() -> Result {
    let (gateway, _server) = site().await?;
    let mut sse = Sse::open(gateway.address, "/mcp/open/sse", None).await?;
    sse.initialize(gateway.address).await?;
    let secret = sse.endpoint.rsplit('=').next().unwrap_or_default().to_owned();
    let mut ws = Ws::open(gateway.address, "/mcp/open", None).await?;
    ws.initialize().await?;
    drop((sse, ws));
    let log = gateway.folder().join("access.log");
    let written = async || {
        let text = std::fs::read_to_string(&log).ok()?;
        let upgrades = text.lines().filter(|line| line.contains("\"status\":101")).count();
        let streams = text.lines().filter(|line| line.contains("\"path\":\"/mcp/open/sse\"")).count();
        (upgrades >= 1 && streams >= 1).then_some((text.clone(), upgrades, streams))
    };
    let (text, upgrades, streams) = wait::until("the records are written", STEP, written).await?;
    assert_eq!((upgrades, streams), (1, 1), "{text}");
    assert!(!text.contains(&secret) && !gateway.log().contains(&secret));
    Ok(())
}
