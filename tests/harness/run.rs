//! Running a program to its end, with a deadline, and looking at what it said.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest that any program of a test may take: a cold build of an image on a slow machine.
const LIMIT: Duration = Duration::from_secs(300);

/// A program that ended.
#[derive(Debug)]
pub struct Run {
    /// What was run, for messages.
    pub shown: String,
    /// Its exit code; 128 + signal where it was killed.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Run {
    /// Runs `command` to its end.
    pub fn of(command: &mut Command) -> Self {
        Self::with_input(command, "")
    }

    /// Runs `command` with `input` on its standard input.
    pub fn with_input(command: &mut Command, input: &str) -> Self {
        let shown = shown(command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {shown}: {error}"));
        feed(&mut child, input);
        Self::finish(child, shown)
    }

    /// Waits for a program that was started with pipes.
    pub fn finish(mut child: Child, shown: String) -> Self {
        let stdout = drain(child.stdout.take());
        let stderr = drain(child.stderr.take());
        let code = wait(&mut child, &shown);
        let text = |reader: std::thread::JoinHandle<String>| reader.join().expect("a reader");
        Self { shown, code, stdout: text(stdout), stderr: text(stderr) }
    }

    /// Expects success and gives what was printed, without white space at its ends.
    ///
    /// # Panics
    /// When it failed; with everything that it said.
    pub fn ok(&self) -> &str {
        assert_eq!(self.code, 0, "{}", self.report());
        self.stdout.trim()
    }

    /// Expects this exit code.
    ///
    /// # Panics
    /// When it was another.
    pub fn code(&self, wanted: i32) -> &Self {
        assert_eq!(self.code, wanted, "{}", self.report());
        self
    }

    /// Expects this text on standard error.
    ///
    /// # Panics
    /// When it is not there.
    pub fn complains(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "{text:?} is not in it:\n{}", self.report());
        self
    }

    /// The whole of it, for a person.
    pub fn report(&self) -> String {
        let Self { shown, code, stdout, stderr } = self;
        format!("{shown}\n-- exit {code}\n-- stdout\n{stdout}\n-- stderr\n{stderr}")
    }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn feed(child: &mut Child, input: &str) {
    use std::io::Write as _;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading is its own affair.
        let _ = stdin.write_all(input.as_bytes());
    }
}

fn drain(pipe: Option<impl std::io::Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child, shown: &str) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{shown} did not end within {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
