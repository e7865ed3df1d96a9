//! The pools of senders of a process: those of its files, and those that the log keeps.

use hatch_directory::PoolEntry;
use hatch_routing::{Pool, PoolTable};

/// The pools that there are: those of tenants before those of the files. Pools of the log are their tenants' alone.
pub(crate) fn pool_table(files: &[Pool], kept: Vec<PoolEntry>) -> PoolTable {
    let of_log = kept.into_iter().filter_map(|entry| {
        let Some(pool) = entry.pool else {
            tracing::error!(pool = %entry.id, "this build cannot read a pool of the log, and does without it");
            return None;
        };
        let (name, terms) = (pool.name()?.clone(), pool.terms().clone());
        Some(Pool { name, tenants: Some(vec![entry.tenant_id]), terms })
    });
    PoolTable::new(of_log.chain(files.iter().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;
    use hatch_domain::Decider as _;
    use hatch_domain::ids::{PoolId, TenantId};
    use hatch_domain::pool::event::{PoolCreated, PoolEvent};
    use hatch_domain::pool::{Pool as KeptPool, PoolTerms, pool_id};
    use uuid::Uuid;

    use super::*;

    fn file(name: &str) -> Pool {
        let name = name.parse().expect("a name");
        Pool { name, tenants: None, terms: PoolTerms::default() }
    }

    #[test]
    fn a_pool_of_a_tenant_comes_before_that_of_the_files_and_is_its_alone() {
        let tenant = TenantId(Uuid::from_u128(2));
        let name = file("support").name;
        let event = PoolEvent::from(PoolCreated {
            name: name.clone(),
            terms: PoolTerms { is_default: true, ..PoolTerms::default() },
            created_by: "cli".to_owned(),
            at: DateTime::UNIX_EPOCH,
        });
        let pool = Some(Arc::new(KeptPool::default().evolve(&event)));
        let entry = PoolEntry { id: pool_id(tenant, &name), tenant_id: tenant, pool };
        let unreadable = PoolEntry { id: PoolId(Uuid::nil()), tenant_id: tenant, pool: None };
        let table = pool_table(&[file("support"), file("shop")], vec![entry, unreadable]);
        assert_eq!(table.pools().len(), 3);
        let is_default = |tenant| table.named(tenant, "support").map(|pool| pool.terms.is_default);
        assert_eq!(is_default(tenant), Some(true));
        assert_eq!(is_default(TenantId::DEFAULT), Some(false), "that of the files");
    }
}
