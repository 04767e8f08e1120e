//! Effective values to the plain structs of [`crate::model`]. Field and key have one name, so most of it is a list of names.

mod auth;
mod ha;
mod listener;
pub(crate) use listener::FIRST;
mod mcp_server;
mod policy;
mod redis;
mod routing;

use crate::{
    model::{
        AccessLog, Api, Config, Conversations, Federation, LogFormat, Logging, Mcp, Metrics, Observability,
        SseFront, StdioFront, Tracing, WebSocketFront,
    },
    units::{ByteSize, Ratio, Secret},
    value::{BlockVal, Data},
};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// A key without a value of the field's type: a slip in the schema tables, found by the tests, reported as an error.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

/// A field from a value; `None` = the key has none.
pub(crate) trait Field: Sized {
    fn field(data: Option<&Data>) -> Option<Self>;
}

macro_rules! field {
    ($($type:ty: $($pattern:pat => $value:expr),+;)+) => { $(
        impl Field for $type {
            fn field(data: Option<&Data>) -> Option<Self> {
                match data? { $($pattern => $value,)+ _ => None }
            }
        }
    )+ };
}

field! {
    bool: Data::Bool(b) => Some(*b);
    u8: Data::Int(n) => Self::try_from(*n).ok();
    u16: Data::Int(n) => Self::try_from(*n).ok();
    u32: Data::Int(n) => Self::try_from(*n).ok();
    usize: Data::Int(n) => Self::try_from(*n).ok();
    f64: Data::Float(n) => Some(*n);
    Duration: Data::Duration(d) => Some(*d);
    ByteSize: Data::Size(n) => Some(Self(*n));
    Ratio: Data::Ratio(r) => Some(Self(*r));
    String: Data::Text(text) => Some(text.clone()), Data::Word(word) => Some((*word).to_owned());
    PathBuf: Data::Text(text) => Some(Self::from(text));
    crate::Glob: Data::Text(text) => Some(Self::new(text));
    Secret: Data::Secret(secret) => Some(Self::new(&secret.value));
    std::net::IpAddr: Data::Text(text) => text.parse().ok();
    ipnet::IpNet: Data::Text(text) => crate::schema::network(text);
    std::net::SocketAddr: Data::Text(text) => crate::schema::dns_server(text);
    BTreeMap<String, String>: Data::Labels(labels) => Some(labels.clone());
    BTreeMap<String, Secret>: Data::Secrets(secrets) =>
        Some(secrets.iter().map(|(name, secret)| (name.clone(), Secret::new(&secret.value))).collect());
}

impl<T: Field> Field for Option<T> {
    fn field(data: Option<&Data>) -> Option<Self> {
        match data {
            None | Some(Data::Off) => Some(None),
            data => T::field(data).map(Some),
        }
    }
}
impl<T: Field> Field for Vec<T> {
    fn field(data: Option<&Data>) -> Option<Self> {
        match data? {
            Data::List(items) => items.iter().map(|item| T::field(Some(&item.data))).collect(),
            _ => None,
        }
    }
}

