//! Files in and out of containers by Docker's archive API, which works whether they run or not.

use std::io::{self, Read as _, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::query_parameters as query;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;

use super::{CALL, KEPT_MAX, Machine};
use crate::lifecycle::engine::EngineError;

/// How long copying a checkout may take.
const UPLOAD: Duration = Duration::from_secs(30 * 60);

/// Size of the pieces of a tar stream, in bytes: below what the allocator maps on its own, after
/// which it would keep more of what is freed.
const PIECE: usize = 64 * 1024;

impl Machine {
    pub(super) async fn engine_read_file(
        &self,
        id: &str,
        path: &str,
    ) -> Result<Option<Vec<u8>>, EngineError> {
        let action = format!("read {path} of container {id}");
        let options = query::DownloadFromContainerOptions { path: path.to_owned() };
        let mut stream = Box::pin(self.docker()?.download_from_container(id, Some(options)));
        let read = async {
            let mut bytes = Vec::new();
            while let Some(piece) = stream.next().await {
                bytes.extend_from_slice(&piece?);
                if bytes.len() > KEPT_MAX {
                    break;
                }
            }
            Ok(bytes)
        };
        match self.call(&action, CALL, read).await {
            Ok(bytes) => Ok(first_file(&bytes)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn engine_download(
        &self,
        id: &str,
        source: &str,
        target: PathBuf,
    ) -> Result<(), EngineError> {
        let action = format!("copy {source} out of container {id}");
        let options = query::DownloadFromContainerOptions { path: source.to_owned() };
        let mut stream = Box::pin(self.docker()?.download_from_container(id, Some(options)));
        let (sender, pieces) = mpsc::channel(4);
        let unpacking = tokio::task::spawn_blocking(move || {
            unpack(Arriving { pieces, piece: Bytes::new() }, &target)
        });
        let read = async {
            while let Some(piece) = stream.next().await {
                if sender.send(Ok(piece?)).await.is_err() {
                    break;
                }
            }
            drop(sender);
            Ok(())
        };
        self.call(&action, UPLOAD, read).await?;
        let unpacked = unpacking.await.map_err(io::Error::other).and_then(|result| result);
        unpacked.map_err(|error| EngineError::Refused { action, message: error.to_string() })
    }

    pub(super) async fn engine_upload(
        &self,
        id: &str,
        source: PathBuf,
        target: &str,
        owner: (u64, u64),
    ) -> Result<(), EngineError> {
        let (sender, receiver) = mpsc::channel(4);
        let packing = tokio::task::spawn_blocking(move || pack(&source, owner, sender));
        let pieces = stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        let options =
            query::UploadToContainerOptions { path: target.to_owned(), ..Default::default() };
        let body = bollard::body_try_stream(pieces);
        let action = format!("copy the checkout to {target} in container {id}");
        let call = self.docker()?.upload_to_container(id, Some(options), body);
        let copied = self.call(&action, UPLOAD, call).await;
        match packing.await {
            Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(EngineError::Refused { action, message: error.to_string() })
            }
            _ => copied,
        }
    }
}

/// Unpacks an archive whose only root is the directory asked for, as `target`.
fn unpack(reader: impl io::Read, target: &Path) -> io::Result<()> {
    std::fs::create_dir_all(target)?;
    let mut archive = tar::Archive::new(reader);
    archive.set_preserve_mtime(true);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let mut parts = path.components();
        let _root = parts.next();
        let inner = parts.as_path().to_owned();
        let kind = entry.header().entry_type();
        let wanted = kind.is_file() || kind.is_dir() || kind.is_symlink() || kind.is_hard_link();
        if inner.as_os_str().is_empty() || inner.starts_with(".git") || !wanted {
            continue;
        }
        // Of links on the way out of `target` the crate makes an error.
        unpack_entry(&mut entry, target, &inner)?;
    }
    Ok(())
}

/// Puts one entry at `inner` below `target`; parents are real directories, or it is refused.
fn unpack_entry(
    entry: &mut tar::Entry<'_, impl io::Read>,
    target: &Path,
    inner: &Path,
) -> io::Result<()> {
    let path = real_place(target, inner)?;
    let kind = entry.header().entry_type();
    if kind.is_dir() {
        return std::fs::create_dir(path);
    }
    if kind.is_symlink() {
        let link = entry.link_name()?.ok_or_else(|| escapes(inner))?;
        return std::os::unix::fs::symlink(link, path);
    }
    if kind.is_hard_link() {
        let link = entry.link_name()?.ok_or_else(|| escapes(inner))?;
        let mut parts = link.components();
        let _root = parts.next();
        let other = real_place(target, parts.as_path())?;
        if !std::fs::symlink_metadata(&other)?.is_file() {
            return Err(escapes(inner));
        }
        return std::fs::hard_link(other, path);
    }
    let mode = if entry.header().mode()? & 0o111 == 0 { 0o644 } else { 0o755 };
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    io::copy(entry, &mut file).map(|_| ())
}

/// Where `inner` lies below `target`; every directory on the way is a real one.
fn real_place(target: &Path, inner: &Path) -> io::Result<PathBuf> {
    let mut place = target.to_owned();
    for part in inner.parent().into_iter().flat_map(Path::components) {
        let std::path::Component::Normal(name) = part else { return Err(escapes(inner)) };
        place.push(name);
        if !std::fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_dir()) {
            return Err(escapes(inner));
        }
    }
    Ok(place.join(inner.file_name().ok_or_else(|| escapes(inner))?))
}

fn escapes(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} leaves the workspace", path.display()))
}

