//! A scan for people.

use std::io::{self, Write};

use crate::document::shown;
use crate::scan::{Class, Classed};

/// Writes one line for each tool, the gravest first, and a summary.
pub(super) fn write(classed: &[Classed], out: &mut dyn Write) -> io::Result<()> {
    let mut tools: Vec<&Classed> = classed.iter().collect();
    tools.sort_by(|a, b| {
        (b.class, b.risk)
            .cmp(&(a.class, a.risk))
            .then_with(|| a.name.cmp(&b.name))
    });
    let names: Vec<String> = tools.iter().map(|tool| shown(&tool.name)).collect();
    let width = names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0)
        .max(4);
    writeln!(out, "{:<width$}  {:<11}  {:<8}  REASONS", "TOOL", "CLASS", "RISK")?;
    for (tool, name) in tools.iter().zip(&names) {
        let (class, risk) = (tool.class.word(), tool.risk.word());
        writeln!(
            out,
            "{name:<width$}  {class:<11}  {risk:<8}  {}",
            tool.reasons.join("; ")
        )?;
    }
    let counts = Class::ALL.into_iter().map(|class| {
        let count = tools.iter().filter(|tool| tool.class == class).count();
        format!("{count} {}", class.word())
    });
    writeln!(
        out,
        "{} tools: {}",
        tools.len(),
        counts.collect::<Vec<_>>().join(", ")
    )
}
