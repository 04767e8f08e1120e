//! Carries the events of an upstream stream into its log, whether a client reads along or not.

use super::translate::Translator;
use crate::{
    caller::{Caller, OpenStream, Tally, verdict},
    errors::{McpError, Problem},
    exchange::let_end,
    source::{Event, Source, SourceError},
    state::streams::{End, LiveStream, Resume},
};
use bytes::Bytes;
use holdfast_telemetry::metrics::{McpOutcome, StreamKind};
use holdfast_upstream::clock;
use std::{sync::Arc, time::Instant};

/// What a pump carries.
pub(crate) enum Carries {
    /// The answer to one request: its raw id, and how to count it.
    Answer { id: Bytes, tally: Tally },
    /// Whatever the server says on its own.
    Unasked,
}

/// One upstream stream on its way into a log.
pub(crate) struct Pump {
    pub(crate) caller: Arc<Caller>,
    pub(crate) stream: Arc<LiveStream>,
    pub(crate) translator: Translator,
    pub(crate) carries: Carries,
}

/// How a pump ended.
enum Stopped {
    Answered(McpOutcome),
    /// The upstream closed its connection and gave an id to go on by.
    Pausing,
    Broken(Problem),
}

impl Pump {
    /// Starts a task that carries `events` and then what `source` brings, and ends the stream.
    pub(crate) fn start(self, events: Vec<Event>, source: Source) {
        let kind = match self.carries {
            Carries::Answer { .. } => StreamKind::Post,
            Carries::Unasked => StreamKind::Get,
        };
        let gauge = OpenStream::new(&self.caller, kind);
        tokio::spawn(async move {
            let (caller, stream) = (Arc::clone(&self.caller), Arc::clone(&self.stream));
            match self.carry(events, source).await {
                Ended::Suspended(resume) => stream.suspend(resume),
                Ended::With(end) => stream.finish(end),
            }
            caller.shared.state.streams.finished(stream.id);
            drop(gauge);
        });
    }

    /// Carries one source to its end without ending the stream.
    pub(crate) async fn carry(mut self, events: Vec<Event>, source: Source) -> Ended {
        for event in &events {
            self.append(event);
        }
        let until = match self.carries {
            Carries::Answer { .. } => Some(self.caller.until),
            Carries::Unasked => None,
        };
        let stopped = match self.answered_by(&events) {
            Some(outcome) => {
                let_end(source);
                Stopped::Answered(outcome)
            }
            None => self.follow(source, until).await,
        };
        self.conclude(stopped)
    }

    async fn follow(&mut self, mut source: Source, until: Option<Instant>) -> Stopped {
        let stream = Arc::clone(&self.stream);
        let retention = self.caller.shared.state.streams.retention();
        loop {
            let event = async {
                stream.room().await;
                source.next().await
            };
            let event = if let Some(until) = until {
                let Ok(event) = clock::timeout_at(until, event).await else {
                    return Stopped::Broken(Problem::Timeout);
                };
                event
            } else {
                tokio::select! {
                    event = event => event,
                    () = stream.abandoned(retention) => return Stopped::Broken(Problem::UpstreamLost),
                }
            };
            match event {
                Ok(Some(event)) => {
                    self.append(&event);
                    if let Some(outcome) = self.answered_by(std::slice::from_ref(&event)) {
                        let_end(source);
                        return Stopped::Answered(outcome);
                    }
                }
                Ok(None) if self.translator.last_upstream_id().is_some() => return Stopped::Pausing,
                Ok(None) | Err(SourceError::Torn) => return Stopped::Broken(Problem::UpstreamLost),
                Err(SourceError::TooLarge) => return Stopped::Broken(Problem::BadUpstream),
            }
        }
    }

    fn append(&mut self, event: &Event) {
        let frame = self.translator.event(event, self.stream.next_sequence(), true);
        self.stream.push(frame);
    }

    fn answered_by(&self, events: &[Event]) -> Option<McpOutcome> {
        let Carries::Answer { id, .. } = &self.carries else { return None };
        let answer = events.iter().rev().find(|event| event.answers(id))?;
        answer.frame.as_ref().map(verdict)
    }

    fn conclude(self, stopped: Stopped) -> Ended {
        match (stopped, self.carries) {
            (Stopped::Answered(outcome), Carries::Answer { tally, .. }) => {
                tally.end(outcome);
                Ended::With(End::Complete)
            }
            (Stopped::Pausing, carries) => {
                let awaiting = match carries {
                    Carries::Answer { id, tally } => {
                        // Counted when its answer comes.
                        tally.forget();
                        Some(id)
                    }
                    Carries::Unasked => None,
                };
                let upstream_event = self.translator.last_upstream_id().cloned().unwrap_or_default();
                Ended::Suspended(Resume { upstream_event, epoch: self.translator.epoch(), awaiting })
            }
            (Stopped::Broken(problem), Carries::Answer { id, tally }) => {
                // Never a clean end without an answer: the client would wait for ever.
                let error = McpError::new(problem).render(Some(&id));
                self.stream.push(self.translator.own(&error, self.stream.next_sequence()));
                let late = problem == Problem::Timeout;
                tally.end(if late { McpOutcome::Timeout } else { McpOutcome::UpstreamError });
                Ended::With(End::Complete)
            }
            (Stopped::Answered(_) | Stopped::Broken(_), Carries::Unasked) => Ended::With(End::Lost),
        }
    }
}

/// What becomes of the stream.
pub(crate) enum Ended {
    With(End),
    Suspended(Resume),
}
