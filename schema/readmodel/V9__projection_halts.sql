-- The event that a projection could not apply. It stands for as long as the projection's checkpoint
-- is before it; a later build that can read the event simply passes it.
CREATE TABLE rm.projection_halts (
    projection text NOT NULL,
    version    integer NOT NULL,
    position   bigint NOT NULL,
    reason     text NOT NULL,
    halted_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, version)
);
