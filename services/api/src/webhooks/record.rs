//! From what a webhook says to the log: all that one request says in as few appends as that takes,
//! together with its row of the webhook log.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use hatch_domain::authentication::UNPROVEN_TOPIC;
use hatch_domain::conversation::conversation_id;
use hatch_domain::ids::{ConversationId, MessageId};
use hatch_domain::message::command::{
    MessageCommand, MessageRejection, ReceiptOutcome as Told, RecordReceipt,
};
use hatch_domain::message::event::{MessageEvent, MessageReceived};
use hatch_domain::message::{Message, inbound_message_id};
use hatch_domain::{Decider, DecodeError, Email};
use hatch_eventstore::{
    Append, AppendError, ExecuteError, ExpectedVersion, Loaded, Metadata, Position, SideRow,
    StreamWrite,
};
use hatch_providers::{Inbound, Observation, Receipt, ReceiptOutcome};
use hatch_readmodel::{SentAs, WaitingReceipt, WebhookOutcome as Outcome};
use hatch_telemetry::{span, trace};
use tracing::{Instrument, Span};

use super::fitting::{fit, is_too_large};
use super::log::Entry;
use super::matching::KeptReceipt;
use super::receive::failure;
use super::recent::Turns;
use super::summary::Summary;
use super::threading::{Reference, references};
use super::{Account, Webhooks};
use crate::Problem;

/// Observations that are appended at once. An append has room for few more streams.
const OBSERVATIONS_MAX: usize = 200;

/// Streams that are read at once.
const LOADS_MAX: usize = 8;

/// How often an append is decided at most; each time but the first after a conflict.
const DECISIONS_MAX: usize = 8;

/// Why an append did not happen.
enum Failed {
    /// The log takes no such events, now or later.
    Refused(String),
    /// Anything else: the provider repeats the request.
    Problem(Problem),
}

impl<P: Into<Problem>> From<P> for Failed {
    fn from(problem: P) -> Self {
        Self::Problem(problem.into())
    }
}

/// One webhook on its way into the log.
pub(super) struct Recording<'a> {
    pub(super) webhooks: &'a Webhooks,
    pub(super) account: &'a Account,
    pub(super) entry: Entry,
    pub(super) now: DateTime<Utc>,
}

/// What an observation means for the log.
enum Meaning {
    /// Nothing.
    Nothing,
    /// A message hears of it.
    Tells { message_id: MessageId, command: Box<MessageCommand> },
    /// A message will hear of it, once it is known which.
    Waits(KeptReceipt),
    /// Nobody can say, for this reason.
    Unclear(String),
}

/// A message that an observation is about, and what it has decided so far.
#[derive(Default)]
struct Stream {
    /// Until it is taken to be recorded.
    before: Message,
    version: i64,
    /// Of the request that the message began with.
    traceparent: Option<String>,
    now: Message,
    events: Vec<MessageEvent>,
    /// Why what it has decided so far cannot be read: a newer build wrote some of it.
    unreadable: Option<String>,
}

