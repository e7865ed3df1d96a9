-- Who may be written to for what: one row for each address and programme that somebody said something about.
CREATE TABLE rm_consent.consents (
    -- The stream.
    id         uuid        PRIMARY KEY,
    tenant_id  uuid        NOT NULL,
    address    text        NOT NULL,
    programme  text        NOT NULL,
    -- opted_in or opted_out; NULL where the person never said.
    wish       text,
    wish_since timestamptz,
    -- How the wish is known.
    evidence   json,
    -- The provider accounts that send nothing: [{"provider", "account", "reason", "since"}].
    blocks     json        NOT NULL,
    updated_at timestamptz NOT NULL,
    position   bigint      NOT NULL
);

-- Serves the consents of one address.
CREATE INDEX consents_by_address ON rm_consent.consents (tenant_id, address);

CREATE VIEW rm.consents AS
SELECT id, tenant_id, address, programme, wish, wish_since, evidence, blocks, updated_at, position
  FROM rm_consent.consents;

SELECT rm.grant_projection('rm_consent');
DO $$
BEGIN
    IF to_regrole('hatch_app') IS NOT NULL THEN
        GRANT SELECT ON rm.consents TO hatch_app;
    END IF;
END
$$;
