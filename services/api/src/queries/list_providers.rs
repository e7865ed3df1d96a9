//! `GET /api/v1/providers`: the accounts that the tenant's messages may go by, and how each is.

mod weights;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use hatch_directory::Directory;
use hatch_domain::Channel;
use hatch_domain::carrier::{Carrier, Shift};
use hatch_domain::scope::Scope;
use hatch_providers::{Account, Accounts, Routes, Tenants};
use hatch_readmodel::{List, QueryError, WholeList};
use serde::Serialize;
use utoipa::ToSchema;

use self::weights::AccountWeight;
use super::Queries;
use super::parameters::PageParameters;
use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::problem::Problem;

/// What the answer is made of.
#[derive(Clone)]
pub struct Carriers {
    /// The accounts that there are now.
    pub accounts: Accounts,
    /// By which of them which messages go.
    pub routes: Routes,
    /// What the processes told each other of them.
    pub directory: Directory,
    /// What the dispatchers report of them.
    pub figures: Arc<dyn AccountFigures>,
    /// Whether messages are shared as the balance has it, and not as the routes say.
    pub is_balanced: bool,
}

/// Tells what dispatchers report of accounts.
pub trait AccountFigures: Send + Sync {
    /// The reports of all dispatchers that run; none where they cannot be read.
    fn reported(&self) -> BoxFuture<'_, Vec<Reported>>;

    /// How many messages of today these accounts have used, of those of which that is counted. An account is called by its
    /// provider and what that calls it, as in `twilio/AC0`.
    fn used_today(&self, accounts: Vec<String>) -> BoxFuture<'_, Vec<(String, i64)>>;

    /// How messages would be shared if the balance were on; nothing where they would be as they are.
    fn advised(&self) -> BoxFuture<'_, Vec<Shift>>;
}

/// What a dispatcher reports of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// The provider.
    pub provider: String,
    /// What that calls the account.
    pub key: String,
    /// What is wrong, in one word; none where nothing is.
    pub reason: Option<String>,
    /// The same for people, what to do about it, and since when.
    pub told: Option<(String, String, DateTime<Utc>)>,
    /// How its breaker stands there.
    pub breaker: String,
    /// When it is tried that is open.
    pub until: Option<DateTime<Utc>>,
    /// Calls under way.
    pub under_way: i64,
}

impl Reported {
    /// Since when something is wrong.
    fn since(&self) -> Option<DateTime<Utc>> {
        self.told.as_ref().map(|(.., since)| *since)
    }

    /// Whether its breaker is closed there.
    fn is_closed(&self) -> bool {
        self.breaker == "closed"
    }

    /// Whether its breaker was opened there after it was closed for all: a report from before that is old.
    fn has_opened_since(&self, closed: Option<DateTime<Utc>>) -> bool {
        !self.is_closed() && self.since() > closed
    }
}

/// An account that messages of the tenant may go by.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProviderAccount {
    /// What hatch calls it.
    name: String,
    /// The provider that it is at.
    provider: &'static str,
    /// What it carries.
    channels: Vec<Channel>,
    /// Whether it works.
    health: AccountHealth,
    /// Whether messages are given to it.
    breaker: AccountBreaker,
    /// How much it is given.
    rates: AccountRates,
    /// Its share of the messages of each channel.
    weight: BTreeMap<&'static str, AccountWeight>,
}

/// Whether an account works, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum HealthStatus {
    /// Nothing is wrong that is known.
    Up,
    /// Nothing is given to it.
    Down,
    /// None of the last calls was answered.
    Silent,
    /// The last calls failed, and some of them were answered.
    Failing,
}

/// Whether an account works.
#[derive(Debug, Serialize, ToSchema)]
struct AccountHealth {
    /// In one word.
    status: HealthStatus,
    /// What is wrong, in one word, such as `credentials`.
    reason: Option<String>,
    /// Since when.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    since: Option<DateTime<Utc>>,
    /// The same for people. Of an account that other tenants have, too, only the default tenant is told.
    detail: Option<String>,
    /// What to do about it.
    remedy: Option<String>,
}

/// How the breaker of an account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum BreakerState {
    /// Messages go by it.
    Closed,
    /// None does.
    Open,
    /// One at a time does, to try it.
    HalfOpen,
}

