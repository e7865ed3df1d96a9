//! `hatch members`: who the people of a tenant are. A link is printed once, when it is made.

use std::cmp::Reverse;

use anyhow::{anyhow, ensure};
use hatch_api::members::{Authority, InviteRequest, Written, invite, remove};
use hatch_api::tenants;
use hatch_directory::Directory;
use hatch_domain::ids::{MemberId, TenantId};
use hatch_domain::member::{AGGREGATE, MemberStatus, member_id};
use hatch_domain::scope::Scopes;
use hatch_domain::time;
use hatch_eventstore::{Connection, Connections, Log};
use hatch_readmodel::{MemberInfo, ReadModel};

use super::writer::{Writer, actor};
use super::{ANSWER_MAX, pool, print_first};
use crate::cli::{InviteMember, Members};
use crate::output::{field, line, moment, note};
use crate::settings::Settings;

/// The members of a tenant as the log has them, which no projector has to have seen.
const MEMBERS_OF: &str = "SELECT stream_id FROM es.streams WHERE tenant_id = $1 AND kind = $2";

/// Runs one of its subcommands.
pub(crate) async fn run(settings: &Settings, what: Members) -> anyhow::Result<()> {
    match what {
        Members::Invite(flags) => make(settings, flags).await,
        Members::List { tenant, limit, json } => list(settings, tenant, limit, json).await,
        Members::Remove { email, tenant, json } => {
            let tenant = tenant.unwrap_or(TenantId::DEFAULT);
            end(settings, tenant, member_id(tenant, &email), json).await
        }
    }
}

async fn make(settings: &Settings, flags: InviteMember) -> anyhow::Result<()> {
    let InviteMember { email, role, scopes, name, tenant, json } = flags;
    let tenant = tenant.unwrap_or(TenantId::DEFAULT);
    let request = InviteRequest {
        email: Some(email.to_string()),
        name,
        role: Some(role.to_string()),
        scopes: Some(scopes.iter().map(ToString::to_string).collect()),
    };
    let writer = Writer::start(settings).await?;
    let invited = async {
        let known = tenants::exists(&writer.store, tenant).await;
        let known = known.map_err(|problem| anyhow!("{problem}"))?;
        ensure!(known, "there is no tenant {tenant}: `hatch tenants list` shows them");
        let url = settings.public_url();
        let invited = invite(&writer.store, &authority(tenant), request, &url).await;
        invited.map_err(|problem| anyhow!("{problem}"))
    };
    let invited = invited.await;
    writer.end().await?;
    let Written { member, url, .. } = invited?;
    let url = url.unwrap_or_default();
    if json {
        let mut shown = serde_json::to_value(&member)?;
        shown["invitation_url"] = url.into();
        line(shown)?;
        return Ok(());
    }
    line(url)?;
    let until = member.invitation_expires_at.map(time::text).unwrap_or_default();
    note(format!(
        "{} is invited as {} until {until}. This is the link, shown this once: it lets in once",
        field(&member.email),
        member.role,
    ));
    Ok(())
}

async fn end(
    settings: &Settings,
    tenant: TenantId,
    id: MemberId,
    json: bool,
) -> anyhow::Result<()> {
    let writer = Writer::start(settings).await?;
    let removed = async {
        let others = members_of(&writer.pool, tenant).await?;
        let removed = remove(&writer.store, &authority(tenant), id, &others).await;
        removed.map_err(|problem| anyhow!("{problem}: `hatch members list` shows them"))
    };
    let removed = removed.await;
    writer.end().await?;
    let Written { member, .. } = removed?;
    line(if json { serde_json::to_string(&member)? } else { row(&member) })?;
    Ok(())
}

async fn list(
    settings: &Settings,
    tenant: Option<TenantId>,
    limit: u32,
    json: bool,
) -> anyhow::Result<()> {
    let (pool, tenant) = (pool(settings)?, tenant.unwrap_or(TenantId::DEFAULT));
    // The tables alone would lack the first members, whom no projector has read.
    let directory = Directory::read(&ReadModel::new(pool.clone()), &Log::new(pool)).await?;
    let mut entries = directory.members_of(tenant);
    entries.sort_by_key(|entry| Reverse((entry.member.invited_at(), entry.id)));
    let members: Vec<MemberInfo> =
        entries.iter().map(|entry| MemberInfo::of(entry.id, &entry.member)).collect();
    let none = "there is no member: `hatch members invite EMAIL --role owner` invites one";
    print_first(&members, (limit, json), none, row)
}

/// Who has the database may give every right, and take it.
fn authority(tenant_id: TenantId) -> Authority {
    Authority { tenant_id, actor: actor(), scopes: Scopes::all(), over_owners: true }
}

async fn members_of(pool: &Connections, tenant: TenantId) -> anyhow::Result<Vec<MemberId>> {
    let look = async |client: &mut Connection| {
        let rows = client.query(MEMBERS_OF, &[&tenant.0, &AGGREGATE]).await?;
        let ids = rows.iter().map(|row| row.try_get(0).map(MemberId));
        anyhow::Ok(ids.collect::<Result<Vec<_>, _>>()?)
    };
    pool.within(ANSWER_MAX, look).await
}

fn row(member: &MemberInfo) -> String {
    let since = match member.status {
        MemberStatus::Invited => member.invited_at,
        MemberStatus::Active => member.joined_at,
        MemberStatus::Removed => member.removed_at,
    };
    let since = since.map(moment).unwrap_or_default();
    let (status, role) = (member.status.as_str(), member.role.as_str());
    format!("{}  {status:<7}  {role:<6}  {:<32}  since {since}", member.id, field(&member.email))
}
