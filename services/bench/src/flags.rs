//! The command line.

use clap::Parser;

use crate::disturb::Mode;

/// Send messages at a steady rate, and say how much, how fast, and that none is lost.
#[derive(Debug, Parser)]
#[command(name = "hatch bench", bin_name = "hatch bench", version, max_term_width = 100)]
#[command(after_help = "Example: hatch bench --rate 1000 --duration 60 --html report.html\n\
    hatch bench --find-max --duration 20 --json report.json\n\
    hatch bench --rate 200 --disturb down,throttled,slow,mute --html report.html\n\
    Against the `hatch up` of this folder, or --url with its HATCH_DATABASE_URL.\n\
    Exit status 1 when a message is lost, doubled or stuck. docs/performance.md says what each\n\
    figure means.")]
pub struct Flags {
    /// Messages a second; where --find-max begins.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub rate: u32,
    /// For how many seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub duration: u32,
    /// Connections, and so requests under way, at most.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub clients: u16,
    /// Search for the highest rate that is held for the whole duration with no growing backlog.
    #[arg(long)]
    pub find_max: bool,
    /// Show what becomes of more than can be finished: 0.5 to 2 times the ceiling and 0.5 again, each
    /// for --duration. The ceiling is --rate, or with --find-max what that finds.
    #[arg(long, conflicts_with = "accept_only")]
    pub overload: bool,
    /// Measure how messages are accepted; that they are delivered is only waited for.
    #[arg(long)]
    pub accept_only: bool,
    /// Disturb an account while messages are sent, in each of these ways in turn, with a calm of 15 s before and after
    /// each; --duration is what that takes.
    #[arg(long, value_name = "MODES", value_delimiter = ',', value_enum)]
    #[arg(conflicts_with_all = ["find_max", "overload", "accept_only", "duration", "fairness"])]
    pub disturb: Vec<Mode>,
    /// For how many seconds each.
    #[arg(long, default_value_t = 30, requires = "disturb")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub disturb_s: u32,
    /// The account, by hatch's name of it [default: the one that takes the most].
    #[arg(long, value_name = "NAME", requires = "disturb")]
    pub disturb_account: Option<String>,
    /// Let one tenant have a long queue, and see how long a message of another tenant waits, and an urgent one of its
    /// own: one of each a second for --duration. Exit status 1 when one waits for more than 2 s. The account needs a
    /// rate (`rate_per_s`) by which the queue lasts for so long.
    #[arg(long, conflicts_with_all = ["find_max", "overload", "accept_only", "html"])]
    pub fairness: bool,
    /// How many messages the queue has.
    #[arg(long, default_value_t = 20_000, requires = "fairness")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub fairness_queue: u32,
    /// The hatch to send to [default: where `up` listens].
    #[arg(long)]
    pub url: Option<String>,
    /// Its simulator [default: where `up` has it].
    #[arg(long)]
    pub simulator: Option<String>,
    /// Send each request with the API key in this file.
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<std::path::PathBuf>,
    /// Another seed, other texts and recipients.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write the figures as JSON.
    #[arg(long)]
    pub json: Option<std::path::PathBuf>,
    /// Write them as a page with charts.
    #[arg(long)]
    pub html: Option<std::path::PathBuf>,
}
