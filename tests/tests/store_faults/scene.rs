//! Replicas under load that share a store, and what one fault after the other does to their clients.

use holdfast_tests::{
    Result,
    gateway::{Config, Gateway},
    load,
    mcp::{Client, Failure},
    trio::{Sum, Trio},
    wait,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Time the replicas get to see a fault, and to be well again after it.
const SETTLE: Duration = Duration::from_mins(1);

/// How a fault looks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    /// `/status` of some replica says that the store is not well.
    Yes,
    /// Connections and commands work; only some answers are not what they should be.
    No,
}

/// A session whose MCP server died.
#[derive(Debug)]
pub(crate) struct Moved {
    client: Client,
    /// The MCP server where it goes on.
    to: String,
}

/// A fault that has begun.
#[derive(Debug)]
pub(crate) struct Fault {
    name: String,
    began: Instant,
    before: Sum,
    seen: Option<Duration>,
    /// Slowest DELETE.
    delete: Duration,
    /// Sessions ended meanwhile.
    ended: Vec<Client>,
    /// A session that had to move meanwhile.
    moved: Option<Moved>,
}

impl Fault {
    /// A session that was ended by other means than those of [`Scene::strike`].
    pub(crate) fn has_ended(&mut self, client: Client) {
        self.ended.push(client);
    }
}

/// One line of the table.
#[derive(Debug)]
struct Row {
    name: String,
    lasted: Duration,
    good: u64,
    bad: u64,
    seen: Option<Duration>,
    delete: Duration,
    moved: bool,
    refused: Duration,
    normal: Duration,
}

/// The arrangement, and the faults it has seen.
pub(crate) struct Scene {
    pub(crate) trio: Trio,
    title: String,
    rows: Vec<Row>,
}

impl Scene {
    /// Starts three replicas whose configuration has `store` besides the routes.
    pub(crate) async fn start(title: &str, store: &str) -> Result<Self> {
        Self::start_with(title, |_, config| config.root(store)).await
    }

    /// The same with a configuration for each replica.
    pub(crate) async fn start_with(title: &str, configs: impl Fn(usize, Config) -> Config) -> Result<Self> {
        let scene = Self { trio: Trio::start(configs).await?, title: title.to_owned(), rows: Vec::new() };
        scene.normal(Instant::now()).await?;
        Ok(scene)
    }

    /// Begins a fault. While it lasts, a session is opened, and it and an older one are ended; both must work at once.
    pub(crate) async fn strike(
        &self,
        name: &str,
        shows: Shows,
        begin: impl FnOnce() -> Result,
    ) -> Result<Fault> {
        self.normal(Instant::now()).await?;
        let older = self.trio.open().await?;
        let (before, began) = (self.trio.sum(), Instant::now());
        begin()?;
        let seen = match shows {
            Shows::Yes => Some(self.seen(name, began).await?),
            Shows::No => None,
        };
        let newer =
            self.trio.open().await.map_err(|why| format!("{name}: {why}\n{}", self.trio.replicas.logs()))?;
        let mut ended = vec![older, newer];
        let mut delete = Duration::ZERO;
        for client in &mut ended {
            client.list_tools().await?;
            let asked = Instant::now();
            assert_eq!(client.end().await?, 204, "{name}: DELETE\n{}", self.trio.replicas.logs());
            delete = delete.max(asked.elapsed());
        }
        let name = name.to_owned();
        Ok(Fault { name, began, before, seen, delete, ended, moved: None })
    }

    /// Kills an MCP server meanwhile. A session that lived there must go on at once, at every replica, on the other one.
    pub(crate) async fn move_a_session(&mut self, fault: &mut Fault) -> Result {
        self.move_a_session_and(fault, || Ok(())).await
    }

    /// The same. `meddle` is called when the first replica has moved the session, and before another one is asked for it.
    pub(crate) async fn move_a_session_and(
        &mut self,
        fault: &mut Fault,
        meddle: impl FnOnce() -> Result,
    ) -> Result {
        let mut client = self.trio.open().await?;
        client.go_to(self.trio.replicas.gateways()[0].address);
        let victim = client.tool("whoami", json!({})).await?;
        let to = self.trio.server_beside(&victim).ok_or("there is one MCP server")?.to_owned();
        self.trio.server_dies(&victim).await?;
        client.list_tools().await?;
        meddle()?;
        let mut moved = Moved { client, to };
        self.goes_on(&fault.name, &mut moved).await?;
        fault.moved = Some(moved);
        Ok(())
    }

    /// Ends a fault that has lasted for `hold`, and waits until every replica is well again and refuses the sessions that were ended.
    /// Gives these sessions.
    pub(crate) async fn lift(
        &mut self,
        fault: Fault,
        hold: Duration,
        end: impl FnOnce() -> Result,
    ) -> Result<Vec<Client>> {
        tokio::time::sleep_until((fault.began + hold).into()).await;
        end()?;
        self.settle(fault, Instant::now()).await
    }

    /// The same for a fault that the servers mend themselves: the time counts from its beginning.
    pub(crate) async fn heals(&mut self, fault: Fault) -> Result<Vec<Client>> {
        let began = fault.began;
        self.settle(fault, began).await
    }

