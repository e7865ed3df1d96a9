//! The part of a mail that its sender wrote for it, and what is folded.

use hatch_domain::{Channel, Email};
use hatch_mail::visible::{Reading, Written};
use serde::Serialize;
use utoipa::ToSchema;

use super::message::Direction;

/// A part of a mail that it repeats of another one, or that says who sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = FoldedPart)]
pub struct Folded {
    /// What it is: `quoted` or `signature`.
    pub kind: String,
    /// The text.
    pub text: String,
}

/// Whether a message may have parts that are folded: only a mail that came in is looked at.
pub(super) fn has_parts(direction: &str, channel: &str) -> bool {
    direction == Direction::Inbound.as_str() && channel == Channel::Email.as_str()
}

/// The part of a mail's text that its sender wrote for it; none where that is all of it.
pub(super) fn visible_body(email: &Email, body: Option<&str>) -> Option<String> {
    let mail =
        Written { subject: email.subject.as_deref(), text: body, html: email.html.as_deref() };
    Reading::of(&mail).visible().filter(|visible| body.map(str::trim) != Some(visible.as_str()))
}

/// The visible part of a mail and all that is folded.
pub(super) fn in_full(
    subject: Option<&str>,
    body: Option<&str>,
    html: Option<&str>,
) -> (Option<String>, Vec<Folded>) {
    let reading = Reading::of(&Written { subject, text: body, html });
    let folded = reading
        .folded()
        .map(|(kind, text)| Folded { kind: kind.as_str().to_owned(), text: text.trim().to_owned() })
        .collect();
    (reading.visible(), folded)
}

#[cfg(test)]
mod tests;
