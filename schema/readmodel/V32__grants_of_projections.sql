-- What the application's role may do with the tables of a projection that has a PostgreSQL schema of its own.
-- Each migration that makes a table in one ends with SELECT rm.grant_projection('rm_<name>'). Nothing is
-- granted where that role does not exist, as on a development server that hatch uses as the owner.
CREATE FUNCTION rm.grant_projection(projection text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF to_regrole('hatch_app') IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO hatch_app', projection);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA %I TO hatch_app', projection);
    -- Each role compares the schema's version with the one that it was built for.
    EXECUTE format('GRANT SELECT ON rm.%I TO hatch_app', projection || '_schema_history');
END
$$;
REVOKE ALL ON FUNCTION rm.grant_projection(text) FROM PUBLIC;
