//! The explanation for a terminal.

use std::io::{self, Write};

use super::{Shown, outcome};
use crate::document::{excerpt, quoted, shown};
use crate::policy::{
    Answer, Ask, Asked, Broken, Charge, Condition, Counting, Fate, Heard, Known, Leaf, Outcome, Plan, Read,
    Step, counting_in_words, scope_as_written, subject_in_words, units_in_whole, window_in_words,
};

pub(super) fn write(it: &Shown<'_>, out: &mut dyn Write) -> io::Result<()> {
    head(it, out)?;
    for note in &it.notes {
        writeln!(out, "note: {note}")?;
    }
    if let Some(denial) = it.denial() {
        writeln!(out, "\nThe agent is told:\n  {}", safe(&denial.message))?;
        match denial.retry_after_ms {
            Some(ms) => writeln!(out, "  It may try again in {} s.", ms.div_ceil(1_000).max(1))?,
            None if denial.outcome == Outcome::NeedsApproval => {
                writeln!(out, "  Once it is approved, the same call runs once.")?;
            }
            None => writeln!(out, "  No retry time: waiting does not change this decision.")?,
        }
    }
    if !it.explanation.steps.is_empty() {
        writeln!(out, "\nTried, in this order:")?;
        for step in &it.explanation.steps {
            write_step(it, step, out)?;
        }
    }
    shadow(it, out)?;
    charges(it, out)?;
    recorded(it, out)
}

fn head(it: &Shown<'_>, out: &mut dyn Write) -> io::Result<()> {
    let asked = match (it.tool, it.method) {
        (Some(tool), _) => format!("a call of {}", quoted(tool)),
        (None, Some(method)) => format!("a {} message", quoted(method)),
        (None, None) => "this message".to_owned(),
    };
    let session = if it.asker.session.is_some() {
        "in a session"
    } else {
        "without a session"
    };
    let decision = &it.explanation.decision;
    writeln!(
        out,
        "{}: {asked} by grant {} on server {}, {session}",
        outcome(decision).as_str(),
        quoted(&it.asker.grant),
        quoted(&it.asker.server),
    )?;
    let Some(denial) = it.denial() else {
        return Ok(());
    };
    writeln!(out, "\nrule: {}", safe(&denial.rule))?;
    let Some(step) = it.explanation.bit() else {
        return Ok(());
    };
    let Some(source) = it.sources.get(step.policy) else {
        return Ok(());
    };
    let place = source.place(&step.pointer);
    writeln!(out, "{}:{}:{}", source.file, place.line, place.column)?;
    out.write_all(excerpt(source.text(), place).unwrap_or_default().as_bytes())
}

fn write_step(it: &Shown<'_>, step: &Step, out: &mut dyn Write) -> io::Result<()> {
    let word = match &step.said {
        Heard::Passed => "passed ",
        Heard::Charges(_, Fate::Counted) => "charges",
        Heard::Charges(..) => "passed ",
        Heard::Asks(_) => "ASKS   ",
        Heard::Refused(_) => "REFUSED",
        Heard::Noted(_) => "shadow ",
    };
    let Some(source) = it.sources.get(step.policy) else {
        return Ok(());
    };
    let place = source.place(&step.pointer);
    writeln!(
        out,
        "  {word}  {}  {}:{}:{}",
        safe(&step.pointer),
        source.file,
        place.line,
        place.column
    )?;
    details(it, step, out)?;
    match &step.said {
        Heard::Asks(ask) => writeln!(out, "             {}", asks(ask)),
        Heard::Noted(_) => writeln!(out, "             in shadow: noted, and not in force"),
        Heard::Charges(_, Fate::Merged(rule)) => {
            writeln!(
                out,
                "             the same usage as {}: charged once, there",
                safe(rule)
            )
        }
        Heard::Charges(_, Fate::Dropped) => writeln!(out, "             not charged: the call is refused"),
        _ => Ok(()),
    }
}

