//! Measures inside a drone, for scripts/bench. Prints the median and the 99th percentile in
//! microseconds.
//!
//!     probe token                      `GET /token`, a new connection each time
//!     probe run STDIN PROGRAM ARG...   PROGRAM from start to end, its stdin from the file STDIN

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SOCKET: &str = "/run/drone-agent/agent.sock";
const REQUEST: &[u8] = b"GET /token HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["token"] => report(200, 5000, token),
        ["run", stdin, program, rest @ ..] => report(20, 500, || run(stdin, program, rest)),
        _ => Err(io::Error::other("usage: probe token | probe run STDIN PROGRAM ARG...")),
    }
}

/// Takes so many times after a warm-up.
fn report(warm_up: usize, rounds: usize, take: impl Fn() -> io::Result<Duration>) -> io::Result<()> {
    for _ in 0..warm_up {
        take()?;
    }
    let mut times = (0..rounds).map(|_| take()).collect::<io::Result<Vec<_>>>()?;
    times.sort_unstable();
    println!("{} {}", times[rounds / 2].as_micros(), times[rounds * 99 / 100].as_micros());
    Ok(())
}

fn token() -> io::Result<Duration> {
    let mut answer = Vec::with_capacity(4096);
    let start = Instant::now();
    let mut stream = UnixStream::connect(SOCKET)?;
    stream.write_all(REQUEST)?;
    stream.read_to_end(&mut answer)?;
    let elapsed = start.elapsed();
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(io::Error::other("the host agent gave no token"));
    }
    Ok(elapsed)
}

fn run(stdin: &str, program: &str, arguments: &[&str]) -> io::Result<Duration> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(File::open(stdin)?).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status()?;
    let elapsed = start.elapsed();
    if !status.success() {
        return Err(io::Error::other(format!("{program}: {status}")));
    }
    Ok(elapsed)
}
