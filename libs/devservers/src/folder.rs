//! The data folder (`.hatch/`): its lock, and the record of where its servers are.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, bail};
use hatch_process::{Servers, is_alive};
use tokio::sync::watch;

use crate::account::Home;
use crate::log::LogFile;

/// Says which process uses the folder, by a lock that ends with the process.
const LOCK: &str = "hatch.lock";

/// What others may do with the data folder: pass through it, to what is open to them.
const FOLDER_MODE: u32 = 0o711;
/// What they may do with its files: nothing.
const FILE_MODE: u32 = 0o600;

/// A data folder that this process alone uses.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    home: Home,
    servers: Mutex<Servers>,
    /// Held, not read. The second is where the data lie, in case two folders point to one place.
    _locks: (File, Option<File>),
}

impl Folder {
    /// Makes the folder if need be and locks it.
    ///
    /// # Errors
    /// Another hatch uses it (the message says which), or it cannot be written.
    pub fn lock(path: &Path) -> anyhow::Result<Self> {
        make(path)?;
        path.canonicalize()
            .with_context(|| format!("failed to make the data folder {}", path.display()))
            .and_then(|path| {
                let first = lock(&path, &path)?;
                let home = Home::of(&path)?;
                let second = if home.path().starts_with(&path) {
                    None
                } else {
                    Some(lock(home.path(), &path)?)
                };
                let servers = Servers { hatch_pid: std::process::id(), ..Servers::default() };
                Ok(Self { path, home, servers: Mutex::new(servers), _locks: (first, second) })
            })
    }

    /// `HATCH_DATA_DIR`, else `.hatch` in the current folder.
    #[must_use]
    pub fn default_path() -> PathBuf {
        std::env::var_os("HATCH_DATA_DIR").map_or_else(|| PathBuf::from(".hatch"), PathBuf::from)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the folder at `path` is or was the data folder of some process.
    pub(crate) fn was_locked(path: &Path) -> bool {
        path.join(LOCK).metadata().is_ok_and(|lock| lock.len() > 0)
    }

    /// Changes the record of what runs here.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn record(&self, change: impl FnOnce(&mut Servers)) -> anyhow::Result<()> {
        let mut servers = self.servers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut servers);
        write_secret(&self.path.join(Servers::FILE), &serde_json::to_string_pretty(&*servers)?)
            .context("failed to record where the servers are")
    }

    /// Keeps the record of the process `name` current while it is supervised.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn follow(
        self: &Arc<Self>,
        name: &str,
        mut pid: watch::Receiver<Option<u32>>,
    ) -> anyhow::Result<()> {
        let (folder, name) = (Arc::downgrade(self), name.to_owned());
        let current = *pid.borrow_and_update();
        self.record_pid(&name, current)?;
        tokio::spawn(async move {
            // The sender lives as long as the process is supervised.
            while pid.changed().await.is_ok() {
                let current = *pid.borrow_and_update();
                let Some(folder) = folder.upgrade() else { return };
                if let Err(error) = folder.record_pid(&name, current) {
                    tracing::warn!("{error:#}");
                }
            }
        });
        Ok(())
    }

    fn record_pid(&self, name: &str, pid: Option<u32>) -> anyhow::Result<()> {
        self.record(|servers| match pid {
            Some(pid) => drop(servers.pids.insert(name.to_owned(), pid)),
            None => drop(servers.pids.remove(name)),
        })
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn log(&self, server: &str) -> LogFile {
        LogFile::new(self.path.join(format!("{server}.log")))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Readers check whether the recorded process lives, so a record that was left behind does no harm.
        let _ = std::fs::remove_file(self.path.join(Servers::FILE));
    }
}

/// Makes the data folder at `path`, or closes one that is there to the eyes of others. They may pass through
/// it, because PostgreSQL runs under another account where hatch runs as root.
///
/// # Errors
/// It cannot be made, or belongs to somebody else and is open.
pub fn make(path: &Path) -> anyhow::Result<()> {
    let cannot = || format!("failed to make the data folder {}", path.display());
    if let Some(above) = path.parent() {
        std::fs::create_dir_all(above).with_context(cannot)?;
    }
    let made = DirBuilder::new().mode(FOLDER_MODE).create(path);
    let is_new = made.is_ok();
    if !path.is_dir() {
        made.with_context(cannot)?;
    }
    let mode = path.metadata().with_context(cannot)?.mode();
    // One that was made just now is as the umask has it; one that is closed altogether stays so.
    let wanted = if is_new { FOLDER_MODE } else { mode & FOLDER_MODE };
    if mode & 0o777 != wanted {
        std::fs::set_permissions(path, Permissions::from_mode(wanted)).with_context(cannot)?;
    }
    Ok(())
}

/// Locks `folder` on behalf of the data folder `of`.
fn lock(folder: &Path, of: &Path) -> anyhow::Result<File> {
    let path = folder.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(&path)
        .with_context(|| format!("failed to open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {
            file.set_permissions(Permissions::from_mode(FILE_MODE))
                .and_then(|()| file.set_len(0))
                .and_then(|()| write!(file, "{}", std::process::id()))
                .with_context(|| format!("failed to write {}", path.display()))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid)
                .with_context(|| format!("failed to read {}", path.display()))?;
            let holder = holder(&file);
            bail!(
                "{}: stop that one, or set HATCH_DATA_DIR and HATCH_LISTEN for another",
                said(of, &path, pid.trim(), holder)
            )
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("failed to lock {}", path.display()))
        }
    }
}

/// Who holds the lock of `file`, as far as the system tells.
fn holder(file: &File) -> Option<u32> {
    let inode = format!(":{}", file.metadata().ok()?.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // `1: FLOCK  ADVISORY  WRITE 4711 08:01:2233 0 EOF`; one who waits has `->` before FLOCK.
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = words[..] else { return None };
        place.ends_with(&inode).then(|| pid.parse().ok())?
    })
}

/// Says who uses the data folder `of`, whose lock names the process `named`.
fn said(of: &Path, lock: &Path, named: &str, holder: Option<u32>) -> String {
    let (of, lock) = (of.display(), lock.display());
    let named: Option<u32> = named.parse().ok();
    match (named.filter(|pid| is_alive(*pid)), holder) {
        (Some(pid), Some(holder)) if pid == holder => {
            format!("hatch is already running on {of} (process {pid}), as {}", program(pid))
        }
        // Where the system does not tell who holds it.
        (Some(pid), None) => {
            format!("hatch is already running on {of} (process {pid}), as {}", program(pid))
        }
        (_, Some(holder)) => format!(
            "{of} is in use: its lock {lock} is held by process {holder} ({}), and not by the hatch that used \
             it last",
            program(holder)
        ),
        (None, None) => format!(
            "{of} is in use: its lock {lock} is held by a process that cannot be told from here; the hatch that \
             used it last has ended"
        ),
    }
}

/// What a process runs.
fn program(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
    name.map_or_else(|_| "of another account".to_owned(), |name| name.trim().to_owned())
}

/// Writes a file that only its owner can read, whole or not at all.
pub(crate) fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    // One that a crash left may have another mode.
    let _ = std::fs::remove_file(&new);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&new, path))
        .with_context(|| format!("failed to write {}", path.display()))
}
