//! drone_api.
