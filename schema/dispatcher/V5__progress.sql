-- How far each of the dispatchers' queues has come, as a hint to those who accept messages: written
-- some ten times a second while there is something to do, worth nothing a second later, and empty
-- after a crash. Without WAL it costs next to nothing.
CREATE UNLOGGED TABLE dispatch.progress (
    channel  text        NOT NULL,
    priority text        NOT NULL,
    -- The newest of its requests whose attempt was claimed.
    position bigint      NOT NULL,
    at       timestamptz NOT NULL,
    PRIMARY KEY (channel, priority)
) WITH (fillfactor = 50);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT SELECT, INSERT, UPDATE ON dispatch.progress TO hatch_app;
    END IF;
END
$$;
