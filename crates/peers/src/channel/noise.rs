//! The handshake from a pre-shared key: `NNpsk0`, two messages of 48 bytes, nothing else in them.

use super::{ChannelError, resolver::AwsLc, stream::NoiseStream};
use snow::{Builder, HandshakeState, params::NoiseParams};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The key is mixed in before the first message (psk0): the listener knows a stranger by it, and answers none.
pub(super) const PATTERN: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";

/// Bound into both handshakes: the same key used for something else gives other keys.
pub(super) const PROLOGUE: &[u8] = b"holdfast peer channel 1";

/// An ephemeral key and the tag of an empty payload.
const MESSAGE_LEN: usize = 32 + 16;

/// A pre-shared key, stretched.
pub(crate) type Psk = [u8; 32];

/// Proves the key to the other side, and has it prove the key.
pub(super) async fn initiate<T>(mut io: T, psk: &Psk) -> Result<NoiseStream<T>, ChannelError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut state = build(psk, Side::Initiator)?;
    send(&mut io, &mut state).await?;
    // Whoever does not know the key closes without a word.
    let message = receive(&mut io).await.map_err(|error| match error {
        ChannelError::Io(cause) if is_closed(&cause) => {
            ChannelError::Credential("the other side closed: it has another key, or is no peer port")
        }
        error => error,
    })?;
    open(&mut state, &message).map_err(|_| ChannelError::Credential("the other side has another key"))?;
    finish(io, state)
}

/// The other end of [`initiate`]. The number is that of the key which the other side used.
pub(super) async fn respond<T>(mut io: T, psks: &[Psk]) -> Result<(NoiseStream<T>, usize), ChannelError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let message = receive(&mut io).await?;
    for (index, psk) in psks.iter().enumerate() {
        let mut state = build(psk, Side::Responder)?;
        if open(&mut state, &message).is_ok() {
            send(&mut io, &mut state).await?;
            return Ok((finish(io, state)?, index));
        }
    }
    Err(ChannelError::Credential("it does not know a key of ours"))
}

#[derive(Clone, Copy)]
enum Side {
    Initiator,
    Responder,
}

fn build(psk: &Psk, side: Side) -> Result<HandshakeState, ChannelError> {
    let params: NoiseParams = PATTERN.parse().map_err(|_| ChannelError::Crypto)?;
    let builder = Builder::with_resolver(params, Box::new(AwsLc)).psk(0, psk);
    let builder = builder.and_then(|builder| builder.prologue(PROLOGUE)).map_err(|_| ChannelError::Crypto)?;
    let state = match side {
        Side::Initiator => builder.build_initiator(),
        Side::Responder => builder.build_responder(),
    };
    state.map_err(|_| ChannelError::Crypto)
}

async fn send<T: AsyncWrite + Unpin>(io: &mut T, state: &mut HandshakeState) -> Result<(), ChannelError> {
    let mut frame = [0; 2 + MESSAGE_LEN];
    let (head, body) = frame.split_at_mut(2);
    if state.write_message(&[], body).map_err(|_| ChannelError::Crypto)? != MESSAGE_LEN {
        return Err(ChannelError::Crypto);
    }
    head.copy_from_slice(&(MESSAGE_LEN as u16).to_be_bytes());
    io.write_all(&frame).await?;
    Ok(io.flush().await?)
}

async fn receive<T: AsyncRead + Unpin>(io: &mut T) -> Result<[u8; MESSAGE_LEN], ChannelError> {
    let mut head = [0; 2];
    io.read_exact(&mut head).await?;
    if usize::from(u16::from_be_bytes(head)) != MESSAGE_LEN {
        // 0x16 0x03 begins a TLS hello, `GE` or `PO` a plain request.
        return Err(ChannelError::Protocol("the other side does not begin with our handshake"));
    }
    let mut message = [0; MESSAGE_LEN];
    io.read_exact(&mut message).await?;
    Ok(message)
}

fn open(state: &mut HandshakeState, message: &[u8; MESSAGE_LEN]) -> Result<(), snow::Error> {
    state.read_message(message, &mut [0; MESSAGE_LEN]).map(|_| ())
}

fn finish<T>(io: T, state: HandshakeState) -> Result<NoiseStream<T>, ChannelError> {
    Ok(NoiseStream::new(io, state.into_transport_mode().map_err(|_| ChannelError::Crypto)?))
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

#[cfg(test)]
#[path = "noise_tests.rs"]
mod tests;
