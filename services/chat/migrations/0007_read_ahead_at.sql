-- What was read ahead since a moment, as marks have it.
create index read_ahead_at on read_ahead (room_id, at);
