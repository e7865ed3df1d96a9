-- What the bus carries is believed only when it is signed by a secret that the bus does not know.

-- One for each epoch, made with it and never changed. Whoever reads it can sign: it goes to no log line
-- and to no export.
CREATE TABLE es.epoch_secrets (
    epoch  int   PRIMARY KEY REFERENCES es.log_epoch,
    secret bytea NOT NULL CHECK (octet_length(secret) = 32)
);

-- 244 bits of the server's strong random numbers: two UUIDs of version 4.
CREATE FUNCTION es.random_secret() RETURNS bytea LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp AS $$
    SELECT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
$$;

-- SECURITY DEFINER: whoever begins an epoch may not choose its secret.
CREATE FUNCTION es.make_epoch_secret() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO es.epoch_secrets (epoch, secret) VALUES (NEW.epoch, es.random_secret());
    RETURN NULL;
END $$;

-- By default everybody may call a new function.
REVOKE ALL ON FUNCTION es.random_secret() FROM PUBLIC;
REVOKE ALL ON FUNCTION es.make_epoch_secret() FROM PUBLIC;

CREATE TRIGGER make_secret AFTER INSERT ON es.log_epoch
    FOR EACH ROW EXECUTE FUNCTION es.make_epoch_secret();

INSERT INTO es.epoch_secrets (epoch, secret) SELECT epoch, es.random_secret() FROM es.log_epoch;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT SELECT ON es.epoch_secrets TO hatch_app;
    END IF;
END
$$;
