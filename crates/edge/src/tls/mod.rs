//! TLS of one listener: versions, suites, certificates by server name, replaced while running.

mod certificate;
mod suites;

pub use certificate::CertificateError;
pub use suites::UnknownSuite;
pub(crate) use suites::suite_name;

use arc_swap::ArcSwap;
use certificate::{Contents, Loaded};
use holdfast_config::{Certificate, ServerTls, TlsVersion};
use parking_lot::Mutex;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Why a listener's TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// No certificate is configured.
    #[error("tls.certificates is empty: a TLS listener needs at least one certificate")]
    Empty,
    /// A certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A suite is not known.
    #[error(transparent)]
    Suite(#[from] UnknownSuite),
    /// rustls refused the combination.
    #[error("TLS settings are contradictory: {0}")]
    Rustls(#[from] rustls::Error),
}

/// A served certificate, for metrics and status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateView {
    /// Listener's name.
    pub listener: Arc<str>,
    /// Certificate file.
    pub file: PathBuf,
    /// DNS names it covers.
    pub names: Vec<Box<str>>,
    /// `notAfter`, Unix seconds.
    pub not_after: i64,
}

/// What one look at the files found.
#[derive(Debug)]
pub(crate) enum Polled {
    /// These files (by index) are served in a new version.
    Changed(Vec<usize>),
    /// The file of this index changed, but cannot be used: the old one goes on.
    Failed(usize, CertificateError),
}

/// TLS of one listener.
pub(crate) struct ListenerTls {
    pub(crate) config: Arc<ServerConfig>,
    resolver: Arc<Resolver>,
    provider: Arc<CryptoProvider>,
    files: Mutex<Vec<Watched>>,
}

struct Watched {
    files: Certificate,
    contents: Contents,
    loaded: Loaded,
    /// What was last refused, so that it is reported once.
    refused: Option<Contents>,
}

impl ListenerTls {
    /// Reads and checks everything; an error leaves nothing half done.
    pub(crate) fn build(tls: &ServerTls) -> Result<Self, TlsError> {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites = suites::select(&provider, &tls.preferred_ciphers)?;
        let provider = Arc::new(provider);
        let mut watched = Vec::with_capacity(tls.certificates.len());
        for files in &tls.certificates {
            let contents = Contents::read(files)?;
            let loaded = Loaded::build(files, &contents, &provider, unix_now())?;
            watched.push(Watched { files: files.clone(), contents, loaded, refused: None });
        }
        let table = Table::new(&watched).ok_or(TlsError::Empty)?;
        let resolver = Arc::new(Resolver { table: ArcSwap::from_pointee(table) });
        let versions: &[_] = match tls.minimum_version {
            TlsVersion::V1_2 => &[&TLS13, &TLS12],
            TlsVersion::V1_3 => &[&TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&resolver) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // The order of the list is the operator's, not the client's.
        config.ignore_client_order = true;
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(Self { config: Arc::new(config), resolver, provider, files: Mutex::new(watched) })
    }

    /// Looks at the files; what changed and is sound is served from the next handshake on.
    pub(crate) fn poll(&self) -> Vec<Polled> {
        let mut watched = self.files.lock();
        let (mut found, mut changed) = (Vec::new(), Vec::new());
        for (index, entry) in watched.iter_mut().enumerate() {
            match entry.look(&self.provider) {
                Ok(false) => {}
                Ok(true) => changed.push(index),
                Err(error) => found.push(Polled::Failed(index, error)),
            }
        }
        if !changed.is_empty()
            && let Some(table) = Table::new(&watched)
        {
            self.resolver.table.store(Arc::new(table));
            found.push(Polled::Changed(changed));
        }
        found
    }

    /// What is served now.
    pub(crate) fn view(&self, listener: &Arc<str>) -> Vec<CertificateView> {
        let view = |entry: &Watched| CertificateView {
            listener: Arc::clone(listener),
            file: entry.files.cert_file.clone(),
            names: entry.loaded.names.clone(),
            not_after: entry.loaded.not_after,
        };
        self.files.lock().iter().map(view).collect()
    }
}

impl Watched {
    /// Whether a new version is in place. The same broken version is an error only once; unreadable files are one each time.
    fn look(&mut self, provider: &CryptoProvider) -> Result<bool, CertificateError> {
        let contents = Contents::read(&self.files)?;
        if contents == self.contents || self.refused.as_ref() == Some(&contents) {
            return Ok(false);
        }
        match Loaded::build(&self.files, &contents, provider, unix_now()) {
            Ok(loaded) => {
                (self.loaded, self.contents, self.refused) = (loaded, contents, None);
                Ok(true)
            }
            Err(error) => {
                self.refused = Some(contents);
                Err(error)
            }
        }
    }
}

/// Certificates by name.
#[derive(Debug)]
struct Table {
    exact: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// Keyed by what follows `*.`.
    wildcard: HashMap<Box<str>, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
}

impl Table {
    fn new(watched: &[Watched]) -> Option<Self> {
        let default = Arc::clone(&watched.first()?.loaded.key);
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for entry in watched {
            for name in &entry.loaded.names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut wildcard, parent),
                    None => (&mut exact, &**name),
                };
                // The first certificate that covers a name wins, as the first is the default.
                map.entry(name.into()).or_insert_with(|| Arc::clone(&entry.loaded.key));
            }
        }
        Some(Self { exact, wildcard, default })
    }

    /// RFC 6125 section 6.4.3: a wildcard stands for exactly one label.
    fn find(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let found = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let exact = self.exact.get(name.as_str());
            exact.or_else(|| name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent)))
        });
        Arc::clone(found.unwrap_or(&self.default))
    }
}

#[derive(Debug)]
struct Resolver {
    table: ArcSwap<Table>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.table.load().find(hello.server_name()))
    }
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
