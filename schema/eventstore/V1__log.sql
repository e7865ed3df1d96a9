-- The log: events with gapless positions, and what appending to it needs.

CREATE TABLE es.events (
    -- Assigned by the appender under the log's lock: 1, 2, 3, ... without gaps, in commit order.
    position        bigint      NOT NULL CHECK (position > 0),
    stream_id       uuid        NOT NULL,
    version         bigint      NOT NULL CHECK (version > 0),
    tenant_id       uuid        NOT NULL,
    event_id        uuid        NOT NULL,
    type            text        NOT NULL,
    schema_version  smallint    NOT NULL,
    epoch           int         NOT NULL,
    recorded_at     timestamptz NOT NULL,
    -- Routing: how the bus and the read side find an event without reading its payload.
    aggregate       text        NOT NULL,
    conversation_id uuid,
    channel         text,
    priority        text,
    -- json, not jsonb: kept byte for byte as written, and never searched inside.
    metadata        json        NOT NULL,
    payload         json        NOT NULL,
    PRIMARY KEY (position)
) PARTITION BY RANGE (position);

-- What happened is not taken back. The privileges of hatch_app say the same; the triggers also stop
-- the owner's slip of the hand.
CREATE FUNCTION es.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'es.events is append-only: % refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON es.events
    FOR EACH ROW EXECUTE FUNCTION es.refuse_change();

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON es.events
    FOR EACH STATEMENT EXECUTE FUNCTION es.refuse_change();

-- Creates the partition that holds `of_position`, if there is none. It is made standalone and then
-- attached, which takes no lock that appends or readers wait for; CREATE TABLE ... PARTITION OF
-- takes ACCESS EXCLUSIVE on es.events and would queue every append behind the slowest reader.
CREATE FUNCTION es.create_partition(of_position bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    partition_events CONSTANT bigint := 10000000;
    number bigint := of_position / partition_events;
    lower_bound bigint := number * partition_events;
    upper_bound bigint := lower_bound + partition_events;
    name text := 'events_' || lpad(number::text, 6, '0');
BEGIN
    IF to_regclass('es.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE es.%I (LIKE es.events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    EXECUTE format('ALTER TABLE es.%I ADD PRIMARY KEY (position)', name);
    -- A stream's versions cannot be unique across partitions, nor need they: the lock sees to it.
    -- This index finds a stream's events, and catches a writer that went around the lock.
    EXECUTE format('CREATE UNIQUE INDEX %I ON es.%I (stream_id, version)', name || '_stream', name);
    EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON es.%I'
        || ' FOR EACH STATEMENT EXECUTE FUNCTION es.refuse_change()', name);
    -- The same as the bounds, so that attaching need not scan; of no use afterwards.
    EXECUTE format('ALTER TABLE es.%I ADD CONSTRAINT bounds CHECK (position >= %s AND position < %s)',
        name, lower_bound, upper_bound);
    EXECUTE format('ALTER TABLE es.events ATTACH PARTITION es.%I FOR VALUES FROM (%s) TO (%s)',
        name, lower_bound, upper_bound);
    EXECUTE format('ALTER TABLE es.%I DROP CONSTRAINT bounds', name);
    RETURN true;
END $$;

-- Makes sure of the partition of the next position and of `ahead` more; returns how many it created.
-- A missing partition stops every append, so appenders call this when they connect and whenever the
-- log enters another partition. SECURITY DEFINER: they own no tables.
CREATE FUNCTION es.ensure_partitions(ahead int) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    next_position bigint;
    created int := 0;
BEGIN
    IF ahead NOT BETWEEN 0 AND 100 THEN
        RAISE EXCEPTION 'ahead must be 0 to 100, not %', ahead USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- One at a time: two would both find the partition missing.
    PERFORM pg_advisory_xact_lock(hashtext('es.ensure_partitions'));
    SELECT coalesce(max(position), 0) + 1 INTO next_position FROM es.events;
    FOR n IN 0 .. ahead LOOP
        IF es.create_partition(next_position + n * 10000000::bigint) THEN
            created := created + 1;
        END IF;
    END LOOP;
    RETURN created;
END $$;

-- By default everybody may call a new function.
REVOKE ALL ON FUNCTION es.create_partition(bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION es.ensure_partitions(int) FROM PUBLIC;

SELECT es.ensure_partitions(3);

-- The version of every stream, and whose it is. No unique index spans the partitions of es.events,
-- and one probe here is cheaper than one in each of them. Every append updates rows: room in the
-- pages keeps those updates off the index.
CREATE TABLE es.streams (
    stream_id uuid   PRIMARY KEY,
    tenant_id uuid   NOT NULL,
    version   bigint NOT NULL
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02);

-- Clients' idempotency keys, kept for ever. One key column on purpose: `= ANY` over a composite
-- key is planned badly.
CREATE TABLE es.commands (
    command_key    uuid        PRIMARY KEY,
    request_hash   bytea       NOT NULL CHECK (octet_length(request_hash) = 32),
    first_position bigint      NOT NULL,
    last_position  bigint      NOT NULL,
    at             timestamptz NOT NULL
);

-- The incarnations of the log. Events carry the epoch they were written in; a failover, a restore
-- or a clone begins a new one, so that nobody takes two histories for one.
CREATE TABLE es.log_epoch (
    epoch             int         PRIMARY KEY CHECK (epoch > 0),
    system_identifier bigint      NOT NULL,
    timeline          int         NOT NULL,
    -- NULL: the role that wrote the row may not read it.
    data_directory    text,
    -- NULL: not known to migrations; the first process that is told fills them in.
    host              text,
    deployment_name   text,
    -- The log's head when the epoch began.
    base_position     bigint      NOT NULL,
    reason            text        NOT NULL,
    at                timestamptz NOT NULL DEFAULT now()
);

DO $$
DECLARE
    directory text;
BEGIN
    BEGIN
        directory := current_setting('data_directory');
    EXCEPTION WHEN insufficient_privilege THEN
        directory := NULL;
    END;
    INSERT INTO es.log_epoch (epoch, system_identifier, timeline, data_directory, base_position, reason)
    SELECT 1,
        system_identifier,
        -- Of the WAL file: pg_control_checkpoint() still says the old one just after a promotion.
        ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int,
        directory,
        0,
        'created'
    FROM pg_control_system();
END $$;
