//! An authenticated, encrypted stream to another replica, by mutual TLS or from a pre-shared key.

mod identity;
mod material;
mod noise;
mod resolver;
pub(crate) mod stream;
mod tls;

pub(crate) use material::Material;

use crate::error::BuildError;
use holdfast_config::PeerCredentials;
use noise::Psk;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use stream::NoiseStream;
use tls::Tls;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// What proves this replica, and what it takes as proof.
pub(crate) enum Channel {
    Tls(Box<Tls>),
    /// The first is used, all are accepted.
    Psk(Vec<Psk>),
}

/// What let a connection in. A connection ends when a reload takes it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// A name of the certificate, and which set of roots vouched for it.
    Identity { name: Box<str>, roots: [u8; 32] },
    /// A fingerprint of the key.
    Psk([u8; 32]),
}

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    #[error("not accepted: {0}")]
    Credential(&'static str),
    #[error("not accepted: {0}")]
    Tls(rustls::Error),
    #[error("{0}")]
    Protocol(&'static str),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the cryptographic library failed")]
    Crypto,
}

impl ChannelError {
    /// Whether it is about what one side proves, and not about how it speaks.
    pub(crate) fn is_credential(&self) -> bool {
        match self {
            Self::Credential(_) => true,
            Self::Tls(error) => tls::is_credential(error),
            Self::Protocol(_) | Self::Io(_) | Self::Crypto => false,
        }
    }
}

impl Channel {
    /// From what was read of the files.
    pub(crate) fn build(credentials: &PeerCredentials, material: &Material) -> Result<Self, BuildError> {
        Ok(match credentials {
            PeerCredentials::Tls(config) => Self::Tls(Box::new(Tls::build(config, material)?)),
            PeerCredentials::Psk(_) => Self::Psk(material.psks()?),
        })
    }

    /// The dialling side. `host` is what the other side is told it was asked for (SNI); nothing is decided by it.
    pub(crate) async fn connect(
        &self,
        io: TcpStream,
        host: &str,
    ) -> Result<(PeerIo, Credential), ChannelError> {
        match self {
            Self::Tls(tls) => tls.connect(io, host).await,
            Self::Psk(psks) => {
                let psk = psks.first().ok_or(ChannelError::Crypto)?;
                let stream = noise::initiate(io, psk).await?;
                Ok((PeerIo::Noise(Box::new(stream)), Credential::Psk(material::fingerprint(psk))))
            }
        }
    }

    /// The listening side.
    pub(crate) async fn accept(&self, io: TcpStream) -> Result<(PeerIo, Credential), ChannelError> {
        match self {
            Self::Tls(tls) => tls.accept(io).await,
            Self::Psk(psks) => {
                let (stream, index) = noise::respond(io, psks).await?;
                let psk = psks.get(index).ok_or(ChannelError::Crypto)?;
                Ok((PeerIo::Noise(Box::new(stream)), Credential::Psk(material::fingerprint(psk))))
            }
        }
    }

    /// Whether a connection that this let in may go on.
    pub(crate) fn accepts(&self, credential: &Credential) -> bool {
        match (self, credential) {
            (Self::Tls(tls), Credential::Identity { name, roots }) => tls.accepts(name, roots),
            (Self::Psk(psks), Credential::Psk(known)) => {
                psks.iter().any(|psk| material::fingerprint(psk) == *known)
            }
            _ => false,
        }
    }
}

/// The stream.
pub(crate) enum PeerIo {
    Tls(Box<tokio_rustls::TlsStream<TcpStream>>),
    Noise(Box<NoiseStream<TcpStream>>),
}

macro_rules! each {
    ($self:expr, $io:ident => $call:expr) => {
        match $self.get_mut() {
            PeerIo::Tls($io) => {
                let $io = Pin::new(&mut **$io);
                $call
            }
            PeerIo::Noise($io) => {
                let $io = Pin::new(&mut **$io);
                $call
            }
        }
    };
}

impl AsyncRead for PeerIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, io => io.poll_read(cx, buf))
    }
}

impl AsyncWrite for PeerIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, io => io.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => io.poll_shutdown(cx))
    }
}
