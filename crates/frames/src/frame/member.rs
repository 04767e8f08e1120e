//! The members of a message that the gateway looks at, and how a key becomes one of them.

/// A place in a message whose range is remembered while it is parsed.
///
/// `Body` members are direct members of `params` (requests, notifications) or of `result` (responses).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Member {
    /// `jsonrpc`
    JsonRpc,
    /// `id`
    Id,
    /// `method`
    Method,
    /// `params`
    Params,
    /// `result`
    Result,
    /// `error`
    Error,
    /// Body `name`
    Name,
    /// Body `uri`
    Uri,
    /// Body `taskId`
    TaskId,
    /// Body `task` (2025-11-25: the request's augmentation, or the created task)
    Task,
    /// Body `tasks` (`tasks/list`, 2025-11-25)
    Tasks,
    /// Body `cursor`
    Cursor,
    /// Body `nextCursor`
    NextCursor,
    /// Body `requestState`
    RequestState,
    /// Body `inputResponses`
    InputResponses,
    /// Body `resultType`
    ResultType,
    /// Body `arguments`
    Arguments,
    /// Body `tools`
    Tools,
    /// Body `notifications` (the filter of `subscriptions/listen` and of its acknowledgement)
    Notifications,
    /// Body `requestId` (`notifications/cancelled`)
    RequestId,
    /// Body `progressToken` (`notifications/progress`)
    ProgressToken,
    /// Body `protocolVersion` (`initialize`)
    ProtocolVersion,
    /// Body `supportedVersions` (`server/discover`)
    SupportedVersions,
    /// Body `capabilities` (`initialize`, `server/discover`)
    Capabilities,
    /// Body `clientInfo`
    ClientInfo,
    /// Body `serverInfo`
    ServerInfo,
    /// Body `level` (`logging/setLevel`)
    Level,
    /// Body `isError` (`tools/call`), where it is `true`
    IsError,
    /// Body `_meta`
    Meta,
    /// `_meta.progressToken`
    MetaProgressToken,
    /// `_meta["io.modelcontextprotocol/protocolVersion"]`
    MetaProtocolVersion,
    /// `_meta["io.modelcontextprotocol/clientInfo"]`
    MetaClientInfo,
    /// `_meta["io.modelcontextprotocol/clientCapabilities"]`
    MetaClientCapabilities,
    /// `_meta["io.modelcontextprotocol/logLevel"]`
    MetaLogLevel,
    /// `_meta["io.modelcontextprotocol/subscriptionId"]`
    MetaSubscriptionId,
    /// `_meta["io.modelcontextprotocol/serverInfo"]`
    MetaServerInfo,
    /// `_meta["io.modelcontextprotocol/related-task"]` (2025-11-25)
    MetaRelatedTask,
    /// `_meta.traceparent`
    MetaTraceparent,
    /// `_meta.tracestate`
    MetaTracestate,
    /// `_meta.baggage`
    MetaBaggage,
    /// `_meta["holdfast/sessionId"]`: the gateway's own, to clients that ask for it
    MetaSession,
}

impl Member {
    /// How many there are.
    pub(super) const COUNT: usize = Self::MetaSession as usize + 1;

    /// The key as it is spelt on the wire.
    pub fn key(self) -> &'static str {
        KEYS[self as usize]
    }
}

/// Prefix of the keys that the specification reserves in `_meta`.
const RESERVED: &[u8] = b"io.modelcontextprotocol/";

/// In the order of `Member`.
const KEYS: [&str; Member::COUNT] = [
    "jsonrpc",
    "id",
    "method",
    "params",
    "result",
    "error",
    "name",
    "uri",
    "taskId",
    "task",
    "tasks",
    "cursor",
    "nextCursor",
    "requestState",
    "inputResponses",
    "resultType",
    "arguments",
    "tools",
    "notifications",
    "requestId",
    "progressToken",
    "protocolVersion",
    "supportedVersions",
    "capabilities",
    "clientInfo",
    "serverInfo",
    "level",
    "isError",
    "_meta",
    "progressToken",
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/logLevel",
    "io.modelcontextprotocol/subscriptionId",
    "io.modelcontextprotocol/serverInfo",
    "io.modelcontextprotocol/related-task",
    "traceparent",
    "tracestate",
    "baggage",
    "holdfast/sessionId",
];

