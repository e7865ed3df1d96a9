-- How each dispatcher finds each account that it sends by: written every few seconds for who asks from outside
-- (`hatch doctor`), and worth nothing half a minute later. Without WAL it costs next to nothing.
CREATE UNLOGGED TABLE dispatch.accounts (
    process  uuid        NOT NULL,
    provider text        NOT NULL,
    account  text        NOT NULL,
    -- What is wrong, and what to do about it, for people. NULL: nothing is.
    what     text,
    remedy   text,
    since    timestamptz,
    seen_at  timestamptz NOT NULL,
    PRIMARY KEY (process, provider, account)
) WITH (fillfactor = 50);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON dispatch.accounts TO hatch_app;
    END IF;
END
$$;
