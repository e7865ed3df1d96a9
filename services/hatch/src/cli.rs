//! The command line.

mod failed;
mod keys;
mod master_key;
mod members;
mod requests;
mod routes;

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};

pub use self::failed::{DeadLetters, FailedFilter, InDoubt, Redrive, Resolve};
pub use self::keys::{CreateKey, Keys, Team, Tenants};
pub use self::master_key::MasterKey;
pub use self::members::{InviteMember, Members};
pub use self::requests::{Requests, TailRequests};
pub use self::routes::{Explain, Routes};
use crate::roles::Role;

/// Talk with your customers on every channel, and never lose or double a message.
#[derive(Debug, Parser)]
#[command(name = "hatch", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Settings come from hatch.toml and HATCH_ environment variables.\n\
    Start here: hatch up")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything for development: PostgreSQL, NATS, the provider simulator and all roles.
    #[command(after_help = "Example: hatch up\n\
        Data is kept in .hatch/ (HATCH_DATA_DIR); Ctrl-C stops everything that was started.\n\
        HATCH_DATABASE_URL and HATCH_NATS_URL use your servers instead.")]
    #[cfg(feature = "dev")]
    Up(Up),
    /// Run roles against given servers.
    #[command(
        after_help = "Example: HATCH_DATABASE_URL=postgres://... HATCH_NATS_URL=nats://... \\\n  \
        hatch serve --roles command,query,webhook\n\
        In the folder of a running `hatch up`, whose servers it finds:\n  \
        HATCH_LISTEN=127.0.0.1:9080 hatch serve --roles command,query"
    )]
    Serve(Serve),
    /// Bring the database to the schema of this version.
    #[command(after_help = "Example: HATCH_DATABASE_URL=postgres://... hatch migrate\n\
        Safe to repeat. Roles refuse to start on another schema.")]
    Migrate,
    /// Look at the projections, verify them, and build them anew.
    #[command(subcommand, after_help = "Example: hatch projections list")]
    Projections(Projections),
    /// Look at the log.
    #[command(subcommand, after_help = "Example: hatch events tail --lines 20")]
    Events(Events),
    /// Check the log, and move its oldest part to files.
    #[command(subcommand, after_help = "Example: hatch log verify")]
    Log(Log),
    /// Look at messages that failed for good, and send them again.
    #[command(subcommand, after_help = "Example: hatch dead-letters list --limit 20")]
    DeadLetters(DeadLetters),
    /// Look at messages of which nobody knows whether they were sent, and say what they were.
    #[command(subcommand, after_help = "Example: hatch in-doubt list --account twilio")]
    InDoubt(InDoubt),
    /// Look at what providers posted, and read it again.
    #[command(subcommand, after_help = "Example: hatch webhooks list --outcome quarantined")]
    Webhooks(Webhooks),
    /// Look at the accounts at providers, and ask the providers whether they let them in.
    #[command(subcommand, after_help = "Example: hatch accounts check")]
    Accounts(Accounts),
    /// Say by which account a message goes, and why.
    #[command(
        subcommand,
        after_help = "Example: hatch routes explain --channel sms --to +447700900123"
    )]
    Routes(Routes),
    /// Make tenants, suspend them, and let them go on.
    #[command(subcommand, after_help = "Example: hatch tenants create 'Example Ltd'")]
    Tenants(Tenants),
    /// Make keys of the API, look at them, change their texts, and end them.
    #[command(
        subcommand,
        after_help = "Example: hatch keys create --name first --scope admin --scope platform"
    )]
    Keys(Keys),
    /// Invite people, look at the members of a tenant, and remove them.
    #[command(
        subcommand,
        after_help = "Example: hatch members invite ann@example.com --role owner"
    )]
    Members(Members),
    /// Make the key that seals secrets in the log, and put another in its place.
    #[command(subcommand, after_help = "Example: hatch master-key create")]
    MasterKey(MasterKey),
    /// Look at what clients asked, and how it was answered.
    #[command(subcommand, after_help = "Example: hatch requests tail --status 4xx")]
    Requests(Requests),
    /// Let a restored, cloned or failed-over database send again.
    #[command(subcommand, after_help = "Example: hatch fence lift")]
    Fence(Fence),
    /// Run the provider simulator alone.
    #[command(after_help = "Example: HATCH_SIMULATOR_LISTEN=127.0.0.1:8089 hatch simulator\n\
        It says how a `hatch serve` sends by it, and knows the accounts that are set (docs/simulator.md).\n\
        Its record: curl http://127.0.0.1:8089/_sim/messages")]
    #[cfg(feature = "dev")]
    Simulator,
    /// Check configuration and servers, and say what is wrong, since when, and what to do.
    #[command(after_help = "Example: hatch doctor\n\
        Exit status 1 when something is wrong; a warning is not. docs/operations.md explains each line.")]
    Doctor(Doctor),
    /// Send messages against a running `hatch up`, and show what happened to them.
    #[command(after_help = "Example: hatch demo   (in the folder where `./dev up` runs)")]
    #[cfg(feature = "dev")]
    Demo(Demo),
    /// Send messages at a steady rate, and say how much, how fast, and that none is lost.
    #[command(disable_help_flag = true)]
    Bench {
        /// Those of `hatch-bench`, the program beside this one that is run.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Print the OpenAPI document, as `GET /api/v1/openapi.json` answers it.
    #[command(hide = true)]
    Openapi,
    /// Run a command with private servers for tests.
    #[command(hide = true)]
    #[cfg(feature = "dev")]
    WithServers(WithServers),
}

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `up`.
#[cfg(feature = "dev")]
#[derive(Debug, Args)]
pub struct Up {
    /// Run each role and the simulator as a process of its own.
    #[arg(long)]
    pub split: bool,
}

