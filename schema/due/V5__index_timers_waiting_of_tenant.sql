-- Those of a tenant that are parked, one after the other: what they wait for may be something else by now.
CREATE INDEX timers_waiting_of_tenant ON due.timers (kind, tenant_id, stream_id) WHERE lane LIKE '% waiting';
