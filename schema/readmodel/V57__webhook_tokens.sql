-- The tokens of signatures that cover nothing of what a request says, such as Mailgun's. Each is good for one thing that is
-- said: else whoever has seen one request could have it say something else. A signature is believed for half a day only,
-- so a token is forgotten after two.
CREATE TABLE hatch.webhook_tokens (
    token   uuid        PRIMARY KEY,
    said    bytea       NOT NULL CHECK (octet_length(said) = 32),
    used_at timestamptz NOT NULL DEFAULT now()
);
-- The oldest go first.
CREATE INDEX webhook_tokens_oldest ON hatch.webhook_tokens (used_at);

-- Uses a token for what is said, and says whether it may be: nobody has used it, or for the same. Each use forgets a few of
-- those that are old, so that their number stays that of two days.
-- SECURITY DEFINER: the application's role deletes nothing by itself, and reads no token.
CREATE FUNCTION hatch.use_webhook_token(of uuid, what bytea) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known bytea;
BEGIN
    INSERT INTO hatch.webhook_tokens (token, said) VALUES (of, what) ON CONFLICT (token) DO NOTHING;
    SELECT t.said INTO known FROM hatch.webhook_tokens AS t WHERE t.token = of;
    DELETE FROM hatch.webhook_tokens WHERE token IN (
        SELECT t.token FROM hatch.webhook_tokens AS t
         WHERE t.used_at < now() - interval '2 days' AND t.token <> of
         ORDER BY t.used_at LIMIT 4 FOR UPDATE SKIP LOCKED);
    RETURN known IS NOT DISTINCT FROM what;
END $$;

-- By default everybody may call a new function.
REVOKE ALL ON FUNCTION hatch.use_webhook_token(uuid, bytea) FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT EXECUTE ON FUNCTION hatch.use_webhook_token(uuid, bytea) TO hatch_app;
    END IF;
END
$$;
