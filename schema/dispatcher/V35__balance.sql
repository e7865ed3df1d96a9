-- What became of attempts, by minute, account, channel and country: counted in memory, and added here every few seconds, for
-- the balance of the accounts that share messages. Worth nothing half an hour later. Without WAL it costs next to nothing.
CREATE UNLOGGED TABLE dispatch.outcomes (
    minute   timestamptz NOT NULL,
    account  text        NOT NULL,
    channel  text        NOT NULL,
    -- The calling code; 0 where the messages go to no phone.
    country  int         NOT NULL,
    attempts bigint      NOT NULL,
    failed   bigint      NOT NULL,
    in_doubt bigint      NOT NULL,
    PRIMARY KEY (minute, account, channel, country)
) WITH (fillfactor = 50);

-- Whose turn it is to look at them, and what was found that is not done: one row.
CREATE TABLE dispatch.balance (
    one       boolean     PRIMARY KEY DEFAULT true CHECK (one),
    looked_at timestamptz NOT NULL DEFAULT '-infinity',
    advice    json        NOT NULL DEFAULT '[]',
    advised_at timestamptz
);
INSERT INTO dispatch.balance DEFAULT VALUES;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON dispatch.outcomes TO hatch_app;
        GRANT SELECT, UPDATE ON dispatch.balance TO hatch_app;
    END IF;
END
$$;