/// Flags of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Roles to run in this process, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = Role::ALL)]
    pub roles: Vec<Role>,
}

/// What to do with projections.
#[derive(Debug, Subcommand)]
pub enum Projections {
    /// Show the position and lag of each projection.
    #[command(after_help = "Example: hatch projections list")]
    List,
    /// Build the tables of a projection anew from the log, while everything runs on.
    #[command(after_help = "Example: hatch projections rebuild messages\n\
        Readers see the old tables until the new ones take over, in one transaction. Killed, it \
        leaves\neverything as it was: run it again. It logs in as the owner of the tables, as \
        `hatch migrate` does.")]
    Rebuild(ProjectionName),
    /// Compare the tables of a projection with the log, row by row, while everything runs on.
    #[command(after_help = "Example: hatch projections verify messages\n\
        Exit status 1 when a row differs. It logs in as the owner of the tables, as `hatch migrate` \
        does.")]
    Verify(ProjectionName),
}

/// Which projection.
#[derive(Debug, Args)]
pub struct ProjectionName {
    /// A name that `hatch projections list` shows.
    pub name: String,
}

/// What to do with accounts at providers.
#[derive(Debug, Subcommand)]
pub enum Accounts {
    /// Print the accounts that the settings and the log have: name, provider, the provider's name of it, channels, traffic,
    /// how the dispatchers find it, tenants.
    #[command(after_help = "Example: hatch accounts list --json\n\
        --json also has the paths that the provider's webhooks come to.")]
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Ask the providers whether they take the credentials and the accounts may send. Nothing is sent.
    #[command(after_help = "Example: hatch accounts check twilio-main\n\
        Exit status 1 when one of them is refused or its provider does not answer.")]
    Check {
        /// Their names [default: all].
        names: Vec<String>,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

/// What to do about the fence.
#[derive(Debug, Subcommand)]
pub enum Fence {
    /// Begin a new epoch of the log on the database as it is.
    #[command(after_help = "Example: hatch fence lift\n\
        Make sure first that this database is the one to go on with, and that no hatch works with the\n\
        other one: both would send the same messages. What was sent after the backup was taken is\n\
        sent again if the backup holds its request. docs/reliability.md says more.")]
    Lift,
}

/// What to do with the log.
#[derive(Debug, Subcommand)]
pub enum Events {
    /// Print the newest events, then follow the log.
    #[command(after_help = "Example: hatch events tail --lines 20\n\
        One JSON object a line. --no-follow ends after the newest events.")]
    Tail(Tail),
    /// Print one stream, oldest event first.
    #[command(after_help = "Example: hatch events show 0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11")]
    Show {
        /// The stream: a message's id.
        #[arg(value_parser = message_id)]
        stream: uuid::Uuid,
    },
    /// Write the log as NDJSON, one event a line.
    #[command(after_help = "Example: hatch events export --output log.ndjson\n\
        After an interruption: hatch events export --output log.ndjson --resume\n\
        Ends at the head as it is when it begins.")]
    Export(Export),
}

fn message_id(text: &str) -> Result<uuid::Uuid, &'static str> {
    text.parse().map_err(|_| "expected a message's id, a UUID as `hatch events tail` shows them")
}

/// What to do with the whole log.
#[derive(Debug, Subcommand)]
pub enum Log {
    /// Check positions, stream versions, epochs, keys and checkpoints, and JetStream against the log.
    #[command(after_help = "Example: hatch log verify\n\
        Reads the whole log once, beside live traffic. Exit status 1 when something is wrong.")]
    Verify,
    /// Move cold partitions of the log to compressed files, oldest first, while everything runs on.
    #[command(after_help = "Example: hatch log archive --directory /srv/hatch/archive\n\
        A partition is cold when the log has gone on in the next one and every projection, the \
        timers and\nthe relay have read it; what is kept, and why, is printed. Reads and rebuilds \
        find the events in\nthe files, so every process needs them at that path: back them up with \
        the database. Killed, it\nloses nothing: run it again. It logs in as the owner of the \
        tables, as `hatch migrate` does.")]
    Archive(Archive),
}

/// Flags of `log archive`.
#[derive(Debug, Args)]
pub struct Archive {
    /// Only the partition of this number, from 0; exit status 1 when it is not cold.
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..))]
    pub partition: Option<i64>,
    /// Where each partition gets a folder [default: archive.directory].
    #[arg(long)]
    pub directory: Option<std::path::PathBuf>,
}

