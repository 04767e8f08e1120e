//! TLS 1.2 suites by name.

use rustls::{CipherSuite, SupportedCipherSuite, crypto::CryptoProvider};

/// OpenSSL's names of the suites that exist here; the IANA name is the suite's own.
const OPENSSL_NAMES: [(&str, CipherSuite); 6] = [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// A name that is no TLS 1.2 suite of this build.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown cipher suite `{name}`; the TLS 1.2 suites are {known}")]
pub struct UnknownSuite {
    /// The name.
    pub name: String,
    /// The names that exist.
    pub known: String,
}

/// The suites of `provider` in the order of `preferred`; empty keeps the library's own. TLS 1.3 suites stay, in front: the list
/// concerns TLS 1.2 only.
pub(crate) fn select(
    provider: &CryptoProvider,
    preferred: &[String],
) -> Result<Vec<SupportedCipherSuite>, UnknownSuite> {
    let all = &provider.cipher_suites;
    if preferred.is_empty() {
        return Ok(all.clone());
    }
    let mut chosen: Vec<_> = all.iter().copied().filter(|suite| suite.tls13().is_some()).collect();
    for name in preferred {
        let suite = find(all, name).ok_or_else(|| UnknownSuite { name: name.clone(), known: known() })?;
        if !chosen.contains(&suite) {
            chosen.push(suite);
        }
    }
    Ok(chosen)
}

fn find(all: &[SupportedCipherSuite], name: &str) -> Option<SupportedCipherSuite> {
    let by_openssl = OPENSSL_NAMES.iter().find(|(openssl, _)| *openssl == name).map(|(_, suite)| *suite);
    all.iter().copied().find(|suite| {
        suite.tls13().is_none()
            && by_openssl.map_or_else(|| suite_name(suite.suite()) == name, |wanted| suite.suite() == wanted)
    })
}

fn known() -> String {
    OPENSSL_NAMES.map(|(name, _)| name).join(", ")
}

/// IANA name of a suite.
pub(crate) fn suite_name(suite: CipherSuite) -> &'static str {
    suite.as_str().unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::aws_lc_rs::default_provider;

    fn names(preferred: &[&str]) -> Result<Vec<&'static str>, UnknownSuite> {
        let preferred: Vec<_> = preferred.iter().map(|name| (*name).to_owned()).collect();
        let suites = select(&default_provider(), &preferred)?;
        Ok(suites.iter().filter(|s| s.tls13().is_none()).map(|s| suite_name(s.suite())).collect())
    }

    #[test]
    fn both_spellings_are_known_and_order_is_kept() {
        let chosen = names(&["ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]);
        let expected =
            ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"].to_vec();
        assert_eq!(chosen, Ok(expected));
        for (name, _) in OPENSSL_NAMES {
            assert_eq!(names(&[name]).map(|found| found.len()), Ok(1), "{name}");
        }
    }

    #[test]
    fn an_unknown_or_tls_1_3_name_is_an_error_that_lists_the_known_ones() {
        for name in ["RC4-MD5", "TLS13_AES_128_GCM_SHA256", ""] {
            let error = names(&[name]).expect_err("unknown");
            assert!(error.to_string().contains("ECDHE-ECDSA-AES128-GCM-SHA256"), "{error}");
        }
    }

    #[test]
    fn tls_1_3_stays_on_whatever_is_preferred() {
        let suites = select(&default_provider(), &["ECDHE-RSA-AES128-GCM-SHA256".to_owned()]).expect("known");
        assert!(suites.iter().filter(|suite| suite.tls13().is_some()).count() >= 2);
    }
}
