-- Serves the sweepers' one question: what is to be looked at by now?
CREATE INDEX timers_look ON dispatch.timers (look_at);
