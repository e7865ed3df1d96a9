-- Whose message each provider's id is, so that a look-up does not take another message of ours for
-- the one in doubt. Ids are long and random: should two providers ever use the same one, the second
-- is not kept, and a look-up that meets it decides nothing.
CREATE TABLE dispatch.provider_ids (
    provider_message_id text   PRIMARY KEY,
    tenant_id           uuid   NOT NULL,
    message_id          uuid   NOT NULL,
    attempt             int    NOT NULL
);
