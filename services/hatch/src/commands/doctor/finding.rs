//! What a check found.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::Environment;
use hatch_eventstore::SystemEnvironment;
use serde::Serialize;

use crate::output::{field, moment};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warning,
    Failure,
    NotChecked,
}

/// What a check found: what is so, since when, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    check: Cow<'static, str>,
    verdict: Verdict,
    what: String,
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    since: Option<DateTime<Utc>>,
    remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub(super) fn good(check: impl Into<Cow<'static, str>>, what: impl Into<String>) -> Self {
        let (check, what) = (check.into(), what.into());
        Self { check, verdict: Verdict::Ok, what, since: None, remedy: None }
    }

    /// Hatch works, and somebody should look at it.
    pub(super) fn warning(
        check: impl Into<Cow<'static, str>>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = Some(remedy.into());
        Self { verdict: Verdict::Warning, remedy, ..Self::good(check, what) }
    }

    /// Something does not work.
    pub(super) fn failure(
        check: impl Into<Cow<'static, str>>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Failure, ..Self::warning(check, what, remedy) }
    }

    /// It cannot be looked at, for the reason that another finding says.
    pub(super) fn not_checked(check: &'static str, why: &str) -> Self {
        Self { verdict: Verdict::NotChecked, ..Self::good(check, format!("not checked: {why}")) }
    }

    /// The same, since a time, where that is known.
    pub(super) fn since(self, since: Option<DateTime<Utc>>) -> Self {
        Self { since, ..self }
    }

    /// Whether it is a good one of this check.
    pub(super) fn is_good(&self, check: &str) -> bool {
        self.verdict == Verdict::Ok && self.check == check
    }

    pub(super) fn is_failure(&self) -> bool {
        self.verdict == Verdict::Failure
    }

    pub(super) fn is_failure_of(&self, check: &str) -> bool {
        self.is_failure() && self.check == check
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failure => "WRONG",
            Verdict::NotChecked => "-",
        };
        write!(f, "{mark:<8} {:<14} {}", self.check, field(&self.what))?;
        if let Some(since) = self.since {
            let age = age(SystemEnvironment.now() - since);
            write!(f, ", since {} UTC ({age})", moment(since))?;
        }
        match &self.remedy {
            Some(remedy) => write!(f, " -> {remedy}"),
            None => Ok(()),
        }
    }
}

/// In the largest unit of which there are some.
fn age(age: TimeDelta) -> String {
    match age.num_seconds().max(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_that_says_what_since_when_and_what_to_do() {
        let since = SystemEnvironment.now() - TimeDelta::minutes(5);
        let finding = Finding::failure("relay", "no relay leads", "start one").since(Some(since));
        let line = finding.to_string();
        let time = since.format("%Y-%m-%d %H:%M:%S");
        let expected = format!(
            "WRONG    relay          no relay leads, since {time} UTC (5 min) -> start one"
        );
        assert_eq!(line, expected);
        assert!(finding.is_failure());
    }

    #[test]
    fn only_a_failure_fails() {
        for finding in [
            Finding::good("fence", "open"),
            Finding::warning("clock", "skewed", "set it"),
            Finding::not_checked("fence", "PostgreSQL does not answer"),
        ] {
            assert!(!finding.is_failure(), "{finding}");
        }
    }

    #[test]
    fn an_age_is_told_in_a_unit_that_fits() {
        let of = |seconds| age(TimeDelta::seconds(seconds));
        assert_eq!(
            [of(-3), of(119), of(120), of(7_200), of(172_800)].join(", "),
            "0 s, 119 s, 2 min, 2 h, 2 days"
        );
    }
}
