-- How far the readers of the log got.

-- Committed together with what the reader made of the events, and moved by compare-and-set: that is
-- what fences a second reader of the same name.
CREATE TABLE es.checkpoints (
    name       text        NOT NULL,
    version    int         NOT NULL,
    position   bigint      NOT NULL CHECK (position >= 0),
    -- The epoch of the event at `position`.
    epoch      int         NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version)
) WITH (fillfactor = 50);

-- The streams of the bus, one row each: a stream that was lost or rolled back is followed by the
-- next generation, which begins at the log's head.
CREATE TABLE es.bus_generations (
    generation     int         PRIMARY KEY,
    first_position bigint      NOT NULL,
    epoch          int         NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now()
);
