-- How many events each kind of message event has.
CREATE TABLE rm_counts.counts (
    tenant_id uuid   NOT NULL,
    event_type text  NOT NULL,
    events    bigint NOT NULL,
    position  bigint NOT NULL,
    PRIMARY KEY (tenant_id, event_type)
);

SELECT rm.grant_projection('rm_counts');
