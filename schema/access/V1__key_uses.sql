-- When each key of the API was used last, and from where. No event says that, so it is no projection: every process
-- writes what it has seen, some seconds late, and the newest wins.
CREATE TABLE access.key_uses (
    -- The part of a key's text that is in clear.
    key_id     text        PRIMARY KEY,
    tenant_id  uuid        NOT NULL,
    at         timestamptz NOT NULL,
    ip         inet        NOT NULL,
    -- The program that used it, as it calls itself.
    user_agent text
) WITH (fillfactor = 70);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT USAGE ON SCHEMA access TO hatch_app;
        GRANT SELECT ON access.schema_history TO hatch_app;
        GRANT SELECT, INSERT, UPDATE ON access.key_uses TO hatch_app;
    END IF;
END
$$;
