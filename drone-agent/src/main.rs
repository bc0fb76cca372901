//! Hatchery inside a drone: one static binary, several programs.
//!
//! It is told apart by the name it is called under: `git-credential-hatchery` (git asks it for the
//! forge's credentials), `gh` (runs the real one with a token for the repository in question) and
//! `drone-agent` (boot, and what a person looks things up with). Everything it knows comes from the
//! drone's socket; it keeps no state and writes no secret anywhere but to the pipe that asked.
//!
//! Where there is no socket (Codespaces, an editor's own dev container) each part steps aside.

mod applet;
mod boot;
mod client;
mod credential;
mod doctor;
mod gh;
mod gitconfig;
mod help;
mod hook;
mod lookup;
mod report;
mod small_file;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_default();
    applet::run(&name, args.collect()).unwrap_or_else(|failure| report::failed(&failure))
}
