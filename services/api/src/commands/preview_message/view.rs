//! The answer of a preview.

use chrono::{DateTime, Utc};
use hatch_domain::account_name::AccountName;
use hatch_domain::segments::{Encoding, Segments, segments};
use hatch_domain::{Channel, PoolChoice};
use hatch_routing::{Decision, Step, Tier, Verdict};
use serde::Serialize;
use utoipa::ToSchema;

use crate::commands::send_request::Send;
use crate::planning::Planned;
use crate::resources::consent::ConsentView;

/// What would become of a send.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessagePreview)]
pub(crate) struct Preview {
    /// How the characters of an SMS are written; `null` for other channels.
    encoding: Option<Encoding>,
    /// Into how many messages a carrier cuts an SMS: an upper bound where the provider replaces characters. `null` for other
    /// channels.
    segments: Option<u32>,
    /// Who would send it.
    from: String,
    /// The pool that the sender is taken from, and why it is this one; `null` where it is taken from none.
    pool: Option<PoolChoice>,
    /// The account by which it would go; `null` where none could take it just then, or no provider carries it.
    account: Option<AccountName>,
    /// The accounts of the route in the order in which they come, and what becomes of each.
    route: Vec<PreviewStep>,
    /// The route that decides; `null` where none fits, or the request names its account.
    route_name: Option<String>,
    /// What each recipient wishes, and who sends nothing there.
    consent: Vec<ConsentView>,
    /// Until when quiet hours keep it; `null` where they do not.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    quiet_until: Option<DateTime<Utc>>,
    /// What may not be as it is meant.
    warnings: Vec<Warning>,
}

/// An account of a preview's route.
#[derive(Debug, Serialize, ToSchema)]
struct PreviewStep {
    /// hatch's own name of it.
    account: AccountName,
    /// Whether it shares the route's messages, or carries what others cannot.
    tier: TierView,
    /// Its weight, or its part of 10,000 where the balance has moved it; `null` for a backup.
    weight: Option<u16>,
    /// Which share of the route's messages it has; `null` for a backup, and for one that does not carry them.
    share_percent: Option<u8>,
    /// What becomes of it.
    verdict: VerdictView,
    /// Why, in words that may change; `null` for one that would come next.
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = RouteTier)]
#[serde(rename_all = "snake_case")]
enum TierView {
    Primary,
    Backup,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = RouteVerdict)]
#[serde(rename_all = "snake_case")]
enum VerdictView {
    /// The message goes by it.
    Chosen,
    /// It would come next.
    Standby,
    /// The message cannot go by it.
    Skipped,
}

/// Something that may not be as it is meant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PreviewWarning)]
struct Warning {
    code: WarningCode,
    /// A sentence for people, whose words may change.
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PreviewWarningCode)]
#[serde(rename_all = "snake_case")]
enum WarningCode {
    /// A character makes every message of the text shorter.
    Encoding,
    /// The text goes as several messages.
    Segments,
    /// A recipient must not be written to: the message would fail.
    Consent,
    /// No account can take it just then: it would wait.
    Waits,
    /// No account takes it.
    NoAccount,
    /// Something counts as it is now, although the moment is past.
    NoHistory,
}

impl Preview {
    pub(super) fn of(
        send: &Send,
        planned: Option<Planned>,
        consent: Vec<ConsentView>,
        is_past: bool,
    ) -> Self {
        let mut warnings = Vec::new();
        let text = (send.channel == Channel::Sms).then_some(send.body.as_deref()).flatten();
        let cut = text.map(segments);
        warnings.extend(cut.iter().flat_map(of_text));
        warnings.extend(consent.iter().filter_map(of_consent));
        if is_past {
            let detail =
                "accounts and routes of the installation's files, and pools, count as they are now";
            warnings.push(Warning { code: WarningCode::NoHistory, detail: detail.to_owned() });
        }
        let (mut account, mut route, mut route_name, mut chosen_for) =
            (None, Vec::new(), None, None);
        if let Some(Planned { plan, .. }) = planned {
            match plan.decision {
                Decision::Take(choice) => {
                    account = Some(choice.name);
                    chosen_for = Some(choice.reason);
                }
                Decision::Wait { reason, .. } => {
                    let detail =
                        format!("no account can take it just now: it would wait ({reason})");
                    warnings.push(Warning { code: WarningCode::Waits, detail });
                }
                Decision::Nobody { why } => {
                    warnings.push(Warning { code: WarningCode::NoAccount, detail: why });
                }
            }
            route_name = plan.route.map(|name| name.as_str().to_owned());
            route =
                plan.steps.into_iter().map(|step| of_step(step, chosen_for.as_deref())).collect();
        }
        Self {
            encoding: cut.map(|cut| cut.encoding),
            segments: cut.map(|cut| cut.count),
            from: send.from.to_string(),
            pool: send.pool_choice.clone(),
            account,
            route,
            route_name,
            consent,
            quiet_until: None,
            warnings,
        }
    }
}

fn of_step(step: Step, chosen_for: Option<&str>) -> PreviewStep {
    let Step { account, tier, weight, share_percent, verdict } = step;
    let tier = match tier {
        Tier::Primary => TierView::Primary,
        Tier::Backup => TierView::Backup,
    };
    let (verdict, reason) = match verdict {
        Verdict::Chosen => (VerdictView::Chosen, chosen_for.map(str::to_owned)),
        Verdict::Standby => (VerdictView::Standby, None),
        Verdict::Skipped(why) => (VerdictView::Skipped, Some(why)),
    };
    PreviewStep { account, tier, weight, share_percent, verdict, reason }
}

fn of_text(cut: &Segments) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(foreign) = cut.foreign {
        let detail = format!(
            "{foreign:?} is not in the GSM 7 bit alphabet: a message holds 70 characters in place of 160"
        );
        warnings.push(Warning { code: WarningCode::Encoding, detail });
    }
    if cut.count > 1 {
        let detail = format!("the text goes as {} messages", cut.count);
        warnings.push(Warning { code: WarningCode::Segments, detail });
    }
    warnings
}

fn of_consent(consent: &ConsentView) -> Option<Warning> {
    let address = consent.forbids()?;
    let detail = format!("{address} must not be written to: the message would fail");
    Some(Warning { code: WarningCode::Consent, detail })
}
