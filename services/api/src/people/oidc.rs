//! Signing in by an identity provider (OpenID Connect). Who the person is there, is somebody's here only by an invitation
//! that he holds, by a verified email that is a member's own, or because it was so before.

use std::sync::Arc;

use axum::extract::{Query, RawQuery, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use hatch_directory::{MemberEntry, SESSION_LIFE_MAX};
use hatch_domain::address::Address;
use hatch_domain::ids::TenantId;
use hatch_domain::member::command::{Joining, MemberCommand};
use hatch_domain::member::{Identity as Known, MemberStatus};
use serde::{Deserialize, Serialize};

use super::sign_in::{Origin, SignedIn};
use super::{Link, People};
use crate::auth::cookie;
use crate::client_address::ClientAddress;
use crate::extract::JsonBody;
use crate::oidc::{COOKIE_SECONDS, Identity, Oidc, OidcError, RETURN_BYTES_MAX, is_path};
use crate::problem::{FieldCode, FieldError, Problem};

/// What attempts by the identity provider are counted as.
const ACCOUNT: &str = "/auth/oidc";

/// Answers to one attempt at most.
const ANSWERS_MAX: i32 = 5;

/// Where the page is that people come back to.
const SIGN_IN: &str = "/auth/sign-in";

/// Characters of a name that are kept.
const NAME_CHARACTERS_MAX: usize = 100;

/// What somebody wants who goes to the identity provider. It comes back with him, sealed.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Errand {
    /// An invitation that he holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    invitation: Option<String>,
    /// Of which tenant he is a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantId>,
    /// Where he goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    return_to: Option<String>,
}

/// Where a page sends its browser.
#[derive(Serialize)]
struct Elsewhere {
    url: String,
}

/// They are of pages, and no part of the document.
pub(super) fn routes() -> Router<Arc<People>> {
    Router::new()
        .route("/auth/oidc/start", get(start).post(start_by_page))
        .route("/auth/oidc/callback", get(callback))
}

async fn start(
    State(people): State<Arc<People>>,
    Extension(address): Extension<ClientAddress>,
    Query(errand): Query<Errand>,
) -> Result<Response, Problem> {
    // A link in an address bar is in logs.
    let errand = Errand { invitation: None, ..errand };
    let (url, headers) = begin(&people, address, &errand).await?;
    Ok((StatusCode::SEE_OTHER, headers, [(LOCATION, url)]).into_response())
}

async fn start_by_page(
    State(people): State<Arc<People>>,
    Extension(address): Extension<ClientAddress>,
    JsonBody(errand): JsonBody<Errand>,
) -> Result<Response, Problem> {
    let (url, headers) = begin(&people, address, &errand).await?;
    Ok((headers, Json(Elsewhere { url })).into_response())
}

async fn begin(
    people: &People,
    address: ClientAddress,
    errand: &Errand,
) -> Result<(String, HeaderMap), Problem> {
    let oidc = provider(people)?;
    count(people, address).await?;
    let kept = errand.write();
    if kept.len() > RETURN_BYTES_MAX {
        let detail =
            format!("expected {RETURN_BYTES_MAX} bytes at most, with the rest of what is wanted");
        let error = FieldError::coded(FieldCode::TooLong, "/return_to", detail);
        return Err(Problem::invalid(vec![error]));
    }
    let begun = oidc.begin(&kept).await.map_err(|error| failed(&error))?;
    let (seconds, is_secure) = (i64::from(COOKIE_SECONDS), people.is_secure());
    // No sibling of this host may plant an attempt of his own.
    let named = (cookie::name_of_attempt(is_secure), begun.cookie.as_str());
    let cookie = cookie::set(named, "/", seconds, is_secure);
    let headers = cookie.map(|cookie| (SET_COOKIE, cookie)).into_iter().collect();
    Ok((begun.url.to_string(), headers))
}

/// Refuses whose address comes too often. All who come by the identity provider are counted as one: only their addresses
/// tell them apart.
async fn count(people: &People, address: ClientAddress) -> Result<(), Problem> {
    let now = people.store.environment().now();
    match people.attempts.count(address.counted(), ACCOUNT, now).await? {
        Some(too_many) if too_many.is_of_address => Err(Problem::too_many_attempts(too_many)),
        Some(_) | None => Ok(()),
    }
}