/// What to do with webhooks.
#[derive(Debug, Subcommand)]
pub enum Webhooks {
    /// Print the webhook log, the newest first.
    #[command(after_help = "Example: hatch webhooks list --outcome quarantined --limit 20 --json")]
    List {
        /// Those of which this was made: applied, duplicate, ignored, quarantined or rejected_signature.
        #[arg(long, value_parser = outcome)]
        outcome: Option<hatch_readmodel::WebhookOutcome>,
        /// How many at most (1 to 200).
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Read webhooks of the quarantine again, as `POST /api/v1/webhooks/replay/{id}` does.
    #[command(after_help = "Example: hatch webhooks replay 0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11\n\
        Exit status 1 when one of them could not be replayed.")]
    Replay {
        /// Their ids in the webhook log.
        #[arg(required = true)]
        ids: Vec<uuid::Uuid>,
    },
    /// Read mails again, from the requests that brought them, and record what reads otherwise.
    #[command(
        after_help = "Example: hatch webhooks rederive --since 2026-01-01T00:00:00Z --dry-run\n\
        Run it after an upgrade that reads mails better, while everything runs on. Nothing is sent, and who\n\
        wrote to whom stays as it was. Safe to repeat: what reads as it did leaves no event."
    )]
    Rederive(Rederive),
}

/// Flags of `webhooks rederive`.
#[derive(Debug, Args)]
pub struct Rederive {
    /// Those that came then or later, such as 2026-01-31T12:00:00Z.
    #[arg(long)]
    pub since: Option<chrono::DateTime<chrono::Utc>>,
    /// Those that came before.
    #[arg(long)]
    pub until: Option<chrono::DateTime<chrono::Utc>>,
    /// This message alone.
    #[arg(long, value_parser = message_id)]
    pub message: Option<uuid::Uuid>,
    /// Say what reads otherwise, and record nothing.
    #[arg(long)]
    pub dry_run: bool,
}

fn outcome(text: &str) -> Result<hatch_readmodel::WebhookOutcome, String> {
    let read = serde_json::from_value(serde_json::Value::String(text.to_owned()));
    read.map_err(|_| {
        "expected applied, duplicate, ignored, quarantined or rejected_signature".to_owned()
    })
}

/// Flags of `events export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The first position.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..))]
    pub from: i64,
    /// The last position [default: the log's head].
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    pub to: Option<i64>,
    /// The file [default: the standard output].
    #[arg(long, short)]
    pub output: Option<std::path::PathBuf>,
    /// Go on after the last whole line of --output.
    #[arg(long, requires = "output")]
    pub resume: bool,
}

/// Flags of `events tail`.
#[derive(Debug, Args)]
pub struct Tail {
    /// How many of the newest events to begin with (at most 1000).
    #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub lines: u16,
    /// End after these.
    #[arg(long)]
    pub no_follow: bool,
}

/// Flags of `demo`.
#[cfg(feature = "dev")]
#[derive(Debug, Args)]
pub struct Demo {
    /// The hatch to talk to [default: where `up` listens].
    #[arg(long)]
    pub url: Option<String>,
    /// Its simulator [default: where `up` has it].
    #[arg(long)]
    pub simulator: Option<String>,
}

/// Flags of `with-servers`.
#[cfg(feature = "dev")]
#[derive(Debug, Args)]
pub struct WithServers {
    /// Write to disk as in production, for what measures.
    #[arg(long)]
    pub durable: bool,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}
