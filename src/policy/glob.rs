//! Globs over tool names: `*` is any run of characters (`/` and `.` included, and the empty run),
//! `?` is exactly one. Everything else stands for itself, byte by byte.
//!
//! Matching takes time linear in the name for patterns without `?`: names come from callers.

/// A pattern with at least one `*` or `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    text: String,
    /// The text between the stars; one more than there are stars. May hold `?`.
    segments: Vec<Box<str>>,
    /// Bytes before the first `*` or `?`.
    prefix: usize,
    /// Characters that stand for themselves.
    literals: usize,
}

/// One step of a pattern, for comparing two patterns with each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Literal(char),
    One,
    Run,
}

impl Glob {
    /// `None` where `text` holds no wildcard: it is then an exact name.
    pub(super) fn new(text: &str) -> Option<Self> {
        let prefix = text.find(['*', '?'])?;
        Some(Self {
            text: text.to_owned(),
            segments: text.split('*').map(Box::from).collect(),
            prefix,
            literals: text.chars().filter(|c| !matches!(c, '*' | '?')).count(),
        })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What every matching name begins with.
    pub(super) fn prefix(&self) -> &str {
        self.text.get(..self.prefix).unwrap_or_default()
    }

    /// How many characters stand for themselves.
    pub(super) fn literals(&self) -> usize {
        self.literals
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        let Some((first, others)) = self.segments.split_first() else {
            return false;
        };
        let Some(rest) = strip_front(first, name) else {
            return false;
        };
        let Some((last, middle)) = others.split_last() else {
            return rest.is_empty();
        };
        let Some(mut rest) = strip_back(last, rest) else {
            return false;
        };
        for segment in middle {
            let Some(after) = skip_past(segment, rest) else {
                return false;
            };
            rest = after;
        }
        true
    }

    /// Whether some name matches both patterns.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        compare(&self.tokens(), &other.tokens(), |step| match step {
            Step {
                left: Some(Token::Run),
                right: Some(_),
                ..
            } => Moves::SKIP_LEFT_OR_RIGHT,
            Step {
                left: Some(_),
                right: Some(Token::Run),
                ..
            } => Moves::SKIP_LEFT_OR_RIGHT,
            Step {
                left: Some(Token::Run),
                right: None,
                ..
            } => Moves::SKIP_LEFT,
            Step {
                left: None,
                right: Some(Token::Run),
                ..
            } => Moves::SKIP_RIGHT,
            Step {
                left: Some(left),
                right: Some(right),
            } if meet(left, right) => Moves::BOTH,
            _ => Moves::NONE,
        })
    }

    /// Whether every name that matches `other` matches `self` too. May miss a case where `?` and `*`
    /// stand side by side, never claims one that is not so.
    pub(super) fn covers(&self, other: &Self) -> bool {
        compare(&self.tokens(), &other.tokens(), |step| match step {
            Step {
                left: Some(Token::Run),
                right: Some(_),
            } => Moves::SKIP_LEFT_OR_RIGHT,
            Step {
                left: Some(Token::Run),
                right: None,
            } => Moves::SKIP_LEFT,
            Step {
                left: Some(Token::One),
                right: Some(Token::Literal(_) | Token::One),
            } => Moves::BOTH,
            Step {
                left: Some(left),
                right: Some(right),
            } if left == right => Moves::BOTH,
            _ => Moves::NONE,
        })
    }

    fn tokens(&self) -> Vec<Token> {
        let token = |c| match c {
            '*' => Token::Run,
            '?' => Token::One,
            c => Token::Literal(c),
        };
        self.text.chars().map(token).collect()
    }
}

/// `text` without the `segment` at its front.
fn strip_front<'t>(segment: &str, text: &'t str) -> Option<&'t str> {
    let mut rest = text.chars();
    for want in segment.chars() {
        let got = rest.next()?;
        if want != '?' && want != got {
            return None;
        }
    }
    Some(rest.as_str())
}

/// `text` without the `segment` at its back.
fn strip_back<'t>(segment: &str, text: &'t str) -> Option<&'t str> {
    let mut rest = text.chars();
    for want in segment.chars().rev() {
        let got = rest.next_back()?;
        if want != '?' && want != got {
            return None;
        }
    }
    Some(rest.as_str())
}

/// What follows the first place in `text` where `segment` stands.
fn skip_past<'t>(segment: &str, text: &'t str) -> Option<&'t str> {
    if !segment.contains('?') {
        return text.split_once(segment).map(|(_, after)| after);
    }
    let mut tail = text.chars();
    loop {
        if let Some(after) = strip_front(segment, tail.as_str()) {
            return Some(after);
        }
        tail.next()?;
    }
}

fn meet(left: Token, right: Token) -> bool {
    match (left, right) {
        (Token::Literal(left), Token::Literal(right)) => left == right,
        _ => true,
    }
}

/// The next token of each side; `None` at its end.
struct Step {
    left: Option<Token>,
    right: Option<Token>,
}

/// Which ways lead on from a pair of positions.
struct Moves {
    left: bool,
    right: bool,
    both: bool,
}

impl Moves {
    const NONE: Self = Self {
        left: false,
        right: false,
        both: false,
    };
    const BOTH: Self = Self {
        both: true,
        ..Self::NONE
    };
    const SKIP_LEFT: Self = Self {
        left: true,
        ..Self::NONE
    };
    const SKIP_RIGHT: Self = Self {
        right: true,
        ..Self::NONE
    };
    const SKIP_LEFT_OR_RIGHT: Self = Self {
        left: true,
        right: true,
        both: false,
    };
}

/// Whether both token lists can be walked to their ends together. Row by row from the back, so the
/// time is the product of the lengths.
fn compare(left: &[Token], right: &[Token], moves: impl Fn(Step) -> Moves) -> bool {
    let mut below: Vec<bool> = Vec::new();
    for i in (0..=left.len()).rev() {
        let mut row = vec![false; right.len() + 1];
        for j in (0..=right.len()).rev() {
            let at = |cells: &[bool], j: usize| cells.get(j).copied().unwrap_or(false);
            let step = Step {
                left: left.get(i).copied(),
                right: right.get(j).copied(),
            };
            let reached = if step.left.is_none() && step.right.is_none() {
                true
            } else {
                let moves = moves(step);
                (moves.left && at(&below, j))
                    || (moves.right && at(&row, j + 1))
                    || (moves.both && at(&below, j + 1))
            };
            if let Some(cell) = row.get_mut(j) {
                *cell = reached;
            }
        }
        below = row;
    }
    below.first().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests;
