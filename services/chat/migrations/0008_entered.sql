-- Who enters a room neither received nor read what was said before: their watermarks stand behind it from the beginning,
-- and the mark that says so tells of no receipt.
alter table marks add entered boolean not null default false;

update marks set entered = true
from members
where members.room_id = marks.room_id and members.user_id = marks.user_id and members.joined_at = marks.at;
