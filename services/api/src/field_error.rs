//! What is wrong with one field of a request: where, which kind of fault for programs, and a sentence for people.

use hatch_domain::address::AddressError;
use serde::Serialize;
use utoipa::ToSchema;

/// Characters of what is said of a field, at most.
const DETAIL_CHARACTERS_MAX: usize = 500;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// JSON Pointer (RFC 6901) to the field; empty for the whole body. `?name` for a parameter of
    /// the query, which no pointer reaches.
    pub(crate) pointer: String,
    /// Which fault it is. A code keeps its meaning.
    pub(crate) code: FieldCode,
    /// What was expected, in words that may change.
    pub(crate) detail: String,
}

/// The faults of a field that a program may tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FieldCode {
    /// The body is not JSON.
    NotJson,
    /// It is missing, and nothing stands in for it.
    Required,
    /// There is no field or parameter of this name.
    UnknownField,
    /// It is there twice.
    Duplicate,
    /// It is of another JSON type.
    WrongType,
    /// It is none of the values that there are.
    UnknownValue,
    /// It is not of the form that is expected.
    InvalidValue,
    /// It is no phone number.
    InvalidPhoneNumber,
    /// It is no email address.
    InvalidEmailAddress,
    /// It is no name of a chat participant.
    InvalidName,
    /// The number, time or position is too small or too large.
    OutOfRange,
    /// It has too many characters or bytes.
    TooLong,
    /// It has too many entries, or too few.
    WrongCount,
    /// It holds a character that it must not hold.
    ForbiddenCharacter,
    /// It cannot stand in this request, such as a subject in an SMS.
    NotAllowed,
    /// hatch cannot do it yet.
    NotAvailable,
    /// It says something else than another field.
    Contradiction,
}

impl FieldError {
    /// A value that is not of the form which `detail` says.
    pub(crate) fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::coded(FieldCode::InvalidValue, pointer, detail)
    }

    /// A fault of the kind `code`.
    pub(crate) fn coded(
        code: FieldCode,
        pointer: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self { pointer: pointer.into(), code, detail: cut(detail.into()) }
    }

    /// What `error` says of the value at `pointer`.
    pub(crate) fn of(pointer: impl Into<String>, error: &impl Fault) -> Self {
        Self::coded(error.code(), pointer, error.to_string())
    }
}

/// The detail, which may quote a value: an error is never as long as what it is about.
fn cut(mut detail: String) -> String {
    if let Some((end, _)) = detail.char_indices().nth(DETAIL_CHARACTERS_MAX) {
        detail.truncate(end);
        detail.push('…');
    }
    detail
}

/// A reference token of a JSON Pointer for `name`, with the slash before it (RFC 6901, section 3).
pub(crate) fn token(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Why a text is no value of a field.
pub(crate) trait Fault: ToString {
    /// Which kind of fault it is.
    fn code(&self) -> FieldCode {
        FieldCode::InvalidValue
    }
}

impl Fault for &str {}

impl Fault for hatch_domain::consent::ProgrammeError {}

impl Fault for hatch_domain::ip_range::BadIpRange {}

impl Fault for hatch_domain::scope::UnknownScope {
    fn code(&self) -> FieldCode {
        FieldCode::UnknownValue
    }
}

impl Fault for AddressError {
    fn code(&self) -> FieldCode {
        match self {
            Self::NotInternational | Self::NameForPhone | Self::NotDigits | Self::Impossible => {
                FieldCode::InvalidPhoneNumber
            }
            Self::NotEmail | Self::NameForEmail | Self::LongEmail => FieldCode::InvalidEmailAddress,
            Self::NotName | Self::NotSaid => FieldCode::InvalidName,
            Self::NoDisplayName => FieldCode::NotAllowed,
            _ => FieldCode::InvalidValue,
        }
    }
}
