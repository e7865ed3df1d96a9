//! The flags of `hatch dead-letters` and `hatch in-doubt`.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use hatch_domain::address::Address;
use hatch_domain::ids::TenantId;
use hatch_domain::message::event::Resolution;
use hatch_domain::{Channel, ErrorClass};
use uuid::Uuid;

use super::keys::{channel, tenant};
use super::message_id;

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// Print the messages that failed for good, the newest first.
    #[command(
        after_help = "Example: hatch dead-letters list --class unreachable --limit 20 --json"
    )]
    List {
        /// Which of them.
        #[command(flatten)]
        filter: FailedFilter,
        /// How many at most (1 to 200).
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Begin a new round of attempts, as `POST /api/v1/messages/{id}/retry` does.
    #[command(
        after_help = "Example: hatch dead-letters redrive 0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11\n\
        hatch dead-letters redrive --code 30008 --dry-run\n\
        hatch dead-letters redrive --class unreachable --account twilio --rate 20\n\
        Exit status 1 when one of them could not be sent again."
    )]
    Redrive(Redrive),
}

/// Which dead letters.
#[derive(Debug, Args, Default)]
pub struct FailedFilter {
    /// By this channel.
    #[arg(long, value_parser = channel)]
    pub channel: Option<Channel>,
    /// Whose error is of this class, such as unreachable.
    #[arg(long, value_parser = class)]
    pub class: Option<ErrorClass>,
    /// Whose error has this code.
    #[arg(long)]
    pub code: Option<String>,
    /// Whose last attempt was by this account: its name, or its provider's.
    #[arg(long)]
    pub account: Option<String>,
    /// Those that were given up then or later, such as 2026-01-31T12:00:00Z.
    #[arg(long)]
    pub from: Option<DateTime<Utc>>,
    /// Those that were given up before.
    #[arg(long)]
    pub to: Option<DateTime<Utc>>,
    /// With this address among their participants.
    #[arg(long, value_parser = participant)]
    pub participant: Option<Address>,
    /// Whose they are [default: the default tenant's].
    #[arg(long, value_parser = tenant)]
    pub tenant: Option<TenantId>,
}

/// Flags of `dead-letters redrive`.
#[derive(Debug, Args)]
#[command(override_usage = "hatch dead-letters redrive [OPTIONS] <MESSAGES>...\n       \
    hatch dead-letters redrive [OPTIONS] --all\n       \
    hatch dead-letters redrive [OPTIONS] --code <CODE>")]
pub struct Redrive {
    /// The messages' ids; those of messages that are `undelivered` are taken, too.
    #[arg(
        value_parser = message_id,
        required_unless_present_any =
            ["all", "channel", "class", "code", "account", "from", "to", "participant"],
        conflicts_with_all =
            ["all", "channel", "class", "code", "account", "from", "to", "participant"]
    )]
    pub messages: Vec<Uuid>,
    /// All that failed.
    #[arg(long)]
    pub all: bool,
    /// Which of them.
    #[command(flatten)]
    pub filter: FailedFilter,
    /// Messages a second (1 to 1000) [default: as many as the log takes].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rate: Option<u32>,
    /// Say what would be sent again, and send nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// What to do about messages in doubt.
#[derive(Debug, Subcommand)]
pub enum InDoubt {
    /// Print the messages in doubt, the newest first.
    #[command(after_help = "Example: hatch in-doubt list --account twilio --json")]
    List {
        /// By this channel.
        #[arg(long, value_parser = channel)]
        channel: Option<Channel>,
        /// Whose attempt was by this account: its name, or its provider's.
        #[arg(long)]
        account: Option<String>,
        /// Whose they are [default: the default tenant's].
        #[arg(long, value_parser = tenant)]
        tenant: Option<TenantId>,
        /// How many at most (1 to 200).
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Say what the attempt was, as `POST /api/v1/messages/{id}/resolve` does.
    #[command(
        after_help = "Example: hatch in-doubt resolve 0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11 \\\n  \
        --as sent --reason 'their console shows it'\n\
        Exit status 1 when one of them is not in doubt."
    )]
    Resolve(Resolve),
}

/// Flags of `in-doubt resolve`.
#[derive(Debug, Args)]
pub struct Resolve {
    /// The messages' ids.
    #[arg(value_parser = message_id, required = true)]
    pub messages: Vec<Uuid>,
    /// sent, not_sent (it fails) or resend (at the risk of a second copy).
    #[arg(long = "as", value_parser = resolution)]
    pub resolution: Resolution,
    /// How you know (1 to 500 characters): it stands in the log.
    #[arg(long, value_parser = reason)]
    pub reason: String,
    /// Whose they are [default: the default tenant's].
    #[arg(long, value_parser = tenant)]
    pub tenant: Option<TenantId>,
}

fn class(text: &str) -> Result<ErrorClass, String> {
    let found = ErrorClass::ALL.into_iter().find(|class| class.as_str() == text);
    let known = || ErrorClass::ALL.map(ErrorClass::as_str).join(", ");
    found.ok_or_else(|| format!("expected one of {}", known()))
}

fn participant(text: &str) -> Result<Address, String> {
    Address::sought(text).map_err(|error| error.to_string())
}

fn resolution(text: &str) -> Result<Resolution, &'static str> {
    let found = Resolution::ALL.into_iter().find(|one| one.as_str() == text);
    found.ok_or("expected sent, not_sent or resend")
}

fn reason(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    match (1..=500).contains(&text.chars().count()) && !text.contains(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err("expected 1 to 500 characters that can be shown"),
    }
}
