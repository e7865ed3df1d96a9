-- Those that stand in a line, by priority, tenant and time: each tenant has its turn, and nobody overtakes its own.
CREATE INDEX timers_lines ON due.timers (kind, lane, waits_for, priority, tenant_id, due_at)
    WHERE lane LIKE '% waiting';