impl Recording<'_> {
    /// Records everything and says up to which position, and what that came to; none of it is answered for
    /// before all of it is committed. When it fails in the middle, the provider repeats the request, and
    /// what was recorded is a duplicate then.
    pub(super) async fn record(
        mut self,
        observations: Vec<Observation>,
    ) -> Result<(Position, Outcome), Problem> {
        let mut meanings = Vec::with_capacity(observations.len());
        if observations.iter().any(is_too_large) {
            self.keep_body().await?;
        }
        for (n, observation) in observations.into_iter().enumerate() {
            self.describe(n == 0, &observation);
            meanings.push(self.meaning(observation).await?);
        }
        self.describe_message(&meanings);
        let mut chunks: Vec<&[Meaning]> = meanings.chunks(OBSERVATIONS_MAX).collect();
        // The row of a webhook that says nothing is kept as well.
        let last = chunks.pop().unwrap_or_default();
        let mut summary = Summary::default();
        let recorded = async {
            for chunk in chunks {
                self.append(chunk, &mut summary, false).await?;
            }
            self.append(last, &mut summary, true).await
        };
        match recorded.await {
            Ok(position) => Ok((position, summary.outcome())),
            Err(Failed::Refused(why)) => {
                // What would have begun with it does not exist.
                self.entry.message_id = None;
                Ok((self.quarantine(why).await?, Outcome::Quarantined))
            }
            Err(Failed::Problem(problem)) => Err(problem),
        }
    }

    /// Keeps the webhook's row without an event, because nobody can say what it means.
    pub(super) async fn quarantine(&self, detail: String) -> Result<Position, Problem> {
        let provider = self.account.provider;
        tracing::warn!(provider, detail, "webhook quarantined");
        self.keep_body().await?;
        let position = self.keep(Outcome::Quarantined, Some(detail)).await?;
        self.count(Outcome::Quarantined);
        Ok(position)
    }

    /// Keeps the body whole, where the row holds a part of it: first, so that there is no row without.
    async fn keep_body(&self) -> Result<(), Problem> {
        if self.entry.is_whole() {
            return Ok(());
        }
        let (id, body) = (self.entry.id, &self.entry.whole_body);
        Ok(self.webhooks.read_model.keep_webhook_body(id, body).await?)
    }

    /// Commits the row of a webhook that is refused for `reason`.
    pub(super) async fn keep_refused(&self, reason: &str) -> Result<(), Problem> {
        let detail = match &self.entry.cut {
            Some(cut) => format!("{reason}; {cut}"),
            None => reason.to_owned(),
        };
        self.keep(Outcome::RejectedSignature, Some(detail)).await?;
        Ok(())
    }

    /// Commits the webhook's row without events.
    async fn keep(&self, outcome: Outcome, detail: Option<String>) -> Result<Position, Problem> {
        let append =
            Append { side_rows: vec![self.entry.row(outcome, detail)], ..Append::default() };
        Ok(self.webhooks.store.appender().append(append).await?.last())
    }

    fn count(&self, outcome: Outcome) {
        let label = (self.account.provider, outcome.as_str());
        self.webhooks.stats.observations.of(&label).increment();
    }
}

