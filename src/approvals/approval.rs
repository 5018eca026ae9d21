//! What a person is asked about one call, and what was said.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::ApprovalsError;

/// The random name of one request: 128 bits, in lower hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApprovalId([u8; 16]);

impl ApprovalId {
    /// # Errors
    /// [`ApprovalsError::Randomness`] where the operating system has none: an id must not be guessed.
    pub fn random() -> Result<Self, ApprovalsError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|_| ApprovalsError::Randomness)?;
        Ok(Self(bytes))
    }

    /// Reads 32 lower hex digits; nothing else is an id.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApprovalId({self})")
    }
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for people.
    Pending,
    /// As many as are needed have agreed; the call may run once.
    Approved,
    /// Somebody said no: it stands until it expires.
    Denied,
    /// Its time was over before it ran.
    Expired,
    /// The call has run, or may have.
    Consumed,
}

impl State {
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Approved,
        Self::Denied,
        Self::Expired,
        Self::Consumed,
    ];

    /// One word, the same in the API, the record and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Consumed => "consumed",
        }
    }

    /// The state of a word that [`State::as_str`] gives.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What one person said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The approver's id.
    pub by: String,
    pub approve: bool,
    pub reason: String,
    /// The store's time in ms.
    pub at_ms: u64,
}

/// One request. `Debug` shows no arguments.
#[derive(Clone, PartialEq, Eq)]
pub struct Approval {
    pub id: ApprovalId,
    pub state: State,
    /// The grant's id as people know it.
    pub grant: String,
    /// What the grant is counted under, where it was made of claims: an id that looks the same may be another's.
    pub grant_key: Option<String>,
    pub server: String,
    pub tool: String,
    /// The call's arguments as the agent wrote them, in JSON; `None` where it sent none, or once the request has ended.
    pub arguments: Option<String>,
    /// Stands for the exact call, in lower hex: who decides must echo it.
    pub digest: String,
    /// The store's time in ms.
    pub created_ms: u64,
    /// From this time of the store on, in ms, it is of no use.
    pub expires_ms: u64,
    /// How many different people must agree, 1 ..= 16.
    pub needed: u32,
    /// In the order in which they were made.
    pub decisions: Vec<Decision>,
}

impl fmt::Debug for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Approval");
        shown.field("id", &self.id).field("state", &self.state);
        shown.field("server", &self.server).field("tool", &self.tool);
        shown.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{ApprovalId, State};

    #[test]
    fn only_32_lower_hex_digits_are_an_id() {
        let id = ApprovalId::random().unwrap();
        assert_eq!(ApprovalId::parse(&id.to_string()), Some(id));
        let text = "0123456789abcdef0123456789abcdef";
        assert!(ApprovalId::parse(text).is_some());
        for bad in [
            "",
            "0123456789abcdef0123456789abcde",
            "0123456789abcdef0123456789abcdeff0",
            "0123456789ABCDEF0123456789ABCDEF",
            "0123456789abcdef0123456789abcdeg",
            " 123456789abcdef0123456789abcdef",
            "0123456789abcdef0123456789abcdef\n",
        ] {
            assert_eq!(ApprovalId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn each_state_has_one_word() {
        for state in State::ALL {
            assert_eq!(State::from_word(state.as_str()), Some(state));
            let word = serde_json::to_string(&state).unwrap();
            assert_eq!(word, format!("\"{}\"", state.as_str()));
        }
        assert_eq!(State::from_word("Pending"), None);
    }
}
