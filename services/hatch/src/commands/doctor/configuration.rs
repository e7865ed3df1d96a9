//! Checks that ask no server: the settings, the address, the accounts, the disk.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use hatch_process::{Servers, is_hatch};
use hatch_providers::{PROVIDERS, Provider};
use nix::sys::statvfs::statvfs;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream, lookup_host};

use super::finding::Finding;
use super::made;
use crate::commands::running;
use crate::commands::serve::refuse_open;
use crate::files::{self, FILES_LOW, Files};
use crate::roles::{self, SetAccount};
use crate::settings::Settings;

/// How long whoever listens may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Where the outside reaches hatch.
const PUBLIC_URL: &str = "public_url";

/// Free disk space below which something is said, and below which it is too late.
const DISK_BYTES_LOW: u64 = 2 << 30;
const DISK_BYTES_MIN: u64 = 256 << 20;

/// The settings that are to be checked: those of a running `up` in its folder, unless others are set;
/// and whether they are.
pub(super) fn effective(settings: Settings) -> anyhow::Result<(Settings, bool)> {
    let Some(servers) = Servers::read(&settings.data_dir)? else { return Ok((settings, false)) };
    let used = running(settings.clone())?;
    let embedded =
        used.database_url == Some(servers.database_url) && used.nats_url == Some(servers.nats_url);
    Ok(if embedded { (used, true) } else { (settings, false) })
}

/// Whatever would keep `serve` from starting, and the disk of embedded servers.
pub(super) async fn check(settings: &Settings, embedded: bool) -> Vec<Finding> {
    let refusals = roles::refusals(settings);
    let mut findings: Vec<Finding> = refusals.iter().map(refused).collect();
    if findings.is_empty() {
        let whose = if embedded { "that of the running `hatch up`" } else { "complete" };
        findings.push(Finding::good("configuration", whose));
    }
    if !findings.iter().any(|finding| finding.is_failure_of(PUBLIC_URL)) {
        findings.push(Finding::good(PUBLIC_URL, settings.public_url()));
    }
    findings.push(files(settings));
    findings.push(made("listen", listen(settings, embedded)).await);
    findings.extend(accounts(settings));
    if embedded {
        findings.push(disk(&settings.data_dir));
    }
    findings
}

/// A setting with which `serve` does not start.
fn refused(refusal: &anyhow::Error) -> Finding {
    const START: &str = "`serve` does not start before";
    let what = format!("{refusal:#}");
    let what = what.strip_prefix("configuration: ").unwrap_or(&what);
    match what.strip_prefix("public_url: ") {
        Some(what) => {
            let remedy = format!("set HATCH_PUBLIC_URL; {START}");
            Finding::failure(PUBLIC_URL, what, remedy)
        }
        None => {
            let remedy = format!("set it in hatch.toml or as a HATCH_ variable; {START}");
            Finding::failure("configuration", what, remedy)
        }
    }
}

/// How many files a running `up` may open and has open, else a process that is started as this one.
fn files(settings: &Settings) -> Finding {
    const CHECK: &str = "files";
    const REMEDY: &str = "raise the hard limit (`ulimit -Hn 65536`, LimitNOFILE= of systemd, `ulimits` of a \
        container): each connection is a file, and without one messages wait";
    let Files { soft, hard } = match Files::allowed() {
        Ok(files) => files,
        Err(error) => return Finding::not_checked(CHECK, &error.to_string()),
    };
    let pid = Servers::read(&settings.data_dir).ok().flatten().map(|servers| servers.hatch_pid);
    let running = pid.and_then(|pid| Some((files::open(Some(pid)).ok()?, Files::of(pid)?)));
    let (what, soft) = match running {
        Some((used, Files { soft, hard })) => {
            let what =
                format!("`hatch up` may open {soft} (hard limit {hard}), and has {used} open");
            (what, soft)
        }
        None => (format!("{soft} may be open in a process (hard limit {hard})"), soft),
    };
    match soft {
        0..FILES_LOW => Finding::warning(CHECK, what, REMEDY),
        _ => Finding::good(CHECK, what),
    }
}

