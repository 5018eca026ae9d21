//! The one form in which a person who decides sees what a caller sent, on the page, on the command line and in
//! messages. It is ASCII alone: what could hide, turn the direction of text or look like another letter is written as
//! its code, and a reverse solidus is doubled, so that two different texts never look alike.

use std::fmt::Write as _;

use super::{Entry, Format, Node, Value, parse};

/// How far a level is indented, in blanks.
const INDENT: usize = 2;

/// A text on one line: `a\u{202e}b`.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push(text, &mut out);
    out
}

/// A JSON text over several lines, in the order and with the number literals that were sent. Behind each string stands
/// how many characters it has. `None` where it is no JSON, or longer or deeper than documents are read.
pub fn escaped_json(json: &str) -> Option<String> {
    let document = parse_json(json)?;
    let mut out = String::with_capacity(json.len().saturating_mul(2));
    node(&document, 0, &mut out);
    Some(out)
}

fn parse_json(json: &str) -> Option<Node> {
    debug_assert_eq!(Format::of(".json", json), Format::Json);
    parse(".json", json).ok().map(|document| document.root)
}

fn node(node: &Node, depth: usize, out: &mut String) {
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(literal) => out.push_str(literal),
        Value::Text(text) => string(text, out),
        Value::List(items) if items.is_empty() => out.push_str("[]"),
        Value::List(items) => {
            out.push('[');
            for item in items {
                line(depth + 1, out);
                self::node(item, depth + 1, out);
            }
            line(depth, out);
            out.push(']');
        }
        Value::Object(entries) if entries.is_empty() => out.push_str("{}"),
        Value::Object(entries) => {
            out.push('{');
            for Entry { key, value } in entries {
                line(depth + 1, out);
                quote(&key.text, out);
                out.push_str(": ");
                self::node(value, depth + 1, out);
            }
            line(depth, out);
            out.push('}');
        }
    }
}

fn line(depth: usize, out: &mut String) {
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', depth.saturating_mul(INDENT)));
}

/// The string, and its length: a long run of blanks or of letters that look alike shows by it.
fn string(text: &str, out: &mut String) {
    quote(text, out);
    let characters = text.chars().count();
    let unit = if characters == 1 {
        "character"
    } else {
        "characters"
    };
    // writing to a string cannot fail
    let _ = write!(out, "  ({characters} {unit})");
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    push(text, out);
    out.push('"');
}

fn push(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            ' '..='~' => out.push(c),
            c => out.extend(c.escape_unicode()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{escaped, escaped_json};

    #[test]
    fn nothing_that_could_hide_or_deceive_is_shown_as_it_came() {
        for (text, shown) in [
            ("plain text!", "plain text!"),
            ("a\u{202e}b\u{200b}", "a\\u{202e}b\\u{200b}"),
            ("p\u{430}ypal", "p\\u{430}ypal"),
            ("line\nbreak\u{1b}[2J", "line\\u{a}break\\u{1b}[2J"),
            ("tag \u{e0041}", "tag \\u{e0041}"),
            ("\\u{202e} \"", "\\\\u{202e} \\\""),
            ("\u{7f}\u{a0}", "\\u{7f}\\u{a0}"),
        ] {
            assert_eq!(escaped(text), shown);
        }
    }

    #[test]
    fn json_keeps_its_order_and_its_numbers_and_tells_lengths() {
        let json =
            r#"{"b":[1e2,9007199254740993,{}],"a":"\u0430 <script>","none":[],"t":{"x":null,"y":false}}"#;
        let shown = "{\n  \"b\": [\n    1e2\n    9007199254740993\n    {}\n  ]\n  \"a\": \"\\u{430} <script>\"  (10 characters)\n  \"none\": []\n  \"t\": {\n    \"x\": null\n    \"y\": false\n  }\n}";
        assert_eq!(escaped_json(json).unwrap(), shown);
        assert_eq!(escaped_json("\"x\"").unwrap(), "\"x\"  (1 character)");
    }

    #[test]
    fn what_is_no_json_is_not_shown() {
        assert_eq!(escaped_json("{\"a\":"), None);
        assert_eq!(escaped_json("a: b"), None);
    }
}
