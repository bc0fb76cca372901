//! What happens to files, as it happens: moments at which a test can act.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};

/// How often a wait looks whether there is anything left to wait for.
const INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Whatever is made, written, closed or moved in some directories from now on.
#[derive(Debug)]
pub struct Watch(OwnedFd);

impl Watch {
    /// Begins.
    ///
    /// # Panics
    /// When one of them is not there.
    pub fn of(directories: &[&Path]) -> Self {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        let watch = inotify::init(flags).expect("inotify");
        let wanted = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO;
        for directory in directories {
            inotify::add_watch(&watch, *directory, wanted).expect("a directory to watch");
        }
        Self(watch)
    }

    /// Waits until so many things happened, or `over`.
    ///
    /// # Panics
    /// When events cannot be read.
    pub fn wait_for(&self, count: usize, mut over: impl FnMut() -> bool) {
        let mut seen = 0;
        while seen < count && !over() {
            let mut wanted = [PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)];
            if matches!(poll(&mut wanted, Some(&INTERVAL)), Ok(1..)) {
                let mut buffer = [MaybeUninit::uninit(); 4096];
                let mut events = Reader::new(&self.0, &mut buffer);
                while seen < count && events.next().is_ok() {
                    seen += 1;
                }
            }
        }
    }
}