/// Refuses an attempt that was answered often enough.
async fn count_answers(people: &People, attempt: &str) -> Result<(), Problem> {
    let (account, now) = (format!("{ACCOUNT} {attempt}"), people.store.environment().now());
    match people.attempts.count_alone(&account, ANSWERS_MAX, now).await? {
        Some(too_many) => Err(Problem::too_many_attempts(too_many)),
        None => Ok(()),
    }
}

async fn callback(
    State(people): State<Arc<People>>,
    Extension(address): Extension<ClientAddress>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let oidc = provider(&people)?;
    let query = query.unwrap_or_default();
    let finished = finish(&people, oidc, (address, &query), &headers).await;
    Ok(match finished {
        Ok((errand, signed_in)) => {
            let (seconds, secure) = (SESSION_LIFE_MAX.num_seconds(), people.is_secure());
            let goes_on = errand.return_to.as_deref().filter(|path| is_path(path));
            let given = cookie::give(&signed_in.secret, seconds, secure);
            back(&people, goes_on.unwrap_or(SIGN_IN), given)
        }
        // A person sees the page, and no problem in JSON.
        Err(problem) => back(&people, &error_fragment(&problem), None),
    })
}

async fn finish(
    people: &People,
    oidc: &Oidc,
    (address, query): (ClientAddress, &str),
    headers: &HeaderMap,
) -> Result<(Errand, SignedIn), Problem> {
    let kept = cookie::value_of(headers, cookie::name_of_attempt(people.is_secure()));
    let kept = kept.unwrap_or_default();
    // Each asks the identity provider, also by a code that somebody has invented. The address was counted at its beginning.
    if let Some(attempt) = oidc.answered(query, kept) {
        count_answers(people, &attempt).await?;
    }
    let finished = oidc.finish(query, kept).await;
    let identity = finished.map_err(|error| failed(&error))?;
    let errand = Errand::read(&identity.return_to);
    let entry = whose(people, &identity, &errand).await?;
    let signed_in = people.sign_in_by_oidc(entry, &Origin::of(address, headers)).await?;
    Ok((errand, signed_in))
}

fn provider(people: &People) -> Result<&Oidc, Problem> {
    people.oidc.as_ref().ok_or_else(Problem::no_oidc)
}

fn failed(error: &OidcError) -> Problem {
    match error {
        OidcError::Unavailable(why) => {
            tracing::warn!(why, "the identity provider does not answer");
            Problem::unavailable("the identity provider does not answer")
        }
        OidcError::Refused(why) => {
            tracing::info!(why, "a sign-in by the identity provider was refused");
            Problem::wrong_sign_in()
        }
    }
}

/// Where the page reads what went wrong. A browser sends it to nobody.
fn error_fragment(problem: &Problem) -> String {
    let body = problem.to_json();
    let told = serde_json::json!({"code": body["code"], "errors": body["errors"]}).to_string();
    let told: String = url::form_urlencoded::byte_serialize(told.as_bytes()).collect();
    format!("{SIGN_IN}#{told}")
}

