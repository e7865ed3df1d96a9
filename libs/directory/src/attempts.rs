//! How often somebody may try to sign in, over all processes: by the address that it comes from, and by the email. Both are
//! counted before anything is compared, and alike whether there is such a person or not.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::ids::{MemberId, TenantId};
use hatch_eventstore::{Connection, Connections};
use sha2::{Digest as _, Sha256};
use tokio_postgres::types::ToSql;

use crate::SessionError;

/// Attempts from an address, and in which time.
const OF_ADDRESS_MAX: i32 = 5;
const OF_ADDRESS: TimeDelta = TimeDelta::seconds(20);

/// Attempts for an email, and in which time. Those that an address had too many of do not count.
const OF_ACCOUNT_MAX: i32 = 20;
const OF_ACCOUNT: TimeDelta = TimeDelta::minutes(5);

/// How long PostgreSQL may take.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The address comes first for everybody, so that nobody waits for somebody who waits for him.
const COUNT: &str = "
    WITH address AS (
        INSERT INTO access.sign_in_attempts AS a (key, since, count) VALUES ($1::bytea, $3::timestamptz, 1)
        ON CONFLICT (key) DO UPDATE
           SET since = CASE WHEN a.since <= $4 THEN $3 ELSE a.since END,
               count = CASE WHEN a.since <= $4 THEN 1 ELSE least(a.count + 1, 1000000) END
        RETURNING since, count
    ), account AS (
        INSERT INTO access.sign_in_attempts AS a (key, since, count)
        SELECT $2::bytea, $3::timestamptz, 1 FROM address WHERE address.count <= $6
        ON CONFLICT (key) DO UPDATE
           SET since = CASE WHEN a.since <= $5 THEN $3 ELSE a.since END,
               count = CASE WHEN a.since <= $5 THEN 1 ELSE least(a.count + 1, 1000000) END
        RETURNING since, count
    )
    SELECT address.since, address.count, account.since, account.count
      FROM address LEFT JOIN account ON true";

const COUNT_ALONE: &str = "
    INSERT INTO access.sign_in_attempts AS a (key, since, count) VALUES ($1::bytea, $2::timestamptz, 1)
    ON CONFLICT (key) DO UPDATE
       SET since = CASE WHEN a.since <= $3 THEN $2 ELSE a.since END,
           count = CASE WHEN a.since <= $3 THEN 1 ELSE least(a.count + 1, 1000000) END
    RETURNING since, count";

const GIVE_BACK: &str = "
    UPDATE access.sign_in_attempts SET count = count - 1 WHERE key = $1 AND count > 0";

const DELETE_PAST: &str = "
    DELETE FROM access.sign_in_attempts
     WHERE ctid = ANY (ARRAY(SELECT ctid FROM access.sign_in_attempts WHERE since < $1
                              LIMIT 20000 FOR UPDATE SKIP LOCKED))";

const TAKE_STEP: &str = "
    INSERT INTO access.totp_steps AS s (member_id, tenant_id, step) VALUES ($1, $2, $3)
    ON CONFLICT (member_id) DO UPDATE SET step = EXCLUDED.step WHERE s.step < EXCLUDED.step";

/// Somebody tried too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// Seconds until he may try again.
    pub retry_after_seconds: u32,
    /// Whether it is by where he comes from, and not by what he tries.
    pub is_of_address: bool,
}

/// The attempts to sign in.
#[derive(Clone)]
pub struct Attempts(Connections);

impl Attempts {
    /// Counted by this database.
    #[must_use]
    pub const fn new(connections: Connections) -> Self {
        Self(connections)
    }

