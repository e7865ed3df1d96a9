-- What every query reads. The columns are named one by one, because a view keeps its list of
-- columns when another version of the tables takes over (CREATE OR REPLACE VIEW), and statements
-- that are already prepared go on working.

-- OFFSET 0 keeps the look-up of a state by its key from being turned into a join. A merge join would
-- read the states of everybody's messages to find those of a tenant that has been silent for long.
CREATE VIEW rm.messages AS
SELECT m.id, m.tenant_id, m.conversation_id, m.contact_id, m.direction, m.channel, m.from_address,
       m.to_addresses, m.cc, m.bcc, m.subject, m.body, m.html, m.attachments, s.status, s.provider,
       s.account, s.provider_message_id, s.attempts, s.next_attempt_at, s.error, s.segments,
       m.metadata, m.created_at, m.scheduled_at, s.sent_at, s.delivered_at, s.read_at, s.updated_at,
       s.position, m.created_position
  FROM rm_messages_v1.messages m
 CROSS JOIN LATERAL (
       SELECT *
         FROM rm_messages_v1.message_states
        WHERE created_position = m.created_position
       OFFSET 0) s;

-- For lists that begin with the status.
CREATE VIEW rm.message_statuses AS
SELECT tenant_id, status, created_position FROM rm_messages_v1.message_states;

CREATE VIEW rm.message_participants AS
SELECT tenant_id, address, created_position FROM rm_messages_v1.message_participants;

CREATE VIEW rm.provider_messages AS
SELECT tenant_id, provider, provider_message_id, account, message_id, attempt
  FROM rm_messages_v1.provider_messages;

CREATE VIEW rm.conversations AS
SELECT id, tenant_id, participants, channels, topic, state, assignee, labels, message_count,
       unread_count, last_message, metadata, created_at, updated_at, last_message_position
  FROM rm_messages_v1.conversations;

CREATE VIEW rm.conversation_participants AS
SELECT tenant_id, address, conversation_id FROM rm_messages_v1.conversation_participants;
