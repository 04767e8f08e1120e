//! Keys, tokens and headers for the tests of this crate.
#![allow(dead_code, unreachable_pub, missing_docs)]

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use holdfast_config as config;
use holdfast_identity::{AuthError, Authenticator, Principal};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// "Now" of every test.
pub const NOW: u64 = 1_800_000_000;
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A pair of keys for one algorithm.
pub struct Signer {
    pub algorithm: config::JwtAlgorithm,
    pair: Option<KeyPair>,
    secret: String,
}

impl Signer {
    pub fn new(algorithm: config::JwtAlgorithm) -> Self {
        let pair = match algorithm {
            config::JwtAlgorithm::Hs256 => None,
            config::JwtAlgorithm::Rs256 => Some(&PKCS_RSA_SHA256),
            config::JwtAlgorithm::Es256 => Some(&PKCS_ECDSA_P256_SHA256),
            config::JwtAlgorithm::EdDsa => Some(&PKCS_ED25519),
        };
        Self {
            algorithm,
            pair: pair.map(|alg| KeyPair::generate_for(alg).unwrap()),
            secret: SECRET.to_owned(),
        }
    }

    pub fn secret(secret: &str) -> Self {
        Self { algorithm: config::JwtAlgorithm::Hs256, pair: None, secret: secret.to_owned() }
    }

    /// What the configuration gets.
    pub fn public(&self) -> String {
        self.pair.as_ref().map_or_else(|| self.secret.clone(), KeyPair::public_key_pem)
    }

    pub fn private_pem(&self) -> String {
        self.pair.as_ref().unwrap().serialize_pem()
    }

    pub fn name(&self) -> &'static str {
        match self.algorithm {
            config::JwtAlgorithm::Hs256 => "HS256",
            config::JwtAlgorithm::Rs256 => "RS256",
            config::JwtAlgorithm::Es256 => "ES256",
            config::JwtAlgorithm::EdDsa => "EdDSA",
        }
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let der = self.pair.as_ref().map(KeyPair::serialize_der).unwrap_or_default();
        match self.algorithm {
            config::JwtAlgorithm::Hs256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
                hmac::sign(&key, message).as_ref().to_vec()
            }
            config::JwtAlgorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(&der).unwrap();
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut out).unwrap();
                out
            }
            config::JwtAlgorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).unwrap();
                pair.sign(&random, message).unwrap().as_ref().to_vec()
            }
            config::JwtAlgorithm::EdDsa => {
                Ed25519KeyPair::from_pkcs8(&der).unwrap().sign(message).as_ref().to_vec()
            }
        }
    }

    /// A token with any header and payload, truly signed.
    pub fn sign_raw(&self, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = URL_SAFE_NO_PAD.encode(self.signature(message.as_bytes()));
        format!("{message}.{signature}")
    }

    pub fn sign(&self, kid: Option<&str>, claims: &Value) -> String {
        let mut header = json!({ "typ": "JWT", "alg": self.name() });
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        self.sign_raw(&header.to_string(), &claims.to_string())
    }

    pub fn key(&self, kid: Option<&str>) -> config::JwtKey {
        config::JwtKey {
            kid: kid.map(str::to_owned),
            algorithm: self.algorithm,
            source: config::KeySource::Inline(config::Secret::new(self.public())),
        }
    }
}

pub fn claims() -> Value {
    json!({ "iss": "mcp-gateway", "aud": "mcp-services", "sub": "alice", "exp": NOW + 300 })
}

/// The claims with some of them changed; `null` removes one.
pub fn claims_with(change: &Value) -> Value {
    let mut claims = claims();
    let object = claims.as_object_mut().unwrap();
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
    claims
}

pub fn jwt(keys: Vec<config::JwtKey>) -> config::Jwt {
    config::Jwt {
        issuer: "mcp-gateway".into(),
        audience: vec!["mcp-services".into()],
        keys,
        leeway: Duration::from_mins(1),
        tenant_claim: None,
        roles_claim: "roles".into(),
        required_scopes: Vec::new(),
    }
}

pub fn authenticator(keys: Vec<config::JwtKey>) -> Authenticator {
    Authenticator::build(&config::Auth::Jwt(jwt(keys))).unwrap()
}

pub fn bearer(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
    headers
}

pub fn ask(authenticator: &Authenticator, token: &str) -> Result<Arc<Principal>, AuthError> {
    authenticator.authenticate(&bearer(token), NOW)
}

#[track_caller]
pub fn refused(authenticator: &Authenticator, token: &str, why: &'static str) {
    // Twice: a bad token must not get in by way of the cache either.
    for _ in 0..2 {
        assert_eq!(ask(authenticator, token).unwrap_err(), AuthError::Invalid(why));
    }
}
