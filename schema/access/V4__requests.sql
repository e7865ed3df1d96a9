-- What clients asked and how it was answered, for those who build clients. No event says it, so it is no projection:
-- every process writes what it has answered, a quarter of a second late, and never waits for that.
CREATE TABLE access.requests (
    -- Of this row; the id of a request is the client's to choose.
    id          uuid        NOT NULL,
    tenant_id   uuid        NOT NULL,
    request_id  text        NOT NULL,
    at          timestamptz NOT NULL,
    method      text        NOT NULL,
    -- What stands for a thing in it stays if it is an id; anything else is masked.
    path        text        NOT NULL,
    -- The names of its parameters; their values are masked.
    query       text,
    -- The pattern of the path.
    route       text        NOT NULL,
    status      smallint    NOT NULL,
    -- That of the problem, where it was answered by one.
    code        text,
    -- NULL where nobody knows who asked; the row is the default tenant's then, unless a key was named.
    actor       text,
    -- The key that was presented, also where it was refused.
    key_id      text,
    ip          inet        NOT NULL,
    user_agent  text,
    duration_us bigint      NOT NULL,
    -- The log position of what it wrote.
    position    bigint,
    -- The ids of what it is about.
    touched     text[]      NOT NULL,
    -- The names and types of the body's fields, without any value.
    body        json
) PARTITION BY RANGE (at);

-- Serves the list, the newest first.
CREATE INDEX requests_newest ON access.requests (tenant_id, at DESC, id DESC);
-- Serves the look-up of one.
CREATE INDEX requests_by_request_id ON access.requests (tenant_id, request_id);

-- The net: what comes when its partition is missing.
CREATE TABLE access.requests_default PARTITION OF access.requests DEFAULT;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT SELECT, INSERT ON access.requests TO hatch_app;
    END IF;
END
$$;
