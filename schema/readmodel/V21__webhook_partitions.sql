-- The webhook log by kind and time, so that what is no longer kept is dropped with its partition.

-- The kinds of what is kept, the table of each, and how many days one partition holds.
CREATE FUNCTION hatch.webhook_kinds() RETURNS TABLE (kind text, parent text, days int)
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    VALUES ('refused', 'webhook_log_refused', 1),
           ('nothing_new', 'webhook_log_nothing_new', 1),
           ('applied', 'webhook_log_applied', 1),
           ('quarantined', 'webhook_log_quarantined', 7),
           ('bodies', 'webhook_bodies', 7)
$$;

-- The tables as they were, whose rows move into the new ones below.
ALTER TABLE hatch.webhook_log RENAME TO webhook_log_moving;
ALTER TABLE hatch.webhook_log_moving RENAME CONSTRAINT webhook_log_pkey TO webhook_log_moving_pkey;
DROP INDEX hatch.webhook_log_newest, hatch.webhook_log_by_outcome, hatch.webhook_log_by_message;
ALTER TABLE hatch.webhook_bodies RENAME TO webhook_bodies_moving;
ALTER TABLE hatch.webhook_bodies_moving RENAME CONSTRAINT webhook_bodies_pkey TO webhook_bodies_moving_pkey;

-- Every webhook that is kept, as it came in. No projection: the endpoint writes the row in the same
-- transaction as the events that the webhook led to, or alone where it led to none. A row whose outcome
-- changes moves to the table of its new kind. An id is unique within its partition, which has an index of
-- it: no index spans the partitions.
CREATE TABLE hatch.webhook_log (
    id                  uuid NOT NULL,
    tenant_id           uuid NOT NULL,
    provider            text NOT NULL,
    account             text,
    kind                text,
    outcome             text NOT NULL CHECK (outcome IN
                        ('applied', 'duplicate', 'ignored', 'rejected_signature', 'quarantined')),
    provider_message_id text,
    message_id          uuid,
    detail              text,
    method              text NOT NULL,
    path_and_query      text NOT NULL,
    headers             json NOT NULL,
    body                bytea NOT NULL,
    received_at         timestamptz NOT NULL
) PARTITION BY LIST (outcome);

-- GET webhook-log: the newest of a tenant. The id breaks ties of the time.
CREATE INDEX webhook_log_newest ON hatch.webhook_log (tenant_id, received_at, id);
-- The webhooks of one message, for its timeline.
CREATE INDEX webhook_log_by_message ON hatch.webhook_log (tenant_id, message_id, received_at)
    WHERE message_id IS NOT NULL;

CREATE TABLE hatch.webhook_log_refused PARTITION OF hatch.webhook_log
    FOR VALUES IN ('rejected_signature') PARTITION BY RANGE (received_at);
CREATE TABLE hatch.webhook_log_nothing_new PARTITION OF hatch.webhook_log
    FOR VALUES IN ('duplicate', 'ignored') PARTITION BY RANGE (received_at);
CREATE TABLE hatch.webhook_log_applied PARTITION OF hatch.webhook_log
    FOR VALUES IN ('applied') PARTITION BY RANGE (received_at);
CREATE TABLE hatch.webhook_log_quarantined PARTITION OF hatch.webhook_log
    FOR VALUES IN ('quarantined') PARTITION BY RANGE (received_at);

-- The bodies of webhooks that are longer than what hatch.webhook_log keeps of one, where the log of events
-- does not hold all that they say: of mails with large files, and in the quarantine. Written just before
-- the webhook's row; one without a row is left by a process that died in between, and its provider has
-- repeated it. Ids begin with their time, so that ranges of them are ranges of time.
CREATE TABLE hatch.webhook_bodies (
    webhook_id uuid  PRIMARY KEY,
    body       bytea NOT NULL
) PARTITION BY RANGE (webhook_id);

