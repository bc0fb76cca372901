//! `hatchery completions`.

use std::io::{self, Write as _};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::terminal::stdout_failed;
use super::{Cli, Stop};

/// Print the completions of a shell
///
/// bash: `source <(hatchery completions bash)`; zsh: into a file `_hatchery` in `$fpath`;
/// fish: into `~/.config/fish/completions/hatchery.fish`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<(), Stop> {
    let script = script(args.shell);
    io::stdout().lock().write_all(&script).map_err(stdout_failed)
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hatchery", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_learns_the_subcommands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(script(shell)).expect("text");
            for name in ["spawn", "slay", "keep-failed", "without-refused", "connect", "read-only"]
            {
                assert!(script.contains(name), "{shell}: {name}");
            }
        }
    }
}
