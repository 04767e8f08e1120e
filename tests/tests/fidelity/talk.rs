//! One conversation: what its two peers say, and what each must hear.

use crate::{
    clients::{About, Client, STEP},
    odd::Lots,
    pieces::{Slot, Template, Values, decoded},
    rules::{Breaks, Rule, Tally, Transport, of_slot, towards_client, towards_server},
    scribe::Scribe,
    servers::{Heard, Say, Way},
};
use holdfast_tests::Result;
use hyper::body::Bytes;
use tokio::{sync::mpsc::UnboundedReceiver, time::timeout};

/// Which way messages go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) client: Transport,
    pub(crate) server: Transport,
    pub(crate) modern: bool,
}

impl Pair {
    pub(crate) fn era(self) -> &'static str {
        if self.modern { "modern" } else { "legacy" }
    }
}

/// See the module.
pub(crate) struct Talk {
    pub(crate) pair: Pair,
    pub(crate) client: Client,
    pub(crate) heard: UnboundedReceiver<Heard>,
    pub(crate) tag: String,
    pub(crate) tally: Tally,
    pub(crate) version: Option<&'static str>,
    /// Towards a client that asked for nothing.
    pub(crate) unasked: Option<Way>,
    /// A subscription that goes on until its client is gone.
    pub(crate) subscribed: Option<Way>,
    lots: Lots,
    number: usize,
}

/// A request that the server has.
pub(crate) struct Asked {
    pub(crate) way: Way,
    /// As the client wrote them.
    pub(crate) own: Values,
    /// As the server got them.
    pub(crate) renamed: Values,
    /// Something was said to it before its answer.
    pub(crate) begun: bool,
}

impl Talk {
    pub(crate) fn new(
        pair: Pair,
        client: Client,
        heard: UnboundedReceiver<Heard>,
        tag: String,
        seed: u64,
    ) -> Self {
        Self {
            pair,
            client,
            heard,
            tag,
            tally: Tally::default(),
            version: None,
            unasked: None,
            subscribed: None,
            lots: Lots::new(seed),
            number: 0,
        }
    }

    /// Who writes the next messages.
    pub(crate) fn scribe(&mut self) -> Result<Scribe> {
        Ok(Scribe::new(self.lots.next()?, &self.tag))
    }

    /// An id or token that was not used before.
    pub(crate) fn id(&mut self, scribe: &mut Scribe) -> Bytes {
        self.number += 1;
        scribe.id(self.number).into()
    }

    /// The client says something with these values in its holes; the server must hear it. Gives the way back, and what it heard.
    pub(crate) async fn say(
        &mut self,
        message: &Template,
        values: &Values,
        about: &About,
    ) -> Result<(Way, Values)> {
        let message = message.said(self.pair.client.client_says());
        let said = message.fill(values)?;
        self.client.say(said.clone(), about).await?;
        let (heard, way) = self.at_server(&said).await?;
        let met = message.meet(&heard, towards_server(self.pair.server))?;
        self.count(met.broken);
        for (slot, came) in &met.values {
            let own = &values[slot];
            if came == own {
                continue;
            }
            let rule = of_slot(*slot, self.pair.modern, self.pair.server);
            let fits = match rule {
                // What was sealed is opened again: whoever asked compares the text.
                Some(Rule::SharedIds | Rule::RequestState | Rule::TaskIds) => true,
                Some(Rule::QuestionIds | Rule::LineBreaks) | None => false,
            };
            let Some(rule) = rule.filter(|_| fits) else {
                return Err(format!("{slot:?} is {came:?} at the server, and was {own:?}").into());
            };
            self.tally.used(rule);
        }
        Ok((way, met.values))
    }

    /// The server must hear the client's answer to its question, under the id that it gave.
    pub(crate) async fn answered(&mut self, answer: &Template, sent: &Values) -> Result {
        let (heard, way) = self.at_server(&Bytes::new()).await?;
        let _ = way.send(Say::Accepted);
        let met = answer.meet(&heard, towards_server(self.pair.server))?;
        self.count(met.broken);
        if met.values == *sent {
            return Ok(());
        }
        Err(format!("the answer is to {:?}, and the question was {sent:?}", met.values).into())
    }

