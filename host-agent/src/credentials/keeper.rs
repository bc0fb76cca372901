//! What outlives this process: descriptors that a service manager keeps for the next host agent, so
//! that no connection is refused and no token forgotten while there is none.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::str::FromStr;

use hatchery_protocol::DroneName;

/// Keeps descriptors beyond the end of this process, however that comes. `adapters::systemd`
/// implements it.
pub trait Keeper: Send + Sync + 'static {
    /// Keeps a duplicate under this name, beside what has the same name already. Blocks shortly.
    ///
    /// # Errors
    /// When the service manager does not take it.
    fn keep(&self, name: &str, descriptor: BorrowedFd<'_>) -> io::Result<()>;

    /// Closes every duplicate with this name. Blocks shortly.
    ///
    /// # Errors
    /// When the service manager does not listen.
    fn let_go(&self, name: &str) -> io::Result<()>;
}

/// Which file a path names, for as long as something holds that file open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    /// Its file system.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

/// What a kept descriptor is, written as its name: `drone-acme-web.fe01.2a` is the socket of
/// `acme-web`, `tokens-acme-web.7` holds its live tokens. No drone's name has a dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// A drone's listening socket, bound to this file. A listening socket holds its file, so that
    /// no other file can have the same number while the descriptor is kept.
    Socket {
        /// Whose.
        drone: DroneName,
        /// Where it was bound.
        file: FileId,
    },
    /// A drone's live tokens; the highest number is the newest.
    Tokens {
        /// Whose.
        drone: DroneName,
        /// Goes up with each change.
        number: u64,
    },
}

const SOCKET: &str = "drone-";
const TOKENS: &str = "tokens-";

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { drone, file } => {
                write!(f, "{SOCKET}{drone}.{:x}.{:x}", file.device, file.inode)
            }
            Self::Tokens { drone, number } => write!(f, "{TOKENS}{drone}.{number}"),
        }
    }
}

/// The name is none of ours, or of another version's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no name of a kept descriptor")]
pub struct UnknownName;

impl FromStr for Kept {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let (kind, rest) = match (name.strip_prefix(SOCKET), name.strip_prefix(TOKENS)) {
            (Some(rest), _) => (SOCKET, rest),
            (None, Some(rest)) => (TOKENS, rest),
            (None, None) => return Err(UnknownName),
        };
        let mut parts = rest.split('.');
        let drone = parts.next().and_then(|drone| drone.parse().ok()).ok_or(UnknownName)?;
        let hex = |part: Option<&str>| u64::from_str_radix(part?, 16).ok();
        let kept = if kind == SOCKET {
            let device = hex(parts.next()).ok_or(UnknownName)?;
            let inode = hex(parts.next()).ok_or(UnknownName)?;
            Self::Socket { drone, file: FileId { device, inode } }
        } else {
            let number = parts.next().and_then(|number| number.parse().ok());
            Self::Tokens { drone, number: number.ok_or(UnknownName)? }
        };
        if parts.next().is_none() { Ok(kept) } else { Err(UnknownName) }
    }
}

/// A keeper that remembers what it was asked, for tests of what keeps.
#[cfg(test)]
pub(super) mod double {
    use std::os::fd::OwnedFd;
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// Keeps duplicates in this process.
    #[derive(Debug, Default)]
    pub struct Shelf {
        kept: Mutex<Vec<(String, OwnedFd)>>,
        broken: bool,
    }

    impl Shelf {
        /// One that refuses.
        pub fn broken() -> Self {
            Self { broken: true, ..Self::default() }
        }

        /// Hands over everything, as to the next process.
        pub fn hand_over(&self) -> Vec<(String, OwnedFd)> {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let duplicate = |fd: &OwnedFd| fd.try_clone().expect("a duplicate");
            kept.iter().map(|(name, fd)| (name.clone(), duplicate(fd))).collect()
        }

        /// Under which names.
        pub fn names(&self) -> Vec<String> {
            self.hand_over().into_iter().map(|(name, _)| name).collect()
        }
    }

    impl Keeper for Shelf {
        fn keep(&self, name: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
            if self.broken {
                return Err(io::Error::other("nobody listens"));
            }
            let entry = (name.to_owned(), descriptor.try_clone_to_owned()?);
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
            Ok(())
        }

        fn let_go(&self, name: &str) -> io::Result<()> {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|(known, _)| known != name);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_it_names() {
        let drone: DroneName = "acme-web".parse().expect("a name");
        let file = FileId { device: 0xfe01, inode: 42 };
        let socket = Kept::Socket { drone: drone.clone(), file };
        let tokens = Kept::Tokens { drone, number: 7 };
        for (kept, name) in [(socket, "drone-acme-web.fe01.2a"), (tokens, "tokens-acme-web.7")] {
            assert_eq!(kept.to_string(), name);
            assert_eq!(name.parse(), Ok(kept));
        }
    }

    #[test]
    fn other_names_are_nobodys() {
        for name in [
            "",
            "control",
            "stored",
            "drone-acme-web",
            "drone-acme-web.1",
            "drone-acme-web.1.g",
            "drone-acme-web.1.2.3",
            "drone-Acme.1.2",
            "drone-.1.2",
            "tokens-acme-web",
            "tokens-acme-web.",
            "tokens-acme-web.1.2",
            "tokens-acme-web.-1",
        ] {
            assert_eq!(name.parse::<Kept>(), Err(UnknownName), "{name:?}");
        }
    }
}
