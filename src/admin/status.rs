//! `/`: what `/metrics` and `/readyz` say, for people. It shows no grant, no argument and nothing that a caller wrote.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::record::Series;

/// Apart from the page, so that its policy can forbid everything that stands in the page itself.
pub(super) const STYLE: &str = include_str!("status.css");
/// No script, no image, no frame, nothing from elsewhere.
pub(super) const POLICY: &str =
    "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'";

/// How the gate and what it depends on are, each in a word.
pub(super) struct Words<'a> {
    pub(super) gate: &'a str,
    pub(super) store: &'a str,
    pub(super) policies: &'a str,
    pub(super) servers: Vec<String>,
}

/// The page. Pure: the same series give the same page.
pub(super) fn page(series: &[Series], words: &Words<'_>) -> String {
    let version = series.iter().find(|sample| sample.name == "toolgate_build_info");
    let version = version.map_or("", |sample| sample.label("version"));
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>toolgate</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"5\">\
         <link rel=\"stylesheet\" href=\"/status.css\"></head><body><header><h1>toolgate {}</h1>\
         <span>serves {}</span></header>",
        Escaped(version),
        Escaped(&words.servers.join(", "))
    );
    tiles(&mut out, series, words);
    decisions(&mut out, series);
    limits(&mut out, series);
    store(&mut out, series);
    out.push_str(
        "<p>Counted by this gate since it started; read again every five seconds.</p></body></html>\n",
    );
    out
}

fn tiles(out: &mut String, series: &[Series], words: &Words<'_>) {
    let sum = |name: &str, keep: &dyn Fn(&Series) -> bool| -> f64 {
        let kept = series.iter().filter(|sample| sample.name == name && keep(sample));
        kept.map(|sample| sample.value).sum()
    };
    let enforced = |allowed: bool| {
        sum("toolgate_decisions_total", &|sample| {
            sample.label("mode") == "enforce" && (sample.label("outcome") == "allowed") == allowed
        })
    };
    let number = |value: f64| format!("{value:.0}");
    let all = |name: &str| number(sum(name, &|_| true));
    let tiles = [
        ("this gate", words.gate.to_owned()),
        ("the store", words.store.to_owned()),
        ("policies and grants", words.policies.to_owned()),
        ("messages let through", number(enforced(true))),
        ("refused", number(enforced(false))),
        ("in flight", all("toolgate_in_flight")),
        ("open streams", all("toolgate_open_streams")),
        ("client connections", all("toolgate_open_connections")),
    ];
    out.push_str("<ul>");
    for (label, value) in tiles {
        let class = match value.as_str() {
            "ready" | "up" | "current" => " class=\"good\"",
            "stopping" | "down" | "stale" => " class=\"bad\"",
            _ => "",
        };
        let _ = write!(out, "<li><b{class}>{}</b>{label}</li>", Escaped(&value));
    }
    out.push_str("</ul>");
}

/// By server and tool, how often each outcome came.
fn decisions(out: &mut String, series: &[Series]) {
    let mut rows: BTreeMap<[&str; 4], f64> = BTreeMap::new();
    for sample in series
        .iter()
        .filter(|sample| sample.name == "toolgate_decisions_total")
    {
        let key = ["server", "tool", "outcome", "mode"].map(|label| sample.label(label));
        *rows.entry(key).or_default() += sample.value;
    }
    let rows = rows.into_iter().map(|([server, tool, outcome, mode], count)| {
        let outcome = if mode == "shadow" {
            format!("{outcome} (shadow)")
        } else {
            outcome.to_owned()
        };
        (vec![server.to_owned(), tool.to_owned(), outcome], count)
    });
    table(out, "Decisions", &["server", "tool", "outcome"], rows.collect());
}

fn limits(out: &mut String, series: &[Series]) {
    let charges = series
        .iter()
        .filter(|sample| sample.name == "toolgate_limit_charges_total");
    let rows = charges.map(|sample| {
        let names = ["server", "counter", "state"].map(|label| sample.label(label).to_owned());
        (names.to_vec(), sample.value)
    });
    table(
        out,
        "Charges of limits",
        &["server", "counter", "charges were"],
        rows.collect(),
    );
}

/// Mean times of the store's operations, in milliseconds, and what went wrong.
fn store(out: &mut String, series: &[Series]) {
    let mut rows = Vec::new();
    for count in series
        .iter()
        .filter(|sample| sample.name == "toolgate_store_seconds_count")
    {
        let operation = count.label("operation");
        let sum = series.iter().find(|sample| {
            sample.name == "toolgate_store_seconds_sum" && sample.label("operation") == operation
        });
        let mean = sum.map_or(0.0, |sum| sum.value * 1e3 / count.value.max(1.0));
        rows.push((
            vec![operation.to_owned(), format!("{mean:.2} ms in the mean")],
            count.value,
        ));
    }
    for error in series
        .iter()
        .filter(|sample| sample.name == "toolgate_store_errors_total")
    {
        let names = ["operation", "error"].map(|label| error.label(label).to_owned());
        rows.push((names.to_vec(), error.value));
    }
    table(out, "The store", &["operation", "went"], rows);
}

/// Names, and a count with a bar beside it, the largest as long as can be.
fn table(out: &mut String, title: &str, heads: &[&str], rows: Vec<(Vec<String>, f64)>) {
    if rows.is_empty() {
        return;
    }
    let most = rows.iter().map(|(_, count)| *count).fold(1.0, f64::max);
    let _ = write!(out, "<h2>{title}</h2><div class=\"scroll\"><table><tr>");
    for head in heads {
        let _ = write!(out, "<th>{head}</th>");
    }
    out.push_str("<th>count</th><th></th></tr>");
    for (names, count) in rows {
        out.push_str("<tr>");
        for name in names {
            let _ = write!(out, "<td>{}</td>", Escaped(&name));
        }
        let _ = write!(
            out,
            "<td class=\"number\">{count:.0}</td><td><meter max=\"{most:.0}\" value=\"{count:.0}\"></meter></td></tr>"
        );
    }
    out.push_str("</table></div>");
}

/// Text of HTML. Characters that change how others are shown (controls, text direction) are written as their codes.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if c.is_control()
                    || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}') =>
                {
                    write!(f, "\\u{:04x}", u32::from(c))?;
                }
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Escaped, Words, page};
    use crate::record::Metrics;

    fn words() -> Words<'static> {
        Words {
            gate: "ready",
            store: "down",
            policies: "stale",
            servers: vec!["coalesce".to_owned()],
        }
    }

    #[test]
    fn the_page_tells_how_things_are_and_what_was_counted() {
        let metrics = Metrics::new("1.2.3").unwrap();
        metrics.refund("coalesce", "refunded");
        metrics.store("admit").end(Some("timeout"));
        let page = page(&metrics.series(), &words());
        for part in [
            "toolgate 1.2.3",
            "serves coalesce",
            "<b class=\"good\">ready</b>",
            "<b class=\"bad\">down</b>the store",
            "<b class=\"bad\">stale</b>policies and grants",
            "<td>admit</td><td>timeout</td><td class=\"number\">1</td>",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
    }

    #[test]
    fn names_cannot_become_part_of_the_page() {
        let shown = Escaped("<script>\"'&\u{202e}\n").to_string();
        assert_eq!(shown, "&lt;script&gt;&quot;&#39;&amp;\\u202e\\u000a");
    }
}
