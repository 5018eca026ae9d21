//! Why a body is not read.

use std::fmt;

/// A body that is refused: nothing of it is judged or forwarded.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", fault.reason())]
pub struct Unreadable<'a> {
    pub fault: Fault,
    /// The bytes of the id to answer under; `None` where it cannot be read reliably.
    pub id: Option<&'a str>,
}

impl Unreadable<'_> {
    /// JSON-RPC 2.0 section 5.1: -32700, -32600 or, for the parameters of a tool call, -32602.
    pub fn code(&self) -> i64 {
        self.fault.code()
    }

    /// A sentence for the client. It never quotes the body.
    pub fn reason(&self) -> &'static str {
        self.fault.reason()
    }
}

impl fmt::Debug for Unreadable<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Unreadable")
            .field("fault", &self.fault)
            .field("id", &self.id)
            .finish()
    }
}

/// The closed set of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A byte order mark, UTF-16 or UTF-32: to be answered with 415.
    Encoded,
    NotUtf8,
    NotJson,
    Batch,
    NotAnObject,
    DuplicateKey,
    Lookalike,
    ReservedKey,
    TooDeep,
    Version,
    Method,
    RequestAndResponse,
    ResultAndError,
    Id,
    Params,
    NoParams,
    ToolName,
    ToolArguments,
    LongName,
}

impl Fault {
    /// The JSON-RPC error code of the answer.
    pub const fn code(self) -> i64 {
        match self {
            Self::Encoded | Self::NotUtf8 | Self::NotJson => -32700,
            Self::NoParams | Self::ToolName | Self::ToolArguments => -32602,
            _ => -32600,
        }
    }

    /// The reason in words, without anything from the body.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Encoded => "the body must be UTF-8 without a byte order mark",
            Self::NotUtf8 => "the body is not valid UTF-8",
            Self::NotJson => {
                "the body is not valid JSON (lone surrogates and numbers beyond a double are refused too)"
            }
            Self::Batch => "batches are not accepted: send each message by itself",
            Self::NotAnObject => "the body must be one JSON object",
            Self::DuplicateKey => "an object in the body has the same key twice",
            Self::Lookalike => "the body has a key that differs from a known one in case only",
            Self::ReservedKey => "the body has a key that is reserved",
            Self::TooDeep => "the body nests lists and objects too deeply (at most 126 levels)",
            Self::Version => "`jsonrpc` must be \"2.0\"",
            Self::Method => "`method` must be a string",
            Self::RequestAndResponse => "the body is a request and a response at once",
            Self::ResultAndError => "the response has both `result` and `error`",
            Self::Id => "`id` must be a string or a number",
            Self::Params => "`params` and its `_meta` must be objects",
            Self::NoParams => "`params` of tools/call must be an object",
            Self::ToolName => "`params.name` of tools/call must be a string",
            Self::LongName => "`method` or `params.name` has more than 1024 bytes",
            Self::ToolArguments => "`params.arguments` of tools/call must be an object or left out",
        }
    }
}
