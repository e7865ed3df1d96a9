-- Version 1 of the projection `messages`: everything that a page of message events changes, in one
-- schema, so that a later version can be built beside it and take over by replacing the views.
--
-- A message is split in two. What never changes after its first event is inserted once and carries
-- the indexes of the lists; what every later event changes is a narrow row of its own. So a receipt
-- rewrites some two hundred bytes and two index entries, and no text.
CREATE SCHEMA IF NOT EXISTS rm_messages_v1;

-- What is fixed by the first event of a message. created_position is the position of that event:
-- unique, immutable, in log order, and therefore what the lists are sorted and paged by. The key
-- begins with the tenant, for GET messages without a filter; an index on the position alone would
-- tempt the planner to walk past every other tenant's messages.
CREATE TABLE rm_messages_v1.messages (
    created_position bigint NOT NULL,
    id               uuid NOT NULL UNIQUE,
    tenant_id        uuid NOT NULL,
    conversation_id  uuid NOT NULL,
    contact_id       uuid NOT NULL,
    direction        text NOT NULL,
    channel          text NOT NULL,
    from_address     text NOT NULL,
    to_addresses     json NOT NULL,
    cc               json NOT NULL,
    bcc              json NOT NULL,
    subject          text,
    body             text,
    html             text,
    attachments      json NOT NULL,
    metadata         json NOT NULL,
    created_at       timestamptz NOT NULL,
    scheduled_at     timestamptz,
    PRIMARY KEY (tenant_id, created_position)
);

-- Where a message stands. The free space lets its few updates stay on their page.
CREATE TABLE rm_messages_v1.message_states (
    created_position    bigint PRIMARY KEY,
    tenant_id           uuid NOT NULL,
    status              text NOT NULL,
    attempts            integer NOT NULL,
    provider            text,
    account             text,
    provider_message_id text,
    next_attempt_at     timestamptz,
    error               json,
    segments            integer,
    sent_at             timestamptz,
    delivered_at        timestamptz,
    read_at             timestamptz,
    updated_at          timestamptz NOT NULL,
    position            bigint NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Who a message is from and to. Serves the message list's filter by participant, newest first.
CREATE TABLE rm_messages_v1.message_participants (
    tenant_id        uuid NOT NULL,
    address          text NOT NULL,
    created_position bigint NOT NULL,
    PRIMARY KEY (tenant_id, address, created_position)
);

-- What providers call our messages, one row an attempt that reached a provider. Serves the receipts
-- that do not carry our own ids back.
CREATE TABLE rm_messages_v1.provider_messages (
    tenant_id           uuid NOT NULL,
    provider            text NOT NULL,
    provider_message_id text NOT NULL,
    account             text NOT NULL,
    message_id          uuid NOT NULL,
    attempt             integer NOT NULL,
    PRIMARY KEY (tenant_id, provider, provider_message_id, account)
);
