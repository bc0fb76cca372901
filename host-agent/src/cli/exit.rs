//! Exit codes (design, "Command line").

use super::Command;
use crate::lifecycle::FailureKind;

/// `exec` passes the command's own code on; this is its own failure, as `docker exec` and ssh do.
const EXEC_FAILED: u8 = 125;

/// The exit code of a failure.
pub(super) fn code(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::Failed | FailureKind::OutOfMemory => 1,
        FailureKind::Usage => 2,
        FailureKind::NoDrone | FailureKind::NoRepository => 3,
        FailureKind::Exists | FailureKind::Busy => 4,
        FailureKind::NoCapacity => 5,
        FailureKind::Refused => 6,
        FailureKind::WorkWouldBeLost => 7,
        FailureKind::Outside => 8,
        FailureKind::Engine => 9,
        FailureKind::NoHostAgent => 10,
        FailureKind::Interrupted => 130,
    }
}

/// The code of a command whose failures all have the same.
pub(super) fn of_command(command: &Command) -> Option<u8> {
    matches!(command, Command::Exec(_)).then_some(EXEC_FAILED)
}
