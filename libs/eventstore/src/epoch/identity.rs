//! The identity of a PostgreSQL server.

use tokio_postgres::config::Host;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Error, GenericClient};

const IDENTITY: &str =
    "SELECT system_identifier, timeline, data_directory FROM es.server_identity()";
const COMPLETE: &str = "SELECT es.complete_epoch($1, $2)";

/// The configured names of a database: of its server and of its deployment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatabasePlace {
    /// The server's name; none says nothing about it.
    pub host: Option<String>,
    /// The name of the deployment that works with it; none says nothing about it.
    pub deployment_name: Option<String>,
}

impl DatabasePlace {
    /// The place with the configured `host`, else the hosts of `postgres`. All ways to name this
    /// machine are one.
    #[must_use]
    pub fn new(postgres: &Config, host: Option<String>, deployment_name: Option<String>) -> Self {
        let hosts: Vec<String> = postgres.get_hosts().iter().map(name).collect();
        let host = host.or_else(|| (!hosts.is_empty()).then(|| hosts.join(",")));
        Self { host, deployment_name }
    }
}

fn name(host: &Host) -> String {
    match host {
        Host::Tcp(name) => match name.to_ascii_lowercase() {
            name if name == "::1" || name.starts_with("127.") => "localhost".to_owned(),
            name => name,
        },
        Host::Unix(_) => "localhost".to_owned(),
    }
}

/// The properties that differ between two servers, and between a server and its restored copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Chosen by initdb.
    pub system_identifier: i64,
    /// Of the WAL that is being written: a promotion and a restore to a point in time begin another.
    pub timeline: i32,
    /// None where it may not be read.
    pub data_directory: Option<String>,
    /// What is configured.
    pub place: DatabasePlace,
}

impl Identity {
    /// Reads the identity of the server at the other end; `place` is what is configured about it.
    pub(crate) async fn read(
        client: &impl GenericClient,
        place: &DatabasePlace,
    ) -> Result<Self, Error> {
        let row = client.query_one(IDENTITY, &[]).await?;
        Ok(Self {
            system_identifier: row.try_get(0)?,
            timeline: row.try_get(1)?,
            data_directory: row.try_get(2)?,
            place: place.clone(),
        })
    }

    /// Each property that `other` has differently: its name, its value here and there. A property that one of the two
    /// does not know is no difference.
    pub(super) fn differences(&self, other: &Self) -> Vec<(&'static str, String, String)> {
        let known = |text: &Option<String>| text.clone();
        let pairs = [
            (
                "system identifier",
                Some(self.system_identifier.to_string()),
                Some(other.system_identifier.to_string()),
            ),
            ("timeline", Some(self.timeline.to_string()), Some(other.timeline.to_string())),
            ("data directory", known(&self.data_directory), known(&other.data_directory)),
            ("host", known(&self.place.host), known(&other.place.host)),
            ("deployment", known(&self.place.deployment_name), known(&other.place.deployment_name)),
        ];
        let differ = pairs.into_iter().filter_map(|(name, a, b)| Some((name, a?, b?)));
        differ.filter(|(_, a, b)| a != b).collect()
    }
}

/// Fills in what the epoch's record lacks.
pub(crate) async fn complete(client: &Client, place: &DatabasePlace) -> Result<(), Error> {
    let given: [&(dyn ToSql + Sync); 2] = [&place.host, &place.deployment_name];
    client.execute(COMPLETE, &given).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_of_this_machine_are_one_host_and_the_port_does_not_count() {
        let place = |url: &str, host: Option<&str>| {
            let postgres: Config = url.parse().expect("a URL");
            DatabasePlace::new(&postgres, host.map(ToOwned::to_owned), None).host
        };
        for url in [
            "postgres://127.0.0.1:5432/hatch",
            "postgres://localhost:6000/hatch",
            "postgres://[::1]/hatch",
            "postgres:///hatch?host=/var/run/postgresql",
        ] {
            assert_eq!(place(url, None).as_deref(), Some("localhost"), "{url}");
        }
        assert_eq!(place("postgres://DB1,db2/hatch", None).as_deref(), Some("db1,db2"));
        assert_eq!(place("postgres://db1/hatch", Some("primary")).as_deref(), Some("primary"));
    }
}
