-- A generation of the bus in which somebody found a foreign message. Nobody believes it from then on,
-- and the relay begins the next one.

ALTER TABLE es.bus_generations
    -- NULL: none was found.
    ADD COLUMN foreign_at     timestamptz,
    -- Where, and what is wrong with it.
    ADD COLUMN foreign_detail text;

-- Whoever can write to the bus can end a generation, again and again. Only the newest is ever asked for;
-- the others are kept for people to see.
CREATE FUNCTION es.forget_old_generations() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM es.bus_generations WHERE generation <= NEW.generation - 1000;
    RETURN NULL;
END $$;

-- By default everybody may call a new function.
REVOKE ALL ON FUNCTION es.forget_old_generations() FROM PUBLIC;

CREATE TRIGGER forget_old AFTER INSERT ON es.bus_generations
    FOR EACH ROW EXECUTE FUNCTION es.forget_old_generations();

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT UPDATE (foreign_at, foreign_detail) ON es.bus_generations TO hatch_app;
    END IF;
END
$$;
