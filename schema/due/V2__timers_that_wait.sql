-- For whom a stream waits that is parked: empty where nobody has looked yet. One that can be helped is then found
-- behind any number of others.
ALTER TABLE due.timers ADD COLUMN waits_for text NOT NULL DEFAULT '';
