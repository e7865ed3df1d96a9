//! `POST /api/v1/webhooks/{provider}`: verify, understand, record, and only then answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::uri::PathAndQuery;
use axum::response::Response;
use hatch_domain::Decider;
use hatch_domain::conversation::conversation_id;
use hatch_domain::ids::MessageId;
use hatch_domain::message::command::{
    MessageCommand, MessageRejection, ReceiptOutcome as Told, RecordReceipt,
};
use hatch_domain::message::event::MessageReceived;
use hatch_domain::message::{Message, inbound_message_id};
use hatch_eventstore::{Append, AppendError, Execute, ExecuteError, Known, Loaded, Metadata};
use hatch_providers::{Inbound, Observation, RawRequest, Receipt, ReceiptOutcome, Verified};
use hatch_telemetry::{span, trace};

use super::log::{Entry, Outcome};
use super::{Account, Webhooks};
use crate::Problem;
use crate::extract::read_body;

/// Bytes of a webhook about a phone message at most; Twilio's are a few kilobytes.
const BODY_BYTES_MAX: usize = 256 * 1024;

pub(super) async fn handler(
    State(webhooks): State<Arc<Webhooks>>,
    Path(provider): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let asked = request.uri().path_and_query().cloned();
    let path_and_query = asked.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let body = read_body(request, &()).await?;
    if body.len() > BODY_BYTES_MAX {
        return Err(Problem::too_large(BODY_BYTES_MAX));
    }
    let raw = RawRequest { method, path_and_query, headers, body };
    webhooks.receive(&provider, &raw).await
}

/// One webhook on its way through.
struct Incoming<'a> {
    webhooks: &'a Webhooks,
    account: &'a Account,
    entry: Entry,
}

impl Webhooks {
    async fn receive(&self, provider: &str, raw: &RawRequest) -> Result<Response, Problem> {
        let accounts: Vec<&Account> =
            self.accounts.iter().filter(|account| account.provider == provider).collect();
        let first = *accounts.first().ok_or_else(|| Problem::not_found("provider account"))?;
        let mut refusal = None;
        for account in accounts {
            match account.webhook.verify(raw) {
                Ok(verified) => return self.believe(account, raw, &verified).await,
                Err(error) => refusal = Some(error),
            }
        }
        let detail = refusal.map_or_else(String::new, |error| format!("failed to {error}"));
        tracing::warn!(provider, detail, "webhook refused");
        let incoming = self.incoming(first, raw);
        incoming.keep(Outcome::RejectedSignature, Some(detail.clone())).await?;
        Err(Problem::wrong_signature(detail))
    }

    async fn believe(
        &self,
        account: &Account,
        raw: &RawRequest,
        verified: &Verified<'_>,
    ) -> Result<Response, Problem> {
        let mut incoming = self.incoming(account, raw);
        match account.webhook.parse(verified) {
            Ok(observations) => {
                for observation in observations {
                    incoming.observe(observation).await?;
                }
            }
            Err(error) => incoming.quarantine(chain(&error)).await?,
        }
        Ok(account.webhook.success().map(Body::from))
    }

    fn incoming<'a>(&'a self, account: &'a Account, raw: &RawRequest) -> Incoming<'a> {
        let environment = self.store.environment();
        let (id, now) = (environment.new_id(), environment.now());
        let entry = Entry::new(id, account.tenant_id.0, account.provider, raw, now);
        Incoming { webhooks: self, account, entry }
    }
}

