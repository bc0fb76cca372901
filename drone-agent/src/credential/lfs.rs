//! Git LFS asks through `git credential fill` and keeps the answer for a whole transfer.

use super::ancestors::Ancestor;

/// Seconds a token for a transfer must live: half its hour, so that one is minted at most twice
/// as often as needed.
pub(super) const MIN_VALID: u64 = 1800;
/// Processes between us and git-lfs: a shell, `git credential`.
const GENERATIONS: usize = 3;

/// Whether git-lfs is the one that asks.
pub(super) fn is_asking(ancestors: &[Ancestor]) -> bool {
    ancestors.iter().take(GENERATIONS).any(|process| process.name == "git-lfs")
}
