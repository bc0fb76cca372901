//! Hatchery on the server.