impl Incoming<'_> {
    async fn observe(&mut self, observation: Observation) -> Result<(), Problem> {
        match observation {
            Observation::Receipt(receipt) => self.receipt(receipt).await,
            Observation::Inbound(inbound) => self.inbound(inbound).await,
        }
    }

    async fn receipt(&mut self, receipt: Receipt) -> Result<(), Problem> {
        self.entry.kind = Some("status");
        self.entry.account = Some(receipt.account.clone());
        self.entry.provider_message_id = Some(receipt.provider_message_id.clone());
        let outcome = match receipt.outcome.clone() {
            ReceiptOutcome::Progress => {
                return self.keep(Outcome::Ignored, None).await;
            }
            ReceiptOutcome::Sent => Told::Sent,
            ReceiptOutcome::Delivered => Told::Delivered,
            ReceiptOutcome::Read => Told::Read,
            ReceiptOutcome::Undelivered(error) => Told::Undelivered(error),
            ReceiptOutcome::Failed(error) => Told::Failed(error),
        };
        let Some((message_id, attempt)) = self.message_of(&receipt).await? else {
            return self.quarantine("find the message that it speaks of".to_owned()).await;
        };
        self.entry.message_id = Some(message_id.0);
        let command = MessageCommand::RecordReceipt(RecordReceipt {
            attempt: Some(attempt),
            provider_message_id: receipt.provider_message_id,
            receipt_id: receipt.receipt_id,
            outcome,
            at: self.webhooks.store.environment().now(),
        });
        let loaded =
            self.webhooks.store.load_traced(self.account.tenant_id.0, message_id.0).await?;
        let Loaded { state, version, traceparent } = loaded;
        // Part of the message's trace, not of the one that the provider's request began.
        let provider = self.account.provider;
        let span = span!("receipt", otel.kind = "consumer", provider, %message_id, attempt);
        trace::link_to_current(&span);
        let recorded = self.execute(message_id, &command, (state, version));
        trace::within(span, traceparent.as_deref(), recorded).await
    }

    /// Our ids come back with the receipt; one without them is found by the provider's id, once
    /// that is known.
    async fn message_of(&self, receipt: &Receipt) -> Result<Option<(MessageId, u32)>, Problem> {
        if let Some(correlation) = receipt.correlation {
            let ours = correlation.tenant_id == self.account.tenant_id;
            return Ok(ours.then_some((correlation.message_id, correlation.attempt)));
        }
        let Account { tenant_id, provider, .. } = self.account;
        let (account, id) = (receipt.account.as_str(), receipt.provider_message_id.as_str());
        let found =
            self.webhooks.read_model.sent_as(*tenant_id, provider, Some(account), id).await?;
        Ok(found.map(|sent| (sent.message_id, sent.attempt)))
    }

    async fn inbound(&mut self, inbound: Inbound) -> Result<(), Problem> {
        let Account { tenant_id, provider, .. } = *self.account;
        let Inbound {
            account,
            provider_message_id,
            channel,
            from,
            to,
            body,
            attachments,
            email,
            segments,
        } = inbound;
        let message_id = inbound_message_id(provider, &account, &provider_message_id);
        self.entry.kind = Some("message");
        self.entry.account = Some(account.clone());
        self.entry.provider_message_id = Some(provider_message_id.clone());
        self.entry.message_id = Some(message_id.0);
        let participants = std::iter::once(&from).chain(&to);
        let command = MessageCommand::Receive(MessageReceived {
            conversation_id: conversation_id(tenant_id, participants, None),
            channel,
            provider: provider.to_owned(),
            account,
            provider_message_id,
            from,
            to,
            body,
            attachments,
            email,
            topic: None,
            segments,
            at: self.webhooks.store.environment().now(),
        });
        self.execute(message_id, &command, (Message::default(), 0)).await
    }

    /// Records what the webhook says together with its row of the log.
    async fn execute(
        &self,
        message_id: MessageId,
        command: &MessageCommand,
        known: (Message, i64),
    ) -> Result<(), Problem> {
        let (message, version) = known;
        let outcome = match message.decide(command) {
            Ok(events) if events.is_empty() => Outcome::Duplicate,
            _ => Outcome::Applied,
        };
        let executed = self
            .webhooks
            .store
            .execute::<Message>(Execute {
                tenant_id: self.account.tenant_id.0,
                stream_id: message_id.0,
                command,
                known: Known::At(message, version),
                metadata: Metadata {
                    correlation_id: message_id.0,
                    actor: format!("webhook:{}", self.account.provider),
                    ..Metadata::default()
                },
                key: None,
                guards: Vec::new(),
                side_rows: vec![self.entry.row(outcome, None)],
            })
            .await;
        match executed {
            Ok(_) => {
                self.count(outcome);
                Ok(())
            }
            Err(ExecuteError::Rejected(MessageRejection::Exists)) => {
                self.keep(Outcome::Duplicate, None).await
            }
            Err(ExecuteError::Rejected(rejection)) => self.quarantine(rejection.to_string()).await,
            Err(ExecuteError::Append(AppendError::Refused(why))) => self.quarantine(why).await,
            Err(error) => Err(error.into()),
        }
    }

    async fn quarantine(&self, detail: String) -> Result<(), Problem> {
        let provider = self.account.provider;
        tracing::warn!(provider, detail, "webhook quarantined");
        self.keep(Outcome::Quarantined, Some(detail)).await
    }

    /// Commits a row without events.
    async fn keep(&self, outcome: Outcome, detail: Option<String>) -> Result<(), Problem> {
        let row = self.entry.row(outcome, detail);
        let append = Append { side_rows: vec![row], ..Append::default() };
        self.webhooks.store.appender().append(append).await?;
        self.count(outcome);
        Ok(())
    }

    fn count(&self, outcome: Outcome) {
        let label = (self.account.provider, outcome.as_str());
        self.webhooks.stats.observations.of(&label).increment();
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
