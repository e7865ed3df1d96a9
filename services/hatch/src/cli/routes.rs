//! The flags of `hatch routes`.

use clap::{Args, Subcommand};
use hatch_domain::account_name::AccountName;
use hatch_domain::address::Address;
use hatch_domain::ids::TenantId;
use hatch_domain::{Channel, Priority};
use hatch_readmodel::Moment;
use uuid::Uuid;

use super::keys::tenant;
use super::message_id;

/// What to do with routes.
#[derive(Debug, Subcommand)]
pub enum Routes {
    /// Say by which account a message goes, and why: one that there is, or one that is described.
    #[command(after_help = "Example: hatch routes explain --channel sms --to +447700900123\n\
        hatch routes explain 0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11 --at 2026-01-31T12:00:00Z\n\
        Nothing is sent. At a moment of the past, routes and accounts of the log are as they were then; those of\n\
        the files have no history. How much room an account has only its dispatchers know: it counts as free.\n\
        Exit status 1 when no account carries it.")]
    Explain(Explain),
}

/// Flags of `routes explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// A message's id.
    #[arg(value_parser = message_id, required_unless_present = "to", conflicts_with_all = [
        "channel", "from", "to", "priority", "tenant", "account", "test"])]
    pub message: Option<Uuid>,
    /// How it travels: sms, mms or email [default: email to a mailbox, and else sms].
    #[arg(long, value_parser = channel)]
    pub channel: Option<Channel>,
    /// Who sends it [default: the default sender of the channel].
    #[arg(long, value_parser = address)]
    pub from: Option<Address>,
    /// Whom it is to.
    #[arg(long, value_parser = address)]
    pub to: Option<Address>,
    /// high, normal or bulk [default: normal].
    #[arg(long, value_parser = priority)]
    pub priority: Option<Priority>,
    /// Whose it is [default: the default tenant].
    #[arg(long, value_parser = tenant)]
    pub tenant: Option<TenantId>,
    /// The account that its request names.
    #[arg(long)]
    pub account: Option<AccountName>,
    /// It is a test, which no live account carries.
    #[arg(long)]
    pub test: bool,
    /// As of a time such as 2026-01-31T12:00:00Z, or a position of the log [default: now].
    #[arg(long, value_parser = moment)]
    pub at: Option<Moment>,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

fn channel(text: &str) -> Result<Channel, &'static str> {
    let mut known = Channel::ALL.into_iter().filter(|channel| channel.has_provider());
    known.find(|channel| channel.as_str() == text).ok_or("expected sms, mms or email")
}

fn address(text: &str) -> Result<Address, String> {
    Address::wanted(text).map_err(|error| error.to_string())
}

fn priority(text: &str) -> Result<Priority, &'static str> {
    Priority::named(text).ok_or("expected high, normal or bulk")
}

fn moment(text: &str) -> Result<Moment, String> {
    text.parse::<Moment>().map_err(|error| error.to_string())
}
