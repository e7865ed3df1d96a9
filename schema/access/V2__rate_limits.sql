-- How often clients asked: what all processes together let pass, by client, route and window. Nothing here is worth
-- a write-ahead log: after a crash of the server the table is empty, and everybody begins anew.
CREATE UNLOGGED TABLE access.rate_limits (
    -- 16 bytes: what the client is known by (1 a name, 2 the hash of one, 4 and 6 an address), and that.
    client uuid   NOT NULL,
    -- Method and pattern of the path.
    route  text   NOT NULL,
    -- When the window begins, in seconds since 1970.
    window_at bigint NOT NULL,
    passed bigint NOT NULL,
    PRIMARY KEY (client, route, window_at)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- Serves the deletion of windows that are past.
CREATE INDEX rate_limits_past ON access.rate_limits (window_at);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT USAGE ON SCHEMA access TO hatch_app;
        GRANT SELECT, INSERT, UPDATE, DELETE ON access.rate_limits TO hatch_app;
    END IF;
END
$$;
