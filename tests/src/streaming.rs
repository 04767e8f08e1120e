//! A client of one session that reads event streams as they come and takes them up again as 2025-11-25 lets it: by GET with
//! `Last-Event-ID`, with the pauses and the number of attempts that the SDKs have by default.

use crate::{Error, Result, mcp::LEGACY};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::net::TcpStream;

/// Pause before a stream is taken up again, and how often that is tried (the defaults of the Python and TypeScript SDKs).
const RESUME_AFTER: Duration = Duration::from_secs(1);
const RESUMES_MAX: usize = 2;
/// Without an answer for this long after it could have come, a stream counts as lost.
const PATIENCE: Duration = Duration::from_secs(40);

/// What a stream brought, over all its resumptions.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// Progress numbers in the order in which they came, and whether the event had an id.
    pub told: Vec<(u64, bool)>,
    /// The text of the answer, or the code of a typed error.
    pub answer: Option<std::result::Result<String, i64>>,
    /// How often it was taken up again.
    pub resumed: usize,
    /// Why it was given up without an answer.
    pub lost: Option<String>,
}

impl Story {
    /// Numbers that came more than once, or not in order.
    pub fn repeated(&self) -> usize {
        self.told.windows(2).filter(|pair| pair[1].0 <= pair[0].0).count()
    }

    /// Numbers up to the last one told that never came.
    pub fn missing(&self) -> u64 {
        let last = self.told.last().map_or(0, |(number, _)| *number);
        last.saturating_sub(self.told.len() as u64)
    }
}

/// How one connection of a stream ended.
enum Ended {
    Answered,
    /// Refused, torn, or closed without an answer.
    Unanswered(String),
}

/// One session whose streams are read as they come.
#[derive(Clone, Debug)]
pub struct Streaming {
    address: SocketAddr,
    path: String,
    session: String,
    resumes_at: SocketAddr,
    leaves_after: Option<usize>,
}

impl Streaming {
    /// A client of `session` at the MCP endpoint `path` of `address`.
    pub fn new(address: SocketAddr, path: &str, session: &str) -> Self {
        let (path, session) = (path.to_owned(), session.to_owned());
        Self { address, path, session, resumes_at: address, leaves_after: None }
    }

    /// The same, which takes its streams up again at `other`.
    #[must_use]
    pub fn resumes_at(self, other: SocketAddr) -> Self {
        Self { resumes_at: other, ..self }
    }

    /// The same, which closes the first connection of a stream after `events` numbers.
    #[must_use]
    pub fn leaves_after(self, events: usize) -> Self {
        Self { leaves_after: Some(events), ..self }
    }

    /// Calls `count_up` and follows its stream to the answer. Errors are those of the test itself.
    pub async fn count_up(&self, id: u64, to: u64, ms: u64) -> Result<Story> {
        let mut reader = Reader { id, story: Story::default(), last: None, leaves_after: self.leaves_after };
        let limit = Duration::from_millis(to * ms) + PATIENCE;
        match tokio::time::timeout(limit, self.follow(&mut reader, to, ms)).await {
            Ok(followed) => followed?,
            Err(_) => reader.story.lost = Some(format!("no answer within {limit:?}")),
        }
        Ok(reader.story)
    }

