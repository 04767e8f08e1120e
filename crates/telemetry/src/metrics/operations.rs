//! MCP operations by the semantic conventions: `mcp.server.*` towards clients, `mcp.client.*` towards servers.
//!
//! Combinations of labels are too many to make all of them beforehand, and most never happen: a series is made with its first event.
//! After that an operation costs a walk over a few links, and for a tool one look into a table of those that have a label. There is no
//! lock and no allocation. A name gets a label when its first call went well: what was only ever refused is a name that a client
//! made up.

use super::{
    Counter, Histogram, Label, Metric, Registry, Scope, Verdict,
    label::label,
    operation_names::{Chain, Names, is_plain},
    verdict::OperationError,
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

label! {
    /// `mcp.method.name`. A closed list: a client cannot make series by inventing methods.
    pub enum OperationMethod {
        /// `initialize`.
        Initialize => "initialize",
        /// `server/discover`.
        Discover => "server/discover",
        /// `ping`.
        Ping => "ping",
        /// `tools/list`.
        ToolsList => "tools/list",
        /// `tools/call`.
        ToolsCall => "tools/call",
        /// `prompts/list`.
        PromptsList => "prompts/list",
        /// `prompts/get`.
        PromptsGet => "prompts/get",
        /// `resources/list`.
        ResourcesList => "resources/list",
        /// `resources/templates/list`.
        TemplatesList => "resources/templates/list",
        /// `resources/read`.
        ResourcesRead => "resources/read",
        /// `resources/subscribe`.
        Subscribe => "resources/subscribe",
        /// `resources/unsubscribe`.
        Unsubscribe => "resources/unsubscribe",
        /// `subscriptions/listen`.
        Listen => "subscriptions/listen",
        /// `completion/complete`.
        Complete => "completion/complete",
        /// `logging/setLevel`.
        SetLevel => "logging/setLevel",
        /// `tasks/get`.
        TasksGet => "tasks/get",
        /// `tasks/list`.
        TasksList => "tasks/list",
        /// `tasks/result`.
        TasksResult => "tasks/result",
        /// `tasks/update`.
        TasksUpdate => "tasks/update",
        /// `tasks/cancel`.
        TasksCancel => "tasks/cancel",
        /// `notifications/initialized`.
        Initialized => "notifications/initialized",
        /// `notifications/cancelled`.
        Cancelled => "notifications/cancelled",
        /// `notifications/progress`.
        Progress => "notifications/progress",
        /// `notifications/roots/list_changed`.
        RootsChanged => "notifications/roots/list_changed",
        /// Any other.
        Other => "_OTHER",
    }
}

label! {
    /// `mcp.protocol.version`.
    pub enum OperationVersion {
        /// Not told, or not agreed on yet.
        Unknown => "",
        /// HTTP+SSE and stdio.
        V2024_11_05 => "2024-11-05",
        /// Streamable HTTP.
        V2025_03_26 => "2025-03-26",
        /// The version header.
        V2025_06_18 => "2025-06-18",
        /// Polling.
        V2025_11_25 => "2025-11-25",
        /// Stateless.
        V2026_07_28 => "2026-07-28",
    }
}

impl OperationMethod {
    /// The label of a method.
    pub fn of(method: &[u8]) -> Self {
        // Few begin alike, and a length tells most others apart: cheaper than a hash.
        let same = |label: &&Self| label.as_str().as_bytes() == method;
        Self::ALL.iter().find(same).copied().unwrap_or(Self::Other)
    }
}

impl OperationVersion {
    /// The label of a version.
    pub fn of(version: &str) -> Self {
        Self::ALL.iter().find(|label| label.as_str() == version).copied().unwrap_or(Self::Unknown)
    }
}

/// One operation that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    /// Its method.
    pub method: OperationMethod,
    /// Tool or prompt, as it stands between the quotes of the message; empty = none.
    pub name: &'a [u8],
    /// Of the message.
    pub version: OperationVersion,
    /// Over a pipe, not over a network.
    pub piped: bool,
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
}

/// A session that has ended.
#[derive(Clone, Copy, Debug)]
pub struct SessionOf {
    /// Of the session.
    pub version: OperationVersion,
    /// Over a pipe, not over a network.
    pub piped: bool,
    /// Why it ended, if that was an error; else empty. A word that the program chose.
    pub error: &'static str,
    /// How long it was open.
    pub took: Duration,
}

/// All servers. Outlives snapshots, so that a reload forgets no series.
#[derive(Debug)]
pub struct Operations {
    registry: Registry,
    /// Names that may still get a label.
    left: Arc<AtomicUsize>,
    servers: Mutex<HashMap<Box<str>, Weak<ServerOperations>>>,
}

impl Operations {
    /// At most `names_max` tools and prompts of all servers together have a label.
    pub fn new(registry: &Registry, names_max: usize) -> Self {
        Self {
            registry: registry.clone(),
            left: Arc::new(AtomicUsize::new(names_max)),
            servers: Mutex::default(),
        }
    }

    /// What counts for a server; the same for as long as anybody holds it.
    pub fn server(&self, name: &str) -> Arc<ServerOperations> {
        let mut servers = self.servers.lock();
        if let Some(known) = servers.get(name).and_then(Weak::upgrade) {
            return known;
        }
        servers.retain(|_, server| server.strong_count() > 0);
        let made = Arc::new(ServerOperations::new(&self.registry, name, &self.left));
        servers.insert(name.into(), Arc::downgrade(&made));
        made
    }
}

