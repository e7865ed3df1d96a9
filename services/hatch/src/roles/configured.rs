//! Builds what each role needs from the settings. A bad setting is refused with its key.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::TimeDelta;
use hatch_api::webhooks::{KeepRules, OwnMailboxes, RefusedRates, WordRules};
use hatch_api::{Sites, TrustedProxies};
use hatch_dispatcher::TenantCaps;
use hatch_domain::address::Address;
use hatch_domain::consent::words;
use hatch_domain::ids::TenantId;
use hatch_domain::mailbox::Mailbox;
use hatch_eventstore::{BadDatabase, Database, DatabasePlace, PAGE_EVENTS_MAX, SystemEnvironment};
use hatch_providers::{Limits, is_of_this_machine};

use super::accounts::{
    accounts, at_providers, check_accounts, http_timeout, providers_in_doubt, slowest,
};
use super::listener::{certificate_files, cors};
use crate::settings::accounts::outside_url;
use crate::settings::{LimitSettings, Settings, SeveralMailboxes};
use crate::{admission, files, tokens};

/// How many attempts one process may have under way at a time.
const AT_ONCE: std::ops::RangeInclusive<usize> = 1..=10_000;

/// How long a text that answers a word may be.
const ANSWER_CHARACTERS: std::ops::RangeInclusive<usize> = 1..=320;

/// How often may be looked, in milliseconds.
const POLL_MS: std::ops::RangeInclusive<u64> = 10..=60_000;

/// How many refused webhooks may be kept a minute, and for how long webhooks may be.
const REFUSED_PER_MINUTE_MAX: u32 = 10_000;
const RETENTION_DAYS: std::ops::RangeInclusive<u32> = 1..=3_650;

pub(super) fn dispatcher_config(settings: &Settings) -> anyhow::Result<hatch_dispatcher::Config> {
    let dispatcher = &settings.dispatcher;
    let config = hatch_dispatcher::Config {
        concurrency_max: dispatcher.concurrency_max,
        // Each is a file.
        account_concurrency_max: files::share(dispatcher.account_concurrency_max),
        lease: Duration::from_millis(dispatcher.lease_ms),
        http_timeout: http_timeout(settings),
        retry: dispatcher.retry,
        account_backoff: <(Duration, Duration)>::from(
            dispatcher.account_backoff_ms.map(Duration::from_millis),
        ),
        breaker: dispatcher.breaker,
        balance: settings.balance,
        timers_lag: Duration::from_millis(dispatcher.timers_lag_ms),
        attempts_kept: Duration::from_secs(u64::from(dispatcher.attempts_kept_days) * 86_400),
        waits: hatch_dispatcher::Waits {
            delivery_grace: Duration::from_millis(dispatcher.delivery_grace_ms),
            validity: Duration::from_millis(dispatcher.validity_ms),
            look_ups: dispatcher.look_ups_ms.map(Duration::from_millis),
            conclusive_after: Duration::ZERO,
            call: http_timeout(settings) + hatch_dispatcher::LEASE_MARGIN,
            receipt: Duration::from_millis(dispatcher.receipt_wait_ms),
        },
    };
    anyhow::ensure!(
        RETENTION_DAYS.contains(&dispatcher.attempts_kept_days),
        "configuration: dispatcher.attempts_kept_days: expected {} to {}, got {}",
        RETENTION_DAYS.start(),
        RETENTION_DAYS.end(),
        dispatcher.attempts_kept_days
    );
    let at_once = [
        ("concurrency_max", dispatcher.concurrency_max),
        ("account_concurrency_max", dispatcher.account_concurrency_max),
    ];
    for (key, value) in at_once {
        anyhow::ensure!(
            AT_ONCE.contains(&value),
            "configuration: dispatcher.{key}: expected {} to {}, got {value}",
            AT_ONCE.start(),
            AT_ONCE.end()
        );
    }
    tenant_caps(settings)?;
    if let Some((key, longest)) = slowest(settings) {
        let least = longest + hatch_dispatcher::LEASE_MARGIN;
        anyhow::ensure!(
            config.lease > least,
            "configuration: dispatcher.lease_ms: expected more than {}, because {key} is {}, got {}",
            least.as_millis(),
            longest.as_millis(),
            dispatcher.lease_ms
        );
    }
    config.check().map_err(|e| anyhow::anyhow!("configuration: dispatcher.{e}"))?;
    config.balance.check().map_err(|e| anyhow::anyhow!("configuration: {e}"))?;
    Ok(config)
}

