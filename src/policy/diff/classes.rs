//! All tool names there could be, in finitely many classes: an automaton reads a name character by character and
//! follows every glob at once. Names that end in the same state are matched by the same globs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The most states of the globs that are looked at; those on the way to an exact name come on top.
const MOST: usize = 20_000;

/// More states than are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// Positions in all globs, one behind the other, as bits. Each glob has one more than it has characters: its end.
type Bits = Vec<u64>;

/// The globs, laid out for reading them all at once.
struct Globs {
    start: Bits,
    /// Positions of `*`, which stay where they are whatever is read.
    runs: Bits,
    /// Positions of `?`, which any character passes.
    ones: Bits,
    /// Positions that this character passes.
    literals: BTreeMap<char, Bits>,
    /// The end of each glob.
    ends: Vec<usize>,
}

/// Where every glob stands after some characters, and which of the exact names these may still become: a node of
/// [`Exact`], or none.
type State = (Bits, Option<usize>);

/// The exact names, character by character.
struct Exact {
    /// Node → what follows it; the first node is the empty name.
    nodes: Vec<BTreeMap<char, usize>>,
    ends: BTreeSet<usize>,
}

impl Exact {
    fn new(names: &BTreeSet<&str>) -> Self {
        let mut exact = Self {
            nodes: vec![BTreeMap::new()],
            ends: BTreeSet::new(),
        };
        for name in names {
            let mut at = 0;
            for c in name.chars() {
                let new = exact.nodes.len();
                let Some(node) = exact.nodes.get_mut(at) else {
                    break;
                };
                at = *node.entry(c).or_insert(new);
                if at == new {
                    exact.nodes.push(BTreeMap::new());
                }
            }
            exact.ends.insert(at);
        }
        exact
    }

    fn after(&self, node: Option<usize>, c: char) -> Option<usize> {
        self.nodes.get(node?)?.get(&c).copied()
    }
}

/// One name of each class, which is none of the exact names. A class that holds exact names alone has none.
pub(super) fn representatives(
    globs: &BTreeSet<&str>,
    exact: &BTreeSet<&str>,
) -> Result<Vec<String>, TooMany> {
    let globs = Globs::new(globs);
    let mut alphabet: BTreeSet<char> = globs.literals.keys().copied().collect();
    let used: BTreeSet<char> = exact.iter().flat_map(|name| name.chars()).collect();
    let exact = Exact::new(exact);
    // Stands for every character that no glob and no name holds.
    let other = ('a'..='z').chain('0'..='9').chain('\u{e000}'..='\u{f8ff}');
    alphabet.extend(other.clone().find(|c| !alphabet.contains(c) && !used.contains(c)));

    let start: State = (globs.closure(globs.start.clone()), Some(0));
    // State → a shortest name that leads to it.
    let mut names: BTreeMap<State, String> = BTreeMap::from([(start.clone(), String::new())]);
    let mut open: VecDeque<State> = VecDeque::from([start]);
    while let Some(state) = open.pop_front() {
        let (reached, node) = &state;
        let name = names.get(&state).cloned().unwrap_or_default();
        // A character that only exact names hold leads on within them, and elsewhere is like any other.
        let further = node
            .and_then(|node| exact.nodes.get(node))
            .into_iter()
            .flat_map(BTreeMap::keys);
        for c in alphabet.iter().chain(further.filter(|c| !alphabet.contains(c))) {
            let next = (globs.step(reached, *c), exact.after(*node, *c));
            if names.contains_key(&next) {
                continue;
            }
            if names.len() >= MOST.saturating_add(exact.nodes.len()) {
                return Err(TooMany);
            }
            names.insert(next.clone(), format!("{name}{c}"));
            open.push_back(next);
        }
    }
    // Of the states in which the same globs match, one is enough.
    let mut classes: BTreeMap<Vec<bool>, String> = BTreeMap::new();
    for ((reached, node), name) in names {
        if node.is_none_or(|node| !exact.ends.contains(&node)) {
            let matched = globs.ends.iter().map(|end| has(&reached, *end));
            classes.entry(matched.collect()).or_insert(name);
        }
    }
    Ok(classes.into_values().collect())
}

