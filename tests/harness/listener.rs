//! Something that listens, to probe what can be reached.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{Run, nursery, wait_until};

/// Perl is in every Debian, so nothing has to be installed for it.
const SCRIPT: &str = "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalAddr => $ARGV[0], \
                      LocalPort => $ARGV[1], Listen => 5, ReuseAddr => 1) or die $!; while (my $c \
                      = $s->accept) { print $c \"reached\\n\"; close $c }";

/// A TCP listener that says `reached`; ends when dropped.
#[derive(Debug)]
pub struct Listener(Child);

impl Listener {
    /// Listens in the network namespace `netns`.
    pub fn in_namespace(netns: &str, address: &str, port: u16) -> Self {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{netns}")).args(["setpriv", "--pdeathsig", "KILL"]);
        command.args(["perl", "-e", SCRIPT, address, &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let listener = Self(nursery::start(command));
        wait_until("a listener", Duration::from_secs(20), || {
            reaches(netns, address, port).then_some(())
        });
        listener
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether something in the network namespace `netns` reaches a [`Listener`].
pub fn reaches(netns: &str, address: &str, port: u16) -> bool {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{netns}")).args(["bash", "-c", &probe(address, port)]);
    Run::of(&mut command).stdout.contains("reached")
}

/// A bash script that prints `reached` when a listener answers.
pub fn probe(address: &str, port: u16) -> String {
    format!(
        "timeout 3 bash -c 'exec 3<>/dev/tcp/{address}/{port} && head -n 1 <&3' 2>/dev/null || true"
    )
}

/// The shell command that starts a listener on all addresses in the background.
pub fn in_shell(port: u16) -> String {
    format!("setsid perl -e '{SCRIPT}' 0.0.0.0 {port} </dev/null >/dev/null 2>&1 &")
}
