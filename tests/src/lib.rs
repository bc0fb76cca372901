//! The harness that drives real parts.
