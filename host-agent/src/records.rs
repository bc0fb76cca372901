//! The host-only record of each drone, `drones/<drone>.json`: what must not be visible to a drone,
//! or cannot be a label because labels never change on a live container.
//!
//! A record is written atomically (write, fsync, rename, fsync of the directory) and exists before
//! the drone's first volume does, so that rollback of a spawn whose host agent was killed is
//! derived from record and labels at the next start, never from memory.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hatchery_protocol::wire::Permissions;
use hatchery_protocol::{DroneName, RepoId, RepoName};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// A repository's number on its forge: survives renames, is never used again.
pub type ForgeRepoId = u64;

/// What the user wants of a drone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Desired {
    /// Up, and brought up again after a reboot.
    Running,
    /// Stopped, and left stopped after a reboot.
    Burrowed,
}

/// A repository that the drone may reach, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What counts: names can be renamed and re-created by somebody else.
    pub repo_id: ForgeRepoId,
    /// As the forge spells it now, as far as it has told.
    pub name: RepoName,
    /// What it was called before: remotes of a clone go on with a name that the forge redirects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_names: Vec<RepoName>,
    /// What is asked for when minting.
    pub permissions: Permissions,
}

/// Former names kept of one repository.
const FORMER_NAMES: usize = 8;

impl Grant {
    /// A grant on a repository that the forge calls `name`.
    pub fn new(repo_id: ForgeRepoId, name: RepoName, permissions: Permissions) -> Self {
        Self { repo_id, name, former_names: vec![], permissions }
    }

    fn rename(&mut self, name: &RepoName) {
        let former = std::mem::replace(&mut self.name, name.clone());
        self.former_names.retain(|known| known != name && *known != former);
        self.former_names.push(former);
        let surplus = self.former_names.len().saturating_sub(FORMER_NAMES);
        self.former_names.drain(..surplus);
    }
}

/// An operation under way; found at start, it is one that was killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Which one.
    pub kind: OperationKind,
    /// The step it is in, by its name in the design.
    pub step: String,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
}

/// The operations that leave something half done when killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationKind {
    /// Killed: everything it made is removed.
    Spawn,
    /// Killed: the old container is brought back.
    Rebuild,
    /// Killed: finished at the next start.
    Slay,
    /// Not under way any more: a spawn failed in this step and was kept for a look.
    Kept,
}

/// What the user asked for at spawn; `rebuild` uses it again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpawnChoices {
    /// Branch or tag to check out; `None`: the default branch.
    pub branch: Option<String>,
    /// Which devcontainer.json, relative to the repository's root.
    pub devcontainer: Option<String>,
    /// Memory limit in bytes; `None`: `[drone] memory`.
    pub memory_bytes: Option<u64>,
    /// CPU limit; `None`: `[drone] cpus`.
    pub cpus: Option<f64>,
    /// `--without-refused`: go on without what the policy refuses, where that makes sense.
    pub without_refused: bool,
}

/// One drone, as the host alone knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The drone.
    pub drone: DroneName,
    /// Its primary repository.
    pub repo: RepoId,
    /// Its number there.
    pub repo_id: ForgeRepoId,
    /// What it may reach. Where two have one name, the later one has it now.
    pub grants: Vec<Grant>,
    /// Goes up with every change of `grants`; part of the token cache's key.
    pub grant_version: u64,
    /// What the user wants.
    pub desired: Desired,
    /// Full id of the drone's container; attestation compares with it.
    #[serde(default)]
    pub container_id: Option<String>,
    /// The node's id at the tailnet's control server.
    #[serde(default)]
    pub tailnet_node: Option<String>,
    /// What its image was made from: reference -> digest of the time, or an image's id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub references: BTreeMap<String, String>,
    /// An operation under way.
    #[serde(default)]
    pub operation: Option<Operation>,
    /// What was asked for at spawn.
    #[serde(default)]
    pub choices: SpawnChoices,
    /// When the record was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

impl Record {
    /// The grant of the primary repository.
    pub fn primary(&self) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.repo_id == self.repo_id)
    }

    /// What the primary repository is called now, as far as the forge has told.
    pub fn name_now(&self) -> &RepoName {
        self.primary().map_or(&self.repo.name, |grant| &grant.name)
    }

    /// The grant that a name stands for: the repository that is called so now, else one that was.
    /// Either way it is the id that counts.
    pub fn grant_named(&self, name: &RepoName) -> Option<&Grant> {
        let newest = || self.grants.iter().rev();
        let now = newest().find(|grant| grant.name == *name);
        now.or_else(|| newest().find(|grant| grant.former_names.contains(name)))
    }

    /// Grants a repository, or other permissions on it, by its id.
    pub fn put_grant(&mut self, grant: Grant) {
        let Some(before) = self.grants.iter_mut().find(|it| it.repo_id == grant.repo_id) else {
            self.grants.push(grant);
            self.grant_version += 1;
            return;
        };
        if before.permissions != grant.permissions {
            before.permissions = grant.permissions;
            self.grant_version += 1;
        }
        self.learn_name(grant.repo_id, &grant.name);
    }

    /// Takes a grant away.
    pub fn drop_grant(&mut self, repo_id: ForgeRepoId) {
        let before = self.grants.len();
        self.grants.retain(|grant| grant.repo_id != repo_id);
        self.grant_version += u64::from(self.grants.len() < before);
    }

    /// Takes over what the forge calls a repository now.
    pub fn learn_name(&mut self, repo_id: ForgeRepoId, name: &RepoName) {
        let Some(at) = self.grants.iter().position(|grant| grant.repo_id == repo_id) else {
            return;
        };
        if self.grants.get(at).is_some_and(|grant| grant.name != *name) {
            // To the end: another grant may have had this name until now.
            let mut grant = self.grants.remove(at);
            grant.rename(name);
            self.grants.push(grant);
        }
    }
}

