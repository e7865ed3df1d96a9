//! From what a webhook says to the log: all that one request says in as few appends as that takes,
//! together with its row of the webhook log.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::message::command::MessageCommand;
use hatch_eventstore::{
    Append, AppendError, ExecuteError, LogError, Metadata, Position, SideRow, UnitOfWork,
};
use hatch_providers::Observation;
use hatch_readmodel::{Content, WaitingReceipt, WebhookOutcome as Outcome};
use hatch_telemetry::{span, trace};
use tracing::Span;

use super::fitting::{Aside, set_aside};
use super::log::WebhookLogEntry;
use super::matching::KeptReceipt;
use super::meaning::{self, Command, Meaning};
use super::ownership::Elsewhere;
use super::repeated;
use super::summary::Summary;
use super::{WebhookAccount, Webhooks};
use crate::problem::Problem;

/// Streams, and rows of receipts that wait, that are appended at once. An append has room for few more.
const STREAMS_MAX: usize = 200;

/// What a webhook says of messages of other tenants than its account's.
type OfOthers = BTreeMap<TenantId, Vec<Observation>>;

/// Why an append did not happen.
pub(super) enum Failed {
    /// The log takes no such events, now or later.
    Refused(String),
    /// Anything else: the provider repeats the request.
    Problem(Problem),
}

impl From<AppendError> for Failed {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Refused(why) => Self::Refused(why),
            AppendError::ForeignTenant(_) | AppendError::ForeignKind(_) => {
                Self::Refused(error.to_string())
            }
            error => Self::Problem(error.into()),
        }
    }
}

impl<R: std::error::Error + 'static> From<ExecuteError<R>> for Failed {
    fn from(error: ExecuteError<R>) -> Self {
        match error {
            ExecuteError::Append(error) => error.into(),
            error => Self::Problem(error.into()),
        }
    }
}