/// Sends the browser to a path of ours, without the cookie of the attempt, and perhaps with a session.
fn back(people: &People, path: &str, session: Option<axum::http::HeaderValue>) -> Response {
    let is_secure = people.is_secure();
    let gone = cookie::set((cookie::name_of_attempt(is_secure), ""), "/", 0, is_secure);
    let mut response = (StatusCode::SEE_OTHER, [(LOCATION, path.to_owned())]).into_response();
    for cookie in gone.into_iter().chain(session) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Whose identity it is; it is linked where it may be, and was not.
async fn whose(
    people: &People,
    identity: &Identity,
    errand: &Errand,
) -> Result<MemberEntry, Problem> {
    if let Some(invitation) = &errand.invitation {
        return by_invitation(people, identity, invitation).await;
    }
    let at = people.store.environment().now();
    let fits = |entry: &MemberEntry| {
        let counts = match entry.member.status() {
            Some(MemberStatus::Active) => true,
            Some(MemberStatus::Invited) => {
                entry.member.invitation_expires_at().is_some_and(|end| at < end)
            }
            Some(MemberStatus::Removed) | None => false,
        };
        counts && errand.tenant.is_none_or(|tenant| tenant == entry.tenant_id)
    };
    let known = people.directory.members_known_as(&identity.issuer, &identity.subject);
    let mut known: Vec<MemberEntry> = known.into_iter().filter(fits).collect();
    if known.is_empty() && identity.email_verified {
        let email = identity.email.as_deref().and_then(|email| Address::email(email).ok());
        let with = email.map(|email| people.directory.members_with(&email)).unwrap_or_default();
        // Whom the identity provider calls something else, it means somebody else by: an email may be given to another
        // person.
        let is_new = |entry: &MemberEntry| {
            entry.member.identities().iter().all(|one| one.issuer != identity.issuer)
        };
        known = with.into_iter().filter(fits).filter(is_new).collect();
    }
    if known.len() > 1 {
        return Err(people.several(&known));
    }
    let entry = known.pop().ok_or_else(Problem::wrong_sign_in)?;
    let command = match entry.member.is_active() {
        true if entry.member.is_known_as(&identity.issuer, &identity.subject) => return Ok(entry),
        true => MemberCommand::Link { identity: known_as(identity), at },
        false => join(identity, None, at),
    };
    recorded(people, entry, &command).await
}

/// Who holds an invitation is whom it was given to, whatever he is called elsewhere.
async fn by_invitation(
    people: &People,
    identity: &Identity,
    invitation: &str,
) -> Result<MemberEntry, Problem> {
    let at = people.store.environment().now();
    let link = Link::read(invitation).ok_or_else(Problem::invitation_invalid)?;
    let entry = people.directory.member(link.member());
    let entry = entry.filter(|entry| entry.member.admits(&link.hash(), at));
    let entry = entry.ok_or_else(Problem::invitation_invalid)?;
    recorded(people, entry, &join(identity, Some(link), at)).await
}

fn join(
    identity: &Identity,
    link: Option<Link>,
    at: chrono::DateTime<chrono::Utc>,
) -> MemberCommand {
    MemberCommand::Join {
        invitation: link.map(|link| link.hash()),
        by: Joining::Oidc(known_as(identity)),
        name: identity.name.as_deref().and_then(shown_name),
        at,
    }
}

/// What he is called elsewhere, as it can be shown.
fn shown_name(name: &str) -> Option<String> {
    let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_CHARACTERS_MAX).collect();
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn known_as(identity: &Identity) -> Known {
    Known { issuer: identity.issuer.clone(), subject: identity.subject.clone() }
}

/// The member as the command left him.
async fn recorded(
    people: &People,
    entry: MemberEntry,
    command: &MemberCommand,
) -> Result<MemberEntry, Problem> {
    let (position, state) = people.record(&entry, command).await?;
    people.knows(position).await;
    Ok(MemberEntry { member: Arc::new(state), ..entry })
}

impl Errand {
    /// As a path of ours, which is what the attempt is kept with.
    fn write(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let tenant = self.tenant.map(|tenant| tenant.to_string());
        let pairs = [
            ("invitation", self.invitation.as_deref()),
            ("tenant", tenant.as_deref()),
            ("return_to", self.return_to.as_deref().filter(|path| is_path(path))),
        ];
        for (name, value) in pairs {
            query.extend_pairs(value.map(|value| (name, value)));
        }
        format!("{SIGN_IN}?{}", query.finish())
    }

    fn read(path: &str) -> Self {
        let mut errand = Self::default();
        let query = path.split_once('?').map(|(_, query)| query).unwrap_or_default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "invitation" => errand.invitation = Some(value.into_owned()),
                "tenant" => errand.tenant = value.parse().ok(),
                "return_to" => errand.return_to = Some(value.into_owned()),
                _ => {}
            }
        }
        errand
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::*;
    use crate::resources::members::tests::{MEMBERS, invite, joined};
    use crate::testing::Api;

    fn identity(subject: &str, email: &str, email_verified: bool) -> Identity {
        Identity {
            issuer: "https://id.example".to_owned(),
            subject: subject.to_owned(),
            email: Some(email.to_owned()),
            email_verified,
            name: Some("Ann\u{7} Lee".to_owned()),
            return_to: SIGN_IN.to_owned(),
        }
    }

    /// Whose it is, or the code of what is answered.
    async fn found(
        api: &Api,
        identity: Identity,
        invitation: Option<&str>,
    ) -> Result<String, String> {
        let errand = Errand { invitation: invitation.map(str::to_owned), ..Errand::default() };
        let entry = whose(&api.people(), &identity, &errand).await;
        entry
            .map(|entry| entry.id.to_string())
            .map_err(|problem| problem.to_json()["code"].as_str().expect("a code").to_owned())
    }

    #[tokio::test]
    async fn an_identity_is_a_members_by_an_invitation_or_a_verified_email_and_by_nothing_else() {
        let api = Api::start().await;
        let refused = Err("wrong_sign_in".to_owned());
        let (ann, _) = invite(&api, "ann@example.com", "agent").await;
        let unverified = identity("ann", "ann@example.com", false);
        assert_eq!(found(&api, unverified, None).await, refused);
        let other = identity("ann", "ann@example.org", true);
        assert_eq!(found(&api, other, None).await, refused);
        let verified = identity("ann", "Ann@Example.com", true);
        assert_eq!(found(&api, verified, None).await, Ok(ann.clone()));
        let later = identity("ann", "ann.lee@example.org", false);
        assert_eq!(found(&api, later, None).await, Ok(ann.clone()), "he is known by then");

        let (bob, link) = invite(&api, "bob@example.com", "agent").await;
        let stranger = || identity("bob", "somebody@example.org", false);
        assert_eq!(
            found(&api, stranger(), Some("none")).await,
            Err("invitation_invalid".to_owned())
        );
        assert_eq!(found(&api, stranger(), Some(&link)).await, Ok(bob.clone()));
        assert_eq!(
            found(&api, stranger(), Some(&link)).await,
            Err("invitation_invalid".to_owned())
        );
        assert_eq!(found(&api, stranger(), None).await, Ok(bob.clone()));

        let cy = joined(&api, "cy@example.com", "agent").await;
        let linked = identity("cy", "cy@example.com", true);
        assert_eq!(found(&api, linked, None).await, Ok(cy), "who has a password, too");
        let heir = identity("another person", "cy@example.com", true);
        assert_eq!(
            found(&api, heir, None).await,
            refused,
            "an email may be given to another person"
        );
        let removed = api.request(Method::DELETE, &format!("{MEMBERS}/{bob}"), &[], None).await;
        assert_eq!(removed.status, StatusCode::OK, "{}", removed.body);
        assert_eq!(found(&api, stranger(), None).await, refused, "who was removed is nobody");
    }

    #[tokio::test]
    async fn who_comes_by_the_identity_provider_gets_no_password_by_his_session() {
        let api = Api::start().await;
        invite(&api, "ann@example.com", "agent").await;
        let (people, ann) = (api.people(), identity("ann", "ann@example.com", true));
        let entry = whose(&people, &ann, &Errand::default()).await.expect("a member");
        let address = ClientAddress(std::net::IpAddr::from([192, 0, 2, 1]));
        let origin = Origin { address, user_agent: None };
        let signed_in = people.sign_in_by_oidc(entry, &origin).await;
        let session = format!("hatch={}", signed_in.expect("a session").secret);
        let change = serde_json::json!({"new_password": "staple in the rain"});
        for (method, path, body) in [
            (Method::PUT, "/api/v1/session/password", Some(change)),
            (Method::POST, "/api/v1/session/totp", None),
        ] {
            let refused = api.by_session(&session, (method, path), &[], body).await;
            assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
            assert_eq!(refused.text("code"), "no_password");
        }
    }

    #[test]
    fn an_errand_comes_back_as_it_was_sent_and_leads_to_nobody_else() {
        let errand = Errand {
            invitation: Some("a b&c".to_owned()),
            tenant: Some(TenantId::DEFAULT),
            return_to: Some("/docs/?x=1#y".to_owned()),
        };
        let read = Errand::read(&errand.write());
        assert_eq!((read.invitation, read.tenant), (errand.invitation, errand.tenant));
        assert_eq!(read.return_to, errand.return_to);
        for elsewhere in ["https://evil.example", "//evil.example", "/\\evil.example", "", "/a b"] {
            let errand = Errand { return_to: Some(elsewhere.to_owned()), ..Errand::default() };
            assert_eq!(Errand::read(&errand.write()).return_to, None, "{elsewhere}");
        }
    }
}
