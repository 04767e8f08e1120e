//! Configurations that are refused, API keys, and what is stripped.
#![allow(missing_docs)]

#[cfg(test)]
mod common;

use common::{NOW, SECRET, Signer, ask, bearer, claims, jwt};
use config::JwtAlgorithm::{EdDsa, Es256, Hs256, Rs256};
use holdfast_config as config;
use holdfast_identity::{AuthError, Authenticator, BuildError, effective};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384};
use std::fs;

const KEY: &str = "sk-0123456789abcdef";

fn build(keys: Vec<config::JwtKey>) -> Result<Authenticator, BuildError> {
    Authenticator::build(&config::Auth::Jwt(jwt(keys)))
}

fn inline(algorithm: config::JwtAlgorithm, material: &str) -> config::JwtKey {
    config::JwtKey { kid: None, algorithm, source: config::KeySource::Inline(config::Secret::new(material)) }
}

fn api_keys(keys: &[(&str, &str)]) -> config::Auth {
    let keys = keys.iter().map(|(name, key)| config::ApiKey {
        name: (*name).into(),
        key: config::Secret::new(*key),
        scopes: vec!["read".into()],
        tenant: Some("acme".into()),
        roles: vec!["builder".into()],
    });
    config::Auth::ApiKey(config::ApiKeys { header: "x-api-key".into(), keys: keys.collect() })
}

#[test]
fn a_configuration_without_usable_keys_is_no_configuration() {
    assert!(matches!(build(Vec::new()), Err(BuildError::NoKeys("jwt"))));
    assert!(matches!(Authenticator::build(&api_keys(&[])), Err(BuildError::NoKeys("api_key"))));
    for secret in ["", " \n", "short", &SECRET[1..]] {
        assert!(matches!(build(vec![inline(Hs256, secret)]), Err(BuildError::Short { .. })), "{secret:?}");
    }
    assert!(matches!(Authenticator::build(&api_keys(&[("a", "")])), Err(BuildError::Short { .. })));
    let mut cfg = jwt(vec![inline(Hs256, SECRET)]);
    cfg.audience = Vec::new();
    assert!(matches!(Authenticator::build(&config::Auth::Jwt(cfg.clone())), Err(BuildError::NoAudience)));
    cfg.audience = vec!["x".into()];
    cfg.issuer = String::new();
    assert!(Authenticator::build(&config::Auth::Jwt(cfg)).is_err());
}

#[test]
fn a_key_of_another_algorithm_is_refused_when_it_is_loaded() {
    let (rsa, ec, ed) = (Signer::new(Rs256), Signer::new(Es256), Signer::new(EdDsa));
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap().public_key_pem();
    for (algorithm, material) in [
        (Rs256, ec.public()),
        (Rs256, "not a key".into()),
        (Es256, ed.public()),
        (Es256, p384),
        (EdDsa, rsa.public()),
        (EdDsa, String::new()),
        (Rs256, rsa.private_pem()),
        (Es256, ec.private_pem()),
        (EdDsa, ed.private_pem()),
    ] {
        let error = build(vec![inline(algorithm, &material)]).unwrap_err();
        assert!(matches!(error, BuildError::Key { .. }), "{algorithm:?}: {error}");
    }
}

#[test]
fn errors_and_debug_never_show_a_secret() {
    let short = "abcdefghijkl-geheim";
    let error = build(vec![inline(Hs256, short)]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("geheim"));
    let authenticator = build(vec![inline(Hs256, SECRET)]).unwrap();
    assert!(!format!("{authenticator:?}").contains(SECRET));
    let same = Authenticator::build(&api_keys(&[("a", KEY), ("b", KEY)])).unwrap_err();
    assert!(matches!(same, BuildError::SameKey(..)));
    assert!(!format!("{same} {same:?}").contains(KEY));
}

#[test]
fn keys_are_read_from_files_when_a_snapshot_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let key =
        || config::JwtKey { kid: None, algorithm: Hs256, source: config::KeySource::File(path.clone()) };
    let missing = build(vec![key()]).unwrap_err().to_string();
    assert!(missing.contains("secret"), "{missing}");
    // A mounted secret usually ends in a line end.
    fs::write(&path, format!("{SECRET}\n")).unwrap();
    let before = build(vec![key()]).unwrap();
    let signer = Signer::secret(SECRET);
    ask(&before, &signer.sign(None, &claims())).unwrap();
    fs::write(&path, "another-secret-another-secret-12").unwrap();
    let after = build(vec![key()]).unwrap();
    assert!(ask(&after, &signer.sign(None, &claims())).is_err());
    ask(&before, &signer.sign(None, &claims())).unwrap();
    fs::write(&path, "x".repeat(70_000)).unwrap();
    assert!(matches!(build(vec![key()]), Err(BuildError::Read { .. })));
}

