//! Who may call, and sessions.

use super::{Missing, assemble, words};
use crate::{
    model::{
        ApiKey, ApiKeys, Auth, Jwt, JwtAlgorithm, JwtKey, KeySource, RouteAuth, SessionKey, Sessions,
        UpstreamAuth,
    },
    value::BlockVal,
};

words!(JwtAlgorithm: "HS256" => Self::Hs256, "RS256" => Self::Rs256, "ES256" => Self::Es256, "EdDSA" => Self::EdDsa);

pub(super) fn auth(block: &BlockVal) -> Result<Auth, Missing> {
    match block.word("type") {
        Some("jwt") => jwt(block.inner("jwt")?).map(Auth::Jwt),
        Some("api_key") => api_keys(block.inner("api_key")?).map(Auth::ApiKey),
        _ => Ok(Auth::None),
    }
}

/// C10: absent and `true` = the root's, `false` = public, else its own.
pub(super) fn route_auth(block: Option<&BlockVal>) -> Result<RouteAuth, Missing> {
    let Some(block) = block else { return Ok(RouteAuth::Inherit) };
    match (block.bool("enabled"), block.word("type")) {
        (Some(false), _) | (_, Some("none")) => Ok(RouteAuth::Public),
        (_, None) => Ok(RouteAuth::Inherit),
        _ => auth(block).map(RouteAuth::Own),
    }
}

pub(super) fn upstream_auth(block: Option<&BlockVal>) -> Result<Option<UpstreamAuth>, Missing> {
    block.map(|block| Ok(assemble!(block => UpstreamAuth { header, value }))).transpose()
}

fn api_keys(block: &BlockVal) -> Result<ApiKeys, Missing> {
    let keys = block
        .blocks("keys")
        .map(|(_, key)| Ok(assemble!(key => ApiKey { name, key, scopes, roles, tenant })));
    Ok(assemble!(block => ApiKeys { header; keys: keys.collect::<Result<_, _>>()? }))
}

fn jwt(block: &BlockVal) -> Result<Jwt, Missing> {
    let keys = block.blocks("keys").map(|(_, key)| jwt_key(key));
    Ok(assemble!(block => Jwt { issuer, audience, leeway, tenant_claim, roles_claim, required_scopes;
        keys: keys.collect::<Result<_, _>>()?
    }))
}

fn jwt_key(block: &BlockVal) -> Result<JwtKey, Missing> {
    let source = if block.mentions("secret_key") {
        KeySource::Inline(block.take("secret_key")?)
    } else if block.mentions("public_key") {
        KeySource::Inline(block.take("public_key")?)
    } else if block.mentions("secret_key_file") {
        KeySource::File(block.take("secret_key_file")?)
    } else {
        KeySource::File(block.take("public_key_file")?)
    };
    Ok(assemble!(block => JwtKey { kid, algorithm; source: source }))
}

pub(super) fn sessions(block: &BlockVal) -> Result<Sessions, Missing> {
    let keys = block.blocks("keys").map(|(_, key)| Ok(assemble!(key => SessionKey { id, key })));
    Ok(assemble!(block => Sessions {
        absolute_ttl, ttl, ephemeral_key, stream_events, stream_bytes, stream_bytes_total, stream_retention, max_entries,
        max_journal_reads;
        redis: super::redis::of_sessions(block)?,
        keys: keys.collect::<Result<_, _>>()?
    }))
}
