use super::*;

fn root(file: &str, text: &str) -> Node {
    let document = parse(file, text).unwrap_or_else(|problem| panic!("{problem}"));
    assert!(document.duplicates.is_empty());
    document.root
}

/// The value without its places, as serde_json would hold it.
fn plain(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(text) => serde_json::from_str(text).unwrap(),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(plain).collect(),
        Value::Object(entries) => entries
            .iter()
            .map(|entry| (entry.key.text.clone(), plain(&entry.value)))
            .collect(),
    }
}

fn refused(file: &str, text: &str) -> Problem {
    parse(file, text).unwrap_err()
}

#[test]
fn keys_and_values_know_their_line_and_column() {
    for (file, text) in [
        ("a.json", "{\"é\": [1,\n  \"x\"]}"),
        ("a.yaml", "{\"é\": [1,\n  \"x\"]}"),
    ] {
        let root = root(file, text);
        let entry = &root.entries()[0];
        assert_eq!(entry.key.place, Place { line: 1, column: 2 }, "{file}");
        assert_eq!(entry.value.place, Place { line: 1, column: 7 }, "{file}");
        assert_eq!(
            entry.value.items()[1].place,
            Place { line: 2, column: 3 },
            "{file}"
        );
    }
}

#[test]
fn lines_end_with_lf_crlf_or_cr() {
    for end in ["\n", "\r\n", "\r"] {
        let node = root("a.json", &format!("[1,{end}2,{end} 3]"));
        let places: Vec<_> = node
            .items()
            .iter()
            .map(|item| (item.place.line, item.place.column))
            .collect();
        assert_eq!(places, [(1, 2), (2, 1), (3, 2)], "{end:?}");
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_text() {
    assert_eq!(root("a.json", "\u{feff}[1]").place, Place::START);
    assert_eq!(root("a.yaml", "\u{feff}[1]").place, Place::START);
}

#[test]
fn json_follows_its_own_rules_where_yaml_differs() {
    let text = "{\"a\":\"\\ud83d\\ude00\\/\\b\",\t\"b\":\t1e400,\"c\":-0.0}";
    let root = root("a.json", text);
    assert_eq!(root.get("a").and_then(Node::text), Some("😀/\u{8}"));
    assert_eq!(
        root.get("b").map(|node| &node.value),
        Some(&Value::Number("1e400".into()))
    );
    assert_eq!(
        root.get("c").map(|node| &node.value),
        Some(&Value::Number("-0.0".into()))
    );
}

#[test]
fn json_refuses_what_rfc_8259_does_not_know() {
    let bad = [
        "",
        " ",
        "{",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "[1 2]",
        "nul",
        "nullx",
        "True",
        "NaN",
        "Infinity",
        "-",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "0x1",
        "1_0",
        "--1",
        "\"",
        "\"\\\"",
        "\"\\x41\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"a\nb\"",
        "[1]x",
        "[1][2]",
        "[1]//",
        "\u{a0}[1]",
        "\u{feff}\u{feff}[1]",
        "{\"a\":1 \"b\":2}",
        "[,1]",
        "}",
        "]",
        "\\",
    ];
    for text in bad {
        assert!(parse("a.json", text).is_err(), "{text:?}");
        assert!(
            serde_json::from_str::<serde_json::Value>(text).is_err(),
            "{text:?}"
        );
    }
}

#[test]
fn yaml_scalars_follow_the_core_schema() {
    let text = "a: ~\nb: True\nc: 12\nd: -1.5e3\ne: no\nf: 'true'\ng: \"1\"\nh: 1.2.3\ni: 2026-01-01\nj: |\n  x\n  y\nk:\n";
    let expected = serde_json::json!({
        "a": null, "b": true, "c": 12, "d": -1500.0, "e": "no", "f": "true", "g": "1", "h": "1.2.3",
        "i": "2026-01-01", "j": "x\ny\n", "k": null
    });
    assert_eq!(plain(&root("a.yaml", text)), expected);
}

#[test]
fn a_number_that_could_be_read_in_two_ways_is_refused() {
    for text in [
        "012", "0x1F", "0o7", "0b1", "+1", ".5", "1.", "1_000", "-.5", ".inf", "-.INF", ".nan", "1.e3",
    ] {
        let problem = refused("a.yaml", &format!("a: {text}"));
        assert!(problem.message.contains("more than one way"), "{text}: {problem}");
        assert!(parse("a.yaml", &format!("a: '{text}'")).is_ok(), "{text}");
    }
}

#[test]
fn nothing_in_a_yaml_document_stands_for_more_than_its_own_text() {
    for text in [
        "a: &x 1\nb: *x",
        "a: *x",
        "&x a: 1",
        "a: !!str 1",
        "a: !x {}",
        "<<: {a: 1}",
        "a: &x [*x]",
    ] {
        let problem = refused("a.yaml", text);
        assert!(problem.message.contains("not supported"), "{text}: {problem}");
    }
    assert!(parse("a.yaml", "'<<': 1").is_ok());
}

#[test]
fn a_yaml_key_must_be_text() {
    for text in ["1: a", "true: a", "~: a", "? [a]\n: b", "? {a: b}\n: c", ": a"] {
        assert!(parse("a.yaml", text).is_err(), "{text}");
    }
    assert_eq!(root("a.yaml", "on: 1\n'1': 2").entries().len(), 2);
}

#[test]
fn depth_and_size_are_bounded() {
    for file in ["a.json", "a.yaml"] {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(file, &nested(MAX_DEPTH)).is_ok(), "{file}");
        assert!(parse(file, &nested(MAX_DEPTH + 1)).is_err(), "{file}");
        assert!(parse(file, &nested(100_000)).is_err(), "{file}");
        let empty = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(file, &empty(MAX_DEPTH)).is_ok(), "{file}");
        assert!(parse(file, &empty(MAX_DEPTH + 1)).is_err(), "{file}");
        let long = format!("\"{}\"", "x".repeat(MAX_BYTES));
        assert!(refused(file, &long).message.contains("bytes"), "{file}");
    }
    let block: String = (0..1_000)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    assert!(parse("a.yaml", &block).is_err());
}