impl Recording<'_> {
    /// Fills the columns of the log's row that say what the webhook is about. With several
    /// observations they say what all have in common.
    fn describe(&mut self, first: bool, observation: &Observation) {
        let (kind, account, provider_message_id) = match observation {
            Observation::Receipt(r) => ("status", &r.account, &r.provider_message_id),
            Observation::Inbound(i) => {
                let kind = if i.email.is_some() { "email" } else { "message" };
                (kind, &i.account, &i.provider_message_id)
            }
            Observation::Unclear(_) => return,
        };
        let entry = &mut self.entry;
        let common = |known: &Option<String>, this: &String| {
            (first || known.as_ref() == Some(this)).then(|| this.clone())
        };
        entry.kind = (first || entry.kind == Some(kind)).then_some(kind);
        entry.account = common(&entry.account, account);
        entry.provider_message_id = common(&entry.provider_message_id, provider_message_id);
    }

    fn describe_message(&mut self, meanings: &[Meaning]) {
        let mut ids = meanings.iter().map(|meaning| match meaning {
            Meaning::Tells { message_id, .. } => Some(message_id.0),
            Meaning::Nothing | Meaning::Waits(_) | Meaning::Unclear(_) => None,
        });
        let first = ids.next().flatten();
        self.entry.message_id = first.filter(|_| ids.all(|id| id == first));
    }

    async fn meaning(&self, observation: Observation) -> Result<Meaning, Problem> {
        match observation {
            Observation::Receipt(receipt) => self.receipt(receipt).await,
            Observation::Inbound(inbound) => self.inbound(inbound).await,
            Observation::Unclear(error) => Ok(Meaning::Unclear(failure(&error))),
        }
    }

    async fn receipt(&self, receipt: Receipt) -> Result<Meaning, Problem> {
        let outcome = match receipt.outcome.clone() {
            ReceiptOutcome::Progress => return Ok(Meaning::Nothing),
            ReceiptOutcome::Sent => Told::Sent,
            ReceiptOutcome::Delivered => Told::Delivered,
            ReceiptOutcome::Read => Told::Read,
            ReceiptOutcome::Undelivered(error) => Told::Undelivered(error),
            ReceiptOutcome::Failed(error) => Told::Failed(error),
        };
        let Some(SentAs { message_id, attempt }) = self.message_of(&receipt).await? else {
            let Receipt { account, provider_message_id, receipt_id, .. } = receipt;
            if !self.webhooks.keeping.admits_waiting(self.account.provider) {
                return Ok(Meaning::Unclear(format!(
                    "no message is known by the provider's name {provider_message_id} yet, and no more \
                     receipts can wait for theirs: replay it when it is known"
                )));
            }
            let kept = KeptReceipt::new(account, provider_message_id, receipt_id, outcome);
            return Ok(Meaning::Waits(kept));
        };
        let command = Box::new(MessageCommand::RecordReceipt(RecordReceipt {
            attempt: Some(attempt),
            provider_message_id: receipt.provider_message_id,
            receipt_id: receipt.receipt_id,
            outcome,
            at: self.now,
        }));
        Ok(Meaning::Tells { message_id, command })
    }

    /// Our ids come back with the receipt; one without them is found by the provider's id, once that
    /// is known.
    async fn message_of(&self, receipt: &Receipt) -> Result<Option<SentAs>, Problem> {
        let Account { tenant_id, provider, .. } = self.account;
        if let Some(correlation) = receipt.correlation.filter(|c| c.tenant_id == *tenant_id) {
            let (message_id, attempt) = (correlation.message_id, correlation.attempt);
            return Ok(Some(SentAs { message_id, attempt }));
        }
        let (account, id) = (receipt.account.as_str(), receipt.provider_message_id.as_str());
        Ok(self.webhooks.read_model.sent_as(*tenant_id, provider, Some(account), id).await?)
    }

    async fn inbound(&self, mut inbound: Inbound) -> Result<Meaning, Problem> {
        fit(&mut inbound);
        let Account { tenant_id, provider, .. } = *self.account;
        let Inbound { account, provider_message_id, channel, .. } = &inbound;
        let message_id = inbound_message_id(provider, account, *channel, provider_message_id);
        let joined = match &inbound.email {
            Some(email) => self.thread(email).await?,
            None => None,
        };
        let (conversation_id, topic) = joined.unwrap_or_else(|| {
            let topic = inbound.email.as_ref().filter(|email| email.is_disproven());
            let topic = topic.map(|_| UNPROVEN_TOPIC.to_owned());
            let participants = std::iter::once(&inbound.from).chain(&inbound.to);
            (conversation_id(tenant_id, participants, topic.as_deref()), topic)
        });
        for of in inbound.email.iter().flat_map(|email| email.cut.keys()) {
            self.webhooks.stats.cut.of(of).increment();
        }
        let command = Box::new(MessageCommand::Receive(MessageReceived {
            conversation_id,
            channel: inbound.channel,
            provider: provider.to_owned(),
            account: inbound.account,
            provider_message_id: inbound.provider_message_id,
            from: inbound.from,
            to: inbound.to,
            body: inbound.body,
            attachments: inbound.attachments,
            email: inbound.email,
            topic,
            segments: inbound.segments,
            at: self.now,
        }));
        Ok(Meaning::Tells { message_id, command })
    }

    /// The conversation that a mail joins because of what it refers to, with its topic. One that is not from
    /// whom it says joins by naming a mail of ours only: what others call theirs, many know.
    async fn thread(
        &self,
        email: &Email,
    ) -> Result<Option<(ConversationId, Option<String>)>, Problem> {
        let tenant_id = self.account.tenant_id;
        for reference in references(email) {
            let mail_id = match reference {
                Reference::Ours { message_id, conversation_id, name } => {
                    let loaded = self.webhooks.store.load(tenant_id.0, message_id.0).await;
                    let (message, _): (Message, i64) = match loaded {
                        // By what a newer build says of it nobody can be told anything.
                        Err(ExecuteError::Decode(_)) => Default::default(),
                        loaded => loaded?,
                    };
                    let ours = message.requested().filter(|r| r.conversation_id == conversation_id);
                    if let Some(requested) = ours {
                        return Ok(Some((conversation_id, requested.topic.clone())));
                    }
                    name
                }
                Reference::Theirs(mail_id) => mail_id,
            };
            if email.is_disproven() {
                continue;
            }
            let read_model = &self.webhooks.read_model;
            if let Some(id) = read_model.conversation_of_mail(tenant_id, mail_id).await? {
                return Ok(Some((id, None)));
            }
        }
        Ok(None)
    }
}

