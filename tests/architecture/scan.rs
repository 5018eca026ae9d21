//! Reads one Rust file as tokens and lists what it names: paths, with the bindings that `use` makes resolved.
//!
//! Tokens, not text: comments and strings cannot fool it. Tokens, not a syntax tree: what stands inside a
//! macro call is seen as well.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, Group, Ident, LineColumn, TokenStream, TokenTree};

/// One path as the file names it, e.g. `crate :: policy :: Limit`.
#[derive(Clone, Debug)]
pub struct Mention {
    pub line: usize,
    pub path: Vec<String>,
    /// The module in which it stands, from the crate root.
    pub module: Vec<String>,
    pub in_test: bool,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A path in code.
    Code,
    /// The name of a macro that is called.
    Macro,
    /// A leaf of a `use`.
    Use,
    /// A leaf of a `pub use`, of any visibility.
    Reexport,
    /// `use path::*`; the path is without the star.
    Glob,
    /// `.status(404)`: a status code as a bare number; the path is the method's name.
    StatusNumber,
    /// `#[path = "…"]`, which would put a file into another room than its place says.
    PathAttribute,
}

/// What one file says.
#[derive(Debug, Default)]
pub struct Scan {
    pub mentions: Vec<Mention>,
    /// Modules declared as `#[cfg(test)] mod name;`, from the crate root.
    pub test_modules: Vec<Vec<String>>,
    /// Name → path, as `use` binds it; for test code and other code apart.
    bindings: [BTreeMap<String, Vec<Vec<String>>>; 2],
}

impl Scan {
    /// Reads `text`, which is the module `module`.
    pub fn read(text: &str, module: &[String], in_test: bool) -> Result<Self, String> {
        let tokens: TokenStream = text.parse().map_err(|e| format!("is not Rust: {e}"))?;
        let mut scan = Self::default();
        scan.walk(
            &tokens.into_iter().collect::<Vec<_>>(),
            &Place {
                module: module.to_vec(),
                in_test,
            },
        );
        Ok(scan)
    }

    /// The path as written and, where its first name comes from a `use`, what that stands for.
    pub fn meanings(&self, mention: &Mention) -> Vec<Vec<String>> {
        let mut all = vec![mention.path.clone()];
        let mut new = all.clone();
        // A rename of a rename of a rename is as far as anybody goes.
        for _ in 0..4 {
            new = new
                .iter()
                .flat_map(|path| self.unalias(path, mention.in_test))
                .collect();
            new.retain(|path| !all.contains(path));
            all.extend(new.iter().cloned());
        }
        all
    }

    fn unalias(&self, path: &[String], in_test: bool) -> Vec<Vec<String>> {
        let Some((first, rest)) = path.split_first() else {
            return Vec::new();
        };
        let visible = if in_test {
            &self.bindings[..]
        } else {
            &self.bindings[..1]
        };
        let bound = visible.iter().filter_map(|names| names.get(first)).flatten();
        bound
            .map(|start| start.iter().chain(rest).cloned().collect())
            .collect()
    }

    fn walk(&mut self, tokens: &[TokenTree], place: &Place) {
        let mut place = place.clone();
        let mut at = 0;
        while at < tokens.len() {
            at = self.step(tokens, at, &mut place);
        }
    }

    /// Reads what starts at `at`, and returns where to go on.
    fn step(&mut self, tokens: &[TokenTree], at: usize, place: &mut Place) -> usize {
        match &tokens[at] {
            TokenTree::Punct(p) if p.as_char() == '#' => self.attribute(tokens, at, place),
            TokenTree::Group(group) => {
                self.walk(&inside(group), place);
                at + 1
            }
            TokenTree::Ident(word) => match word.to_string().as_str() {
                "use" if !is_punct(tokens.get(at + 1), '<') => self.use_item(tokens, at, place),
                "mod" => self.module(tokens, at, place),
                "extern" if is_word(tokens.get(at + 1), "crate") => self.extern_crate(tokens, at, place),
                _ => self.path(tokens, at, place),
            },
            _ => at + 1,
        }
    }

