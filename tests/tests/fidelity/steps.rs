//! What happens in a conversation.

use crate::{
    clients::About,
    pieces::{Slot, Template, Values, decoded},
    rules::{Breaks, Transport},
    scribe::Scribe,
    servers::{Say, Way},
    talk::{Asked, Talk},
};
use holdfast_tests::Result;
use hyper::body::Bytes;

/// Rounds of one session; then a new one begins.
const ROUNDS: usize = 12;
/// Most messages before an answer.
const BEFORE: usize = 4;

/// What the server said and the client has not heard yet.
type Pending = Vec<(Template, Values, Breaks)>;

/// A request in the making.
struct Request {
    message: Template,
    about: About,
    /// It may be asked again elsewhere, so what comes before its answer is held back for a while.
    safe: bool,
}

impl Talk {
    /// Talks until `most` messages were compared, or the session has been long enough.
    pub(crate) async fn run(&mut self, most: usize) -> Result {
        if !self.pair.modern {
            self.open().await?;
        }
        for _ in 0..ROUNDS {
            if self.tally.messages >= most {
                break;
            }
            self.exchange().await?;
            let mut scribe = self.scribe()?;
            if scribe.chance(3) {
                self.notify(&mut scribe).await?;
            }
            match self.pair.modern {
                true if scribe.chance(3) => self.state(&mut scribe).await?,
                true if scribe.chance(3) => self.task(&mut scribe).await?,
                false if scribe.chance(5) => self.unasked(&mut scribe).await?,
                _ => {}
            }
        }
        let mut scribe = self.scribe()?;
        if self.pair.modern && scribe.chance(5) {
            self.subscribe(&mut scribe).await?;
        }
        Ok(())
    }

    pub(crate) fn about(&self, method: &str, name: Option<&str>) -> About {
        let text = |raw: &str| decoded(raw.as_bytes()).unwrap_or_default();
        if self.pair.modern {
            About { modern: Some(text(method)), name: name.map(text), ..About::default() }
        } else {
            About { version: self.version, ..About::default() }
        }
    }

    fn own(&mut self, scribe: &mut Scribe, token: bool) -> Values {
        let mut own = Values::from([(Slot::Id, self.id(scribe))]);
        if token {
            own.insert(Slot::Token, self.id(scribe));
        }
        own
    }

    /// The handshake.
    async fn open(&mut self) -> Result {
        let mut scribe = self.scribe()?;
        let version = scribe.version();
        let agreed = || Template::text(format!("\"{version}\""));
        let capabilities = scribe.object(Vec::new(), 2);
        let name = Template::text(scribe.text());
        let info = scribe.object(vec![("name", name), ("version", Template::text("\"1\""))], 2);
        let members = vec![
            ("protocolVersion", agreed()),
            ("capabilities", capabilities.clone()),
            ("clientInfo", info.clone()),
        ];
        let own = self.own(&mut scribe, false);
        let initialize = scribe.request("\"initialize\"", members, false, false);
        let (way, renamed) = self.say(&initialize, &own, &About::default()).await?;
        let members =
            vec![("protocolVersion", agreed()), ("capabilities", capabilities), ("serverInfo", info)];
        let answer = scribe.result(Slot::Id, members);
        let answer = answer.said(self.pair.server.server_says(false));
        way.send(Say::Opened(answer.fill(&renamed)?)).map_err(|_| "nobody takes the handshake")?;
        let breaks = crate::rules::towards_client(self.pair.client, true);
        self.hear(&answer, (&renamed, &own), breaks).await?;
        self.version = Some(version);
        let initialized = scribe.note("\"notifications/initialized\"", Vec::new(), false);
        let about = self.about("\"\"", None);
        let (accepted, _) = self.say(&initialized, &Values::new(), &about).await?;
        let _ = accepted.send(Say::Accepted);
        self.client.listen(&about);
        if self.pair.server == Transport::Http {
            self.listening().await?;
        } else {
            self.unasked = Some(way);
        }
        Ok(())
    }

    fn request(&mut self, scribe: &mut Scribe, token: bool) -> Request {
        let modern = self.pair.modern;
        let (name, value) = (scribe.text(), scribe.object(Vec::new(), 3));
        let named = |key| vec![(key, Template::text(name.clone())), ("arguments", value)];
        let (method, params, key, safe) = match scribe.rng.u8(..10) {
            0..5 => ("\"tools/call\"".to_owned(), named("name"), true, false),
            5 => ("\"prompts/get\"".to_owned(), named("name"), true, true),
            6 => ("\"resources/read\"".to_owned(), named("uri"), true, true),
            7 => ("\"tools/list\"".to_owned(), Vec::new(), false, true),
            _ if modern => (format!("\"x/{}\"", scribe.rng.u32(..)), Vec::new(), false, false),
            _ => (scribe.odd_method(), Vec::new(), false, false),
        };
        let about = self.about(&method, key.then_some(&name));
        Request { message: scribe.request(&method, params, token, modern), about, safe }
    }