/// How many messages of a day tenants may have sent.
pub(super) fn tenant_caps(settings: &Settings) -> anyhow::Result<TenantCaps> {
    let LimitSettings { messages_per_day: each, tenant_messages_per_day, .. } = &settings.limits;
    anyhow::ensure!(
        each.is_none_or(Limits::is_count),
        "configuration: limits.messages_per_day: expected {}",
        Limits::COUNT_EXPECTED
    );
    let own = tenant_messages_per_day.iter().map(|(id, number)| -> anyhow::Result<_> {
        let key = format!("configuration: limits.tenant_messages_per_day.{id}");
        let tenant = id.parse::<TenantId>().ok();
        let tenant = tenant.with_context(|| format!("{key}: expected the id of a tenant"))?;
        anyhow::ensure!(Limits::is_count(*number), "{key}: expected {}", Limits::COUNT_EXPECTED);
        Ok((tenant, *number))
    });
    Ok(TenantCaps { each: *each, own: own.collect::<anyhow::Result<_>>()? })
}

pub(super) fn relay_config(settings: &Settings) -> anyhow::Result<hatch_relay::Config> {
    let config = settings.relay.clone();
    page("relay.page_events_max", config.page_events_max)?;
    poll("relay.poll_ms", config.poll_ms)?;
    poll("relay.standby_poll_ms", config.standby_poll_ms)?;
    poll("relay.halt_poll_ms", config.halt_poll_ms)?;
    Ok(config)
}

pub(super) fn projector_config(settings: &Settings) -> anyhow::Result<hatch_projector::Config> {
    let config = settings.projector.clone();
    page("projector.page_events_max", config.page_events_max)?;
    poll("projector.standby_poll_ms", config.standby_poll_ms)?;
    Ok(config)
}

/// Checks how many events are read at once.
fn page(key: &str, events: usize) -> anyhow::Result<()> {
    anyhow::ensure!(
        (1..=PAGE_EVENTS_MAX).contains(&events),
        "configuration: {key}: expected 1 to {PAGE_EVENTS_MAX}, got {events}"
    );
    Ok(())
}

/// Checks how often something is looked at.
fn poll(key: &str, ms: u64) -> anyhow::Result<()> {
    anyhow::ensure!(
        POLL_MS.contains(&ms),
        "configuration: {key}: expected {} to {}, got {ms}",
        POLL_MS.start(),
        POLL_MS.end()
    );
    Ok(())
}

/// What is done about words that people write.
pub(crate) fn word_rules(settings: &Settings) -> anyhow::Result<WordRules> {
    let consent = &settings.consent;
    let text = |key, text: &Option<String>| {
        let Some(text) = text else { return Ok(None) };
        anyhow::ensure!(
            ANSWER_CHARACTERS.contains(&text.trim().chars().count()) && !text.contains('\0'),
            "configuration: consent.{key}: expected {} to {} characters, none of them NUL",
            ANSWER_CHARACTERS.start(),
            ANSWER_CHARACTERS.end()
        );
        // Another system that answers words would answer it, and so on.
        anyhow::ensure!(
            words::read(text).is_none(),
            "configuration: consent.{key}: expected a text that is not itself a word such as STOP"
        );
        Ok(Some(text.clone()))
    };
    Ok(WordRules {
        stop_text: text("stop_text", &consent.stop_text)?,
        start_text: text("start_text", &consent.start_text)?,
        help_text: text("help_text", &consent.help_text)?,
        near_misses_withdraw: consent.near_misses_withdraw,
    })
}