/// Why a record could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Another spawn made it first.
    #[error("drone {0} has a record already")]
    Exists(DroneName),
    /// It was removed meanwhile.
    #[error("drone {0} has no record")]
    Absent(DroneName),
    /// The state directory cannot be written.
    #[error("cannot write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// All records: read at start, kept in memory, every change on disk before it counts.
#[derive(Debug)]
pub struct RecordStore {
    directory: PathBuf,
    records: Mutex<BTreeMap<DroneName, Arc<Record>>>,
}

impl RecordStore {
    /// Opens `drones/` in the state directory, made where missing. A file that cannot be read is
    /// set aside as `<name>.json.broken` with a warning: a lost record is healed from labels. What a
    /// killed host agent had not finished writing is swept away.
    ///
    /// # Errors
    /// When the directory cannot be made or listed.
    pub fn load(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let mut records = BTreeMap::new();
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                match load_record(&path) {
                    Ok(record) => {
                        records.insert(record.drone.clone(), Arc::new(record));
                    }
                    Err(error) => set_aside(&path, &error),
                }
            } else if is_unfinished(&path) {
                std::fs::remove_file(&path)?;
            }
        }
        Ok(Self { directory: directory.to_owned(), records: Mutex::new(records) })
    }

    /// The record of `drone`, as it is now.
    pub fn find(&self, drone: &DroneName) -> Option<Arc<Record>> {
        self.lock().get(drone).cloned()
    }

    /// Every record, ordered by drone.
    pub fn all(&self) -> Vec<Arc<Record>> {
        self.lock().values().cloned().collect()
    }

    /// Makes the record of a new drone. Blocks for one fsync: call it off the runtime's workers.
    ///
    /// # Errors
    /// [`RecordError::Exists`] when the drone has one, so that of two spawns one wins.
    pub fn create(&self, record: Record) -> Result<Arc<Record>, RecordError> {
        let mut records = self.lock();
        if records.contains_key(&record.drone) {
            return Err(RecordError::Exists(record.drone));
        }
        self.write(&record)?;
        let record = Arc::new(record);
        records.insert(record.drone.clone(), Arc::clone(&record));
        Ok(record)
    }

    /// Changes a record: on disk first, then in memory. Blocks as [`RecordStore::create`] does.
    ///
    /// # Errors
    /// [`RecordError::Absent`] when the drone has none.
    pub fn update(
        &self,
        drone: &DroneName,
        change: impl FnOnce(&mut Record),
    ) -> Result<Arc<Record>, RecordError> {
        let mut records = self.lock();
        let current = records.get(drone).ok_or_else(|| RecordError::Absent(drone.clone()))?;
        let mut record = Record::clone(current);
        change(&mut record);
        if record == **current {
            return Ok(Arc::clone(current));
        }
        self.write(&record)?;
        let record = Arc::new(record);
        records.insert(drone.clone(), Arc::clone(&record));
        Ok(record)
    }

    /// Forgets a drone. Nothing happens when it has no record.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove(&self, drone: &DroneName) -> Result<(), RecordError> {
        let mut records = self.lock();
        let path = self.path(drone);
        match std::fs::remove_file(&path).and_then(|()| sync_directory(&self.directory)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(RecordError::Io { path, source })
            }
            _ => {
                records.remove(drone);
                Ok(())
            }
        }
    }

    fn path(&self, drone: &DroneName) -> PathBuf {
        self.directory.join(format!("{drone}.json"))
    }

    fn write(&self, record: &Record) -> Result<(), RecordError> {
        let path = self.path(&record.drone);
        write_atomically(&self.directory, &path, record)
            .map_err(|source| RecordError::Io { path, source })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DroneName, Arc<Record>>> {
        // A panic elsewhere leaves the map whole: every change is one insert or remove.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load_record(path: &Path) -> io::Result<Record> {
    let record: Record = serde_json::from_slice(&std::fs::read(path)?)?;
    if path.file_stem().is_some_and(|stem| stem == record.drone.as_str()) {
        return Ok(record);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the record names another drone"))
}

fn set_aside(path: &Path, error: &io::Error) {
    let aside = path.with_extension("json.broken");
    tracing::warn!(path = %path.display(), %error, "unreadable record set aside as {}", aside.display());
    if let Err(error) = std::fs::rename(path, &aside) {
        tracing::warn!(path = %path.display(), %error, "cannot set the record aside");
    }
}

/// What the name of a record begins with that is being written.
const UNFINISHED: &str = ".record-";

fn is_unfinished(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes()))
}