    /// A request, what comes before its answer, and the answer.
    async fn exchange(&mut self) -> Result {
        let mut scribe = self.scribe()?;
        let scribe = &mut scribe;
        let token = scribe.chance(5);
        let own = self.own(scribe, token);
        let request = self.request(scribe, token);
        let (way, renamed) = self.say(&request.message, &own, &request.about).await?;
        let mut asked = Asked { way, own, renamed, begun: false };
        if scribe.chance(2) {
            // Every writer of JSON has a way of its own to write a string, and none of them minds.
            asked.renamed.insert(Slot::Id, respelt(&asked.renamed[&Slot::Id]));
        }
        if !self.pair.modern && scribe.chance(1) {
            self.cancel(scribe, &asked, &request.about).await?;
        }
        let mut pending = Pending::new();
        for _ in 0..scribe.rng.usize(..BEFORE) {
            if !self.pair.modern && !request.safe && scribe.chance(3) {
                asked.begun = true;
                self.catch_up(&mut pending, &asked.own).await?;
                self.question(scribe, &asked.way, &asked.own).await?;
            } else if let Some(note) = self.note_before(scribe, token) {
                asked.begun = true;
                let (note, breaks) = self.tell(&asked.way, &note, &asked.renamed)?;
                pending.push((note, asked.renamed.clone(), breaks));
            }
        }
        // What is held back comes with the answer.
        if !request.safe {
            self.catch_up(&mut pending, &asked.own).await?;
        }
        let answer = scribe.answer(Slot::Id, self.pair.modern.then_some("complete"));
        let as_json = scribe.chance(5);
        if pending.is_empty() {
            let renamed = asked.renamed.clone();
            self.answer(asked, &answer, &renamed, as_json).await?;
            return Ok(());
        }
        let (answer, breaks) = self.tell(&asked.way, &answer, &asked.renamed)?;
        drop(asked.way);
        pending.push((answer, asked.renamed.clone(), breaks));
        self.catch_up(&mut pending, &asked.own).await
    }

    async fn catch_up(&mut self, pending: &mut Pending, own: &Values) -> Result {
        for (message, sent, breaks) in pending.drain(..) {
            self.hear(&message, (&sent, own), breaks).await?;
        }
        Ok(())
    }

    /// A notification before an answer, where there is one that finds its way.
    fn note_before(&self, scribe: &mut Scribe, token: bool) -> Option<Template> {
        let number = Template::text("123456789012345678901234567890.10");
        let progress = vec![("progressToken", Template::hole(Slot::Token)), ("progress", number)];
        if token && scribe.chance(5) {
            return Some(scribe.note("\"notifications/progress\"", progress, false));
        }
        // On a link that is shared, what names no request is nobody's.
        if self.pair.modern && self.pair.server != Transport::Http {
            return None;
        }
        let data = Template::text(scribe.value());
        let level = Template::text("\"info\"");
        Some(if scribe.chance(5) {
            scribe.note("\"notifications/message\"", vec![("level", level), ("data", data)], false)
        } else {
            let method = scribe.odd_method();
            scribe.note(&method, vec![("data", data)], false)
        })
    }

    /// The client cancels, and the server answers all the same.
    async fn cancel(&mut self, scribe: &mut Scribe, asked: &Asked, about: &About) -> Result {
        let reason = Template::text(scribe.text());
        let members = vec![("requestId", Template::hole(Slot::Id)), ("reason", reason)];
        let note = scribe.note("\"notifications/cancelled\"", members, false);
        let own = Values::from([(Slot::Id, asked.own[&Slot::Id].clone())]);
        let (way, _) = self.say(&note, &own, about).await?;
        let _ = way.send(Say::Accepted);
        Ok(())
    }

    /// The server asks; the client answers, or the server takes it back.
    async fn question(&mut self, scribe: &mut Scribe, way: &Way, own: &Values) -> Result {
        let id = self.id(scribe);
        let sent = Values::from([(Slot::Question, id.clone())]);
        let question = scribe.question();
        let (question, breaks) = self.tell(way, &question, &sent)?;
        let wrapped = self.hear(&question, (&sent, own), breaks).await?;
        if scribe.chance(2) {
            let members = vec![("requestId", Template::hole(Slot::Question))];
            let note = scribe.note("\"notifications/cancelled\"", members, false);
            let (note, breaks) = self.tell(way, &note, &sent)?;
            let again = self.hear(&note, (&sent, own), breaks).await?;
            return same(&again[&Slot::Question], &wrapped[&Slot::Question], "a question's name");
        }
        let answer = scribe.answer(Slot::Question, None);
        let about = self.about("\"\"", None);
        let answer = answer.said(self.pair.client.client_says());
        self.client.say(answer.fill(&wrapped)?, &about).await?;
        self.answered(&answer, &sent).await
    }

    /// The server says something that nobody asked for.
    async fn unasked(&mut self, scribe: &mut Scribe) -> Result {
        let Some(way) = self.unasked.clone() else { return Ok(()) };
        if scribe.chance(4) {
            return self.question(scribe, &way, &Values::new()).await;
        }
        let method = if scribe.chance(5) {
            "\"notifications/tools/list_changed\"".to_owned()
        } else {
            scribe.odd_method()
        };
        let note = scribe.note(&method, Vec::new(), false);
        let (note, breaks) = self.tell(&way, &note, &Values::new())?;
        self.hear(&note, (&Values::new(), &Values::new()), breaks).await?;
        Ok(())
    }

