//! Whether the keys of those who give tokens, and who signs people in, can be asked from here.

use std::sync::Arc;

use futures::future::join_all;
use hatch_api::tokens::{Issuer, look};
use hatch_eventstore::SystemEnvironment;

use super::finding::Finding;
use super::made;
use crate::output::counted;
use crate::settings::Settings;
use crate::tokens::oidc;

const JWT: &str = "jwt";
const OIDC: &str = "oidc";

/// A line for each issuer, and one for the identity provider. What is set wrongly, another line says.
pub(super) async fn check(settings: &Settings) -> Vec<Finding> {
    let issuers = settings.issuers().unwrap_or_default();
    let issuers = join_all(issuers.iter().map(|issuer| made(JWT, keys(issuer))));
    let (mut findings, provider) = tokio::join!(issuers, provider(settings));
    findings.extend(provider);
    findings
}

async fn keys(issuer: &Issuer) -> anyhow::Result<Finding> {
    let name = issuer.name();
    let Some(url) = issuer.keys_url() else {
        return Ok(Finding::good(
            JWT,
            format!("tokens of {name} are taken, by the key that is set"),
        ));
    };
    Ok(match look(url).await {
        Ok(keys) => {
            let keys = i64::try_from(keys).unwrap_or(i64::MAX);
            Finding::good(JWT, format!("tokens of {name} are taken, by {}", counted(keys, "key")))
        }
        Err(why) => {
            let what = format!("the keys of {name} cannot be had: {why}");
            let remedy = "open jwks_url from this machine, and see that it answers; processes that run keep the keys \
                that they have";
            Finding::failure(JWT, what, remedy)
        }
    })
}

async fn provider(settings: &Settings) -> Option<Finding> {
    let provider = oidc(settings, Arc::new(SystemEnvironment)).ok()??;
    let look = async {
        Ok(match provider.look().await {
            Ok(keys) => {
                let keys = i64::try_from(keys).unwrap_or(i64::MAX);
                Finding::good(OIDC, format!("people sign in there, by {}", counted(keys, "key")))
            }
            Err(why) => {
                let remedy = "open the description below oidc.issuer from this machine; nobody signs in there before";
                Finding::failure(OIDC, why.to_string(), remedy)
            }
        })
    };
    Some(made(OIDC, look).await)
}
