-- Routes that are kept in the log: which messages of a tenant are for which accounts.
CREATE TABLE rm_configuration.routes (
    -- The stream.
    id               uuid        PRIMARY KEY,
    tenant_id        uuid        NOT NULL,
    -- What the aggregate is folded to.
    state            json        NOT NULL,
    created_at       timestamptz NOT NULL,
    -- NULL while it is not removed.
    removed_at       timestamptz,
    created_position bigint      NOT NULL,
    position         bigint      NOT NULL
);

-- Serves the list of a tenant's routes, the newest first.
CREATE INDEX routes_newest ON rm_configuration.routes (tenant_id, created_position DESC)
    WHERE removed_at IS NULL;

-- The log is applied anew, with the events of routes: version 3 of the projection has a checkpoint of its own.
TRUNCATE rm_configuration.tenants, rm_configuration.api_keys, rm_configuration.members, rm_configuration.accounts;
DELETE FROM es.checkpoints WHERE name = 'configuration' AND version < 3;

SELECT rm.grant_projection('rm_configuration');
