//! What the guard refuses, and the answers that go with it.

/// Why a connection's bytes are refused. The name is the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// No `method SP target SP HTTP/1.x` (RFC 9112 section 3).
    RequestLine,
    /// A line ended by LF alone (section 2.2 allows tolerance; two parsers that differ in it are a smuggling hole).
    BareLf,
    /// CR that no LF follows (section 2.2).
    BareCr,
    /// NUL or another control byte in the head.
    ControlByte,
    /// A line that begins with white space (section 5.2, obs-fold).
    ObsFold,
    /// White space between field name and colon (section 5.1).
    SpaceBeforeColon,
    /// A field line without a name or without a colon.
    FieldLine,
    /// `Content-Length` that is not one run of digits, or beyond 64 bits (RFC 9110 section 8.6).
    BadLength,
    /// More than one `Content-Length`, equal or not.
    DuplicateLength,
    /// `Transfer-Encoding` that is not exactly `chunked`, twice, or in HTTP/1.0 (RFC 9112 section 6.1).
    TransferEncoding,
    /// Both `Content-Length` and `Transfer-Encoding` (section 6.3, rule 3).
    LengthAndEncoding,
    /// No `Host` in HTTP/1.1, or more than one (section 3.2).
    Host,
    /// A `CONNECT` request that declares a body.
    ConnectBody,
    /// Chunk size that is no hexadecimal number of at most 64 bits (section 7.1).
    ChunkSize,
    /// Chunk extensions beyond the limit, or with control bytes.
    ChunkExtension,
    /// Chunk data that CRLF does not end.
    ChunkEnd,
    /// A trailer field that would change the framing (RFC 9110 section 6.5.1).
    Trailer,
    /// Head or trailers larger than `max_header_bytes`.
    HeadTooLarge,
    /// More field lines than `max_headers`.
    TooManyHeaders,
}

impl Violation {
    /// Every violation, in the order of their numbers.
    pub const ALL: [Self; 19] = [
        Self::RequestLine,
        Self::BareLf,
        Self::BareCr,
        Self::ControlByte,
        Self::ObsFold,
        Self::SpaceBeforeColon,
        Self::FieldLine,
        Self::BadLength,
        Self::DuplicateLength,
        Self::TransferEncoding,
        Self::LengthAndEncoding,
        Self::Host,
        Self::ConnectBody,
        Self::ChunkSize,
        Self::ChunkExtension,
        Self::ChunkEnd,
        Self::Trailer,
        Self::HeadTooLarge,
        Self::TooManyHeaders,
    ];

    /// The metric's label and the word in the log.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::RequestLine => "request_line",
            Self::BareLf => "bare_lf",
            Self::BareCr => "bare_cr",
            Self::ControlByte => "control_byte",
            Self::ObsFold => "obs_fold",
            Self::SpaceBeforeColon => "space_before_colon",
            Self::FieldLine => "field_line",
            Self::BadLength => "bad_length",
            Self::DuplicateLength => "duplicate_length",
            Self::TransferEncoding => "transfer_encoding",
            Self::LengthAndEncoding => "length_and_encoding",
            Self::Host => "host",
            Self::ConnectBody => "connect_body",
            Self::ChunkSize => "chunk_size",
            Self::ChunkExtension => "chunk_extension",
            Self::ChunkEnd => "chunk_end",
            Self::Trailer => "trailer",
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyHeaders => "too_many_headers",
        }
    }

    /// Whether the answer is 431 (RFC 6585 section 5) instead of 400.
    pub const fn is_too_large(self) -> bool {
        matches!(self, Self::HeadTooLarge | Self::TooManyHeaders)
    }
}
