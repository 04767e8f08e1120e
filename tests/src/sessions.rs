//! Clients that each keep one session for the whole test: short requests between streams that count, and no replacement when a
//! session is lost, because no session may be lost.

use crate::{
    Error, Result,
    load::{Stop, Tally},
    mcp::{Client, Era, Failure},
    streaming::{Story, Streaming},
};
use std::{
    collections::BTreeMap,
    fmt,
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

/// A stream that ended without its answer.
#[derive(Clone, Debug)]
pub struct Lost {
    /// Of which session.
    pub session: usize,
    /// How it ended.
    pub kind: String,
    /// Events that came.
    pub events: usize,
    /// Whether it was under way where somebody died.
    pub met: bool,
}

/// Stories of streams, judged.
#[derive(Debug, Default)]
pub struct Streams {
    /// Those that came to their answer.
    pub whole: usize,
    /// Of these, those that were taken up again.
    pub resumed: usize,
    /// Events that came more than once, or not in order.
    pub repeated: usize,
    /// Events of those that came to their answer which never came.
    pub missing: u64,
    /// Events of any of them that never came, before one that came.
    pub gaps: u64,
    /// Events without an id: the answer when they could not be logged in time.
    pub unnamed: usize,
    /// Those that came to no answer.
    pub lost: Vec<Lost>,
}

impl Streams {
    /// Judges streams that count up to `count_to`; `met` says whether a stream was under way where somebody died.
    pub fn judge(counts: &Counts, count_to: u64, met: impl Fn(&Told) -> bool) -> Self {
        let mut streams = Self::default();
        for told in counts.streams() {
            let story = &told.story;
            streams.repeated += story.repeated();
            streams.gaps += story.missing();
            streams.unnamed += story.told.iter().filter(|(_, named)| !named).count();
            if story.answer == Some(Ok(count_to.to_string())) {
                streams.whole += 1;
                streams.missing +=
                    story.missing() + (count_to - story.told.last().map_or(0, |(last, _)| *last));
                streams.resumed += usize::from(story.resumed > 0);
                continue;
            }
            let kind = match (&story.answer, &story.lost) {
                (Some(Err(code)), _) => format!("error {code}"),
                (answer, lost) => format!("{answer:?} {lost:?}"),
            };
            let (session, events) = (told.session, story.told.len());
            streams.lost.push(Lost { session, kind, events, met: met(&told) });
        }
        streams
    }

    /// Those that were lost though nobody died where they were under way.
    pub fn innocent(&self) -> Vec<&Lost> {
        self.lost.iter().filter(|lost| !lost.met).collect()
    }
}

impl fmt::Display for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { whole, resumed, repeated, missing, unnamed, lost, .. } = self;
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for lost in lost.iter().filter(|lost| lost.met) {
            *kinds.entry(&lost.kind).or_default() += 1;
        }
        write!(
            f,
            "{whole} streams whole, {resumed} of them taken up again, {repeated} events repeated, {missing} missing, "
        )?;
        write!(f, "{unnamed} without an id; ")?;
        let (met, innocent) = (kinds.values().sum::<usize>(), self.innocent().len());
        write!(
            f,
            "{met} streams were under way where somebody died {kinds:?}, {innocent} were lost otherwise"
        )
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
