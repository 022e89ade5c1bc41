//! What macros cost beside their parts, in the units of Kubernetes' limits.
//!
//! A macro stands for a loop over a range with a result that every round looks at; the figures are those of the steps
//! that such a loop takes. Both the walk that evaluates an expression and the one that estimates it go by them.

use super::ast::Gather;

/// Making a list.
pub(super) const LIST: u64 = 10;
/// Making a map.
pub(super) const MAP: u64 = 30;
/// Giving a value a name: an empty range is made for a loop without rounds.
pub(super) const BIND: u64 = LIST;

/// The parts of a macro's cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Toll {
    /// Once, before the first round.
    pub(super) start: u64,
    /// Before each round, and when a round that is not made any more is looked at.
    pub(super) before: u64,
    /// A round whose element counts.
    pub(super) kept: u64,
    /// A round whose element does not.
    pub(super) dropped: u64,
    /// Once, for the result.
    pub(super) end: u64,
}

impl Gather {
    pub(super) fn toll(self) -> Toll {
        match self {
            Self::All => Toll { start: 0, before: 2, kept: 1, dropped: 1, end: 1 },
            Self::Exists => Toll { start: 0, before: 3, kept: 1, dropped: 1, end: 1 },
            Self::ExistsOne => Toll { start: 0, before: 0, kept: 2, dropped: 1, end: 2 },
            Self::Map | Self::SortBy => Toll { start: LIST, before: 0, kept: LIST + 2, dropped: 1, end: 1 },
            Self::Filter => Toll { start: LIST, before: 0, kept: LIST + 3, dropped: 1, end: 1 },
        }
    }
}

/// Going once through a text of `characters`, or through as many elements.
pub(super) fn traversal(characters: u64) -> u64 {
    characters.div_ceil(10)
}

/// Searching a text of `characters` with a pattern of `length`.
pub(super) fn search(characters: u64, length: u64) -> u64 {
    traversal(characters.saturating_add(1)).saturating_mul(length.div_ceil(4))
}
