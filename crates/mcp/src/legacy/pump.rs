//! Carries the events of an upstream stream into its log, whether a client reads along or not.

use super::translate::Translator;
use crate::{
    caller::{Caller, OpenStream},
    errors::{McpError, Problem},
    exchange::let_end,
    policy::Allowance,
    source::{Event, Source, SourceError},
    state::streams::{End, LiveStream, Resume, SharedLog, Written},
    tally::{Tally, verdict},
    token::LoggedEvent,
};
use bytes::Bytes;
use holdfast_telemetry::metrics::{McpOutcome, StreamKind, Verdict};
use holdfast_upstream::clock::{self, Alarm};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

/// Longer than any process lives: when nothing is due.
const NEVER: Duration = Duration::from_hours(24 * 365);

/// What a pump carries.
pub(crate) enum Carries {
    /// The answer to one request: its raw id, how to count it, and what it may take.
    Answer { id: Bytes, tally: Tally, allowance: Allowance },
    /// Whatever the server says on its own.
    Unasked,
}

/// One upstream stream on its way into a log.
pub(crate) struct Pump {
    pub(crate) caller: Arc<Caller>,
    pub(crate) stream: Arc<LiveStream>,
    pub(crate) translator: Translator,
    pub(crate) carries: Carries,
    /// Where all replicas can read it.
    pub(crate) log: Option<SharedLog>,
}

/// How a pump ended.
enum Stopped {
    Answered(Verdict),
    /// The upstream closed its connection and gave an id to go on by.
    Pausing,
    Broken(Problem),
    /// Another replica carries the stream now.
    Moved,
}

/// Another replica carries the stream now.
struct Fenced;

impl Pump {
    /// Starts a task that carries `events` and then what `source` brings, and ends the stream.
    pub(crate) fn start(self, events: Vec<Event>, source: Source) {
        let (caller, stream) = (Arc::clone(&self.caller), Arc::clone(&self.stream));
        let carried = self.carry(events, source);
        end(caller, stream, carried);
    }

    /// Ends a stream that nobody carries on.
    pub(crate) fn give_up(self, problem: Problem) {
        let (caller, stream) = (Arc::clone(&self.caller), Arc::clone(&self.stream));
        end(caller, stream, self.conclude(Stopped::Broken(problem)));
    }

    /// Carries one source to its end without ending the stream.
    pub(crate) fn carry(
        mut self,
        events: Vec<Event>,
        mut source: Source,
    ) -> impl Future<Output = Ended> + Send {
        // A block holds what it is given once; an async function would hold it twice, for as long as the stream is open.
        async move {
            let kind = match self.carries {
                Carries::Answer { .. } => StreamKind::Post,
                Carries::Unasked => StreamKind::Get,
            };
            let _gauge = OpenStream::new(&self.caller, kind);
            if let Some(log) = self.log.as_mut().filter(|log| log.listens())
                && Box::pin(log.refresh()).await == Written::Fenced
            {
                return Box::pin(self.conclude(Stopped::Moved)).await;
            }
            for event in &events {
                if let Err(Fenced) = self.append(event).await {
                    return Box::pin(self.conclude(Stopped::Moved)).await;
                }
            }
            let answered = self.answered_by(&events);
            drop(events);
            let stopped = match answered {
                Some(outcome) => Stopped::Answered(outcome),
                None => self.follow(&mut source).await,
            };
            match stopped {
                Stopped::Answered(_) => let_end(source),
                Stopped::Pausing | Stopped::Broken(_) | Stopped::Moved => drop(source),
            }
            Box::pin(self.conclude(stopped)).await
        }
    }

    async fn follow(&mut self, source: &mut Source) -> Stopped {
        loop {
            let event = match self.next(source).await {
                Ok(event) => event,
                Err(stopped) => return stopped,
            };
            if self.translator.repeats(&event) {
                continue;
            }
            if let Err(Fenced) = self.append(&event).await {
                return Stopped::Moved;
            }
            if let Some(outcome) = self.answered_by(std::slice::from_ref(&event)) {
                return Stopped::Answered(outcome);
            }
        }
    }

