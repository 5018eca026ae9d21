//! The memory that request bodies take together.
//!
//! Small bodies are held as they come. What goes beyond comes out of one budget, so that many clients that each send
//! a large body slowly cannot add up to more.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What each body may take beside the budget. Most calls need no more.
const FREE: usize = 16 << 10;
/// The unit of the budget.
const UNIT: usize = 1 << 10;

/// The budget, and what is left of it.
#[derive(Clone)]
pub struct BodyMemory(Arc<Semaphore>);

impl BodyMemory {
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(
            (bytes / UNIT).min(Semaphore::MAX_PERMITS),
        )))
    }

    /// For one body.
    pub(super) fn share(&self) -> Share {
        Share {
            budget: Arc::clone(&self.0),
            taken: None,
            bytes: Vec::new(),
        }
    }
}

/// A body that is being read, and its part of the budget.
pub(super) struct Share {
    budget: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
    bytes: Vec<u8>,
}

/// The budget is spent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoMemory;

impl Share {
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), NoMemory> {
        let needed = self.bytes.len() + piece.len();
        if needed > self.bytes.capacity() {
            // what is allocated counts, not what is used of it
            let ahead = needed.max(self.bytes.capacity() + self.bytes.capacity() / 2);
            let room = if self.take(ahead).is_ok() {
                ahead
            } else {
                self.take(needed)?
            };
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Takes what a body of this size needs from the budget, beside what it has.
    fn take(&mut self, bytes: usize) -> Result<usize, NoMemory> {
        let wanted = bytes.saturating_sub(FREE).div_ceil(UNIT);
        let held = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(wanted.saturating_sub(held)).map_err(|_| NoMemory)?;
        if more > 0 {
            let permit = Arc::clone(&self.budget).try_acquire_many_owned(more);
            let permit = permit.map_err(|_| NoMemory)?;
            match &mut self.taken {
                None => self.taken = Some(permit),
                Some(taken) => taken.merge(permit),
            }
        }
        Ok(bytes)
    }

    /// The whole body. Its part of the budget is free again when the last copy is dropped.
    pub(super) fn whole(self) -> Bytes {
        Bytes::from_owner(Whole {
            bytes: self.bytes,
            _taken: self.taken,
        })
    }
}

struct Whole {
    bytes: Vec<u8>,
    _taken: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{BodyMemory, FREE, NoMemory};

    #[test]
    fn large_bodies_share_a_budget_and_small_ones_need_none() {
        let memory = BodyMemory::new(64 << 10);
        let mut large = memory.share();
        large.push(&vec![b'a'; FREE + (64 << 10)]).unwrap();
        let mut small = memory.share();
        small.push(&[b'b'; FREE]).unwrap();
        assert_eq!(small.push(b"b"), Err(NoMemory));
        let whole = large.whole();
        let copy = whole.slice(..1);
        drop(whole);
        assert_eq!(small.push(b"b"), Err(NoMemory), "a copy is still there");
        drop(copy);
        small.push(b"b").unwrap();
        assert_eq!(small.whole().len(), FREE + 1);
    }

    #[test]
    fn a_body_that_is_given_up_gives_its_part_back() {
        let memory = BodyMemory::new(1 << 10);
        let piece = vec![b'a'; FREE + 1024];
        for _ in 0..3 {
            memory.share().push(&piece).unwrap();
        }
    }
}