fn details(it: &Shown<'_>, step: &Step, out: &mut dyn Write) -> io::Result<()> {
    let line = |out: &mut dyn Write, text: &str| writeln!(out, "             {text}");
    match &step.asked {
        Asked::Known(Known::Hidden(name)) => line(out, &format!("`hide` holds {}", quoted(name))),
        Asked::Known(Known::Entry { key, beaten }) => line(out, &entry(key, beaten)),
        Asked::Known(Known::Default(allows)) => {
            let word = if *allows { "allow" } else { "deny" };
            line(out, &format!("no entry applies; the default is \"{word}\""))
        }
        Asked::Action => line(out, action(&step.said)),
        Asked::Arguments(broken) if broken.is_empty() => line(out, "the arguments satisfy the schema"),
        Asked::Arguments(broken) => broken
            .iter()
            .try_for_each(|broken| line(out, &breach(it, step, broken))),
        Asked::Ask => line(out, "the action is \"require_approval\""),
        Asked::Require(conditions) | Asked::DenyIf(conditions) | Asked::ApproveIf(conditions) => {
            if conditions.is_empty() {
                return line(out, "no conditions");
            }
            conditions
                .iter()
                .try_for_each(|condition| line(out, &seen(condition, it.values)))
        }
        Asked::Limit(counting) => {
            for read in &counting.reads {
                line(out, &format!("{} {}", shown(&read.path), found(read, it.values)))?;
            }
            match &step.said {
                Heard::Charges(charge, _) => line(out, &amount(charge)),
                Heard::Passed => line(out, "an amount of 0 charges nothing"),
                // Its message is the one above, or below for a limit in shadow; a limit does not ask.
                Heard::Refused(_) | Heard::Noted(_) | Heard::Asks(_) => Ok(()),
            }
        }
        Asked::Method => line(out, method(step)),
    }
}

fn entry(key: &str, beaten: &[String]) -> String {
    let key = quoted(key);
    let beaten: Vec<String> = beaten.iter().map(|key| quoted(key)).collect();
    match beaten.as_slice() {
        [] => format!("the entry {key} applies"),
        beaten => format!("the entry {key} applies; less specific: {}", beaten.join(", ")),
    }
}

fn asks(ask: &Ask) -> String {
    match ask.approvers {
        1 => "a person must approve the call".to_owned(),
        several => format!("{several} people must approve the call"),
    }
}

fn action(said: &Heard) -> &'static str {
    match said {
        Heard::Refused(_) | Heard::Noted(_) => "the action is \"deny\"",
        Heard::Passed | Heard::Charges(..) | Heard::Asks(_) => "the action is \"allow\"",
    }
}

fn method(step: &Step) -> &'static str {
    let passed = matches!(step.said, Heard::Passed);
    match (step.pointer.as_str(), passed) {
        ("/default", true) => "`methods` does not name it; the default is \"allow\"",
        ("/default", false) => "`methods` does not name it; the default is \"deny\"",
        (_, true) => "opened by name",
        (_, false) => "closed by name",
    }
}

fn breach(it: &Shown<'_>, step: &Step, broken: &Broken) -> String {
    let place = it.sources.get(step.policy).map(|source| {
        let place = source.place(&broken.pointer);
        format!("{}:{}:{}", source.file, place.line, place.column)
    });
    let at = if broken.at.is_empty() {
        "the arguments".to_owned()
    } else {
        format!("the argument {}", quoted(&broken.at))
    };
    match &broken.what {
        Ok(keyword) => format!("{at}: breaks {}  {}", quoted(keyword), place.unwrap_or_default()),
        Err(why) => format!("{at}: cannot be evaluated: {why}"),
    }
}

fn seen(condition: &Condition, values: bool) -> String {
    let word = match condition.answer {
        Answer::Holds => "holds".to_owned(),
        Answer::Fails => "does not hold".to_owned(),
        Answer::Doubtful(why) => format!("cannot be evaluated ({why})"),
    };
    // A doubt on the way to the value is the reason already.
    let found = match &condition.read.led {
        Err(_) => String::new(),
        Ok(_) => format!("; the value {}", found(&condition.read, values)),
    };
    format!("{}: {word}{found}", safe(&condition.text))
}

fn found(read: &Read, values: bool) -> String {
    let led = match &read.led {
        Ok(led) => led,
        Err(why) => return format!("cannot be read: {why}"),
    };
    let one = leaf(&led.leaf, values);
    match led.total {
        0 | 1 => one,
        total => format!("is one of {total}: [{}] {one}", led.index),
    }
}

