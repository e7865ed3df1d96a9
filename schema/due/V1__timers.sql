-- When somebody has to look at each stream that is not finished, of whatever kind: a projection of the log, folded
-- for each kind by itself. What finishes quickly never gets here.
CREATE TABLE due.timers (
    stream_id      uuid        PRIMARY KEY,
    -- The aggregate of its events.
    kind           text        NOT NULL,
    tenant_id      uuid        NOT NULL,
    due_at         timestamptz NOT NULL,
    -- The step of the stream that it speaks of, such as an attempt; NULL: the next one, which no word of an
    -- earlier one settles.
    step           int,
    -- The event that said so.
    position       bigint      NOT NULL,
    -- Whose work it is and how urgent, so that sweepers can take what there is room for.
    lane           text        NOT NULL,
    priority       text        NOT NULL,
    -- The sweepers' own notes, which begin anew with each such event: when to look next, how often somebody was
    -- asked about the stream, and how often he knew nothing of it.
    look_at        timestamptz NOT NULL,
    looks          int         NOT NULL DEFAULT 0,
    not_found      int         NOT NULL DEFAULT 0,
    -- Since when nobody who looked could read the stream, because one of its events is of a build that he is
    -- not. NULL: it was read, or nobody has looked.
    undecodable_at timestamptz
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- Serves the sweepers' question, one lane and priority at a time: what is to be looked at by now?
CREATE INDEX timers_look_by_lane ON due.timers (kind, lane, priority, look_at);

-- Serves those who ask what nobody has looked at.
CREATE INDEX timers_look ON due.timers (kind, look_at);

-- Serves those who ask whether there are any.
CREATE INDEX timers_undecodable ON due.timers (kind, undecodable_at) WHERE undecodable_at IS NOT NULL;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT USAGE ON SCHEMA due TO hatch_app;
        GRANT SELECT ON due.schema_history TO hatch_app;
        GRANT SELECT, INSERT, UPDATE, DELETE ON due.timers TO hatch_app;
    END IF;
END
$$;
