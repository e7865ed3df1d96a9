-- What kind a message is, what only a mail has, and the part of its text that its sender wrote for it; and what became
-- of each recipient of a mail to several. Part of the projection `messages`, version 1; no event had any of them
-- before. Rows of before are without the visible part: a rebuild fills it, without a lock that reads would wait for.
ALTER TABLE rm_messages_v1.messages
    ADD COLUMN kind text,
    ADD COLUMN mail json,
    ADD COLUMN visible_body text;
ALTER TABLE rm_messages_v1.message_states ADD COLUMN recipients json;

CREATE OR REPLACE VIEW rm.messages AS
SELECT m.id, m.tenant_id, m.conversation_id, m.contact_id, m.direction, m.channel, m.from_address,
       m.to_addresses, m.cc, m.bcc, m.subject, m.body, m.html, m.attachments, s.status, s.provider,
       s.account, s.provider_message_id, s.attempts, s.next_attempt_at, s.error, s.segments,
       m.metadata, m.created_at, m.scheduled_at, s.sent_at, s.delivered_at, s.read_at, s.updated_at,
       s.position, m.created_position, m.authentication, m.cut, m.people, m.message_id_header,
       m.programme, m.suggests, m.kind, m.mail, m.visible_body, s.recipients
  FROM rm_messages_v1.messages m
 CROSS JOIN LATERAL (
       SELECT *
         FROM rm_messages_v1.message_states
        WHERE created_position = m.created_position
       OFFSET 0) s;
