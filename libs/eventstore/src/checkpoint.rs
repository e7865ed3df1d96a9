//! How far a projection got: a row that commits together with what the projection wrote.

use deadpool_postgres::GenericClient;

use crate::{Connection, Position};

const LOAD: &str = "SELECT position, epoch FROM es.checkpoints WHERE name = $1 AND version = $2";
const ENSURE: &str = "INSERT INTO es.checkpoints (name, version, position, epoch) \
     SELECT $1, $2, 0, max(epoch) FROM es.log_epoch ON CONFLICT DO NOTHING";
const ADVANCE: &str = "UPDATE es.checkpoints SET position = $4, epoch = $5, updated_at = now() \
     WHERE name = $1 AND version = $2 AND position = $3";

/// How far the projection `name` in its `version` got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The projection.
    pub name: String,
    /// The version of its tables.
    pub version: i32,
    /// The last position that is in them.
    pub position: Position,
    /// The epoch of the event there.
    pub epoch: i32,
}

/// Why a checkpoint was not loaded or moved.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Another projector moved it: this one's rows must not be committed, and it has to stop or to
    /// begin again from the checkpoint as it is now.
    #[error("the checkpoint of {name} version {version} is not at {expected} any more")]
    Fenced {
        /// The projection.
        name: String,
        /// The version of its tables.
        version: i32,
        /// Where this projector thought it was.
        expected: Position,
    },
    /// PostgreSQL refused or did not answer.
    #[error("the checkpoint is unavailable")]
    Postgres(#[source] tokio_postgres::Error),
}

impl Checkpoint {
    /// The checkpoint as it is; before the first event when it is new.
    ///
    /// # Errors
    /// [`CheckpointError::Postgres`].
    pub async fn load(
        client: &Connection,
        name: &str,
        version: i32,
    ) -> Result<Self, CheckpointError> {
        let load = async {
            let ensure = client.prepare_cached(ENSURE).await?;
            client.execute(&ensure, &[&name, &version]).await?;
            let load = client.prepare_cached(LOAD).await?;
            let row = client.query_one(&load, &[&name, &version]).await?;
            Ok((Position(row.try_get(0)?), row.try_get(1)?))
        };
        let (position, epoch) = load.await.map_err(CheckpointError::Postgres)?;
        Ok(Self { name: name.to_owned(), version, position, epoch })
    }

    /// Prepares what [`advance`](Self::advance) needs, so that it is the first that a transaction
    /// asks for, whatever travels with it.
    ///
    /// # Errors
    /// [`CheckpointError::Postgres`].
    pub async fn prepare(client: &Connection) -> Result<(), CheckpointError> {
        client.prepare_cached(ADVANCE).await.map_err(CheckpointError::Postgres)?;
        Ok(())
    }

    /// Moves the checkpoint to the event at `position` of `epoch`, in the transaction that holds
    /// what the projection made of the events up to there. Returns the checkpoint as it is once that
    /// transaction is committed; until then `self` is what holds.
    ///
    /// # Errors
    /// [`CheckpointError::Fenced`] when it is not where `self` says: roll back.
    pub async fn advance(
        &self,
        transaction: &impl GenericClient,
        position: Position,
        epoch: i32,
    ) -> Result<Self, CheckpointError> {
        let advance = async {
            let advance = transaction.prepare_cached(ADVANCE).await?;
            let (name, version, from) = (&self.name, &self.version, &self.position.0);
            transaction.execute(&advance, &[name, version, from, &position.0, &epoch]).await
        };
        match advance.await.map_err(CheckpointError::Postgres)? {
            1 => Ok(Self { position, epoch, ..self.clone() }),
            _ => Err(CheckpointError::Fenced {
                name: self.name.clone(),
                version: self.version,
                expected: self.position,
            }),
        }
    }
}
