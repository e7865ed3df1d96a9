-- The requests that brought mails, whole, so that the mails can be read again by a build that reads them better. No
-- projection: the row is written before the event that names it by the SHA-256 of its body. Kept until the setting
-- webhook_log.raw_mail_retention_days says otherwise; nothing but reading again needs it.
CREATE TABLE hatch.raw_mails (
    tenant_id      uuid        NOT NULL,
    message_id     uuid        NOT NULL,
    digest         bytea       NOT NULL CHECK (octet_length(digest) = 32),
    webhook_id     uuid        NOT NULL,
    provider       text        NOT NULL,
    method         text        NOT NULL,
    path_and_query text        NOT NULL,
    headers        json        NOT NULL,
    bytes          bigint      NOT NULL,
    encoding       text        NOT NULL CHECK (encoding IN ('identity', 'zstd')),
    body           bytea       NOT NULL,
    received_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, message_id, digest)
);
ALTER TABLE hatch.raw_mails ALTER COLUMN body SET STORAGE EXTERNAL;
-- In the order in which they came: they are read again page by page, and the oldest go first.
CREATE INDEX raw_mails_oldest ON hatch.raw_mails (received_at, message_id, digest);
-- The body of a webhook of the log.
CREATE INDEX raw_mails_by_webhook ON hatch.raw_mails (webhook_id);

-- Takes out what came before `before`, some rows at a time, and says how many.
-- SECURITY DEFINER: the application's role deletes nothing by itself.
CREATE FUNCTION hatch.drop_raw_mails(before timestamptz, rows_max int) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    dropped bigint;
BEGIN
    IF before > now() - interval '1 day' THEN
        RAISE EXCEPTION 'before must be a day ago or more' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    DELETE FROM hatch.raw_mails WHERE (tenant_id, message_id, digest) IN (
        SELECT r.tenant_id, r.message_id, r.digest FROM hatch.raw_mails AS r
         WHERE r.received_at < before ORDER BY r.received_at LIMIT rows_max);
    GET DIAGNOSTICS dropped = ROW_COUNT;
    RETURN dropped;
END $$;

-- By default everybody may call a new function.
REVOKE ALL ON FUNCTION hatch.drop_raw_mails(timestamptz, int) FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT SELECT, INSERT ON hatch.raw_mails TO hatch_app;
        GRANT EXECUTE ON FUNCTION hatch.drop_raw_mails(timestamptz, int) TO hatch_app;
    END IF;
END
$$;
