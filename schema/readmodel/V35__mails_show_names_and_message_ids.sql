-- The names that a mail shows with its addresses, which no event had before, and what it calls itself in its header
-- Message-ID, which an answer names. Part of the projection `messages`, version 1. Rows of before have neither: a
-- rebuild fills them, without a lock that reads would wait for.
ALTER TABLE rm_messages_v1.messages ADD COLUMN people json, ADD COLUMN message_id_header text;

CREATE OR REPLACE VIEW rm.messages AS
SELECT m.id, m.tenant_id, m.conversation_id, m.contact_id, m.direction, m.channel, m.from_address,
       m.to_addresses, m.cc, m.bcc, m.subject, m.body, m.html, m.attachments, s.status, s.provider,
       s.account, s.provider_message_id, s.attempts, s.next_attempt_at, s.error, s.segments,
       m.metadata, m.created_at, m.scheduled_at, s.sent_at, s.delivered_at, s.read_at, s.updated_at,
       s.position, m.created_position, m.authentication, m.cut, m.people, m.message_id_header
  FROM rm_messages_v1.messages m
 CROSS JOIN LATERAL (
       SELECT *
         FROM rm_messages_v1.message_states
        WHERE created_position = m.created_position
       OFFSET 0) s;