-- The nets: what comes when its partition is missing. Nothing is refused for that reason.
CREATE TABLE hatch.webhook_log_refused_default PARTITION OF hatch.webhook_log_refused DEFAULT;
CREATE TABLE hatch.webhook_log_nothing_new_default PARTITION OF hatch.webhook_log_nothing_new DEFAULT;
CREATE TABLE hatch.webhook_log_applied_default PARTITION OF hatch.webhook_log_applied DEFAULT;
CREATE TABLE hatch.webhook_log_quarantined_default PARTITION OF hatch.webhook_log_quarantined DEFAULT;
CREATE TABLE hatch.webhook_bodies_default PARTITION OF hatch.webhook_bodies DEFAULT;
ALTER TABLE hatch.webhook_log_refused_default ADD PRIMARY KEY (id);
ALTER TABLE hatch.webhook_log_nothing_new_default ADD PRIMARY KEY (id);
ALTER TABLE hatch.webhook_log_applied_default ADD PRIMARY KEY (id);
ALTER TABLE hatch.webhook_log_quarantined_default ADD PRIMARY KEY (id);

-- The first id of a moment, as UUIDs of version 7 begin with the milliseconds since 1970.
CREATE FUNCTION hatch.first_id(of timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT (lpad(to_hex((extract(epoch FROM of) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- When the partition begins that holds a moment: at midnight UTC, those of a week on Monday.
CREATE FUNCTION hatch.partition_begin(of timestamptz, days int) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT date_bin(days * interval '24 hours', of, timestamptz '1970-01-05 00:00:00Z')
$$;

-- Every partition, by what its name says: `_20261129` begins then, `_before_20261129` holds everything
-- that is older. The nets have neither.
CREATE VIEW hatch.webhook_partitions AS
SELECT k.kind, k.parent, c.relname::text AS name, c.oid AS relation, b.from_at,
       coalesce(b.from_at + k.days * interval '24 hours', b.before_at) AS until_at
  FROM hatch.webhook_kinds() AS k
  JOIN pg_class AS p ON p.relname = k.parent AND p.relnamespace = 'hatch'::regnamespace
  JOIN pg_inherits AS i ON i.inhparent = p.oid
  JOIN pg_class AS c ON c.oid = i.inhrelid
 CROSS JOIN LATERAL (
       SELECT to_date(substring(c.relname from '[a-z]_([0-9]{8})$'), 'YYYYMMDD') AS begins,
              to_date(substring(c.relname from '_before_([0-9]{8})$'), 'YYYYMMDD') AS before) AS d
 CROSS JOIN LATERAL (
       SELECT CASE WHEN d.before IS NULL THEN d.begins::timestamp AT TIME ZONE 'UTC' END AS from_at,
              d.before::timestamp AT TIME ZONE 'UTC' AS before_at) AS b;

-- Creates a partition, with what its net has caught of it: from `from_at`, or the one of everything before
-- `until_at` where that is NULL. It is made standalone and then attached. The locks on the table and on its
-- net are taken or the call fails at once (55P03): whoever waited for them would make everybody else wait.
CREATE FUNCTION hatch.create_webhook_partition(
    of_kind text, name text, from_at timestamptz, until_at timestamptz) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parent text := (SELECT k.parent FROM hatch.webhook_kinds() AS k WHERE k.kind = of_kind);
    is_bodies bool := of_kind = 'bodies';
    key text := CASE WHEN is_bodies THEN 'webhook_id' ELSE 'received_at' END;
    lower_bound text := CASE WHEN is_bodies THEN hatch.first_id(from_at)::text ELSE from_at::text END;
    upper_bound text := CASE WHEN is_bodies THEN hatch.first_id(until_at)::text ELSE until_at::text END;
BEGIN
    EXECUTE format('LOCK TABLE ONLY hatch.%I IN SHARE UPDATE EXCLUSIVE MODE NOWAIT', parent);
    EXECUTE format('LOCK TABLE hatch.%I IN ACCESS EXCLUSIVE MODE NOWAIT', parent || '_default');
    EXECUTE format('CREATE TABLE hatch.%I (LIKE hatch.%I INCLUDING ALL)', name, parent);
    IF NOT is_bodies THEN
        EXECUTE format('ALTER TABLE hatch.%I ADD PRIMARY KEY (id)', name);
    END IF;
    EXECUTE format('WITH caught AS (DELETE FROM hatch.%I WHERE %s%I < %L RETURNING *)'
        || ' INSERT INTO hatch.%I SELECT * FROM caught',
        parent || '_default', format('%I >= %L AND ', key, lower_bound), key, upper_bound, name);
    EXECUTE format('ALTER TABLE hatch.%I ATTACH PARTITION hatch.%I FOR VALUES FROM (%s) TO (%L)',
        parent, name, coalesce(quote_literal(lower_bound), 'MINVALUE'), upper_bound);
END $$;

-- Makes sure of the partitions of `at` and of the `ahead` days after it; returns how many it created.
-- SECURITY DEFINER: the application owns no tables.
CREATE FUNCTION hatch.ensure_webhook_partitions(at timestamptz, ahead int) RETURNS int
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
    PERFORM pg_advisory_xact_lock(hashtext('hatch.webhook_partitions'));
    FOR made IN
        SELECT DISTINCT k.kind, k.days, k.parent, b.begins,
               k.parent || to_char(b.begins AT TIME ZONE 'UTC', '_YYYYMMDD') AS name
          FROM hatch.webhook_kinds() AS k
         CROSS JOIN generate_series(0, ahead) AS n
         CROSS JOIN LATERAL (
               SELECT hatch.partition_begin(at + n * interval '24 hours', k.days) AS begins) AS b
    LOOP
        CONTINUE WHEN to_regclass('hatch.' || made.name) IS NOT NULL;
        -- What is older than the migration has one partition.
        CONTINUE WHEN EXISTS (SELECT FROM hatch.webhook_partitions AS p WHERE p.kind = made.kind
            AND p.from_at IS NULL AND p.until_at > made.begins);
        PERFORM hatch.create_webhook_partition(
            made.kind, made.name, made.begins, made.begins + made.days * interval '24 hours');
        created := created + 1;
    END LOOP;
    RETURN created;
END $$;

-- Drops a partition that lies in the past, and says how many bytes that frees; NULL when it is gone already.
-- What is applied and has a body of its own is kept on: that is the only place where part of a mail is.
-- Its rows move to the net, where they are found as before.
CREATE FUNCTION hatch.drop_webhook_partition(partition text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    leaf record;
    kept uuid[];
    bytes bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('hatch.webhook_partitions'));
    SELECT * INTO leaf FROM hatch.webhook_partitions AS p WHERE p.name = partition;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF leaf.until_at IS NULL OR leaf.until_at > now() THEN
        RAISE EXCEPTION 'partition % does not lie in the past', partition
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    bytes := pg_total_relation_size(leaf.relation);
    IF leaf.kind = 'applied' THEN
        EXECUTE format('SELECT array_agg(l.id) FROM hatch.webhook_bodies AS b'
            || ' JOIN hatch.%I AS l ON l.id = b.webhook_id WHERE b.webhook_id < %L AND b.webhook_id >= %L',
            partition, hatch.first_id(leaf.until_at + interval '1 day'),
            hatch.first_id(coalesce(leaf.from_at - interval '1 day', 'epoch'))) INTO kept;
    END IF;
    EXECUTE format('LOCK TABLE ONLY hatch.%I IN ACCESS EXCLUSIVE MODE NOWAIT', leaf.parent);
    EXECUTE format('LOCK TABLE hatch.%I IN ACCESS EXCLUSIVE MODE NOWAIT', leaf.parent || '_default');
    EXECUTE format('LOCK TABLE hatch.%I IN ACCESS EXCLUSIVE MODE NOWAIT', partition);
    EXECUTE format('ALTER TABLE hatch.%I DETACH PARTITION hatch.%I', leaf.parent, partition);
    IF kept IS NOT NULL THEN
        EXECUTE format('INSERT INTO hatch.%I SELECT * FROM hatch.%I WHERE id = ANY ($1)',
            leaf.parent, partition) USING kept;
    END IF;
    EXECUTE format('DROP TABLE hatch.%I', partition);
    RETURN bytes;
END $$;

-- Takes out of a kind's net what came before `before`, some rows at a time, and says how many. Where a body
-- of its own is kept of what was applied, its row stays with it.
CREATE FUNCTION hatch.empty_webhook_net(of_kind text, before timestamptz, rows_max int) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    net text := (SELECT k.parent || '_default' FROM hatch.webhook_kinds() AS k WHERE k.kind = of_kind);
    old text := format('received_at < %L', before);
    id text := 'id';
    emptied bigint;
BEGIN
    IF before > now() - interval '1 day' THEN
        RAISE EXCEPTION 'before must be a day ago or more' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF of_kind = 'bodies' THEN
        id := 'webhook_id';
        old := format('webhook_id < %L', hatch.first_id(before));
    ELSIF of_kind = 'applied' THEN
        old := old || ' AND NOT EXISTS (SELECT FROM hatch.webhook_bodies AS b WHERE b.webhook_id = net.id)';
    END IF;
    EXECUTE format('DELETE FROM hatch.%I WHERE %I IN (SELECT %I FROM hatch.%I AS net WHERE %s LIMIT %s)',
        net, id, id, net, old, rows_max);
    GET DIAGNOSTICS emptied = ROW_COUNT;
    RETURN emptied;
END $$;

-- By default everybody may call a new function.
REVOKE ALL ON FUNCTION hatch.create_webhook_partition(text, text, timestamptz, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION hatch.ensure_webhook_partitions(timestamptz, int) FROM PUBLIC;
REVOKE ALL ON FUNCTION hatch.drop_webhook_partition(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION hatch.empty_webhook_net(text, timestamptz, int) FROM PUBLIC;

-- What is older than today has one partition of each kind, where there is any of it.
DO $$
DECLARE
    k record;
    begins timestamptz;
    older bool;
BEGIN
    FOR k IN SELECT * FROM hatch.webhook_kinds() LOOP
        begins := hatch.partition_begin(now(), k.days);
        IF k.kind = 'bodies' THEN
            older := EXISTS (SELECT FROM hatch.webhook_bodies_moving WHERE webhook_id < hatch.first_id(begins));
        ELSE
            older := EXISTS (SELECT FROM hatch.webhook_log_moving WHERE received_at < begins);
        END IF;
        IF older THEN
            PERFORM hatch.create_webhook_partition(k.kind,
                k.parent || to_char(begins AT TIME ZONE 'UTC', '_before_YYYYMMDD'), NULL, begins);
        END IF;
    END LOOP;
END $$;

SELECT hatch.ensure_webhook_partitions(now(), 3);

INSERT INTO hatch.webhook_log SELECT * FROM hatch.webhook_log_moving;
INSERT INTO hatch.webhook_bodies SELECT * FROM hatch.webhook_bodies_moving;
DROP TABLE hatch.webhook_log_moving, hatch.webhook_bodies_moving;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        -- Partitions are reached through these only.
        GRANT SELECT, INSERT ON hatch.webhook_log, hatch.webhook_bodies TO hatch_app;
        GRANT UPDATE (outcome, detail, message_id) ON hatch.webhook_log TO hatch_app;
        GRANT SELECT ON hatch.webhook_partitions TO hatch_app;
        GRANT EXECUTE ON FUNCTION hatch.ensure_webhook_partitions(timestamptz, int),
            hatch.drop_webhook_partition(text),
            hatch.empty_webhook_net(text, timestamptz, int) TO hatch_app;
    END IF;
END
$$;
