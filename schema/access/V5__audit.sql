-- The part of the audit that is not in the log of events: requests that were refused, and what was shown to whom of
-- raw bodies and exports. Rows are added, and go with their partition; nobody who serves changes or deletes one.
CREATE TABLE access.audit (
    id          uuid        NOT NULL,
    tenant_id   uuid        NOT NULL,
    at          timestamptz NOT NULL,
    -- NULL where nobody knows who asked; the row is the default tenant's then, unless a key was named.
    actor       text,
    -- The key that was presented, also where it was refused.
    key_id      text,
    -- Such as request.refused or webhook_body.read.
    action      text        NOT NULL,
    object_kind text,
    object_id   text,
    details     json        NOT NULL,
    request_id  text,
    ip          inet
) PARTITION BY RANGE (at);

-- Serves the list, the newest first.
CREATE INDEX audit_newest ON access.audit (tenant_id, at DESC, id DESC);

-- The net: what comes when its partition is missing.
CREATE TABLE access.audit_default PARTITION OF access.audit DEFAULT;

-- What is kept in partitions, and how many days one partition holds.
CREATE FUNCTION access.trail_kinds() RETURNS TABLE (kind text, days int)
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    VALUES ('requests', 1), ('audit', 7)
$$;

-- Every partition but the nets, by what its name says: `_20261129` begins then, at midnight UTC.
CREATE VIEW access.trail_partitions AS
SELECT k.kind, c.relname::text AS name, b.from_at, b.from_at + k.days * interval '24 hours' AS until_at
  FROM access.trail_kinds() AS k
  JOIN pg_class AS p ON p.relname = k.kind AND p.relnamespace = 'access'::regnamespace
  JOIN pg_inherits AS i ON i.inhparent = p.oid
  JOIN pg_class AS c ON c.oid = i.inhrelid
 CROSS JOIN LATERAL (
       SELECT to_date(substring(c.relname from '_([0-9]{8})$'), 'YYYYMMDD')::timestamp
              AT TIME ZONE 'UTC' AS from_at) AS b
 WHERE b.from_at IS NOT NULL;

-- Makes sure of the partitions of `at` and of the `ahead` days after it; returns how many it created. A partition is
-- made standalone, gets what its net has caught of it, and is then attached. The locks on the table and on its net are
-- taken or the call fails at once (55P03): whoever waited for them would make everybody else wait.
-- SECURITY DEFINER: the application owns no tables.
CREATE FUNCTION access.ensure_trail_partitions(at timestamptz, ahead int) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made record;
    created int := 0;
BEGIN
    IF ahead NOT BETWEEN 0 AND 31 OR at NOT BETWEEN now() - interval '1000 days' AND now() + interval '31 days' THEN
        RAISE EXCEPTION 'ahead must be 0 to 31, and at within 1000 days before and 31 after now'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- One at a time: two would both find the partition missing.
    PERFORM pg_advisory_xact_lock(hashtext('access.trail_partitions'));
    FOR made IN
        SELECT DISTINCT k.kind, k.days, b.begins,
               k.kind || to_char(b.begins AT TIME ZONE 'UTC', '_YYYYMMDD') AS name
          FROM access.trail_kinds() AS k
         CROSS JOIN generate_series(0, ahead) AS n
         CROSS JOIN LATERAL (
               SELECT date_bin(k.days * interval '24 hours', at + n * interval '24 hours',
                               timestamptz '1970-01-05 00:00:00Z') AS begins) AS b
    LOOP
        CONTINUE WHEN to_regclass('access.' || made.name) IS NOT NULL;
        EXECUTE format('LOCK TABLE ONLY access.%I IN SHARE UPDATE EXCLUSIVE MODE NOWAIT', made.kind);
        EXECUTE format('LOCK TABLE access.%I IN ACCESS EXCLUSIVE MODE NOWAIT', made.kind || '_default');
        EXECUTE format('CREATE TABLE access.%I (LIKE access.%I INCLUDING ALL)', made.name, made.kind);
        EXECUTE format('WITH caught AS (DELETE FROM access.%I WHERE at >= %L AND at < %L RETURNING *)'
            || ' INSERT INTO access.%I SELECT * FROM caught',
            made.kind || '_default', made.begins, made.begins + made.days * interval '24 hours', made.name);
        EXECUTE format('ALTER TABLE access.%I ATTACH PARTITION access.%I FOR VALUES FROM (%L) TO (%L)',
            made.kind, made.name, made.begins, made.begins + made.days * interval '24 hours');
        created := created + 1;
    END LOOP;
    RETURN created;
END $$;

-- Drops a partition that lies in the past, the audit's no sooner than after 30 days; false when it is gone already.
CREATE FUNCTION access.drop_trail_partition(partition text) RETURNS bool
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    leaf record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('access.trail_partitions'));
    SELECT * INTO leaf FROM access.trail_partitions AS p WHERE p.name = partition;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF leaf.until_at > now() - (CASE WHEN leaf.kind = 'audit' THEN interval '30 days' ELSE interval '1 day' END) THEN
        RAISE EXCEPTION 'partition % does not lie far enough in the past', partition
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    EXECUTE format('LOCK TABLE ONLY access.%I IN ACCESS EXCLUSIVE MODE NOWAIT', leaf.kind);
    EXECUTE format('LOCK TABLE access.%I IN ACCESS EXCLUSIVE MODE NOWAIT', leaf.kind || '_default');
    EXECUTE format('LOCK TABLE access.%I IN ACCESS EXCLUSIVE MODE NOWAIT', partition);
    EXECUTE format('ALTER TABLE access.%I DETACH PARTITION access.%I', leaf.kind, partition);
    EXECUTE format('DROP TABLE access.%I', partition);
    RETURN true;
END $$;

-- By default everybody may call a new function.
REVOKE ALL ON FUNCTION access.ensure_trail_partitions(timestamptz, int) FROM PUBLIC;
REVOKE ALL ON FUNCTION access.drop_trail_partition(text) FROM PUBLIC;

SELECT access.ensure_trail_partitions(now(), 3);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        -- Partitions are reached through these only.
        GRANT SELECT, INSERT ON access.audit TO hatch_app;
        GRANT SELECT ON access.trail_partitions TO hatch_app;
        GRANT EXECUTE ON FUNCTION access.ensure_trail_partitions(timestamptz, int),
            access.drop_trail_partition(text) TO hatch_app;
    END IF;
END
$$;
