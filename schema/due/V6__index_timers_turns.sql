-- Those that are due, by tenants: where there are more than can be looked at at once, each tenant has its turn.
CREATE INDEX timers_look_by_tenant ON due.timers (kind, lane, priority, tenant_id, look_at)
    WHERE lane NOT LIKE '% waiting';
