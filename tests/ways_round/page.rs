//! The tables in `docs/security.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    Http,
    Sse,
    Stdio,
}

/// One way, and what each server did with it when it was sent directly: `None` where it makes no sense there.
pub struct Row {
    pub way: String,
    pub cells: Vec<Option<Cell>>,
}

/// What was sent directly had its effect, or none. Through toolgate it never had: the tests see to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub word: &'static str,
    pub effect: bool,
}

impl Cell {
    fn text(self) -> String {
        let directly = if self.effect {
            format!("**{}**", self.word)
        } else {
            "–".to_owned()
        };
        format!("{directly} / never")
    }
}

pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
}

impl Table {
    fn text(&self) -> String {
        let mut text = "| sent |".to_owned();
        for column in &self.columns {
            write!(text, " {column} |").unwrap();
        }
        text = format!("{text}\n|{}\n", " --- |".repeat(self.columns.len() + 1));
        for Row { way, cells } in &self.rows {
            let cells: Vec<String> = cells
                .iter()
                .map(|cell| cell.map(Cell::text).unwrap_or_default())
                .collect();
            writeln!(text, "| {way} | {} |", cells.join(" | ")).unwrap();
        }
        text
    }
}

/// The page as it stands, or nothing of it.
pub struct Page {
    text: String,
    known: bool,
}

impl Page {
    pub fn read() -> Self {
        Self {
            text: std::fs::read_to_string(path()).unwrap(),
            known: true,
        }
    }

    /// A page that expects nothing, to be written anew.
    pub fn unknown() -> Self {
        Self {
            known: false,
            ..Self::read()
        }
    }

    fn shown(&self, transport: Transport) -> &str {
        let [begin, end] = marks(transport);
        let after = self
            .text
            .split_once(&begin)
            .expect("the table's marks stand in the page")
            .1;
        after.split_once(&end).unwrap().0
    }

    /// What the page says of one row: which cells had an effect. A cell that is said to have one is tried more than
    /// once: a server on a busy machine may be slow.
    pub fn expects(&self, transport: Transport, way: &str) -> BTreeMap<usize, bool> {
        if !self.known {
            return BTreeMap::new();
        }
        let start = format!("| {way} | ");
        let line = self
            .shown(transport)
            .lines()
            .find_map(|line| line.strip_prefix(&start));
        let cells = line.unwrap_or_default().split(" | ").enumerate();
        cells
            .map(|(column, cell)| (column, cell.contains("**")))
            .collect()
    }

    /// What was seen through toolgate must be what the page shows, cell by cell. What a server did directly may differ in
    /// a few cells: how it takes broken framing depends on how the bytes happen to arrive.
    ///
    /// # Panics
    /// Where the page shows another table, or one in which nothing has an effect: it would prove nothing.
    pub fn compare(&self, transport: Transport, table: &Table) {
        let text = table.text();
        let cells = |text: &str| -> Vec<String> {
            let lines = text.lines().map(|line| line.split(" | ").map(str::to_owned));
            lines.flatten().collect()
        };
        let through = |cell: &String| cell.split(" / ").last().unwrap_or_default().to_owned();
        let (found, shown) = (cells(&text), cells(self.shown(transport)));
        let differ = found.iter().zip(&shown).filter(|(found, shown)| found != shown);
        assert!(
            found.len() == shown.len()
                && found.iter().map(through).eq(shown.iter().map(through))
                && differ.count() <= 2,
            "docs/security.md shows another table; see the head of tests/real_ways_round.rs:\n{text}"
        );
        assert!(text.matches("**").count() >= 20, "{text}");
    }

    pub fn put(&mut self, transport: Transport, table: &Table) {
        let [begin, end] = marks(transport);
        let (before, rest) = self
            .text
            .split_once(&begin)
            .expect("the table's marks stand in the page");
        let after = rest.split_once(&end).unwrap().1;
        self.text = format!("{before}{begin}{}{end}{after}", table.text());
    }

    pub fn write(&self) {
        std::fs::write(path(), &self.text).unwrap();
    }
}

fn marks(transport: Transport) -> [String; 2] {
    let name = format!("{transport:?}").to_lowercase();
    [
        format!("<!-- ways round, {name}: begin -->\n"),
        format!("<!-- ways round, {name}: end -->"),
    ]
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/security.md")
}
