//! What an import does, in the order in which it does it. Conditions on `outcome` read: null is still to be decided.

/// Where everything waits.
pub(super) const STAGE: &str = "
create temporary table import_rooms
    (place bigint, number bigint, private boolean, name text, created_at timestamptz) on commit drop;
create temporary table import_participants (place bigint, room bigint, name text collate \"C\") on commit drop;
create temporary table import_messages (
    place bigint, number bigint, room bigint, name text collate \"C\", words text, media bigint, sent_at timestamptz
) on commit drop;
create temporary table import_receipts (
    place bigint, number bigint, message bigint, name text collate \"C\", delivered boolean, delivered_at timestamptz,
    was_read boolean, read_at timestamptz
) on commit drop;
";

/// Of two rows of one number the later counts.
pub(super) const GATHER: &str = "
with gone as (
    delete from import_rooms a using import_rooms b where a.number = b.number and a.place < b.place returning a.place
)
insert into import_counts select 'rooms', 'twice in the dump', count(distinct place) from gone;
delete from import_participants p where not exists (select from import_rooms r where r.place = p.place);
with gone as (
    delete from import_messages a using import_messages b where a.number = b.number and a.place < b.place
    returning a.place
)
insert into import_counts select 'messages', 'twice in the dump', count(distinct place) from gone;
with gone as (
    delete from import_receipts a using import_receipts b where a.number = b.number and a.place < b.place
    returning a.place
)
insert into import_counts select 'receipts', 'twice in the dump', count(distinct place) from gone;

insert into import_people (name)
    select name from (
        select name from import_participants union select name from import_messages union select name from import_receipts
    ) names where name is not null;
insert into import_files (number) select distinct media from import_messages where media is not null;
analyze import_rooms;
analyze import_participants;
analyze import_messages;
analyze import_receipts;
";

/// Old rooms and where their messages go.
pub(super) const ROOMS: &str = "
lock table rooms, members, messages, marks, read_ahead in share row exclusive mode;
analyze import_people;

create temporary table import_members on commit drop as
    select room, number, id, here, row_number() over (partition by room order by number) as position
    from (
        select distinct w.room, p.number, p.id, p.here
        from import_participants w join import_people p using (name) where p.number is not null
    ) each;
analyze import_members;

create temporary table import_targets on commit drop as
    select r.number, pg_temp.import_id('01', r.number) as id, r.name, r.created_at, m.ids, m.numbers, m.admin, m.stay,
        case when r.private and cardinality(m.ids) = 2 then 'PAIR' else 'GROUP' end as kind,
        case when r.private and cardinality(m.ids) = 2
            then 'PAIR ' || least(m.ids[1], m.ids[2]) || ' ' || greatest(m.ids[1], m.ids[2]) || ' '
        end as pair,
        null::uuid as target, case when m.ids is null then 'nobody is in them' end as outcome
    from import_rooms r left join (
        select room, array_agg(id order by position) as ids, array_agg(number order by position) as numbers,
            (array_agg(id order by position) filter (where here))[1] as admin, count(*) filter (where here) as stay
        from import_members group by room
    ) m on m.room = r.number;

update import_targets t set target = r.id, outcome = 'there'
from rooms r where t.outcome is null and r.number = t.number and r.id = t.id;

-- The pair has a room, whether an earlier import made it or the two of them.
update import_targets t set target = r.id, outcome = 'merged into the pair''s room'
from rooms r where t.outcome is null and r.pair = t.pair;

with taken as (
    update import_targets t set outcome = 'conflict' from rooms r where t.outcome is null and r.number = t.number
    returning t.number, r.id, r.kind, r.created_at
)
insert into import_conflicts (what)
select format('room %s of the dump: here %s is the room %s, a %s of %s', number, number, id, kind, created_at::date)
from taken order by number;

-- Several rooms of one pair become the oldest of them.
update import_targets t set target = o.oldest, outcome = case when o.oldest = t.id then 'imported'
    else 'merged into the pair''s room' end
from (
    select number, first_value(id) over (partition by coalesce(pair, number::text) order by created_at, number) as oldest
    from import_targets where outcome is null
) o where o.number = t.number;

insert into rooms (id, number, kind, name, pair, created_by_id, created_by_number, created_at, members_count)
overriding system value
select t.id, t.number, t.kind,
    case t.kind when 'PAIR' then format('Chat: User %s & User %s', t.numbers[1], t.numbers[2]) else t.name end,
    t.pair, t.ids[1], t.numbers[1], t.created_at, case t.kind when 'PAIR' then 2 else t.stay end
from import_targets t where t.outcome = 'imported' order by t.number;

insert into members (room_id, user_id, user_number, position, admin, joined_at, left_at)
select t.id, m.id, m.number, m.position, t.kind = 'GROUP' and m.id is not distinct from t.admin, t.created_at,
    case when t.kind = 'GROUP' and not m.here then t.created_at end
from import_targets t join import_members m on m.room = t.number
where t.outcome = 'imported' order by t.number, m.position;

insert into import_counts select 'rooms', outcome, count(*) from import_targets group by outcome;
create unique index on import_targets (number);
analyze import_targets;
";

/// In a room messages follow each other by their times, behind what is said there already.
pub(super) const MESSAGES: &str = "
analyze import_files;

create temporary table import_sent on commit drop as
    select m.number, pg_temp.import_id('02', m.number) as id, m.room, t.target as room_id, p.id as sender_id,
        p.number as sender_number, m.words, m.media is not null and f.id is null as file_missing, f.id as media_id,
        case when f.id is not null then m.media end as media_number,
        case when f.id is null then 'TEXT' when f.content_type like 'image/%' then 'IMAGE'
            when f.content_type like 'audio/%' then 'VOICE' else 'FILE' end as kind, m.sent_at,
        r.last_sequence, r.last_change,
        case when t.target is null then 'their room is not imported'
            when p.number is null then 'nobody knows their sender'
            when h.id = pg_temp.import_id('02', m.number) then 'there'
            when h.id is not null or m.sent_at < r.last_activity_at then 'conflict'
            else 'imported'
        end as outcome,
        h.id as here
    from import_messages m
    left join import_targets t on t.number = m.room
    left join rooms r on r.id = t.target
    left join import_people p on p.name = m.name
    left join import_files f on f.number = m.media and f.owner_id = p.id
    left join messages h on h.number = m.number;
analyze import_sent;

insert into import_conflicts (what)
select case when here is not null then format('message %s of the dump: here %s is the message %s', number, number, here)
    else format('message %s of the dump is older than what its room %s says here already', number, room) end
from import_sent where outcome = 'conflict' order by number limit 1000;

create temporary table import_new on commit drop as
    select *, last_sequence + place as sequence, last_change + place as change from (
        select *, row_number() over (partition by room_id order by sent_at, number) as place
        from import_sent where outcome = 'imported'
    ) placed;
create unique index on import_new (number);
analyze import_new;

insert into messages (id, number, room_id, sequence, sent_change, change, sender_id, sender_number, kind, text, media_id,
    media_number, created_at)
overriding system value
select id, number, room_id, sequence, change, change, sender_id, sender_number, kind, words, media_id, media_number, sent_at
from import_new order by number;

update rooms r set last_sequence = n.sequence, last_change = n.change, last_activity_at = n.latest
from (
    select room_id, max(sequence) as sequence, max(change) as change, max(sent_at) as latest
    from import_new group by room_id
) n where n.room_id = r.id;

update members m set hidden = false
where m.hidden and m.room_id in (select room_id from import_new);

-- An inbox that is open tells nobody the whole history.
update members m set joined_change = r.last_change
from rooms r join import_targets t on t.id = r.id and t.outcome = 'imported'
where m.room_id = r.id;

insert into import_counts select 'messages', outcome, count(*) from import_sent group by outcome;
";

/// A receipt per message and person becomes two watermarks with the moments at which they rose. Somebody has read up to
/// the first message that they have a receipt of and did not read; what they read behind it was read ahead. Who has no
/// receipt of a message was not waiting for it.
pub(super) const RECEIPTS: &str = "
create temporary table import_seen on commit drop as
    select r.number, n.room_id, p.id as user_id, n.sequence,
        case
            when s.number is null or s.outcome not in ('imported', 'there') then 'their message is not imported'
            when s.outcome = 'there' then 'there'
            when p.id = s.sender_id then 'the sender''s own'
            when m.user_id is null then 'of who is not in the room'
            else 'imported'
        end as outcome,
        least(
            case when r.delivered then coalesce(r.delivered_at, r.read_at, s.sent_at) end,
            case when r.was_read then coalesce(r.read_at, r.delivered_at, s.sent_at) end
        ) as delivered_at,
        case when r.was_read then coalesce(r.read_at, r.delivered_at, s.sent_at) end as read_at
    from import_receipts r
    left join import_sent s on s.number = r.message
    left join import_new n on n.number = r.message
    left join import_people p on p.name = r.name
    left join members m on m.room_id = n.room_id and m.user_id = p.id;

-- A person and a message have one; of two the earlier row, which is as good as the other.
with gone as (
    delete from import_seen a using import_seen b
    where a.outcome = 'imported' and b.outcome = 'imported' and a.room_id = b.room_id and a.user_id = b.user_id
        and a.sequence = b.sequence and a.number > b.number
    returning a.number
)
insert into import_counts select 'receipts', 'of one person and message', count(distinct number) from gone;
insert into import_counts select 'receipts', outcome, count(*) from import_seen group by outcome;
delete from import_seen where outcome <> 'imported';
analyze import_seen;

create temporary table import_reach on commit drop as
    select m.room_id, m.user_id, s.delivered, s.latest,
        case when m.read_through >= n.before then coalesce(s.unread - 1, n.last) else m.read_through end as read_through
    from (select room_id, min(sequence) - 1 as before, max(sequence) as last from import_new group by room_id) n
    join members m on m.room_id = n.room_id
    left join (
        select room_id, user_id, min(sequence) filter (where read_at is null) as unread,
            max(sequence) filter (where delivered_at is not null) as delivered,
            greatest(max(delivered_at), max(read_at)) as latest
        from import_seen group by room_id, user_id
    ) s on s.room_id = m.room_id and s.user_id = m.user_id;
create unique index on import_reach (room_id, user_id);
analyze import_reach;

insert into marks (room_id, user_id, read, through, at)
select room_id, user_id, true, sequence, read_at from (
    select s.*, lead(s.read_at) over (partition by s.room_id, s.user_id order by s.sequence) as next
    from import_seen s join import_reach r using (room_id, user_id)
    where s.read_at is not null and s.sequence <= r.read_through
) each where next is distinct from read_at;

insert into marks (room_id, user_id, read, through, at)
select room_id, user_id, false, sequence, delivered_at from (
    select *, lead(delivered_at) over (partition by room_id, user_id order by sequence) as next
    from import_seen where delivered_at is not null
) each where next is distinct from delivered_at;

insert into read_ahead (room_id, user_id, sequence, at)
select s.room_id, s.user_id, s.sequence, s.read_at
from import_seen s join import_reach r using (room_id, user_id)
where s.read_at is not null and s.sequence > r.read_through;

update members m set read_through = r.read_through,
    delivered_through = greatest(m.delivered_through, r.delivered, r.read_through),
    marked_at = greatest(m.marked_at, r.latest)
from import_reach r where r.room_id = m.room_id and r.user_id = m.user_id;
";

/// A watermark cannot say that an earlier message is still on its way.
pub(super) const NOTES: &str = "
insert into import_notes (what, count)
    select 'messages are shown without a file that is missing' as what,
        (select count(*) from import_new where file_missing) as count
    union all
    select 'receipts say delivered, as a later message was',
        (select count(*) from import_seen s join import_reach r using (room_id, user_id)
         where s.delivered_at is null and s.sequence < r.delivered)
    union all
    select 'people in chats have no account here', (select count(*) from import_people where number is not null and not here)
";

/// Nobody is given a number that a dump has, not even of a room that was merged. `setval` outlives a rollback, which only
/// leaves numbers out. The planner hears of what is new.
pub(super) const SEQUENCES: &str = "
select setval(pg_get_serial_sequence('rooms', 'number'), greatest(n.greatest, s.last_value))
from (select greatest((select max(number) from rooms), (select max(number) from import_rooms)) as greatest) n,
    rooms_number_seq s where n.greatest is not null;
select setval(pg_get_serial_sequence('messages', 'number'), greatest(n.greatest, s.last_value))
from (select greatest((select max(number) from messages), (select max(number) from import_messages)) as greatest) n,
    messages_number_seq s where n.greatest is not null;
analyze rooms;
analyze members;
analyze messages;
analyze marks;
analyze read_ahead;
";