/// Whether messages are given to an account.
#[derive(Debug, Serialize, ToSchema)]
struct AccountBreaker {
    /// In one word.
    state: BreakerState,
    /// Since when; none where it has always been so.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    since: Option<DateTime<Utc>>,
    /// When it is tried that is open, as far as a dispatcher says so.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    until: Option<DateTime<Utc>>,
    /// Why it opened, in one word: `failures` in a row, `silent` where none of those was answered, `ratio`, `throttled`,
    /// or what is wrong with the account, such as `account_credentials`. None until it is in the log.
    cause: Option<String>,
    /// Calls that failed when it opened.
    failures: Option<u32>,
    /// Of so many.
    calls: Option<u32>,
}

/// How much an account is given, by all processes together.
#[derive(Debug, Serialize, ToSchema)]
struct AccountRates {
    /// Messages a second at most.
    per_s: Option<f64>,
    /// Messages a second of each sender at most.
    per_sender_per_s: Option<f64>,
    /// Messages of a day at most.
    per_day: Option<u64>,
    /// Messages of today, where they have a limit. Only of an account that no other tenant has, and for the default tenant.
    used_today: Option<u64>,
    /// Calls under way at a time at most.
    concurrency: Option<u32>,
    /// Calls under way. Only of an account that no other tenant has, and for the default tenant.
    under_way: Option<u64>,
}

/// The accounts that the tenant's messages may go by, and how each is
///
/// Those of the installation's files and those that were made by the API, in the order of their names. Their secrets are
/// never shown. What is under way and what was used is shown of accounts that no other tenant has.
#[utoipa::path(
    get, path = "/api/v1/providers", operation_id = "list_providers", tag = "accounts",
    security(("bearer" = ["messages:read"])),
    params(PageParameters),
    responses((status = 200, description = "A page.", body = List<ProviderAccount>))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    QueryParameters(parameters): QueryParameters<PageParameters>,
) -> Result<Json<List<ProviderAccount>>, Problem> {
    let page = parameters.page(&queries, &[]).await?;
    let carriers = &queries.carriers;
    let reported = carriers.figures.reported().await;
    let all = carriers.accounts.current();
    let may_use: Vec<_> = all.iter().filter(|account| account.tenants.has(caller.tenant)).collect();
    let limited = may_use.iter().filter(|account| account.limits.per_day.is_some());
    let limited: Vec<String> = limited.map(|account| called(account)).collect();
    let used = match limited.is_empty() {
        true => Vec::new(),
        false => carriers.figures.used_today(limited).await,
    };
    let figures = (reported.as_slice(), used.as_slice());
    let shifts = carriers.shifts().await;
    let shown = |account: &&Arc<Account>| {
        (account.name.to_string(), carriers.shown(account, &caller, figures, &shifts))
    };
    let cut = page.of(WholeList::Providers, may_use.iter().map(shown));
    Ok(Json(cut.map_err(QueryError::from)?))
}

impl Carriers {
    fn shown(
        &self,
        account: &Account,
        caller: &Caller,
        (reported, used): (&[Reported], &[(String, i64)]),
        shifts: &[Shift],
    ) -> ProviderAccount {
        let (provider, key) = account.key();
        let told = self.directory.carrier(provider, key);
        let of_it = |one: &&Reported| one.provider == provider && one.key == key;
        let reported: Vec<&Reported> = reported.iter().filter(of_it).collect();
        let breaker = breaker(told.as_deref(), &reported);
        // What others do by the same account is none of the tenant's business.
        let is_own = caller.scopes.allows(Scope::Platform)
            || account.tenants == Tenants::These(vec![caller.tenant])
            || self.directory.tenants().is_some_and(|tenants| tenants.len() < 2);
        let under_way: i64 = reported.iter().map(|one| one.under_way).sum();
        let limits = account.limits;
        let name = called(account);
        let used_today = used.iter().find(|(of, _)| *of == name);
        let used_today = used_today.and_then(|(_, used)| u64::try_from(*used).ok());
        ProviderAccount {
            name: account.name.to_string(),
            provider,
            channels: account.channels.clone(),
            health: health(told.as_deref(), &reported, (breaker.state, is_own)),
            rates: AccountRates {
                per_s: limits.per_s,
                per_sender_per_s: limits.per_sender_per_s,
                per_day: limits.per_day,
                used_today: used_today.filter(|_| is_own),
                concurrency: limits.concurrency,
                under_way: u64::try_from(under_way).ok().filter(|_| is_own),
            },
            breaker,
            weight: self.weights(account, caller.tenant, shifts),
        }
    }
}

/// What an account is called where figures are counted.
fn called(account: &Account) -> String {
    let (provider, key) = account.key();
    format!("{provider}/{key}")
}

