-- Those that are parked, by whom they wait for: few or none as a rule, and asked for all the time.
CREATE INDEX timers_waits_for ON due.timers (kind, lane, waits_for, priority, look_at) WHERE lane LIKE '% waiting';
