//! All that is said of a tool, put together.

use serde_json::Value;

use super::describe::Description;
use super::fields::{self, Field, Kind};
use super::money::{self, Surroundings};
use super::name::Name;
use super::verbs::{class_of, is_loose, is_noun_too};
use super::{Class, Risk, risk, words};
use crate::mcp::tools::Tool;

/// One tool, with what was told from its definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classed {
    pub name: String,
    pub class: Class,
    pub risk: Risk,
    /// Why, in words of toolgate's own; what it quotes are words of letters and digits.
    pub reasons: Vec<String>,
}

/// Properties whose text is code or a command.
const CODE: &[&str] = &[
    "bash",
    "cmd",
    "command",
    "command_line",
    "commands",
    "init_script",
    "javascript",
    "launch_options",
    "powershell",
    "python",
    "script",
    "shell",
    "sql",
    "sql_query",
];
/// Properties that hold code where the tool says that it runs some.
const CODE_IF_SAID: &[&str] = &[
    "args",
    "body",
    "code",
    "expression",
    "function",
    "input",
    "query",
    "source",
    "statement",
];
/// How a tool says so.
const RUNS: &[&str] = &[
    "code",
    "command",
    "eval",
    "evaluate",
    "exec",
    "execute",
    "javascript",
    "python",
    "script",
    "sql",
];
/// Properties whose values are things that the tool can do.
const CHOICE: &[&str] = &[
    "action",
    "command",
    "method",
    "op",
    "operation",
    "sub_command",
    "subcommand",
    "verb",
];
/// The same, where `type` is one of a list of steps.
const STEPS: &[&str] = &["action", "actions", "operation", "operations", "steps"];
/// Flags that make a call take something away.
const TAKES_AWAY: &[&str] = &[
    "archived", "delete", "deleted", "deleting", "drop", "purge", "trash", "truncate", "wipe",
];
const METHOD: &[&str] = &["http_method", "method", "verb"];
const WHERE: &[&str] = &["endpoint", "path", "uri", "url"];

/// Classes the tools of one server. `server` is its name, as it calls itself.
pub fn classify(server: Option<&str>, tools: &[Tool]) -> Vec<Classed> {
    let brand = brand(server, tools);
    let names: Vec<Name> = tools
        .iter()
        .map(|tool| Name::read(&tool.name, brand.as_deref()))
        .collect();
    let around = Surroundings::of(names.iter());
    let each = tools.iter().zip(&names);
    each.map(|(tool, name)| class_one(tool, name, around)).collect()
}

/// A harmless verb that all tools begin with and the server is called by.
fn brand(server: Option<&str>, tools: &[Tool]) -> Option<String> {
    let first = |tool: &Tool| words::of_name(&tool.name).into_iter().next();
    let brand = tools.first().and_then(first)?;
    let harmless = matches!(class_of(&brand), None | Some(Class::Read | Class::Write));
    let called = words::of_name(server?).contains(&brand);
    let shared = tools.len() > 2 && tools.iter().all(|tool| first(tool).as_ref() == Some(&brand));
    (harmless && called && shared).then_some(brand)
}

/// The class so far, and why.
struct Verdict {
    class: Class,
    reasons: Vec<String>,
}

impl Verdict {
    /// Raises the class where `to` is graver. What is no graver is one more reason, or none.
    fn raise(&mut self, to: Class, reason: impl FnOnce() -> String) {
        if to > self.class {
            self.class = to;
            self.reasons.clear();
        }
        if to == self.class {
            self.reasons.push(reason());
        }
    }
}

fn class_one(tool: &Tool, name: &Name, around: Surroundings) -> Classed {
    let text = tool.definition.get("description").and_then(Value::as_str);
    let description = Description::read(text.unwrap_or_default());
    let fields = fields::read(tool.input_schema());
    let mut verdict = said(name, &description);
    let reads = verdict.class == Class::Read && !name.pays();
    by_code(&mut verdict, name, &description, &fields);
    let free_code =
        verdict.class == Class::Execute && fields.iter().any(|field| field.is(CODE) && field.is_free());
    by_choice(&mut verdict, &fields);
    by_flags(&mut verdict, &fields);
    if let (Some(word), false) = (&description.sql, verdict.class == Class::Read) {
        verdict.raise(Class::Destructive, || format!("its description says `{word}`"));
    }
    if description.for_good {
        verdict.raise(Class::Destructive, || {
            "its description says that it cannot be undone".to_owned()
        });
    }
    by_hints(&mut verdict, tool, name.verb.is_some());
    if verdict.class < Class::Financial && (!reads || verdict.class > Class::Write) {
        let moved = money::moved(verdict.class, name, &description, &fields, around);
        if let Some(reason) = moved {
            verdict.raise(Class::Financial, || reason);
        }
    }
    let (risk, why) = risk::of(verdict.class, name, &description, &fields, free_code);
    verdict
        .reasons
        .extend(why.into_iter().map(|why| format!("risk: {why}")));
    verdict.reasons.dedup();
    Classed {
        name: tool.name.clone(),
        class: verdict.class,
        risk,
        reasons: verdict.reasons,
    }
}

