//! Configuration: `hatch.toml` overlaid by `HATCH_` environment variables.
//!
//! Nested keys take `__` in the environment (`HATCH_BUS__PREFIX`), and any text may be given
//! as a file (`HATCH_DATABASE_URL_FILE=/run/secrets/url`). An unknown key or a bad value stops the
//! start with the key's name and what was expected.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use chrono::TimeDelta;
use hatch_api::webhooks::KeepRules;
use hatch_dispatcher::{BalanceSettings, BreakerRules, DoubtPolicy, RetryPolicy};
use hatch_providers::{Secret, generic};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) mod accounts;
mod authentication;
mod environment;
mod listener;
mod load;
mod master_key;
mod pools;
mod rate_limits;
#[cfg(test)]
mod reference;
mod refusal;
mod routes;
mod secret_file;
mod sections;
mod tokens;
mod trail;

pub use accounts::{AccountSettings, AccountsByName};
pub use authentication::Authentication;
pub use listener::{CorsSettings, TlsSettings};
pub use pools::{PoolSenderSettings, PoolSettings};
pub use rate_limits::RateLimitSettings;
pub use routes::{RouteAccount, RouteSettings};
pub use tokens::{JwtAlgorithm, JwtSettings, OidcSettings};
pub use trail::{AuditSettings, RequestLogSettings};

/// Names the simulator's URL in the children of `up --split`, which work as `up` does.
pub(crate) const DEVELOPMENT: &str = "HATCH_DEVELOPMENT_SIMULATOR";

/// Where `up` keeps a master key of its own, in its data folder.
pub(crate) const MASTER_KEY_OF_UP: &str = "master.key";

/// Everything that can be set, beside the sections of providers. What is unknown is refused before.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// PostgreSQL 15 or newer: a `postgres://` URL or `key=value` pairs, with libpq's `sslmode` and what
    /// belongs to it (`docs/tls.md`). `up` starts one of its own where this is not set.
    pub database_url: Option<String>,
    /// By what name the database's server counts as the same one. Default: the hosts of
    /// `database_url`. Processes that reach the server by different names, such as by a connection pooler, must all
    /// set the same value, or the fence closes for all but the first.
    pub database_host: Option<String>,
    /// The name of this installation, such as `production`: a copy of its database that another
    /// installation starts on sends nothing until it is told to.
    pub deployment: Option<String>,
    /// nats-server 2.10 or newer: `nats://` or `tls://`, host and port, several with commas between them.
    /// User and password, or a token as the user, may stand in it. `up` starts one of its own where this is
    /// not set.
    pub nats_url: Option<String>,
    /// What has to be so before NATS is believed, and how it knows hatch. The files are read again for
    /// each connection.
    pub nats: NatsSettings,
    /// Address and port of the HTTP interface.
    pub listen: String,
    /// The certificate that `serve` shows to clients. Without one it speaks HTTP in the clear, for a proxy before it.
    pub tls: TlsSettings,
    /// Whether clients have to say who they are. `off` lets everybody in who reaches `listen`, so it is refused for an
    /// address beyond the loopback's.
    pub authentication: Authentication,
    /// Address and port of the provider simulator that `up` starts.
    pub simulator_listen: String,
    /// Where the outside reaches `listen`: providers send their webhooks there, and signatures are
    /// checked against it. Default: `http://`, or `https://` with `tls.certificate_file`, and `listen`, which no
    /// provider reaches: an account at a real provider needs another.
    pub public_url: Option<String>,
    /// Names beside that of `public_url` and the loopback's that requests may be made to (`Host`), such as those of
    /// a tunnel: requests to any other are refused, but for signed webhooks. Default: none.
    pub hosts: Vec<String>,
    /// Proxies in front of hatch, as addresses or networks such as `10.0.0.0/8`: what they say in
    /// `X-Forwarded-For` is the address of the client. Nobody's `X-Forwarded-Host`, `X-Forwarded-Proto` or `Forwarded`
    /// counts. Default: none.
    pub trusted_proxies: Vec<String>,
    /// Which pages of other origins may ask the API from a browser.
    pub cors: CorsSettings,
    /// How much of a process clients may take.
    pub limits: LimitSettings,
    /// How often clients may ask.
    pub rate_limit: RateLimitSettings,
    /// Whose tokens are taken, beside API keys: 20 issuers at most, each a table `[[jwt]]`. As a variable it is a list in
    /// JSON.
    pub jwt: Vec<JwtSettings>,
    /// Who signs people in, if not hatch alone.
    pub oidc: Option<OidcSettings>,
    /// The log of what clients asked, for those who build clients.
    pub requests: RequestLogSettings,
    /// What is kept of the audit.
    pub audit: AuditSettings,
    /// Where `up` keeps its servers' data.
    pub data_dir: PathBuf,
    /// How the log is carried by NATS.
    pub bus: BusSettings,
    /// What becomes of the oldest part of the log.
    pub archive: ArchiveSettings,
    /// The sender of an SMS that names none.
    pub default_sms_sender: Option<String>,
    /// The sender of a mail that names none, such as `support@example.com` or `Support <support@example.com>`.
    pub default_email_sender: Option<String>,
    /// Accounts at providers, by hatch's own names for them: those of the sections that are called as providers, too.
    pub accounts: AccountsByName,
    /// Which messages go by which accounts: 1,000 routes at most, each a table `[[routes]]`. As a variable it is a list in
    /// JSON.
    pub routes: Vec<RouteSettings>,
    /// Pools of senders: 1,000 at most, each a table `[[pools]]`. As a variable it is a list in JSON.
    pub pools: Vec<PoolSettings>,
    /// Where the simulator of `up` is, beside which this process runs.
    #[serde(skip)]
    #[schemars(skip)]
    pub simulator_url: Option<String>,
    /// What file and variables have set, by key, as far as it can be told whether it has changed.
    #[serde(skip)]
    #[schemars(skip)]
    pub set_keys: BTreeMap<String, u64>,
    /// Who may post messages as plain JSON, if anybody.
    pub generic: Option<generic::Settings>,
    /// The installation's master key: 32 bytes as base64, as `hatch master-key create` prints them, best given as a file.
    /// The secrets that the log keeps are sealed with it, such as those of accounts made by `POST /api/v1/accounts`; without
    /// it none are kept. Every process needs the same one. Where none is set, `up` makes one in its data folder.
    pub master_key: Option<Secret>,
    /// The master key before that, while `hatch master-key rotate` has not wrapped everything anew: what it sealed is still
    /// read.
    pub master_key_previous: Option<Secret>,
    /// How the dispatcher works.
    pub dispatcher: DispatcherSettings,
    /// How messages are balanced among the accounts that share them in a route.
    pub balance: BalanceSettings,
    /// How the relay works.
    pub relay: hatch_relay::Config,
    /// How the projector works.
    pub projector: hatch_projector::Config,
    /// How many messages are taken.
    pub admission: AdmissionSettings,
    /// What is done about words such as STOP that people write.
    pub consent: ConsentSettings,
    /// What is known of mailboxes.
    pub mail: MailSettings,
    /// What is kept of webhooks, and for how long.
    pub webhook_log: WebhookLogSettings,
    /// How a process ends.
    pub shutdown: ShutdownSettings,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Where traces go.
    pub telemetry: TelemetrySettings,
}

