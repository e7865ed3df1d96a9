-- What the nets of the request log and of the audit have caught of the past lies in no partition that could go, so it goes
-- by itself: rows of before a moment, the audit's no sooner than after 30 days. Returns how many went.
-- SECURITY DEFINER: the application can delete nothing of either.
CREATE FUNCTION access.forget_caught_trail(kind text, before timestamptz) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    forgotten bigint;
BEGIN
    IF kind NOT IN ('requests', 'audit') THEN
        RAISE EXCEPTION 'kind must be requests or audit' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF before > now() - (CASE WHEN kind = 'audit' THEN interval '30 days' ELSE interval '1 day' END) THEN
        RAISE EXCEPTION '% does not lie far enough in the past', before
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    EXECUTE format('DELETE FROM access.%I WHERE at < $1', kind || '_default') USING before;
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END $$;

-- By default everybody may call a new function.
REVOKE ALL ON FUNCTION access.forget_caught_trail(text, timestamptz) FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT EXECUTE ON FUNCTION access.forget_caught_trail(text, timestamptz) TO hatch_app;
    END IF;
END
$$;
