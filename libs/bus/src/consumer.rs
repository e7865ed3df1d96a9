//! The consumers of the current generation: a follower's own, and those that all processes share.

use std::sync::Arc;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{DeliverPolicy, PullConsumer};
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::stream::{ConsumerError, ConsumerErrorKind};
use futures::future::BoxFuture;

use crate::stream::unsigned;
use crate::{Bus, Error, Foreign, ForeignMessage};

/// Tells the position of the first event that a new queue hands out: the events before it are brought in another
/// way. None while that cannot be told; the queue asks again.
pub type Begin = Arc<dyn Fn() -> BoxFuture<'static, Option<i64>> + Send + Sync>;

/// A consumer as the server has it.
pub(crate) struct Created {
    pub(crate) generation: i32,
    pub(crate) stream: String,
    pub(crate) context: Context,
    pub(crate) consumer: PullConsumer,
}

/// The current generation, on which a consumer is made.
struct CurrentGeneration<'a> {
    bus: &'a Bus,
    generation: i32,
    stream: String,
    context: Context,
}

/// Why there is no consumer.
enum Refusal {
    /// One of this name was made in another way.
    Anothers(ConsumerError),
    Other(Error),
}

/// Creates a consumer for one reader.
pub(crate) async fn own(bus: &Bus, config: Config) -> Result<Created, Error> {
    let place = CurrentGeneration::current(bus).await?;
    match place.create(config).await {
        Ok(consumer) => Ok(place.with(consumer)),
        Err(refusal) => Err(place.refused(refusal)),
    }
}

/// Takes the named consumer that all processes share. Where the server has none, it is created and begins
/// where `begin` says, because nobody else knows how far it had come.
pub(crate) async fn shared(bus: &Bus, config: Config, begin: &Begin) -> Result<Created, Error> {
    let place = CurrentGeneration::current(bus).await?;
    let shared = match place.take_or_create(&config, begin).await {
        // Another process created it after this one had asked whether it is there.
        Err(Refusal::Anothers(_)) => place.take_or_create(&config, begin).await,
        taken => taken,
    };
    match shared {
        Ok(consumer) => Ok(place.with(consumer)),
        Err(refusal) => Err(place.refused(refusal)),
    }
}

/// The consumer begins with the event at `position`.
pub(crate) fn from(position: i64) -> DeliverPolicy {
    DeliverPolicy::ByStartSequence { start_sequence: unsigned(position).max(1) }
}

impl<'a> CurrentGeneration<'a> {
    async fn current(bus: &'a Bus) -> Result<Self, Error> {
        let (generation, stream) = bus.current_stream().await?.ok_or(Error::NoStream)?;
        Ok(Self { bus, generation, stream, context: bus.api()?.clone() })
    }

    async fn take_or_create(
        &self,
        config: &Config,
        begin: &Begin,
    ) -> Result<PullConsumer, Refusal> {
        let found = self.begins_at(config).await.map_err(Refusal::Other)?;
        let deliver_policy = match found {
            // Where it begins is the one thing that may differ from process to process.
            Some(policy @ DeliverPolicy::ByStartSequence { .. }) => policy,
            _ => from(begin().await.ok_or(Refusal::Other(Error::NoBeginning))?),
        };
        self.create(Config { deliver_policy, ..config.clone() }).await
    }

    /// Where the consumer of that name began; none when the server has no such consumer.
    async fn begins_at(&self, config: &Config) -> Result<Option<DeliverPolicy>, Error> {
        let name = config.durable_name.as_deref().unwrap_or_default();
        let stream = self.context.get_stream_no_info(&self.stream).await;
        let stream = stream.map_err(Error::request("find the event stream"))?;
        match stream.consumer_info(name).await {
            Ok(info) => Ok(Some(info.config.deliver_policy)),
            Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::request("ask for a consumer of the event stream")(error)),
        }
    }

    async fn create(&self, config: Config) -> Result<PullConsumer, Refusal> {
        let created = self.context.create_consumer_on_stream(config, &self.stream).await;
        created.map_err(|error| match error.kind() {
            // hatch makes each in one way, and the next generation has none yet.
            ConsumerErrorKind::JetStream(why) if why.to_string().contains("can not be updated") => {
                Refusal::Anothers(error)
            }
            _ => Refusal::Other(Error::request(CREATE)(error)),
        })
    }

    /// Says that a consumer is not hatch's own, if that is why.
    fn refused(&self, refusal: Refusal) -> Error {
        match refusal {
            Refusal::Anothers(error) => {
                let (generation, why) = (self.generation, Foreign::OtherWork);
                self.bus.met_foreign(ForeignMessage { generation, sequence: 0, why });
                Error::request(CREATE)(error)
            }
            Refusal::Other(error) => error,
        }
    }

    fn with(self, consumer: PullConsumer) -> Created {
        let Self { generation, stream, context, .. } = self;
        Created { generation, stream, context, consumer }
    }
}

/// The name that errors have for making a consumer.
const CREATE: &str = "create a consumer of the event stream";
