-- The messages that belong to a conversation beside the one that they began in: a mail to several of our mailboxes is one
-- message in the conversation of each. Part of the projection `messages`, version 1; no event said so before. Its place
-- in the conversation is the position of the event that says so: unique in the log, as created_position is, so that both
-- are one order to page by. Other messages have no row here.
CREATE TABLE rm_messages_v1.joined_messages (
    tenant_id        uuid   NOT NULL,
    conversation_id  uuid   NOT NULL,
    position         bigint NOT NULL,
    created_position bigint NOT NULL,
    message_id       uuid   NOT NULL,
    mailbox          text   NOT NULL,
    PRIMARY KEY (tenant_id, conversation_id, position),
    -- The conversations of a message, for one that is read again and for mails that refer to it. As a constraint, because
    -- copies of the tables have those from the beginning.
    CONSTRAINT joined_messages_by_message UNIQUE (message_id, conversation_id)
);

CREATE VIEW rm.joined_messages AS
SELECT tenant_id, conversation_id, position, created_position, message_id, mailbox
  FROM rm_messages_v1.joined_messages;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT SELECT ON rm.joined_messages TO hatch_app;
        GRANT SELECT, INSERT, UPDATE ON rm_messages_v1.joined_messages TO hatch_app;
    END IF;
END
$$;
