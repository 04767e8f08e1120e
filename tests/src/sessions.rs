//! Clients that each keep one session for the whole test: short requests between streams that count, and no replacement when a
//! session is lost, because no session may be lost.

use crate::{
    Error, Result,
    load::{Stop, Tally},
    mcp::{Client, Era, Failure},
    streaming::{Story, Streaming},
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// What each of these clients does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where they connect.
    pub address: SocketAddr,
    /// Path of the MCP server.
    pub path: String,
    /// How many.
    pub sessions: usize,
    /// Every how manieth request is a stream.
    pub stream_every: u64,
    /// A stream counts up to here.
    pub count_to: u64,
    /// Pause between its numbers, in ms.
    pub count_ms: u64,
    /// Pause between two requests of one session.
    pub pause: Duration,
}

/// One stream, with when it was under way.
#[derive(Clone, Debug)]
pub struct Told {
    /// Of which session.
    pub session: usize,
    /// Its request was sent.
    pub began: Instant,
    /// Its last connection ended.
    pub ended: Instant,
    /// What it brought.
    pub story: Story,
}

/// What the sessions counted.
#[derive(Debug)]
pub struct Counts {
    /// `tools/list`.
    pub lists: Tally,
    /// Requests that were answered 404 or 400: the session is not known any more.
    pub lost: Tally,
    streams: Mutex<Vec<Told>>,
}

impl Counts {
    /// All streams so far.
    pub fn streams(&self) -> Vec<Told> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Running sessions.
#[derive(Debug)]
pub struct Sessions {
    /// What was counted so far.
    pub counts: Arc<Counts>,
    stop: Arc<Stop>,
    clients: JoinSet<Result>,
}

impl Sessions {
    /// Opens all sessions, then lets them run until [`Sessions::finish`].
    pub async fn start(plan: &Plan) -> Result<Self> {
        let counts = Arc::new(Counts {
            lists: Tally::new("tools/list"),
            lost: Tally::new("session lost"),
            streams: Mutex::default(),
        });
        let mut sessions = Self { counts, stop: Arc::default(), clients: JoinSet::new() };
        for session in 0..plan.sessions {
            let mut client = Client::new(plan.address, &plan.path, Era::Legacy);
            client.open().await.map_err(|why| -> Error { format!("cannot open a session: {why}").into() })?;
            let (counts, stop) = (Arc::clone(&sessions.counts), Arc::clone(&sessions.stop));
            sessions.clients.spawn(live(plan.clone(), session, client, counts, stop));
        }
        Ok(sessions)
    }

    /// Lets every client end what it is in, and gives the counts.
    pub async fn finish(mut self, limit: Duration) -> Result<Arc<Counts>> {
        self.stop.set();
        crate::wait::within("the sessions", limit, async {
            while let Some(ended) = self.clients.join_next().await {
                ended??;
            }
            Ok(())
        })
        .await?;
        Ok(Arc::clone(&self.counts))
    }
}

async fn live(
    plan: Plan,
    session: usize,
    mut client: Client,
    counts: Arc<Counts>,
    stop: Arc<Stop>,
) -> Result {
    let id = client.session().unwrap_or_default().to_owned();
    let streaming = Streaming::new(plan.address, &plan.path, &id);
    // Not all sessions begin to stream at once.
    let mut turn = session as u64;
    while !stop.is_set() {
        turn += 1;
        let began = Instant::now();
        if turn.is_multiple_of(plan.stream_every) {
            // Ids of streams are apart from those of the client's other requests.
            let story = streaming.count_up(1_000_000 + turn, plan.count_to, plan.count_ms).await?;
            let told = Told { session, began, ended: Instant::now(), story };
            counts.streams.lock().unwrap_or_else(PoisonError::into_inner).push(told);
        } else {
            let answer = client.list_tools().await;
            if let Err(Failure::Status(status @ (400 | 404), body)) = &answer {
                let why: std::result::Result<(), _> = Err(format!("status {status}: {body}"));
                counts.lost.count(began, || format!("{session}-{turn}"), why);
            }
            counts.lists.count(began, || format!("{session}-{turn}"), answer);
        }
        tokio::time::sleep(plan.pause).await;
    }
    Ok(())
}
