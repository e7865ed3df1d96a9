//! Under which account the servers run, and where their data can be.
//!
//! PostgreSQL refuses to run as root. Started by root (in a container, say) the servers therefore
//! run under an unprivileged account, and their data lie where that account gets to.

use std::fs::{DirBuilder, Metadata};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use nix::unistd::{User, geteuid};
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

/// Accounts to run under, in order of preference.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];
/// Where data go that would be out of the account's reach.
const REACHABLE: &str = "/var/tmp";
/// Name of the data's place inside the data folder: a folder, or a link to one.
const DATA: &str = "data";

/// An account other than our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OsAccount {
    uid: u32,
    gid: u32,
}

/// Where the servers keep their data, and who they are.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    path: PathBuf,
    /// `None`: our own account.
    account: Option<OsAccount>,
}

impl Home {
    /// Finds the place of the data that belong to `folder`, or makes one.
    pub(crate) fn of(folder: &Path) -> anyhow::Result<Self> {
        let data = folder.join(DATA);
        let account = if geteuid().is_root() { Some(OsAccount::choose(&data)?) } else { None };
        if data.symlink_metadata().is_err() {
            match account {
                Some(account) if !account.reaches(folder) => {
                    let place = reachable_place(folder)?;
                    symlink(&place, &data).context("failed to link the place of the data")?;
                }
                _ => make_folder(&data, 0o711)?,
            }
        }
        let path = data
            .canonicalize()
            .with_context(|| format!("failed to follow {} to the data", data.display()))?;
        Ok(Self { path, account })
    }

    /// The place itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A cluster's data folder.
    pub(crate) fn postgres(&self) -> PathBuf {
        self.path.join("postgres")
    }

    /// JetStream's store.
    pub(crate) fn nats(&self) -> PathBuf {
        self.path.join("nats")
    }

    /// A command that runs `program` under the servers' account.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // Ours may be out of the account's reach.
        command.current_dir("/");
        if let Some(account) = self.account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }

    /// The same home with our own account for a program that the other one cannot reach.
    pub(crate) fn for_program(&self, program: &Path) -> Self {
        let account = self.account.filter(|account| account.reaches(program));
        Self { path: self.path.clone(), account }
    }

    /// Gives `path` and all that is in it to the servers' account.
    pub(crate) fn give(&self, path: &Path) -> anyhow::Result<()> {
        let Some(account) = self.account else { return Ok(()) };
        give(path, account).with_context(|| format!("failed to hand over {}", path.display()))
    }
}

impl OsAccount {
    /// The account that owns the existing data, else the first of [`ACCOUNTS`] on this machine.
    fn choose(data: &Path) -> anyhow::Result<Self> {
        if let Ok(metadata) = data.join("postgres").metadata()
            && metadata.uid() != 0
        {
            return Ok(Self { uid: metadata.uid(), gid: metadata.gid() });
        }
        for name in ACCOUNTS {
            if let Some(user) = User::from_name(name).context("failed to look up accounts")? {
                return Ok(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw() });
            }
        }
        bail!("PostgreSQL does not run as root and there is no account `postgres` or `nobody`")
    }

    /// Whether the account may pass through every folder of `path` and enter or run its end. Access
    /// control lists and further groups are not looked at: they could only give more.
    fn reaches(self, path: &Path) -> bool {
        path.ancestors().all(|part| part.metadata().is_ok_and(|part| self.may_execute(&part)))
    }

    fn may_execute(self, file: &Metadata) -> bool {
        let shift = match (file.uid() == self.uid, file.gid() == self.gid) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        file.mode() >> shift & 0o1 == 1
    }
}

/// The place in [`REACHABLE`] that belongs to `folder`. Anybody can make files there, so one that
/// exists already is taken only if it is really ours.
fn reachable_place(folder: &Path) -> anyhow::Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;

    let hash = Sha256::digest(folder.as_os_str().as_bytes());
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let place = Path::new(REACHABLE).join(format!("hatch-{hash}"));
    if let Ok(metadata) = place.symlink_metadata() {
        ensure!(
            metadata.is_dir() && metadata.uid() == geteuid().as_raw(),
            "{} belongs to somebody else: remove it or choose another HATCH_DATA_DIR",
            place.display()
        );
        return Ok(place);
    }
    make_folder(&place, 0o711)?;
    Ok(place)
}

/// Makes one folder, whatever the umask says about its mode.
pub(crate) fn make_folder(path: &Path, mode: u32) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)))
        .with_context(|| format!("failed to make the folder {}", path.display()))
}

fn give(path: &Path, account: OsAccount) -> std::io::Result<()> {
    let metadata = path.symlink_metadata()?;
    if metadata.is_symlink() {
        return Ok(());
    }
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path)? {
            give(&entry?.path(), account)?;
        }
    }
    if metadata.uid() != account.uid {
        chown(path, Some(account.uid), Some(account.gid))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_closed_to_others_is_out_of_reach() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let inner = folder.path().join("inner");
        make_folder(&inner, 0o755).expect("a folder");
        let stranger = OsAccount { uid: 4_000_000, gid: 4_000_000 };
        for (mode, reached) in [(0o700, false), (0o711, true)] {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode))
                .expect("the mode");
            assert_eq!(stranger.reaches(&inner), reached, "{mode:o}");
        }
    }
}
