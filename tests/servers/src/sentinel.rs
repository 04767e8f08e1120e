//! A master with two replicas, watched by three sentinels.

use crate::{Options, Result, Server, until};
use redis::{Value, from_redis_value};
use std::time::Duration;

/// Name under which the sentinels know the master.
pub const NAME: &str = "mymaster";
/// Time the sentinels get to find each other and the replicas.
const FORM: Duration = Duration::from_secs(20);

/// Six processes. A dead master is noticed after 500 ms.
#[derive(Debug)]
pub struct Sentinel {
    /// The master at the start, then its replicas.
    pub servers: Vec<Server>,
    /// The sentinels.
    pub sentinels: Vec<Server>,
}

impl Sentinel {
    /// Starts all, and waits until the sentinels can fail over.
    pub fn start() -> Result<Self> {
        Self::start_with(&Options::new(), None)
    }

    /// The same with options of the servers (a password must be given here too), and a password of the sentinels.
    pub fn start_with(options: &Options, passwords: Option<(&str, &str)>) -> Result<Self> {
        let options = match passwords {
            Some((servers, _)) => options.clone().password(servers).arg("--masterauth", servers),
            None => options.clone(),
        };
        let master = Server::start(&options)?;
        let of = format!("127.0.0.1 {}", master.port());
        let mut servers = vec![master];
        for _ in 0..2 {
            servers.push(Server::start(&options.clone().arg("--replicaof", &of))?);
        }
        let mut config = format!(
            "sentinel monitor {NAME} {of} 2\nsentinel down-after-milliseconds {NAME} 500\n\
             sentinel failover-timeout {NAME} 3000\nsentinel parallel-syncs {NAME} 1\n"
        );
        if let Some((servers, sentinels)) = passwords {
            config = format!("{config}sentinel auth-pass {NAME} {servers}\nrequirepass {sentinels}\n");
        }
        let sentinels = (0..3).map(|_| {
            let mut options = Options::sentinel(config.clone());
            if let Some((_, password)) = passwords {
                options.log_in(password);
            }
            Server::start(&options)
        });
        let all = Self { servers, sentinels: sentinels.collect::<Result<_>>()? };
        all.wait_formed()?;
        Ok(all)
    }

    /// `127.0.0.1:port` of each sentinel.
    pub fn addresses(&self) -> Vec<String> {
        self.sentinels.iter().map(Server::address).collect()
    }

    /// Index of the server that the first sentinel which answers calls master.
    pub fn master(&self) -> Result<usize> {
        for sentinel in &self.sentinels {
            let Ok(answer) = sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]) else {
                continue;
            };
            let place: Vec<String> = from_redis_value(answer)?;
            let port = place.get(1).and_then(|port| port.parse::<u16>().ok());
            if let Some(index) = self.servers.iter().position(|server| Some(server.port()) == port) {
                return Ok(index);
            }
        }
        Err("no sentinel names a master".into())
    }

    /// SIGKILL to the present master; its index.
    pub fn kill_master(&mut self) -> Result<usize> {
        let index = self.master()?;
        self.servers[index].kill()?;
        Ok(index)
    }

    /// Waits until each sentinel sees a quorum and two replicas that keep up; before that a failover may not happen.
    pub fn wait_formed(&self) -> Result {
        until("the sentinels see each other and the replicas", FORM, || {
            let formed = |sentinel: &Server| {
                let quorum = sentinel.command(&["SENTINEL", "CKQUORUM", NAME]);
                let usable = quorum.ok().and_then(|answer| from_redis_value::<String>(answer).ok());
                let replicas = sentinel.command(&["SENTINEL", "REPLICAS", NAME]).ok();
                usable.is_some_and(|text| text.contains("3 usable"))
                    && matches!(replicas, Some(Value::Array(list)) if list.len() == 2)
            };
            let follows =
                |server: &Server| server.info("master_link_status").is_ok_and(|status| status == "up");
            let synced =
                self.servers.iter().filter(|server| follows(server)).count() == self.servers.len() - 1;
            (synced && self.sentinels.iter().all(formed)).then_some(())
        })
    }
}