impl From<LogError> for Failed {
    fn from(error: LogError) -> Self {
        Self::Problem(error.into())
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// One webhook on its way into the log.
pub(super) struct Recording<'a> {
    pub(super) webhooks: &'a Webhooks,
    pub(super) account: &'a WebhookAccount,
    /// The others of its tenants whom a word of consent in it concerns.
    pub(super) elsewhere: Vec<Elsewhere>,
    pub(super) entry: WebhookLogEntry,
    /// The body of a request that brings a mail, as it is kept.
    pub(super) raw: Option<Content>,
    pub(super) now: DateTime<Utc>,
    /// When it came first: before now, where it was kept and is read again.
    pub(super) said_at: DateTime<Utc>,
}

impl Recording<'_> {
    /// Records everything and says up to which position, and what that came to; none of it is answered for
    /// before all of it is committed. When it fails in the middle, the provider repeats the request, and
    /// what was recorded is a duplicate then.
    pub(super) async fn record(
        mut self,
        observations: Vec<Observation>,
    ) -> Result<(Position, Outcome), Problem> {
        let mut observations = self.set_aside(observations).await?;
        self.name_tenants(&mut observations).await?;
        for (n, observation) in observations.iter().enumerate() {
            self.describe(n == 0, observation);
        }
        let (observations, of_others, foreign) = self.apart(observations);
        let mut meanings = self.meanings(observations).await?;
        meanings.extend(foreign);
        self.describe_message(&meanings);
        self.name_raw(&mut meanings);
        let mut chunks = meaning::chunks(&meanings, STREAMS_MAX);
        // The row of a webhook that says nothing is kept as well.
        let last = chunks.pop().unwrap_or_default();
        let mut summary = Summary::default();
        let recorded = async {
            // Before the message is known, or a repeat after a failure would not say it again.
            self.tell_elsewhere(&meanings).await?;
            for (tenant_id, theirs) in of_others {
                self.record_of(tenant_id, theirs, &mut summary).await?;
            }
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

    /// What `observations` mean, each with what it means beside that.
    async fn meanings(&self, observations: Vec<Observation>) -> Result<Vec<Meaning>, Problem> {
        let mut meanings = Vec::with_capacity(observations.len());
        for observation in observations {
            let (meaning, more) = self.meaning(observation).await?;
            meanings.push(meaning);
            meanings.extend(more);
        }
        Ok(meanings)
    }

    /// `observations`, and apart from them those of messages of other tenants. An account may send for several; what
    /// the provider signed names the tenant that hatch had named to it. Of a tenant whose the account is not nothing is
    /// believed: whoever has the account's secret may have written it.
    fn apart(&self, observations: Vec<Observation>) -> (Vec<Observation>, OfOthers, Vec<Meaning>) {
        let (mut ours, mut of_others) = (Vec::with_capacity(observations.len()), OfOthers::new());
        let mut foreign = Vec::new();
        for observation in observations {
            let named = match &observation {
                Observation::Receipt(receipt) => receipt.correlation.map(|named| named.tenant_id),
                Observation::Inbound(_) | Observation::Unclear(_) => None,
            };
            match named.filter(|tenant_id| *tenant_id != self.account.tenant_id) {
                Some(tenant_id) if self.account.tenants.has(tenant_id) => {
                    of_others.entry(tenant_id).or_default().push(observation);
                }
                Some(_) => foreign.push(Meaning::Unclear(
                    "it names a message of a tenant that does not have the account".to_owned(),
                )),
                None => ours.push(observation),
            }
        }
        (ours, of_others, foreign)
    }

    /// The same webhook, for the tenant of `account`.
    pub(super) fn of<'a>(&'a self, account: &'a WebhookAccount) -> Recording<'a> {
        let (webhooks, entry, elsewhere) = (self.webhooks, self.entry.clone(), Vec::new());
        let (now, said_at) = (self.now, self.said_at);
        Recording { webhooks, account, elsewhere, entry, raw: None, now, said_at }
    }

    /// Records what another tenant's messages hear. The webhook's row stays with the tenant of the account.
    async fn record_of(
        &self,
        tenant_id: TenantId,
        observations: Vec<Observation>,
        summary: &mut Summary,
    ) -> Result<(), Failed> {
        let account = WebhookAccount { tenant_id, ..self.account.clone() };
        let theirs = self.of(&account);
        let meanings = theirs.meanings(observations).await?;
        for chunk in meaning::chunks(&meanings, STREAMS_MAX) {
            theirs.append(chunk, summary, false).await?;
        }
        Ok(())
    }

    /// Keeps what is too large for the log, before an event names it, and gives back what is left of `observations`.
    async fn set_aside(
        &mut self,
        mut observations: Vec<Observation>,
    ) -> Result<Vec<Observation>, Problem> {
        if !observations.iter().any(|one| matches!(one, Observation::Inbound(_))) {
            return Ok(observations);
        }
        let body = self.entry.whole_body.clone();
        let set_aside = move || {
            let aside = set_aside(&mut observations, &body);
            (observations, aside)
        };
        let Webhooks { readers, read_model, .. } = self.webhooks;
        let (observations, Aside { contents, raw }) =
            readers.read(self.entry.whole_body.len(), set_aside).await?;
        read_model.keep_contents(self.account.tenant_id, &contents).await?;
        self.raw = raw;
        Ok(observations)
    }

    /// Has the mails say from which request they can be read again.
    fn name_raw(&self, meanings: &mut [Meaning]) {
        let Some(digest) = self.raw.as_ref().map(Content::digest) else { return };
        for meaning in meanings {
            let Meaning::Tells(Command::Message { command, .. }) = meaning else { continue };
            let MessageCommand::Receive(received) = &mut **command else { continue };
            if let Some(email) = &mut received.email {
                email.raw = Some(digest.clone());
            }
        }
    }

    /// The mails among `meanings` that begin in `work`.
    fn begun(work: &UnitOfWork, meanings: &[Meaning]) -> Vec<MessageId> {
        let changed = work.changed();
        let mails = meaning::commands(meanings).filter_map(|command| match command {
            Command::Message { id, command, .. } => match &**command {
                MessageCommand::Receive(mail) if mail.email.is_some() => Some((*id, mail)),
                _ => None,
            },
            Command::Consent(_) => None,
        });
        let ids = mails.flat_map(|(id, mail)| [id, repeated::other_id(mail)]);
        ids.filter(|id| changed.iter().any(|(changed, _)| *changed == id.0)).collect()
    }

    /// Keeps the request that brings `mails` whole, before the events that name it.
    async fn keep_raw(&self, mails: &[MessageId]) -> Result<(), Problem> {
        let Some(raw) = self.raw.as_ref().filter(|_| !mails.is_empty()) else { return Ok(()) };
        let (tenant_id, mail) = (self.account.tenant_id, self.entry.raw_mail());
        Ok(self.webhooks.read_model.keep_raw_mail(tenant_id, mails, &mail, raw).await?)
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
            Meaning::Tells(command) => command.message_id().map(|id| id.0),
            Meaning::Own(id) => Some(id.0),
            Meaning::Nothing | Meaning::Waits(_) | Meaning::Unclear(_) => None,
        });
        let first = ids.next().flatten();
        // A mail that comes in is what the webhook is about, whatever else it tells.
        let comes_in = meanings.first().is_some_and(Meaning::is_inbound);
        self.entry.message_id = first.filter(|_| comes_in || ids.all(|id| id == first));
    }
}

