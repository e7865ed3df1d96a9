-- From which sender of a pool a tenant writes to somebody, so that a recipient knows one of them. Whoever takes a message
-- from a pool asks and writes it, so that of two first messages at a time both have one sender. It is no projection: what
-- was forgotten is chosen anew.
CREATE TABLE hatch.sender_memory (
    tenant_id uuid NOT NULL,
    pool      text NOT NULL,
    -- What the address is compared by.
    recipient text NOT NULL,
    sender    text NOT NULL,
    PRIMARY KEY (tenant_id, recipient, pool)
);

-- The sender of before; NULL where nobody was written to from the pool.
-- SECURITY DEFINER, as below: the application's role has no part in the table by itself.
CREATE FUNCTION hatch.sender_of(of_tenant uuid, of_pool text, whom text) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT m.sender FROM hatch.sender_memory AS m
     WHERE m.tenant_id = of_tenant AND m.recipient = whom AND m.pool = of_pool
$$;

-- Remembers a sender in place of the one of before, unless somebody else has done so meanwhile. Returns the one that is
-- remembered now.
CREATE FUNCTION hatch.remember_sender(of_tenant uuid, of_pool text, whom text, was text, chosen text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now_is text;
BEGIN
    INSERT INTO hatch.sender_memory AS m (tenant_id, pool, recipient, sender)
    VALUES (of_tenant, of_pool, whom, chosen)
        ON CONFLICT (tenant_id, recipient, pool) DO UPDATE SET sender = EXCLUDED.sender WHERE m.sender = was
    RETURNING m.sender INTO now_is;
    IF now_is IS NULL THEN
        SELECT m.sender INTO now_is FROM hatch.sender_memory AS m
         WHERE m.tenant_id = of_tenant AND m.recipient = whom AND m.pool = of_pool;
    END IF;
    RETURN now_is;
END $$;

-- By default everybody may call a new function.
REVOKE ALL ON FUNCTION hatch.sender_of(uuid, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION hatch.remember_sender(uuid, text, text, text, text) FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT EXECUTE ON FUNCTION hatch.sender_of(uuid, text, text) TO hatch_app;
        GRANT EXECUTE ON FUNCTION hatch.remember_sender(uuid, text, text, text, text) TO hatch_app;
    END IF;
END
$$;
