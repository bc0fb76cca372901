//! `drone-agent hook`: runs a lifecycle hook so that what it starts in the background outlives it.
//!
//! Docker waits for nobody when the process that it was asked to run has ended: what still writes to
//! its output is ended by the next line (SIGPIPE). So a hook writes to a pipe of ours. This program
//! hands on what comes until the hook itself has ended; if somebody still holds the pipe then, a
//! second process of it stays behind and reads the rest away, as a server writes its log.

use std::ffi::OsString;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::report::{Failure, code};

/// The only argument of the process that stays behind.
const REST: &str = "--rest";

/// How often an ended hook is noticed whose output stays open; one whose output ends with it is
/// noticed at once.
const INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// What a pipe holds at most (pipe(7)): as much may have been written before the hook ended.
const PIPE: usize = 64 * 1024;

/// Runs the program in `args` and ends as it does.
///
/// # Errors
/// When it cannot be run.
pub fn run(mut args: Vec<OsString>) -> Result<ExitCode, Failure> {
    if args.first().is_some_and(|first| first == REST) {
        read_away(&mut io::stdin().lock());
        return Ok(ExitCode::SUCCESS);
    }
    if args.is_empty() {
        return Err(Failure::usage("a program to run is missing", Some("hook")));
    }
    let program = args.remove(0);
    let failed = |error: io::Error| {
        Failure::new(format!("cannot run {}: {error}", program.display())).code(code::NO_PROGRAM)
    };
    let (output, writer) = io::pipe().map_err(failed)?;
    let copy = writer.try_clone().map_err(failed)?;
    let mut command = Command::new(&program);
    command.args(args).stdout(writer).stderr(copy);
    let mut hook = command.spawn().map_err(failed)?;
    // Its ends of the pipe, too: nobody but the hook is to hold one.
    drop(command);
    let status = hand_on(&mut hook, output).map_err(failed)?;
    Ok(ExitCode::from(exit_code(status)))
}

/// Hands output on until the hook has ended and all that it wrote is through.
fn hand_on(hook: &mut Child, mut output: PipeReader) -> io::Result<ExitStatus> {
    let mut buffer = vec![0; PIPE];
    loop {
        let ended = hook.try_wait()?;
        if is_readable(&output, ended.is_none())? && hand_on_once(&mut output, &mut buffer)? == 0 {
            return hook.wait();
        }
        let Some(status) = ended else { continue };
        // That was all that there was when it ended: what comes now, or nothing but the end, is
        // somebody else's.
        if !is_readable(&output, false)? || hand_on_once(&mut output, &mut buffer)? > 0 {
            leave_behind(output);
        }
        return Ok(status);
    }
}

/// Reads all that is there, as far as a pipe can hold it, and hands it on. A reader that is gone is
/// no reason to end the hook.
fn hand_on_once(output: &mut PipeReader, buffer: &mut [u8]) -> io::Result<usize> {
    let length = output.read(buffer)?;
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(buffer.get(..length).unwrap_or_default());
    let _ = stdout.flush();
    Ok(length)
}

/// Whether something can be read, the end included; waits a little for it where that is wanted.
fn is_readable(output: &PipeReader, waits: bool) -> io::Result<bool> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let limit = if waits { &INTERVAL } else { &now };
    let mut wanted = [PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)];
    match poll(&mut wanted, Some(limit)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Leaves a process behind that reads the rest. Without it the others end by their next line, which
/// is no reason to fail the hook.
fn leave_behind(output: PipeReader) {
    let Ok(program) = std::env::current_exe() else { return };
    let _ = Command::new(program)
        .args(["hook", REST])
        .current_dir("/")
        .stdin(output)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
}

fn read_away(rest: &mut impl Read) {
    let mut buffer = [0; 4096];
    while matches!(rest.read(&mut buffer), Ok(1..)) {}
}

/// As a shell reports it.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(code::FAILED)
}
