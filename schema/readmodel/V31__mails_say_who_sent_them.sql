-- What only a mail that came in has: what is known of its sender, and what was left out of it because it was
-- beyond a limit. Part of the projection `messages`, version 1; no event had either before.
ALTER TABLE rm_messages_v1.messages ADD COLUMN authentication json, ADD COLUMN cut json;

CREATE OR REPLACE VIEW rm.messages AS
SELECT m.id, m.tenant_id, m.conversation_id, m.contact_id, m.direction, m.channel, m.from_address,
       m.to_addresses, m.cc, m.bcc, m.subject, m.body, m.html, m.attachments, s.status, s.provider,
       s.account, s.provider_message_id, s.attempts, s.next_attempt_at, s.error, s.segments,
       m.metadata, m.created_at, m.scheduled_at, s.sent_at, s.delivered_at, s.read_at, s.updated_at,
       s.position, m.created_position, m.authentication, m.cut
  FROM rm_messages_v1.messages m
 CROSS JOIN LATERAL (
       SELECT *
         FROM rm_messages_v1.message_states
        WHERE created_position = m.created_position
       OFFSET 0) s;
