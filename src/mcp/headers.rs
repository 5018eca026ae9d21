//! The headers that mirror the body (MCP 2026-07-28, Streamable HTTP, "Standard Request Headers").
//!
//! The body decides; a header that is there and says something else is refused, because a server
//! or another gate may have decided by it.

use std::borrow::Cow;

use data_encoding::BASE64;

use super::envelope::Envelope;

/// JSON-RPC error code `HeaderMismatch` of MCP 2026-07-28.
pub const MISMATCH_CODE: i64 = -32020;

/// The first revision without sessions, with `resultType` and caching hints in results.
const MODERN: &str = "2026-07-28";

/// Whether this can be the name of a revision: a date (`YYYY-MM-DD`).
pub fn is_revision(version: &str) -> bool {
    version.len() == MODERN.len()
        && version
            .bytes()
            .zip(MODERN.bytes())
            .all(|(byte, pattern)| match pattern {
                b'-' => byte == b'-',
                _ => byte.is_ascii_digit(),
            })
}

/// Whether a protocol version is 2026-07-28 or later.
pub fn is_modern(version: &str) -> bool {
    is_revision(version) && version >= MODERN
}

/// A header that is there and differs from the body; to be answered with 400 and
/// [`MISMATCH_CODE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("header mismatch: `{header}` does not say what the body says")]
pub struct Mismatch {
    pub header: &'static str,
}

/// Compares the headers that are there with the body, byte by byte.
///
/// `Mcp-Name` mirrors `params.name` (`tools/call`, `prompts/get`), `params.uri`
/// (`resources/read`) or `params.taskId` (`tasks/…`) and may be Base64 between `=?base64?` and
/// `?=`; with other methods it mirrors nothing and is not looked at. `MCP-Protocol-Version` is
/// compared where the body names a version too.
///
/// # Errors
/// The first header that differs, cannot be decoded, or mirrors a member that the body lacks.
pub fn agree(
    envelope: &Envelope<'_>,
    mcp_method: Option<&[u8]>,
    mcp_name: Option<&[u8]>,
    protocol_version: Option<&[u8]>,
) -> Result<(), Mismatch> {
    let method = envelope.method.as_deref();
    if mcp_method.is_some_and(|value| method.map(str::as_bytes) != Some(value)) {
        return Err(Mismatch { header: "Mcp-Method" });
    }
    if let Some(value) = mcp_name
        && let Some(name) = mirrored(envelope)
        && (name.is_none() || decoded(value).as_deref() != name.map(str::as_bytes))
    {
        return Err(Mismatch { header: "Mcp-Name" });
    }
    if let (Some(value), Some(version)) = (protocol_version, envelope.protocol_version())
        && value != version.as_bytes()
    {
        return Err(Mismatch {
            header: "MCP-Protocol-Version",
        });
    }
    Ok(())
}

/// The value of `Mcp-Name` that says what the body says; `None` where there is nothing to mirror. What a header
/// cannot carry as it is stands in Base64.
pub fn name_header(envelope: &Envelope<'_>) -> Option<String> {
    let name = mirrored(envelope)??;
    let plain = name.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && name.trim() == name
        && !name.starts_with("=?base64?");
    Some(if plain {
        name.to_owned()
    } else {
        format!("=?base64?{}?=", BASE64.encode(name.as_bytes()))
    })
}

/// What `Mcp-Name` mirrors: `None` for methods without such a member, `Some(None)` where the
/// member is missing or no string.
fn mirrored<'e>(envelope: &'e Envelope<'_>) -> Option<Option<&'e str>> {
    let params = envelope.params.as_ref();
    let field = match envelope.method.as_deref()? {
        "tools/call" | "prompts/get" => params.map(|params| &params.name),
        "resources/read" => params.map(|params| &params.uri),
        method if method.starts_with("tasks/") => params.map(|params| &params.task_id),
        _ => return None,
    };
    Some(field.and_then(|field| field.text()))
}

/// The value without its Base64 sentinel; `None` where what is inside is not Base64.
fn decoded(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    match value
        .strip_prefix(b"=?base64?")
        .and_then(|rest| rest.strip_suffix(b"?="))
    {
        Some(inside) => BASE64.decode(inside).ok().map(Cow::Owned),
        None => Some(Cow::Borrowed(value)),
    }
}

#[cfg(test)]
mod tests;