impl Globs {
    fn new(globs: &BTreeSet<&str>) -> Self {
        let positions: usize = globs
            .iter()
            .map(|glob| glob.chars().count().saturating_add(1))
            .sum();
        let none: Bits = vec![0; positions.div_ceil(64).max(1)];
        let mut laid = Self {
            start: none.clone(),
            runs: none.clone(),
            ones: none.clone(),
            literals: BTreeMap::new(),
            ends: Vec::new(),
        };
        let mut at: usize = 0;
        for glob in globs {
            set(&mut laid.start, at);
            for c in glob.chars() {
                match c {
                    '*' => set(&mut laid.runs, at),
                    '?' => set(&mut laid.ones, at),
                    c => set(laid.literals.entry(c).or_insert_with(|| none.clone()), at),
                }
                at = at.saturating_add(1);
            }
            laid.ends.push(at);
            at = at.saturating_add(1);
        }
        laid
    }

    fn step(&self, reached: &Bits, c: char) -> Bits {
        let literals = self.literals.get(&c);
        let passed = reached.iter().enumerate().map(|(word, bits)| {
            let own = literals.and_then(|all| all.get(word)).copied().unwrap_or(0);
            let any = self.ones.get(word).copied().unwrap_or(0);
            bits & (own | any)
        });
        let mut next = moved(&passed.collect());
        for ((next, bits), runs) in next.iter_mut().zip(reached).zip(&self.runs) {
            *next |= bits & runs;
        }
        self.closure(next)
    }

    /// A `*` may also stand for nothing.
    fn closure(&self, mut reached: Bits) -> Bits {
        loop {
            let runs: Bits = reached
                .iter()
                .zip(&self.runs)
                .map(|(bits, runs)| bits & runs)
                .collect();
            let mut grown = false;
            for (bits, more) in reached.iter_mut().zip(moved(&runs)) {
                grown |= *bits | more != *bits;
                *bits |= more;
            }
            if !grown {
                return reached;
            }
        }
    }
}

/// Every position moved one on. No glob's end moves: nothing passes it.
fn moved(bits: &Bits) -> Bits {
    let mut carry = 0;
    let moved = bits.iter().map(|word| {
        let next = word << 1 | carry;
        carry = word >> 63;
        next
    });
    moved.collect()
}

fn set(bits: &mut Bits, at: usize) {
    if let Some(word) = bits.get_mut(at / 64) {
        *word |= 1 << (at % 64);
    }
}

fn has(bits: &Bits, at: usize) -> bool {
    bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(globs: &[&str], exact: &[&str]) -> Vec<String> {
        let globs = globs.iter().copied().collect();
        representatives(&globs, &exact.iter().copied().collect()).unwrap()
    }

    #[test]
    fn each_way_in_which_globs_can_match_has_one_name() {
        assert_eq!(classes(&[], &["x"]).len(), 1);
        // neither, the one, the other, both
        assert_eq!(classes(&["get_*", "*_all"], &[]).len(), 4);
        // `ab*` lies within `a*`
        assert_eq!(classes(&["a*", "ab*"], &[]).len(), 3);
        assert_eq!(classes(&["a?", "a*"], &[]).len(), 3);
    }

    #[test]
    fn a_class_of_exact_names_alone_has_none() {
        // What `a*` matches and `a?*` does not is `a`.
        assert_eq!(classes(&["a*", "a?*"], &[]).len(), 3);
        assert_eq!(classes(&["a*", "a?*"], &["a"]).len(), 2);
        assert_eq!(classes(&["*"], &["x", "xy"]).len(), 1);
    }

    #[test]
    fn too_many_overlapping_globs_are_given_up_and_never_told_to_be_equal() {
        let globs: Vec<String> = (0..24).map(|n| format!("*{n}a{n}b*{n}c*")).collect();
        let globs: BTreeSet<&str> = globs.iter().map(String::as_str).collect();
        assert_eq!(representatives(&globs, &BTreeSet::new()), Err(TooMany));
    }

    #[test]
    fn many_plain_globs_and_thousands_of_names_are_told_apart() {
        let globs: Vec<String> = (0..60).map(|n| format!("server{n}_*")).collect();
        let exact: Vec<String> = (0..3_000).map(|n| format!("server{n}_tool{n}")).collect();
        let globs: BTreeSet<&str> = globs.iter().map(String::as_str).collect();
        let exact: BTreeSet<&str> = exact.iter().map(String::as_str).collect();
        assert_eq!(representatives(&globs, &exact).unwrap().len(), 61);
    }
}
