-- Who may use this installation: one row a tenant, and one a key of its API.
CREATE TABLE rm_configuration.tenants (
    -- The stream, and the tenant itself.
    tenant_id        uuid        PRIMARY KEY,
    name             text        NOT NULL,
    -- NULL while it is not suspended.
    suspended_at     timestamptz,
    suspended_for    text,
    -- What the aggregate is folded to; whoever answers from memory begins with it.
    state            json        NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    created_position bigint      NOT NULL,
    position         bigint      NOT NULL
);

-- Serves the list, the newest first.
CREATE INDEX tenants_newest ON rm_configuration.tenants (created_position DESC);

CREATE TABLE rm_configuration.api_keys (
    -- The stream.
    id               uuid        PRIMARY KEY,
    tenant_id        uuid        NOT NULL,
    -- The part of a key's text that is in clear.
    key_id           text        NOT NULL,
    name             text        NOT NULL,
    -- live, test or team.
    key_type         text        NOT NULL,
    -- What the aggregate is folded to, with the hashes of its secrets.
    state            json        NOT NULL,
    created_at       timestamptz NOT NULL,
    -- NULL while it is not revoked.
    revoked_at       timestamptz,
    created_position bigint      NOT NULL,
    position         bigint      NOT NULL
);

-- Serves the list of a tenant's keys, the newest first.
CREATE INDEX api_keys_newest ON rm_configuration.api_keys (tenant_id, created_position DESC);

-- Serves the look-up of one.
CREATE UNIQUE INDEX api_keys_by_key_id ON rm_configuration.api_keys (tenant_id, key_id);

SELECT rm.grant_projection('rm_configuration');