/// What is kept of webhooks.
pub(crate) fn keep_rules(settings: &Settings) -> anyhow::Result<KeepRules> {
    let kept = &settings.webhook_log;
    let rate = |key, per_minute: u32| {
        anyhow::ensure!(
            per_minute <= REFUSED_PER_MINUTE_MAX,
            "configuration: webhook_log.{key}: expected 0 to {REFUSED_PER_MINUTE_MAX}, got {per_minute}"
        );
        Ok(per_minute)
    };
    let days = |key, days: u32| {
        anyhow::ensure!(
            RETENTION_DAYS.contains(&days),
            "configuration: webhook_log.{key}: expected {} to {}, got {days}",
            RETENTION_DAYS.start(),
            RETENTION_DAYS.end()
        );
        Ok(TimeDelta::days(days.into()))
    };
    Ok(KeepRules {
        refused_rates: RefusedRates {
            by_address_per_minute: rate(
                "refused_by_address_per_minute",
                kept.refused_by_address_per_minute,
            )?,
            by_path_per_minute: rate(
                "refused_by_path_per_minute",
                kept.refused_by_path_per_minute,
            )?,
        },
        refused: days("refused_retention_days", kept.refused_retention_days)?,
        settled: days("retention_days", kept.retention_days)?,
        quarantined: days("quarantine_retention_days", kept.quarantine_retention_days)?,
        bodies: days("whole_body_retention_days", kept.whole_body_retention_days)?,
        raw_mails: kept
            .raw_mail_retention_days
            .map(|kept| days("raw_mail_retention_days", kept))
            .transpose()?,
        refused_bytes_max: kept.refused_bytes_max,
        quarantined_bytes_max: kept.quarantine_bytes_max,
        bytes_max: kept.bytes_max,
        waiting_receipts_max: kept.waiting_receipts_max,
    })
}

/// Refuses a public URL that is none, and one by which no real provider that has an account here gets back.
fn public_url(settings: &Settings) -> anyhow::Result<()> {
    outside_url(&settings.public_url()).context(
        "configuration: public_url: expected a URL such as https://hatch.example.com, without user and \
         password",
    )?;
    for (name, provider, url) in at_providers(settings) {
        anyhow::ensure!(
            !is_of_this_machine(&url),
            "configuration: public_url: expected the URL by which {provider} reaches hatch, such as \
             https://hatch.example.com, because {name} is an account there; {} leads to this machine only",
            url.host_str().unwrap_or_default()
        );
    }
    Ok(())
}

pub(crate) fn trusted_proxies(settings: &Settings) -> anyhow::Result<TrustedProxies> {
    TrustedProxies::parse(&settings.trusted_proxies).map_err(|text| {
        anyhow::anyhow!(
            "configuration: trusted_proxies: expected addresses or networks such as 10.0.0.0/8, got {text:?}"
        )
    })
}

/// The names that this process is reached by.
pub(crate) fn sites(settings: &Settings) -> Sites {
    let listen = settings.listen.parse::<SocketAddr>().ok().map(|address| address.ip());
    Sites::new(&settings.public_url(), listen, &settings.hosts)
}

/// PostgreSQL's address, parsed.
///
/// # Errors
/// When it is missing or no address.
pub fn postgres(settings: &Settings) -> anyhow::Result<Database> {
    let url = settings.database_url()?;
    let mut config: Database = url.parse().map_err(|error| {
        let expected =
            "configuration: database_url: expected postgres://user:password@host:port/database";
        match error {
            // The error itself may quote a password.
            BadDatabase::Unreadable(_) => anyhow::anyhow!(expected),
            BadDatabase::Security(refusal) => anyhow::Error::new(refusal).context(expected),
        }
    })?;
    config.application_name("hatch");
    Ok(config)
}