    /// The client says something that has no answer.
    async fn notify(&mut self, scribe: &mut Scribe) -> Result {
        let modern = self.pair.modern;
        let method = if modern { format!("\"x/{}\"", scribe.rng.u32(..)) } else { scribe.odd_method() };
        let about = self.about(&method, None);
        let data = Template::text(scribe.value());
        let note = scribe.note(&method, vec![("data", data)], modern);
        let (way, _) = self.say(&note, &Values::new(), &about).await?;
        let _ = way.send(Say::Accepted);
        Ok(())
    }

    /// A modern request whose first answer asks for input: `requestState` comes back with it.
    async fn state(&mut self, scribe: &mut Scribe) -> Result {
        let state = Bytes::from(scribe.text());
        let members =
            vec![("requestState", Template::hole(Slot::State)), ("inputRequests", Template::text("{}"))];
        let seal = self.sealed(scribe, "input_required", members, (Slot::State, state.clone())).await?;
        let name = scribe.text();
        let responses = scribe.object(Vec::new(), 2);
        let params = vec![
            ("name", Template::text(name.clone())),
            ("requestState", Template::hole(Slot::State)),
            ("inputResponses", responses),
        ];
        let message = scribe.request("\"tools/call\"", params, false, true);
        let mut own = self.own(scribe, false);
        own.insert(Slot::State, seal);
        let about = self.about("\"tools/call\"", Some(&name));
        let (way, renamed) = self.say(&message, &own, &about).await?;
        same_text(&renamed[&Slot::State], &state)?;
        let answer = scribe.answer(Slot::Id, Some("complete"));
        let asked = Asked { way, own, renamed: renamed.clone(), begun: false };
        self.answer(asked, &answer, &renamed, true).await?;
        Ok(())
    }

    /// A modern request that becomes a task, and a look at the task.
    async fn task(&mut self, scribe: &mut Scribe) -> Result {
        let task = Bytes::from(scribe.text());
        let members = vec![("taskId", Template::hole(Slot::Task)), ("status", Template::text("\"working\""))];
        let seal = self.sealed(scribe, "task", members, (Slot::Task, task.clone())).await?;
        let message =
            scribe.request("\"tasks/get\"", vec![("taskId", Template::hole(Slot::Task))], false, true);
        let mut own = self.own(scribe, false);
        own.insert(Slot::Task, seal.clone());
        let about = self.about("\"tasks/get\"", Some(&String::from_utf8(seal.to_vec())?));
        let (way, renamed) = self.say(&message, &own, &about).await?;
        same_text(&renamed[&Slot::Task], &task)?;
        let members =
            vec![("taskId", Template::hole(Slot::Task)), ("resultType", Template::text("\"complete\""))];
        let answer = scribe.result(Slot::Id, members);
        // The server writes its own id in its own way.
        let mut sent = renamed.clone();
        sent.insert(Slot::Task, task);
        let asked = Asked { way, own, renamed, begun: false };
        let heard = self.answer(asked, &answer, &sent, true).await?;
        same_text(&heard[&Slot::Task], &seal)
    }

    /// A call whose answer holds a value that the client keeps for the server. Gives it as the client got it.
    async fn sealed(
        &mut self,
        scribe: &mut Scribe,
        kind: &str,
        mut members: Vec<(&'static str, Template)>,
        (slot, value): (Slot, Bytes),
    ) -> Result<Bytes> {
        let name = scribe.text();
        let about = self.about("\"tools/call\"", Some(&name));
        let message =
            scribe.request("\"tools/call\"", vec![("name", Template::text(name.clone()))], false, true);
        let own = self.own(scribe, false);
        let (way, renamed) = self.say(&message, &own, &about).await?;
        members.push(("resultType", Template::text(format!("\"{kind}\""))));
        let answer = scribe.result(Slot::Id, members);
        let mut sent = renamed.clone();
        sent.insert(slot, value);
        let asked = Asked { way, own, renamed, begun: false };
        let as_json = scribe.chance(5);
        Ok(self.answer(asked, &answer, &sent, as_json).await?[&slot].clone())
    }
}

/// The same id in another spelling, if it is a string that begins with a letter.
fn respelt(id: &Bytes) -> Bytes {
    match &id[..] {
        [b'"', letter, rest @ ..] if letter.is_ascii_alphabetic() => {
            [format!("\"\\u{letter:04x}").as_bytes(), rest].concat().into()
        }
        _ => id.clone(),
    }
}

fn same(one: &Bytes, other: &Bytes, what: &str) -> Result {
    if one == other { Ok(()) } else { Err(format!("{what} is {one:?}, and was {other:?}").into()) }
}

/// Equal strings, whatever way they are written.
fn same_text(one: &Bytes, other: &Bytes) -> Result {
    if decoded(one) == decoded(other) {
        return Ok(());
    }
    Err(format!("the text is {one:?}, and was {other:?}").into())
}
