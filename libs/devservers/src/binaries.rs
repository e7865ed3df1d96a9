//! Where PostgreSQL and nats-server are installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// The oldest PostgreSQL that hatch is tested with.
const POSTGRES_MAJOR_MIN: u32 = 15;
/// Stream settings that hatch relies on (the first sequence) came with this version.
const NATS_MIN: Version = (2, 10, 0);
/// These lose streams when they are killed (repaired in 2.10.23).
const NATS_BROKEN: std::ops::RangeInclusive<Version> = (2, 10, 20)..=(2, 10, 22);
/// Where `./dev` puts what the system does not have.
const TOOLS: &str = ".tools/bin";

type Version = (u32, u32, u32);

/// A folder of PostgreSQL programs of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresInstallation {
    /// Holds `postgres` and `initdb`.
    pub bin: PathBuf,
    /// Major version, such as 15.
    pub major: u32,
}

impl PostgresInstallation {
    /// Finds the first on the `PATH`, else the newest in Debian's and Homebrew's folders; with
    /// `major` only one that can open data of that version.
    ///
    /// # Errors
    /// None is new enough, or none is of that version; the message says what is there.
    pub fn find(major: Option<u32>) -> anyhow::Result<Self> {
        let mut found = Vec::new();
        for program in postgres_candidates() {
            let Some((found_major, _, _)) = version_of(&program, "--version") else { continue };
            let Some(bin) = program.parent().filter(|bin| bin.join("initdb").is_file()) else {
                continue;
            };
            if found_major >= POSTGRES_MAJOR_MIN && major.is_none_or(|major| major == found_major) {
                return Ok(Self { bin: bin.to_owned(), major: found_major });
            }
            found.push(format!("{found_major} in {}", bin.display()));
        }
        let found = listed(&found);
        match major {
            Some(major) => bail!(
                "the data were written by PostgreSQL {major}, which is not installed (found: \
                 {found}): install it, or remove the data to begin anew"
            ),
            None => bail!(
                "PostgreSQL {POSTGRES_MAJOR_MIN} or newer is not installed (found: {found}): run \
                 ./dev, which installs it, or set HATCH_DATABASE_URL"
            ),
        }
    }
}

/// A usable nats-server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsServer {
    /// The program.
    pub program: PathBuf,
}

impl NatsServer {
    /// Finds the first on the `PATH` or in `.tools/` that is new enough and not a broken one.
    ///
    /// # Errors
    /// There is none; the message says which were found and passed over.
    pub fn find() -> anyhow::Result<Self> {
        let mut found = Vec::new();
        for program in candidates("nats-server") {
            let Some(version) = version_of(&program, "--version") else { continue };
            if version >= NATS_MIN && !NATS_BROKEN.contains(&version) {
                return Ok(Self { program });
            }
            let (major, minor, patch) = version;
            found.push(format!("{major}.{minor}.{patch} at {}", program.display()));
        }
        bail!(
            "nats-server 2.10 or newer (but not 2.10.20 to 2.10.22, which lose streams) is not \
             installed (found: {}): run ./dev, which installs it, or set HATCH_NATS_URL",
            listed(&found)
        )
    }
}

fn listed(found: &[String]) -> String {
    if found.is_empty() { "none".to_owned() } else { found.join(", ") }
}

fn postgres_candidates() -> Vec<PathBuf> {
    let mut versioned: Vec<_> = [
        ("/usr/lib/postgresql", ""),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/usr/local/opt", "postgresql@"),
    ]
    .into_iter()
    .filter_map(|(folder, prefix)| Some((std::fs::read_dir(folder).ok()?, prefix)))
    .flat_map(|(entries, prefix)| entries.flatten().map(move |entry| (entry, prefix)))
    .filter_map(|(entry, prefix)| {
        let name = entry.file_name();
        let major: u32 = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
        Some((major, entry.path().join("bin/postgres")))
    })
    .collect();
    versioned.sort();
    let versioned = versioned.into_iter().rev().filter_map(|(_, program)| real_file(&program));
    candidates("postgres").into_iter().chain(versioned).collect()
}

fn candidates(program: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from(TOOLS)])
        .filter_map(|folder| real_file(&folder.join(program)))
        .collect()
}

/// The file behind a link, whose folder then holds the programs that belong to it.
fn real_file(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().filter(|path| path.is_file())
}

/// Runs `program` and reads the first version number that it prints; `None` where it cannot be run.
fn version_of(program: &Path, argument: &str) -> Option<Version> {
    let output = Command::new(program).arg(argument).output().context("not runnable").ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0)`, `postgres (PostgreSQL) 18beta1` or
/// `nats-server: v2.15.1`.
fn parse_version(text: &str) -> Option<Version> {
    let word = text
        .split_whitespace()
        .map(|word| word.trim_start_matches('v'))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut parts = word.split('.').map(|part| {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..digits].parse().unwrap_or(0)
    });
    let mut next = || parts.next().unwrap_or(0);
    Some((next(), next(), next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_servers_print() {
        for (text, version) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some((15, 18, 0))),
            ("postgres (PostgreSQL) 18beta1\n", Some((18, 0, 0))),
            ("nats-server: v2.10.21\n", Some((2, 10, 21))),
            ("nats-server: v2.12.0-RC.3\n", Some((2, 12, 0))),
            ("usage\n", None),
        ] {
            assert_eq!(parse_version(text), version, "{text}");
        }
    }
}