/// What is configured about the database that `postgres` leads to.
pub(crate) fn place(settings: &Settings, postgres: &Database) -> DatabasePlace {
    DatabasePlace::new(postgres, settings.database_host.clone(), settings.deployment.clone())
}

/// Everything but its accounts that keeps a process of all roles from starting, each with its key.
pub(crate) fn refusals(settings: &Settings) -> Vec<anyhow::Error> {
    let checks = [
        postgres(settings).map(drop),
        settings.bus().map(drop),
        default_sender(settings).map(drop),
        default_email_sender(settings).map(drop),
        dispatcher_config(settings).map(drop),
        relay_config(settings).map(drop),
        projector_config(settings).map(drop),
        providers_in_doubt(settings),
        public_url(settings),
        trusted_proxies(settings).map(drop),
        admission::of(&settings.admission).map(drop),
        keep_rules(settings).map(drop),
        word_rules(settings).map(drop),
        own_mailboxes(settings).map(drop),
        settings.rate_limit.rules().map(drop),
        settings.keyring().map(drop),
        settings.issuers().map(drop),
        tokens::oidc(settings, Arc::new(SystemEnvironment)).map(drop),
        certificate_files(settings).map(drop),
        cors(settings).map(drop),
        settings.trail_rules().map(drop),
        routes(settings),
    ];
    checks.into_iter().filter_map(Result::err).collect()
}

/// Refuses wrong routes. What is wrong with the accounts, others say.
fn routes(settings: &Settings) -> anyhow::Result<()> {
    accounts(settings).map_or(Ok(()), |accounts| settings.routes(&accounts).map(drop))
}

/// Refuses settings that keep a process from starting, whatever roles it has.
pub(crate) fn check(settings: &Settings) -> anyhow::Result<()> {
    let first = refusals(settings).into_iter().next();
    first.map_or_else(|| check_accounts(settings), Err)
}

pub(crate) fn default_sender(settings: &Settings) -> anyhow::Result<Option<Address>> {
    let sender = settings.default_sms_sender.as_deref();
    sender.map(Address::phone).transpose().context("configuration: default_sms_sender")
}

pub(crate) fn default_email_sender(settings: &Settings) -> anyhow::Result<Option<Mailbox>> {
    let sender = settings.default_email_sender.as_deref();
    sender.map(Mailbox::parse).transpose().context("configuration: default_email_sender")
}

