//! Every policy of the cookbook is sound, and every call below it is decided as it says.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use toolgate::counters::{Admission, CallId, MemoryStore, Store, Verdict};
use toolgate::document::{Level, render};
use toolgate::mcp::envelope;
use toolgate::policy::{
    Call, Caller, Charge, Claims, Decision, Denial, Plan, Policy, check_together, limited, load,
    needs_approval, plan_method, plan_tool,
};

const PAGES: [&str; 3] = ["money", "code", "operations"];

/// One situation: the policies of its grant, and the lines of its calls with their numbers.
pub struct Situation {
    pub title: String,
    pub policies: Vec<(String, String)>,
    pub calls: Vec<(usize, String)>,
}

impl Situation {
    /// A policy whose comments hold its calls, each a line that begins with one of these.
    pub fn in_comments(path: &Path, outcomes: &[&str]) -> Self {
        let title = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(path).unwrap();
        let comments = text.lines().enumerate();
        let comments = comments.filter_map(|(at, line)| Some((at + 1, line.strip_prefix("# ")?.to_owned())));
        Self {
            calls: comments
                .filter(|(_, line)| outcomes.iter().any(|outcome| line.starts_with(outcome)))
                .collect(),
            policies: vec![(title.clone(), text)],
            title,
        }
    }
}

fn read(page: &str) -> String {
    let path = format!("docs/cookbook/{page}.md");
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn situations(text: &str) -> Vec<Situation> {
    let mut situations: Vec<Situation> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            situations.push(Situation {
                title: title.to_owned(),
                policies: Vec::new(),
                calls: Vec::new(),
            });
        }
        let Some(mark) = line.strip_prefix("```").filter(|mark| !mark.is_empty()) else {
            continue;
        };
        let body = lines.by_ref().take_while(|(_, line)| *line != "```");
        let body: Vec<(usize, String)> = body.map(|(at, line)| (at + 1, line.to_owned())).collect();
        let situation = situations.last_mut().expect("a block below a heading");
        match mark.split_once(' ') {
            Some(("text", "calls")) => situation.calls.extend(body),
            Some(("yaml", policy)) if policy.starts_with("policy") => {
                let name = policy.split_once(' ').map_or("policy", |(_, name)| name);
                let text = body.iter().map(|(_, line)| format!("{line}\n")).collect();
                situation.policies.push((name.to_owned(), text));
            }
            _ => panic!("no such block: `{mark}`"),
        }
    }
    situations
}

fn loaded(situation: &Situation) -> Vec<Arc<Policy>> {
    let load = |(name, text): &(String, String)| {
        let file = format!("{name}.yaml");
        let (policy, problems) = match load(name, &file, text) {
            Ok(loaded) => (Some(loaded.policy), loaded.warnings),
            Err(problems) => (None, problems),
        };
        let shown: String = problems
            .iter()
            .map(|problem| render(problem, Level::Error, Some(text)))
            .collect();
        assert!(shown.is_empty(), "{}\n{shown}", situation.title);
        Arc::new(policy.unwrap())
    };
    let policies: Vec<_> = situation.policies.iter().map(load).collect();
    assert!(!policies.is_empty(), "{} has no policy", situation.title);
    assert_eq!(check_together(&policies), [], "{}", situation.title);
    policies
}

/// Who calls from here on.
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct By {
    grant: Option<String>,
    claims: Option<serde_json::Value>,
}

/// What became of a call.
struct Answer {
    decision: Decision,
    denial: Option<Denial>,
}

/// The policies, with counters that begin empty and a clock that stands still.
struct Gate {
    policies: Vec<Arc<Policy>>,
    store: Store,
    by: By,
    calls: u64,
}

