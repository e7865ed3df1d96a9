//! The flags of `hatch requests`.

use clap::{Args, Subcommand};
use hatch_domain::ids::TenantId;
use hatch_readmodel::RequestFilter;

use super::keys::tenant;

/// What to do with the request log.
#[derive(Debug, Subcommand)]
pub enum Requests {
    /// Print the newest requests, the oldest of them first, then follow the request log.
    #[command(
        after_help = "Example: hatch requests tail --status 4xx --route 'POST /api/v1/messages'\n\
        --no-follow ends after the newest requests."
    )]
    Tail(TailRequests),
}

/// Flags of `requests tail`.
#[derive(Debug, Args)]
pub struct TailRequests {
    /// Those with this status, such as 404, or one of its class, such as 4xx.
    #[arg(long, value_parser = status)]
    pub status: Option<(i16, i16)>,
    /// Those to this route, such as /api/v1/messages/{id} or 'POST /api/v1/messages'.
    #[arg(long)]
    pub route: Option<String>,
    /// Those by this key, also where it was refused.
    #[arg(long)]
    pub key: Option<String>,
    /// Of this tenant [default: the default one].
    #[arg(long, value_parser = tenant)]
    pub tenant: Option<TenantId>,
    /// How many of the newest to begin with (at most 200).
    #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=200))]
    pub lines: u32,
    /// End after these.
    #[arg(long)]
    pub no_follow: bool,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

fn status(text: &str) -> Result<(i16, i16), &'static str> {
    RequestFilter::status_of(text).ok_or("expected a status such as 404, or a class such as 4xx")
}
