//! Who the master is, asked of the sentinels, and believed only if the master says so too.

use super::{
    address::Address,
    answer::{Role, text},
    connect::{Connection, NotConnected},
    settings::{SentinelSettings, Settings},
};
use crate::StoreErrorKind;
use holdfast_telemetry::StoreConnect;
use redis::Value;
use std::sync::Arc;
use tokio::time::timeout;

/// The sentinels, the one that answered last first.
pub(crate) struct Sentinels {
    settings: Arc<Settings>,
    order: Vec<Address>,
    /// Kept to ask again.
    open: Option<Connection>,
}

impl Sentinels {
    pub(crate) fn new(settings: &Arc<Settings>) -> Self {
        let order = settings.sentinel.as_ref().map(|sentinel| sentinel.addresses.clone()).unwrap_or_default();
        Self { settings: Arc::clone(settings), order, open: None }
    }

    /// A connection to the master. A sentinel may be behind: the server it names must be a master by its own word (`ROLE`,
    /// "Guidelines for Redis clients with support for Redis Sentinel", step 3), else the next one is asked.
    pub(crate) async fn connect(&mut self, settings: &Settings) -> Result<Connection, NotConnected> {
        let Some(sentinel) = &settings.sentinel else { return Err(no_master()) };
        let mut last = no_master();
        // The good one moves to the front, so the order must be fixed before.
        for address in self.order.clone() {
            let named = match self.ask(sentinel, &address).await {
                Ok(Some(named)) => named,
                Ok(None) => continue,
                Err(why) => {
                    last = why;
                    continue;
                }
            };
            match Connection::open(settings, &settings.login, &named).await {
                Ok(connection) if connection.role != Role::Replica => {
                    self.prefer(&address);
                    return Ok(connection);
                }
                Ok(_) => {
                    last = NotConnected::new(
                        StoreErrorKind::ReadOnly,
                        "the server that a sentinel names is a replica",
                        StoreConnect::NotMaster,
                    );
                }
                Err(why) => last = why,
            }
            // Another sentinel may know better.
            self.open = None;
        }
        Err(last)
    }

    /// Whether a sentinel names another master than the one of this connection. One that cannot be asked is asked nothing.
    pub(crate) async fn has_moved(&mut self, settings: &Settings, connection: &Connection) -> bool {
        let Some(sentinel) = &settings.sentinel else { return false };
        let Some(address) = self.order.first().cloned() else { return false };
        let Ok(Some(named)) = self.ask(sentinel, &address).await else {
            // The next heartbeat asks the next one.
            self.order.rotate_left(1);
            return false;
        };
        // One sentinel may say the name, another the number.
        let peer = named.ip() == Some(connection.peer.ip()) && named.port == connection.peer.port();
        named != connection.address && !peer
    }

    /// What one sentinel says; `None` = it does not know this master.
    async fn ask(
        &mut self,
        sentinel: &SentinelSettings,
        address: &Address,
    ) -> Result<Option<Address>, NotConnected> {
        let settings = Arc::clone(&self.settings);
        let open = self.open.take().filter(|open| open.address == *address && !open.is_closed());
        let connection = match open {
            Some(connection) => connection,
            None => Connection::open(&settings, &sentinel.login, address).await?,
        };
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&sentinel.master);
        let failed = |detail| NotConnected::new(StoreErrorKind::Connection, detail, StoreConnect::NoMaster);
        let answer = timeout(settings.connect_timeout, connection.send(&question)).await;
        let answer = answer.map_err(|_| failed("a sentinel does not answer"))?;
        let answer = answer.map_err(|_| failed("the connection to a sentinel broke"))?;
        match answer {
            Value::Array(parts) => {
                self.open = Some(connection);
                let parts: Vec<&str> = parts.iter().filter_map(text).collect();
                let [host, port] = parts[..] else { return Ok(None) };
                Ok(port.parse().ok().map(|port| Address::new(host, port)))
            }
            Value::Nil => {
                self.open = Some(connection);
                Ok(None)
            }
            Value::ServerError(error) if matches!(error.code(), "NOAUTH" | "NOPERM" | "WRONGPASS") => {
                Err(NotConnected::new(
                    StoreErrorKind::Denied,
                    "a sentinel refuses the login",
                    StoreConnect::Denied,
                ))
            }
            _ => Err(failed("a sentinel does not understand the question")),
        }
    }

    fn prefer(&mut self, address: &Address) {
        if let Some(index) = self.order.iter().position(|known| known == address) {
            self.order[..=index].rotate_right(1);
        }
    }
}

fn no_master() -> NotConnected {
    NotConnected::new(StoreErrorKind::Connection, "no sentinel names a master", StoreConnect::NoMaster)
}
