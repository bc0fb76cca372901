//! Measures for scripts/bench, inside a drone but for `echo`. Times are in microseconds.
//!
//!     probe run STDIN PROGRAM ARG...   PROGRAM from start to end, its stdin from the file STDIN:
//!                                      median and 99th percentile
//!     probe echo SOCKET...             bare servers, for the baseline: accept, read, answer as many
//!                                      bytes as a token's answer has, close
//!     probe token SOCKET...            `GET /token` of each socket in turn, a new connection each
//!                                      time, in many short runs; a line for each socket: median
//!                                      and 99th percentile in the median run, and in the best one
//!     probe flood THREADS              `GET /token` from so many threads without a pause, until its
//!                                      stdin ends; says `flooding`, and at its end how often
//!     probe burn THREADS               the same threads without a request: what their use of the
//!                                      processors alone costs others
//!     probe hold SOCKET                gets one token and does nothing more, as an idle drone
//!     probe crowd SOCKET START COUNT PAUSE
//!                                      `GET /token` COUNT times from START on (milliseconds since
//!                                      1970), one each PAUSE ms or, where that is 0, without a
//!                                      pause; how long each took, or `failed`, a line each
//!     probe recover SOCKET             says `ready`, asks until nobody listens and on until
//!                                      somebody does; prints when the first answer came, and when
//!                                      the first token (microseconds since 1970)

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SOCKET: &str = "/run/drone-agent/agent.sock";
const TOKEN: &str = "/token";
const IDENTITY: &str = "/v1/identity";
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
        ["echo", sockets @ ..] => echoes(sockets),
        ["token", sockets @ ..] => tokens(sockets),
        ["flood", threads] => flood(number(threads)?),
        ["burn", threads] => {
            until_told(number(threads)?, || Ok(()))?;
            Ok(())
        }
        ["hold", socket] => hold(socket),
        ["crowd", socket, start, count, pause] => {
            crowd(socket, number(start)?, number(count)?, number(pause)?)
        }
        ["recover", socket] => recover(socket),
        _ => Err(io::Error::other("usage: probe run|echo|token|flood|burn|hold|crowd|recover ...")),
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

fn number(text: &str) -> io::Result<u64> {
    text.parse().map_err(io::Error::other)
}

fn token(socket: &str) -> io::Result<Duration> {
    get(socket, TOKEN)
}

fn get(socket: &str, path: &str) -> io::Result<Duration> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::with_capacity(4096);
    let start = Instant::now();
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(request.as_bytes())?;
    stream.read_to_end(&mut answer)?;
    let elapsed = start.elapsed();
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(io::Error::other("no token"));
    }
    Ok(elapsed)
}

/// One server a socket, each in a thread.
fn echoes(sockets: &[&str]) -> io::Result<()> {
    std::thread::scope(|scope| {
        let serving: Vec<_> =
            sockets.iter().map(|socket| scope.spawn(move || echo(socket))).collect();
        serving.into_iter().try_for_each(joined)
    })
}

fn joined(thread: std::thread::ScopedJoinHandle<'_, io::Result<()>>) -> io::Result<()> {
    thread.join().map_err(|_| io::Error::other("a thread failed"))?
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
fn flood(threads: u64) -> io::Result<()> {
    token(SOCKET)?;
    let count = until_told(threads, || token(SOCKET).map(drop))?;
    println!("{count}");
    Ok(())
}

/// Has so many threads do something again and again until stdin ends; returns how often they did.
fn until_told(threads: u64, work: impl Fn() -> io::Result<()> + Sync) -> io::Result<u64> {
    let (over, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let working = || {
        while !over.load(Ordering::Relaxed) {
            work()?;
            count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let working: Vec<_> = (0..threads).map(|_| scope.spawn(working)).collect();
        println!("flooding");
        io::copy(&mut io::stdin(), &mut io::sink())?;
        over.store(true, Ordering::Relaxed);
        working.into_iter().try_for_each(joined)
    })?;
    Ok(count.into_inner())
}

fn hold(socket: &str) -> io::Result<()> {
    while token(socket).is_err() {
        std::thread::sleep(Duration::from_millis(500));
    }
    loop {
        std::thread::park();
    }
}

fn crowd(socket: &str, start: u64, count: u64, pause: u64) -> io::Result<()> {
    let start = Duration::from_millis(start);
    let mut lines = String::new();
    for round in 0..count {
        let due = start + Duration::from_millis(round * pause);
        std::thread::sleep(due.saturating_sub(now()?));
        match token(socket) {
            Ok(took) => lines.push_str(&format!("{:.1}\n", took.as_nanos() as f64 / 1000.0)),
            Err(_) => lines.push_str("failed\n"),
        }
    }
    io::stdout().write_all(lines.as_bytes())
}

fn recover(socket: &str) -> io::Result<()> {
    const PAUSE: Duration = Duration::from_millis(2);
    println!("ready");
    while UnixStream::connect(socket).is_ok() {
        std::thread::sleep(PAUSE);
    }
    for path in [IDENTITY, TOKEN] {
        while get(socket, path).is_err() {
            std::thread::sleep(PAUSE);
        }
        println!("{}", now()?.as_micros());
    }
    Ok(())
}

fn now() -> io::Result<Duration> {
    SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)
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
