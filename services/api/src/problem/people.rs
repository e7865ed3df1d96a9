//! Why somebody is not invited, not let in, or not given what was asked for.

use hatch_directory::TooMany;

use super::{FieldCode, FieldError, Problem, catalogue};

impl Problem {
    /// Email, password or code are wrong: which, and whether there is such a person, a stranger does not learn.
    pub(crate) fn wrong_sign_in() -> Self {
        let detail =
            "expected the email, the password and, where one is asked for, the code of a member";
        Self::of(&catalogue::WRONG_SIGN_IN, detail)
    }

    /// The password is right, and a code is asked for beside it.
    pub(crate) fn totp_required() -> Self {
        let detail = "totp: expected the code of the authenticator, or one of the recovery codes";
        Self::of(&catalogue::TOTP_REQUIRED, detail)
    }

    /// The person is a member of several tenants; each is named by an error.
    pub(crate) fn several_tenants(tenants: Vec<String>) -> Self {
        let detail = "tenant: expected one of those in errors";
        let error = |tenant| FieldError::coded(FieldCode::Required, "/tenant", tenant);
        let errors = tenants.into_iter().map(error).collect();
        Self { errors, ..Self::of(&catalogue::SEVERAL_TENANTS, detail) }
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
        let detail = "the invitation was used, has expired, or another one took its place: ask for a new one";
        Self::of(&catalogue::INVITATION_INVALID, detail)
    }

    /// Who is invited is here already.
    pub(crate) fn member_joined() -> Self {
        let detail = "email: a member has it; PATCH gives him another role";
        Self::of(&catalogue::MEMBER_JOINED, detail)
    }

    /// What is asked of a member needs him to have joined.
    pub(crate) fn member_inactive() -> Self {
        let detail = "the member has not joined yet, or was removed: invite the person again";
        Self::of(&catalogue::MEMBER_INACTIVE, detail)
    }

    /// Without him nobody could do everything.
    pub(crate) fn last_owner() -> Self {
        let detail = "the member is the last owner: make somebody else one first";
        Self::of(&catalogue::LAST_OWNER, detail)
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
        let detail = "expected a request by the cookie of a session";
        Self::of(&catalogue::NOT_SIGNED_IN, detail)
    }

    /// The code is not the authenticator's now, or was used.
    pub(crate) fn wrong_code() -> Self {
        let detail =
            "code: expected the six digits that the authenticator shows now, not used before";
        Self::of(&catalogue::WRONG_CODE, detail)
    }

    /// The password that was given, so that it is himself who asks, is not his.
    pub(crate) fn wrong_password() -> Self {
        let detail = "password: expected the one that counts now";
        Self::of(&catalogue::WRONG_PASSWORD, detail)
    }

    /// The member signs in by an identity provider, and has no password.
    pub(crate) fn no_password() -> Self {
        let detail = "the member signs in by another program: removed and invited again, he chooses a password";
        Self::of(&catalogue::NO_PASSWORD, detail)
    }

    /// Another second factor takes the place of none.
    pub(crate) fn totp_enabled() -> Self {
        let detail = "a second factor is asked for already: DELETE ends it, by the password";
        Self::of(&catalogue::TOTP_ENABLED, detail)
    }

    /// There is no identity provider that people sign in by.
    pub(crate) fn no_oidc() -> Self {
        Self::absent("no sign-in by OpenID Connect is set: set [oidc]")
    }
}