/// What name and description say. Without either a tool is taken to write.
fn said(name: &Name, description: &Description) -> Verdict {
    let unsure = |(_, verb): &&(Class, String)| description.verb.is_none() || !is_noun_too(verb);
    let of_name = name.verb.as_ref().filter(unsure);
    let (class, reason) = if let Some((class, verb)) = of_name {
        (*class, format!("its name says `{verb}`"))
    } else if let Some((class, verb)) = &description.verb {
        (*class, format!("its description says `{verb}`"))
    } else if let Some((class, noun)) = &name.noun {
        (*class, format!("its name says `{noun}`"))
    } else {
        let unknown = "neither its name nor its description says what it does";
        (Class::Write, unknown.to_owned())
    };
    let mut verdict = Verdict {
        class,
        reasons: vec![reason],
    };
    for (graver, verb) in name.graver.iter().chain(&name.noun) {
        if *graver > verdict.class {
            verdict.raise(*graver, || format!("its name says `{verb}`"));
        }
    }
    for (graver, verb) in description.verb.iter().chain(&description.graver) {
        if *graver > verdict.class && !is_loose(verb) {
            verdict.raise(*graver, || format!("its description says `{verb}`"));
        }
    }
    verdict
}

fn by_code(verdict: &mut Verdict, name: &Name, description: &Description, fields: &[Field]) {
    let said = name.has(RUNS).or_else(|| description.has(RUNS));
    let code = fields.iter().filter(|field| field.is_free()).find(|field| {
        let pipeline = field.is(&["pipeline"]) && field.kind == Kind::Nested && field.depth == 0;
        field.is(CODE) || pipeline || said.is_some() && field.depth == 0 && field.is(CODE_IF_SAID)
    });
    if let Some(code) = code {
        verdict.raise(Class::Execute, || {
            format!("its argument `{}` is code or a command", code.words.join("_"))
        });
    }
    let any = |names: &[&str]| fields.iter().any(|field| field.depth == 0 && field.is(names));
    let requests = name.has(&["request"]).is_some() && name.has(&["api", "http", "make", "send"]).is_some();
    if requests || any(METHOD) && any(WHERE) {
        verdict.raise(Class::Execute, || {
            "it sends any request that it is told to".to_owned()
        });
    }
}

/// What a call can choose, counts as what the tool does.
fn by_choice(verdict: &mut Verdict, fields: &[Field]) {
    let steps =
        |field: &Field| field.is(&["type"]) && field.parent.iter().any(|word| STEPS.contains(&word.as_str()));
    for field in fields.iter().filter(|field| field.is(CHOICE) || steps(field)) {
        let gravest = field.values.iter().flat_map(|value| words::of_name(value));
        let gravest = gravest.filter_map(|word| Some((class_of(&word)?, word)));
        if let Some((class, word)) = gravest.max_by_key(|(class, _)| *class)
            && class > Class::Read
        {
            verdict.raise(class, || {
                format!("its argument `{}` can be `{word}`", field.words.join("_"))
            });
        }
    }
}

/// A flag that takes something away; of a tool that reads it says what is looked at.
fn by_flags(verdict: &mut Verdict, fields: &[Field]) {
    let takes = |field: &&Field| field.kind == Kind::Flag && (field.has(TAKES_AWAY) || field.is(&["remove"]));
    if verdict.class > Class::Read
        && let Some(flag) = fields.iter().find(takes)
    {
        verdict.raise(Class::Destructive, || {
            format!("it has the flag `{}`", flag.words.join("_"))
        });
    }
}

/// Hints come from an untrusted party: what they deny is not believed. `destructiveHint` stands on most tools that
/// change anything, so it makes those destructive of which nothing else is known.
fn by_hints(verdict: &mut Verdict, tool: &Tool, known: bool) {
    let hint = |name| {
        tool.definition
            .pointer(&format!("/annotations/{name}"))
            .and_then(Value::as_bool)
    };
    if hint("readOnlyHint") == Some(false) && verdict.class < Class::Write {
        verdict.raise(Class::Write, || {
            "the server hints that it does not only read".to_owned()
        });
    }
    if hint("destructiveHint") == Some(true) {
        let class = if known { Class::Write } else { Class::Destructive };
        if verdict.class < class {
            verdict.raise(class, || "the server hints that it is destructive".to_owned());
        }
    }
}
