//! What agents ask and are told: each what its own book says, whatever the others did.

use toolgate::approvals::{STATE_MARKER, State};

use super::agent::{Asks, Call, Told, What};
use super::book::Due;
use super::decided::reason;
use super::{Play, Steals};

impl Play<'_> {
    /// What the grant was last given to bring back with this call.
    pub(super) fn brought(&self, who: usize, call: Call) -> Option<String> {
        self.sides[who].book.last(call)?.brings.clone()
    }

    pub(super) async fn ask(&mut self, who: usize, call: Call, asks: Asks<'_>) {
        let (told, _) = call.ask(&self.sides[who].caller, asks).await;
        self.judge(who, call, &told);
        self.sides[who].sent += 1;
    }

    /// What the agent is told is what its own book says, and names no request of another's.
    pub(super) fn judge(&mut self, who: usize, call: Call, told: &Told) {
        let due = self.sides[who].book.due(call);
        self.is_told_of_its_own(who, told);
        let side = &mut self.sides[who];
        if side.first.is_none() {
            side.first.clone_from(&told.call);
        }
        match (&due, &told.what) {
            (Due::Asked, What::Waits(id)) => {
                assert!(!side.book.has(id), "{id} had ended");
                side.book.opens(id.clone(), call);
            }
            (Due::Full, What::Full) => {}
            (Due::Runs(id), What::Ran) => {
                let answer = call.arguments();
                let answer = answer.as_object().unwrap().values().next().unwrap().as_str();
                assert!(told.text.contains(answer.unwrap()), "{}", told.text);
                side.book.of(id).state = State::Consumed;
            }
            (Due::Waits(id), What::Waits(found)) => assert_eq!(id, found),
            (Due::Refused(id), What::Refused(found)) => {
                assert_eq!(id, found);
                assert!(told.text.contains(&reason(id)), "{}", told.text);
            }
            _ => panic!("{who} was due {due:?} for {call:?}: {}", told.text),
        }
        if let (What::Waits(id), Some(brings)) = (&told.what, &told.brings) {
            side.book.of(id).brings = Some(brings.clone());
        }
    }

    fn is_told_of_its_own(&self, who: usize, told: &Told) {
        let others = self.sides.iter().enumerate().filter(|(other, _)| *other != who);
        for request in others.flat_map(|(_, side)| &side.book.requests) {
            assert!(
                !told.text.contains(&request.id),
                "{who} is told of another's: {}",
                told.text
            );
        }
    }

    /// A call whose client waits, unless one for the same does already.
    pub(super) async fn wait(&mut self, who: usize, call: Call, brings: bool) {
        let side = &self.sides[who];
        if side.lines.iter().any(|(waits, _)| *waits == call) {
            return;
        }
        let state = self.brought(who, call).filter(|_| brings);
        let asks = state.as_deref().map_or(Asks::Waits, Asks::Returns);
        let (told, line) = call.ask(&side.caller, asks).await;
        self.judge(who, call, &told);
        let side = &mut self.sides[who];
        side.sent += 1;
        if told.goes_on {
            side.lines.push((call, line));
        }
    }

    pub(super) async fn together(&mut self, call: Call) {
        let asks = self.sides.iter().map(|side| {
            let caller = side.caller.clone();
            tokio::spawn(async move { call.ask(&caller, Asks::Pointed).await.0 })
        });
        for (who, told) in asks.collect::<Vec<_>>().into_iter().enumerate() {
            self.judge(who, call, &told.await.unwrap());
            self.sides[who].sent += 1;
        }
    }

    /// What another was given gives nothing: the book of neither changes.
    pub(super) async fn steal(&mut self, who: usize, from: usize, at: usize, steals: Steals) {
        let given = self.sides[from].book.requests.iter();
        let given: Vec<_> = given.filter(|request| request.brings.is_some()).collect();
        let Some(theirs) = at.checked_rem(given.len()).map(|at| given[at]) else {
            return;
        };
        let (call, state) = (theirs.call, theirs.brings.as_deref().unwrap());
        let own = self.sides[who]
            .book
            .requests
            .iter()
            .find_map(|request| request.brings.as_deref());
        let shown = match (steals, own) {
            (Steals::State, _) => state.to_owned(),
            (Steals::Forged, Some(own)) => {
                format!(
                    "{}.{}",
                    state.rsplit_once('.').unwrap().0,
                    own.rsplit_once('.').unwrap().1
                )
            }
            (Steals::Forged, None) => return,
            (Steals::Id, _) => format!("{STATE_MARKER}{}", theirs.id),
        };
        let (told, _) = call.ask(&self.sides[who].caller, Asks::Declines(&shown)).await;
        assert_eq!(told.what, What::Foreign, "{}", told.text);
        self.is_told_of_its_own(who, &told);
        self.sides[who].sent += 1;
    }
}