/// What counts for one server.
#[derive(Debug)]
pub struct ServerOperations {
    server: Box<str>,
    unnamed: Box<[Sides]>,
    tools: Names,
    prompts: Names,
    sessions: Sides,
    left: Arc<AtomicUsize>,
    /// Operations whose name has no label for want of room.
    unlabelled: Counter,
    scope: Mutex<Scope>,
}

/// Towards clients and towards servers.
#[derive(Debug, Default)]
struct Sides {
    served: Chain,
    sent: Chain,
}

#[derive(Clone, Copy)]
enum Side {
    Served,
    Sent,
}

impl ServerOperations {
    fn new(registry: &Registry, server: &str, left: &Arc<AtomicUsize>) -> Self {
        let mut scope = registry.scope();
        Self {
            server: server.into(),
            unnamed: OperationMethod::ALL.iter().map(|_| Sides::default()).collect(),
            tools: Names::default(),
            prompts: Names::default(),
            sessions: Sides::default(),
            left: Arc::clone(left),
            unlabelled: scope.counter(Metric::McpNamesUnlabelled, &[server]),
            scope: Mutex::new(scope),
        }
    }

    /// A client's message was answered.
    pub fn served(&self, operation: &Operation<'_>) {
        self.count(Side::Served, operation);
    }

    /// A message to the server was answered, or will not be.
    pub fn sent(&self, operation: &Operation<'_>) {
        self.count(Side::Sent, operation);
    }

    /// A client's session ended.
    pub fn session_served(&self, session: SessionOf) {
        self.session(&self.sessions.served, Metric::McpServerSessions, session);
    }

    /// A session with the server ended.
    pub fn session_sent(&self, session: SessionOf) {
        self.session(&self.sessions.sent, Metric::McpClientSessions, session);
    }

    fn count(&self, side: Side, operation: &Operation<'_>) {
        let error = operation.verdict.error();
        let key = key(error.index(), operation.version, operation.piped);
        let names = match operation.method {
            OperationMethod::ToolsCall => Some(&self.tools),
            OperationMethod::PromptsGet => Some(&self.prompts),
            _ => None,
        };
        let named = names.filter(|_| is_plain(operation.name)).and_then(|names| {
            names.get(operation.name).or_else(|| {
                // Only what a server has: see the module.
                if error.index() != OperationError::None.index() {
                    return None;
                }
                let named = names.admit(operation.name, &self.left);
                if named.is_none() {
                    self.unlabelled.inc();
                }
                named
            })
        });
        let (chain, label) = match (named, side) {
            (Some(named), Side::Served) => (&named.served, &*named.name),
            (Some(named), Side::Sent) => (&named.sent, &*named.name),
            (None, side) => {
                let sides = &self.unnamed[operation.method.index()];
                let chain = match side {
                    Side::Served => &sides.served,
                    Side::Sent => &sides.sent,
                };
                (chain, if names.is_some() { "_OTHER" } else { "" })
            }
        };
        chain.get(key, || self.operation_series(side, operation, label)).observe(operation.took);
    }

    #[cold]
    fn operation_series(&self, side: Side, operation: &Operation<'_>, name: &str) -> Histogram {
        let metric = match side {
            Side::Served => Metric::McpServerOperations,
            Side::Sent => Metric::McpClientOperations,
        };
        let (tool, prompt, what) = match operation.method {
            OperationMethod::ToolsCall => (name, "", "execute_tool"),
            OperationMethod::PromptsGet => ("", name, ""),
            _ => ("", "", ""),
        };
        let error = operation.verdict.error().as_str();
        let status = if operation.verdict.code.is_some() { error } else { "" };
        let (method, version) = (operation.method.as_str(), operation.version.as_str());
        let transport = transport(operation.piped);
        let labels = [&*self.server, method, tool, prompt, what, error, status, version, transport];
        self.scope.lock().histogram(metric, &labels)
    }

    fn session(&self, chain: &Chain, metric: Metric, session: SessionOf) {
        // Words are few and literals: their length tells them apart well enough where it is checked below.
        let word = SESSION_ERRORS.iter().position(|word| *word == session.error).unwrap_or_default();
        let error = SESSION_ERRORS[word];
        let series = || {
            let (version, transport) = (session.version.as_str(), transport(session.piped));
            self.scope.lock().histogram(metric, &[&self.server, error, version, transport])
        };
        chain.get(key(word, session.version, session.piped), series).observe(session.took);
    }
}

/// Why sessions end; the first is no error.
const SESSION_ERRORS: [&str; 4] = ["", "idle", "expired", "endpoint_gone"];

fn key(error: usize, version: OperationVersion, piped: bool) -> u32 {
    ((error as u32) << 8) | ((version.index() as u32) << 1) | u32::from(piped)
}

/// "It SHOULD be set to `tcp` or `quic` if the transport protocol is HTTP. It SHOULD be set to `pipe` if the transport is stdio."
fn transport(piped: bool) -> &'static str {
    if piped { "pipe" } else { "tcp" }
}

impl Drop for ServerOperations {
    fn drop(&mut self) {
        self.left.fetch_add(self.tools.len() + self.prompts.len(), Relaxed);
    }
}

#[cfg(test)]
#[path = "operations_tests.rs"]
mod tests;
