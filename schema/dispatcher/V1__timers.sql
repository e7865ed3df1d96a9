-- When somebody has to look at each message that is not final: a projection of the log, which the
-- dispatcher folds. What finishes quickly never gets here.
CREATE TABLE dispatch.timers (
    message_id uuid        PRIMARY KEY,
    tenant_id  uuid        NOT NULL,
    due_at     timestamptz NOT NULL,
    -- The attempt that it speaks of; NULL: the next one, which no word of an earlier one settles.
    attempt    int,
    -- The event that said so.
    position   bigint      NOT NULL,
    -- The sweepers' own notes, which begin anew with each such event: when to look next, how often
    -- the provider was asked about a doubt, and how often it knew nothing of it.
    look_at    timestamptz NOT NULL,
    looks      int         NOT NULL DEFAULT 0,
    not_found  int         NOT NULL DEFAULT 0
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
