-- Positions are dense because each append takes the log's lock before it reads the head. Whoever inserts without the
-- lock, while somebody has it, is refused; with nobody at it he is given it, so that no append can overlap with his.
CREATE FUNCTION es.require_lock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Granted at once to a transaction that has it.
    IF NOT pg_try_advisory_xact_lock(7521420822987960167) THEN
        RAISE EXCEPTION 'es.events: INSERT without the log''s lock refused'
            USING ERRCODE = 'lock_not_available';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER require_lock BEFORE INSERT ON es.events
    FOR EACH STATEMENT EXECUTE FUNCTION es.require_lock();
