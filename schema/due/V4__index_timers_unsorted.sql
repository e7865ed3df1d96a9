-- Those that are parked and of which nobody has said for whom they wait, by tenants: each tenant has its turn.
CREATE INDEX timers_unsorted ON due.timers (kind, lane, tenant_id) WHERE lane LIKE '% waiting' AND waits_for = '';
