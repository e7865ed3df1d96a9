-- What the application may do. Login roles of the deployment are made members of hatch_app; where
-- the migrating role may not create roles, the deployment grants by itself what it needs.
DO $$
BEGIN
    IF to_regrole('hatch_app') IS NULL THEN
        BEGIN
            CREATE ROLE hatch_app NOLOGIN;
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role hatch_app not created: no privilege to create roles';
                RETURN;
            -- Roles belong to the whole cluster: a migration of another database was faster.
            WHEN duplicate_object OR unique_violation THEN
                NULL;
        END;
    END IF;

    GRANT USAGE ON SCHEMA es TO hatch_app;
    GRANT SELECT ON es.events, es.streams, es.commands, es.log_epoch, es.checkpoints,
        es.bus_generations, es.schema_history TO hatch_app;
    -- Never UPDATE or DELETE: erasure is the owner's. Partitions are reached through es.events only.
    GRANT INSERT ON es.events, es.commands TO hatch_app;
    GRANT INSERT, UPDATE ON es.streams TO hatch_app;
    GRANT INSERT, UPDATE, DELETE ON es.checkpoints TO hatch_app;
    GRANT INSERT ON es.bus_generations TO hatch_app;
    GRANT EXECUTE ON FUNCTION es.ensure_partitions(int) TO hatch_app;

    -- Epochs are told apart by the data directory, among other things.
    IF NOT pg_has_role('hatch_app', 'pg_read_all_settings', 'MEMBER') THEN
        BEGIN
            GRANT pg_read_all_settings TO hatch_app;
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'hatch_app may not read data_directory: no privilege to grant that';
            WHEN unique_violation THEN
                NULL;
        END;
    END IF;
END $$;
