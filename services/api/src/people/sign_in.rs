//! Signing in by a password. Whoever guesses learns nothing from what is answered, nor from how long it takes.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use chrono::{DateTime, Utc};
use hatch_directory::{Begun, MemberEntry, SESSION_LIFE_MAX, Session, SessionHash, Use};
use hatch_domain::actor::Actor;
use hatch_domain::address::Address;
use hatch_domain::api_key::SecretHash;
use hatch_domain::ids::{MemberId, SessionId, TenantId};
use hatch_domain::member::command::MemberCommand;
use hatch_domain::member::{Member, SignInWay};
use hatch_domain::scope::Scope;
use hatch_eventstore::{Execute, ExecuteError, Metadata, Position, SystemEnvironment};
use hatch_seal::{OpenError, Place};

use super::passwords::is_possible;
use super::totp::{is_code, recovery_hash, secret_text, step_of};
use super::{People, TOTP_FIELD, known};
use crate::auth::Caller;
use crate::client_address::ClientAddress;
use crate::problem::Problem;
use crate::resources::members::refusal;
use crate::resources::position_after;

/// Tenants that a person is looked for in who names none: those where he joined first. For others he names one. So often a
/// password is worked on, however many there are.
const TENANTS_TRIED: usize = 3;

/// What somebody tries to sign in by.
pub(crate) struct Attempt {
    pub(crate) email: Address,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) password: String,
    pub(crate) totp: Option<String>,
    /// What the browser keeps, if somebody has signed in by it before.
    pub(crate) browser: Option<String>,
}

/// Somebody who has signed in.
pub(crate) struct SignedIn {
    /// What opens the session. It is told once.
    pub(crate) secret: String,
    pub(crate) session: Session,
    pub(crate) entry: MemberEntry,
    /// Of the event that says so.
    pub(crate) position: Position,
}

/// What stood beside the password.
#[derive(Default)]
struct SecondFactor {
    was_asked_for: bool,
    recovery: Option<SecretHash>,
}

/// Attempts by the known browsers of one member, in five minutes.
const OF_KNOWN_MAX: i32 = 20;

/// From where somebody comes, and by what.
pub(crate) struct Origin {
    pub(crate) address: ClientAddress,
    pub(crate) user_agent: Option<String>,
}

impl Origin {
    pub(crate) fn of(address: ClientAddress, headers: &HeaderMap) -> Self {
        let user_agent = headers.get(USER_AGENT).and_then(|name| name.to_str().ok());
        Self { address, user_agent: user_agent.map(str::to_owned) }
    }
}

impl People {
    /// Signs somebody in by a password.
    pub(crate) async fn sign_in(
        &self,
        attempt: Attempt,
        origin: &Origin,
    ) -> Result<SignedIn, Problem> {
        let Attempt { email, tenant, password, totp, browser } = attempt;
        let (now, mut account) = (self.store.environment().now(), email.identity().to_string());
        let counted = self.attempts.count(origin.address.counted(), &account, now).await?;
        let mut only = None;
        if let Some(too_many) = counted {
            let kept = browser.filter(|_| !too_many.is_of_address);
            only = kept.and_then(|kept| self.owner_of_browser(&email, &kept));
            let Some(member) = only else { return Err(Problem::too_many_attempts(too_many)) };
            account = format!("known browsers of {member}");
            // The address is counted already.
            let counted = self.attempts.count_alone(&account, OF_KNOWN_MAX, now).await?;
            if let Some(too_many) = counted {
                return Err(Problem::too_many_attempts(too_many));
            }
        }
        // It is nobody's: that says nothing of anybody.
        if !is_possible(&password) {
            return Err(Problem::wrong_sign_in());
        }
        let known = self.directory.members_with(&email).into_iter();
        let mut known: Vec<MemberEntry> = known
            .filter(|entry| entry.member.is_active())
            .filter(|entry| tenant.is_none_or(|tenant| tenant == entry.tenant_id))
            .filter(|entry| only.is_none_or(|only| only == entry.id))
            .collect();
        // Whoever invites the same email later takes nobody's place.
        known.sort_by_key(|entry| entry.member.joined_at());
        known.truncate(TENANTS_TRIED);
        let hashes = known.iter().map(|entry| entry.member.password().cloned()).collect();
        let times = if tenant.is_some() { 1 } else { TENANTS_TRIED };
        let compared = self.passwords.compare(password.clone(), hashes, times).await?;
        let fitting = known.into_iter().zip(compared.fits).filter(|(_, fits)| *fits);
        let mut fitting: Vec<MemberEntry> = fitting.map(|(entry, _)| entry).collect();
        if fitting.len() > 1 {
            return Err(self.several(&fitting));
        }
        let entry = fitting.pop().ok_or_else(Problem::wrong_sign_in)?;
        let factor = self.second_factor(&entry, totp.as_deref(), now).await?;
        let mut signed_in = self.begin(entry, SignInWay::Password, factor, origin).await?;
        if let Err(error) = self.attempts.give_back(&account).await {
            tracing::debug!(%error, "an attempt to sign in counts on");
        }
        if compared.is_weak {
            self.strengthen(&mut signed_in.entry, password).await;
        }
        Ok(signed_in)
    }

