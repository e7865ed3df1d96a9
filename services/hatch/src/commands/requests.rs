//! `hatch requests`: what clients asked, and how it was answered.

use std::collections::BTreeMap;
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

/// How late a process may write what it answered, for a follower to see it: it writes every quarter of a second, and a
/// request is written at its end and has the time of its beginning.
const LATE_MAX: TimeDelta = TimeDelta::seconds(30);

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
    let from = page.data.first().map_or(DateTime::UNIX_EPOCH, |request| request.at);
    for request in read_model.requests_since(tenant, from - LATE_MAX, LOOK_MAX).await? {
        tail.pass(&request);
    }
    loop {
        tokio::time::sleep(POLL).await;
        let seen = tail.newest.unwrap_or(from);
        let mut found = read_model.requests_since(tenant, seen - LATE_MAX, LOOK_MAX).await?;
        if i64::try_from(found.len())? == LOOK_MAX {
            note("more requests come than can be shown: some are left out");
        }
        found.retain(|request| !tail.seen.contains_key(&request.row));
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
    /// The rows of lately, with their times: they come in an order of their own.
    seen: BTreeMap<Uuid, DateTime<Utc>>,
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
        self.seen.insert(request.row, request.at);
        self.newest = self.newest.max(Some(request.at));
    }

    /// Forgets what no look finds any more.
    fn forget(&mut self) {
        if let Some(newest) = self.newest {
            self.seen.retain(|_, at| *at >= newest - LATE_MAX);
        }
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
