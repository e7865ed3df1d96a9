-- What the application's role may do here. Nothing is granted where that role does not exist, as on
-- a development server that hatch uses as the owner.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT USAGE ON SCHEMA dispatch TO hatch_app;
        GRANT SELECT ON dispatch.schema_history TO hatch_app;
        GRANT SELECT, INSERT, UPDATE, DELETE ON dispatch.timers TO hatch_app;
        GRANT SELECT, INSERT, UPDATE ON dispatch.provider_ids TO hatch_app;
    END IF;
END
$$;
