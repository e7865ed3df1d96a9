//! `hatch serve`: roles against given servers.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use anyhow::bail;
use hatch_process::{is_hatch, stop_or_read_again, stop_with_parent};
use tokio::net::{TcpListener, lookup_host};
use tokio_util::sync::CancellationToken;

use crate::reload::{self, Reload};
use crate::roles::{self, Parts, Role};
use crate::settings::{Authentication, Settings};

/// Runs until a signal asks for the end.
pub(crate) async fn run(mut settings: Settings, roles: &[Role]) -> anyhow::Result<()> {
    settings.rate_limit.enabled.get_or_insert(true);
    // Said before what else is missing; a name is only known to be open once it is listened on.
    if let Ok(address) = settings.listen.parse::<SocketAddr>() {
        refuse_open(&settings, address.ip())?;
    }
    roles::check(&settings)?;
    let listener = listen(&settings.listen).await?;
    refuse_open(&settings, listener.local_addr()?.ip())?;
    let shutdown = CancellationToken::new();
    let (again, reload) = Reload::of(settings.clone());
    stop_or_read_again(&shutdown, move || reload::read_again(&again, load_again))?;
    stop_with_parent(&shutdown);
    let roles: BTreeSet<Role> = roles.iter().copied().collect();
    let parts = Parts { reload: Some(reload), ..Parts::default() };
    roles::run_with(&settings, &roles, parts, listener, shutdown).await
}

/// The settings as file and variables have them now.
fn load_again() -> anyhow::Result<Settings> {
    let mut settings = Settings::load_serve()?;
    settings.rate_limit.enabled.get_or_insert(true);
    Ok(settings)
}

/// Opens the listener, or says in one line why not and what to do.
async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    let error = match TcpListener::bind(address).await {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    let what = match error.kind() {
        ErrorKind::InvalidInput => {
            format!(
                "configuration: listen: expected ADDRESS:PORT such as 127.0.0.1:8080, got {address:?}"
            )
        }
        ErrorKind::AddrInUse => {
            format!("{}: stop it, or set HATCH_LISTEN to another address", occupied(address).await)
        }
        _ => format!("failed to listen on {address}: HATCH_LISTEN sets another address"),
    };
    Err(anyhow::Error::new(error).context(what))
}

/// Who has `address`, which is taken.
async fn occupied(address: &str) -> String {
    let resolved = lookup_host(address).await.ok().and_then(|mut addresses| addresses.next());
    let is_hatch = match resolved {
        Some(resolved) => is_hatch(resolved).await,
        None => false,
    };
    match is_hatch {
        true => format!("another hatch answers on {address}"),
        false => format!("another program has {address}"),
    }
}

/// Where nobody has to say who he is, nobody but this machine may ask. Where they have to, the role's process looks
/// whether somebody can.
pub(crate) fn refuse_open(settings: &Settings, address: IpAddr) -> anyhow::Result<()> {
    if settings.authentication == Authentication::Off && !address.is_loopback() {
        bail!(
            "authentication is off, so hatch listens on loopback only, not on {address}: set \
             HATCH_AUTHENTICATION=required and make a key (`hatch keys create --name first`)"
        );
    }
    Ok(())
}