#[test]
fn a_key_that_stands_twice_is_reported_at_every_level() {
    for file in ["a.json", "a.yaml"] {
        let text = "{\"a\": [{\"b\": 1, \"b\": 2, \"\\u0062\": 3}], \"a\": 1}";
        let document = parse(file, text).unwrap();
        let columns: Vec<_> = document.duplicates.iter().map(|problem| problem.column).collect();
        assert_eq!(columns, [17, 25, 40], "{file}");
    }
}

#[test]
fn the_format_follows_the_ending_and_else_the_first_character() {
    assert_eq!(Format::of("a.JSON", "a: 1"), Format::Json);
    assert_eq!(Format::of("a.yml", "{}"), Format::Yaml);
    assert_eq!(Format::of("policy", " {}"), Format::Json);
    assert_eq!(Format::of("policy.txt", "a: 1"), Format::Yaml);
}

#[test]
fn a_file_on_one_long_line_is_placed_in_one_pass() {
    let text = format!("[{}1]", "1,".repeat(1_000_000));
    let node = root("a.json", &text);
    assert_eq!(node.items().last().map(|item| item.place.column), Some(2_000_002));
}

#[test]
fn an_excerpt_stays_on_its_place_and_cannot_steer_the_terminal() {
    let text = format!("{}\u{1b}\tX{}", "é".repeat(100), "y".repeat(100));
    let problem = Problem::new("f", Place { line: 1, column: 103 }, "m").with_help("h");
    let shown = render(&problem, Level::Error, Some(&text));
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], "f:1:103: error: m");
    let caret = lines[2].chars().position(|c| c == '^').unwrap();
    assert_eq!(lines[1].chars().nth(caret), Some('X'));
    assert!(
        !shown.contains('\u{1b}') && lines[1].chars().count() < 140,
        "{shown}"
    );
    assert_eq!(lines[3], "   = help: h");
}

#[test]
fn a_problem_without_source_or_beyond_its_end_has_no_excerpt() {
    let problem = Problem::new("f", Place { line: 7, column: 1 }, "m");
    assert_eq!(render(&problem, Level::Warning, None), "f:7:1: warning: m\n");
    assert_eq!(
        render(&problem, Level::Warning, Some("one line")),
        "f:7:1: warning: m\n"
    );
}

#[test]
fn names_in_messages_are_cut_and_show_what_is_invisible() {
    assert_eq!(quoted("a\u{202e}b\n"), "`a\\u{202e}b\\n`");
    assert_eq!(quoted("`a`"), "\"`a`\"");
    assert_eq!(quoted(""), "\"\"");
    assert_eq!(quoted(&"x".repeat(100)).chars().count(), 83);
}

proptest::proptest! {
    #[test]
    fn json_is_accepted_exactly_where_serde_json_accepts_it(text in r#"[\[\]{}:,"a\\u0-9.eE+\- \n]{0,24}"#) {
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        // 1e999 is a JSON number that a double cannot hold.
        let beyond = theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
        proptest::prop_assert_eq!(parse("a.json", &text).is_ok(), theirs.is_ok() || beyond, "{:?}", theirs);
    }

    #[test]
    fn one_value_reads_the_same_from_json_and_from_yaml(keys in proptest::collection::vec("[a-z\u{e9}😀\"\\\\ :#-]{1,6}", 0..5)) {
        let object: serde_json::Value =
            keys.iter().map(|key| (key.clone(), serde_json::json!([key, 1.5, null, true]))).collect();
        let text = object.to_string();
        proptest::prop_assert_eq!(plain(&root("a.json", &text)), object.clone());
        proptest::prop_assert_eq!(plain(&root("a.yaml", &text)), object);
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in "\\PC{0,40}", yaml in "[-&*!|>?:{}\\[\\],#%@`'\" a1\t\n\r]{0,40}") {
        for file in ["a.json", "a.yaml"] {
            for text in [&text, &yaml] {
                if let Err(problem) = parse(file, text) {
                    render(&problem, Level::Error, Some(text));
                }
            }
        }
    }
}
