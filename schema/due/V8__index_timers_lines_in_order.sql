-- As timers_lines, which it replaces; of those that are due at the same time, such as all of a batch, the first first.
CREATE INDEX timers_lines_in_order ON due.timers (kind, lane, waits_for, priority, tenant_id, due_at, stream_id)
    WHERE lane LIKE '% waiting';
DROP INDEX due.timers_lines;
