-- Whether a message is a test: sent with a key of the type test, or brought by an account that carries nothing else. Part
-- of the projection `messages`, version 1; no event said so before. The default is kept in the catalogue: no row is
-- written.
ALTER TABLE rm_messages_v1.messages ADD COLUMN test boolean NOT NULL DEFAULT false;

CREATE OR REPLACE VIEW rm.messages AS
SELECT m.id, m.tenant_id, m.conversation_id, m.contact_id, m.direction, m.channel, m.from_address,
       m.to_addresses, m.cc, m.bcc, m.subject, m.body, m.html, m.attachments, s.status, s.provider,
       s.account, s.provider_message_id, s.attempts, s.next_attempt_at, s.error, s.segments,
       m.metadata, m.created_at, m.scheduled_at, s.sent_at, s.delivered_at, s.read_at, s.updated_at,
       s.position, m.created_position, m.authentication, m.cut, m.people, m.message_id_header,
       m.programme, m.suggests, m.kind, m.mail, m.visible_body, s.recipients, m.test
  FROM rm_messages_v1.messages m
 CROSS JOIN LATERAL (
       SELECT *
         FROM rm_messages_v1.message_states
        WHERE created_position = m.created_position
       OFFSET 0) s;
