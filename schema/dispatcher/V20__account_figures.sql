-- Beside what is wrong with an account: how its breaker stands in the process, and how much is under way by it there.
ALTER TABLE dispatch.accounts
    -- One word for what is wrong, such as credentials or silent; NULL where nothing is.
    ADD COLUMN reason    text,
    -- closed, open or half_open.
    ADD COLUMN breaker   text   NOT NULL DEFAULT 'closed',
    -- When the process tries an account that is open.
    ADD COLUMN until     timestamptz,
    -- Calls under way.
    ADD COLUMN under_way bigint NOT NULL DEFAULT 0;
