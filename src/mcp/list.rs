//! The filter of `tools/list` answers, on their original bytes.
//!
//! Entries are cut out with the comma that belongs to them; every other byte stays. Answers can
//! arrive on any stream (a POST's, a GET's, a replay, `tasks/result`), so each message is looked
//! at by its shape: whatever has `result.tools` is a list of tools, also where that result stands
//! in a task's. What cannot be read without doubt is not passed on.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::text::{Text, is_lookalike, place_of};

/// The longest time that a client may keep a filtered list, in milliseconds: a policy can change.
const TTL_MS: u64 = 1000;

/// What became of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filtered {
    /// The message without the tools that are not visible; `None`: pass it on as it came.
    pub body: Option<Vec<u8>>,
    /// The name of every tool in the message, decoded, before filtering.
    pub names: Vec<String>,
}

/// A message that may hold a list of tools but cannot be filtered: it must not be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfilterable {
    #[error("the server's message is not valid JSON in UTF-8")]
    NotJson,
    #[error("the server's message is neither an object nor a list of objects")]
    NotAMessage,
    #[error("the server's message has `{0}` twice, or beside it a key that differs in case only")]
    Unclear(&'static str),
    #[error("`result.tools` in the server's message is not a list")]
    NotAList,
}

/// Removes the tools that are not `visible` from one JSON-RPC message of a server, or from each
/// of a batch (legacy servers). Names are decoded before they are asked about. An entry whose
/// name cannot be read without doubt (no object, no string, two names) is removed.
///
/// `modern`: the request was of 2026-07-28 or later. A list from which something was removed then
/// says `cacheScope: "private"` and a `ttlMs` of at most 1000, because another grant may see more.
///
/// A message without `result.tools`, and blank input (the data of an SSE priming event), pass.
///
/// # Errors
/// The message is not JSON, or where its list of tools stands can be read in two ways.
pub fn filter_tools(
    message: &[u8],
    modern: bool,
    mut visible: impl FnMut(&str) -> bool,
) -> Result<Filtered, Unfilterable> {
    filter_definitions(message, modern, |name, _| visible(name))
}

/// The same; `visible` is shown the bytes of the whole entry too.
///
/// # Errors
/// As [`filter_tools`].
pub fn filter_definitions(
    message: &[u8],
    modern: bool,
    mut visible: impl FnMut(&str, &str) -> bool,
) -> Result<Filtered, Unfilterable> {
    let text = str::from_utf8(message).map_err(|_| Unfilterable::NotJson)?;
    let mut work = Work {
        text,
        modern,
        edits: Vec::new(),
        names: Vec::new(),
    };
    match text.bytes().find(|byte| !byte.is_ascii_whitespace()) {
        None => {}
        Some(b'[') => {
            let batch: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| Unfilterable::NotJson)?;
            for response in batch {
                work.response(response.get(), &mut visible)?;
            }
        }
        Some(_) => work.response(text, &mut visible)?,
    }
    work.finish()
}

/// A replacement of some bytes of the message.
struct Edit {
    range: Range<usize>,
    with: Cow<'static, str>,
}

/// One entry of a list of tools, by its place in the message.
struct Entry {
    range: Range<usize>,
    keep: bool,
}

struct Work<'a> {
    text: &'a str,
    modern: bool,
    edits: Vec<Edit>,
    names: Vec<String>,
}

impl<'a> Work<'a> {
    fn response(
        &mut self,
        response: &'a str,
        visible: &mut impl FnMut(&str, &str) -> bool,
    ) -> Result<(), Unfilterable> {
        let [result, params] = members(response, ["result", "params"])?;
        if let Some(result) = object(result, "result")? {
            self.result(result, visible)?;
        }
        // a task that tells of its end (`notifications/tasks`, 2026-07-28)
        if let Some(params) = object(params, "params")? {
            let [result] = members(params, ["result"])?;
            if let Some(result) = object(result, "result")? {
                self.result(result, visible)?;
            }
        }
        Ok(())
    }

    fn result(
        &mut self,
        result: &'a str,
        visible: &mut impl FnMut(&str, &str) -> bool,
    ) -> Result<(), Unfilterable> {
        let [tools, scope, ttl, inner] = members(result, ["tools", "cacheScope", "ttlMs", "result"])?;
        // what `tasks/get` answers has the task's own result inside (2026-07-28)
        if let Some(inner) = object(inner, "result")? {
            self.result(inner, visible)?;
        }
        let Some(tools) = tools.once("tools")? else {
            return Ok(());
        };
        let list: Vec<&RawValue> = serde_json::from_str(tools).map_err(|_| Unfilterable::NotAList)?;
        let mut entries = Vec::with_capacity(list.len());
        for raw in list {
            entries.push(Entry {
                range: self.range(raw.get())?,
                keep: self.keep(raw.get(), visible),
            });
        }
        if entries.iter().all(|entry| entry.keep) {
            return Ok(());
        }
        self.cut(&entries);
        if self.modern {
            self.hints(result, scope.once("cacheScope")?, ttl.once("ttlMs")?)?;
        }
        Ok(())
    }

    fn keep(&mut self, entry: &str, visible: &mut impl FnMut(&str, &str) -> bool) -> bool {
        let Ok([Slot::Once(name)]) = members(entry, ["name"]) else {
            return false;
        };
        let Ok(Text(name)) = serde_json::from_str(name) else {
            return false;
        };
        let keep = visible(&name, entry);
        self.names.push(name.into_owned());
        keep
    }

