//! Programs that outlive a call but never the test run, however that ends.

use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

type Job = (Command, Sender<std::io::Result<Child>>);

/// Starts `command` so that the kernel kills it together with this process. The kernel goes by the
/// thread that started a program, and a test's thread ends with the test: hence one thread that
/// starts them all and never ends.
///
/// # Panics
/// When it cannot be started.
pub fn start(command: Command) -> Child {
    static NURSERY: OnceLock<Sender<Job>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (jobs, incoming) = channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in incoming {
                // Whoever asked may have been ended by its own deadline.
                let _ = answer.send(command.spawn());
            }
        });
        jobs
    });
    let (answer, started) = channel();
    let shown = format!("{command:?}");
    nursery.send((command, answer)).expect("the nursery never ends");
    started
        .recv()
        .expect("the nursery never ends")
        .unwrap_or_else(|error| panic!("cannot start {shown}: {error}"))
}