    /// The member of this email whose browser it is that keeps `kept`.
    fn owner_of_browser(&self, email: &Address, kept: &str) -> Option<MemberId> {
        let mut members = self.directory.members_with(email).into_iter();
        let owner = members.find(|entry| entry.member.is_active() && known::is_of(kept, entry));
        owner.map(|entry| entry.id)
    }

    /// Signs a member in whom an identity provider knows.
    pub(crate) async fn sign_in_by_oidc(
        &self,
        entry: MemberEntry,
        origin: &Origin,
    ) -> Result<SignedIn, Problem> {
        // That program asks for a second factor, if one is to be asked for.
        self.begin(entry, SignInWay::Oidc, SecondFactor::default(), origin).await
    }

    /// The tenants among which somebody has to choose.
    pub(crate) fn several(&self, entries: &[MemberEntry]) -> Problem {
        let name = |entry: &MemberEntry| {
            let tenant = self.directory.tenant(entry.tenant_id);
            let name = tenant.as_ref().and_then(|tenant| tenant.name()).unwrap_or("default");
            format!("{} {name}", entry.tenant_id)
        };
        Problem::several_tenants(entries.iter().map(name).collect())
    }

    /// Looks at the second factor, where the member is asked for one.
    async fn second_factor(
        &self,
        entry: &MemberEntry,
        code: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<SecondFactor, Problem> {
        if entry.member.totp_secret().is_none() {
            return Ok(SecondFactor::default());
        }
        let code = code.map(str::trim).filter(|code| !code.is_empty());
        let code = code.ok_or_else(Problem::totp_required)?;
        if !is_code(code) {
            let hash = recovery_hash(code);
            let counts = entry.member.has_recovery_code(&hash);
            let factor = SecondFactor { was_asked_for: true, recovery: Some(hash) };
            return if counts { Ok(factor) } else { Err(Problem::wrong_sign_in()) };
        }
        if !self.takes_code(entry, code, now).await? {
            return Err(Problem::wrong_sign_in());
        }
        Ok(SecondFactor { was_asked_for: true, recovery: None })
    }

    /// Whether `code` is one of the member's authenticator now, and was not used; it is from now on.
    pub(crate) async fn takes_code(
        &self,
        entry: &MemberEntry,
        code: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, Problem> {
        let Some(sealed) = entry.member.totp_secret() else { return Ok(false) };
        let opened = self.keyring.open(sealed, &place(entry)).map_err(|error| unopened(&error))?;
        let Some(step) = step_of(opened.expose(), code, now.timestamp()) else { return Ok(false) };
        Ok(self.attempts.take_step(entry.tenant_id, entry.id, step).await?)
    }

    async fn begin(
        &self,
        entry: MemberEntry,
        by: SignInWay,
        factor: SecondFactor,
        origin: &Origin,
    ) -> Result<SignedIn, Problem> {
        // Nobody learns it who does not know the password.
        let tenant = self.directory.tenant(entry.tenant_id);
        if tenant.is_some_and(|tenant| tenant.is_suspended()) && !may_resume(&entry) {
            return Err(Problem::tenant_suspended());
        }
        let environment = self.store.environment();
        let (secret, now) = (secret_text(&SystemEnvironment::entropy()), environment.now());
        let session = Session {
            id: SessionId(environment.new_id()),
            tenant_id: entry.tenant_id,
            member_id: entry.id,
            generation: entry.member.generation(),
            // What is known of the member is known up to here.
            position: self.directory.position(),
            ends_at: now + SESSION_LIFE_MAX,
        };
        let used = Use::new(now, origin.address.0, origin.user_agent.as_deref());
        let way = match by {
            SignInWay::Password => "password",
            SignInWay::Oidc => "oidc",
        };
        // The row first: a session that nobody is told of opens nothing.
        let begun = Begun { session, way, used };
        self.sessions.begin(SessionHash::of(&secret), &begun).await?;
        let SecondFactor { was_asked_for: second_factor, recovery } = factor;
        let (session_id, at) = (session.id, now);
        let command = MemberCommand::SignIn { session_id, by, recovery, second_factor, at };
        match self.record(&entry, &command).await {
            // What he has signed in by may count no more since it was looked at.
            Ok((position, state)) if state.generation() == session.generation => {
                Ok(SignedIn { secret, session, entry, position })
            }
            Ok(_) => {
                self.sessions.end(session.tenant_id, Some(session.member_id), session.id).await?;
                Err(Problem::wrong_sign_in())
            }
            Err(problem) => {
                let member = Some(session.member_id);
                let _ = self.sessions.end(session.tenant_id, member, session.id).await;
                Err(problem)
            }
        }
    }

    /// The same password costs more to guess from now on. Where that fails, it does so another time.
    async fn strengthen(&self, entry: &mut MemberEntry, password: String) {
        let Some(from) = entry.member.password().cloned() else { return };
        let Ok(to) = self.passwords.hash(password).await else { return };
        let at = self.store.environment().now();
        let command = MemberCommand::RehashPassword { from, to, at };
        match self.record(entry, &command).await {
            // What his browser is known by is made of the hash.
            Ok((_, member)) => entry.member = Arc::new(member),
            Err(problem) => {
                tracing::debug!(%problem, "a password costs as little to guess as before");
            }
        }
    }

    /// Refuses who does not know the member's password, though he has a session; and who has none, for whoever has taken
    /// such a session over would outlast by it what the identity provider says of the member.
    pub(crate) async fn prove(
        &self,
        entry: &MemberEntry,
        password: String,
        address: ClientAddress,
    ) -> Result<(), Problem> {
        let hash = entry.member.password().cloned().ok_or_else(Problem::no_password)?;
        let (now, account) = (self.store.environment().now(), entry.id.to_string());
        if let Some(too_many) = self.attempts.count(address.counted(), &account, now).await? {
            return Err(Problem::too_many_attempts(too_many));
        }
        if !is_possible(&password) {
            return Err(Problem::wrong_password());
        }
        let compared = self.passwords.compare(password, vec![Some(hash)], 1).await?;
        if compared.fits == [true] { Ok(()) } else { Err(Problem::wrong_password()) }
    }

    /// Ends a session of the member's, and says so in the log; a position by which it is so.
    pub(crate) async fn end_session(
        &self,
        caller: &Caller,
        member: MemberId,
        id: SessionId,
    ) -> Result<Position, Problem> {
        match self.sessions.end(caller.tenant, Some(member), id).await? {
            Some(_) => self.session_ended(caller, member, id).await,
            None => Ok(self.store.log().head().await?),
        }
    }

    /// Says in the log that a session was ended, and by whom; a position by which it is so.
    pub(crate) async fn session_ended(
        &self,
        caller: &Caller,
        member: MemberId,
        session_id: SessionId,
    ) -> Result<Position, Problem> {
        let command = MemberCommand::EndSession { session_id, at: self.store.environment().now() };
        let metadata = caller.metadata(member.0);
        let execute = Execute::<Member>::new(caller.tenant.0, member.0, &command, metadata);
        let appended = match self.store.execute(execute).await {
            Ok(executed) => executed.appended,
            // All of them have ended by that.
            Err(ExecuteError::Rejected(_)) => None,
            Err(error) => return Err(error.into()),
        };
        position_after(&self.store, appended.as_ref()).await
    }

    /// Lets a member decide on what he asks for himself.
    pub(crate) async fn record(
        &self,
        entry: &MemberEntry,
        command: &MemberCommand,
    ) -> Result<(Position, Member), Problem> {
        let actor = Actor::User(entry.id.0).to_string();
        let metadata = Metadata { correlation_id: entry.id.0, actor, ..Metadata::default() };
        let execute = Execute::<Member>::new(entry.tenant_id.0, entry.id.0, command, metadata);
        let executed = self.store.execute(execute).await.map_err(refusal)?;
        let position = match executed.appended {
            Some(appended) => appended.last(),
            None => self.store.log().head().await?,
        };
        Ok((position, executed.state))
    }
}

/// Whether he may let a suspended tenant in again: for that he has to get in himself.
fn may_resume(entry: &MemberEntry) -> bool {
    entry.member.scopes().allows(Scope::Platform)
}

/// Where a member's secret of the second factor belongs.
pub(crate) fn place(entry: &MemberEntry) -> Place<'static> {
    Place { tenant: entry.tenant_id.0, stream: entry.id.0, field: TOTP_FIELD }
}

fn unopened(error: &OpenError) -> Problem {
    tracing::error!(%error, "the secret of a second factor cannot be read: its member needs a recovery code");
    Problem::unavailable("the second factor cannot be looked at: use a recovery code")
}
