//! By which account the next attempt of a message is made, and all that takes: leave of its breaker, room at the account,
//! and what its rates allow. None of it is waited for. Who gets none goes by another account, or waits in the log.

use std::sync::Arc;

use hatch_domain::account_name::AccountName;
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::message::Message;
use hatch_domain::message::event::MessageRequested;
use hatch_domain::{AccountChoice, Priority};
use hatch_providers::{Account, AccountHealth, RouteQuestion, route};
use hatch_routing::{Availability, Busy, Decision, Plan, seed};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use crate::account::{Carriers, SendingAccount};
use crate::attempt::PendingMessage;
use crate::health::{Pass, Rules};
use crate::rates::{Allowance, Load, likely};
use crate::slot::Slot;
use crate::{Dispatcher, wanted};

/// How often it is planned anew because another message took what this one was to have.
const PLANS_MAX: usize = 8;

/// How often a lease is waited for in vain, which takes its time.
const LEASES_MAX: usize = 2;

/// What an attempt is made with.
pub(crate) struct Means {
    pub(crate) account: SendingAccount,
    pub(crate) choice: AccountChoice,
    /// The account's.
    pub(crate) room: OwnedSemaphorePermit,
    pub(crate) pass: Pass,
    pub(crate) allowance: Allowance,
}

/// What a message's next attempt is made with, or for what it waits.
pub(crate) enum Chosen {
    /// These.
    Means(Box<Means>),
    /// The account works, and takes no more just now.
    Busy(Box<SendingAccount>, Busy),
    /// Nothing is given to any of these, who may carry it; none of them is nobody at all.
    Waits(Vec<SendingAccount>),
}

/// Whether a message whose attempt failed has another account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Another {
    /// This one, at once, or as soon as it has room.
    Now(AccountName),
    /// One that takes nothing for a while.
    Later,
    /// None that was not tried.
    Nobody,
}

/// A message, and what is known of it.
#[derive(Clone, Copy)]
pub(crate) struct Sought<'a> {
    pub(crate) tenant_id: Uuid,
    pub(crate) message_id: Uuid,
    pub(crate) message: &'a Message,
    pub(crate) request: &'a MessageRequested,
}

impl<'a> Sought<'a> {
    pub(crate) const fn of(pending: &'a PendingMessage, request: &'a MessageRequested) -> Self {
        let PendingMessage { tenant_id, message_id, message, .. } = pending;
        Self { tenant_id: *tenant_id, message_id: *message_id, message, request }
    }

    fn load<'b>(&self, account: &'b SendingAccount) -> Load<'b>
    where
        'a: 'b,
    {
        Load {
            account,
            from: &self.request.from,
            tenant: TenantId(self.tenant_id),
            priority: self.request.priority,
            message: self.message_id,
        }
    }
}