/// How the breaker of an account stands, by what the fleet was told and by who tries it. Where a dispatcher has opened it
/// since, and the fleet is not told yet, that counts.
fn breaker(told: Option<&Carrier>, reported: &[&Reported]) -> AccountBreaker {
    let closed = told.and_then(Carrier::closed_at);
    let Some(open) = told.and_then(Carrier::open) else {
        let opened = reported.iter().find(|one| one.has_opened_since(closed));
        return AccountBreaker {
            state: match opened.map(|one| one.breaker.as_str()) {
                None => BreakerState::Closed,
                Some("half_open") => BreakerState::HalfOpen,
                Some(_) => BreakerState::Open,
            },
            since: opened.map_or(closed, |one| one.since()),
            until: opened.and_then(|one| one.until),
            cause: None,
            failures: None,
            calls: None,
        };
    };
    let is_tried = reported.iter().any(|one| one.breaker == "half_open");
    AccountBreaker {
        state: if is_tried { BreakerState::HalfOpen } else { BreakerState::Open },
        since: Some(open.at),
        until: reported.iter().filter_map(|one| one.until).min(),
        cause: Some(open.cause.clone()),
        failures: Some(open.failures),
        calls: Some(open.calls),
    }
}

/// What is wrong with an account whose breaker opened for this cause, in the word that a dispatcher has for it.
fn reason(cause: &str) -> &str {
    match cause {
        "failures" | "ratio" => "failing",
        _ => cause.strip_prefix("account_").unwrap_or(cause),
    }
}

