//! Parts of a message as answers have them: with all their keys, `null` where nothing is known.

use hatch_domain::address::Address;
use hatch_domain::authentication::{Authentication, Verdict};
use serde::{Serialize, Serializer};
use serde_json::{Number, Value};
use utoipa::ToSchema;

/// A file that goes with a message.
#[derive(Serialize, ToSchema)]
#[schema(as = Attachment)]
pub(super) struct AttachmentSchema<'a> {
    /// Its id, by which `GET /api/v1/attachments/{id}` answers with it.
    #[schema(value_type = Option<Uuid>)]
    id: &'a Value,
    /// Where it is.
    #[schema(value_type = Option<String>)]
    url: &'a Value,
    /// Its media type.
    #[schema(value_type = Option<String>)]
    content_type: &'a Value,
    /// Its name.
    #[schema(value_type = Option<String>)]
    filename: &'a Value,
    /// How large it is, in bytes.
    #[schema(value_type = Option<u64>)]
    size_bytes: &'a Value,
    /// By what the HTML of its mail shows it (`cid:...`), without angle brackets.
    #[schema(value_type = Option<String>)]
    content_id: &'a Value,
    /// Whether it belongs into the text, as a picture does, rather than beside it.
    inline: bool,
    /// Why the file itself is missing, where its provider named it and did not bring it.
    #[schema(value_type = Option<String>)]
    missing: &'a Value,
    /// Where the file itself is.
    status: AttachmentStatus,
}

/// Where a file is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AttachmentStatus {
    /// It is kept here.
    Kept,
    /// It is where its `url` says.
    Elsewhere,
    /// Nobody has brought it.
    Missing,
}

impl AttachmentStatus {
    /// What a row's file says of it.
    fn of(file: &Value) -> Self {
        if file["size_bytes"].is_number() {
            Self::Kept
        } else if file["url"].is_string() {
            Self::Elsewhere
        } else {
            Self::Missing
        }
    }
}

/// What is known of a mail's sender; `null` for what nobody said.
#[derive(Serialize, ToSchema)]
#[schema(as = Authentication)]
pub(super) struct AuthenticationSchema<'a> {
    /// Whether the host that brought it may send for the domain of the envelope's sender.
    spf: Option<Verdict>,
    /// Whether a domain signed it; the best of several signatures.
    dkim: Option<Verdict>,
    /// Whether one of the two proves the address in `from`. With `fail` it joined no conversation by its
    /// addresses.
    dmarc: Option<Verdict>,
    /// How much it looks like advertising, by the provider's measure.
    #[schema(value_type = Option<f64>)]
    spam_score: Option<&'a Number>,
    /// The envelope's sender.
    #[schema(value_type = Option<String>)]
    envelope_from: Option<&'a Address>,
}

/// Writes the files of a row.
pub(super) fn attachments<S: Serializer>(files: &Value, to: S) -> Result<S::Ok, S::Error> {
    let files = files.as_array().into_iter().flatten();
    to.collect_seq(files.map(|file| AttachmentSchema {
        id: &file["id"],
        url: &file["url"],
        content_type: &file["content_type"],
        filename: &file["filename"],
        size_bytes: &file["size_bytes"],
        content_id: &file["content_id"],
        inline: file["inline"] == true,
        missing: &file["missing"],
        status: AttachmentStatus::of(file),
    }))
}

/// Writes what is known of a mail's sender.
pub(super) fn authentication<S: Serializer>(
    known: &Option<Authentication>,
    to: S,
) -> Result<S::Ok, S::Error> {
    let shown = known.as_ref().map(|known| AuthenticationSchema {
        spf: known.spf,
        dkim: known.dkim,
        dmarc: known.dmarc,
        spam_score: known.spam_score.as_ref(),
        envelope_from: known.envelope_from.as_ref(),
    });
    shown.serialize(to)
}
