-- Where the events of partitions are that were moved to files.

CREATE TABLE es.archives (
    first_position  bigint      PRIMARY KEY CHECK (first_position > 0),
    last_position   bigint      NOT NULL CHECK (last_position >= first_position),
    events          bigint      NOT NULL CHECK (events = last_position - first_position + 1),
    -- The partition that held them: as long as it is there, detaching it has to be finished.
    partition       text        NOT NULL,
    -- Absolute, and the same on every machine that reads the log. Who moves the folder changes
    -- this.
    folder          text        NOT NULL,
    -- Of the manifest, which has the checksums of the files beside it.
    manifest_sha256 bytea       NOT NULL CHECK (octet_length(manifest_sha256) = 32),
    archived_at     timestamptz NOT NULL DEFAULT now()
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT SELECT ON es.archives TO hatch_app;
    END IF;
END
$$;
