-- Those that are parked and stand in no line, by whom they wait for: in lines as many names may stand as there are senders.
CREATE INDEX timers_waited_for_alone ON due.timers (kind, lane, waits_for)
    WHERE lane LIKE '% waiting' AND NOT starts_with(waits_for, 'rate:');
-- The same one after the other: what they wait for may be something else by now.
CREATE INDEX timers_waiting_in_order ON due.timers (kind, stream_id)
    WHERE lane LIKE '% waiting' AND NOT starts_with(waits_for, 'rate:');
