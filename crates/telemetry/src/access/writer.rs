//! The writer thread.

use super::{AccessMetrics, AccessRecord, MAX_BLOCKS, format::Form};
use holdfast_config as config;
use parking_lot::Mutex;
use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal as _, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

/// The access log of a process: a form and a thread that writes.
#[derive(Debug)]
pub struct AccessLog {
    form: Form,
    queue: SyncSender<Message>,
    metrics: Arc<AccessMetrics>,
    /// Answers once, when the writer has ended.
    ended: Mutex<Receiver<()>>,
}

/// Records of one thread.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    pub(super) records: u64,
}

#[derive(Debug)]
enum Message {
    Block(Block),
    Reopen,
    End,
}

/// Why the access log cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AccessLogError {
    /// The file.
    #[error("observability.access_log.path: cannot append to {}: {source}; check the folder and its owner", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The thread.
    #[error("cannot start the thread that writes the access log: {0}; raise the limit of threads")]
    Thread(io::Error),
}

impl AccessLog {
    /// Opens the file, if one is configured, and starts the writer; `None` if the log is off.
    pub fn start(
        cfg: &config::AccessLog,
        metrics: AccessMetrics,
    ) -> Result<Option<Arc<Self>>, AccessLogError> {
        if !cfg.enabled {
            return Ok(None);
        }
        let terminal = cfg.path.is_none() && io::stdout().is_terminal();
        let form = match cfg.format {
            config::LogFormat::Json => Form::Json,
            config::LogFormat::Text => Form::Text,
            config::LogFormat::Auto => [Form::Json, Form::Text][usize::from(terminal)],
        };
        let sink = match &cfg.path {
            Some(path) => Sink::open(path)?,
            None => Sink::Writer(Box::new(io::stdout())),
        };
        Self::spawn(form, sink, metrics).map(Some)
    }

    /// A log that writes JSON to `writer`.
    pub fn to_writer(
        writer: Box<dyn Write + Send>,
        metrics: AccessMetrics,
    ) -> Result<Arc<Self>, AccessLogError> {
        Self::spawn(Form::Json, Sink::Writer(writer), metrics)
    }

    fn spawn(form: Form, sink: Sink, metrics: AccessMetrics) -> Result<Arc<Self>, AccessLogError> {
        let (queue, messages) = sync_channel(MAX_BLOCKS);
        let (end, ended) = sync_channel(1);
        let metrics = Arc::new(metrics);
        let writer = Writer { messages, sink, metrics: Arc::clone(&metrics), failing: false };
        let run = move || {
            writer.run();
            // Nobody waits: fine.
            let _ = end.try_send(());
        };
        thread::Builder::new().name("access-log".into()).spawn(run).map_err(AccessLogError::Thread)?;
        Ok(Arc::new(Self { form, queue, metrics, ended: Mutex::new(ended) }))
    }

    /// Closes the file and opens it again by its name, after somebody moved it away. Blocks that come before are in
    /// the old file. False if the queue is full: ask again.
    pub fn reopen(&self) -> bool {
        self.queue.try_send(Message::Reopen).is_ok()
    }

    /// Writes what was handed over and ends the writer, waiting at most `limit`. Returns whether all was written.
    pub fn finish(&self, limit: Duration) -> bool {
        let ended = self.ended.lock();
        let deadline = std::time::Instant::now() + limit;
        let mut message = Message::End;
        while let Err(TrySendError::Full(back)) = self.queue.try_send(message) {
            message = back;
            // A full queue means a stuck writer: look again soon, give up at the limit.
            if ended.recv_timeout(Duration::from_millis(5)).is_ok() || std::time::Instant::now() >= deadline {
                return false;
            }
        }
        ended.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now())).is_ok()
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// Never waits: a full queue drops the block and counts its records.
    pub(super) fn hand_over(&self, block: Block) {
        let records = block.records;
        let taken = self.queue.try_send(Message::Block(block)).is_ok();
        if taken { &self.metrics.records } else { &self.metrics.dropped }.inc_by(records);
    }

    /// One record by itself, for the rare callers that are no worker.
    pub fn write_now(&self, record: &AccessRecord) {
        let mut bytes = Vec::with_capacity(512);
        super::format::write(&mut bytes, self.form, &mut super::format::Stamp::default(), record);
        self.hand_over(Block { bytes, records: 1 });
    }
}

enum Sink {
    Writer(Box<dyn Write + Send>),
    File { path: PathBuf, file: Option<File> },
}

impl Sink {
    fn open(path: &Path) -> Result<Self, AccessLogError> {
        let file = append(path).map_err(|source| AccessLogError::Open { path: path.into(), source })?;
        Ok(Self::File { path: path.into(), file: Some(file) })
    }

    /// The old file is closed even if the new one cannot be opened: its name is free to be removed.
    fn reopen(&mut self) -> io::Result<()> {
        if let Self::File { path, file } = self {
            *file = None;
            *file = Some(append(path)?);
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Writer(writer) => writer.write_all(bytes).and_then(|()| writer.flush()),
            Self::File { path, file } => {
                let open = match file.take() {
                    Some(open) => open,
                    None => append(path)?,
                };
                file.insert(open).write_all(bytes)
            }
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

struct Writer {
    messages: Receiver<Message>,
    sink: Sink,
    metrics: Arc<AccessMetrics>,
    failing: bool,
}

impl Writer {
    /// Until `End`, or until nobody can send any more.
    fn run(mut self) {
        while let Ok(message) = self.messages.recv() {
            match message {
                Message::Block(block) => {
                    let result = self.sink.write(&block.bytes);
                    if result.is_err() {
                        self.metrics.dropped.inc_by(block.records);
                    }
                    self.note(result);
                }
                Message::Reopen => {
                    let result = self.sink.reopen();
                    self.note(result);
                }
                Message::End => return,
            }
        }
    }

    /// One line when writing begins to fail and one when it works again, however many blocks that takes.
    fn note(&mut self, result: io::Result<()>) {
        match (result, self.failing) {
            (Err(error), false) => {
                tracing::error!(%error, "the access log cannot be written; records are dropped and counted");
                self.failing = true;
            }
            (Ok(()), true) => {
                tracing::info!("the access log is written again");
                self.failing = false;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
