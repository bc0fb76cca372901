//! Hatchery inside a drone.
fn main() {}
