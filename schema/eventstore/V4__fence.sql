-- What tells a restored, cloned or failed-over database from the one that its log was written in.

-- The server as it is. SECURITY DEFINER, because the application may not read the data directory
-- everywhere; NULL where the owner of this function may not either. Fails on a standby, where nothing
-- is appended.
CREATE FUNCTION es.server_identity(
    OUT system_identifier bigint, OUT timeline int, OUT data_directory text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    system_identifier := (SELECT s.system_identifier FROM pg_control_system() AS s);
    -- Of the WAL file: pg_control_checkpoint() still says the old one just after a promotion.
    timeline := ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int;
    BEGIN
        data_directory := current_setting('data_directory');
    EXCEPTION WHEN insufficient_privilege THEN
        data_directory := NULL;
    END;
END $$;

-- Fills in what was not known when the newest epoch was begun, if this is its server. What is known
-- stays: the application may not change it.
CREATE FUNCTION es.complete_epoch(given_host text, given_deployment_name text) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE es.log_epoch AS e
       SET host = coalesce(e.host, given_host),
           deployment_name = coalesce(e.deployment_name, given_deployment_name),
           data_directory = coalesce(e.data_directory, s.data_directory)
      FROM es.server_identity() AS s
     WHERE e.epoch = (SELECT max(epoch) FROM es.log_epoch)
       AND s.system_identifier = e.system_identifier
       AND s.timeline = e.timeline
       AND coalesce(s.data_directory = e.data_directory, true)
       AND (e.host IS NULL AND given_host IS NOT NULL
            OR e.deployment_name IS NULL AND given_deployment_name IS NOT NULL
            OR e.data_directory IS NULL AND s.data_directory IS NOT NULL);
$$;

-- By default everybody may call a new function.
REVOKE ALL ON FUNCTION es.server_identity() FROM PUBLIC;
REVOKE ALL ON FUNCTION es.complete_epoch(text, text) FROM PUBLIC;

-- Epochs in which somebody remembered more than the log holds. Nothing is sent until the next epoch.
CREATE TABLE es.log_regressions (
    epoch  int         PRIMARY KEY REFERENCES es.log_epoch,
    -- Who was ahead, and where.
    detail text        NOT NULL,
    at     timestamptz NOT NULL DEFAULT now()
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT EXECUTE ON FUNCTION es.server_identity(), es.complete_epoch(text, text) TO hatch_app;
        GRANT SELECT, INSERT ON es.log_regressions TO hatch_app;
        -- An operator lifts the fence with what the application is given.
        GRANT INSERT ON es.log_epoch TO hatch_app;
    END IF;
END
$$;