    /// `#[…]` or `#![…]`; behind `cfg(test)` the item that follows is test code.
    fn attribute(&mut self, tokens: &[TokenTree], at: usize, place: &mut Place) -> usize {
        let inner = is_punct(tokens.get(at + 1), '!');
        let body_at = at + 1 + usize::from(inner);
        let Some(TokenTree::Group(body)) = tokens.get(body_at) else {
            return at + 1;
        };
        let words = inside(body);
        if is_word(words.first(), "path") && is_punct(words.get(1), '=') {
            self.add(
                body.span_open().start(),
                vec!["path".into()],
                place,
                Kind::PathAttribute,
            );
        }
        self.walk(&words, place);
        if !is_cfg_test(&words) {
            return body_at + 1;
        }
        if inner {
            place.in_test = true;
            return body_at + 1;
        }
        let end = item_end(tokens, body_at + 1);
        let tested = Place {
            module: place.module.clone(),
            in_test: true,
        };
        self.walk(&tokens[body_at + 1..end], &tested);
        end
    }

    fn module(&mut self, tokens: &[TokenTree], at: usize, place: &Place) -> usize {
        let Some(TokenTree::Ident(name)) = tokens.get(at + 1) else {
            return at + 1;
        };
        let mut module = place.module.clone();
        module.push(plain(name));
        match tokens.get(at + 2) {
            Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace => {
                self.walk(
                    &inside(body),
                    &Place {
                        module,
                        in_test: place.in_test,
                    },
                );
                at + 3
            }
            _ => {
                if place.in_test {
                    self.test_modules.push(module);
                }
                at + 2
            }
        }
    }

    fn extern_crate(&mut self, tokens: &[TokenTree], at: usize, place: &Place) -> usize {
        if let Some(TokenTree::Ident(name)) = tokens.get(at + 2) {
            let path = vec![plain(name)];
            if let (true, Some(TokenTree::Ident(alias))) =
                (is_word(tokens.get(at + 3), "as"), tokens.get(at + 4))
            {
                self.bind(plain(alias), path.clone(), place);
            }
            self.add(name.span().start(), path, place, Kind::Use);
        }
        at + 3
    }

    fn use_item(&mut self, tokens: &[TokenTree], at: usize, place: &Place) -> usize {
        let end = (at..tokens.len())
            .find(|&i| is_punct(tokens.get(i), ';'))
            .unwrap_or(tokens.len());
        let public = match at.checked_sub(1).map(|i| &tokens[i]) {
            Some(TokenTree::Group(g)) => {
                g.delimiter() == Delimiter::Parenthesis && at >= 2 && is_word(tokens.get(at - 2), "pub")
            }
            before => is_word(before, "pub"),
        };
        self.use_tree(
            &tokens[at + 1..end],
            &[],
            place,
            if public { Kind::Reexport } else { Kind::Use },
        );
        end
    }

    fn use_tree(&mut self, tree: &[TokenTree], prefix: &[String], place: &Place, kind: Kind) {
        for branch in tree.split(|t| is_punct(Some(t), ',')) {
            let mut path = prefix.to_vec();
            let mut alias = None;
            let Some(line) = branch.first().map(|t| t.span().start()) else {
                continue;
            };
            let mut words = branch.iter();
            let mut leaf = true;
            while let Some(token) = words.next() {
                match token {
                    TokenTree::Ident(word) if word == "as" => {
                        alias = words.next().map(ToString::to_string);
                    }
                    TokenTree::Ident(word) if word == "self" && !path.is_empty() => {}
                    TokenTree::Ident(word) => path.push(plain(word)),
                    TokenTree::Group(group) => {
                        self.use_tree(&inside(group), &path, place, kind);
                        leaf = false;
                    }
                    TokenTree::Punct(p) if p.as_char() == '*' => {
                        self.add(line, path.clone(), place, Kind::Glob);
                        leaf = false;
                    }
                    _ => {}
                }
            }
            if leaf {
                if let Some(name) = alias.or_else(|| path.last().cloned()) {
                    self.bind(name, path.clone(), place);
                }
                self.add(line, path, place, kind);
            }
        }
    }

