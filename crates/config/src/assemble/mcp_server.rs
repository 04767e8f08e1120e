//! `mcp.servers[]`.

use super::{Missing, assemble, auth, policy, routing};
use crate::{
    model::{Command, Links, McpServer, Transport, Upstream},
    value::BlockVal,
};

pub(super) fn server(block: &BlockVal) -> Result<McpServer, Missing> {
    let mut upstream = routing::upstream(block)?;
    let by_url = web_sockets(&mut upstream);
    Ok(assemble!(block => McpServer {
        name, session, trust_hints, era, request_timeout, initialize_timeout,
        max_reinitializations, handle_ttl, max_request_bytes, max_response_bytes;
        upstream: upstream,
        transport: block.take::<Option<Transport>>("transport")?.unwrap_or(by_url),
        command: command(block)?,
        rules: policy::rules(block)?,
        tools: policy::tools(block)?,
        pins: policy::pins(block)?,
        links: links(block)?,
        auth: auth::route_auth(block.block("auth"))?,
        upstream_auth: auth::upstream_auth(block.block("upstream_auth"))?
    }))
}

/// The transport that the URLs stand for. A WebSocket is opened by HTTP (RFC 6455, 3), and from here on its URL says so.
fn web_sockets(upstream: &mut Upstream) -> Transport {
    let mut transport = Transport::StreamableHttp;
    for endpoint in &mut upstream.endpoints {
        let scheme = match &endpoint.url {
            url if url.starts_with("ws://") => "http",
            url if url.starts_with("wss://") => "https",
            _ => continue,
        };
        let rest = endpoint.url.split_once(':').map_or("", |(_, rest)| rest);
        endpoint.url = format!("{scheme}:{rest}");
        transport = Transport::WebSocket;
    }
    transport
}

fn links(block: &BlockVal) -> Result<Links, Missing> {
    let most: usize = block.take("max_links")?;
    Ok(assemble!(block => Links {
        shared, pool, idle, queue_messages, queue_bytes, link_ping_interval;
        max_links: most,
        max_links_per_principal: block.take::<Option<usize>>("max_links_per_principal")?.unwrap_or(most)
    }))
}

fn command(block: &BlockVal) -> Result<Option<Command>, Missing> {
    let mut words: Vec<String> = block.take("command")?;
    if words.is_empty() {
        return Ok(None);
    }
    let program = words.remove(0);
    words.extend(block.take::<Vec<String>>("args")?);
    Ok(Some(assemble!(block => Command {
        env, env_allow, cwd, stop_grace, max_processes, max_processes_per_principal, max_open_files, max_memory;
        program: program,
        args: words
    })))
}