    /// Cuts the entries that go, each with one comma: the one before it where an entry before it
    /// stays, else the one after it.
    fn cut(&mut self, entries: &[Entry]) {
        let mut kept_before = false;
        let mut end_before = None;
        let mut following = entries.iter().skip(1);
        for Entry { range, keep } in entries {
            let next = following.next();
            if *keep {
                kept_before = true;
            } else {
                let cut = match (kept_before, end_before, next) {
                    (true, Some(end), _) => end..range.end,
                    (_, _, Some(next)) => range.start..next.range.start,
                    (_, _, None) => range.clone(),
                };
                self.edits.push(Edit {
                    range: cut,
                    with: Cow::Borrowed(""),
                });
            }
            end_before = Some(range.end);
        }
    }

    fn hints(&mut self, result: &str, scope: Option<&str>, ttl: Option<&str>) -> Result<(), Unfilterable> {
        let mut missing = String::new();
        match scope {
            None => missing.push_str("\"cacheScope\":\"private\","),
            Some("\"private\"") => {}
            Some(raw) => self.replace(raw, Cow::Borrowed("\"private\""))?,
        }
        match ttl {
            None => missing.push_str(&format!("\"ttlMs\":{TTL_MS},")),
            Some(raw) if raw.parse::<u64>().is_ok_and(|ms| ms <= TTL_MS) => {}
            Some(raw) => self.replace(raw, Cow::Owned(TTL_MS.to_string()))?,
        }
        if !missing.is_empty() {
            // After the brace; `tools` follows in any case, so the comma is right.
            let inside = self.range(result)?.start.saturating_add(1);
            self.edits.push(Edit {
                range: inside..inside,
                with: Cow::Owned(missing),
            });
        }
        Ok(())
    }

    fn replace(&mut self, raw: &str, with: Cow<'static, str>) -> Result<(), Unfilterable> {
        let range = self.range(raw)?;
        self.edits.push(Edit { range, with });
        Ok(())
    }

    /// Where `part` stands in the message.
    fn range(&self, part: &str) -> Result<Range<usize>, Unfilterable> {
        place_of(self.text, part).ok_or(Unfilterable::NotAMessage)
    }

    fn finish(mut self) -> Result<Filtered, Unfilterable> {
        if self.edits.is_empty() {
            return Ok(Filtered {
                body: None,
                names: self.names,
            });
        }
        self.edits.sort_by_key(|edit| edit.range.start);
        let mut body = String::with_capacity(self.text.len().saturating_add(64));
        let mut done = 0;
        for Edit { range, with } in &self.edits {
            body.push_str(
                self.text
                    .get(done..range.start)
                    .ok_or(Unfilterable::NotAMessage)?,
            );
            body.push_str(with);
            done = range.end;
        }
        body.push_str(self.text.get(done..).ok_or(Unfilterable::NotAMessage)?);
        Ok(Filtered {
            body: Some(body.into_bytes()),
            names: self.names,
        })
    }
}

/// One wanted member of an object.
#[derive(Clone, Copy)]
enum Slot<'a> {
    Absent,
    Once(&'a str),
    /// There twice, or beside it a key that readers who ignore case take for it.
    Unclear,
}

impl<'a> Slot<'a> {
    fn once(self, name: &'static str) -> Result<Option<&'a str>, Unfilterable> {
        match self {
            Self::Absent => Ok(None),
            Self::Once(raw) => Ok(Some(raw)),
            Self::Unclear => Err(Unfilterable::Unclear(name)),
        }
    }
}

/// The member, where it is an object.
fn object<'a>(slot: Slot<'a>, name: &'static str) -> Result<Option<&'a str>, Unfilterable> {
    Ok(slot.once(name)?.filter(|raw| raw.starts_with('{')))
}

/// The bytes of the wanted members of one object, found by decoded keys.
fn members<'a, const N: usize>(
    object: &'a str,
    wanted: [&'static str; N],
) -> Result<[Slot<'a>; N], Unfilterable> {
    let mut json = serde_json::Deserializer::from_str(object);
    let read = MembersSeed(wanted)
        .deserialize(&mut json)
        .and_then(|slots| json.end().map(|()| slots));
    read.map_err(|error| {
        if error.is_data() {
            Unfilterable::NotAMessage
        } else {
            Unfilterable::NotJson
        }
    })
}

struct MembersSeed<const N: usize>([&'static str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for MembersSeed<N> {
    type Value = [Slot<'de>; N];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for MembersSeed<N> {
    type Value = [Slot<'de>; N];

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut slots = [Slot::Absent; N];
        while let Some(Text(key)) = map.next_key()? {
            let mut raw = None;
            for (slot, name) in slots.iter_mut().zip(self.0) {
                if key == name {
                    let value = map.next_value::<&RawValue>()?.get();
                    *slot = if matches!(slot, Slot::Absent) {
                        Slot::Once(value)
                    } else {
                        Slot::Unclear
                    };
                    raw = Some(value);
                } else if is_lookalike(&key, &[name]) {
                    *slot = Slot::Unclear;
                }
            }
            if raw.is_none() {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(slots)
    }
}

#[cfg(test)]
mod tests;