    /// A path in code, also of one name; its generics and groups are read on their own afterwards.
    fn path(&mut self, tokens: &[TokenTree], at: usize, place: &Place) -> usize {
        let TokenTree::Ident(first) = &tokens[at] else {
            return at + 1;
        };
        let mut path = vec![plain(first)];
        let mut next = at + 1;
        let is_name = !KEYWORDS.iter().any(|word| first == word);
        while let (true, Some(TokenTree::Ident(word))) =
            (is_name && is_colons(tokens, next), tokens.get(next + 2))
        {
            path.push(plain(word));
            next += 3;
        }
        let field =
            at > 0 && is_punct(tokens.get(at - 1), '.') && !(at > 1 && is_punct(tokens.get(at - 2), '.'));
        let is_macro =
            is_punct(tokens.get(next), '!') && matches!(tokens.get(next + 1), Some(TokenTree::Group(_)));
        let kind = if is_macro { Kind::Macro } else { Kind::Code };
        if !field {
            self.add(first.span().start(), path, place, kind);
        } else if first == "status" && starts_with_number(tokens.get(next)) {
            self.add(first.span().start(), path, place, Kind::StatusNumber);
        }
        next
    }

    fn bind(&mut self, name: String, path: Vec<String>, place: &Place) {
        if path.first() != Some(&name) || path.len() > 1 {
            self.bindings[usize::from(place.in_test)]
                .entry(name)
                .or_default()
                .push(path);
        }
    }

    fn add(&mut self, at: LineColumn, path: Vec<String>, place: &Place, kind: Kind) {
        let Place { module, in_test } = place.clone();
        self.mentions.push(Mention {
            line: at.line,
            path,
            module,
            in_test,
            kind,
        });
    }
}

/// Words behind which a `::` begins a path of its own.
const KEYWORDS: [&str; 16] = [
    "as", "await", "break", "dyn", "else", "for", "if", "impl", "in", "let", "match", "move", "mut",
    "return", "where", "while",
];

#[derive(Clone, Debug)]
struct Place {
    module: Vec<String>,
    in_test: bool,
}

fn inside(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

/// The name without `r#`.
fn plain(ident: &Ident) -> String {
    let name = ident.to_string();
    name.strip_prefix("r#").map(str::to_owned).unwrap_or(name)
}

fn is_punct(token: Option<&TokenTree>, c: char) -> bool {
    matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == c)
}

fn is_word(token: Option<&TokenTree>, word: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(i)) if i == word)
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

fn starts_with_number(token: Option<&TokenTree>) -> bool {
    let Some(TokenTree::Group(group)) = token else {
        return false;
    };
    let first = group.stream().into_iter().next();
    first.is_some_and(|t| t.to_string().starts_with(|c: char| c.is_ascii_digit()))
}

/// `cfg(test)` or `cfg(all(test, …))`; not `cfg(any(test, …))`, which also holds without tests.
fn is_cfg_test(words: &[TokenTree]) -> bool {
    let [TokenTree::Ident(cfg), TokenTree::Group(condition)] = words else {
        return false;
    };
    let condition = inside(condition);
    cfg == "cfg"
        && match condition.as_slice() {
            [TokenTree::Ident(one)] => one == "test",
            [TokenTree::Ident(all), TokenTree::Group(list)] if all == "all" => inside(list)
                .split(|t| is_punct(Some(t), ','))
                .any(|c| matches!(c, [TokenTree::Ident(i)] if i == "test")),
            _ => false,
        }
}

/// Where the item or field that starts at `at` ends: behind its `;`, its body, or (a field) its comma.
fn item_end(tokens: &[TokenTree], at: usize) -> usize {
    const ITEMS: [&str; 15] = [
        "mod",
        "fn",
        "impl",
        "use",
        "struct",
        "enum",
        "trait",
        "type",
        "static",
        "const",
        "unsafe",
        "async",
        "extern",
        "macro_rules",
        "let",
    ];
    let mut is_item = false;
    let mut last_colon = false;
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match token {
            TokenTree::Ident(word) => is_item |= ITEMS.iter().any(|item| word == item),
            TokenTree::Punct(p) if p.as_char() == ';' => return i + 1,
            TokenTree::Punct(p) if p.as_char() == ',' && !is_item => return i + 1,
            // Behind `::` a brace is the list of a `use`, not a body.
            TokenTree::Group(g) if g.delimiter() == Delimiter::Brace && !last_colon => return i + 1,
            _ => {}
        }
        last_colon = is_punct(Some(token), ':');
    }
    tokens.len()
}
