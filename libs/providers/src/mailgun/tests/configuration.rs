//! What is set of an account.

use std::sync::Arc;

use serde_json::json;

use super::super::{Mailgun, MailgunAdapter, MailgunEvents, MailgunRoutes, Settings};
use super::{API_KEY, DOMAIN, SIGNING_KEY, settings};
use crate::account::{Common, Context};
use crate::registry::Provider;
use crate::stub::Fixed;
use crate::{Error, Secret};

#[test]
fn what_is_left_out_has_a_default_and_an_account_is_called_by_its_domain() {
    let set = json!({"domain": DOMAIN, "api_key": API_KEY, "signing_key": SIGNING_KEY});
    let public_url = "https://hatch.example.com".parse().expect("a URL");
    let context = Context { public_url, clock: Arc::new(Fixed::default()) };
    let name = "mail".parse().expect("a name");
    let account = Mailgun.account(&name, Common::default(), set, &context).expect("good settings");
    assert_eq!(account.key(), ("mailgun", DOMAIN));
    assert!(account.is_at_provider && account.adapter.can_look_up());
    assert_eq!(account.default_subject.as_deref(), Some("(no subject)"));
    assert!(account.hook(None).is_some() && account.hook(Some("inbound")).is_some());
    let half_an_hour_and_a_call = std::time::Duration::from_secs(1_800 + 15);
    assert_eq!(account.adapter.conclusive_after(), half_an_hour_and_a_call);
}

#[test]
fn secrets_do_not_show() {
    let shown = format!("{:?}", settings("https://api.mailgun.net"));
    assert!(!shown.contains(API_KEY) && !shown.contains(SIGNING_KEY), "{shown}");
}

#[test]
fn each_wrong_setting_is_named() {
    let good = settings("https://api.mailgun.net");
    let of = |domain: &str| Settings { domain: domain.to_owned(), ..good.clone() };
    let url = |url: &str| Settings { base_url: url.parse().expect("a URL"), ..good.clone() };
    let previous = Some(Secret::new("a b"));
    let wrong = [
        ("domain", of("")),
        ("domain", of("mail.example.com/../other")),
        ("domain", of("a..b")),
        ("api_key", Settings { api_key: Secret::new("a\nb"), ..good.clone() }),
        ("signing_key", Settings { signing_key: Secret::new(""), ..good.clone() }),
        ("signing_key_previous", Settings { signing_key_previous: previous, ..good.clone() }),
        ("default_subject", Settings { default_subject: " ".into(), ..good.clone() }),
        ("events_settled_after_ms", Settings { events_settled_after_ms: 1 << 40, ..good.clone() }),
        ("base_url", url("https://u@api.mailgun.net")),
        ("base_url", url("http://api.eu.mailgun.net")),
        ("connect_timeout_ms", Settings { connect_timeout_ms: 10_000, ..good.clone() }),
    ];
    for (key, settings) in wrong {
        let made = [
            MailgunAdapter::new(settings.clone()).err(),
            MailgunEvents::new(&settings).err(),
            MailgunRoutes::new(&settings).err(),
        ];
        for error in made {
            match error {
                Some(Error::Setting { setting, .. }) => assert_eq!(setting, key),
                other => panic!("{key}: {other:?}"),
            }
        }
    }
}
