//! Tokens, good and bad, with real keys of every algorithm.
#![allow(missing_docs)]

#[cfg(test)]
mod common;

use common::{NOW, SECRET, Signer, ask, authenticator, bearer, claims, claims_with, jwt, refused};
use config::JwtAlgorithm::{EdDsa, Es256, Hs256, Rs256};
use holdfast_config as config;
use holdfast_identity::{AuthError, Authenticator, MAX_TOKEN_BYTES};
use http::HeaderMap;
use serde_json::json;
use std::time::Duration;

const ALL: [config::JwtAlgorithm; 4] = [Hs256, Rs256, Es256, EdDsa];

#[test]
fn a_good_token_of_every_algorithm_names_its_principal() {
    for algorithm in ALL {
        let signer = Signer::new(algorithm);
        let authenticator = authenticator(vec![signer.key(None)]);
        let token = signer.sign(None, &claims_with(&json!({ "scope": "b a", "scp": ["a", "c"] })));
        for _ in 0..3 {
            let principal = ask(&authenticator, &token).unwrap();
            assert_eq!((&**principal.issuer(), &**principal.subject()), ("mcp-gateway", "alice"));
            let scopes: Vec<&str> = principal.scopes().iter().map(|s| &**s).collect();
            assert_eq!(scopes, ["a", "b", "c"]);
        }
    }
}

#[test]
fn a_changed_token_is_refused_whatever_is_changed() {
    for algorithm in ALL {
        let signer = Signer::new(algorithm);
        let authenticator = authenticator(vec![signer.key(None)]);
        let token = signer.sign(None, &claims());
        ask(&authenticator, &token).unwrap();
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last character of a part may hold bits that base64 does not use; then it is refused as malformed.
            assert!(ask(&authenticator, &changed).is_err(), "{algorithm:?} byte {at}");
        }
    }
}

#[test]
fn another_key_of_the_same_algorithm_is_refused() {
    for algorithm in [Rs256, Es256, EdDsa] {
        let authenticator = authenticator(vec![Signer::new(algorithm).key(None)]);
        refused(&authenticator, &Signer::new(algorithm).sign(None, &claims()), "bad_signature");
    }
    let other = Signer::secret("another-secret-another-secret-12");
    refused(
        &authenticator(vec![Signer::new(Hs256).key(None)]),
        &other.sign(None, &claims()),
        "bad_signature",
    );
}

#[test]
fn alg_none_and_unknown_algorithms_are_refused() {
    let signer = Signer::new(Hs256);
    let authenticator = authenticator(vec![signer.key(None)]);
    for alg in ["none", "None", "NONE", "", "HS384", "HS512", "hs256", "RS256", "PS256"] {
        let header = json!({ "alg": alg }).to_string();
        let signed = signer.sign_raw(&header, &claims().to_string());
        refused(&authenticator, &signed, "no_key_for_token");
        let unsigned = format!("{}.", signed.rsplit_once('.').unwrap().0);
        refused(&authenticator, &unsigned, "no_key_for_token");
    }
}

#[test]
fn a_public_key_is_never_used_as_an_hmac_secret() {
    // The attacker signs with HS256, and the public key as the secret.
    let signer = Signer::new(Rs256);
    let authenticator = authenticator(vec![signer.key(None)]);
    for secret in [signer.public(), signer.public().trim().to_owned()] {
        refused(&authenticator, &Signer::secret(&secret).sign(None, &claims()), "no_key_for_token");
    }
    let as_secret = config::JwtKey { algorithm: Hs256, ..signer.key(None) };
    assert!(Authenticator::build(&config::Auth::Jwt(jwt(vec![as_secret]))).is_err());
}

#[test]
fn claims_that_are_wrong_or_absent_are_refused() {
    let signer = Signer::new(Hs256);
    let authenticator = authenticator(vec![signer.key(None)]);
    for (change, why) in [
        (json!({ "iss": "other" }), "wrong_issuer"),
        (json!({ "iss": null }), "wrong_issuer"),
        (json!({ "aud": "other" }), "wrong_audience"),
        (json!({ "aud": null }), "wrong_audience"),
        (json!({ "aud": [] }), "wrong_audience"),
        (json!({ "aud": ["x", "y"] }), "wrong_audience"),
        (json!({ "exp": null }), "no_expiry"),
        (json!({ "exp": -1 }), "bad_time"),
        (json!({ "exp": 1e300 }), "bad_time"),
        (json!({ "exp": "tomorrow" }), "malformed"),
        (json!({ "exp": NOW - 60 }), "expired"),
        (json!({ "nbf": NOW + 61 }), "not_yet_valid"),
        (json!({ "nbf": -5 }), "bad_time"),
        (json!({ "sub": null }), "no_subject"),
        (json!({ "sub": "" }), "bad_subject"),
        (json!({ "sub": "s".repeat(2000) }), "bad_subject"),
        (json!({ "sub": 7 }), "malformed"),
    ] {
        let token = signer.sign(None, &claims_with(&change));
        refused(&authenticator, &token, why);
    }
    // What a validator without an audience refuses for no reason is fine here: `aud` as a list with ours in it.
    ask(&authenticator, &signer.sign(None, &claims_with(&json!({ "aud": ["x", "mcp-services"] })))).unwrap();
    ask(&authenticator, &signer.sign(None, &claims_with(&json!({ "exp": NOW as f64 + 0.5 })))).unwrap();
}

