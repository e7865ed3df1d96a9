//! The flags of `hatch tenants` and `hatch keys`.

use chrono::TimeDelta;
use clap::{Args, Subcommand};
use hatch_api::api_keys::KEEP_OLD_SECONDS_MAX;
use hatch_domain::Channel;
use hatch_domain::address::Address;
use hatch_domain::api_key::{KeyId, KeyType};
use hatch_domain::ids::TenantId;
use hatch_domain::ip_range::{BadIpRange, IpRange};
use hatch_domain::scope::{Scope, UnknownScope};

/// The longest time that a text may work beside the one that replaces it.
const KEEP_OLD_MAX: TimeDelta = TimeDelta::seconds(KEEP_OLD_SECONDS_MAX);

/// The longest life that can be said; who wants more leaves it out.
const LIFE_MAX: TimeDelta = TimeDelta::days(36_500);

/// What to do with tenants.
#[derive(Debug, Subcommand)]
pub enum Tenants {
    /// Make a tenant. It has no keys yet.
    #[command(after_help = "Example: hatch tenants create 'Example Ltd'\n\
        It prints the tenant's id, by which its first key is made:\n  \
        hatch keys create --name first --tenant ID")]
    Create {
        /// What it is called.
        name: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print the tenants, the newest first.
    #[command(after_help = "Example: hatch tenants list --json")]
    List {
        /// How many at most (1 to 200).
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Refuse whatever is asked for with a tenant's keys. What is on its way goes on.
    #[command(
        after_help = "Example: hatch tenants suspend 0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11 --reason 'not paid'"
    )]
    Suspend {
        /// The tenant's id.
        #[arg(value_parser = tenant)]
        id: TenantId,
        /// Why, in your own words.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Say whom keys of the type team may write to.
    #[command(subcommand, after_help = "Example: hatch tenants team add ann@example.com")]
    Team(Team),
    /// Let the keys of a suspended tenant work again.
    #[command(after_help = "Example: hatch tenants resume 0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11")]
    Resume {
        /// The tenant's id.
        #[arg(value_parser = tenant)]
        id: TenantId,
    },
}

/// What to do with a tenant's team list.
#[derive(Debug, Subcommand)]
pub enum Team {
    /// Let keys of the type team write to an address.
    #[command(after_help = "Example: hatch tenants team add ann@example.com\n\
        Each process knows it within a second. Safe to repeat.")]
    Add {
        /// A phone number, a mailbox, or a name in chats.
        #[arg(value_parser = wanted)]
        address: Address,
        /// Whose list [default: the default tenant].
        #[arg(long, value_parser = tenant)]
        tenant: Option<TenantId>,
    },
    /// Let them write to an address no more. What was taken before goes on its way.
    #[command(after_help = "Example: hatch tenants team remove ann@example.com")]
    Remove {
        /// The address.
        #[arg(value_parser = address)]
        address: Address,
        /// Whose list [default: the default tenant].
        #[arg(long, value_parser = tenant)]
        tenant: Option<TenantId>,
    },
    /// Print the list, in the order of the addresses.
    #[command(after_help = "Example: hatch tenants team list --json")]
    List {
        /// Whose list [default: the default tenant].
        #[arg(long, value_parser = tenant)]
        tenant: Option<TenantId>,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key, and print its text this once.
    #[command(
        after_help = "Example: hatch keys create --name shop --scope messages:write --expires-in 90d\n\
        The first one, which may do everything:\n  \
        hatch keys create --name first --scope admin --scope platform\n\
        One that tries hatch out, and reaches nobody:\n  \
        hatch keys create --name trial --type test\n\
        The text alone goes to the standard output: KEY=$(hatch keys create --name shop)\n\
        It is kept nowhere: whoever has lost it rotates the key.\n\
        Processes that run know it within half a second: a script that uses it at once tries again after a 401."
    )]
    Create(CreateKey),
    /// Print the keys of a tenant, the newest first.
    #[command(after_help = "Example: hatch keys list --json")]
    List {
        /// Whose [default: the default tenant].
        #[arg(long, value_parser = tenant)]
        tenant: Option<TenantId>,
        /// How many at most (1 to 200).
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Give a key another text, and print that this once.
    #[command(after_help = "Example: hatch keys rotate 7Qm2xVb9Lk4R --keep-old 2h\n\
        The text before works for that long, too, so that its users can change over. Processes that run know\n\
        the new one within half a second.")]
    Rotate {
        /// The key's id, the part of its text between hk_live_ (hk_test_, hk_team_) and the next _.
        #[arg(value_parser = key)]
        id: KeyId,
        /// How long the text before works: a number and s, m, h or d, up to 7d.
        #[arg(long, default_value = "24h", value_parser = keep_old)]
        keep_old: TimeDelta,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// End a key, at once and for good.
    #[command(after_help = "Example: hatch keys revoke 7Qm2xVb9Lk4R\n\
        Each process refuses it within a second. Safe to repeat.")]
    Revoke {
        /// The key's id, the part of its text between hk_live_ (hk_test_, hk_team_) and the next _.
        #[arg(value_parser = key)]
        id: KeyId,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Flags of `keys create`.
#[derive(Debug, Args)]
pub struct CreateKey {
    /// What it is for, in your own words.
    #[arg(long)]
    pub name: String,
    /// Whose it is [default: the default tenant].
    #[arg(long, value_parser = tenant)]
    pub tenant: Option<TenantId>,
    /// What its messages are for: live, test (they reach nobody) or team (they reach those on the team list only).
    #[arg(long = "type", default_value = "live", value_parser = key_type)]
    pub key_type: KeyType,
    /// What it may do; may be repeated. admin is all of its tenant, platform the tenants themselves; keys of the other
    /// types have neither [default: admin; of the other types all but that and platform].
    #[arg(long = "scope", value_parser = scope)]
    pub scopes: Vec<Scope>,
    /// An address that it may send from; may be repeated [default: all].
    #[arg(long = "sender", value_parser = wanted)]
    pub senders: Vec<Address>,
    /// A channel that it may send by; may be repeated [default: all].
    #[arg(long = "channel", value_parser = channel)]
    pub channels: Vec<Channel>,
    /// An address or network that it may be used from, such as 10.0.0.0/8; may be repeated [default: anywhere].
    #[arg(long = "ip-range", value_parser = ip_range)]
    pub ip_ranges: Vec<IpRange>,
    /// When it ends by itself: a number and s, m, h or d, such as 90d [default: never].
    #[arg(long, value_parser = life)]
    pub expires_in: Option<TimeDelta>,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

pub(super) fn tenant(text: &str) -> Result<TenantId, &'static str> {
    text.parse().map_err(|_| "expected a tenant's id, a UUID as `hatch tenants list` shows them")
}

fn key(text: &str) -> Result<KeyId, &'static str> {
    text.parse()
        .map_err(|_| "expected a key's id, 12 letters and digits as `hatch keys list` shows them")
}

fn key_type(text: &str) -> Result<KeyType, String> {
    let found = KeyType::ALL.into_iter().find(|one| one.as_str() == text);
    found.ok_or_else(|| format!("expected one of {}", KeyType::ALL.map(KeyType::as_str).join(", ")))
}

fn address(text: &str) -> Result<Address, String> {
    Address::sought(text).map_err(|error| error.to_string())
}

/// One that messages go from, or to.
fn wanted(text: &str) -> Result<Address, String> {
    Address::wanted(text).map_err(|error| error.to_string())
}

pub(super) fn scope(text: &str) -> Result<Scope, UnknownScope> {
    text.parse()
}

pub(super) fn channel(text: &str) -> Result<Channel, String> {
    let found = Channel::ALL.into_iter().find(|channel| channel.as_str() == text);
    found.ok_or_else(|| format!("expected one of {}", Channel::ALL.map(Channel::as_str).join(", ")))
}

fn ip_range(text: &str) -> Result<IpRange, BadIpRange> {
    text.parse()
}

fn keep_old(text: &str) -> Result<TimeDelta, &'static str> {
    let bounded = duration(text).filter(|keep| *keep <= KEEP_OLD_MAX);
    bounded.ok_or("expected a number and s, m, h or d, such as 24h, up to 7d")
}

fn life(text: &str) -> Result<TimeDelta, &'static str> {
    let bounded = duration(text).filter(|life| *life > TimeDelta::zero() && *life <= LIFE_MAX);
    bounded.ok_or("expected a number and s, m, h or d, such as 90d, up to 36500d")
}

/// A whole number of seconds, minutes, hours or days.
fn duration(text: &str) -> Option<TimeDelta> {
    let unit = text.chars().next_back()?;
    let number = text.strip_suffix(unit)?;
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
    let number: i64 = number.parse().ok().filter(|_| is_plain)?;
    match unit {
        's' => TimeDelta::try_seconds(number),
        'm' => TimeDelta::try_minutes(number),
        'h' => TimeDelta::try_hours(number),
        'd' => TimeDelta::try_days(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_its_unit() {
        for (text, seconds) in
            [("0s", 0), ("90s", 90), ("2m", 120), ("24h", 86_400), ("7d", 604_800)]
        {
            assert_eq!(keep_old(text), Ok(TimeDelta::seconds(seconds)), "{text}");
        }
        for text in
            ["", "h", "24", "-1h", "+1h", "1.5h", "1 h", "1w", "8d", "é", "99999999999999999d"]
        {
            assert!(keep_old(text).is_err(), "{text}");
        }
        assert_eq!(life("90d"), Ok(TimeDelta::days(90)));
        for text in ["0s", "36501d"] {
            assert!(life(text).is_err(), "{text}");
        }
    }
}
