//! A Markdown text as what is said and what is typed.

/// The text in parts.
pub struct Document {
    parts: Vec<Part>,
}

enum Part {
    /// Lines that stay as they are.
    Said(String),
    /// A command with its prompt and all its lines, and the lines that it printed.
    Typed { command: String, output: String },
}

const PROMPT: &str = "$ ";

impl Document {
    pub fn read(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut lines = text.lines().peekable();
        let mut inside = false;
        while let Some(line) = lines.next() {
            if line.starts_with("```") {
                inside = line == "```console";
            }
            if !inside || line.starts_with("```") {
                parts.push(Part::Said(format!("{line}\n")));
                continue;
            }
            let first = line
                .strip_prefix(PROMPT)
                .expect("a console block begins with a command");
            let mut command = first.to_owned();
            while let Some(next) = lines.next_if(|_| goes_on(&command)) {
                command = format!("{command}\n{next}");
            }
            let mut output = String::new();
            while let Some(next) = lines.next_if(|next| !next.starts_with(PROMPT) && !next.starts_with("```"))
            {
                output.push_str(next);
                output.push('\n');
            }
            parts.push(Part::Typed { command, output });
        }
        Self { parts }
    }

    pub fn commands(&self) -> Vec<&str> {
        let commands = self.parts.iter().filter_map(|part| match part {
            Part::Typed { command, .. } => Some(command.as_str()),
            Part::Said(_) => None,
        });
        commands.collect()
    }

    /// The text with these outputs. Lines of an output that are the same but for blanks at their ends stay as they are.
    pub fn with_outputs(&self, outputs: &[String]) -> String {
        let mut outputs = outputs.iter();
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Said(said) => text.push_str(said),
                Part::Typed { command, output } => {
                    let real = outputs.next().expect("an output for each command");
                    text.push_str(&format!("{PROMPT}{command}\n"));
                    let same = trimmed(real) == trimmed(output);
                    text.push_str(if same { output } else { real });
                }
            }
        }
        assert!(outputs.next().is_none());
        text
    }
}

fn trimmed(output: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = output.lines().map(str::trim_end).collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines
}

/// Whether a command needs another line: a here-document up to `EOF`, a backslash, or a quote that is open.
fn goes_on(command: &str) -> bool {
    if command.contains("<<'EOF'") {
        return !command.ends_with("\nEOF");
    }
    command.ends_with('\\') || !command.matches('\'').count().is_multiple_of(2)
}