    /// What the server hears next is a message.
    async fn at_server(&mut self, said: &Bytes) -> Result<(Bytes, Way)> {
        let said = || String::from_utf8_lossy(said).into_owned();
        loop {
            let heard = tokio::select! {
                heard = timeout(STEP, self.heard.recv()) => heard,
                answer = self.client.next() => {
                    let answer = String::from_utf8_lossy(&answer?).into_owned();
                    return Err(format!("{:?} did not reach the server, but was answered {answer:?}", said()).into());
                }
            };
            match heard {
                Ok(Some(Heard::Message(message, way))) => return Ok((message, way)),
                Ok(Some(Heard::Listening(way))) => self.unasked = Some(way),
                Ok(None) => return Err("the server's side has ended".into()),
                Err(_) => return Err(format!("{:?} did not reach the server within {STEP:?}", said()).into()),
            }
        }
    }

    /// Waits until the server was asked for the stream of what nobody asked for.
    pub(crate) async fn listening(&mut self) -> Result {
        while self.unasked.is_none() {
            match timeout(STEP, self.heard.recv()).await {
                Ok(Some(Heard::Listening(way))) => self.unasked = Some(way),
                other => return Err(format!("the server is not listened to: {other:?}").into()),
            }
        }
        Ok(())
    }

    /// The client must hear this, of which `sent` were the values that the server wrote, and `own` those that are the client's. Gives
    /// what it heard.
    pub(crate) async fn hear(
        &mut self,
        message: &Template,
        (sent, own): (&Values, &Values),
        breaks: Breaks,
    ) -> Result<Values> {
        let heard = self.client.next().await?;
        let met = message.meet(&heard, breaks)?;
        self.count(met.broken);
        for (slot, came) in &met.values {
            let rule = of_slot(*slot, self.pair.modern, self.pair.server);
            let fits = match slot {
                // Back under the names that the client gave.
                Slot::Id | Slot::Token if rule.is_some() => came == &own[slot],
                Slot::Id | Slot::Token => came == &sent[slot],
                Slot::Question => decoded(came).is_some() && came != &sent[slot],
                // Sealed: nothing of the server's own shows.
                Slot::State | Slot::Task => decoded(came).is_some() && decoded(came) != decoded(&sent[slot]),
            };
            if !fits {
                return Err(format!("{slot:?} is {came:?} at the client, and was {:?}", sent[slot]).into());
            }
            if let (Slot::Question | Slot::State | Slot::Task, Some(rule)) = (slot, rule) {
                self.tally.used(rule);
            }
        }
        Ok(met.values)
    }

    fn count(&mut self, broken: usize) {
        self.tally.messages += 1;
        if broken > 0 {
            self.tally.used(Rule::LineBreaks);
        }
    }

    /// The server says something before its answer, or without being asked, and gives what to expect of it.
    pub(crate) fn tell(&self, way: &Way, message: &Template, values: &Values) -> Result<(Template, Breaks)> {
        let message = message.said(self.pair.server.server_says(true));
        way.send(Say::Event(message.fill(values)?)).map_err(|_| "nobody takes what the server says")?;
        Ok((message, towards_client(self.pair.client, false)))
    }

    /// The server answers; the client must hear it.
    pub(crate) async fn answer(
        &mut self,
        asked: Asked,
        message: &Template,
        values: &Values,
        as_json: bool,
    ) -> Result<Values> {
        let http = self.pair.server == Transport::Http;
        // A link gives an answer that stands alone as JSON; over HTTP the server decides.
        let alone = !asked.begun && (as_json || !http);
        let message = message.said(self.pair.server.server_says(!alone));
        let said = message.fill(values)?;
        let say = if alone { Say::Json(said) } else { Say::Event(said) };
        asked.way.send(say).map_err(|_| "nobody takes the answer")?;
        // An event stream ends with it.
        drop(asked.way);
        self.hear(&message, (values, &asked.own), towards_client(self.pair.client, alone)).await
    }
}