impl Recording<'_> {
    /// Appends what `meanings` come to, with the webhook's row if they are the `last`.
    pub(super) async fn append(
        &self,
        meanings: &[Meaning],
        summary: &mut Summary,
        last: bool,
    ) -> Result<Position, Failed> {
        let webhooks = self.webhooks;
        let mut turns = webhooks.recent.take_turns(&meaning::told(meanings)).await;
        let (before, remembered) = (&*summary, &turns);
        // Each stream gets its own.
        let metadata = Metadata::default();
        let transacted = webhooks
            .store
            .transact(self.account.tenant_id.0, metadata, |mut work| async {
                remembered.offer(&mut work);
                meaning::commands(meanings).for_each(|command| command.assume(&mut work));
                let mut after = before.clone();
                self.decide(&mut work, meanings, &mut after).await?;
                if self.raw.is_some() {
                    let begun = Self::begun(&work, meanings);
                    self.keep_raw(&begun).await?;
                }
                if last {
                    if after.outcome() == Outcome::Quarantined {
                        self.keep_body().await?;
                    }
                    work.row(self.entry.row(after.outcome(), after.detail()));
                }
                self.attribute(&mut work);
                Ok::<_, Failed>((work, after))
            })
            .await?;
        let (after, mut streams) = (transacted.answer, transacted.streams);
        if last {
            self.count(after.outcome());
            for word in after.unanswered() {
                self.webhooks.stats.unanswered.of(&word.as_str()).increment();
            }
        }
        *summary = after;
        turns.keep(&mut streams);
        Ok(transacted.appended.map_or(Position::START, |appended| appended.last()))
    }

    /// Lets the streams decide on what `meanings` tell them, and counts what comes of it.
    async fn decide(
        &self,
        work: &mut UnitOfWork,
        meanings: &[Meaning],
        summary: &mut Summary,
    ) -> Result<(), Failed> {
        let unreadable = meaning::load(work, meanings).await?;
        for meaning in meanings {
            match meaning {
                Meaning::Nothing => summary.ignored(),
                Meaning::Tells(command) => {
                    match command.streams().find_map(|id| unreadable.get(&id)) {
                        Some(why) => summary.unclear(why),
                        None => summary.decided(command.decide(work).await?),
                    }
                }
                Meaning::Own(id) => summary.own(*id),
                Meaning::Unclear(reason) => summary.unclear(reason),
                Meaning::Waits(receipt) => {
                    summary.waits(receipt);
                    work.row(self.waiting(receipt));
                }
            }
        }
        Ok(())
    }

    /// Says of each stream that changes who changed it, and in which trace.
    fn attribute(&self, work: &mut UnitOfWork) {
        let provider = self.account.provider;
        let mut changed = work.changed();
        changed.sort_unstable();
        for (id, traceparent) in changed {
            let span = match &traceparent {
                // Part of the message's trace, not of the one that the request began.
                Some(traceparent) => {
                    let span = span!("receipt", otel.kind = "consumer", provider, message_id = %id);
                    trace::set_parent(&span, Some(traceparent));
                    trace::link_to_current(&span);
                    span
                }
                None => Span::current(),
            };
            let metadata = Metadata {
                correlation_id: id,
                actor: format!("webhook:{provider}"),
                traceparent: match traceparent.filter(|_| span.is_disabled()) {
                    None => span.in_scope(trace::current),
                    carried => carried,
                },
                ..Metadata::default()
            };
            work.attribute(id, metadata, span);
        }
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