fn health(
    told: Option<&Carrier>,
    reported: &[&Reported],
    (breaker, is_own): (BreakerState, bool),
) -> AccountHealth {
    let is_closed = breaker == BreakerState::Closed;
    // Those who know longest come first. Who has the breaker otherwise than it is shown speaks of another moment.
    let wrong = reported.iter().find(|one| one.told.is_some() && one.is_closed() == is_closed);
    let (detail, remedy, since) = match wrong.and_then(|one| one.told.clone()) {
        Some((detail, remedy, since)) => (Some(detail), Some(remedy), Some(since)),
        None => (None, None, None),
    };
    let open = told.and_then(Carrier::open);
    let status = match wrong.map(|one| one.reason.as_deref()) {
        _ if !is_closed => HealthStatus::Down,
        None => HealthStatus::Up,
        Some(Some("silent")) => HealthStatus::Silent,
        Some(_) => HealthStatus::Failing,
    };
    AccountHealth {
        status,
        reason: wrong
            .and_then(|one| one.reason.clone())
            .or_else(|| open.map(|open| reason(&open.cause).to_owned())),
        since: since.or_else(|| open.map(|open| open.at)),
        detail: detail.or_else(|| open.map(|open| open.detail.clone())).filter(|_| is_own),
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use hatch_domain::Decider as _;
    use hatch_domain::carrier::event::{BreakerClosed, BreakerOpened};
    use hatch_domain::ids::TenantId;
    use hatch_domain::traffic::Traffic;
    use serde_json::json;

    use super::*;
    use crate::testing::Api;

    #[tokio::test]
    async fn a_tenant_sees_how_the_accounts_are_that_it_may_use() {
        let api = Api::start_closed().await;
        api.set_accounts(&[Traffic::All], &[Channel::Sms]);
        let key = api.key(TenantId::DEFAULT, &[Scope::MessagesRead], |_| {}).await;
        let answer = api.by(&key, axum::http::Method::GET, "/api/v1/providers", None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let [account] = answer.body["data"].as_array().expect("a list").as_slice() else {
            panic!("{}", answer.body)
        };
        assert_eq!(account["health"]["status"], "up");
        assert_eq!(
            (&account["breaker"]["state"], &account["channels"]),
            (&json!("closed"), &json!(["sms"]))
        );
        assert_eq!(account["weight"]["sms"]["configured"], json!(null));
        assert_eq!(answer.body["next_cursor"], json!(null));
        for (query, pointer) in [("limit=0", "?limit"), ("cursor=x", "?cursor")] {
            let path = format!("/api/v1/providers?{query}");
            let refused = api.by(&key, axum::http::Method::GET, &path, None).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
            assert_eq!(refused.pointers(), [pointer]);
        }
        for (key, of) in [("rates", "under_way"), ("breaker", "until"), ("health", "remedy")] {
            assert!(account[key].as_object().is_some_and(|all| all.contains_key(of)), "{account}");
        }
    }

    fn reported(breaker: &str, reason: Option<&str>) -> Reported {
        let told = reason.map(|_| ("the last 3 calls failed".to_owned(), "look".to_owned(), at(0)));
        Reported {
            provider: "twilio".to_owned(),
            key: "AC0".to_owned(),
            reason: reason.map(str::to_owned),
            told,
            breaker: breaker.to_owned(),
            until: None,
            under_way: 3,
        }
    }

    #[test]
    fn the_words_about_an_account_that_others_have_too_are_not_told() {
        for (reason, status) in
            [("silent", HealthStatus::Silent), ("failing", HealthStatus::Failing)]
        {
            let amiss = reported("closed", Some(reason));
            for (is_own, told) in [(true, true), (false, false)] {
                let health = health(None, &[&amiss], (BreakerState::Closed, is_own));
                assert_eq!((health.status, health.detail.is_some()), (status, told));
            }
        }
        let well = health(None, &[], (BreakerState::Closed, true));
        assert_eq!((well.status, well.reason), (HealthStatus::Up, None));
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).expect("in range")
    }

    fn opened() -> Carrier {
        let opened = BreakerOpened {
            account: "twilio".parse().expect("a name"),
            provider: "twilio".to_owned(),
            key: "AC0".to_owned(),
            cause: "failures".to_owned(),
            detail: "no answer".to_owned(),
            failures: 5,
            calls: 9,
            window_s: 30,
            at: at(0),
        };
        Carrier::default().evolve(&opened.into())
    }

    #[test]
    fn health_and_breaker_agree_whichever_of_them_is_behind() {
        let closed = |second| {
            let closed = BreakerClosed {
                account: "twilio".parse().expect("a name"),
                provider: "twilio".to_owned(),
                key: "AC0".to_owned(),
                open_for_ms: 1,
                at: at(second),
            };
            opened().evolve(&closed.into())
        };
        let [open, half, failing, up] = [
            reported("open", Some("failing")),
            reported("half_open", Some("failing")),
            reported("closed", Some("failing")),
            reported("closed", None),
        ];
        // What the log says, what a dispatcher does, and what is shown.
        for (told, reported, state, status) in [
            (Some(opened()), &open, BreakerState::Open, HealthStatus::Down),
            (Some(opened()), &up, BreakerState::Open, HealthStatus::Down),
            (Some(opened()), &failing, BreakerState::Open, HealthStatus::Down),
            (Some(closed(1)), &open, BreakerState::Closed, HealthStatus::Up),
            (Some(closed(1)), &up, BreakerState::Closed, HealthStatus::Up),
            (Some(closed(1)), &failing, BreakerState::Closed, HealthStatus::Failing),
            (Some(closed(-1)), &open, BreakerState::Open, HealthStatus::Down),
            (None, &open, BreakerState::Open, HealthStatus::Down),
            (None, &half, BreakerState::HalfOpen, HealthStatus::Down),
        ] {
            let stands = breaker(told.as_ref(), &[reported]);
            let health = health(told.as_ref(), &[reported], (stands.state, true));
            assert_eq!((stands.state, health.status), (state, status), "{told:?} {reported:?}");
            assert_eq!(
                health.reason.is_none(),
                status == HealthStatus::Up,
                "{told:?} {reported:?}"
            );
        }
    }

    #[test]
    fn a_breaker_is_half_open_where_some_dispatcher_tries() {
        let told = opened();
        let [open, tried] = ["open", "half_open"].map(|breaker| reported(breaker, None));
        assert_eq!(breaker(Some(&told), &[&open]).state, BreakerState::Open);
        let half = breaker(Some(&told), &[&open, &tried]);
        assert_eq!(
            (half.state, half.failures, half.calls),
            (BreakerState::HalfOpen, Some(5), Some(9))
        );
        let shown = serde_json::to_value(&half).expect("JSON");
        assert_eq!(shown["since"], "2027-01-15T08:00:00.000000Z", "as every time is written");
        assert_eq!(breaker(None, &[&tried]).state, BreakerState::Closed);
        // Where no dispatcher reports, the log says the same in the same words.
        let health = health(Some(&told), &[], (BreakerState::Open, true));
        let reason_of_it = health.reason.as_deref();
        assert_eq!((health.status, reason_of_it), (HealthStatus::Down, Some("failing")));
        assert_eq!(
            ["account_credentials", "throttled", "ratio", "silent"].map(reason),
            ["credentials", "throttled", "failing", "silent"]
        );
    }
}
