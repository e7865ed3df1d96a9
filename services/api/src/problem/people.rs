//! Why somebody is not invited, not let in, or not given what was asked for.

use hatch_directory::TooMany;

use super::{FieldCode, FieldError, Problem, catalogue};

impl Problem {
    /// Email, password or code are wrong: which, and whether there is such a person, a stranger does not learn.
    pub(crate) fn wrong_sign_in() -> Self {
        Self::plain(&catalogue::WRONG_SIGN_IN)
    }

    /// The password is right, and a code is asked for beside it.
    pub(crate) fn totp_required() -> Self {
        Self::plain(&catalogue::TOTP_REQUIRED)
    }

    /// The person is a member of several tenants; each is named by an error.
    pub(crate) fn several_tenants(tenants: Vec<String>) -> Self {
        let error = |tenant| FieldError::coded(FieldCode::Required, "/tenant", tenant);
        let errors = tenants.into_iter().map(error).collect();
        Self { errors, ..Self::plain(&catalogue::SEVERAL_TENANTS) }
    }

    /// Somebody tried to sign in too often.
    pub(crate) fn too_many_attempts(too_many: TooMany) -> Self {
        let detail = format!("try again in {} seconds", too_many.retry_after_seconds);
        Self {
            retry_after_seconds: Some(too_many.retry_after_seconds),
            ..Self::of(&catalogue::TOO_MANY_ATTEMPTS, detail)
        }
    }

    /// The link was used, is too old, or never was one.
    pub(crate) fn invitation_invalid() -> Self {
        Self::plain(&catalogue::INVITATION_INVALID)
    }

    /// Who is invited is here already.
    pub(crate) fn member_joined() -> Self {
        Self::plain(&catalogue::MEMBER_JOINED)
    }

    /// What is asked of a member needs him to have joined.
    pub(crate) fn member_inactive() -> Self {
        Self::plain(&catalogue::MEMBER_INACTIVE)
    }

    /// Without him nobody could do everything.
    pub(crate) fn last_owner() -> Self {
        Self::plain(&catalogue::LAST_OWNER)
    }

    /// The role could do more than the one who gives or takes it; `detail` says what.
    pub(crate) fn stronger_role(detail: impl Into<String>) -> Self {
        Self::of(&catalogue::STRONGER_ROLE, detail)
    }

    /// The tenant has as many members as it may; `detail` says of which.
    pub(crate) fn too_many_members(detail: impl Into<String>) -> Self {
        Self::of(&catalogue::TOO_MANY_MEMBERS, detail)
    }

    /// Only a person who has signed in has what was asked for.
    pub(crate) fn not_signed_in() -> Self {
        Self::plain(&catalogue::NOT_SIGNED_IN)
    }

    /// The code is not the authenticator's now, or was used.
    pub(crate) fn wrong_code() -> Self {
        Self::plain(&catalogue::WRONG_CODE)
    }

    /// The password that was given, so that it is himself who asks, is not his.
    pub(crate) fn wrong_password() -> Self {
        Self::plain(&catalogue::WRONG_PASSWORD)
    }

    /// The member signs in by an identity provider, and has no password.
    pub(crate) fn no_password() -> Self {
        Self::plain(&catalogue::NO_PASSWORD)
    }

    /// Another second factor takes the place of none.
    pub(crate) fn totp_enabled() -> Self {
        Self::plain(&catalogue::TOTP_ENABLED)
    }

    /// There is no identity provider that people sign in by.
    pub(crate) fn no_oidc() -> Self {
        Self::absent("no sign-in by OpenID Connect is set: set [oidc]")
    }
}