/// The messages that receipts among `meanings` are about, each once and in order.
fn told(meanings: &[Meaning]) -> Vec<MessageId> {
    let mut ids: Vec<MessageId> = meanings
        .iter()
        .filter_map(|meaning| match meaning {
            Meaning::Tells { message_id, command } if !is_inbound(command) => Some(*message_id),
            _ => None,
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The messages that came in.
fn brought_in(meanings: &[Meaning]) -> impl Iterator<Item = MessageId> {
    meanings.iter().filter_map(|meaning| match meaning {
        Meaning::Tells { message_id, command } if is_inbound(command) => Some(*message_id),
        _ => None,
    })
}

const fn is_inbound(command: &MessageCommand) -> bool {
    matches!(command, MessageCommand::Receive(_))
}

impl Recording<'_> {
    /// Appends what `meanings` come to, with the webhook's row if they are the `last`.
    async fn append(
        &self,
        meanings: &[Meaning],
        summary: &mut Summary,
        last: bool,
    ) -> Result<Position, Failed> {
        let mut decisions = 1;
        let mut turns = self.webhooks.recent.take_turns(&told(meanings)).await;
        loop {
            let (mut streams, recalled) = self.load(meanings, decisions == 1, &turns).await?;
            let mut after = summary.clone();
            let mut side_rows = Vec::new();
            for meaning in meanings {
                match meaning {
                    Meaning::Nothing => after.ignored(),
                    Meaning::Tells { message_id, command } => {
                        let stream = streams.entry(*message_id).or_default();
                        match &stream.unreadable {
                            Some(why) => after.unclear(why),
                            None => after.decided(stream.decide(command)),
                        }
                    }
                    Meaning::Unclear(reason) => after.unclear(reason),
                    Meaning::Waits(receipt) => {
                        after.waits(receipt);
                        side_rows.push(self.waiting(receipt));
                    }
                }
            }
            if recalled && !streams.values().all(Stream::has_changed) {
                turns.forget();
                continue;
            }
            if last {
                if after.outcome() == Outcome::Quarantined {
                    self.keep_body().await?;
                }
                side_rows.push(self.entry.row(after.outcome(), after.detail()));
            }
            let (writes, spans) = self.writes(&mut streams);
            let append = Append { writes, side_rows, ..Append::default() };
            // One append stands in the trace of one message only: of the first that it is about.
            let span = spans.first().cloned().unwrap_or_else(Span::current);
            match self.webhooks.store.appender().append(append).instrument(span).await {
                Ok(appended) => {
                    if last {
                        self.count(after.outcome());
                    }
                    *summary = after;
                    for (id, stream) in streams.into_iter().filter(|(_, s)| s.unreadable.is_none())
                    {
                        turns.remember(id, stream.appended());
                    }
                    return Ok(appended.last());
                }
                Err(AppendError::Conflict { .. }) if decisions < DECISIONS_MAX => {
                    decisions += 1;
                    turns.forget();
                }
                Err(AppendError::Refused(why)) => return Err(Failed::Refused(why)),
                Err(
                    foreign @ (AppendError::ForeignTenant(_) | AppendError::ForeignKind(_)),
                ) => return Err(Failed::Refused(foreign.to_string())),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The streams that `meanings` are about, and whether any of them was recalled instead of read.
    /// What comes in is taken to be `new` at first: if it is not, the append says so.
    async fn load(
        &self,
        meanings: &[Meaning],
        new: bool,
        turns: &Turns,
    ) -> Result<(BTreeMap<MessageId, Stream>, bool), Problem> {
        let mut ids = told(meanings);
        if !new {
            ids.extend(brought_in(meanings));
        }
        let recall = |id| Some((id, Stream::new(turns.recall(id)?.clone())));
        let mut streams: BTreeMap<_, _> = ids.iter().copied().filter_map(recall).collect();
        let recalled = !streams.is_empty();
        ids.retain(|id| !streams.contains_key(id));
        let loads = ids.into_iter().map(|id| async move {
            let loaded = self.webhooks.store.load_traced(self.account.tenant_id.0, id.0).await;
            let stream = match loaded {
                Err(ExecuteError::Decode(error)) => Stream::unreadable(id, &error),
                loaded => Stream::new(loaded?),
            };
            Ok::<_, Problem>((id, stream))
        });
        let read: Vec<_> = stream::iter(loads).buffer_unordered(LOADS_MAX).try_collect().await?;
        streams.extend(read);
        Ok((streams, recalled))
    }

    /// What is to be written, and spans of the messages' traces, to be closed when it is.
    fn writes(&self, streams: &mut BTreeMap<MessageId, Stream>) -> (Vec<StreamWrite>, Vec<Span>) {
        let changed = streams.iter_mut().filter(|(_, stream)| stream.has_changed());
        changed
            .map(|(id, stream)| {
                let provider = self.account.provider;
                let span = match &stream.traceparent {
                    // Part of the message's trace, not of the one that the request began.
                    Some(traceparent) => {
                        let span =
                            span!("receipt", otel.kind = "consumer", provider, message_id = %id);
                        trace::set_parent(&span, Some(traceparent));
                        trace::link_to_current(&span);
                        span
                    }
                    None => Span::current(),
                };
                let metadata = Metadata {
                    correlation_id: id.0,
                    actor: format!("webhook:{provider}"),
                    traceparent: match stream.traceparent.clone().filter(|_| span.is_disabled()) {
                        None => span.in_scope(trace::current),
                        carried => carried,
                    },
                    ..Metadata::default()
                };
                let store = &self.webhooks.store;
                let before = std::mem::take(&mut stream.before);
                let (_, events) = store.record(before, &stream.events, &metadata);
                let write = StreamWrite {
                    stream_id: id.0,
                    tenant_id: self.account.tenant_id.0,
                    expected: match stream.version {
                        0 => ExpectedVersion::NoStream,
                        version => ExpectedVersion::Exact(version),
                    },
                    events,
                };
                (write, span)
            })
            .unzip()
    }

    /// The row of a receipt that waits.
    fn waiting(&self, receipt: &KeptReceipt) -> SideRow {
        let values = [
            self.webhooks.store.environment().new_id().to_string(),
            self.entry.id.to_string(),
            self.account.tenant_id.to_string(),
            self.account.provider.to_owned(),
            receipt.account.clone(),
            receipt.provider_message_id.clone(),
            serde_json::to_string(receipt).expect("a receipt serialises"),
            self.now.to_rfc3339(),
            self.now.to_rfc3339(),
        ];
        SideRow { table: WaitingReceipt::TABLE, values: values.map(Some).into() }
    }
}

impl Stream {
    fn new(Loaded { state, version, traceparent }: Loaded<Message>) -> Self {
        let (before, now) = (state.clone(), state);
        Self { before, version, traceparent, now, ..Self::default() }
    }

    /// The stream of `id`, of which this build cannot read all. What a webhook says about it is kept, for a build
    /// that can.
    fn unreadable(id: MessageId, error: &DecodeError) -> Self {
        let why =
            format!("message {id} cannot be read by this build: {error}; replay it by a newer one");
        tracing::error!(message_id = %id, error = %error, "a message cannot be read: its webhook is kept");
        Self { unreadable: Some(why), ..Self::default() }
    }

    const fn has_changed(&self) -> bool {
        !self.events.is_empty()
    }

    /// The stream with its events in the log.
    fn appended(self) -> Loaded<Message> {
        let version = self.version + i64::try_from(self.events.len()).unwrap_or(i64::MAX);
        Loaded { state: self.now, version, traceparent: self.traceparent }
    }

    fn decide(&mut self, command: &MessageCommand) -> Result<usize, MessageRejection> {
        let events = self.now.decide(command)?;
        for event in &events {
            self.now = std::mem::take(&mut self.now).evolve(event);
        }
        let count = events.len();
        self.events.extend(events);
        Ok(count)
    }
}
