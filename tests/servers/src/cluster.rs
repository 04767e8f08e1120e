//! A cluster of three masters with a replica each.

use crate::{
    Options, Result, Server,
    process::{free_port, program},
    until,
};
use redis::{Value, from_redis_value};
use std::{
    process::{Command, Stdio},
    time::Duration,
};

/// Times that a node is started anew because somebody took its ports.
const PORTS_TRIED: usize = 5;
/// Time the nodes get to agree.
const FORM: Duration = Duration::from_secs(30);

/// Six nodes. A dead master is noticed after a second; a lost shard takes only its own slots away.
#[derive(Debug)]
pub struct Cluster {
    /// All nodes; which of them are masters can change.
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// Starts all, and waits until every node says that all is well.
    pub fn start() -> Result<Self> {
        Self::start_with(&Options::new())
    }

    /// The same with options of every node.
    pub fn start_with(options: &Options) -> Result<Self> {
        let node = || {
            let mut last = None;
            for _ in 0..PORTS_TRIED {
                match start_node(options) {
                    // Its second port, for the other nodes, may have been taken meanwhile.
                    Err(why) if why.to_string().contains("in use") => last = Some(why),
                    done => return done,
                }
            }
            Err(last.unwrap_or_else(|| "no port".into()))
        };
        let cluster = Self { nodes: (0..6).map(|_| node()).collect::<Result<_>>()? };
        let mut command = Command::new(program("redis-cli")?);
        command.args(["--cluster", "create"]).args(cluster.addresses());
        command.args(["--cluster-replicas", "1", "--cluster-yes"]).stdin(Stdio::null());
        let output = command.output()?;
        if !output.status.success() {
            return Err(format!("{command:?}:\n{}", String::from_utf8_lossy(&output.stdout)).into());
        }
        cluster.wait_well()?;
        Ok(cluster)
    }

    /// `127.0.0.1:port` of each node.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(Server::address).collect()
    }

    /// Index of the living master of a slot, as the first node that answers says.
    pub fn master(&self, slot: u16) -> Result<usize> {
        self.shard(slot)?.first().copied().ok_or_else(|| "no node knows the slot".into())
    }

    /// Indices of the servers of a slot, the master first.
    pub fn shard(&self, slot: u16) -> Result<Vec<usize>> {
        for node in &self.nodes {
            let Ok(answer) = node.command(&["CLUSTER", "SLOTS"]) else { continue };
            let Value::Array(rows) = answer else { continue };
            for row in rows {
                let Value::Array(row) = row else { continue };
                let [Value::Int(first), Value::Int(last), servers @ ..] = &row[..] else { continue };
                if (*first..=*last).contains(&i64::from(slot)) {
                    return Ok(servers.iter().filter_map(|server| self.index(server)).collect());
                }
            }
        }
        Err(format!("no node knows slot {slot}").into())
    }

    fn index(&self, server: &Value) -> Option<usize> {
        let Value::Array(parts) = server else { return None };
        let Some(Value::Int(port)) = parts.get(1) else { return None };
        self.nodes.iter().position(|node| i64::from(node.port()) == *port)
    }

    /// Node id.
    pub fn node_id(&self, index: usize) -> Result<String> {
        Ok(from_redis_value(self.nodes[index].command(&["CLUSTER", "MYID"])?)?)
    }

    /// Begins to move a slot: from now on ASK for keys that are gone, TRYAGAIN for several of which some are.
    pub fn begin_move(&self, slot: u16, from: usize, to: usize) -> Result {
        let (slot, from_id, to_id) = (slot.to_string(), self.node_id(from)?, self.node_id(to)?);
        self.nodes[to].command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id])?;
        self.nodes[from].command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id])?;
        Ok(())
    }

    /// Moves up to `count` keys of a slot that is on its way; how many there were.
    pub fn move_keys(&self, slot: u16, from: usize, to: usize, count: usize) -> Result<usize> {
        let (slot, count) = (slot.to_string(), count.to_string());
        let keys: Vec<String> =
            from_redis_value(self.nodes[from].command(&["CLUSTER", "GETKEYSINSLOT", &slot, &count])?)?;
        for key in &keys {
            self.move_key(key, from, to)?;
        }
        Ok(keys.len())
    }

    /// Moves one key of a slot that is on its way.
    pub fn move_key(&self, key: &str, from: usize, to: usize) -> Result {
        let port = self.nodes[to].port().to_string();
        self.nodes[from].command(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"])?;
        Ok(())
    }

    /// Ends the move: from now on MOVED.
    pub fn end_move(&self, slot: u16, from: usize, to: usize) -> Result {
        let (slot, id) = (slot.to_string(), self.node_id(to)?);
        for index in [to, from] {
            self.nodes[index].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &id])?;
        }
        Ok(())
    }

    /// Waits until every living node says that all slots are served and knows every other.
    pub fn wait_well(&self) -> Result {
        until("every node says cluster_state:ok", FORM, || {
            let well = |node: &Server| {
                let info = node
                    .command(&["CLUSTER", "INFO"])
                    .ok()
                    .and_then(|info| from_redis_value::<String>(info).ok());
                let whole = info.is_some_and(|info| {
                    info.contains("cluster_state:ok")
                        && info.contains("cluster_slots_ok:16384")
                        && info.contains("cluster_known_nodes:6")
                });
                let slots = node.command(&["CLUSTER", "SLOTS"]);
                let paired = matches!(slots, Ok(Value::Array(rows)) if rows.iter().all(has_replica));
                let replica = node.info("role").is_ok_and(|role| role == "slave");
                whole
                    && paired
                    && (!replica || node.info("master_link_status").is_ok_and(|status| status == "up"))
            };
            self.nodes.iter().all(well).then_some(())
        })
    }
}

fn start_node(options: &Options) -> Result<Server> {
    let bus = free_port()?.to_string();
    Server::start(
        &options
            .clone()
            .arg("--cluster-enabled", "yes")
            .arg("--cluster-node-timeout", "1000")
            .arg("--cluster-require-full-coverage", "no")
            .arg("--cluster-port", &bus),
    )
}

/// Whether a row of `CLUSTER SLOTS` names a master and its replica.
fn has_replica(row: &Value) -> bool {
    matches!(row, Value::Array(row) if row.len() == 4)
}
