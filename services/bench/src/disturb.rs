//! `--disturb`: how soon messages go by other accounts when one has a bad time, and how soon they come back.
//!
//! The simulator disturbs the account as it is told to. Its record says afterwards by which account each message went
//! and when, so that the figures need nothing of hatch's own.

mod figures;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use clap::ValueEnum;
use hatch_domain::Environment as _;
use hatch_eventstore::SystemEnvironment;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::book::Book;
use crate::evidence::{Evidence, each_line};
use crate::load::Load;
use crate::{Measured, plan::Plan};

pub(crate) use self::figures::Disturbed;
use self::figures::{Course, Sent};

/// Before the first disturbance, and after each.
const CALM: Duration = Duration::from_secs(15);

/// Before a disturbance, the record is looked at so early.
const LOOK_EARLY: Duration = Duration::from_secs(2);

/// How long the simulator may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How an account is disturbed. The names are the simulator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Every request fails with the provider's own error.
    Down,
    /// Every request is throttled.
    Throttled,
    /// Requests are answered late.
    Slow,
    /// Messages are taken, and the requests never answered.
    Mute,
}

/// A disturbance that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) mode: Mode,
    /// Since the start of the run.
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

/// The disturbances of `modes`, `each` long.
pub(crate) fn periods(modes: &[Mode], each: Duration) -> Vec<Period> {
    let starts = (0_u32..).map(|n| CALM + n * (each + CALM));
    modes
        .iter()
        .zip(starts)
        .map(|(mode, from)| Period { mode: *mode, from, to: from + each })
        .collect()
}

/// How long a run with these takes.
pub(crate) fn duration(periods: &[Period]) -> Duration {
    periods.last().map_or(CALM, |last| last.to + CALM)
}

/// An account as the simulator lists it.
#[derive(Clone, Debug, Deserialize)]
struct Known {
    /// Hatch's name.
    name: String,
    /// The provider's, which the record has.
    account: String,
}

/// Disturbs an account of one simulator.
pub(crate) struct Disturber {
    http: reqwest::Client,
    simulator: String,
    periods: Vec<Period>,
    known: Vec<Known>,
    /// The account that is asked for, by hatch's name.
    asked: Option<String>,
}

impl Disturber {
    /// One that is to disturb `asked`, or else the account that takes the most.
    ///
    /// # Errors
    /// The simulator does not answer, or has no such account.
    pub(crate) async fn new(
        simulator: &str,
        periods: Vec<Period>,
        asked: Option<String>,
    ) -> anyhow::Result<Self> {
        let http = hatch::http_client(ANSWER_MAX)?;
        let answer = http.get(format!("{simulator}/_sim/accounts")).send().await?;
        let known: Vec<Known> = answer.error_for_status()?.json().await?;
        if let Some(name) = &asked {
            let names: Vec<&str> = known.iter().map(|one| one.name.as_str()).collect();
            ensure!(
                names.contains(&name.as_str()),
                "--disturb-account: expected one of {}, got {name}",
                names.join(", ")
            );
        }
        Ok(Self { http, simulator: simulator.to_owned(), periods, known, asked })
    }

    /// Disturbs the account in each way when its time comes, and says which account that was.
    ///
    /// # Errors
    /// The simulator does not answer, or has taken nothing yet.
    pub(crate) async fn run(&self, book: &Book) -> anyhow::Result<String> {
        let at = |since: Duration| tokio::time::Instant::from_std(book.start() + since);
        let name = match &self.asked {
            Some(name) => name.clone(),
            None => {
                tokio::time::sleep_until(at(CALM - LOOK_EARLY)).await;
                self.busiest(wall(book.start())).await?
            }
        };
        for Period { mode, from, to } in &self.periods {
            tokio::time::sleep_until(at(*from)).await;
            self.set(&name, json!({"mode": mode})).await?;
            tokio::time::sleep_until(at(*to)).await;
            self.set(&name, json!({"mode": "up"})).await?;
        }
        Ok(name)
    }

    /// Ends whatever disturbance there is, of any account that this may have disturbed.
    pub(crate) async fn calm(&self) -> anyhow::Result<()> {
        for one in &self.known {
            if self.asked.as_ref().is_none_or(|asked| *asked == one.name) {
                self.set(&one.name, json!({"mode": "up"})).await?;
            }
        }
        Ok(())
    }