/// How much of a process clients may take. What goes beyond is answered 503 with `Retry-After`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Connections that clients may have open, of which one client has half at most unless it is a trusted
    /// proxy. Default: 10,000, and fewer where the process may not open so many files.
    pub connections_max: Option<u64>,
    /// Clients that may follow the live feed at a time, of which one client has a quarter at most. Default: 256.
    pub live_streams_max: Option<u64>,
    /// Messages of a day, in UTC, that each tenant may have sent: 1 to 1,000,000,000. Those above it wait for the next day.
    /// Default: as many as there are.
    pub messages_per_day: Option<u64>,
    /// Messages of a day that such a tenant may have sent, by its id; it goes before `limits.messages_per_day`.
    pub tenant_messages_per_day: BTreeMap<String, u64>,
}

/// What becomes of the oldest part of the log.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveSettings {
    /// Where `hatch log archive` makes a folder for each partition: one database's alone, and
    /// reached by the same path by every process. Default: `archive` in `data_dir` while `up` runs
    /// there.
    pub directory: Option<PathBuf>,
}

/// How the log is carried by NATS.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BusSettings {
    /// First token of every subject: 1 to 32 lower-case letters, digits, `_` or `-`. Installations that
    /// share a NATS account differ here.
    pub prefix: String,
    /// Copies of the stream, 1 to 5. Production wants 3.
    pub replicas: usize,
    /// What the stream may take of NATS' disk, which NATS reserves.
    pub stream_bytes_max: i64,
}