    async fn follow(&self, reader: &mut Reader, to: u64, ms: u64) -> Result {
        let id = reader.id;
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": "count_up", "arguments": {"to": to, "ms": ms}, "_meta": {"progressToken": format!("p{id}")}
        }});
        let mut ended = self.post(&call, reader).await?;
        let mut attempts = 0;
        loop {
            let why = match ended {
                Ended::Answered => return Ok(()),
                Ended::Unanswered(why) => why,
            };
            let Some(last) = reader.last.clone().filter(|_| attempts < RESUMES_MAX) else {
                reader.story.lost = Some(why);
                return Ok(());
            };
            attempts += 1;
            tokio::time::sleep(RESUME_AFTER).await;
            let before = reader.story.told.len();
            ended = self.get(&last, reader).await?;
            if reader.story.told.len() > before || matches!(ended, Ended::Answered) {
                reader.story.resumed += 1;
                attempts = 0;
            }
        }
    }

    async fn post(&self, call: &Value, reader: &mut Reader) -> Result<Ended> {
        let request = self
            .request(Method::POST)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .body(Full::new(Bytes::from(call.to_string())))?;
        self.exchange(self.address, request, reader).await
    }

    async fn get(&self, last: &str, reader: &mut Reader) -> Result<Ended> {
        let request = self
            .request(Method::GET)
            .header(header::ACCEPT, "text/event-stream")
            .header("last-event-id", last)
            .body(Full::default())?;
        self.exchange(self.resumes_at, request, reader).await
    }

    fn request(&self, method: Method) -> hyper::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(&self.path)
            .header(header::HOST, self.address.to_string())
            .header("mcp-protocol-version", LEGACY)
            .header("mcp-session-id", &self.session)
    }

    async fn exchange(
        &self,
        address: SocketAddr,
        request: Request<Full<Bytes>>,
        reader: &mut Reader,
    ) -> Result<Ended> {
        let connect = async {
            let socket = TcpStream::connect(address).await?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
            let driver = tokio::spawn(connection);
            let answer = sender.send_request(request).await?;
            Ok::<_, Error>((answer, driver))
        };
        let (answer, driver) = match connect.await {
            Ok(connected) => connected,
            Err(why) => return Ok(Ended::Unanswered(why.to_string())),
        };
        let ended = reader.read(answer).await;
        driver.abort();
        ended
    }
}

/// Puts together what the connections of one stream bring.
struct Reader {
    id: u64,
    story: Story,
    last: Option<String>,
    leaves_after: Option<usize>,
}

impl Reader {
    async fn read(&mut self, answer: Response<Incoming>) -> Result<Ended> {
        let (head, mut body) = answer.into_parts();
        if head.status != 200 {
            return Ok(Ended::Unanswered(format!("status {}", head.status)));
        }
        let events = head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
        let mut text = Vec::new();
        loop {
            let frame = match body.frame().await {
                Some(Ok(frame)) => frame,
                Some(Err(why)) => return Ok(Ended::Unanswered(why.to_string())),
                None => break,
            };
            let Ok(data) = frame.into_data() else { continue };
            text.extend_from_slice(&data);
            while let Some(end) = events.then(|| find(&text, b"\n\n")).flatten() {
                let event: Vec<u8> = text.drain(..end + 2).collect();
                if self.event(std::str::from_utf8(&event)?)? {
                    return Ok(Ended::Answered);
                }
                if self.leaves_after.is_some_and(|events| self.story.told.len() >= events) {
                    self.leaves_after = None;
                    return Ok(Ended::Unanswered("left on purpose".to_owned()));
                }
            }
        }
        if !events && self.message(&serde_json::from_slice(&text)?, false)? {
            return Ok(Ended::Answered);
        }
        Ok(Ended::Unanswered("ended without an answer".to_owned()))
    }

    /// True when it was the answer.
    fn event(&mut self, event: &str) -> Result<bool> {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
        let id = field("id:").map(str::to_owned);
        let named = id.is_some();
        if named {
            self.last = id;
        }
        match field("data:").filter(|data| !data.is_empty()) {
            Some(data) => self.message(&serde_json::from_str(data)?, named),
            None => Ok(false),
        }
    }

    fn message(&mut self, message: &Value, named: bool) -> Result<bool> {
        if message["method"] == "notifications/progress" {
            let number = message["params"]["progress"].as_f64().ok_or("progress without a number")?;
            self.story.told.push((number as u64, named));
            return Ok(false);
        }
        if message["id"] != self.id || message.get("method").is_some() {
            return Ok(false);
        }
        let text = message["result"]["content"][0]["text"].as_str().map(str::to_owned);
        let code = message["error"]["code"].as_i64();
        self.story.answer = Some(text.ok_or_else(|| code.unwrap_or_default()));
        Ok(true)
    }
}

fn find(text: &[u8], mark: &[u8]) -> Option<usize> {
    text.windows(mark.len()).position(|window| window == mark)
}
