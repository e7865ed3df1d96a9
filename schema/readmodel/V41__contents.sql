-- Contents that are too large for the log of events: files of mails, and texts that are longer than an event holds. An
-- event names each by its SHA-256. No projection: the content is written before the event that names it, so one that
-- nobody names is left by a process that died in between, and its provider has repeated the webhook. The same content
-- is kept once a tenant. `encoding` says how `content` stands for the bytes: `identity` or `zstd`.
CREATE TABLE hatch.contents (
    tenant_id uuid        NOT NULL,
    digest    bytea       NOT NULL CHECK (octet_length(digest) = 32),
    bytes     bigint      NOT NULL,
    encoding  text        NOT NULL CHECK (encoding IN ('identity', 'zstd')),
    content   bytea       NOT NULL,
    kept_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, digest)
);
-- It is compressed already, where that makes it smaller.
ALTER TABLE hatch.contents ALTER COLUMN content SET STORAGE EXTERNAL;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT SELECT, INSERT ON hatch.contents TO hatch_app;
    END IF;
END
$$;