impl Dispatcher {
    /// What decides how breakers stand.
    pub(crate) const fn rules(&self) -> Rules<'_> {
        Rules { breaker: &self.config.breaker, backoff: self.config.account_backoff }
    }

    /// What the next attempt of a message is made with. `room` is an account's, if it was found already.
    pub(crate) async fn choose_account(
        &self,
        sought: Sought<'_>,
        mut room: Option<OwnedSemaphorePermit>,
        slot: &mut Slot,
    ) -> Chosen {
        let carriers = self.carriers();
        let tried = carriers.tried(sought.message);
        let (mut full, mut in_vain) = (None, 0);
        for _ in 0..PLANS_MAX {
            let plan = self.plan(&carriers, sought, &tried, room.as_ref());
            let choice = match plan.decision {
                Decision::Take(choice) => choice,
                Decision::Wait { account: Some(ref name), .. } => {
                    return self.busy_or_waits(&carriers, sought, &plan, name, room.as_ref());
                }
                Decision::Wait { account: None, .. } => {
                    return Chosen::Waits(self.awaited(&carriers, sought, &plan));
                }
                Decision::Nobody { .. } => return Chosen::Waits(Vec::new()),
            };
            let Some(account) = carriers.named(&choice.name).cloned() else { continue };
            let (pass, room) = (account.health.admit(), room_of(&account, sought, &mut room));
            let (Some(pass), Some(room)) = (pass, room) else {
                full = Some(account);
                continue;
            };
            match self.allowance(sought, &account, slot).await {
                Some(allowance) => {
                    // What was kept for it at another account, others may have during the call.
                    self.rates.forget_kept(sought.message_id);
                    let means = Means { account, choice, room, pass, allowance };
                    return Chosen::Means(Box::new(means));
                }
                None => {
                    (full, in_vain) = (Some(account), in_vain + 1);
                    if in_vain == LEASES_MAX {
                        break;
                    }
                }
            }
        }
        // Others were faster, again and again.
        let Some(account) = full else { return Chosen::Waits(Vec::new()) };
        match self.availability(sought, &account, None) {
            Availability::Open { .. } => Chosen::Waits(vec![account]),
            Availability::Busy { why, .. } => Chosen::Busy(Box::new(account), why),
            Availability::Ready => {
                let why = likely(&account.limits);
                Chosen::Busy(Box::new(account), why)
            }
        }
    }

    /// What the rates of an account allow: at once, or, where nobody asked for its share yet, as soon as that is there.
    async fn allowance(
        &self,
        sought: Sought<'_>,
        account: &SendingAccount,
        slot: &mut Slot,
    ) -> Option<Allowance> {
        let load = sought.load(account);
        if let Ok(allowance) = self.rates.take(&load) {
            return Some(allowance);
        }
        slot.release();
        let allowance = self.rates.take_soon(&load).await.ok();
        slot.hold().await;
        allowance
    }

    /// By which account the message goes as all is now.
    fn plan(
        &self,
        carriers: &Carriers,
        sought: Sought<'_>,
        tried: &[AccountName],
        room: Option<&OwnedSemaphorePermit>,
    ) -> Plan {
        let Sought { tenant_id, message_id, message, request } = sought;
        let wanted = wanted(tenant_id, request);
        let question = RouteQuestion {
            wanted,
            // A message without a recipient is none that was accepted.
            to: request.to.first().unwrap_or(&request.from),
            priority: request.priority,
            account: request.options.account.as_ref(),
            tried,
            seed: Some(seed(MessageId(message_id), message.round())),
        };
        let table = self.dependencies.routes.current();
        let shift = self.balance.shift(&table, &question);
        let health = |account: &Account| match carriers.named(&account.name) {
            Some(account) => AccountHealth {
                availability: self.availability(sought, account, room),
                weight: shift.as_ref().and_then(|shift| shift.weight(&account.name)),
            },
            None => AccountHealth::unknown(),
        };
        route(&question, &table, carriers.accounts(), health)
    }

    /// Whether the message can be given to the account now.
    fn availability(
        &self,
        sought: Sought<'_>,
        account: &SendingAccount,
        room: Option<&OwnedSemaphorePermit>,
    ) -> Availability {
        let health = account.health.availability(self.now());
        if health != Availability::Ready {
            return health;
        }
        let has_room = room.is_some_and(|room| is_of(room, account));
        if !has_room && account.free(sought.request.priority) == 0 {
            return Availability::Busy { why: Busy::Concurrency, until: None };
        }
        self.rates.availability(&sought.load(account))
    }

    /// The same of a message for which no room was found beforehand.
    pub(crate) fn plan_now(&self, carriers: &Carriers, sought: Sought<'_>) -> Plan {
        self.plan(carriers, sought, &carriers.tried(sought.message), None)
    }

    fn busy_or_waits(
        &self,
        carriers: &Carriers,
        sought: Sought<'_>,
        plan: &Plan,
        name: &AccountName,
        room: Option<&OwnedSemaphorePermit>,
    ) -> Chosen {
        let account = carriers.named(name);
        match account.map(|account| (account, self.availability(sought, account, room))) {
            Some((account, Availability::Busy { why, .. })) => {
                Chosen::Busy(Box::new(account.clone()), why)
            }
            // It has room by now, for somebody else.
            Some((account, Availability::Ready)) => {
                Chosen::Busy(Box::new(account.clone()), likely(&account.limits))
            }
            Some((_, Availability::Open { .. })) | None => {
                Chosen::Waits(self.awaited(carriers, sought, plan))
            }
        }
    }

    /// For whom a message waits to which nothing is given: another that works has no room for it today.
    fn awaited(&self, carriers: &Carriers, sought: Sought<'_>, plan: &Plan) -> Vec<SendingAccount> {
        let is_open = |account: &SendingAccount| {
            matches!(self.availability(sought, account, None), Availability::Open { .. })
        };
        let (open, others): (Vec<_>, Vec<_>) =
            able(carriers, sought, plan).into_iter().partition(is_open);
        if open.is_empty() { others } else { open }
    }

    /// For which accounts a message waits as all is now; none where it need not wait for one that works.
    pub(crate) fn waits(&self, sought: Sought<'_>) -> Option<Vec<SendingAccount>> {
        let carriers = self.carriers();
        let plan = self.plan_now(&carriers, sought);
        match &plan.decision {
            Decision::Take(_) => None,
            Decision::Wait { account: Some(name), .. } => {
                let waits = self.busy_or_waits(&carriers, sought, &plan, name, None);
                if let Chosen::Waits(accounts) = waits { Some(accounts) } else { None }
            }
            Decision::Wait { account: None, .. } => Some(self.awaited(&carriers, sought, &plan)),
            Decision::Nobody { .. } => Some(Vec::new()),
        }
    }

    /// Those by whom the message may ever go, as the routes are now.
    pub(crate) fn able(&self, sought: Sought<'_>) -> Vec<SendingAccount> {
        let carriers = self.carriers();
        able(&carriers, sought, &self.plan(&carriers, sought, &[], None))
    }

    /// Whether the account takes the message today, which has no room for it just now.
    fn has_room_soon(&self, carriers: &Carriers, sought: Sought<'_>, name: &AccountName) -> bool {
        let account = carriers.named(name);
        match account.map(|account| self.availability(sought, account, None)) {
            Some(Availability::Busy { why, .. }) => why != Busy::DailyCap,
            Some(Availability::Ready) => true,
            Some(Availability::Open { .. }) | None => false,
        }
    }

    /// Whether the message, whose attempt by this account did not send it, has another one.
    pub(crate) fn another(&self, sought: Sought<'_>, by: &SendingAccount) -> Another {
        let carriers = self.carriers();
        let mut tried = carriers.tried(sought.message);
        tried.push(by.name.clone());
        let plan = self.plan(&carriers, sought, &tried, None);
        let is_untried = |name: &AccountName| !tried.contains(name);
        match plan.decision {
            Decision::Take(ref choice) if is_untried(&choice.name) => {
                Another::Now(choice.name.clone())
            }
            Decision::Wait { account: Some(ref name), .. }
                if is_untried(name) && self.has_room_soon(&carriers, sought, name) =>
            {
                Another::Now(name.clone())
            }
            _ if able(&carriers, sought, &plan).iter().any(|one| is_untried(&one.name)) => {
                Another::Later
            }
            _ => Another::Nobody,
        }
    }
}