fn leaf(leaf: &Leaf, values: bool) -> String {
    let Some(kind) = leaf.kind else {
        return "is missing".to_owned();
    };
    match &leaf.json {
        Some(json) if values => format!("is {}", shown(json)),
        None if values => format!("is a {kind}, too long to show"),
        _ if kind == "null" => "is null".to_owned(),
        _ => format!("is a {kind}"),
    }
}

fn amount(charge: &Charge) -> String {
    let limit = &charge.limit;
    format!(
        "{} of {} {}",
        units_in_whole(charge.weight, limit.scale),
        units_in_whole(limit.max, limit.scale),
        window_in_words(limit.window)
    )
}

fn shadow(it: &Shown<'_>, out: &mut dyn Write) -> io::Result<()> {
    let noted = &it.explanation.decision.shadow;
    if noted.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nRules in shadow would have refused it:")?;
    noted
        .iter()
        .try_for_each(|denial| writeln!(out, "  {}  {}", safe(&denial.rule), safe(&denial.message)))
}

fn charges(it: &Shown<'_>, out: &mut dyn Write) -> io::Result<()> {
    let (charges, when) = match &it.explanation.decision.plan {
        Plan::Admit(charges) | Plan::Ask { charges, .. } if charges.is_empty() => {
            return writeln!(out, "\nCharged: nothing.");
        }
        Plan::Refuse(_) => {
            return writeln!(out, "\nCharged: nothing; a call that is refused costs nothing.");
        }
        Plan::Admit(charges) => (charges, "Charged"),
        Plan::Ask { charges, .. } => (charges, "Charged once it is approved"),
    };
    writeln!(
        out,
        "\n{when}, all in one step and against unused counters (used ones may limit it):"
    )?;
    for charge in charges {
        write_charge(it, charge, out)?;
    }
    Ok(())
}

fn write_charge(it: &Shown<'_>, charge: &Charge, out: &mut dyn Write) -> io::Result<()> {
    let limit = &charge.limit;
    let mode = match counting_in_words(limit.window) {
        ("lease", Some(ms)) => format!("lease of {} s", ms / 1_000),
        (word, _) => format!("{word} window"),
    };
    let scope = counting(it, charge).map_or_else(String::new, |counting| {
        scope_as_written(&counting.limit, &counting.reads)
    });
    writeln!(out, "  {}: {}", safe(&limit.counter), amount(charge))?;
    writeln!(
        out,
        "    for {}; scope {}, {mode}, on_store_error {}",
        safe(&subject_in_words(&charge.subject)),
        safe(&scope),
        limit.on_store_error.as_str()
    )?;
    if limit.shadow {
        writeln!(out, "    in shadow: it has a counter of its own and never blocks")?;
    }
    match it.sources.find(&limit.rule) {
        Some((source, pointer)) => {
            let place = source.place(pointer);
            writeln!(
                out,
                "    {}  {}:{}:{}",
                safe(pointer),
                source.file,
                place.line,
                place.column
            )
        }
        None => writeln!(out, "    {}", safe(&limit.rule)),
    }
}

/// What the limit of a charge read, from the step that tried it.
pub(super) fn counting<'s>(it: &Shown<'s>, charge: &Charge) -> Option<&'s Counting> {
    it.explanation
        .steps
        .iter()
        .find_map(|step| match (&step.asked, &step.said) {
            (Asked::Limit(counting), Heard::Charges(own, _)) if own.limit.rule == charge.limit.rule => {
                Some(counting)
            }
            _ => None,
        })
}

fn recorded(it: &Shown<'_>, out: &mut dyn Write) -> io::Result<()> {
    let recorded = &it.explanation.decision.recorded;
    if recorded.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nOn record, as the policies ask:")?;
    for value in recorded {
        let json = if it.values {
            format!(" = {}", shown(&value.json))
        } else {
            String::new()
        };
        writeln!(out, "  {}{json}", shown(&value.path))?;
    }
    Ok(())
}

/// Text of any length without what could steer a terminal.
fn safe(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let odd = c.is_control() || crate::document::is_invisible(c);
            let escaped = odd.then(|| c.escape_default());
            escaped.into_iter().flatten().chain((!odd).then_some(c))
        })
        .collect()
}
