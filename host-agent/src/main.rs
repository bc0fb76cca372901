//! The command `hatchery`.
fn main() {}
