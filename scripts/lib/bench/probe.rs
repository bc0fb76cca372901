//! Measures for scripts/bench, inside a drone but for `echo`. Times are in microseconds.
//!
//!     probe run STDIN PROGRAM ARG...   PROGRAM from start to end, its stdin from the file STDIN:
//!                                      median and 99th percentile
//!     probe echo SOCKET                a bare server, for the baseline: accepts, reads, answers as
//!                                      many bytes as a token's answer has, closes
//!     probe token SOCKET...            `GET /token` of each socket in turn, a new connection each
//!                                      time, in many short runs; a line for each socket: median
//!                                      and 99th percentile in the median run, and in the best one
//!     probe flood THREADS              `GET /token` from so many threads without a pause, until its
//!                                      stdin ends

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SOCKET: &str = "/run/drone-agent/agent.sock";
const REQUEST: &[u8] = b"GET /token HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// Size of the echo's answer.
const ANSWER: usize = 640;
/// Runs of each socket, and requests in each.
const RUNS: usize = 21;
const REQUESTS: usize = 1000;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["run", stdin, program, rest @ ..] => {
            let (median, worst) = sample(20, 500, || run(stdin, program, rest))?;
            println!("{median:.0} {worst:.0}");
            Ok(())
        }
        ["echo", socket] => echo(socket),
        ["token", sockets @ ..] => tokens(sockets),
        ["flood", threads] => flood(threads.parse().map_err(io::Error::other)?),
        _ => Err(io::Error::other("usage: probe run|echo|token|flood ...")),
    }
}

/// Median and 99th percentile of so many times after a warm-up.
fn sample(
    warm_up: usize,
    rounds: usize,
    take: impl Fn() -> io::Result<Duration>,
) -> io::Result<(f64, f64)> {
    for _ in 0..warm_up {
        take()?;
    }
    let mut times = (0..rounds).map(|_| take()).collect::<io::Result<Vec<_>>>()?;
    times.sort_unstable();
    let micros = |index: usize| times[index].as_nanos() as f64 / 1000.0;
    Ok((micros(rounds / 2), micros(rounds * 99 / 100)))
}

/// In turn, so that whatever else the machine does hits all of them alike.
fn tokens(sockets: &[&str]) -> io::Result<()> {
    let mut runs = vec![Vec::new(); sockets.len()];
    for _ in 0..RUNS {
        for (socket, runs) in sockets.iter().zip(&mut runs) {
            runs.push(sample(50, REQUESTS, || token(socket))?);
        }
    }
    for mut runs in runs {
        let mut of = |which: fn(&(f64, f64)) -> f64| {
            runs.sort_by(|one, other| which(one).total_cmp(&which(other)));
            (which(&runs[RUNS / 2]), which(&runs[0]))
        };
        let ((p50, best_p50), (p99, best_p99)) = (of(|run| run.0), of(|run| run.1));
        println!("{p50:.1} {p99:.1} {best_p50:.1} {best_p99:.1}");
    }
    Ok(())
}

fn token(socket: &str) -> io::Result<Duration> {
    let mut answer = Vec::with_capacity(4096);
    let start = Instant::now();
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(REQUEST)?;
    stream.read_to_end(&mut answer)?;
    let elapsed = start.elapsed();
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(io::Error::other("no token"));
    }
    Ok(elapsed)
}

fn echo(socket: &str) -> io::Result<()> {
    let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    answer.resize(ANSWER, b'x');
    let mut request = [0; 2048];
    for stream in UnixListener::bind(socket)?.incoming() {
        let mut stream = stream?;
        if stream.read(&mut request)? > 0 {
            stream.write_all(&answer)?;
        }
    }
    Ok(())
}

/// Fails when one request got no token.
fn flood(threads: usize) -> io::Result<()> {
    static OVER: AtomicBool = AtomicBool::new(false);
    let ask = || {
        while !OVER.load(Ordering::Relaxed) {
            token(SOCKET)?;
        }
        Ok(())
    };
    let asking: Vec<_> = (0..threads).map(|_| std::thread::spawn(ask)).collect();
    io::copy(&mut io::stdin(), &mut io::sink())?;
    OVER.store(true, Ordering::Relaxed);
    asking.into_iter().try_for_each(|thread| thread.join().map_err(|_| io::ErrorKind::Other)?)
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
