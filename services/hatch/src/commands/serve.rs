//! `hatch serve`: roles against given servers.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use anyhow::bail;
use hatch_process::{stop_on_signal, stop_with_parent};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::roles::{self, Role};
use crate::settings::Settings;

/// Runs until a signal asks for the end.
pub(crate) async fn run(settings: Settings, roles: &[Role]) -> anyhow::Result<()> {
    // Said before what else is missing; a name is only known to be open once it is listened on.
    if let Ok(address) = settings.listen.parse::<SocketAddr>() {
        refuse_open(address.ip())?;
    }
    roles::check(&settings)?;
    let listener = listen(&settings.listen).await?;
    refuse_open(listener.local_addr()?.ip())?;
    let shutdown = CancellationToken::new();
    stop_on_signal(&shutdown)?;
    stop_with_parent(&shutdown);
    let roles: BTreeSet<Role> = roles.iter().copied().collect();
    roles::run(&settings, &roles, listener, shutdown).await
}

/// Opens the listener, or says in one line why not and what to do.
pub(crate) async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let what = if error.kind() == ErrorKind::InvalidInput {
            format!("configuration: listen: expected ADDRESS:PORT such as 127.0.0.1:8080, got {address:?}")
        } else {
            format!("failed to listen on {address}: is it taken? HATCH_LISTEN sets another address")
        };
        anyhow::Error::new(error).context(what)
    })
}

/// There is no authentication yet: nobody but this machine may ask.
pub(crate) fn refuse_open(address: IpAddr) -> anyhow::Result<()> {
    if !address.is_loopback() {
        bail!(
            "hatch does not know its clients yet, so it listens on loopback only, not on {address}: put \
             a proxy that does in front of it"
        );
    }
    Ok(())
}
