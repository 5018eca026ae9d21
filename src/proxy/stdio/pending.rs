//! Which requests wait for an answer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::mcp::ids::IdKey;

/// Requests that may wait for an answer at the same time.
pub(super) const WAITING_AT_MOST: usize = 1_024;

/// Requests by their ids. A client may use an id again while its first request waits: the oldest is answered
/// first.
pub(super) struct Pending<W>(Mutex<Table<W>>);

struct Table<W> {
    by_id: HashMap<IdKey, VecDeque<(u64, W)>>,
    waiting: usize,
    next: u64,
}

/// One request in the table.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    id: IdKey,
    number: u64,
}

impl<W> Default for Pending<W> {
    fn default() -> Self {
        Self(Mutex::new(Table {
            by_id: HashMap::new(),
            waiting: 0,
            next: 0,
        }))
    }
}

impl<W> Pending<W> {
    pub(super) fn has_room(&self) -> bool {
        self.lock().waiting < WAITING_AT_MOST
    }

    pub(super) fn len(&self) -> usize {
        self.lock().waiting
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks the requests about something, newest first, until one says `true`.
    pub(super) fn newest(&self, mut ask: impl FnMut(&W) -> bool) -> bool {
        let table = self.lock();
        let mut all: Vec<&(u64, W)> = table.by_id.values().flatten().collect();
        all.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        all.into_iter().any(|(_, waiting)| ask(waiting))
    }

    /// Asks the oldest request with this id. `false`: it says so, or there is none.
    pub(super) fn with(&self, id: &IdKey, ask: impl FnOnce(&W) -> bool) -> bool {
        let table = self.lock();
        let oldest = table.by_id.get(id).and_then(VecDeque::front);
        oldest.is_some_and(|(_, waiting)| ask(waiting))
    }

    /// A ticket for a request that is about to wait.
    pub(super) fn ticket(&self, id: IdKey) -> Ticket {
        let mut table = self.lock();
        let number = table.next;
        table.next = number.wrapping_add(1);
        Ticket { id, number }
    }

    /// From now on the request waits.
    pub(super) fn add(&self, ticket: &Ticket, waiting: W) {
        let mut table = self.lock();
        table.waiting = table.waiting.saturating_add(1);
        let same = table.by_id.entry(ticket.id.clone()).or_default();
        same.push_back((ticket.number, waiting));
    }

    /// Takes the oldest request with this id out.
    pub(super) fn answered(&self, id: &IdKey) -> Option<W> {
        self.lock().take(id, |_, _| true)
    }

    /// The same, where one that is `free` goes before others: which of them was answered nobody can tell.
    pub(super) fn answered_free_first(&self, id: &IdKey, free: impl Fn(&W) -> bool) -> Option<W> {
        let mut table = self.lock();
        table
            .take(id, |_, waiting| free(waiting))
            .or_else(|| table.take(id, |_, _| true))
    }

    /// Takes this request out, if it still waits.
    pub(super) fn take(&self, ticket: &Ticket) -> Option<W> {
        self.lock().take(&ticket.id, |number, _| number == ticket.number)
    }

    /// Takes the oldest request that is meant out.
    pub(super) fn take_where(&self, meant: impl Fn(&W) -> bool) -> Option<W> {
        let mut table = self.lock();
        let all = table.by_id.iter().flat_map(|(id, same)| {
            let same = same.iter().filter(|(_, waiting)| meant(waiting));
            same.map(move |(number, _)| (*number, id))
        });
        let (number, id) = all.min_by_key(|(number, _)| *number)?;
        let id = id.clone();
        table.take(&id, |other, _| other == number)
    }

    /// Takes all out, oldest first.
    pub(super) fn take_all(&self) -> Vec<W> {
        let mut table = self.lock();
        table.waiting = 0;
        let mut all: Vec<(u64, W)> = std::mem::take(&mut table.by_id).into_values().flatten().collect();
        drop(table);
        all.sort_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, waiting)| waiting).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W> Table<W> {
    fn take(&mut self, id: &IdKey, wanted: impl Fn(u64, &W) -> bool) -> Option<W> {
        let same = self.by_id.get_mut(id)?;
        let place = same
            .iter()
            .position(|(number, waiting)| wanted(*number, waiting))?;
        let (_, waiting) = same.remove(place)?;
        if same.is_empty() {
            self.by_id.remove(id);
        }
        self.waiting = self.waiting.saturating_sub(1);
        Some(waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::{IdKey, Pending, Ticket, WAITING_AT_MOST};

    fn id(raw: &str) -> IdKey {
        IdKey::of(raw).unwrap()
    }

    fn add<W>(pending: &Pending<W>, raw: &str, waiting: W) -> Ticket {
        let ticket = pending.ticket(id(raw));
        pending.add(&ticket, waiting);
        ticket
    }

    #[test]
    fn an_id_that_is_used_twice_is_answered_in_order() {
        let pending = Pending::default();
        add(&pending, "1", "first");
        let second = add(&pending, "1.0", "second");
        assert_eq!(pending.answered(&id("1")), Some("first"));
        assert_eq!(pending.take(&second), Some("second"));
        assert_eq!(pending.take(&second), None);
        assert_eq!(pending.answered(&id("1")), None);
    }

    #[test]
    fn of_requests_with_one_id_those_that_hold_nothing_are_answered_first() {
        let pending = Pending::default();
        for holds in [true, false, true] {
            add(&pending, "1", holds);
        }
        let answered = || pending.answered_free_first(&id("1"), |holds| !holds);
        assert_eq!(
            [answered(), answered(), answered(), answered()],
            [Some(false), Some(true), Some(true), None]
        );
    }

    #[test]
    fn room_is_bounded_and_comes_back() {
        let pending = Pending::default();
        for number in 0..WAITING_AT_MOST {
            assert!(pending.has_room());
            add(&pending, &number.to_string(), number);
        }
        assert!(!pending.has_room());
        pending.answered(&id("5"));
        assert!(pending.has_room());
        let left: Vec<usize> = pending.take_all();
        assert_eq!((left.len(), left[0], left[5]), (WAITING_AT_MOST - 1, 0, 6));
        assert!(pending.take_all().is_empty() && pending.has_room());
    }
}
