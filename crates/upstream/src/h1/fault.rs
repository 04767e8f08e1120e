//! How an upstream can break HTTP/1.1.

/// What is wrong with a response. The connection is closed, and nothing of the message reaches a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// No status line, or a field line that is none: obs-fold, a space before the colon, NUL, a bare CR.
    #[error("the response head is malformed")]
    Head,
    #[error("a line of the response ends in LF without CR")]
    BareLf,
    #[error("the response head is larger than {} bytes", super::response::HEAD_BYTES_MAX)]
    HeadTooLarge,
    #[error("the response has more than {} header lines", super::section::LINES_MAX)]
    TooManyHeaders,
    #[error("the response has both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    #[error("the response has more than one Content-Length")]
    DuplicateLength,
    #[error("the Content-Length of the response is no number")]
    BadLength,
    #[error("the Transfer-Encoding of the response is not exactly `chunked`, or its version is HTTP/1.0")]
    Encoding,
    #[error("more than {} interim responses", super::response::INTERIM_MAX)]
    TooManyInterim,
    #[error("a response came before anything was asked")]
    Unsolicited,
    #[error("the size of a chunk is malformed")]
    ChunkSize,
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    #[error("the chunk extensions of the body are malformed or too long")]
    ChunkExtension,
    #[error("a trailer line is malformed, or says how the message is framed")]
    Trailer,
    #[error("the trailers are larger than {} bytes", super::chunks::TRAILER_BYTES_MAX)]
    TrailersTooLarge,
    #[error("the connection was closed in the middle of the response head")]
    TruncatedHead,
    #[error("the connection was closed in the middle of the response body")]
    TruncatedBody,
    #[error("the connection was closed before a response")]
    NoResponse,
}
