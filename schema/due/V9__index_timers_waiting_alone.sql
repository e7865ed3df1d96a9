-- Those that are parked and stand in no line: who counts them never reads through the lines, in which very many may stand.
CREATE INDEX timers_waiting_alone ON due.timers (kind, lane, look_at)
    WHERE lane LIKE '% waiting' AND NOT starts_with(waits_for, 'rate:');
