-- The epoch in which somebody saw what the log lacks. A log that was put back to before an epoch began does
-- not have that epoch, and the next one must not be taken for it.

ALTER TABLE es.log_regressions
    -- NULL: the one on record.
    ADD COLUMN seen_epoch int;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT UPDATE (seen_epoch) ON es.log_regressions TO hatch_app;
    END IF;
END
$$;
