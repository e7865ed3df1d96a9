-- Accounts at providers that are kept in the log, their secrets sealed.
CREATE TABLE rm_configuration.accounts (
    -- The stream, which is computed from the name.
    id               uuid        PRIMARY KEY,
    tenant_id        uuid        NOT NULL,
    -- What hatch calls it.
    name             text        NOT NULL,
    provider         text        NOT NULL,
    -- What the aggregate is folded to. Nobody reads its secrets without the master key.
    state            json        NOT NULL,
    created_at       timestamptz NOT NULL,
    -- NULL while it is not removed.
    removed_at       timestamptz,
    created_position bigint      NOT NULL,
    position         bigint      NOT NULL
);

-- Serves the list of a tenant's accounts, the newest first.
CREATE INDEX accounts_newest ON rm_configuration.accounts (tenant_id, created_position DESC)
    WHERE removed_at IS NULL;

-- The log is applied anew, with the events of accounts: version 2 of the projection has a checkpoint of its own.
TRUNCATE rm_configuration.tenants, rm_configuration.api_keys;
DELETE FROM es.checkpoints WHERE name = 'configuration' AND version < 2;

SELECT rm.grant_projection('rm_configuration');
