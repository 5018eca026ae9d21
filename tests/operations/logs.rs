//! Lines of the log have fields of one vocabulary, and that is in the documents.

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;

/// Every macro that writes a line or opens a span.
const MACROS: &str = r"tracing::(?:error|warn|info|debug|trace|info_span)!\(";

/// The fields that these sources give their lines.
fn fields(text: &str) -> BTreeSet<String> {
    let starts = Regex::new(MACROS).unwrap();
    // `%error` or `server = …`
    let field = Regex::new(r"^\s*[%?]?([a-z_][a-z_.]*)\s*(?:=.*)?$").unwrap();
    let mut found = BTreeSet::new();
    for start in starts.find_iter(text) {
        let arguments = top_level(text.get(start.end()..).unwrap());
        // a span begins with its name; behind a line's message come the values that stand in it
        let name = usize::from(start.as_str().contains("span"));
        let parts = arguments.split(',').map(str::trim).skip(name);
        let fields = parts.take_while(|part| !part.starts_with('"'));
        let fields = fields.filter_map(|part| field.captures(part));
        found.extend(fields.map(|hit| hit[1].to_owned()));
    }
    found
}

/// The arguments up to the closing parenthesis, without strings and without what stands in inner brackets.
fn top_level(text: &str) -> String {
    let (mut depth, mut quoted, mut escaped, mut out) = (0, false, false, String::new());
    for c in text.chars() {
        if quoted {
            (quoted, escaped) = (escaped || c != '"', c == '\\' && !escaped);
            continue;
        }
        match c {
            '"' => quoted = true,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            _ if depth == 0 => out.push(c),
            _ => {}
        }
        if c == '"' {
            out.push('"');
        }
    }
    out
}

fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else {
            *into += &std::fs::read_to_string(path).unwrap();
        }
    }
}

#[test]
fn fields_are_found_among_strings_and_calls() {
    let text = r#"tracing::warn!(%error, error.code = code(a, b), server = x.name, text = "a, b = {c}: \"d = 1\"", tools = ?t, "{}", not.one);
        tracing::info!(server, "x"); tracing::error!("only = {text}");"#;
    let found: Vec<_> = fields(text).into_iter().collect();
    assert_eq!(found, ["error", "error.code", "server", "text", "tools"]);
}

#[test]
fn every_field_of_a_line_is_in_the_documents_and_nothing_else_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    sources(&root.join("src"), &mut text);
    let page = std::fs::read_to_string(root.join("docs/logs.md")).unwrap();
    let (_, table) = page.split_once("| field | meaning |").unwrap();
    let name = Regex::new("`([a-z_.]+)`").unwrap();
    let documented: BTreeSet<String> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .flat_map(|cell| name.captures_iter(cell).map(|hit| hit[1].to_owned()))
        .collect();
    assert_eq!(
        documented,
        fields(&text),
        "use a field that docs/logs.md knows, or add it there"
    );
}
