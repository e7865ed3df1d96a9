-- Who the people of each tenant are: one row a member. The log is applied anew for it.
CREATE TABLE rm_configuration.members (
    -- The stream.
    id               uuid        PRIMARY KEY,
    tenant_id        uuid        NOT NULL,
    email            text        NOT NULL,
    -- invited, active or removed.
    status           text        NOT NULL,
    -- What the aggregate is folded to, with what passwords were made into.
    state            json        NOT NULL,
    created_position bigint      NOT NULL,
    position         bigint      NOT NULL
);

-- Serves the list of a tenant's members, the newest first.
CREATE INDEX members_newest ON rm_configuration.members (tenant_id, created_position DESC);

TRUNCATE rm_configuration.tenants, rm_configuration.api_keys;
DELETE FROM es.checkpoints WHERE name = 'configuration';

SELECT rm.grant_projection('rm_configuration');