#[test]
fn an_api_key_names_its_principal_in_either_place() {
    let authenticator =
        Authenticator::build(&api_keys(&[("ci", KEY), ("ops", "sk-another-key-0000")])).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", HeaderValue::from_static(KEY));
    for headers in [&headers, &bearer(KEY)] {
        let principal = authenticator.authenticate(headers, NOW).unwrap();
        assert_eq!((&**principal.subject(), principal.tenant()), ("ci", Some("acme")));
        assert!(principal.has_role("builder") && principal.roles().len() == 1);
        assert!(principal.has_scope("read"));
    }
    for wrong in ["sk-0123456789abcde", "sk-0123456789abcdef0", "SK-0123456789ABCDEF", &"x".repeat(5000)] {
        assert_eq!(
            authenticator.authenticate(&bearer(wrong), NOW).unwrap_err(),
            AuthError::Invalid("unknown_key")
        );
    }
    assert!(matches!(authenticator.authenticate(&HeaderMap::new(), NOW), Err(AuthError::Missing { .. })));
}

#[test]
fn the_credential_that_authenticated_is_stripped_and_no_other() {
    let authenticator = Authenticator::build(&api_keys(&[("ci", KEY)])).unwrap();
    let mut headers = bearer("for-the-upstream");
    headers.insert("x-api-key", HeaderValue::from_static(KEY));
    headers.insert("cookie", HeaderValue::from_static("a=b"));
    authenticator.authenticate(&headers, NOW).unwrap();
    authenticator.strip(&mut headers);
    assert_eq!(headers.len(), 2);
    assert_eq!(headers[AUTHORIZATION], "Bearer for-the-upstream");

    let mut headers = bearer(KEY);
    authenticator.strip(&mut headers);
    assert!(headers.is_empty());

    let mut headers = bearer("anything");
    Authenticator::build(&config::Auth::None).unwrap().strip(&mut headers);
    assert_eq!(headers.len(), 1);
}

#[test]
fn two_credentials_are_none() {
    let signer = Signer::new(Hs256);
    let jwt = build(vec![signer.key(None)]).unwrap();
    let keys = Authenticator::build(&api_keys(&[("ci", KEY)])).unwrap();
    let mut headers = bearer(&signer.sign(None, &claims()));
    headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
    for authenticator in [&jwt, &keys] {
        let error = authenticator.authenticate(&headers, NOW).unwrap_err();
        assert_eq!(error.status(), 400);
    }
    let mut headers = HeaderMap::new();
    headers.append("x-api-key", HeaderValue::from_static(KEY));
    headers.append("x-api-key", HeaderValue::from_static(KEY));
    assert!(matches!(keys.authenticate(&headers, NOW), Err(AuthError::Malformed(_))));
}

#[test]
fn only_the_bearer_scheme_counts_and_in_any_case() {
    let signer = Signer::new(Hs256);
    let authenticator = build(vec![signer.key(None)]).unwrap();
    let token = signer.sign(None, &claims());
    for (scheme, good) in
        [("bearer", true), ("BEARER", true), ("Basic", false), ("Token", false), ("Bearerx", false)]
    {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("{scheme} {token}")).unwrap());
        assert_eq!(authenticator.authenticate(&headers, NOW).is_ok(), good, "{scheme}");
    }
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer  "));
    assert!(authenticator.authenticate(&headers, NOW).is_err());
}

#[test]
fn a_route_inherits_is_public_or_has_its_own() {
    let root = api_keys(&[("ci", KEY)]);
    let own = config::RouteAuth::Own(config::Auth::Jwt(jwt(vec![inline(Hs256, SECRET)])));
    assert!(matches!(effective(&config::RouteAuth::Inherit, &root), config::Auth::ApiKey(_)));
    assert!(matches!(effective(&config::RouteAuth::Public, &root), config::Auth::None));
    assert!(matches!(effective(&own, &root), config::Auth::Jwt(_)));
    let open = Authenticator::build(&config::Auth::None).unwrap();
    assert!(!open.is_required() && open.authenticate(&HeaderMap::new(), NOW).unwrap().is_anonymous());
}
