-- Which conversation a mail belongs to, by what the mail calls itself (its Message-ID, without angle
-- brackets), so that a mail that refers to it joins that conversation. Part of the projection
-- `messages`, version 1; before this table no message was a mail.
CREATE TABLE rm_messages_v1.mails (
    tenant_id       uuid NOT NULL,
    mail_id         text NOT NULL,
    message_id      uuid NOT NULL,
    conversation_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, mail_id)
);

CREATE VIEW rm.mails AS
SELECT tenant_id, mail_id, message_id, conversation_id FROM rm_messages_v1.mails;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT SELECT ON rm.mails TO hatch_app;
        GRANT SELECT, INSERT, UPDATE ON rm_messages_v1.mails TO hatch_app;
    END IF;
END
$$;
