//! By what the bus is believed: the secrets of the log's epochs, and which of its generations ended
//! because something foreign was found in it.

use std::fmt;

use tokio_postgres::{Client, Error};

use crate::epoch::CHANNEL;

/// The newest epoch's secret, and the newest generation of the bus with the secret of its own epoch.
const SECRETS: &str = "SELECT e.secret, g.generation, s.secret \
     FROM es.epoch_secrets AS e \
     LEFT JOIN (SELECT generation, epoch FROM es.bus_generations \
         ORDER BY generation DESC LIMIT 1) AS g ON true \
     LEFT JOIN es.epoch_secrets AS s ON s.epoch = g.epoch \
     WHERE e.epoch = (SELECT max(epoch) FROM es.log_epoch)";

/// The first find is kept; a generation that is not on record has no row to keep it in.
const REPORT_FOREIGN: &str = "WITH reported AS ( \
         UPDATE es.bus_generations SET foreign_at = now(), foreign_detail = $2 \
         WHERE generation = $1 AND foreign_at IS NULL RETURNING generation) \
     SELECT pg_notify($3, '') FROM reported";

/// The secret of an epoch: whoever has it can write to the bus what all of hatch believes. It is never
/// shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Its 32 bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The secrets by which what the bus carries is believed at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusSecrets {
    /// Of the log's epoch.
    pub epoch: Secret,
    /// The newest generation on record, and the secret of the epoch that it was begun in.
    pub generation: Option<(i32, Secret)>,
}

impl BusSecrets {
    /// Reads them.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn read(client: &Client) -> Result<Self, Error> {
        let row = client.query_one(SECRETS, &[]).await?;
        let secret = |bytes: Vec<u8>| Secret(bytes.into_boxed_slice());
        let generation: Option<i32> = row.try_get(1)?;
        let of_its_epoch: Option<Vec<u8>> = row.try_get(2)?;
        Ok(Self {
            epoch: secret(row.try_get(0)?),
            generation: generation.zip(of_its_epoch.map(secret)),
        })
    }
}

/// Ends a generation of the bus for everybody: what `detail` says is in it, and hatch did not write it.
/// The relay begins the next one.
///
/// # Errors
/// PostgreSQL's.
pub async fn report_foreign(client: &Client, generation: i32, detail: &str) -> Result<(), Error> {
    client.execute(REPORT_FOREIGN, &[&generation, &detail, &CHANNEL]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let epoch = Secret(b"abcdefghijklmnopqrstuvwxyz012345".to_vec().into_boxed_slice());
        let secrets = BusSecrets { generation: Some((1, epoch.clone())), epoch };
        let shown = format!("{secrets:?}");
        assert!(shown.contains("Secret(..)") && !shown.contains("abc") && !shown.contains("97"));
    }
}