/// A reader whose pieces come through a channel.
struct Arriving {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl io::Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let taken = self.piece.split_to(self.piece.len().min(buffer.len()));
        for (to, from) in buffer.iter_mut().zip(&taken) {
            *to = *from;
        }
        Ok(taken.len())
    }
}

/// The content of the first plain file of an archive.
fn first_file(archive: &[u8]) -> Option<Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let mut entry = archive.entries().ok()?.next()?.ok()?;
    let mut bytes = Vec::new();
    entry.header().entry_type().is_file().then(|| entry.read_to_end(&mut bytes))?.ok()?;
    Some(bytes)
}

/// Writes `source` and everything below it as a tar stream. The directory itself is the entry
/// `./`, so that the target gets its owner too.
fn pack(
    source: &Path,
    owner: (u64, u64),
    sender: mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let writer = io::BufWriter::with_capacity(PIECE, Pieces(sender));
    let mut archive = tar::Builder::new(writer);
    archive.follow_symlinks(false);
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let path = source.join(&relative);
        let metadata = std::fs::symlink_metadata(&path)?;
        let name = Path::new(".").join(&relative);
        let mut header = header(&metadata, owner);
        if metadata.is_dir() {
            archive.append_data(&mut header, &name, io::empty())?;
            for entry in std::fs::read_dir(&path)? {
                pending.push(relative.join(entry?.file_name()));
            }
        } else if metadata.is_symlink() {
            archive.append_link(&mut header, &name, std::fs::read_link(&path)?)?;
        } else if metadata.is_file() {
            archive.append_data(&mut header, &name, std::fs::File::open(&path)?)?;
        }
    }
    archive.into_inner()?.flush()
}

fn header(metadata: &std::fs::Metadata, owner: (u64, u64)) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(if metadata.is_dir() {
        tar::EntryType::Directory
    } else if metadata.is_symlink() {
        tar::EntryType::Symlink
    } else {
        tar::EntryType::Regular
    });
    header.set_mode(metadata.permissions().mode() & 0o7777);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header.set_size(if metadata.is_file() { metadata.len() } else { 0 });
    header.set_uid(owner.0);
    header.set_gid(owner.1);
    header
}

/// A writer whose pieces go through a channel.
struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(buffer)))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of `web` with these entries: name, type, content or link target.
    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, kind, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o4755);
            // Written by hand: the crate would refuse to make what an attacker makes.
            let bytes = name.as_bytes();
            header.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
            let link = kind.is_symlink() || kind.is_hard_link();
            if link {
                header.as_mut_bytes()[157..157 + text.len()].copy_from_slice(text.as_bytes());
            }
            header.set_size(if link { 0 } else { text.len() as u64 });
            header.set_cksum();
            archive.append(&header, if link { &[][..] } else { text.as_bytes() }).expect("written");
        }
        archive.into_inner().expect("whole")
    }

    #[test]
    fn a_workspace_is_unpacked_without_its_git_directory_and_set_uid_bits() {
        use tar::EntryType::{Directory, Link, Regular, Symlink};
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("web");
        let bytes = archive(&[
            ("web/", Directory, ""),
            ("web/.git/", Directory, ""),
            ("web/.git/config", Regular, "theirs"),
            ("web/src/", Directory, ""),
            ("web/src/a", Regular, "1"),
            ("web/b", Link, "web/src/a"),
            ("web/out", Symlink, "/etc"),
        ]);
        unpack(&bytes[..], &target).expect("unpacked");
        assert_eq!(std::fs::read_to_string(target.join("b")).expect("read"), "1");
        let mode = std::fs::metadata(target.join("src/a")).expect("there").permissions().mode();
        assert_eq!(mode & 0o7000, 0);
        assert!(!target.join(".git").exists());
        assert!(target.join("out").is_symlink());
    }

    #[test]
    fn nothing_is_unpacked_outside() {
        use tar::EntryType::{Link, Regular, Symlink};
        for entries in [
            &[("web/../x", Regular, "1")][..],
            &[("web/out", Symlink, "/tmp"), ("web/out/x", Regular, "1")],
            &[("web/x", Link, "web/../../etc/passwd")],
            &[("web/out", Symlink, "/etc/passwd"), ("web/x", Link, "web/out")],
        ] {
            let directory = tempfile::tempdir().expect("a directory");
            let bytes = archive(entries);
            assert!(unpack(&bytes[..], &directory.path().join("web")).is_err(), "{entries:?}");
        }
    }
}
