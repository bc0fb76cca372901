//! Asks for `GET /token` over and over, with a new connection each time, and prints the median and
//! the 99th percentile in microseconds. Run inside a drone by scripts/bench.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

const SOCKET: &str = "/run/drone-agent/agent.sock";
const REQUEST: &[u8] = b"GET /token HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const WARM_UP: usize = 200;
const ROUNDS: usize = 5000;

fn main() -> std::io::Result<()> {
    let mut micros = Vec::with_capacity(ROUNDS);
    let mut answer = Vec::with_capacity(4096);
    for round in 0..WARM_UP + ROUNDS {
        answer.clear();
        let start = Instant::now();
        let mut stream = UnixStream::connect(SOCKET)?;
        stream.write_all(REQUEST)?;
        stream.read_to_end(&mut answer)?;
        let elapsed = start.elapsed();
        if !answer.starts_with(b"HTTP/1.1 200") {
            return Err(std::io::Error::other("the host agent did not give a token"));
        }
        if round >= WARM_UP {
            micros.push(elapsed.as_nanos() / 1000);
        }
    }
    micros.sort_unstable();
    println!("{} {}", micros[ROUNDS / 2], micros[ROUNDS * 99 / 100]);
    Ok(())
}
