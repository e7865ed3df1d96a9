//! The share that an account has of the messages of a channel: by its route, and by the balance.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hatch_domain::Channel;
use hatch_domain::account_name::AccountName;
use hatch_domain::carrier::Shift;
use hatch_domain::ids::TenantId;
use hatch_providers::Account;
use hatch_routing::Weighted;
use hatch_routing::balance::{WHOLE, in_order, resting};
use serde::Serialize;
use utoipa::ToSchema;

use super::Carriers;

/// The share of an account.
#[derive(Debug, Default, PartialEq, Serialize, ToSchema)]
pub(super) struct AccountWeight {
    /// What its route says; none where no route names it.
    configured: Option<u16>,
    /// What holds now.
    now: Option<u16>,
    /// Why that is another, and for which country; or, where the balance only advises, what it would do.
    reason: Option<String>,
    /// Since when.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    since: Option<DateTime<Utc>>,
}

impl Carriers {
    /// The share that the first route of each channel gives the account that names it.
    pub(super) fn weights(
        &self,
        account: &Account,
        tenant: TenantId,
        shifts: &[Shift],
    ) -> BTreeMap<&'static str, AccountWeight> {
        let table = self.routes.current();
        let weight = |channel: &Channel| {
            let mut of_channel = table.routes().iter().filter(|route| {
                route.is_of(tenant) && route.channel.is_none_or(|of| of == *channel)
            });
            let named = of_channel.find_map(|route| {
                let mut primaries = route.accounts.iter();
                let weight = primaries.find(|one| one.account == account.name)?.weight;
                Some((route, weight))
            });
            let weight = named.map_or_else(AccountWeight::default, |(route, weight)| {
                let of_route = (&route.accounts[..], *channel);
                self.balanced(&account.name, of_route, weight, shifts)
            });
            (channel.as_str(), weight)
        };
        account.channels.iter().map(weight).collect()
    }

    /// How messages are shared where not as the routes say, or would be.
    pub(super) async fn shifts(&self) -> Vec<Shift> {
        if !self.is_balanced {
            return self.figures.advised().await;
        }
        let told = self.directory.carriers();
        let mut shifts: Vec<Shift> = told.iter().flat_map(|one| one.shifts().cloned()).collect();
        shifts.sort_by_key(|shift| Reverse(shift.at));
        shifts
    }

    /// The share of an account to which a route gives `weight`, in the country where it has the least of it.
    fn balanced(
        &self,
        account: &AccountName,
        (accounts, channel): (&[Weighted], Channel),
        weight: u16,
        shifts: &[Shift],
    ) -> AccountWeight {
        let sharing = in_order(accounts);
        let weights: Vec<u16> = sharing.iter().map(|one| one.weight).collect();
        let rest = resting(&weights).unwrap_or_default();
        let is_ours = |shift: &&Shift| {
            let resting = sharing.iter().map(|one| (&one.account, one.weight));
            shift.is_among(channel, shift.country, resting)
        };
        let mut newest: Vec<&Shift> = Vec::new();
        for shift in shifts.iter().filter(is_ours) {
            if newest.iter().all(|newer| newer.country != shift.country) {
                newest.push(shift);
            }
        }
        newest.retain(|shift| !shift.weights.iter().map(|one| one.after).eq(rest.iter().copied()));
        let parts = newest.iter().filter_map(|shift| Some((shift.weight(account)?, *shift)));
        let configured = Some(weight);
        let Some((part, shift)) = parts.min_by_key(|(part, _)| *part) else {
            return AccountWeight { configured, now: configured, ..AccountWeight::default() };
        };
        let all: u32 = weights.iter().map(|weight| u32::from(*weight)).sum();
        let now = (u32::from(part) * all + u32::from(WHOLE) / 2) / u32::from(WHOLE);
        // A small share is one all the same.
        let now = u16::try_from(now.max(u32::from(part.min(1)))).ok();
        let advised = if self.is_balanced { "" } else { "advised, " };
        let to = shift.country.map_or_else(String::new, |code| format!(" to +{code}"));
        let percent = f64::from(part) / 100.0;
        AccountWeight {
            configured,
            now: now.filter(|_| self.is_balanced).or(configured),
            reason: Some(format!("{advised}{}: {percent} %{to}", shift.reason)),
            since: Some(shift.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hatch_directory::Directory;
    use hatch_providers::{Accounts, Routes};

    use super::*;
    use crate::testing::NoFigures;

    #[test]
    fn a_share_that_was_moved_is_shown_with_its_reason_and_one_that_would_be_as_advice() {
        use hatch_domain::carrier::event::ShiftedWeight;

        let weighted = |name: &str| Weighted { account: name.parse().expect("a name"), weight: 50 };
        let accounts = [weighted("b"), weighted("a")];
        let shift = |first: u16, country, second: i64| Shift {
            channel: Channel::Sms,
            country: Some(country),
            weights: [("a", first), ("b", 10_000 - first)]
                .map(|(name, after)| ShiftedWeight {
                    account: name.parse().expect("a name"),
                    rest: 50,
                    before: 5_000,
                    after,
                })
                .into(),
            reason: "slow".to_owned(),
            at: DateTime::from_timestamp(1_800_000_000 + second, 0).expect("in range"),
        };
        // The newest of a country counts, and of countries the one with the least.
        let shifts =
            [shift(3_000, 44, 9), shift(500, 44, 1), shift(4_000, 1, 5), shift(5_000, 49, 7)];
        let name = "a".parse().expect("a name");
        for (is_balanced, now, reason) in
            [(true, 30, "slow: 30 % to +44"), (false, 50, "advised, slow: 30 % to +44")]
        {
            let carriers = Carriers {
                accounts: Accounts::default(),
                routes: Routes::default(),
                directory: Directory::of_nobody(),
                figures: Arc::new(NoFigures),
                is_balanced,
            };
            let weight = carriers.balanced(&name, (&accounts, Channel::Sms), 50, &shifts);
            assert_eq!((weight.configured, weight.now), (Some(50), Some(now)));
            assert_eq!(weight.reason.as_deref(), Some(reason));
            let other = carriers.balanced(&name, (&accounts, Channel::Mms), 50, &shifts);
            assert_eq!((other.now, other.reason), (Some(50), None));
        }
    }
}