    /// What the server says next, once there is room for it. While it is quiet the shared log is kept alive.
    async fn next(&mut self, source: &mut Source) -> Result<Event, Stopped> {
        let stream = Arc::clone(&self.stream);
        let retention = self.caller.shared.state.streams.retention();
        let until = match &self.carries {
            Carries::Answer { allowance, .. } => Some(allowance.until),
            Carries::Unasked => None,
        };
        let mut event = pin!(async {
            stream.room().await;
            source.next().await
        });
        let mut ended = pin!(over(&stream, until, retention));
        loop {
            let due = self.log.as_ref().map_or_else(never, SharedLog::quiet_until);
            let mut quiet = Alarm::new(due);
            tokio::select! {
                biased;
                event = &mut event => return match event {
                    Ok(Some(event)) => Ok(event),
                    Ok(None) if self.translator.last_upstream_id().is_some() => Err(Stopped::Pausing),
                    Ok(None) | Err(SourceError::Torn) => Err(Stopped::Broken(Problem::UpstreamLost)),
                    Err(SourceError::TooLarge) => Err(Stopped::Broken(Problem::BadUpstream)),
                },
                problem = &mut ended => return Err(Stopped::Broken(problem)),
                () = poll_fn(|cx| quiet.poll(cx)) => {}
            }
            if let Some(log) = &mut self.log
                && Box::pin(log.refresh()).await == Written::Fenced
            {
                return Err(Stopped::Moved);
            }
        }
    }

    async fn append(&mut self, event: &Event) -> Result<(), Fenced> {
        let frame = self.translator.event(event, self.stream.next_sequence(), true);
        if event.id.is_none() && event.data.is_none() {
            // Nothing that a client could miss.
            self.stream.push(frame);
            return Ok(());
        }
        let ends = self.answered_by(std::slice::from_ref(event)).is_some();
        self.put(frame, ends).await
    }

    /// Logged first, then shown: what the server has said is never in this process alone.
    async fn put(&mut self, frame: Bytes, ends: bool) -> Result<(), Fenced> {
        if let Some(log) = &mut self.log {
            let upstream = self.translator.last_upstream_id().cloned();
            let event = LoggedEvent { upstream, ends, event: frame.clone() };
            if Box::pin(log.append(self.stream.next_sequence(), &event)).await == Written::Fenced {
                return Err(Fenced);
            }
        }
        self.stream.push(frame);
        Ok(())
    }

    fn answered_by(&self, events: &[Event]) -> Option<Verdict> {
        let Carries::Answer { id, .. } = &self.carries else { return None };
        let answer = events.iter().rev().find(|event| event.answers(id))?;
        answer.frame.as_ref().map(verdict)
    }

    async fn conclude(mut self, stopped: Stopped) -> Ended {
        let broken = match stopped {
            Stopped::Answered(outcome) => {
                if let Carries::Answer { tally, .. } = self.carries {
                    tally.end(outcome);
                }
                return Ended::With(End::Complete);
            }
            Stopped::Pausing => return self.pause(),
            Stopped::Moved => {
                if let Carries::Answer { tally, .. } = self.carries {
                    // Counted where its answer comes.
                    tally.forget();
                }
                return Ended::With(End::Moved);
            }
            Stopped::Broken(problem) => problem,
        };
        let Carries::Answer { id, tally, .. } = std::mem::replace(&mut self.carries, Carries::Unasked) else {
            return Ended::With(End::Lost);
        };
        // Never a clean end without an answer: the client would wait for ever.
        let error = McpError::new(broken).render(Some(&id));
        let frame = self.translator.own(&error, self.stream.next_sequence());
        if let Err(Fenced) = self.put(frame, true).await {
            tally.forget();
            return Ended::With(End::Moved);
        }
        let late = broken == Problem::Timeout;
        tally.end(if late { McpOutcome::Timeout } else { McpOutcome::UpstreamError });
        Ended::With(End::Complete)
    }

    fn pause(self) -> Ended {
        let awaiting = match self.carries {
            Carries::Answer { id, tally, .. } => {
                // Counted when its answer comes.
                tally.forget();
                Some(id)
            }
            Carries::Unasked => None,
        };
        let upstream_event = self.translator.last_upstream_id().cloned().unwrap_or_default();
        let epoch = self.translator.epoch();
        Ended::Suspended(Box::new(Resume { upstream_event, epoch, awaiting, log: self.log }))
    }
}

/// What becomes of the stream.
pub(crate) enum Ended {
    With(End),
    Suspended(Box<Resume>),
}

fn end(caller: Arc<Caller>, stream: Arc<LiveStream>, carried: impl Future<Output = Ended> + Send + 'static) {
    // Awaited inside of the task it would be there twice: as it came, and as it runs.
    let carried = Box::pin(carried);
    tokio::spawn(async move {
        match carried.await {
            Ended::Suspended(resume) => stream.suspend(*resume),
            Ended::With(end) => stream.finish(end),
        }
        caller.shared.state.streams.finished(stream.id);
    });
}

/// Ends when the stream has to: its answer is overdue, or nobody has read it for `retention`.
async fn over(stream: &LiveStream, until: Option<Instant>, retention: Duration) -> Problem {
    if let Some(until) = until {
        let mut alarm = Alarm::new(until);
        poll_fn(|cx| alarm.poll(cx)).await;
        Problem::Timeout
    } else {
        stream.abandoned(retention).await;
        Problem::UpstreamLost
    }
}

fn never() -> Instant {
    clock::after(clock::now(), NEVER)
}