fn write_atomically(directory: &Path, path: &Path, record: &Record) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(directory)?;
    serde_json::to_writer_pretty(&mut file, record)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_directory(directory)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    std::fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A running drone of `acme/web` without grants: what tests change what they are about in.
    pub(crate) fn record(drone: &str) -> Record {
        let host = "github.com".parse().expect("a host");
        Record {
            drone: drone.parse().expect("a name"),
            repo: RepoId::parse("acme/web", &host).expect("a repository"),
            repo_id: 7,
            grants: vec![],
            grant_version: 1,
            desired: Desired::Running,
            container_id: None,
            tailnet_node: None,
            references: BTreeMap::new(),
            operation: None,
            choices: SpawnChoices::default(),
            created_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_change_is_there_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = RecordStore::load(directory.path()).expect("load");
        let made = store.create(record("acme-web")).expect("create");
        store.update(&made.drone, |record| record.desired = Desired::Burrowed).expect("update");
        let again = RecordStore::load(directory.path()).expect("load again");
        assert_eq!(again.find(&made.drone).expect("found").desired, Desired::Burrowed);
        again.remove(&made.drone).expect("remove");
        assert!(RecordStore::load(directory.path()).expect("third").all().is_empty());
    }

    #[test]
    fn a_write_that_is_cut_off_at_any_byte_leaves_the_record_as_it_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = RecordStore::load(directory.path()).expect("load");
        let before = store.create(record("acme-web")).expect("create");
        let grant = Grant::new(8, "acme/api".parse().expect("a name"), Permissions::new());
        store.update(&before.drone, |record| record.put_grant(grant)).expect("update");
        let path = directory.path().join("acme-web.json");
        let after = std::fs::read(&path).expect("the new record");
        store.update(&before.drone, |record| *record = Record::clone(&before)).expect("update");
        let unfinished = directory.path().join(format!("{UNFINISHED}x"));
        for written in 0..=after.len() {
            std::fs::write(&unfinished, &after[..written]).expect("write");
            let again = RecordStore::load(directory.path()).expect("load again");
            assert_eq!(again.find(&before.drone), Some(Arc::clone(&before)), "{written} bytes");
            assert!(!unfinished.exists(), "swept away");
        }
    }

    #[test]
    fn of_two_spawns_one_wins() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = RecordStore::load(directory.path()).expect("load");
        store.create(record("acme-web")).expect("create");
        assert!(matches!(store.create(record("acme-web")), Err(RecordError::Exists(_))));
    }

    #[test]
    fn a_name_leads_to_the_repository_that_has_it_now() {
        let name = |text: &str| -> RepoName { text.parse().expect("a name") };
        let grant = |id, text| Grant::new(id, name(text), Permissions::new());
        let mut record = record("acme-web");
        record.grants = vec![grant(7, "acme/web"), grant(8, "acme/api")];
        let found =
            |record: &Record, text: &str| record.grant_named(&name(text)).map(|it| it.repo_id);
        assert_eq!(found(&record, "ACME/web"), Some(7));
        record.learn_name(7, &name("acme/site"));
        assert_eq!((found(&record, "acme/site"), found(&record, "acme/web")), (Some(7), Some(7)));
        assert_eq!(record.name_now(), &name("acme/site"));
        // The other one takes the name over.
        record.learn_name(8, &name("acme/web"));
        assert_eq!((found(&record, "acme/web"), found(&record, "acme/api")), (Some(8), Some(8)));
        // The first one takes it back before the forge told of the other: who was told last has it.
        record.learn_name(7, &name("acme/web"));
        assert_eq!(found(&record, "acme/web"), Some(7));
        record.learn_name(9, &name("acme/other"));
        assert_eq!(found(&record, "acme/other"), None);
        for number in 0..20 {
            record.learn_name(7, &name(&format!("acme/n{number}")));
        }
        assert_eq!(record.primary().expect("the primary").former_names.len(), FORMER_NAMES);
    }

    #[test]
    fn a_torn_file_costs_one_record_and_is_kept_for_people() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = RecordStore::load(directory.path()).expect("load");
        store.create(record("acme-web")).expect("create");
        std::fs::write(directory.path().join("acme-api.json"), "{\"drone\":").expect("write");
        let again = RecordStore::load(directory.path()).expect("load again");
        assert_eq!(again.all().len(), 1);
        assert!(directory.path().join("acme-api.json.broken").exists());
    }
}
