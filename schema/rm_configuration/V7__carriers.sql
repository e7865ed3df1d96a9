-- What the fleet told of accounts at providers, such as that nobody is to send by one for a while.
CREATE TABLE rm_configuration.carriers (
    -- The stream: an account's, of a month.
    id               uuid   PRIMARY KEY,
    tenant_id        uuid   NOT NULL,
    provider         text   NOT NULL,
    -- What the provider calls the account.
    account          text   NOT NULL,
    -- What the stream is folded to.
    state            json   NOT NULL,
    created_position bigint NOT NULL,
    position         bigint NOT NULL
);

-- The log is applied anew, with the events of carriers: version 3 of the projection has a checkpoint of its own.
TRUNCATE rm_configuration.tenants, rm_configuration.api_keys, rm_configuration.accounts, rm_configuration.members;
DELETE FROM es.checkpoints WHERE name = 'configuration' AND version < 3;

SELECT rm.grant_projection('rm_configuration');
