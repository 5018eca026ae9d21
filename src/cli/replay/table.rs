//! The result as tables for people.

use std::io::{self, Write};

use crate::cli::shown::escaped;
use crate::replay::{Difference, Report, Totals};

/// Most rows that are printed of one table.
const ROWS: usize = 100;

/// Writes the report.
///
/// # Errors
/// Where `out` cannot be written to.
pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.differences.is_empty() {
        writeln!(out, "no differences")?;
    } else {
        differences(report, out)?;
    }
    untold(report, out)?;
    if !report.shadow.is_empty() {
        writeln!(out, "\nrules in shadow would refuse:")?;
        for row in report.shadow.iter().take(ROWS) {
            writeln!(out, "{:>8}  {}", row.count, escaped(&row.rule))?;
        }
    }
    totals(&report.totals, out)?;
    for line in &report.malformed {
        writeln!(out, "{}: {}", escaped(&line.place), escaped(&line.why))?;
    }
    Ok(())
}

fn differences(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let head = ["TOOL", "GRANT", "THEN", "NOW", "RULE", "COUNT"].map(str::to_owned);
    let mut rows = vec![head];
    rows.extend(report.differences.iter().take(ROWS).map(row));
    let beyond: u64 = report.differences.iter().skip(ROWS).map(|row| row.count).sum();
    let beyond = beyond.saturating_add(report.in_other_rows);
    if beyond > 0 {
        let name = "(other rows)".to_owned();
        let [grant, then, now, rule] = [const { String::new() }; 4];
        rows.push([name, grant, then, now, rule, beyond.to_string()]);
    }
    columns(&rows, out)
}

/// The rule is the one that refuses now, or else the one that refused then.
fn row(difference: &Difference) -> [String; 6] {
    let Difference {
        then_rule, now_rule, ..
    } = difference;
    let rule = match (then_rule, now_rule) {
        (Some(then), Some(now)) if difference.then != "upstream_error" => {
            format!("{} -> {}", escaped(then), escaped(now))
        }
        (_, Some(rule)) | (Some(rule), None) => escaped(rule),
        (None, None) => String::new(),
    };
    [
        escaped(&difference.tool),
        escaped(&difference.grant),
        difference.then.to_owned(),
        difference.now.to_owned(),
        rule,
        difference.count.to_string(),
    ]
}

fn untold(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.cannot_be_told.is_empty() {
        return Ok(());
    }
    writeln!(out, "\ncannot be told:")?;
    for row in report.cannot_be_told.iter().take(ROWS) {
        let (rule, why) = (escaped(&row.rule), escaped(&row.why));
        writeln!(out, "{:>8}  {rule}: {why}", row.count)?;
        if let Some(remedy) = &row.remedy {
            writeln!(out, "          = help: {}", escaped(remedy))?;
        }
    }
    Ok(())
}

fn totals(totals: &Totals, out: &mut dyn Write) -> io::Result<()> {
    let always = true;
    let rows = [
        ("lines", totals.lines, always),
        ("  no decision of a policy", totals.not_judged, false),
        ("  malformed", totals.malformed, false),
        ("  of other grants or servers", totals.filtered, false),
        ("decisions", totals.decisions, always),
        ("  alike", totals.alike, always),
        ("  newly denied", totals.newly_denied, always),
        ("  newly allowed", totals.newly_allowed, always),
        ("  refused by another rule", totals.refused_otherwise, false),
        ("  cannot be told", totals.cannot_be_told, always),
        ("late lines", totals.late, false),
    ];
    writeln!(out)?;
    let rows = rows
        .into_iter()
        .filter(|(_, count, always)| *count > 0 || *always);
    let rows: Vec<_> = rows
        .map(|(name, count, _)| [name.to_owned(), count.to_string()])
        .collect();
    columns(&rows, out)
}

/// Writes rows in columns, the last one to the right.
fn columns<const N: usize>(rows: &[[String; N]], out: &mut dyn Write) -> io::Result<()> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let mut line = String::new();
        for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
            let last = index.saturating_add(1) == N;
            let parts = if last {
                ["  ", &pad, cell]
            } else {
                ["  ", cell, &pad]
            };
            parts
                .into_iter()
                .skip(usize::from(index == 0))
                .for_each(|part| line.push_str(part));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{Malformed, Noted, Untold};

    fn text(report: &Report) -> String {
        let mut out = Vec::new();
        write(report, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn difference(tool: &str, count: u64) -> Difference {
        Difference {
            tool: tool.to_owned(),
            grant: "ci".to_owned(),
            then: "allowed",
            then_rule: None,
            now: "limited",
            now_rule: Some("/tools/run/limits/runs".to_owned()),
            count,
        }
    }

    #[test]
    fn each_difference_is_a_row_and_the_totals_follow() {
        let mut report = Report {
            differences: vec![difference("run", 12), difference("start_run", 3)],
            ..Report::default()
        };
        report.totals.newly_denied = 15;
        let wanted = [
            "TOOL       GRANT  THEN     NOW      RULE                    COUNT",
            "run        ci     allowed  limited  /tools/run/limits/runs     12",
            "start_run  ci     allowed  limited  /tools/run/limits/runs      3",
            "",
            "lines              0",
            "decisions          0",
            "  alike            0",
            "  newly denied    15",
            "  newly allowed    0",
            "  cannot be told   0",
        ];
        assert_eq!(text(&report).lines().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn names_that_a_caller_chose_cannot_steer_the_terminal() {
        let report = Report {
            differences: vec![difference("a\u{1b}[2Jb\nc\u{202e}d", 1)],
            malformed: vec![Malformed {
                place: "a\u{7}:1".to_owned(),
                why: "x".to_owned(),
            }],
            cannot_be_told: vec![Untold {
                rule: "/r\u{9b}".to_owned(),
                why: "w\r".to_owned(),
                remedy: Some("h\u{1b}".to_owned()),
                count: 1,
            }],
            shadow: vec![Noted {
                rule: "/s\u{8}".to_owned(),
                count: 1,
            }],
            ..Report::default()
        };
        let text = text(&report);
        assert!(text.contains(r"a\u{1b}[2Jb\nc\u{202e}d"), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }

    #[test]
    fn rows_beyond_the_bound_are_one_row() {
        let rows = (0..150).map(|n| difference(&format!("t{n}"), 2));
        let report = Report {
            differences: rows.collect(),
            in_other_rows: 7,
            ..Report::default()
        };
        let text = text(&report);
        let other = text.lines().find(|line| line.starts_with("(other rows)"));
        assert!(other.unwrap().ends_with(" 107"), "{text}");
    }
}
