//! A subscription of 2026-07-28: what the server says in it, for as long as the client stays.

use crate::{
    pieces::{Slot, Template, Values},
    scribe::Scribe,
    talk::Talk,
};
use holdfast_tests::Result;

/// Written as the gateway writes what several endpoints agreed to.
const FILTER: &str = r#"{"toolsListChanged":true}"#;

impl Talk {
    /// Subscribes and hears what comes. The subscription ends with its client.
    pub(crate) async fn subscribe(&mut self, scribe: &mut Scribe) -> Result {
        let method = "\"subscriptions/listen\"";
        let filter = || ("notifications", Template::text(FILTER));
        let message = scribe.request(method, vec![filter()], false, true);
        let own = Values::from([(Slot::Id, self.id(scribe))]);
        let (way, renamed) = self.say(&message, &own, &self.about(method, None)).await?;
        let acknowledged = "\"notifications/subscriptions/acknowledged\"".to_owned();
        let mut notes = vec![(acknowledged, vec![filter()])];
        for _ in 0..scribe.rng.usize(1..4) {
            let changed = "\"notifications/tools/list_changed\"".to_owned();
            let method = if scribe.chance(5) { changed } else { scribe.odd_method() };
            notes.push((method, Vec::new()));
        }
        for (method, mut params) in notes {
            let members = vec![("io.modelcontextprotocol/subscriptionId", Template::hole(Slot::Id))];
            params.push(("_meta", scribe.object(members, 2)));
            let note = scribe.note(&method, params, false);
            let (note, breaks) = self.tell(&way, &note, &renamed)?;
            self.hear(&note, (&renamed, &own), breaks).await?;
        }
        self.subscribed = Some(way);
        Ok(())
    }
}
