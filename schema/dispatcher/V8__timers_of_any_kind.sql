-- The timers of messages are now those of one kind of stream among others. Their checkpoint goes on where it is. A
-- dispatcher of an earlier build that still runs finds none, and sends what the bus brings; the next one has them.
-- No fold commits between the copy and the drop: its checkpoint would stand beyond timers that are gone.
LOCK TABLE dispatch.timers IN ACCESS EXCLUSIVE MODE;

INSERT INTO due.timers (stream_id, kind, tenant_id, due_at, step, position, lane, priority, look_at, looks, not_found,
                        undecodable_at)
SELECT message_id, 'message', tenant_id, due_at, attempt, position, channel, priority, look_at, looks, not_found,
       undecodable_at
  FROM dispatch.timers;

DROP TABLE dispatch.timers;
