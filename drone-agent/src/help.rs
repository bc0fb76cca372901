//! The help texts.

use std::process::ExitCode;

use crate::report::{self, Failure};

const OVERVIEW: &str = "\
drone-agent: Hatchery inside a drone

usage: drone-agent COMMAND [OPTION...]

commands:
  identity          who this drone is and what it was granted
  token             a short-lived token for the forge, to a pipe
  doctor            look for what keeps git and gh from working
  boot              set the drone up (at every start of the container, as root)
  hook              run a lifecycle hook; what it starts in the background runs on
  git-credential    git's credential helper; also called git-credential-hatchery
  gh                the GitHub command line with a token for the repository in question
  version           the version of this binary

`drone-agent help COMMAND` says more.
";

const TOKEN: &str = "\
usage: drone-agent token [--repo OWNER/REPO]... [--min-valid SECONDS] [--show]

Prints a token for the drone's own repository, or for those named (all of one App
installation). It is not printed to a terminal without --show.

  -R, --repo OWNER/REPO    a granted repository that the token must open
      --min-valid SECONDS  life that the token must have left (300 by default)
      --show               print it even to a terminal
";

const IDENTITY: &str = "\
usage: drone-agent identity [--json]

Prints the drone's name, its repository, and the repositories and permissions that it
was granted.
";

const BOOT: &str = "\
usage: drone-agent boot [--foreground [--wait SECONDS]] [--workspace DIR [--user USER]]

Sets the drone up: git's system configuration for the forge, the forge's certificates,
the seed design's socket path and the ownership of the workspace. Running it again
changes nothing that is right. Without --foreground it returns at once, waits for the
host agent in the background and says in /var/log/drone-agent.log what came of it; where
this is no drone, or without root, it does nothing.

      --foreground     do it now; exit code 10 when the host agent does not answer
      --wait SECONDS   how long to wait for the host agent (30 by default)
      --workspace DIR  the repository's clone
      --user USER      who is to own it: a name or uid of this container, or uid:gid
";

const GIT_CREDENTIAL: &str = "\
usage: git-credential-hatchery get|store|erase

Speaks git's credential protocol on stdin and stdout, for the drone's forge alone; git
calls it as configured by `drone-agent boot`. Without a drone's socket it answers
nothing, and git asks its next helper.
";

const GH: &str = "\
usage: gh ARGUMENT...

Runs the real gh, the next in PATH, with a token for one repository: that of
-R/--repo, of GH_REPO, of the arguments, of the checkout, or the drone's own; for
`gh pr create` from one granted repository into another, for both. The token lives in
the environment of that one call. Without a drone's socket, gh runs unchanged.
";

const HOOK: &str = "\
usage: drone-agent hook PROGRAM [ARGUMENT...]

Runs PROGRAM, hands its output on and ends as it does. What it leaves running in the
background may go on writing: nobody reads that, and nobody is ended by it.
";

const DOCTOR: &str = "\
usage: drone-agent doctor

Looks for what keeps git and gh from working in this drone, and for credentials that lie
about in it. Exit code 0: nothing is wrong; 1: something is, and how to mend it.
";

/// Prints the help on `topic`, or the list of commands.
///
/// # Errors
/// When there is no such command.
pub fn print(topic: Option<&str>) -> Result<ExitCode, Failure> {
    let text = match topic {
        None => OVERVIEW,
        Some("token") => TOKEN,
        Some("identity") => IDENTITY,
        Some("boot") => BOOT,
        Some("git-credential") => GIT_CREDENTIAL,
        Some("gh") => GH,
        Some("doctor") => DOCTOR,
        Some("hook") => HOOK,
        Some(other) => return Err(Failure::usage(format!("there is no command {other:?}"), None)),
    };
    report::print(text)?;
    Ok(ExitCode::SUCCESS)
}