#[test]
fn leeway_is_what_is_configured_and_the_cache_does_not_stretch_it() {
    let signer = Signer::new(Hs256);
    let mut cfg = jwt(vec![signer.key(None)]);
    cfg.leeway = Duration::from_secs(30);
    let authenticator = Authenticator::build(&config::Auth::Jwt(cfg)).unwrap();
    let token = bearer(&signer.sign(None, &claims_with(&json!({ "exp": NOW, "nbf": NOW }))));
    let at = |now| authenticator.authenticate(&token, now).map(|_| ());
    assert_eq!(at(NOW - 31), Err(AuthError::Invalid("not_yet_valid")));
    assert_eq!(at(NOW - 30), Ok(()));
    assert_eq!(at(NOW + 29), Ok(()));
    assert_eq!(at(NOW + 30), Err(AuthError::Invalid("expired")));
    // A clock that is set back does not bring it back from the dead by mistake: it is verified again.
    assert_eq!(at(NOW), Ok(()));
}

#[test]
fn rotation_keys_are_chosen_by_kid() {
    let (old, new, any) = (Signer::new(Es256), Signer::new(Es256), Signer::new(Hs256));
    let authenticator = authenticator(vec![
        old.key(Some("2025")),
        new.key(Some("2026")),
        any.key(None),
        Signer::new(Rs256).key(None),
    ]);
    ask(&authenticator, &old.sign(Some("2025"), &claims())).unwrap();
    ask(&authenticator, &new.sign(Some("2026"), &claims())).unwrap();
    ask(&authenticator, &any.sign(None, &claims())).unwrap();
    ask(&authenticator, &any.sign(Some("anything"), &claims())).unwrap();
    refused(&authenticator, &old.sign(Some("2026"), &claims()), "bad_signature");
    refused(&authenticator, &old.sign(Some("2024"), &claims()), "no_key_for_token");
    refused(&authenticator, &old.sign(None, &claims()), "no_key_for_token");
}

#[test]
fn two_keys_without_kid_both_verify_during_a_rotation() {
    let (old, new) = (Signer::secret("old-secret-old-secret-old-secret"), Signer::new(Hs256));
    let authenticator = authenticator(vec![new.key(None), old.key(None)]);
    ask(&authenticator, &old.sign(None, &claims())).unwrap();
    ask(&authenticator, &new.sign(None, &claims())).unwrap();
}

#[test]
fn keys_and_urls_inside_a_token_are_not_used() {
    let signer = Signer::new(Es256);
    let attacker = Signer::new(Es256);
    let authenticator = authenticator(vec![signer.key(None)]);
    let header =
        json!({ "alg": "ES256", "jku": "http://127.0.0.1:1/jwks", "x5u": "http://127.0.0.1:1/x", "jwk": {} });
    refused(&authenticator, &attacker.sign_raw(&header.to_string(), &claims().to_string()), "bad_signature");
    // They do no harm in a good token.
    ask(&authenticator, &signer.sign_raw(&header.to_string(), &claims().to_string())).unwrap();
}