    /// Counts an attempt from `address` for `account`, which is an email or something else that is tried; says whether it
    /// is one too many.
    ///
    /// # Errors
    /// It is not counted.
    pub async fn count(
        &self,
        address: IpAddr,
        account: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<TooMany>, SessionError> {
        let (of_address, of_account) =
            (key("address", &address.to_string()), key("account", account));
        let (of_address, of_account) = (&of_address[..], &of_account[..]);
        let (addresses_from, accounts_from) = (now - OF_ADDRESS, now - OF_ACCOUNT);
        let values: [&(dyn ToSql + Sync); 6] =
            [&of_address, &of_account, &now, &addresses_from, &accounts_from, &OF_ADDRESS_MAX];
        let count = async |client: &mut Connection| {
            let statement = client.prepare_cached(COUNT).await?;
            Ok::<_, SessionError>(client.query_one(&statement, &values).await?)
        };
        let row = self.0.within(ANSWER_MAX, count).await?;
        let (since, count): (DateTime<Utc>, i32) = (row.try_get(0)?, row.try_get(1)?);
        if count > OF_ADDRESS_MAX {
            return Ok(Some(TooMany::until(since + OF_ADDRESS, now, true)));
        }
        let (since, count): (Option<DateTime<Utc>>, Option<i32>) =
            (row.try_get(2)?, row.try_get(3)?);
        let too_many = count.is_some_and(|count| count > OF_ACCOUNT_MAX);
        let until = since.unwrap_or(now) + OF_ACCOUNT;
        Ok(too_many.then(|| TooMany::until(until, now, false)))
    }

    /// Counts an attempt for `account` of somebody whose address is counted already; says whether it is more than `max`.
    ///
    /// # Errors
    /// It is not counted.
    pub async fn count_alone(
        &self,
        account: &str,
        max: i32,
        now: DateTime<Utc>,
    ) -> Result<Option<TooMany>, SessionError> {
        let (key, from) = (key("account", account), now - OF_ACCOUNT);
        let key = &key[..];
        let count = async |client: &mut Connection| {
            let statement = client.prepare_cached(COUNT_ALONE).await?;
            Ok::<_, SessionError>(client.query_one(&statement, &[&key, &now, &from]).await?)
        };
        let row = self.0.within(ANSWER_MAX, count).await?;
        let (since, count): (DateTime<Utc>, i32) = (row.try_get(0)?, row.try_get(1)?);
        Ok((count > max).then(|| TooMany::until(since + OF_ACCOUNT, now, false)))
    }

    /// Somebody has signed in as `account`: his own attempt counts no more. What others tried does, for the email may be
    /// a member's of another tenant, who would guess on behind it; and the address keeps its attempts, or one account of
    /// his own would let somebody guess those of others.
    ///
    /// # Errors
    /// It counts on.
    pub async fn give_back(&self, account: &str) -> Result<(), SessionError> {
        let key = key("account", account);
        let key = &key[..];
        let give_back = async |client: &mut Connection| {
            let statement = client.prepare_cached(GIVE_BACK).await?;
            client.execute(&statement, &[&key]).await?;
            Ok(())
        };
        self.0.within(ANSWER_MAX, give_back).await
    }

    /// Uses up the codes of a second factor up to this step of time; says whether the step was unused.
    ///
    /// # Errors
    /// It is not known to be used up.
    pub async fn take_step(
        &self,
        tenant: TenantId,
        member: MemberId,
        step: i64,
    ) -> Result<bool, SessionError> {
        let take = async |client: &mut Connection| {
            let statement = client.prepare_cached(TAKE_STEP).await?;
            Ok(client.execute(&statement, &[&member.0, &tenant.0, &step]).await? == 1)
        };
        self.0.within(ANSWER_MAX, take).await
    }
}

impl TooMany {
    fn until(end: DateTime<Utc>, now: DateTime<Utc>, is_of_address: bool) -> Self {
        let seconds = (end - now).num_seconds().saturating_add(1).max(1);
        let retry_after_seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        Self { retry_after_seconds, is_of_address }
    }
}

/// Nobody reads in the table who tried what.
fn key(kind: &str, of: &str) -> [u8; 32] {
    Sha256::digest(format!("{kind}\n{of}").as_bytes()).into()
}

/// Deletes attempts that count no more.
pub(crate) async fn delete_past(
    connections: &Connections,
    now: DateTime<Utc>,
) -> Result<(), SessionError> {
    let before = now - OF_ACCOUNT - OF_ADDRESS;
    let delete = async |client: &mut Connection| {
        let statement = client.prepare_cached(DELETE_PAST).await?;
        client.execute(&statement, &[&before]).await?;
        Ok(())
    };
    connections.within(ANSWER_MAX, delete).await
}
