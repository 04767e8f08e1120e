//! Servers that are programs: one process for each link, messages on lines of its standard input and output.
//!
//! A program whose gateway is killed sees the end of its input; one that ignores that is left behind, because nobody is there to end it.
//!
//! A process is the leader of a group of its own, so that what it forks ends with it; what leaves the group by itself (`setsid`) is out
//! of reach. It gets no variable that was not allowed, and no descriptor of Holdfast's own but the three standard ones.

mod ending;
mod lines;
mod pipes;
mod rate;
mod stderr;

use crate::carrier::{Carried, Carrier, Dial};
use ending::Ending;
use futures_util::future::BoxFuture;
use holdfast_config::Command as Config;
use holdfast_telemetry::metrics::LinkMetrics;
use holdfast_upstream::{CallError, EndpointKey};
use pipes::{Input, Output};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit};
use std::{
    ffi::{OsStr, OsString},
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    process::Stdio as Pipe,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    process::Command,
};

/// Runs a program for each link.
pub(crate) struct Stdio {
    server: Arc<str>,
    /// The program at this replica.
    endpoint: EndpointKey,
    program: String,
    args: Vec<String>,
    environment: Vec<(OsString, OsString)>,
    cwd: Option<PathBuf>,
    open_files: u64,
    memory: Option<u64>,
    grace: Duration,
    message_max: usize,
    metrics: Arc<LinkMetrics>,
}

/// Readable once the process has ended, whether it was waited for or not.
pub(super) type Exit = Arc<AsyncFd<OwnedFd>>;

impl Stdio {
    /// A program as it is configured. The variables are those of now.
    pub(crate) fn new(
        server: &str,
        endpoint: EndpointKey,
        config: &Config,
        message_max: usize,
        metrics: &Arc<LinkMetrics>,
    ) -> Self {
        let allowed = std::env::vars_os().filter(|(name, _)| is_allowed(name, &config.env_allow));
        let own = config.env.iter().map(|(name, value)| (name.into(), value.expose().into()));
        Self {
            server: server.into(),
            endpoint,
            program: config.program.clone(),
            args: config.args.clone(),
            environment: allowed.chain(own).collect(),
            cwd: config.cwd.clone(),
            open_files: config.max_open_files.into(),
            memory: config.max_memory.map(|size| size.0),
            grace: config.stop_grace,
            message_max,
            metrics: Arc::clone(metrics),
        }
    }

    fn spawn(&self) -> io::Result<Carried> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command.stdin(Pipe::piped()).stdout(Pipe::piped()).stderr(Pipe::piped());
        let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("it has no process id"))?;
        let exit: Exit = Arc::new(watch(rustix::process::pidfd_open(id, PidfdFlags::empty())?)?);
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(errors)) = pipes else {
            return Err(io::Error::other("it has no pipes"));
        };
        self.limit(id);
        let label = format!("pid {}", id.as_raw_nonzero());
        let errors = stderr::log(errors, Arc::clone(&self.server), label.clone(), Arc::clone(&self.metrics));
        let ending = Ending {
            child,
            id,
            exit: Arc::clone(&exit),
            grace: self.grace,
            errors: tokio::spawn(errors).abort_handle(),
            metrics: Arc::clone(&self.metrics),
            done: false,
        };
        tracing::info!(server = &*self.server, pid = id.as_raw_nonzero(), "a program was started");
        Ok(Carried {
            sink: Box::new(Input(stdin)),
            stream: Box::new(Output::new(
                stdout,
                exit,
                self.message_max,
                (&self.server, &label),
                &self.metrics,
            )),
            closer: Box::new(ending),
            endpoint: self.endpoint.clone(),
            label,
        })
    }

    /// Limits of the process and of what it starts from now on. Set from outside, right after the program began.
    fn limit(&self, id: Pid) {
        let mut limits = vec![(Resource::Core, 0), (Resource::Nofile, self.open_files)];
        limits.extend(self.memory.map(|bytes| (Resource::As, bytes)));
        for (resource, most) in limits {
            let own = rustix::process::getrlimit(resource).maximum;
            let most = Some(own.map_or(most, |own| most.min(own)));
            if let Err(error) =
                rustix::process::prlimit(Some(id), resource, Rlimit { current: most, maximum: most })
            {
                tracing::warn!(server = &*self.server, ?resource, %error, "a program runs without this limit");
            }
        }
    }
}

impl Carrier for Stdio {
    fn open(&self, _: Dial) -> BoxFuture<'_, Result<Carried, CallError>> {
        Box::pin(async {
            self.spawn().map_err(|error| CallError::Connect {
                endpoint: self.endpoint.clone(),
                source: format!("cannot run `{}`: {error}", self.program).into(),
            })
        })
    }

    fn endpoints(&self) -> Vec<EndpointKey> {
        vec![self.endpoint.clone()]
    }

    fn endpoint_count(&self) -> usize {
        1
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe, for types whose descriptor may change; an `OwnedFd`'s does not"
)]
fn watch(process: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(process, Interest::READABLE)
}

/// A `*` at the end of a pattern stands for anything.
fn is_allowed(name: &OsStr, patterns: &[String]) -> bool {
    let name = name.as_encoded_bytes();
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start.as_bytes()),
        None => name == pattern.as_bytes(),
    })
}
