-- Work that somebody asked for and that takes its time, such as sending dead letters again: what is to be done, for whom,
-- and how far it is. No projection: what a task does is in the log, each part by itself. A process takes a task for as long
-- as its lease runs, and goes on where the last one left it.
CREATE TABLE hatch.tasks (
    id           uuid        PRIMARY KEY,
    tenant_id    uuid        NOT NULL,
    kind         text        NOT NULL,
    status       text        NOT NULL CHECK (status IN ('queued', 'running', 'done', 'failed')),
    -- What is to be done, and what tells the same request from another under one idempotency key.
    request      json        NOT NULL,
    request_hash bytea       NOT NULL,
    -- Who asked, as events have it.
    actor        text        NOT NULL,
    -- How many parts there are, where that is known.
    total        bigint,
    done         bigint      NOT NULL DEFAULT 0,
    failed       bigint      NOT NULL DEFAULT 0,
    errors       json        NOT NULL DEFAULT '[]',
    -- How far it is, and the parts that are being done: they are done again, to the same end, where a process dies.
    place        bigint,
    page         uuid[]      NOT NULL DEFAULT '{}',
    lease        uuid,
    leased_until timestamptz,
    created_at   timestamptz NOT NULL,
    started_at   timestamptz,
    finished_at  timestamptz
) WITH (fillfactor = 70);

-- Serves those who look for work, and who count a tenant's.
CREATE INDEX tasks_open ON hatch.tasks (created_at) WHERE finished_at IS NULL;
-- Serves those who forget the oldest.
CREATE INDEX tasks_finished ON hatch.tasks (finished_at) WHERE finished_at IS NOT NULL;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON hatch.tasks TO hatch_app;
    END IF;
END
$$;