#[test]
fn what_cannot_be_read_in_one_way_only_is_refused() {
    let signer = Signer::new(Hs256);
    let authenticator = authenticator(vec![signer.key(None)]);
    let good = claims().to_string();
    let twice = format!("{{\"sub\":\"bob\",{}", &good[1..]);
    refused(&authenticator, &signer.sign_raw(r#"{"alg":"HS256"}"#, &twice), "malformed");
    let crit = r#"{"alg":"HS256","crit":["b64"],"b64":false}"#;
    refused(&authenticator, &signer.sign_raw(crit, &good), "unknown_critical_header");
    refused(&authenticator, &signer.sign_raw(r#"{"alg":"none","alg":"HS256"}"#, &good), "malformed");
    for token in ["a", "a.b", "a.b.c", "....", "..", ".", "e30.e30.e30", "ä.b.c"] {
        refused(&authenticator, token, "malformed");
    }
    let five = format!("{}.x.y", signer.sign(None, &claims()));
    refused(&authenticator, &five, "malformed");
}

#[test]
fn a_token_that_is_too_long_is_not_looked_at() {
    let signer = Signer::new(Hs256);
    let authenticator = authenticator(vec![signer.key(None)]);
    let token = signer.sign(None, &claims_with(&json!({ "pad": "x".repeat(MAX_TOKEN_BYTES) })));
    refused(&authenticator, &token, "token_too_long");
}

#[test]
fn a_tenant_claim_that_is_configured_must_be_there() {
    let signer = Signer::new(Hs256);
    let mut cfg = jwt(vec![signer.key(None)]);
    cfg.tenant_claim = Some("org".into());
    let authenticator = Authenticator::build(&config::Auth::Jwt(cfg)).unwrap();
    let token = signer.sign(None, &claims_with(&json!({ "org": "acme" })));
    assert_eq!(ask(&authenticator, &token).unwrap().tenant(), Some("acme"));
    for org in [json!({}), json!({ "org": 7 }), json!({ "org": ["acme"] })] {
        refused(&authenticator, &signer.sign(None, &claims_with(&org)), "no_tenant");
    }
}

#[test]
fn roles_come_from_the_configured_claim_and_one_that_cannot_be_read_is_refused() {
    let signer = Signer::new(Hs256);
    let with = |claim: Option<&str>| {
        let mut cfg = jwt(vec![signer.key(None)]);
        if let Some(claim) = claim {
            cfg.roles_claim = claim.into();
        }
        Authenticator::build(&config::Auth::Jwt(cfg)).unwrap()
    };
    let cases = [
        (None, json!({ "roles": ["admin", "dev"] }), vec!["admin", "dev"]),
        (None, json!({ "roles": "site admin" }), vec!["site admin"]),
        (None, json!({ "groups": ["admin"] }), vec![]),
        (Some("realm_access.roles"), json!({ "realm_access": { "roles": ["admin"] } }), vec!["admin"]),
        (Some("https://x.example/roles"), json!({ "https://x.example/roles": ["admin"] }), vec!["admin"]),
        (Some("scope"), json!({ "scope": "admin" }), vec!["admin"]),
    ];
    for (claim, claims, roles) in cases {
        let principal = ask(&with(claim), &signer.sign(None, &claims_with(&claims))).unwrap();
        assert_eq!(principal.roles().iter().map(|role| &**role).collect::<Vec<_>>(), roles, "{claims}");
    }
    for roles in
        [json!({ "roles": 7 }), json!({ "roles": ["admin", 7] }), json!({ "roles": { "admin": true } })]
    {
        refused(&with(None), &signer.sign(None, &claims_with(&roles)), "bad_roles");
    }
}

#[test]
fn a_good_token_without_the_scopes_is_forbidden_and_told_which() {
    let signer = Signer::new(Hs256);
    let mut cfg = jwt(vec![signer.key(None)]);
    cfg.required_scopes = vec!["mcp:read".into(), "mcp:write".into()];
    let authenticator = Authenticator::build(&config::Auth::Jwt(cfg)).unwrap();
    let some = signer.sign(None, &claims_with(&json!({ "scope": "mcp:read mcp:writer" })));
    for _ in 0..2 {
        let error = ask(&authenticator, &some).unwrap_err();
        assert_eq!(error.status(), 403);
        assert_eq!(error, AuthError::InsufficientScope { scope: "mcp:read mcp:write".into() });
    }
    let all = signer.sign(None, &claims_with(&json!({ "scopes": ["mcp:write", "mcp:read"] })));
    ask(&authenticator, &all).unwrap();
    let none = authenticator.authenticate(&HeaderMap::new(), NOW).unwrap_err();
    assert_eq!(none, AuthError::Missing { scope: "mcp:read mcp:write".into() });
}

#[test]
fn a_token_of_the_old_snapshot_is_verified_anew_after_a_reload() {
    let (before, after) = (Signer::secret("old-secret-old-secret-old-secret"), Signer::secret(SECRET));
    let token = before.sign(None, &claims());
    ask(&authenticator(vec![before.key(None)]), &token).unwrap();
    // The key was taken away: what the cache knows of the old snapshot does not count.
    refused(&authenticator(vec![after.key(None)]), &token, "bad_signature");
}
