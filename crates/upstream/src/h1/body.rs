//! Response bodies: the next frame out of what was received.

use super::{
    chunks::{Chunk, Chunks},
    fault::Fault,
    response::Framing,
};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::SizeHint;

/// Reads one body.
#[derive(Clone, Debug)]
pub(super) enum BodyReader {
    Done,
    Length(u64),
    Chunked(Chunks),
    Close,
}

/// What comes next in a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    /// Nothing without more bytes.
    More,
}

impl BodyReader {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunks::new()),
            Framing::Close => Self::Close,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Takes the next piece off the front of `buffer`.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Piece, Fault> {
        let piece = match self {
            Self::Done => Piece::End,
            Self::Length(_) | Self::Close if buffer.is_empty() => Piece::More,
            Self::Length(left) => {
                let here = buffer.len();
                let taken = usize::try_from(*left).map_or(here, |left| left.min(here));
                *left -= taken as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                Piece::Data(buffer.split_to(taken).freeze())
            }
            Self::Close => Piece::Data(buffer.split().freeze()),
            Self::Chunked(chunks) => match chunks.next(buffer)? {
                Chunk::Data(data) => {
                    // The last chunk often comes with the data before it; then the connection is free at once.
                    if chunks.ends_with(buffer) {
                        *self = Self::Done;
                    }
                    Piece::Data(data)
                }
                Chunk::Trailers(fields) => {
                    *self = Self::Done;
                    Piece::Trailers(fields)
                }
                Chunk::End => {
                    *self = Self::Done;
                    Piece::End
                }
                Chunk::More => Piece::More,
            },
        };
        Ok(piece)
    }

    /// The connection was closed and everything that came was taken. Only a body without a length may end like that.
    pub(super) fn closed(&mut self) -> Result<(), Fault> {
        match self {
            Self::Done => Ok(()),
            Self::Close => {
                *self = Self::Done;
                Ok(())
            }
            Self::Length(_) | Self::Chunked(_) => Err(Fault::TruncatedBody),
        }
    }

    /// How many bytes are known to follow.
    pub(super) fn left(&self) -> u64 {
        match self {
            Self::Length(left) => *left,
            Self::Chunked(chunks) => chunks.left(),
            Self::Done | Self::Close => 0,
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Done => SizeHint::with_exact(0),
            Self::Length(left) => SizeHint::with_exact(*left),
            Self::Chunked(_) | Self::Close => SizeHint::default(),
        }
    }
}