/// Whether hatch listens where it is to, or could.
async fn listen(settings: &Settings, embedded: bool) -> anyhow::Result<Finding> {
    const CHECK: &str = "listen";
    const REMEDY: &str = "set HATCH_LISTEN to an address of this machine, such as 127.0.0.1:8080";
    let address = &settings.listen;
    let resolved = match lookup_host(address).await {
        Ok(mut addresses) => addresses.next(),
        Err(error) => {
            return Ok(Finding::failure(
                CHECK,
                format!("{address} is no address: {error}"),
                REMEDY,
            ));
        }
    };
    let resolved = resolved.with_context(|| format!("{address} is no address"))?;
    if let Err(refused) = refuse_open(settings, resolved.ip()) {
        return Ok(Finding::failure(CHECK, refused.to_string(), REMEDY));
    }
    let connected = tokio::time::timeout(ANSWER_MAX, TcpStream::connect(resolved)).await;
    if !matches!(connected, Ok(Ok(_))) {
        return Ok(match TcpListener::bind(resolved).await {
            Ok(_) => Finding::good(CHECK, format!("{address} is free")),
            Err(error) => Finding::failure(CHECK, format!("{address}: {error}"), REMEDY),
        });
    }
    Ok(match is_hatch(resolved).await {
        true if embedded => {
            Finding::good(CHECK, format!("hatch answers on {address}: that of `hatch up`"))
        }
        // Which one, nobody can tell from outside.
        true => {
            let what = format!("hatch answers on {address}: another needs another HATCH_LISTEN");
            Finding::good(CHECK, what)
        }
        false => {
            let what =
                format!("{address} is taken by something that does not answer as hatch does");
            Finding::failure(CHECK, what, REMEDY)
        }
    })
}

/// Each account that is set, with what it lacks.
fn accounts(settings: &Settings) -> Vec<Finding> {
    let set = roles::each_account(settings);
    let carries = !set.is_empty();
    let of_accounts = set.into_iter().map(|SetAccount { section, name, account }| match account {
        Ok(account) => Finding::good(name, format!("account {}", account.account)),
        Err(error) => wrong(name, &section, &error),
    });
    let generic = settings.generic.as_ref().map(|generic| {
        let whose = if generic.open { "open to everybody" } else { "for who has the secret" };
        match roles::generic_webhook(settings) {
            Ok(_) => Finding::good("generic", format!("webhooks are {whose}")),
            Err(error) => wrong("generic".to_owned(), "generic", &error),
        }
    });
    let mut findings: Vec<Finding> = of_accounts.chain(generic).collect();
    let is_wrong = findings.iter().any(Finding::is_failure);
    if let Some(error) = roles::check_accounts(settings).err().filter(|_| !is_wrong) {
        findings.push(wrong("accounts".to_owned(), "accounts", &error));
    }
    if !carries {
        findings.push(Finding::warning(
            "accounts",
            "no provider account is set: messages are accepted, and none is sent",
            how_to_set(),
        ));
    }
    findings
}

/// The variables of which an account is made, for each provider.
fn how_to_set() -> String {
    let of = |provider: &&dyn Provider| {
        let required = provider.schema()["required"].as_array();
        let keys = required.into_iter().flatten().filter_map(Value::as_str);
        let section = provider.name().to_ascii_uppercase();
        let variables = keys.map(|key| format!("HATCH_{section}__{}", key.to_ascii_uppercase()));
        variables.collect::<Vec<_>>().join(" and ")
    };
    format!("set {}", PROVIDERS.iter().map(of).collect::<Vec<_>>().join(", or "))
}

/// An account with which `serve` does not start.
fn wrong(name: String, section: &str, error: &anyhow::Error) -> Finding {
    let variable = section.to_ascii_uppercase().replace('.', "__").replace('-', "_");
    let remedy =
        format!("set HATCH_{variable}__ and that key in capitals; `serve` does not start before");
    Finding::failure(name, format!("{error:#}"), remedy)
}

/// The disk of PostgreSQL and NATS, where `up` runs them.
fn disk(folder: &Path) -> Finding {
    const CHECK: &str = "disk";
    // As root the data lie elsewhere, and `data` leads there.
    let free = [folder.to_owned(), folder.join("data")].into_iter().filter_map(|path| {
        let disk = statvfs(&path).ok()?;
        Some(wide(disk.blocks_available()).saturating_mul(wide(disk.fragment_size())))
    });
    let Some(free) = free.min() else {
        return Finding::not_checked(CHECK, &format!("{} cannot be read", folder.display()));
    };
    let what = format!("{} MiB are free under {}", free >> 20, folder.display());
    let remedy = "make room: PostgreSQL stops when the disk is full";
    match free {
        0..DISK_BYTES_MIN => Finding::failure(CHECK, what, remedy),
        DISK_BYTES_MIN..DISK_BYTES_LOW => Finding::warning(CHECK, what, remedy),
        _ => Finding::good(CHECK, what),
    }
}

/// Systems count disks in integers of different widths.
fn wide(count: impl Into<u64>) -> u64 {
    count.into()
}