/// What has to be so before NATS is believed, and how it knows hatch.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NatsSettings {
    /// Whether nothing is said to a server without TLS. `tls://` in `nats_url`, `nats.ca_file` and
    /// `nats.certificate_file` require it as well.
    pub tls_required: bool,
    /// The certificates, in PEM, of the CAs that may have signed the server's. Default: the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate of hatch, in PEM, for a server that asks for one.
    pub certificate_file: Option<PathBuf>,
    /// The key of `nats.certificate_file`.
    pub key_file: Option<PathBuf>,
    /// A `.creds` file, with a JWT and the seed of its nkey.
    pub credentials_file: Option<PathBuf>,
    /// A file with the seed of an nkey.
    pub nkey_seed_file: Option<PathBuf>,
}

/// How the dispatcher works.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DispatcherSettings {
    /// Attempts under way at a time, for each channel and priority, and for what is due of each provider
    /// account: 1 to 10,000.
    pub concurrency_max: usize,
    /// From the claim of an attempt until it is in doubt. Longer than any account's `http_timeout_ms`
    /// and what recording the outcome takes.
    pub lease_ms: u64,
    /// Attempts and the waits between them.
    pub retry: RetryPolicy,
    /// Between two trials of an account that its provider refuses (credentials, suspension, credit): the first wait; and
    /// the longest between two trials of any account to which nothing else is given. Its messages go by another account
    /// meanwhile, or wait.
    pub account_backoff_ms: [u64; 2],
    /// When nothing is given to an account for a while: its calls fail, are not answered, or are too many.
    pub breaker: BreakerRules,
    /// Attempts under way at a time for each provider account, 1 to 10,000; what finds no room is
    /// parked.
    pub account_concurrency_max: usize,
    /// How far behind the log the timers are kept: messages which finish sooner never touch them.
    pub timers_lag_ms: u64,
    /// How long a new message is left to its delivery by NATS before it is sent without one.
    pub delivery_grace_ms: u64,
    /// From the request, the schedule or the retry until a message that was not sent fails.
    pub validity_ms: u64,
    /// When a provider is asked about an attempt in doubt: first and for the second time, counted
    /// from the later of doubt and lease end.
    pub look_ups_ms: [u64; 2],
    /// How long a receipt is waited for before a doubt is left to a person.
    pub receipt_wait_ms: u64,
    /// What becomes of attempts in doubt, for each account by its name, or else for each provider:
    /// `look_up` (the default where the provider can be asked), `wait` (the default elsewhere), `resend` or `fail`.
    pub in_doubt: BTreeMap<String, DoubtPolicy>,
    /// Days that it is kept what was said to providers, and what they answered, outside of the log: 1 to 3,650.
    pub attempts_kept_days: u32,
}

/// How many messages are taken, where more are offered than can be finished.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdmissionSettings {
    /// Whether any is refused.
    pub enabled: bool,
    /// How long an accepted message may have to wait for its turn before others are refused: 200 to
    /// 60,000. Default: 400; for `up` without `--split` 60,000, so that who tries something out is not
    /// refused.
    pub wait_ms: Option<u64>,
    /// Messages that each process takes in any case while no queue has been too full for two
    /// seconds. Default: 2,000; for `up` without `--split` 60,000.
    pub burst: Option<u64>,
    /// Messages that may wait at all, also while NATS or the dispatchers are away: the disk's
    /// bound.
    pub waiting_max: u64,
    /// Messages of one tenant that may wait for room at their accounts, whose rates they are beyond. Others are none of
    /// their business: only that tenant is refused more.
    pub waiting_per_tenant_max: u64,
}

/// What is done about words such as STOP that people write by SMS or MMS. A word is answered by an SMS if its text is set,
/// once for each change: not if it is repeated, and not where the provider answers by itself (`acts_on_words` of its account).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConsentSettings {
    /// Answers a word that withdraws, such as `Example Ltd: you get no more messages. START to get them again.`; 1 to 320
    /// characters, as the others. It goes out although the person has just opted out. Default: no answer.
    pub stop_text: Option<String>,
    /// Answers a word that agrees, or that takes a withdrawal back. Default: no answer.
    pub start_text: Option<String>,
    /// Answers `HELP` and `INFO`, also to a person who opted out. It should name a way to reach you. Default: no answer.
    pub help_text: Option<String>,
    /// Whether a text that comes close to a word, such as `stop please`, withdraws as the word would. Otherwise it is only
    /// marked: `suggests` of the message is `opted_out`.
    pub near_misses_withdraw: bool,
}

/// What is known of mailboxes.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MailSettings {
    /// The mailboxes that are ours: such as `support@example.com`, or all of a domain as `@example.com`. A mail to one of
    /// them, or with a copy to it, belongs to it, whatever address the provider reads it at. `default_email_sender` is one
    /// of them. Default: none; the envelope of each mail says then where it reached us.
    pub mailboxes: Vec<String>,
    /// Where a mail belongs that reached several of these: to the conversation that its sender has with each of them
    /// (`conversation_each`), as one message, or to one conversation that has them all (`one_conversation`). It counts for
    /// mails that come in from then on. Default: `conversation_each`.
    pub several_mailboxes: SeveralMailboxes,
}

