//! Hatchery's promises, on real parts. Run by `scripts/test`.

mod e2e;
mod faults;
mod hostile;
mod tidy;