impl Gate {
    fn answer(&mut self, asked: &str) -> Answer {
        if !asked.starts_with('{') {
            let decision = plan_method(&self.policies, asked);
            let denial = decision.denial().cloned();
            return Answer { decision, denial };
        }
        let body = format!(r#"{{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {asked}}}"#);
        let message = envelope::read(body.as_bytes()).unwrap();
        let call = message.tool_call().unwrap().unwrap();
        let claims = self
            .by
            .claims
            .as_ref()
            .map(|claims| Claims::read(&claims.to_string()).unwrap());
        let caller = Caller {
            grant: self.by.grant.as_deref().unwrap_or("agent"),
            server: "server",
            session: None,
            claims: claims.as_ref(),
        };
        let asked = Call {
            tool: call.name,
            arguments: call.arguments,
        };
        let decision = plan_tool(&self.policies, &caller, &asked);
        let denial = match &decision.plan {
            Plan::Refuse(denial) => Some(denial.clone()),
            Plan::Admit(charges) => self.charge(charges, call.name, true),
            // what no limit would admit is put before nobody
            Plan::Ask { charges, ask } => {
                let limited = self.charge(charges, call.name, false);
                Some(limited.unwrap_or_else(|| needs_approval(call.name, ask)))
            }
        };
        Answer { decision, denial }
    }

    /// Why the store does not admit it. `runs`: it is charged, and not only looked at.
    fn charge(&mut self, charges: &[Charge], tool: &str, runs: bool) -> Option<Denial> {
        self.calls += 1;
        let admission = Admission {
            id: CallId(self.calls.to_be_bytes()),
            charges: charges.to_vec(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let verdict = runtime.block_on(async {
            match runs {
                true => self.store.admit(&admission).await,
                false => self.store.peek(&admission).await,
            }
        });
        match verdict.unwrap() {
            Verdict::Admitted { .. } => None,
            Verdict::Limited {
                charge,
                retry_after_ms,
                ..
            } => Some(limited(&charges[charge], tool, retry_after_ms)),
        }
    }
}

/// `allowed 10 times {…}` → outcome, how often, call.
fn parsed(line: &str) -> (&str, u32, &str) {
    let (outcome, rest) = line.split_once(' ').unwrap();
    match rest.split_once(" times ") {
        Some((count, call)) if count.bytes().all(|byte| byte.is_ascii_digit()) => {
            (outcome, count.parse().unwrap(), call)
        }
        _ => (outcome, 1, rest),
    }
}

/// Whether a line below a call is true of its answer.
fn is_true(detail: &str, answer: &Answer) -> bool {
    let denial = answer.denial.as_ref();
    let (what, wanted) = detail.split_once(": ").unwrap();
    match what {
        "rule" => denial.is_some_and(|denial| denial.rule == wanted),
        "told" => denial.is_some_and(|denial| denial.message.contains(wanted)),
        "shadow" => answer.decision.shadow.iter().any(|denial| denial.rule == wanted),
        "on record" => {
            let (path, json) = wanted.split_once(' ').unwrap();
            let recorded = &answer.decision.recorded;
            recorded
                .iter()
                .any(|value| &*value.path == path && value.json == json)
        }
        "without the store" => match &answer.decision.plan {
            Plan::Admit(charges) | Plan::Ask { charges, .. } => charges
                .iter()
                .any(|charge| charge.limit.on_store_error.as_str() == wanted),
            Plan::Refuse(_) => false,
        },
        _ => panic!("no such line: `{what}`"),
    }
}

/// Runs the calls of one situation; how many were allowed and how many were not.
pub fn run(page: &str, situation: &Situation) -> (u32, u32) {
    let start = 1_767_225_600_000;
    let mut gate = Gate {
        policies: loaded(situation),
        store: Store::Memory(MemoryStore::with_clock(move || start)),
        by: By::default(),
        calls: 0,
    };
    let (mut allowed, mut refused) = (0, 0);
    let mut last: Option<Answer> = None;
    for (number, line) in &situation.calls {
        let place = format!("{page}:{number}: {line}");
        if let Some(by) = line.strip_prefix("by ") {
            gate.by = serde_json::from_str(by).expect(&place);
            continue;
        }
        if let Some(detail) = line.strip_prefix("  ") {
            let answer = last.as_ref().expect(&place);
            assert!(is_true(detail, answer), "{place}\n{:?}", answer.denial);
            continue;
        }
        let (outcome, times, call) = parsed(line);
        for _ in 0..times {
            let answer = gate.answer(call);
            let found = answer
                .denial
                .as_ref()
                .map_or("allowed", |denial| denial.outcome.as_str());
            assert_eq!(found, outcome, "{place}\n{:?}", answer.denial);
            last = Some(answer);
        }
        match outcome {
            "allowed" => allowed += 1,
            _ => refused += 1,
        }
    }
    (allowed, refused)
}

#[test]
fn every_situation_of_the_cookbook_is_decided_as_it_says() {
    let mut found = 0;
    for page in PAGES {
        for situation in situations(&read(page)) {
            let (allowed, refused) = run(&format!("docs/cookbook/{page}.md"), &situation);
            assert!(
                allowed > 0 && refused > 0,
                "{}: {allowed} allowed, {refused} refused",
                situation.title
            );
            found += 1;
        }
    }
    assert!(found >= 14, "only {found} situations were found");
}

#[test]
fn every_refusal_in_the_cookbook_names_its_rule() {
    for page in PAGES {
        for situation in situations(&read(page)) {
            let lines: Vec<&str> = situation.calls.iter().map(|(_, line)| line.as_str()).collect();
            for (index, line) in lines.iter().enumerate() {
                let refused = ["denied ", "hidden ", "limited "]
                    .iter()
                    .any(|outcome| line.starts_with(outcome));
                let next = lines.get(index + 1).copied().unwrap_or_default();
                assert!(
                    !refused || next.starts_with("  rule: "),
                    "{}: {line}",
                    situation.title
                );
            }
        }
    }
}

#[test]
fn the_cookbook_s_list_of_situations_is_whole_and_its_links_lead_somewhere() {
    let index = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cookbook.md")).unwrap();
    let mut titles = 0;
    for page in PAGES {
        for Situation { title, .. } in situations(&read(page)) {
            let kept = |c: char| c.is_alphanumeric() || c == '-' || c == ' ';
            let anchor: String = title.to_lowercase().chars().filter(|c| kept(*c)).collect();
            let link = format!("[{title}](cookbook/{page}.md#{})", anchor.replace(' ', "-"));
            assert!(index.contains(&link), "docs/cookbook.md misses {link}");
            titles += 1;
        }
    }
    assert_eq!(index.matches("](cookbook/").count(), titles);
}
