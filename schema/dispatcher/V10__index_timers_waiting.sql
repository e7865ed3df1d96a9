-- Messages that wait for an account, by channel: few or none as a rule, and asked for all the time.
CREATE INDEX timers_waiting ON due.timers (kind, lane, priority, look_at) WHERE lane LIKE '% waiting';
