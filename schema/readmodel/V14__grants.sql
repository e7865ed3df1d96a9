-- What the application's role may do here. Nothing is granted where that role does not exist, as on
-- a development server that hatch uses as the owner.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT USAGE ON SCHEMA rm, rm_messages_v1, hatch TO hatch_app;
        GRANT SELECT ON ALL TABLES IN SCHEMA rm TO hatch_app;
        GRANT INSERT, UPDATE ON rm.projection_halts TO hatch_app;
        GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA rm_messages_v1 TO hatch_app;
        GRANT SELECT, INSERT ON hatch.webhook_log TO hatch_app;
    END IF;
END
$$;
