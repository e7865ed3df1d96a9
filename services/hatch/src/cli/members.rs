//! The flags of `hatch members`.

use clap::{Args, Subcommand};
use hatch_domain::address::Address;
use hatch_domain::ids::TenantId;
use hatch_domain::member::Role;
use hatch_domain::scope::Scope;

use super::keys::{scope, tenant};

/// What to do with members.
#[derive(Debug, Subcommand)]
pub enum Members {
    /// Invite a person, and print the link this once.
    #[command(after_help = "Example: hatch members invite ann@example.com --role owner\n\
        The link alone goes to the standard output. It lets in once, and for three days; who is invited again gets\n\
        another one, and the one before ends. Processes that run know the link within half a\n\
        second. A set of scopes of one's own:\n  \
        hatch members invite bob@example.com --role custom --scope messages:read --scope raw:read")]
    Invite(InviteMember),
    /// Print the members of a tenant, the newest first.
    #[command(after_help = "Example: hatch members list --json")]
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
    /// Remove a member, who is signed out everywhere within a second.
    #[command(after_help = "Example: hatch members remove ann@example.com\n\
        The last owner of a tenant stays. Safe to repeat.")]
    Remove {
        /// The member's email.
        #[arg(value_parser = email)]
        email: Address,
        /// Whose member [default: the default tenant's].
        #[arg(long, value_parser = tenant)]
        tenant: Option<TenantId>,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Flags of `members invite`.
#[derive(Debug, Args)]
pub struct InviteMember {
    /// The person's email.
    #[arg(value_parser = email)]
    pub email: Address,
    /// What the person is to be: owner, admin, agent, viewer, or custom with --scope.
    #[arg(long, value_parser = role)]
    pub role: Role,
    /// What a person of the role custom may do; may be repeated.
    #[arg(long = "scope", value_parser = scope)]
    pub scopes: Vec<Scope>,
    /// What the person is called.
    #[arg(long)]
    pub name: Option<String>,
    /// Of which tenant [default: the default tenant].
    #[arg(long, value_parser = tenant)]
    pub tenant: Option<TenantId>,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

fn email(text: &str) -> Result<Address, String> {
    Address::email(text).map_err(|error| error.to_string())
}

fn role(text: &str) -> Result<Role, String> {
    text.parse().map_err(|error: hatch_domain::member::UnknownRole| error.to_string())
}
