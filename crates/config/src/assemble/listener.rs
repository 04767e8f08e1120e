//! Listeners, limits, TLS, admin.

use super::{Missing, assemble, words};
use crate::{
    model::{Admin, Certificate, Listener, ListenerProtocol, ProxyProtocol, Server, ServerTls, TlsVersion},
    value::BlockVal,
};

/// Name of the listener that `server` describes.
pub(crate) const FIRST: &str = "server";

words!(ListenerProtocol: "http" => Self::Http, "https" => Self::Https, "websocket" => Self::Websocket);
words!(ProxyProtocol: "off" => Self::Off, "required" => Self::Required);
words!(TlsVersion: "TLSv1.2" => Self::V1_2, "TLSv1.3" => Self::V1_3);

pub(super) fn server(block: &BlockVal) -> Result<Server, Missing> {
    Ok(assemble!(block => Server {
        workers, max_connections, max_connections_per_ip, max_handshakes, accept_rate, accept_burst, handshake_timeout,
        header_timeout, read_timeout, write_timeout, idle_timeout, stream_idle_timeout, max_header_bytes, max_headers, max_body_bytes,
        max_concurrent_streams, max_pending_resets, trusted_proxies, drain_delay, max_drain, certificate_reload_interval
    }))
}

pub(super) fn admin(block: &BlockVal) -> Result<Admin, Missing> {
    Ok(assemble!(block => Admin { enabled, host, port, token, unix_socket }))
}

pub(super) fn listeners(root: &BlockVal) -> Result<Vec<Listener>, Missing> {
    let mut all = vec![listener(root, root.inner("server")?, FIRST.to_owned())?];
    for (_, block) in root.blocks("listeners") {
        all.push(listener(root, block, block.take("name")?)?);
    }
    Ok(all)
}

fn listener(root: &BlockVal, block: &BlockVal, name: String) -> Result<Listener, Missing> {
    let tls = block.block("tls").filter(|tls| tls.bool("enabled") == Some(true));
    Ok(assemble!(block => Listener { host, port, protocol, proxy_protocol;
        name: name,
        tls: tls.map(|tls| self::tls(root, tls)).transpose()?
    }))
}

fn tls(root: &BlockVal, block: &BlockVal) -> Result<ServerTls, Missing> {
    let mut certificates = Vec::new();
    if block.mentions("cert_file") {
        certificates.push(certificate(block)?);
    }
    for (_, block) in block.blocks("certificates") {
        certificates.push(certificate(block)?);
    }
    let shared = root.block("ssl_configuration").and_then(|ssl| ssl.block("certificates"));
    if let Some(shared) = shared.filter(|_| certificates.is_empty()) {
        for (_, block) in shared.blocks("files") {
            certificates.push(certificate(block)?);
        }
    }
    Ok(assemble!(block => ServerTls { minimum_version, preferred_ciphers; certificates: certificates }))
}

fn certificate(block: &BlockVal) -> Result<Certificate, Missing> {
    Ok(assemble!(block => Certificate { cert_file, key_file }))
}
