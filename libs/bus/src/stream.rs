//! The stream: one generation at a time.
//!
//! A generation is a stream of its own name whose first sequence is the position that it begins at.
//! Generations share their subjects, so the older one is deleted before the next is created; whoever
//! owns the subjects is the current one.

use std::time::Duration;

use async_nats::jetstream::context::GetStreamByNameErrorKind;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, StorageType, Stream,
};
use uuid::Uuid;

use crate::bus::WINDOW_MAX;
use crate::mac::{Claim, Foreign, Verified};
use crate::{Bus, Error, Key, subject};

/// How long events stay in the stream.
const AGE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Streams that are deleted before a generation is created, at most: one is there, and somebody else may
/// make others as fast.
const DELETIONS_MAX: usize = 3;

/// What is known of the current generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamState {
    /// No stream owns the subjects.
    Absent,
    /// There is one.
    Present {
        /// Its generation, from 1.
        generation: i32,
        /// The position that it begins at, by its configuration.
        first_position: i64,
        /// Its last sequence.
        last_sequence: i64,
        /// What is stored there.
        last: Last,
    },
}

/// What is stored at a stream's last sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// Nothing: the stream is new, or all of it has aged out.
    Empty,
    /// An event that proved to be hatch's own, in its place.
    Event {
        /// `Hatch-Position`.
        position: i64,
        /// `Hatch-Event-Id`.
        event_id: Uuid,
    },
    /// A message that nothing proves to be hatch's own, or none although the stream is not empty.
    Foreign(Foreign),
}

impl Bus {
    /// Asks for the current generation, and its leader (never a replica that may lag) for its end.
    ///
    /// # Errors
    /// When NATS cannot be asked, or a foreign stream takes the subjects.
    pub async fn stream_state(&self) -> Result<StreamState, Error> {
        let Some((generation, name)) = self.current_stream().await? else {
            return Ok(StreamState::Absent);
        };
        let stream = self
            .api()?
            .get_stream(name)
            .await
            .map_err(Error::request("read the event stream's state"))?;
        let info = stream.cached_info();
        let sequence = info.state.last_sequence;
        let first_position = signed(info.config.first_sequence.unwrap_or(1));
        let last = if !self.is_as_made(generation, first_position, &info.config) {
            Last::Foreign(Foreign::Changed)
        } else if info.state.messages == 0 {
            Last::Empty
        } else {
            let key = self.likely_key_of(generation);
            match stored(&stream, sequence, key.as_ref()).await? {
                Last::Empty => Last::Foreign(Foreign::Missing),
                last => last,
            }
        };
        Ok(StreamState::Present {
            generation,
            first_position,
            last_sequence: signed(sequence),
            last,
        })
    }

    /// Whether there is a stream.
    ///
    /// # Errors
    /// As [`stream_state`](Self::stream_state).
    pub async fn has_stream(&self) -> Result<bool, Error> {
        Ok(self.current_stream().await?.is_some())
    }

    /// The first sequence after `after` that does not hold the event of its own position, if one of a
    /// window does not, and what is wrong there; what is not there any more is no contradiction. For
    /// what a failed publisher cannot be sure of: each is asked for by itself.
    ///
    /// # Errors
    /// When NATS cannot be asked.
    pub async fn first_foreign(&self, after: i64) -> Result<Option<(i64, Foreign)>, Error> {
        let Some((generation, name)) = self.current_stream().await? else { return Ok(None) };
        let key = self.likely_key_of(generation);
        let stream = self.api()?.get_stream(name).await;
        let stream = stream.map_err(Error::request("read the event stream's state"))?;
        let last = signed(stream.cached_info().state.last_sequence);
        for sequence in (after + 1..=last).take(WINDOW_MAX) {
            if let Last::Foreign(why) = stored(&stream, unsigned(sequence), key.as_ref()).await? {
                return Ok(Some((sequence, why)));
            }
        }
        Ok(None)
    }

