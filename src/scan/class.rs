//! The classes and the levels of risk, each in ascending order.

/// What a tool does at worst. The later one counts where several fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Hands back data.
    Read,
    /// Creates or changes something. Also what nothing is known of.
    Write,
    /// Runs what its arguments say, or sets off something whose effect its definition does not tell.
    Execute,
    /// Takes away something that exists.
    Destructive,
    /// Moves money, or changes what somebody owes or is paid.
    Financial,
}

/// How much harm one call can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    Low,
    Medium,
    High,
    Critical,
}

impl Class {
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Write,
        Self::Execute,
        Self::Destructive,
        Self::Financial,
    ];

    /// As it is written in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Execute => "execute",
            Self::Destructive => "destructive",
            Self::Financial => "financial",
        }
    }

    /// The class that is written like this.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.word() == word)
    }
}

impl Risk {
    /// As it is written in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The next level, as far as there is one.
    pub(super) const fn raised(self) -> Self {
        match self {
            Self::Low => Self::Medium,
            Self::Medium => Self::High,
            Self::High | Self::Critical => Self::Critical,
        }
    }
}
