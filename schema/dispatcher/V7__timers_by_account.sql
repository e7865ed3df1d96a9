-- Whose work a timer is and how urgent, so that sweepers can take what there is room for. Timers that an
-- earlier build has set say nothing.
ALTER TABLE dispatch.timers
    ADD COLUMN channel        text NOT NULL DEFAULT '',
    ADD COLUMN priority       text NOT NULL DEFAULT 'normal',
    -- Since when nobody who looked could read the message, because one of its events is of a build that he
    -- is not. NULL: it was read, or nobody has looked.
    ADD COLUMN undecodable_at timestamptz;

-- Serves the sweepers' question, one channel and priority at a time: what is to be looked at by now?
CREATE INDEX timers_look_by_channel ON dispatch.timers (channel, priority, look_at);

-- Serves those who ask whether there are any.
CREATE INDEX timers_undecodable ON dispatch.timers (undecodable_at) WHERE undecodable_at IS NOT NULL;
