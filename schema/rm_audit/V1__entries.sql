-- Who changed what, one row an event: of everything but messages, and of messages what a client caused after the send.
CREATE TABLE rm_audit.entries (
    -- The event.
    id             uuid        PRIMARY KEY,
    tenant_id      uuid        NOT NULL,
    at             timestamptz NOT NULL,
    position       bigint      NOT NULL,
    actor          text        NOT NULL,
    -- The key, where the actor is one.
    key_id         text,
    -- Such as api_key.revoked: the kind of the object, and the event's type.
    action         text        NOT NULL,
    object_kind    text        NOT NULL,
    object_id      text        NOT NULL,
    -- The event's data, as it is published.
    details        json        NOT NULL,
    -- The id of the request that did it, where one did.
    request_id     text,
    correlation_id uuid        NOT NULL
);

-- Serves the list, the newest first.
CREATE INDEX entries_newest ON rm_audit.entries (tenant_id, at DESC, id DESC);
-- Serves what happened to one object.
CREATE INDEX entries_of_object ON rm_audit.entries (tenant_id, object_kind, object_id, at DESC, id DESC);

-- Serves what is seldom done.
CREATE INDEX entries_of_action ON rm_audit.entries (tenant_id, action, at DESC, id DESC);

-- What people call the keys of the API: their events do not say it but for the first one.
CREATE TABLE rm_audit.key_ids (
    -- The stream.
    id        uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    key_id    text NOT NULL
);

-- Not rm.grant_projection: whoever serves adds rows, and changes none.
DO $$
BEGIN
    IF to_regrole('hatch_app') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA rm_audit TO hatch_app;
        GRANT SELECT, INSERT ON rm_audit.entries, rm_audit.key_ids TO hatch_app;
        GRANT SELECT ON rm.rm_audit_schema_history TO hatch_app;
    END IF;
END
$$;
