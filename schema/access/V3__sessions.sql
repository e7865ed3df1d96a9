-- Who has signed in: one row a session. What opens it is a secret in a cookie, of which the SHA-256 is here. No event has
-- that, so it is no projection. Who ends a session deletes its row.
CREATE TABLE access.sessions (
    secret_hash bytea      PRIMARY KEY,
    -- The session as it is shown.
    id         uuid        NOT NULL UNIQUE,
    tenant_id  uuid        NOT NULL,
    member_id  uuid        NOT NULL,
    -- How often all sessions of the member had been ended when it began. It counts as long as that is so.
    generation integer     NOT NULL,
    -- How far the log was known where it began: whoever knows less cannot say yet whether it counts.
    position   bigint      NOT NULL,
    -- password or oidc.
    way        text        NOT NULL,
    started_at timestamptz NOT NULL,
    -- When it was used last, known some seconds late.
    seen_at    timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,
    ip         inet        NOT NULL,
    -- The browser, as it calls itself.
    user_agent text
) WITH (fillfactor = 70);

-- Serves the list, of one member or of all.
CREATE INDEX sessions_of_tenant ON access.sessions (tenant_id, member_id, started_at DESC);

-- Serves the deletion of those that are over.
CREATE INDEX sessions_over ON access.sessions (ends_at);

-- How often somebody tried to sign in: by the SHA-256 of an address of the internet, and of an email. After a crash of the
-- server everybody begins anew.
CREATE UNLOGGED TABLE access.sign_in_attempts (
    key   bytea       PRIMARY KEY,
    since timestamptz NOT NULL,
    count integer     NOT NULL
) WITH (fillfactor = 70);

-- Serves the deletion of what is past.
CREATE INDEX sign_in_attempts_past ON access.sign_in_attempts (since);

-- The last step of time of which a member has used the code of his second factor: none counts twice.
CREATE TABLE access.totp_steps (
    member_id uuid   PRIMARY KEY,
    tenant_id uuid   NOT NULL,
    step      bigint NOT NULL
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT USAGE ON SCHEMA access TO hatch_app;
        GRANT SELECT, INSERT, UPDATE, DELETE
           ON access.sessions, access.sign_in_attempts, access.totp_steps TO hatch_app;
    END IF;
END
$$;
