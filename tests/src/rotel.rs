//! rotel: a receiver of OpenTelemetry data, which prints every span that it gets.

use crate::{Result, place, process::Process, wait};
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// Time it gets to start, and to print what it got.
const LIMIT: Duration = Duration::from_secs(20);

/// A running receiver.
#[derive(Debug)]
pub struct Rotel {
    address: SocketAddr,
    process: Process,
    folder: TempDir,
}

/// One span as it was printed.
#[derive(Clone, Debug, Default)]
pub struct Span {
    /// Trace, 32 digits.
    pub trace: String,
    /// Its id, 16 digits.
    pub id: String,
    /// Its parent's id; empty at the root.
    pub parent: String,
    /// Name.
    pub name: String,
    /// `SERVER` or `CLIENT`.
    pub kind: String,
    /// Whether its status is `ERROR`.
    pub is_error: bool,
    /// Attributes; numbers as they are written.
    pub attributes: BTreeMap<String, String>,
    /// Attributes of whoever sent it.
    pub resource: BTreeMap<String, String>,
}

impl Span {
    /// An attribute; empty if there is none.
    pub fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

impl Rotel {
    /// Starts it on a free port.
    pub async fn start() -> Result<Self> {
        Self::start_at(place::free_address()?).await
    }

    /// Starts it at `address`.
    pub async fn start_at(address: SocketAddr) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(program()?);
        command.arg("start").args(["--exporter", "blackhole", "--debug-log", "traces"]);
        command.args(["--debug-log-verbosity", "detailed", "--otlp-http-endpoint", &address.to_string()]);
        command.args(["--otlp-grpc-endpoint", &place::free_address()?.to_string()]);
        command.arg("--pid-file").arg(folder.path().join("pid"));
        command.arg("--log-file").arg(folder.path().join("agent.log"));
        let process = Process::start("rotel", &mut command, folder.path())?;
        let rotel = Self { address, process, folder };
        let connected = || async { TcpStream::connect(address).await.ok().map(drop) };
        wait::until("rotel takes connections", LIMIT, connected).await?;
        Ok(rotel)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value of `observability.tracing.endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result {
        self.process.kill()
    }

    /// Every span that it got so far.
    pub fn spans(&self) -> Vec<Span> {
        read(&std::fs::read_to_string(log(self.folder.path())).unwrap_or_default())
    }

    /// Waits until what it got is enough for `look`.
    pub async fn until<T>(&self, what: &str, look: impl Fn(&[Span]) -> Option<T>) -> Result<T> {
        wait::until(what, LIMIT, || std::future::ready(look(&self.spans()))).await
    }

    /// Waits until as many spans of requests came as `count` says.
    pub async fn servers(&self, count: usize) -> Result<Vec<Span>> {
        let what = format!("{count} spans of requests have come");
        let spans = self.until(&what, |spans| {
            let of_requests = spans.iter().filter(|span| span.kind == "SERVER").count();
            (of_requests >= count).then(|| spans.to_vec())
        });
        spans.await
    }
}

/// The spans of each trace.
pub fn traces(spans: &[Span]) -> HashMap<&str, Vec<&Span>> {
    let mut traces: HashMap<&str, Vec<&Span>> = HashMap::new();
    for span in spans {
        traces.entry(&span.trace).or_default().push(span);
    }
    traces
}

fn log(folder: &Path) -> PathBuf {
    folder.join("rotel.log")
}

/// The program is in the package's own folder, whatever the version of Python.
fn program() -> Result<PathBuf> {
    let library = place::installed("py-rotel/lib")?;
    let pythons = std::fs::read_dir(&library)?.filter_map(std::result::Result::ok);
    let mut programs = pythons.map(|python| python.path().join("site-packages/rotel/rotel-agent"));
    programs.find(|path| path.is_file()).ok_or_else(|| "rotel is missing: run `./test setup` first".into())
}

/// Spans whose last line has been written: a block is taken for whole when the next one begins, or at the end of a line.
fn read(text: &str) -> Vec<Span> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut spans: Vec<Span> = Vec::new();
    let mut resource = BTreeMap::new();
    let (mut of_span, mut of_resource) = (false, false);
    for line in whole.lines() {
        if let Some((key, value)) = line.trim().strip_prefix("-> ").and_then(|line| line.split_once(": ")) {
            let value = value.split_once('(').map_or(value, |(_, value)| value.trim_end_matches(')'));
            if of_resource {
                resource.insert(key.to_owned(), value.to_owned());
            } else if let Some(span) = spans.last_mut().filter(|_| of_span) {
                span.attributes.insert(key.to_owned(), value.to_owned());
            }
            continue;
        }
        (of_span, of_resource) = match line.trim() {
            "Attributes:" => (true, false),
            "Resource attributes:" => {
                resource.clear();
                (false, true)
            }
            _ => (false, false),
        };
        if line.starts_with("Span #") {
            spans.push(Span { resource: resource.clone(), ..Span::default() });
        }
        let (Some(span), Some((key, value))) =
            (spans.last_mut(), line.split_once(" : ").or_else(|| line.split_once(": ")))
        else {
            continue;
        };
        let value = value.trim();
        match key.trim() {
            "Trace ID" => value.clone_into(&mut span.trace),
            "Parent ID" => value.clone_into(&mut span.parent),
            "ID" => value.clone_into(&mut span.id),
            "Name" => value.clone_into(&mut span.name),
            "Kind" => value.trim_start_matches("SPAN_KIND_").clone_into(&mut span.kind),
            "Status code" => span.is_error = value.ends_with("ERROR"),
            _ => {}
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_spans_are_read() {
        let text = "\
noise at the start
ResourceSpans #0
Resource SchemaURL: \x20
Resource attributes:
     -> service.name: Str(x)
ScopeSpans #0
Span #0
    Trace ID       : 4bf92f3577b34da6a3ce929d0e0e4736
    Parent ID      : \x20
    ID             : 00f067aa0ba902b7
    Name           : tools/call a (b)
    Kind           : SPAN_KIND_SERVER
Start time: 1
    Status code    : STATUS_CODE_ERROR
    Status message : \x20
Attributes:
     -> a.b: Str(v: v)
     -> n: Int(5)
Span #1
    Trace ID       : 4bf92f3577b34da6a3ce929d0e0e4736
    Parent ID      : 00f067aa0ba902b7
    ID             : 00f067aa0ba902b8
    Kind           : SPAN_KIND_CLIENT
    Status code    : STATUS_CODE_UNSET
half a li";
        let spans = read(text);
        assert_eq!(spans.len(), 2);
        assert_eq!((spans[0].get("a.b"), spans[0].get("n")), ("v: v", "5"));
        assert_eq!(
            (spans[0].name.as_str(), spans[0].kind.as_str(), spans[0].is_error),
            ("tools/call a (b)", "SERVER", true)
        );
        assert_eq!((spans[1].parent.as_str(), spans[1].is_error), ("00f067aa0ba902b7", false));
        assert_eq!(spans[1].resource["service.name"], "x");
        assert_eq!(traces(&spans).len(), 1);
    }
}
