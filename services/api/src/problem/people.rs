//! Why somebody is not invited, not let in, or not given what was asked for.

use axum::http::StatusCode;
use hatch_directory::TooMany;

use super::{FieldCode, FieldError, Problem};

impl Problem {
    /// Email, password or code are wrong: which, and whether there is such a person, a stranger does not learn.
    pub(crate) fn wrong_sign_in() -> Self {
        let title = "Nobody signs in by this";
        let detail =
            "expected the email, the password and, where one is asked for, the code of a member";
        Self::new(StatusCode::UNAUTHORIZED, "wrong-sign-in", title, detail)
    }

    /// The password is right, and a code is asked for beside it.
    pub(crate) fn totp_required() -> Self {
        let title = "A second factor is asked for";
        let detail = "totp: expected the code of the authenticator, or one of the recovery codes";
        Self::new(StatusCode::UNAUTHORIZED, "totp-required", title, detail)
    }

    /// The person is a member of several tenants; each is named by an error.
    pub(crate) fn several_tenants(tenants: Vec<String>) -> Self {
        let title = "The person is a member of several tenants";
        let detail = "tenant: expected one of those in errors";
        let error = |tenant| FieldError::coded(FieldCode::Required, "/tenant", tenant);
        let errors = tenants.into_iter().map(error).collect();
        Self { errors, ..Self::new(StatusCode::CONFLICT, "several-tenants", title, detail) }
    }

    /// Somebody tried to sign in too often.
    pub(crate) fn too_many_attempts(too_many: TooMany) -> Self {
        let title = "Somebody tried to sign in too often";
        let detail = format!("try again in {} seconds", too_many.retry_after_seconds);
        Self {
            retry_after_seconds: Some(too_many.retry_after_seconds),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-attempts", title, detail)
        }
    }

    /// The link was used, is too old, or never was one.
    pub(crate) fn invitation_invalid() -> Self {
        let title = "The invitation is not valid";
        let detail = "the invitation was used, has expired, or another one took its place: ask for a new one";
        Self::new(StatusCode::NOT_FOUND, "invitation-invalid", title, detail)
    }

    /// Who is invited is here already.
    pub(crate) fn member_joined() -> Self {
        let title = "The person is a member already";
        let detail = "email: a member has it; PATCH gives him another role";
        Self::new(StatusCode::CONFLICT, "member-joined", title, detail)
    }

    /// What is asked of a member needs him to have joined.
    pub(crate) fn member_inactive() -> Self {
        let title = "The person is no active member";
        let detail = "the member has not joined yet, or was removed";
        Self::new(StatusCode::CONFLICT, "member-inactive", title, detail)
    }

    /// Without him nobody could do everything.
    pub(crate) fn last_owner() -> Self {
        let title = "The tenant would have no owner";
        let detail = "the member is the last owner: make somebody else one first";
        Self::new(StatusCode::CONFLICT, "last-owner", title, detail)
    }

    /// The role could do more than the one who gives or takes it; `detail` says what.
    pub(crate) fn stronger_role(detail: impl Into<String>) -> Self {
        let title = "The member could do more than who asks";
        Self::new(StatusCode::FORBIDDEN, "stronger-role", title, detail)
    }

    /// The tenant has as many members as it may.
    pub(crate) fn too_many_members(max: usize) -> Self {
        let title = "The tenant has as many members as it may";
        let detail = format!("there are {max} members and more are not taken: remove one");
        Self::new(StatusCode::CONFLICT, "too-many-members", title, detail)
    }

    /// Only a person who has signed in has what was asked for.
    pub(crate) fn not_signed_in() -> Self {
        let title = "Only a person who has signed in can do this";
        let detail = "expected a request by the cookie of a session";
        Self::new(StatusCode::FORBIDDEN, "not-signed-in", title, detail)
    }

    /// The code is not the authenticator's now, or was used.
    pub(crate) fn wrong_code() -> Self {
        let title = "The code is wrong";
        let detail =
            "code: expected the six digits that the authenticator shows now, not used before";
        Self::new(StatusCode::FORBIDDEN, "wrong-code", title, detail)
    }

    /// The password that was given beside the new one is not his.
    pub(crate) fn wrong_password() -> Self {
        let title = "The password is wrong";
        let detail = "password: expected the one that counts now";
        Self::new(StatusCode::FORBIDDEN, "wrong-password", title, detail)
    }

    /// There is no other program that people sign in by.
    pub(crate) fn no_oidc() -> Self {
        Self::absent("no sign-in by OpenID Connect is set: set [oidc]")
    }
}