/// Where a mail belongs that reached several of our mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeveralMailboxes {
    /// To the conversation of each.
    #[default]
    ConversationEach,
    /// To one that has them all.
    OneConversation,
}

/// What is kept of webhooks outside the log of events, for how long, and how much of it. Whole days go at once, and
/// of the quarantine and of whole bodies whole weeks.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookLogSettings {
    /// Requests which their provider has not signed that each process keeps a minute, of one client address (of IPv6 the
    /// first 64 bits) at one path: 0 to 10,000. All are answered `401` and counted.
    pub refused_by_address_per_minute: u32,
    /// The same of all addresses together at one path: 0 to 10,000.
    pub refused_by_path_per_minute: u32,
    /// How long those are kept: 1 to 3,650.
    pub refused_retention_days: u32,
    /// How long webhooks are kept that became events, were known already, or changed nothing: 1 to 3,650.
    pub retention_days: u32,
    /// How long those in quarantine are kept: 1 to 3,650.
    pub quarantine_retention_days: u32,
    /// How long a body is kept that is longer than a row holds, of what is in quarantine: 1 to 3,650.
    pub whole_body_retention_days: u32,
    /// How long the requests that brought mails are kept whole: 1 to 3,650. Nothing of a mail goes with them, but it
    /// cannot be read again by a build that reads it better. Default: for ever.
    pub raw_mail_retention_days: Option<u32>,
    /// Bytes of requests that are not signed. Beyond them the oldest day goes, and where that is today no
    /// more are kept.
    pub refused_bytes_max: u64,
    /// Bytes of the quarantine. Beyond them an alert is raised, and nothing goes.
    pub quarantine_bytes_max: u64,
    /// Bytes of all of it. Beyond them the oldest days go: of requests that are not signed, then of what said
    /// nothing new, then of what is in the log as events. What is signed is always recorded.
    pub bytes_max: u64,
    /// Receipts of one account that may wait for their message, about. What comes beyond stays in quarantine until
    /// it is replayed.
    pub waiting_receipts_max: u64,
}

/// How a process ends that is told to (`SIGTERM`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShutdownSettings {
    /// For how long requests are still taken, while `/ready` is 503 and each answer closes its
    /// connection: as long as those who spread the load take to notice. `up` takes none at once.
    pub notice_ms: u64,
    /// How long requests may take after `notice_ms`.
    pub grace_ms: u64,
}

/// What is logged, and how.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// A `tracing` filter, such as `info` or `info,hatch_relay=debug`. Default: `info`, and for `up`
    /// only what is unusual.
    pub filter: Option<String>,
    /// `text` for people, `json` for machines.
    pub format: LogFormat,
}

/// Where traces go.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetrySettings {
    /// An OpenTelemetry collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; spans go
    /// to `/v1/traces` there. Default: `OTEL_EXPORTER_OTLP_ENDPOINT`, and without it no spans are made.
    pub otlp_endpoint: Option<String>,
    /// The share, from 0 to 1, of the traces that begin here that are exported. A trace that a client
    /// began is exported if the client says so.
    pub sample_ratio: f64,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self { otlp_endpoint: None, sample_ratio: 1.0 }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            database_url: None,
            database_host: None,
            deployment: None,
            nats_url: None,
            nats: NatsSettings::default(),
            listen: "127.0.0.1:8080".to_owned(),
            tls: TlsSettings::default(),
            authentication: Authentication::default(),
            simulator_listen: "127.0.0.1:8089".to_owned(),
            public_url: None,
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            cors: CorsSettings::default(),
            limits: LimitSettings::default(),
            rate_limit: RateLimitSettings::default(),
            jwt: Vec::new(),
            oidc: None,
            requests: RequestLogSettings::default(),
            audit: AuditSettings::default(),
            data_dir: data_dir(),
            bus: BusSettings::default(),
            archive: ArchiveSettings::default(),
            default_sms_sender: None,
            default_email_sender: None,
            accounts: AccountsByName::new(),
            routes: Vec::new(),
            pools: Vec::new(),
            simulator_url: None,
            set_keys: BTreeMap::new(),
            generic: None,
            master_key: None,
            master_key_previous: None,
            dispatcher: DispatcherSettings::default(),
            balance: BalanceSettings::default(),
            relay: hatch_relay::Config::default(),
            projector: hatch_projector::Config::default(),
            admission: AdmissionSettings::default(),
            consent: ConsentSettings::default(),
            mail: MailSettings::default(),
            webhook_log: WebhookLogSettings::default(),
            shutdown: ShutdownSettings::default(),
            log: LogSettings::default(),
            telemetry: TelemetrySettings::default(),
        }
    }
}

