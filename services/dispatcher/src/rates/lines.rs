//! Who stands in the lines of accounts: those go on in the order of priorities, and tenants take turns. Whoever comes new
//! does not overtake its own, nor anybody whose priority is higher.

use std::collections::HashMap;
use std::time::Duration;

use hatch_domain::Priority;
use hatch_domain::address::Address;
use hatch_due::Standing;
use hatch_routing::Busy;
use tokio::time::Instant;
use uuid::Uuid;

use super::likely;
use crate::account::SendingAccount;

/// How the lines of accounts are called, among all that is waited for.
pub(crate) const PREFIX: &str = hatch_due::LINES;

/// Who has been put into a line so lately is in it, whatever a look at the timers says.
const NEW: Duration = Duration::from_secs(1);

/// How long who was seen in a line is believed to be there, where there are more lines than one look takes in.
const BELIEVED: Duration = Duration::from_secs(5);

/// A message, as the lines know it.
#[derive(Clone, Copy)]
pub(crate) struct Who<'a> {
    pub(crate) account: &'a SendingAccount,
    pub(crate) from: &'a Address,
    pub(crate) tenant: Uuid,
    pub(crate) priority: Priority,
}

/// The line in which a message waits for the account: of each sender its own where each has its own rate.
pub(crate) fn line_of(account: &SendingAccount, from: &Address) -> String {
    match account.limits.per_sender_per_s {
        Some(_) => format!("{PREFIX}{} {}", account.waited_for, from.identity().as_str()),
        None => format!("{PREFIX}{}", account.waited_for),
    }
}

/// Whether the line is one of the account's; and whose of its senders.
pub(crate) fn is_line_of<'a>(line: &'a str, account: &SendingAccount) -> Option<Option<&'a str>> {
    let rest = line.strip_prefix(PREFIX)?.strip_prefix(&*account.waited_for)?;
    match rest {
        "" => Some(None),
        sender => sender.strip_prefix(' ').map(Some),
    }
}

/// Those who stand in lines, as far as this process knows.
#[derive(Debug, Default)]
pub(crate) struct Lines(HashMap<String, OneLine>);

#[derive(Debug, Default)]
struct OneLine {
    /// What there was not enough of when somebody was put into it last, if that was here.
    why: Option<Busy>,
    /// The tenants, by priorities, and when each was seen there.
    tenants: [HashMap<Uuid, Instant>; Priority::ALL.len()],
}

impl OneLine {
    /// What somebody waits for who joins it.
    fn why(&self, who: &Who<'_>) -> Busy {
        self.why.unwrap_or_else(|| likely(&who.account.limits))
    }

    fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// The place of its first priority of which anybody stands there.
    fn first(&self) -> Option<usize> {
        self.tenants.iter().position(|tenants| !tenants.is_empty())
    }
}

impl Lines {
    /// What a new message waits for, if it must join a line.
    pub(crate) fn must_join(&self, who: &Who<'_>) -> Option<Busy> {
        let line = self.line(who)?;
        let urgent = who.priority as usize;
        let is_before = |(place, tenants): (usize, &HashMap<Uuid, Instant>)| {
            place < urgent && !tenants.is_empty()
                || place == urgent && tenants.contains_key(&who.tenant)
        };
        line.tenants.iter().enumerate().any(is_before).then(|| line.why(who))
    }

    /// What those wait for who stand in the message's line, if anybody does.
    pub(crate) fn stand(&self, who: &Who<'_>) -> Option<Busy> {
        self.line(who).filter(|line| !line.is_empty()).map(|line| line.why(who))
    }

    /// Somebody is put into a line.
    pub(crate) fn note(&mut self, who: &Who<'_>, why: Busy, now: Instant) {
        let line = self.0.entry(line_of(who.account, who.from)).or_default();
        line.why = Some(why);
        if let Some(tenants) = line.tenants.get_mut(who.priority as usize) {
            tenants.insert(who.tenant, now);
        }
    }

    /// So it was when somebody began to look at the timers at `begun`; at some of the lines, where not `is_all`.
    pub(crate) fn seen(&mut self, standing: Vec<Standing>, begun: Instant, is_all: bool) {
        // The other lines are looked at next.
        let (kept, seen_at) = match is_all {
            true => (NEW, begun.checked_sub(NEW).unwrap_or(begun)),
            false => (BELIEVED, begun),
        };
        let is_new = |at: &Instant| *at + kept > begun;
        for line in self.0.values_mut() {
            line.tenants.iter_mut().for_each(|tenants| tenants.retain(|_, at| is_new(at)));
        }
        for Standing { waits_for, priority, tenant_id } in standing {
            let Some(priority) = Priority::named(&priority) else { continue };
            let line = self.0.entry(waits_for).or_default();
            if let Some(tenants) = line.tenants.get_mut(priority as usize) {
                let at = tenants.entry(tenant_id).or_insert(seen_at);
                *at = seen_at.max(*at);
            }
        }
        self.0.retain(|_, line| !line.is_empty());
    }

    /// How urgent the most urgent of a line is.
    pub(crate) fn most_urgent(&self, line: &str) -> Option<Priority> {
        Priority::ALL.get(self.0.get(line)?.first()?).copied()
    }

    /// The lines, those whose first is the most urgent first.
    pub(crate) fn all(&self) -> Vec<String> {
        let mut all: Vec<_> = self.0.iter().map(|(name, line)| (line.first(), name)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, name)| name.clone()).collect()
    }

    fn line(&self, who: &Who<'_>) -> Option<&OneLine> {
        // Without lines nothing is made to be looked for.
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&line_of(who.account, who.from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_is_there_as_long_as_looks_see_it_and_longer_where_one_sees_not_all() {
        let begun = Instant::now() + Duration::from_secs(60);
        let after = |ms| begun + Duration::from_millis(ms);
        let standing = |line: &str, priority: &str| Standing {
            waits_for: line.to_owned(),
            priority: priority.to_owned(),
            tenant_id: Uuid::from_u128(1),
        };
        let (one, other) = (standing("rate:one", "bulk"), standing("rate:other", "high"));
        let mut lines = Lines::default();
        lines.seen(vec![one.clone(), other.clone()], begun, true);
        assert_eq!(lines.all(), ["rate:other", "rate:one"], "the most urgent first");
        assert_eq!(lines.most_urgent("rate:one"), Some(Priority::Bulk));
        assert_eq!(lines.most_urgent("rate:third"), None);
        lines.seen(vec![one.clone()], after(250), true);
        assert_eq!(lines.all(), ["rate:one"]);

        lines.seen(vec![other], after(500), false);
        lines.seen(vec![one.clone()], after(750), false);
        assert_eq!(lines.all(), ["rate:other", "rate:one"], "each look sees another");
        lines.seen(vec![one], after(6_000), false);
        assert_eq!(lines.all(), ["rate:one"], "not for ever");
        lines.seen(Vec::new(), after(8_000), true);
        assert!(lines.all().is_empty());
    }
}
