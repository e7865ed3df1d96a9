-- What accounts, senders and tenants may use of something that there is so much of in a time, and what processes have
-- leased of it: one row each, made when it is first asked for. It is logged: what was used of a day is remembered
-- whatever happens to PostgreSQL.
CREATE TABLE dispatch.buckets (
    -- Such as `second twilio/AC0`, `sender twilio/AC0 +12016661234`, `day twilio/AC0`, `calls twilio/AC0`.
    key     text          PRIMARY KEY,
    -- One place of these arrays a lease: who has it, when its tokens are in the bucket again, and how many they are.
    holders uuid[]        NOT NULL DEFAULT '{}',
    returns timestamptz[] NOT NULL DEFAULT '{}',
    tokens  bigint[]      NOT NULL DEFAULT '{}',
    used_at timestamptz   NOT NULL DEFAULT now()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON dispatch.buckets TO hatch_app;
    END IF;
END
$$;