    /// The event at `position` of the current generation, if one is there that proves to be hatch's own.
    ///
    /// # Errors
    /// When NATS cannot be asked.
    pub async fn event_at(&self, position: i64) -> Result<Option<Uuid>, Error> {
        let Some((generation, name)) = self.current_stream().await? else { return Ok(None) };
        let key = self.likely_key_of(generation);
        let stream = self.api()?.get_stream(name).await;
        let stream = stream.map_err(Error::request("read the event stream's state"))?;
        Ok(match stored(&stream, unsigned(position), key.as_ref()).await? {
            Last::Event { event_id, .. } => Some(event_id),
            Last::Empty | Last::Foreign(_) => None,
        })
    }

    /// Creates a generation whose first event is the one at `first_position`; the current one, if
    /// any, is deleted, and so is the one before under whatever subjects somebody has given it.
    ///
    /// # Errors
    /// When NATS cannot do it; the current generation may be gone already.
    pub async fn create_generation(
        &self,
        generation: i32,
        first_position: i64,
    ) -> Result<(), Error> {
        let api = self.api()?;
        for _ in 0..DELETIONS_MAX {
            let Some((_, name)) = self.current_stream().await? else { break };
            api.delete_stream(name)
                .await
                .map_err(Error::request("delete the event stream's older generation"))?;
        }
        // There may be none; where it cannot be deleted, its readers leave it all the same.
        let _ = api.delete_stream(self.stream_name(generation - 1)).await;
        let created = api.create_stream(self.config(generation, first_position)).await;
        created.map(drop).map_err(Error::request("create the event stream"))
    }

    /// What a generation's stream is to be.
    pub(crate) fn config(&self, generation: i32, first_position: i64) -> Config {
        Config {
            name: self.stream_name(generation),
            subjects: vec![subject::all(&self.settings().prefix)],
            description: Some("The log of hatch: sequence = position".to_owned()),
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            storage: StorageType::File,
            max_age: AGE_MAX,
            max_bytes: self.settings().stream_bytes_max,
            num_replicas: self.settings().replicas,
            first_sequence: Some(unsigned(first_position)),
            allow_direct: true,
            deny_delete: true,
            ..Config::default()
        }
    }

    /// The name of a generation's stream, such as `HATCH_EVENTS_1`.
    pub(crate) fn stream_name(&self, generation: i32) -> String {
        format!("{}{generation}", self.stream_name_start())
    }

    /// The generation that owns the subjects, and its stream's name.
    pub(crate) async fn current_stream(&self) -> Result<Option<(i32, String)>, Error> {
        let owner = self.api()?.stream_by_subject(subject::all(&self.settings().prefix)).await;
        let name = match owner {
            Ok(name) => name,
            Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::request("find the event stream")(error)),
        };
        let number = name.strip_prefix(&self.stream_name_start()).map(str::parse);
        match number {
            Some(Ok(generation)) => Ok(Some((generation, name))),
            _ => Err(Error::ForeignStream(name)),
        }
    }

    fn stream_name_start(&self) -> String {
        format!("{}_EVENTS_", self.settings().prefix.to_ascii_uppercase())
    }
}

/// Sequences are below 2^63: positions are, and sequences are positions.
pub(crate) fn signed(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

/// Positions are at least 0.
pub(crate) fn unsigned(position: i64) -> u64 {
    u64::try_from(position).unwrap_or(0)
}

/// What is stored at `sequence`.
async fn stored(stream: &Stream, sequence: u64, key: Option<&Key>) -> Result<Last, Error> {
    let message = match stream.get_raw_message(sequence).await {
        Ok(message) => message,
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
            return Ok(Last::Empty);
        }
        Err(error) => return Err(Error::request("read an event of the stream")(error)),
    };
    let claim = Claim {
        stream: &stream.cached_info().config.name,
        sequence: signed(sequence),
        subject: &message.subject,
        headers: &message.headers,
        payload: &message.payload,
    };
    Ok(match claim.verify(key) {
        Ok(Verified { position, event_id }) => Last::Event { position, event_id },
        Err(foreign) => Last::Foreign(foreign),
    })
}
