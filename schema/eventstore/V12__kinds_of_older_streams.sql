-- The streams that other builds than hatch's own began. Archived events are of messages.
UPDATE es.streams AS s SET kind = e.aggregate
  FROM es.events AS e
 WHERE e.stream_id = s.stream_id AND e.version = 1 AND e.aggregate <> 'message';
