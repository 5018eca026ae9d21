//! A server's list of tools, as a client of it reads it: from one answer to `tools/list`, or from a file in which
//! such a list was recorded.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// One tool that a server offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name, decoded.
    pub name: String,
    /// The whole object that describes it.
    pub definition: Value,
    /// The same as it was sent.
    pub text: String,
}

impl Tool {
    /// The JSON Schema of its arguments; `None` where the server gives none.
    pub fn input_schema(&self) -> Option<&Value> {
        self.definition.get("inputSchema")
    }
}

/// One answer to `tools/list`.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub tools: Vec<Tool>,
    /// Where the next page starts, where there is one.
    pub next: Option<String>,
}

/// Why something is not a list of tools.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTools {
    #[error("it is not JSON: {0}")]
    Json(String),
    #[error("it holds no list `tools`")]
    NoList,
    #[error("tool {0} of the list has no name")]
    Nameless(usize),
    #[error("it is the answer of a server that refused: {0}")]
    Refused(String),
    #[error("it is one page of a list that goes on: record all of it")]
    Partial,
    #[error(
        "it is what `toolgate scan --format json` wrote, which has classes in place of definitions: record these with `--format tools-list`"
    )]
    Scan,
}

impl Page {
    /// Reads the `result` of an answer to `tools/list`.
    ///
    /// # Errors
    /// Where it holds no list of named tools, or `tools` twice.
    pub fn read(result: &str) -> Result<Self, NotTools> {
        let json = |error: serde_json::Error| NotTools::Json(error.to_string());
        let value: Value = serde_json::from_str(result).map_err(json)?;
        if !value.get("tools").is_some_and(Value::is_array) {
            return Err(NotTools::NoList);
        }
        let texts: Texts<'_> = serde_json::from_str(result).map_err(json)?;
        let tool = |(index, text): (usize, &RawValue)| {
            let definition: Value = serde_json::from_str(text.get()).map_err(json)?;
            let name = definition.get("name").and_then(Value::as_str);
            Ok(Tool {
                name: name.ok_or(NotTools::Nameless(index))?.to_owned(),
                text: text.get().to_owned(),
                definition,
            })
        };
        let next = value.get("nextCursor").and_then(Value::as_str);
        let tools = texts.tools.into_iter().enumerate().map(tool);
        Ok(Self {
            tools: tools.collect::<Result<_, _>>()?,
            next: next.map(str::to_owned),
        })
    }
}

/// The entries of a list as they were sent; numbers are not read.
#[derive(Deserialize)]
struct Texts<'a> {
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
}

/// A whole answer, of which the list is the `result`.
#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow)]
    result: &'a RawValue,
}

/// Reads a recorded list: `{"tools": […]}`, or the whole answer that has it as its `result`.
///
/// # Errors
/// Where it is no such list, or only a part of one.
pub fn recorded(text: &str) -> Result<Vec<Tool>, NotTools> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value: Value = serde_json::from_str(text).map_err(|error| NotTools::Json(error.to_string()))?;
    if let Some(error) = value.get("error") {
        let message = error.get("message").and_then(Value::as_str);
        return Err(NotTools::Refused(message.unwrap_or("no message").to_owned()));
    }
    if is_scan(&value) {
        return Err(NotTools::Scan);
    }
    let page = if value.get("result").is_some() {
        let whole: Whole<'_> =
            serde_json::from_str(text).map_err(|error| NotTools::Json(error.to_string()))?;
        Page::read(whole.result.get())?
    } else {
        Page::read(text)?
    };
    match page.next {
        None => Ok(page.tools),
        Some(_) => Err(NotTools::Partial),
    }
}

/// Whether this is a scan in JSON: tools with their classes, of a server that is named beside them.
fn is_scan(list: &Value) -> bool {
    let text = |tool: &Value, key| tool.get(key).is_some_and(Value::is_string);
    let classed = |tool: &Value| text(tool, "class") && text(tool, "risk") && tool.get("reasons").is_some();
    let tools = list.get("tools").and_then(Value::as_array);
    let named = list.get("server").is_some_and(Value::is_object);
    tools.is_some_and(|tools| (named || !tools.is_empty()) && tools.iter().all(classed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_alone_and_as_a_whole_answer() {
        let alone = r#"{"tools":[{"name":"a","inputSchema":{"type":"object"}},{"name":"b\u002ec"}]}"#;
        let tools = recorded(alone).unwrap();
        assert_eq!(tools.len(), 2);
        assert_eq!(tools[1].name, "b.c");
        assert!(tools[0].input_schema().is_some() && tools[1].input_schema().is_none());
        let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{alone}}}"#);
        assert_eq!(recorded(&answer).unwrap(), tools);
    }

    #[test]
    fn a_scan_in_json_is_no_list_and_a_tool_may_have_keys_of_the_same_names() {
        let tool = r#"{"name":"a","class":"read","risk":"low","reasons":[],"definition":{}}"#;
        for scan in [
            format!(r#"{{"server":{{"name":null,"version":null}},"tools":[{tool}]}}"#),
            format!(r#"{{"tools":[{tool}]}}"#),
            r#"{"server":{"name":"s","version":"1"},"tools":[]}"#.to_owned(),
        ] {
            assert_eq!(recorded(&scan), Err(NotTools::Scan), "{scan}");
        }
        for list in [
            format!(r#"{{"tools":[{tool},{{"name":"b"}}]}}"#),
            r#"{"server":"s","tools":[]}"#.to_owned(),
            r#"{"tools":[{"name":"a","class":"read","risk":3}]}"#.to_owned(),
        ] {
            assert!(recorded(&list).is_ok(), "{list}");
        }
    }

    #[test]
    fn what_is_no_whole_list_is_refused_with_the_reason() {
        for (text, why) in [
            ("tools", "it is not JSON"),
            ("{}", "it holds no list"),
            (r#"{"tools":{}}"#, "it holds no list"),
            (r#"{"tools":[{"name":"a"},{}]}"#, "tool 1 of the list has no name"),
            (r#"{"tools":[],"nextCursor":"2"}"#, "it is one page"),
            (
                r#"{"error":{"code":-32000,"message":"no session"}}"#,
                "no session",
            ),
        ] {
            let said = recorded(text).unwrap_err().to_string();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
