//! The question: one message, in the bytes that a client would send.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::value::RawValue;

use super::Options;
use crate::document::MAX_BYTES;

/// The message. Flags become a `tools/call` too, so that one strict reader judges them all.
pub(super) fn body(options: &Options) -> anyhow::Result<Vec<u8>> {
    if let Some(path) = &options.call {
        let bytes = read(path).with_context(|| format!("{}: cannot read the call", path.display()))?;
        return Ok(as_message(bytes));
    }
    if let Some(method) = &options.method {
        if method == "tools/call" {
            bail!("a tools/call is explained with --tool NAME or --call FILE");
        }
        let method = serde_json::to_string(method)?;
        return Ok(format!(r#"{{"jsonrpc":"2.0","id":1,"method":{method}}}"#).into_bytes());
    }
    let name = serde_json::to_string(options.tool.as_deref().unwrap_or_default())?;
    let arguments = arguments(options)?;
    Ok(tool_call(&format!(
        r#"{{"name":{name},"arguments":{arguments}}}"#
    )))
}

fn tool_call(params: &str) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#).into_bytes()
}

fn arguments(options: &Options) -> anyhow::Result<String> {
    let text = match (&options.args, &options.args_file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => {
            let bytes =
                read(path).with_context(|| format!("{}: cannot read the arguments", path.display()))?;
            String::from_utf8(bytes)
                .with_context(|| format!("{}: the arguments are not UTF-8", path.display()))?
        }
        (None, None) => return object("--arg", &options.arg),
    };
    // What is not one JSON value must not spill into the message around it.
    if serde_json::from_str::<&RawValue>(&text).is_err() {
        bail!("the arguments are not JSON: write an object, as in --args '{{\"branch\": \"main\"}}'");
    }
    Ok(text)
}

/// `K=V` pairs as the text of an object. A key that stands twice stays so, for the strict reader to refuse.
pub(super) fn object(flag: &str, pairs: &[String]) -> anyhow::Result<String> {
    let mut members = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=') else {
            bail!("{flag} takes KEY=VALUE, and one has no `=`");
        };
        let value = match serde_json::from_str::<&RawValue>(value) {
            Ok(json) => json.get().to_owned(),
            Err(_) => serde_json::to_string(value)?,
        };
        members.push(format!("{}:{value}", serde_json::to_string(key)?));
    }
    Ok(format!("{{{}}}", members.join(",")))
}

/// A bare `{"name": …, "arguments": …}` becomes the message around it; everything else is one already, or is
/// refused as the proxy would.
fn as_message(bytes: Vec<u8>) -> Vec<u8> {
    let bare = match serde_json::from_slice::<BTreeMap<String, &RawValue>>(&bytes) {
        Ok(members) => {
            members.contains_key("name")
                && !members.contains_key("method")
                && !members.contains_key("jsonrpc")
        }
        Err(_) => false,
    };
    match str::from_utf8(&bytes) {
        Ok(text) if bare => tool_call(text),
        _ => bytes,
    }
}

/// Reads at most one byte more than a document may have.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if path == Path::new("-") {
        return bounded(io::stdin());
    }
    bounded(File::open(path)?)
}

fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    from.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        let message = format!("it has more than {MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}
