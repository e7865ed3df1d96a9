//! How much of each thing a tenant may have, of what every process keeps in memory.

use hatch_directory::KeyCount;

use crate::problem::Problem;

/// Keys of a tenant at most that have not ended. Each process has all of them in memory.
const LIVE_KEYS_MAX: usize = 1_000;

/// Keys of a tenant at most with those that have ended, which stay.
const KEYS_MAX: usize = 10_000;

/// Accounts of a tenant at most that the log keeps and that are not removed. Each process has all of them in memory.
const ACCOUNTS_MAX: usize = 100;

/// Names of accounts of a tenant at most, with those of accounts that were removed.
const ACCOUNT_NAMES_MAX: usize = 1_000;

/// Pools of a tenant at most that the log keeps and that are not removed. Each process has all of them in memory.
const POOLS_MAX: usize = 100;

/// Names of pools of a tenant at most, with those of pools that were removed.
const POOL_NAMES_MAX: usize = 1_000;

/// Routes of a tenant at most that the log keeps and that are not removed. Each process has all of them in memory.
const ROUTES_MAX: usize = 1_000;

/// Routes of a tenant at most, with those that were removed.
const ROUTES_MADE_MAX: usize = 10_000;

/// Those that are there, and all that were ever made: their names stay their tenant's.
pub(super) fn for_an_account([there, all]: [usize; 2], is_new: bool) -> Result<(), Problem> {
    if there >= ACCOUNTS_MAX {
        let detail = format!("{there} accounts, of {ACCOUNTS_MAX} at most: remove one");
        return Err(Problem::too_many_accounts(detail));
    }
    if is_new && all >= ACCOUNT_NAMES_MAX {
        let detail = format!(
            "{all} names of accounts, of {ACCOUNT_NAMES_MAX} at most with those that were removed: \
             take one of these"
        );
        return Err(Problem::too_many_accounts(detail));
    }
    Ok(())
}

/// Those that are there, and all that were ever made.
pub(super) fn for_a_route([there, all]: [usize; 2]) -> Result<(), Problem> {
    if there >= ROUTES_MAX {
        let detail = format!("{there} routes, of {ROUTES_MAX} at most: remove one");
        return Err(Problem::too_many_routes(detail));
    }
    if all >= ROUTES_MADE_MAX {
        let detail = format!(
            "{all} routes were made, of {ROUTES_MADE_MAX} at most with those that were removed: change one"
        );
        return Err(Problem::too_many_routes(detail));
    }
    Ok(())
}

/// Those that are there, and all that were ever made: their names stay their tenant's.
pub(super) fn for_a_pool([there, all]: [usize; 2], is_new: bool) -> Result<(), Problem> {
    if there >= POOLS_MAX {
        let detail = format!("{there} pools, of {POOLS_MAX} at most: remove one");
        return Err(Problem::too_many_pools(detail));
    }
    if is_new && all >= POOL_NAMES_MAX {
        let detail = format!(
            "{all} names of pools, of {POOL_NAMES_MAX} at most with those that were removed: take one of these"
        );
        return Err(Problem::too_many_pools(detail));
    }
    Ok(())
}

pub(super) fn for_a_key(KeyCount { all, live }: KeyCount) -> Result<(), Problem> {
    if live >= LIVE_KEYS_MAX {
        let detail = format!("{live} keys have not ended, of {LIVE_KEYS_MAX} at most: revoke one");
        return Err(Problem::too_many_keys(detail));
    }
    if all >= KEYS_MAX {
        let detail = format!(
            "{all} keys were made, of {KEYS_MAX} at most with those that have ended: rotate one"
        );
        return Err(Problem::too_many_keys(detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_so_many_keys_and_no_more() {
        for (all, live, has_room) in [
            (0, 0, true),
            (LIVE_KEYS_MAX, LIVE_KEYS_MAX - 1, true),
            (LIVE_KEYS_MAX, LIVE_KEYS_MAX, false),
            (KEYS_MAX - 1, 1, true),
            (KEYS_MAX, 0, false),
        ] {
            assert_eq!(for_a_key(KeyCount { all, live }).is_ok(), has_room, "{all} {live}");
        }
    }

    #[test]
    fn a_tenant_has_so_many_accounts_and_names_of_them() {
        for (there, all, is_new, has_room) in [
            (0, 0, true, true),
            (ACCOUNTS_MAX, ACCOUNTS_MAX, true, false),
            (ACCOUNTS_MAX - 1, ACCOUNT_NAMES_MAX - 1, true, true),
            (0, ACCOUNT_NAMES_MAX, true, false),
            (0, ACCOUNT_NAMES_MAX, false, true),
        ] {
            let room = for_an_account([there, all], is_new);
            assert_eq!(room.is_ok(), has_room, "{there} of {all}");
        }
    }
}
