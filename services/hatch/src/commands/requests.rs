//! `hatch requests`: what clients asked, and how it was answered.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::ids::TenantId;
use hatch_readmodel::{LoggedRequest, Page, ReadModel, RequestFilter};
use uuid::Uuid;

use super::pool;
use crate::cli::TailRequests;
use crate::output::{field, line, note};
use crate::settings::Settings;

/// Between two looks at the log.
const POLL: Duration = Duration::from_millis(250);

/// How long a request may take, for a follower to see it: it is written at its end and has the time of its beginning.
const TAKES_MAX: TimeDelta = TimeDelta::seconds(30);

/// How late its row may come beside that of another process, which makes rows by its own clock and writes them every
/// quarter of a second.
const LATE_MAX_MS: u128 = 5_000;

/// Bits of a row's id after its time in milliseconds (RFC 9562, section 5.7).
const BITS_AFTER_TIME: u32 = 80;

/// Requests of one look at most.
const LOOK_MAX: i64 = 10_000;

/// Prints the newest requests, then what comes, until it is interrupted.
pub(crate) async fn tail(settings: &Settings, flags: TailRequests) -> anyhow::Result<()> {
    let read_model = ReadModel::new(pool(settings)?);
    let tenant = flags.tenant.unwrap_or(TenantId::DEFAULT);
    let filter = RequestFilter {
        status: flags.status,
        route: flags.route.as_deref().map(RequestFilter::route_of),
        key: flags.key,
        ..RequestFilter::default()
    };
    let page = Page::new(Some(flags.lines.max(1)), None)?;
    let mut newest = read_model.requests(tenant, &filter, &page).await?.data;
    newest.truncate(usize::try_from(flags.lines)?);
    let mut tail = Tail::default();
    tail.print(newest, flags.json)?;
    if flags.no_follow {
        return Ok(());
    }
    // What is there already was not asked for, but for these.
    let page = read_model.requests(tenant, &RequestFilter::default(), &Page::default()).await?;
    page.data.iter().for_each(|request| tail.pass(request));
    for request in read_model.requests_since(tenant, tail.since(), LOOK_MAX).await? {
        tail.pass(&request);
    }
    loop {
        tokio::time::sleep(POLL).await;
        let mut found = read_model.requests_since(tenant, tail.since(), LOOK_MAX).await?;
        let is_full = i64::try_from(found.len())? == LOOK_MAX;
        if is_full && found.last().is_some_and(|oldest| !tail.seen.contains(&oldest.row)) {
            note("more requests come than can be shown: some are left out");
        }
        found.retain(|request| !tail.seen.contains(&request.row));
        for request in &found {
            tail.pass(request);
        }
        found.retain(|request| filter.admits(request));
        tail.print(found, flags.json)?;
        tail.forget();
    }
}

/// What was printed or passed over.
#[derive(Default)]
struct Tail {
    /// The rows of lately, which come a little out of their order.
    seen: BTreeSet<Uuid>,
    newest: Option<DateTime<Utc>>,
}

impl Tail {
    /// Prints `newest_first`, the oldest of them first.
    fn print(&mut self, newest_first: Vec<LoggedRequest>, json: bool) -> anyhow::Result<()> {
        for request in newest_first.into_iter().rev() {
            self.pass(&request);
            line(if json { serde_json::to_string(&request)? } else { row(&request) })?;
        }
        Ok(())
    }

    fn pass(&mut self, request: &LoggedRequest) {
        self.seen.insert(request.row);
        self.newest = self.newest.max(Some(request.at));
    }

    /// From when on requests are looked for, and from which row on.
    fn since(&self) -> (DateTime<Utc>, Uuid) {
        let at = self.newest.map_or(DateTime::UNIX_EPOCH, |newest| newest - TAKES_MAX);
        let made_ms = self.seen.last().map_or(0, |row| row.as_u128() >> BITS_AFTER_TIME);
        (at, Uuid::from_u128(made_ms.saturating_sub(LATE_MAX_MS) << BITS_AFTER_TIME))
    }

    /// Forgets what no look finds any more.
    fn forget(&mut self) {
        let (_, row) = self.since();
        self.seen = self.seen.split_off(&row);
    }
}

fn row(request: &LoggedRequest) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let query = request.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    format!(
        "{}  {}  {:>8.1} ms  {:<6}  {}  {}  {}  {}",
        request.at.format("%Y-%m-%d %H:%M:%S%.3f"),
        request.status,
        request.duration_ms,
        request.method,
        field(&format!("{}{query}", request.path)),
        field(&text(&request.code)),
        field(&text(&request.actor)),
        field(&request.id),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_looked_for_that_may_come_yet_and_others_are_forgotten() {
        let row = |ms: u128| Uuid::from_u128((ms << BITS_AFTER_TIME) | 0x7abc);
        let mut tail = Tail::default();
        assert_eq!(tail.since(), (DateTime::UNIX_EPOCH, Uuid::nil()));
        let newest = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        tail.newest = Some(newest);
        tail.seen.extend([row(100_000), row(96_000), row(94_999)]);
        let (at, from) = tail.since();
        assert_eq!(at, newest - TAKES_MAX);
        assert!(from <= row(95_000) && from > row(94_999));
        tail.forget();
        assert_eq!(tail.seen.len(), 2);
    }
}