/// A closed list: canonical words to variants.
macro_rules! words {
    ($type:ty: $($word:literal => $variant:expr),+ $(,)?) => {
        impl crate::assemble::Field for $type {
            fn field(data: Option<&crate::value::Data>) -> Option<Self> {
                match data? {
                    crate::value::Data::Word(word) => match *word { $($word => Some($variant),)+ _ => None },
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use words;

/// A struct whose fields are keys of the same name; the rest is given after the semicolon.
macro_rules! assemble {
    ($block:expr => $type:ident { $($field:ident),* $(; $($other:ident: $value:expr),+)? $(,)? }) => {
        $type { $($field: $block.take(stringify!($field))?,)* $($($other: $value,)+)? }
    };
}
pub(crate) use assemble;

impl BlockVal {
    /// The value of a key as a field's type.
    pub(crate) fn take<T: Field>(&self, name: &str) -> Result<T, Missing> {
        T::field(self.get(name).map(|val| &val.data)).ok_or_else(|| self.missing(name))
    }
    fn inner(&self, name: &str) -> Result<&Self, Missing> {
        self.block(name).ok_or_else(|| self.missing(name))
    }
    fn missing(&self, name: &str) -> Missing {
        Missing(format!("{}.{name}", self.schema.name))
    }
}

words!(crate::model::RedisMode: "single" => Self::Single, "sentinel" => Self::Sentinel, "cluster" => Self::Cluster);
words!(LogFormat: "auto" => Self::Auto, "json" => Self::Json, "text" => Self::Text);
words!(crate::model::OnMemberFailure: "last_good" => Self::LastGood, "omit" => Self::Omit);
words!(crate::model::SessionMode: "pinned" => Self::Pinned, "replayable" => Self::Replayable);
words!(crate::model::Transport: "http" => Self::StreamableHttp, "sse" => Self::Sse, "websocket" => Self::WebSocket);
words!(crate::model::EraMode: "auto" => Self::Auto, "legacy" => Self::Legacy, "modern" => Self::Modern, "dual" => Self::Dual);

/// The whole configuration.
pub(crate) fn config(root: &BlockVal) -> Result<Config, Missing> {
    Ok(assemble!(root => Config { version;
        server: listener::server(root.inner("server")?)?,
        listeners: listener::listeners(root)?,
        admin: listener::admin(root.inner("admin")?)?,
        connection_pool: routing::pool(root.inner("connection_pool")?)?,
        auth: auth::auth(root.inner("auth")?)?,
        sessions: auth::sessions(root.inner("sessions")?)?,
        redis: root.block("redis").map(redis::redis).transpose()?,
        routing: routing::routing(root.inner("routing")?)?,
        observability: observability(root.inner("observability")?)?,
        mcp: mcp(root.inner("mcp")?)?,
        apis: root.blocks("apis").map(|(_, api)| self::api(api)).collect::<Result<_, _>>()?,
        ha: ha::ha(root.inner("ha")?)?
    }))
}

fn observability(block: &BlockVal) -> Result<Observability, Missing> {
    let (metrics, logging, access) =
        (block.inner("metrics")?, block.inner("logging")?, block.inner("access_log")?);
    Ok(Observability {
        metrics: assemble!(metrics => Metrics { enabled, additional_labels, max_names }),
        logging: assemble!(logging => Logging { level, format, additional_fields }),
        access_log: assemble!(access => AccessLog { enabled, format, path }),
        tracing: tracing(block.inner("tracing")?)?,
    })
}

fn tracing(block: &BlockVal) -> Result<Tracing, Missing> {
    Ok(assemble!(block => Tracing {
        enabled, service_name, sample_rate, endpoint, headers, timeout, interval, retry_for, max_queue,
        max_batch, max_spans;
        tls: routing::client_tls(block.inner("tls")?)?
    }))
}

fn mcp(block: &BlockVal) -> Result<Mcp, Missing> {
    Ok(assemble!(block => Mcp {
        path, public_url, allowed_origins, allowed_hosts, max_message_bytes, max_response_bytes,
        response_bytes_total, max_depth, max_batch, keep_alive;
        conversations: assemble!(block.inner("conversations")? => Conversations {
            max, max_in_flight, max_in_flight_bytes, max_queued_bytes, write_timeout
        }),
        sse: assemble!(block.inner("sse")? => SseFront { enabled, path, messages_path }),
        websocket: assemble!(block.inner("websocket")? => WebSocketFront {
            enabled, require_subprotocol, ping_interval
        }),
        stdio: assemble!(block.inner("stdio")? => StdioFront { server, subject, tenant, scopes, roles }),
        federation: federation(block.inner("federation")?)?,
        rules: policy::rules(block)?,
        servers: block.blocks("servers").map(|(_, server)| mcp_server::server(server)).collect::<Result<_, _>>()?
    }))
}

fn federation(block: &BlockVal) -> Result<Federation, Missing> {
    Ok(assemble!(block => Federation {
        enabled, separator, name_max, list_timeout, list_patience, on_member_failure, cursor_ttl;
        auth: auth::route_auth(block.block("auth"))?
    }))
}

fn api(block: &BlockVal) -> Result<Api, Missing> {
    Ok(assemble!(block => Api {
        name, path_prefix, strip_prefix, preserve_host, max_body_bytes, forward_authorization;
        upstream: routing::upstream(block)?,
        auth: auth::route_auth(block.block("auth"))?,
        upstream_auth: auth::upstream_auth(block.block("upstream_auth"))?
    }))
}
