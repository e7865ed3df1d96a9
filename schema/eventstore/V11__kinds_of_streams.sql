-- The kind of every stream: the aggregate that its events name. An id of one kind is no id of another.
-- Until now there were messages only; a process of an earlier build that still runs begins messages, too, and
-- names no kind.
ALTER TABLE es.streams ADD COLUMN kind text NOT NULL DEFAULT 'message';
