//! The control API from both ends: the server with its client, and the real command against it.

mod cli;
mod host;
mod server;
