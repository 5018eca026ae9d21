//! One message of a server through the list filter. The first byte chooses what is visible and whether the request was
//! of the current revision; the rest is the message.

use toolgate::mcp::list::{Filtered, filter_tools};

use super::reading::{self, Reading, Text, folded, text};

pub fn run(data: &[u8]) {
    let Some((choice, message)) = data.split_first() else {
        return;
    };
    let modern = choice & 1 == 1;
    let visible = |name: &str| seen(*choice, &text(name));
    let Ok(filtered) = filter_tools(message, modern, visible) else {
        return;
    };
    let passed = filtered.body.as_deref().unwrap_or(message);
    let passed = str::from_utf8(passed).expect("what passes is UTF-8");
    nothing_hidden_passes(*choice, passed);
    twice_is_once(passed, &filtered, modern, visible);
    if filtered.body.is_some() {
        what_is_visible_stays(
            *choice,
            str::from_utf8(message).unwrap_or_default(),
            passed,
            modern,
        );
    }
}

/// The tools that a client may see: all, none, or those whose name does not begin with `h`.
fn seen(choice: u8, name: &Text) -> bool {
    match choice >> 1 & 3 {
        0 => false,
        1 => true,
        _ => name.first() != Some(&u16::from(b'h')),
    }
}

/// The lists of tools in a message as a lenient client finds them: any member that is or folds to the name.
fn lists(message: &Reading) -> Vec<&Vec<Reading>> {
    let responses = match message {
        Reading::List(batch) => batch.iter().collect(),
        single => vec![single],
    };
    let results = responses
        .into_iter()
        .flat_map(|response| members(response, "result"));
    let tools = results.flat_map(|result| members(result, "tools"));
    let lists = tools.filter_map(|tools| match tools {
        Reading::List(tools) => Some(tools),
        _ => None,
    });
    lists.collect()
}

fn members<'r>(object: &'r Reading, wanted: &str) -> Vec<&'r Reading> {
    let Reading::Object(members) = object else {
        return Vec::new();
    };
    let wanted = folded(&text(wanted));
    let named = members.iter().filter(|(key, _)| folded(key) == wanted);
    named.map(|(_, value)| value).collect()
}

fn nothing_hidden_passes(choice: u8, passed: &str) {
    // Blank data passes (a priming event), and so does what lies deeper than we read: no list does.
    let Some(message) = reading::read(passed) else {
        return;
    };
    for tool in lists(&message).into_iter().flatten() {
        let names = members(tool, "name");
        assert!(!names.is_empty(), "an entry without a name passes");
        for name in names {
            let name = name.as_text().expect("an entry whose name is no text passes");
            assert!(seen(choice, name), "a hidden tool passes");
        }
    }
}

fn twice_is_once(passed: &str, filtered: &Filtered, modern: bool, visible: impl Fn(&str) -> bool) {
    let again = filter_tools(passed.as_bytes(), modern, &visible).expect("what passes can be filtered again");
    assert_eq!(again.body, None, "what was filtered is filtered again");
    let kept = filtered.names.iter().filter(|name| visible(name));
    // Entries with a readable name; those without went the first time.
    assert!(
        again.names.iter().eq(kept),
        "another list of names the second time"
    );
}

/// Whatever the filter cuts, the rest of the message stays.
fn what_is_visible_stays(choice: u8, message: &str, passed: &str, modern: bool) {
    let Some(before) = reading::read(message) else {
        return;
    };
    let after = reading::read(passed).expect("a filtered message is JSON");
    // A key that is no text (a lone surrogate) leaves an entry's name in doubt, and the entry goes.
    let readable = |tool: &Reading| match tool {
        Reading::Object(members) => members.iter().all(|(key, _)| String::from_utf16(key).is_ok()),
        _ => false,
    };
    let shown = |tool: &&Reading| match members(tool, "name").as_slice() {
        [Reading::Text(name)] if readable(tool) && tool.last("name").is_some() => {
            seen(choice, name) && String::from_utf16(name).is_ok()
        }
        _ => false,
    };
    let (before_lists, after_lists) = (lists(&before), lists(&after));
    assert_eq!(before_lists.len(), after_lists.len(), "a list went");
    for (before, after) in before_lists.iter().zip(&after_lists) {
        let kept: Vec<_> = before.iter().filter(shown).collect();
        assert_eq!(kept.len(), after.len(), "a visible tool went");
        let alike = kept
            .iter()
            .zip(after.iter())
            .all(|(one, other)| written_alike(one, other));
        assert!(alike, "a visible tool changed");
    }
    if !modern {
        let (before, after) = (without_tools(&before), without_tools(&after));
        assert_eq!(before, after, "something beside the list changed");
    }
}

/// Equal member by member, in order: keys that stand twice inside a tool pass as they came.
fn written_alike(one: &Reading, other: &Reading) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

/// The message with every list of tools emptied.
fn without_tools(message: &Reading) -> String {
    fn emptied(value: &Reading, depth: u8) -> Reading {
        match value {
            Reading::List(items) if depth == 0 => {
                Reading::List(items.iter().map(|item| emptied(item, 0)).collect())
            }
            Reading::Object(members) if depth < 2 => {
                let wanted = text(["result", "tools"][usize::from(depth)]);
                let member = |(key, value): &(Text, Reading)| {
                    let value = match value {
                        _ if *key != wanted => value.clone(),
                        Reading::List(_) if depth == 1 => Reading::List(Vec::new()),
                        value if depth == 0 => emptied(value, 1),
                        value => value.clone(),
                    };
                    (key.clone(), value)
                };
                Reading::Object(members.iter().map(member).collect())
            }
            value => value.clone(),
        }
    }
    format!("{:?}", emptied(message, 0))
}
