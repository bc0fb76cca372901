//! Hatchery's promises, on real parts. Run by `scripts/test`.

#![expect(clippy::panic, reason = "a test's own scripts are trusted, and a flaw in one fails it")]

mod e2e;
mod faults;
mod hostile;
mod tidy;