/// The accounts of a plan by which the message may ever go: by one without a share of its route it never does.
fn able(carriers: &Carriers, sought: Sought<'_>, plan: &Plan) -> Vec<SendingAccount> {
    let wanted = wanted(sought.tenant_id, sought.request);
    let sharing = plan.steps.iter().filter(|step| step.weight != Some(0));
    let of_plan = sharing.filter_map(|step| carriers.named(&step.account));
    of_plan.filter(|account| account.takes(&wanted)).cloned().collect()
}

/// Room at the account, such as was found already.
fn room_of(
    account: &SendingAccount,
    sought: Sought<'_>,
    found: &mut Option<OwnedSemaphorePermit>,
) -> Option<OwnedSemaphorePermit> {
    let found = found.take_if(|room| is_of(room, account));
    found.or_else(|| account.room_now(sought.request.priority))
}

fn is_of(room: &OwnedSemaphorePermit, account: &SendingAccount) -> bool {
    Arc::ptr_eq(room.semaphore(), &account.room)
}

/// Of an account's room, the part that is kept for what is more urgent.
pub(crate) fn kept(room: usize, priority: Priority) -> usize {
    if priority == Priority::High {
        0
    } else if priority == Priority::Normal {
        room / 16
    } else {
        room / 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_urgent_finds_room_where_others_do_not() {
        let kept = |room| Priority::ALL.map(|priority| kept(room, priority));
        assert_eq!(kept(256), [0, 16, 32]);
        assert_eq!(kept(4), [0, 0, 0], "little room is nobody's alone");
    }
}