/// The member a key names, and whether it is spelt exactly so (else it differs by ASCII case).
pub(super) type Found = Option<(Member, bool)>;

/// Members of the envelope.
pub(super) fn envelope(key: &[u8]) -> Found {
    use Member::{Error, Id, JsonRpc, Method, Params, Result};
    pick(
        key,
        match key.len() {
            2 => &[Id],
            5 => &[Error],
            6 => &[Method, Params, Result],
            7 => &[JsonRpc],
            _ => return None,
        },
    )
}

/// Members of `params` and `result`.
pub(super) fn body(key: &[u8]) -> Found {
    use Member::{
        Arguments, Capabilities, ClientInfo, Cursor, InputResponses, IsError, Level, Meta, Name, NextCursor,
        Notifications, ProgressToken, ProtocolVersion, RequestId, RequestState, ResultType, ServerInfo,
        SupportedVersions, Task, TaskId, Tasks, Tools, Uri,
    };
    pick(
        key,
        match key.len() {
            3 => &[Uri],
            4 => &[Name, Task],
            5 => &[Meta, Tools, Level, Tasks],
            6 => &[TaskId, Cursor],
            7 => &[IsError],
            9 => &[Arguments, RequestId],
            10 => &[ResultType, NextCursor, ClientInfo, ServerInfo],
            12 => &[RequestState, Capabilities],
            13 => &[ProgressToken, Notifications],
            14 => &[InputResponses],
            15 => &[ProtocolVersion],
            17 => &[SupportedVersions],
            _ => return None,
        },
    )
}

/// Members of `_meta`.
pub(super) fn meta(key: &[u8]) -> Found {
    use Member::{
        MetaBaggage, MetaClientCapabilities, MetaClientInfo, MetaLogLevel, MetaProgressToken,
        MetaProtocolVersion, MetaRelatedTask, MetaServerInfo, MetaSession, MetaSubscriptionId,
        MetaTraceparent, MetaTracestate,
    };
    let candidates: &[Member] = if key.len() > RESERVED.len() {
        match key.len() - RESERVED.len() {
            8 => &[MetaLogLevel],
            10 => &[MetaClientInfo, MetaServerInfo],
            12 => &[MetaRelatedTask],
            14 => &[MetaSubscriptionId],
            15 => &[MetaProtocolVersion],
            18 => &[MetaClientCapabilities],
            _ => return None,
        }
    } else {
        match key.len() {
            7 => &[MetaBaggage],
            10 => &[MetaTracestate],
            11 => &[MetaTraceparent],
            13 => &[MetaProgressToken],
            18 => &[MetaSession],
            _ => return None,
        }
    };
    pick(key, candidates)
}

#[inline]
fn pick(key: &[u8], candidates: &[Member]) -> Found {
    let first = key.first()?.to_ascii_lowercase();
    candidates.iter().find_map(|&member| {
        let name = member.key().as_bytes();
        // Few names of one length begin alike: the rest is compared for those alone.
        if name.first() != Some(&first) {
            return None;
        }
        (name == key)
            .then_some((member, true))
            .or_else(|| name.eq_ignore_ascii_case(key).then_some((member, false)))
    })
}

#[cfg(test)]
mod tests {
    use super::{KEYS, Member, body, envelope, meta};

    #[test]
    fn every_key_is_found_by_exactly_one_table_entry() {
        for (index, key) in KEYS.iter().enumerate() {
            let found = [envelope(key.as_bytes()), body(key.as_bytes()), meta(key.as_bytes())];
            let hits = found.iter().flatten().filter(|(member, exact)| *member as usize == index && *exact);
            assert_eq!(hits.count(), 1, "{key}");
        }
    }

    #[test]
    fn another_case_is_found_as_inexact() {
        assert_eq!(envelope(b"Method"), Some((Member::Method, false)));
        assert_eq!(body(b"NAME"), Some((Member::Name, false)));
        assert_eq!(body(b"nam"), None);
    }
}
