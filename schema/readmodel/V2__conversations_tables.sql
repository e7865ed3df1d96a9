-- One row a conversation. last_message_position is unique (a position is one event) and is what the
-- list is sorted and paged by: the latest activity first.
CREATE TABLE rm_messages_v1.conversations (
    id                    uuid PRIMARY KEY,
    tenant_id             uuid NOT NULL,
    participants          json NOT NULL,
    channels              jsonb NOT NULL,
    topic                 text,
    state                 text NOT NULL,
    assignee              text,
    labels                jsonb NOT NULL,
    message_count         bigint NOT NULL,
    unread_count          bigint NOT NULL,
    last_message          json NOT NULL,
    last_message_position bigint NOT NULL,
    metadata              json NOT NULL,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Serves the conversation list's filter by participant.
CREATE TABLE rm_messages_v1.conversation_participants (
    tenant_id       uuid NOT NULL,
    address         text NOT NULL,
    conversation_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, address, conversation_id)
);
