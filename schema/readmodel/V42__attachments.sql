-- Where each file of a message is: file number `place`, counted from 0, of the event at `position`. Part of the
-- projection `messages`, version 1. Files of before have no row, and can be fetched after a rebuild.
CREATE TABLE rm_messages_v1.attachments (
    tenant_id uuid    NOT NULL,
    id        uuid    NOT NULL,
    position  bigint  NOT NULL,
    place     integer NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

CREATE VIEW rm.attachments AS
SELECT tenant_id, id, position, place FROM rm_messages_v1.attachments;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT SELECT ON rm.attachments TO hatch_app;
        GRANT SELECT, INSERT, UPDATE ON rm_messages_v1.attachments TO hatch_app;
    END IF;
END
$$;
