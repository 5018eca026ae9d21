//! Where in a file a rule stands.

use crate::document::{Node, Place, Value};

/// The place of what a JSON Pointer names, as refusals write it: elements of a list by their counter's name or
/// their text, or by index. A key's place is that of the key, a list element's its own. Where the pointer leads
/// past what is there, the place of the last part that is.
pub fn place_of(root: &Node, pointer: &str) -> Place {
    let mut node = root;
    let mut place = root.place;
    for part in pointer.split('/').skip(1) {
        match step(node, &part.replace("~1", "/").replace("~0", "~")) {
            Some((next, at)) => (node, place) = (next, at),
            None => break,
        }
    }
    place
}

fn step<'n>(node: &'n Node, part: &str) -> Option<(&'n Node, Place)> {
    match &node.value {
        Value::Object(entries) => {
            let entry = entries.iter().find(|entry| entry.key.text == part)?;
            Some((&entry.value, entry.key.place))
        }
        Value::List(items) => {
            let item = element(items, part)?;
            Some((item, item.place))
        }
        _ => None,
    }
}

/// A name under `hide` may be all digits; a counter of such a name goes by its index.
fn element<'n>(items: &'n [Node], part: &str) -> Option<&'n Node> {
    let by_text = || items.iter().find(|item| item.text() == Some(part));
    let by_index = || items.get(part.parse::<usize>().ok()?);
    let by_counter = || {
        let counter = |item: &&Node| item.get("counter").and_then(Node::text) == Some(part);
        items.iter().find(counter)
    };
    by_text().or_else(by_index).or_else(by_counter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::parse;

    const POLICY: &str = r#"version: "1"
default: allow
hide: ["1", "0", admin_*]
all_tools:
  limits:
    - { counter: all, window: day, max: 5 }
    - { counter: "7", window: day, max: 5 }
tools:
  a/b~c:
    deny_if:
      - conditions:
          - { path: args.x, op: eq, value: 1 }
          - { path: args.y, op: eq, value: 1 }
    rate_limit: 5/minute
"#;

    fn at(pointer: &str) -> (u32, u32) {
        let document = parse("p.yaml", POLICY).unwrap();
        let place = place_of(&document.root, pointer);
        (place.line, place.column)
    }

    #[test]
    fn keys_stand_where_they_are_written_and_elements_where_they_begin() {
        assert_eq!(at("/default"), (2, 1));
        assert_eq!(at("/tools/a~1b~0c"), (9, 3));
        assert_eq!(at("/tools/a~1b~0c/rate_limit"), (14, 5));
        assert_eq!(at("/tools/a~1b~0c/deny_if/0/conditions/1").0, 13);
    }

    #[test]
    fn elements_go_by_their_counter_their_text_or_their_index() {
        assert_eq!(at("/all_tools/limits/all").0, 6);
        assert_eq!(at("/all_tools/limits/1").0, 7);
        assert_eq!(at("/hide/0"), (3, 13));
        assert_eq!(at("/hide/admin_*"), (3, 18));
    }

    #[test]
    fn what_is_not_there_is_shown_where_it_would_be() {
        assert_eq!(at("/tools/a~1b~0c/action"), (9, 3));
        assert_eq!(at("/tools/a~1b~0c/deny_if/9/conditions"), (10, 5));
        assert_eq!(at(""), (1, 1));
    }
}