impl Default for BusSettings {
    fn default() -> Self {
        let hatch_bus::Settings { prefix, replicas, stream_bytes_max, .. } = Default::default();
        Self { prefix, replicas, stream_bytes_max }
    }
}

impl Default for ShutdownSettings {
    fn default() -> Self {
        Self { notice_ms: 2_000, grace_ms: 10_000 }
    }
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            wait_ms: None,
            burst: None,
            waiting_max: 1_000_000,
            waiting_per_tenant_max: 2_000_000,
        }
    }
}

impl Default for WebhookLogSettings {
    fn default() -> Self {
        let rules = KeepRules::default();
        let days = |kept: TimeDelta| u32::try_from(kept.num_days()).unwrap_or_default();
        Self {
            refused_by_address_per_minute: rules.refused_rates.by_address_per_minute,
            refused_by_path_per_minute: rules.refused_rates.by_path_per_minute,
            refused_retention_days: days(rules.refused),
            retention_days: days(rules.settled),
            quarantine_retention_days: days(rules.quarantined),
            whole_body_retention_days: days(rules.bodies),
            raw_mail_retention_days: None,
            refused_bytes_max: rules.refused_bytes_max,
            quarantine_bytes_max: rules.quarantined_bytes_max,
            bytes_max: rules.bytes_max,
            waiting_receipts_max: rules.waiting_receipts_max,
        }
    }
}

impl Default for DispatcherSettings {
    fn default() -> Self {
        Self {
            concurrency_max: 256,
            lease_ms: 60_000,
            retry: RetryPolicy::default(),
            account_backoff_ms: [1_000, 30_000],
            breaker: BreakerRules::default(),
            account_concurrency_max: 256,
            timers_lag_ms: 3_000,
            delivery_grace_ms: 10_000,
            validity_ms: 86_400_000,
            look_ups_ms: [30_000, 120_000],
            receipt_wait_ms: 600_000,
            in_doubt: BTreeMap::new(),
            attempts_kept_days: 30,
        }
    }
}

/// Says where it listens, and nothing that may hold a password.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("listen", &self.listen).finish_non_exhaustive()
    }
}

impl Settings {
    /// Where the outside reaches the HTTP interface.
    #[must_use]
    pub fn public_url(&self) -> String {
        let way = if self.tls.certificate_file.is_some() { "https" } else { "http" };
        let url = self.public_url.clone().unwrap_or_else(|| format!("{way}://{}", self.listen));
        url.trim_end_matches('/').to_owned()
    }

    /// PostgreSQL's address, which every command but `up` needs.
    ///
    /// # Errors
    /// When it is not set, with what to do.
    pub fn database_url(&self) -> anyhow::Result<&str> {
        self.database_url.as_deref().context(
            "no PostgreSQL is known: set HATCH_DATABASE_URL, or start `./dev up` in this folder",
        )
    }

    /// How NATS is reached and used.
    ///
    /// # Errors
    /// When its address is not set, with what to do.
    pub fn bus(&self) -> anyhow::Result<hatch_bus::Settings> {
        let url = self
            .nats_url
            .clone()
            .context("no NATS is known: set HATCH_NATS_URL, or start `./dev up` in this folder")?;
        let BusSettings { prefix, replicas, stream_bytes_max } = self.bus.clone();
        let NatsSettings {
            tls_required,
            ca_file,
            certificate_file,
            key_file,
            credentials_file,
            nkey_seed_file,
        } = self.nats.clone();
        let access = hatch_bus::Access {
            tls_required,
            ca_file,
            certificate_file,
            key_file,
            credentials_file,
            nkey_seed_file,
        };
        let bus = hatch_bus::Settings { url, access, prefix, replicas, stream_bytes_max };
        match bus.check() {
            Ok(()) => Ok(bus),
            Err(hatch_bus::Error::Setting { name: "url", reason }) => {
                anyhow::bail!("configuration: nats_url: {reason}")
            }
            Err(hatch_bus::Error::Setting { name, reason }) if name.ends_with("_file") => {
                anyhow::bail!("configuration: nats.{name}: {reason}")
            }
            Err(hatch_bus::Error::Setting { name, reason }) => {
                anyhow::bail!("configuration: bus.{name}: {reason}")
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn data_dir() -> PathBuf {
    PathBuf::from(".hatch")
}