    async fn set(&self, name: &str, disturbance: serde_json::Value) -> anyhow::Result<()> {
        let url = format!("{}/_sim/accounts/{name}", self.simulator);
        let answer = self.http.put(url).json(&disturbance).send().await?;
        answer.error_for_status().context("failed to disturb the account")?;
        Ok(())
    }

    /// Which account has taken the most since then.
    async fn busiest(&self, since: DateTime<Utc>) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct Line {
            account: String,
            accepted_at: DateTime<Utc>,
        }
        let mut counts: HashMap<String, u64> = HashMap::new();
        each_line(&self.simulator, |line| {
            let line: Line = serde_json::from_slice(line)?;
            if line.accepted_at >= since {
                *counts.entry(line.account).or_default() += 1;
            }
            Ok(())
        })
        .await?;
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        let (account, _) = most.context("the simulator has taken nothing yet")?;
        Ok(self.name_of(&account).to_owned())
    }

    /// Hatch's name of the account that its provider calls so.
    fn name_of<'a>(&'a self, account: &'a str) -> &'a str {
        let known = self.known.iter().find(|one| one.account == account);
        known.map_or(account, |one| &one.name)
    }

    /// What the disturbances of the account `name` came to.
    pub(crate) fn figures(
        &self,
        measured: &Measured,
        evidence: &Evidence,
        name: String,
        start: DateTime<Utc>,
    ) -> Disturbed {
        let by_id: HashMap<_, _> = evidence.sends.iter().map(|sent| (sent.id, sent)).collect();
        let of_it = evidence.sends.iter().filter(|sent| self.name_of(&sent.account) == name);
        let (mails, all) = of_it.fold((0_u64, 0_u64), |(mails, all), sent| {
            (mails + u64::from(sent.is_mail()), all + 1)
        });
        // Only what it could have carried says how much of it goes elsewhere.
        let is_mail = 2 * mails > all;
        let sent = |account: &str, seconds: f64| Sent {
            seconds,
            account: self.name_of(account).to_owned(),
        };
        let sends = evidence.sends.iter().filter(|sent| sent.is_mail() == is_mail).map(|one| {
            let micros = (one.accepted_at - start).num_microseconds().unwrap_or(i64::MAX);
            sent(&one.account, micros as f64 / 1e6)
        });
        let delivered = measured.entries.delivered.iter().filter_map(|(id, at)| {
            let one = by_id.get(id).filter(|one| one.is_mail() == is_mail)?;
            Some(sent(&one.account, at.as_secs_f64()))
        });
        let Plan { rate, duration, .. } = measured.plan;
        let course = Course {
            account: name,
            due_per_s: f64::from(rate) * Load::share(is_mail),
            seconds: duration.as_secs(),
            sends: sends.collect(),
            delivered: delivered.collect(),
        };
        course.figures(&self.periods, CALM)
    }
}

/// The time of day at `instant`.
pub(crate) fn wall(instant: Instant) -> DateTime<Utc> {
    let (now, wall) = (Instant::now(), SystemEnvironment.now());
    let ago = now.saturating_duration_since(instant);
    let ahead = instant.saturating_duration_since(now);
    let shift = |by: Duration| chrono::TimeDelta::from_std(by).unwrap_or_default();
    wall - shift(ago) + shift(ahead)
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// What a run came to that was down for a second, and then carried by another account.
    pub(crate) fn disturbed() -> Disturbed {
        let sent = |n: u32| {
            let seconds = f64::from(n) / 10.0;
            let account = if (16.0..40.0).contains(&seconds) { "second" } else { "first" };
            Sent { seconds, account: account.to_owned() }
        };
        let sends: Vec<Sent> = (0..600).map(sent).collect();
        let course = Course {
            account: "first".to_owned(),
            due_per_s: 10.0,
            seconds: 60,
            delivered: sends.clone(),
            sends,
        };
        course.figures(&periods(&[Mode::Down], Duration::from_secs(30)), CALM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_calm_before_and_after_each_disturbance() {
        let each = Duration::from_secs(30);
        let periods = periods(&[Mode::Down, Mode::Mute], each);
        let seconds: Vec<_> =
            periods.iter().map(|one| (one.mode, one.from.as_secs(), one.to.as_secs())).collect();
        assert_eq!(seconds, [(Mode::Down, 15, 45), (Mode::Mute, 60, 90)]);
        assert_eq!(duration(&periods), Duration::from_secs(105));
    }
}