/// The mailboxes that are ours: those that are named, and the default sender.
pub(crate) fn own_mailboxes(settings: &Settings) -> anyhow::Result<OwnMailboxes> {
    let named = settings.mail.mailboxes.iter().map(String::as_str);
    let own = OwnMailboxes::read(named);
    let mut own =
        own.map_err(|refused| anyhow::anyhow!("configuration: mail.mailboxes: {refused}"))?;
    if let Some(sender) = default_email_sender(settings)? {
        own.add(&sender.address);
    }
    if settings.mail.several_mailboxes == SeveralMailboxes::OneConversation {
        own.in_one_conversation();
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal_of(public_url: Option<&str>, base_url: &str) -> Option<String> {
        let account = serde_json::json!({
            "account_sid": format!("AC{}", "0".repeat(32)), "auth_token": "a-token",
            "base_url": base_url, "public_url": public_url.unwrap_or("http://127.0.0.1:8080"),
        });
        let settings = Settings {
            accounts: accounts("twilio", account),
            public_url: public_url.map(str::to_owned),
            ..Settings::default()
        };
        public_url_refusal(&settings)
    }

    /// A key that a provider could sign events by.
    const EVENT_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHpiceljrYb6KGXWPKxtJEq8kDqAfvPPZq7m7m0Ye1HDa\
        +vXmxOhozGFcipvrk4U82oGdYO3jb0R9XW1eKrBlOQ==";

    fn accounts(name: &str, set: serde_json::Value) -> crate::settings::AccountsByName {
        [(name.to_owned(), serde_json::from_value(set).expect("an account"))].into()
    }

    fn public_url_refusal(settings: &Settings) -> Option<String> {
        public_url(settings).err().map(|error| error.to_string())
    }

    #[test]
    fn a_tenant_has_a_number_of_a_day_of_its_own_or_that_of_each() {
        const ONE: &str = "00000000-0000-0000-0000-000000000007";
        let caps = |each, of: &[(&str, u64)]| {
            let own = of.iter().map(|(id, number)| ((*id).to_owned(), *number)).collect();
            let limits = LimitSettings {
                messages_per_day: each,
                tenant_messages_per_day: own,
                ..LimitSettings::default()
            };
            tenant_caps(&Settings { limits, ..Settings::default() })
        };
        let both = caps(Some(5), &[(ONE, 2)]).expect("they are numbers of tenants");
        assert_eq!((both.each, both.own.len()), (Some(5), 1));
        for (each, of, key) in [
            (Some(0), [(ONE, 2)], "limits.messages_per_day: expected a whole number"),
            (None, [(ONE, 0)], "limits.tenant_messages_per_day.00000000"),
            (None, [("acme", 2)], "limits.tenant_messages_per_day.acme: expected the id"),
        ] {
            let refused = caps(each, &of).expect_err(key).to_string();
            assert!(refused.starts_with(&format!("configuration: {key}")), "{refused}");
        }
    }

    #[test]
    fn an_account_at_a_real_provider_needs_a_url_by_which_it_gets_back() {
        const REAL: &str = "https://api.twilio.com";
        for local in
            [None, Some("http://localhost:8080"), Some("http://[::1]"), Some("http://0.0.0.0")]
        {
            let said = refusal_of(local, REAL).unwrap_or_default();
            assert!(said.starts_with("configuration: public_url: expected the URL"), "{said}");
            assert!(said.contains("Twilio") && said.contains("this machine"), "{said}");
        }
        assert_eq!(refusal_of(Some("https://hatch.example.com"), REAL), None);
        assert_eq!(refusal_of(None, "http://127.0.0.1:8089"), None, "a simulator");
        let mail = serde_json::json!({"api_key": "SG.x", "event_public_keys": [EVENT_KEY]});
        let accounts = accounts("sendgrid", mail);
        let said = public_url_refusal(&Settings { accounts, ..Settings::default() });
        assert!(said.is_some_and(|said| said.contains("SendGrid")), "its webhooks come by it");
    }

    #[test]
    fn what_is_no_url_is_refused_as_the_public_url() {
        let public_url = Some("hatch.example.com".to_owned());
        let said = public_url_refusal(&Settings { public_url, ..Settings::default() });
        assert!(said.is_some_and(|said| {
            said.starts_with("configuration: public_url: expected a URL such")
        }));
    }

    #[test]
    fn a_setting_of_a_worker_that_is_out_of_range_is_named() {
        let mut settings = Settings::default();
        settings.relay.poll_ms = 1;
        settings.projector.page_events_max = 0;
        settings.consent.stop_text = Some(String::new());
        settings.consent.start_text = Some("start".to_owned());
        let refused: Vec<String> = refusals(&settings).iter().map(ToString::to_string).collect();
        for expected in [
            "configuration: relay.poll_ms: expected 10 to 60000, got 1",
            "configuration: projector.page_events_max: expected 1 to 5000, got 0",
            "configuration: consent.stop_text: expected 1 to 320 characters, none of them NUL",
        ] {
            assert!(refused.iter().any(|refusal| refusal == expected), "{refused:?}");
        }
        settings.consent.stop_text = None;
        let refused = word_rules(&settings).err().map(|error| error.to_string());
        assert_eq!(
            refused.as_deref(),
            Some(
                "configuration: consent.start_text: expected a text that is not itself a word such as STOP"
            )
        );
    }
}