    async fn settle(&mut self, fault: Fault, since: Instant) -> Result<Vec<Client>> {
        let lasted = since - fault.began;
        let (normal, refused) =
            tokio::try_join!(self.normal(since), self.refused(&fault.name, &fault.ended, since))?;
        if let Some(mut moved) = fault.moved {
            self.goes_on(&fault.name, &mut moved).await?;
            self.trio.server_returns().await?;
        }
        let after = self.trio.sum();
        let (good, bad) = (after.good - fault.before.good, after.bad - fault.before.bad);
        assert!(good > 0, "{}: no request was answered meanwhile", fault.name);
        let (seen, delete, moved) = (fault.seen, fault.delete, self.moved_in(fault.began));
        self.rows.push(Row { name: fault.name, lasted, good, bad, seen, delete, moved, refused, normal });
        Ok(fault.ended)
    }

    fn moved_in(&self, began: Instant) -> bool {
        self.trio.last_death().is_some_and(|death| death >= began)
    }

    /// Waits until every replica is well; how long that was since `since`.
    pub(crate) async fn normal(&self, since: Instant) -> Result<Duration> {
        for gateway in self.trio.replicas.gateways() {
            let well = async || sick(&gateway.status().await.ok()?).is_none().then_some(());
            if let Err(why) = wait::until("the store is well again", SETTLE, well).await {
                let status = gateway.status().await?;
                return Err(
                    format!("{why}: {:?}\n{}\n{}", sick(&status), status["store"], gateway.log()).into()
                );
            }
        }
        Ok(since.elapsed())
    }

    /// Waits until `/status` of some replica says that the store is not well; how long that was since `began`.
    pub(crate) async fn seen(&self, name: &str, began: Instant) -> Result<Duration> {
        let gateways = self.trio.replicas.gateways();
        let look = async || {
            for gateway in gateways {
                if sick(&gateway.status().await.ok()?).is_some() {
                    return Some(());
                }
            }
            None
        };
        wait::until(&format!("{name}: an operator sees it"), SETTLE, look).await?;
        Ok(began.elapsed())
    }

    /// Waits until every replica refuses these sessions by itself.
    async fn refused(&self, name: &str, ended: &[Client], since: Instant) -> Result<Duration> {
        for gateway in self.trio.replicas.gateways() {
            refuses(name, gateway, ended).await?;
        }
        Ok(since.elapsed())
    }

    /// A replica that starts only now learns from the others what the store has lost.
    pub(crate) async fn newcomer_refuses(&self, ended: &[Client]) -> Result {
        let newcomer = Gateway::start(&self.trio.replicas.config(0).clone().port(0)).await?;
        refuses("a replica that came later", &newcomer, ended).await
    }

    /// The session works at every replica, on the MCP server it has moved to.
    async fn goes_on(&self, name: &str, moved: &mut Moved) -> Result {
        let Moved { client, to } = moved;
        for gateway in self.trio.replicas.gateways() {
            client.go_to(gateway.address);
            let answer = client.list_tools().await;
            let answer = match answer {
                Ok(_) => client.tool("whoami", json!({})).await,
                Err(why) => Err(why),
            };
            assert_eq!(answer.as_ref(), Ok(&*to), "{name}: a session that moved\n{}", gateway.log());
        }
        Ok(())
    }

    /// Prints the faults, and fails if any client noticed one of them.
    pub(crate) async fn finish(self) -> Result {
        let mut table = comfy_table::Table::new();
        table.set_header([
            "fault",
            "lasted s",
            "good",
            "failed",
            "seen after ms",
            "DELETE ms",
            "MCP server killed",
            "ended everywhere ms",
            "normal ms",
        ]);
        let ms = |time: Duration| time.as_millis().to_string();
        for row in &self.rows {
            table.add_row([
                row.name.clone(),
                format!("{:.1}", row.lasted.as_secs_f64()),
                row.good.to_string(),
                row.bad.to_string(),
                row.seen.map_or_else(|| "-".to_owned(), ms),
                ms(row.delete),
                if row.moved { "yes" } else { "no" }.to_owned(),
                ms(row.refused),
                ms(row.normal),
            ]);
        }
        println!("\n{}\n{table}", self.title);
        for row in &self.rows {
            load::total(&format!(
                "{}, {}: {} requests good, {} failed; normal after {} ms",
                self.title,
                row.name,
                row.good,
                row.bad,
                ms(row.normal)
            ));
        }
        self.trio.finish(&self.title).await
    }
}

/// Waits until `gateway` refuses the sessions of `ended` by itself: their servers say 404 too, but then it would open them anew.
async fn refuses(name: &str, gateway: &Gateway, ended: &[Client]) -> Result {
    for client in ended {
        let look = async || {
            let answer = client.at(gateway.address).list_tools().await;
            matches!(answer, Err(Failure::Status(404, body)) if body.contains("session_dead")).then_some(())
        };
        wait::until(&format!("{name}: an ended session is refused"), SETTLE, look)
            .await
            .map_err(|why| format!("{why}\n{}", gateway.log()))?;
    }
    Ok(())
}

/// Why the store is not well, as `/status` tells it.
fn sick(status: &Value) -> Option<String> {
    let store = &status["store"];
    let servers = store["servers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let well = |server: &Value| {
        server["connected"] == true && server["breaker"] == "closed" && server["role"] == "master"
    };
    if let Some(server) = servers.iter().find(|server| !well(server)) {
        return Some(server.to_string());
    }
    if servers.is_empty() || store["feed_complete"] != true || store["changes_pending"] != 0 {
        return Some(format!("feed {}, pending {}", store["feed_complete"], store["changes_pending"]));
    }
    None
}
