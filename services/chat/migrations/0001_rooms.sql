create extension if not exists unaccent;
create extension if not exists btree_gin;

-- Lower case without accents: `Ñandú` and `nandu` are the same word. `unaccent` calls itself stable because its
-- dictionary could be edited; nobody does here, and an index needs an immutable function.
create function plain(words text) returns text
    language sql immutable strict parallel safe
    return lower(unaccent('unaccent', words));

-- Whoever changes several rows locks them in this order: room, member, message, standing; of each kind by key. A room's
-- lock is what its counters need: sending, editing and deleting in one room happen one after the other, so sequences
-- and changes have no gaps and become visible in their order.
create table rooms (
    id uuid constraint rooms_pkey primary key,
    number bigint not null generated always as identity constraint rooms_number_key unique,
    kind text not null,
    name text not null default '',
    -- Of a deal: what it is about.
    subject text not null default '',
    -- Both ids, the smaller first, and the subject: one room per pair, whoever asks first. Null for groups.
    pair text constraint rooms_one_per_pair unique,
    created_by_id uuid not null,
    created_by_number bigint not null,
    created_at timestamptz not null,
    last_activity_at timestamptz,
    -- The last message's sequence, and the number of the last change in what the room says.
    last_sequence bigint not null default 0,
    last_change bigint not null default 0,
    members_count integer not null default 0,
    constraint rooms_kind_is_known check (kind in ('PAIR', 'GROUP', 'DEAL')),
    constraint rooms_pair_is_of_two check ((pair is null) = (kind = 'GROUP')),
    constraint rooms_counters_fit check (last_sequence between 0 and last_change)
);

create table members (
    room_id uuid not null constraint members_room_id_fkey references rooms (id) on delete cascade,
    user_id uuid not null,
    user_number bigint not null,
    -- In which order they came.
    position integer not null,
    admin boolean not null default false,
    joined_at timestamptz not null,
    -- The room's last change at that moment: what came later, their inbox tells.
    joined_change bigint not null default 0,
    -- Who left a group. Their messages stay, and they may come back.
    left_at timestamptz,
    -- Of a pair: hidden until somebody writes again. What was said up to `cleared_through` is not shown any more.
    hidden boolean not null default false,
    cleared_through bigint not null default 0,
    -- They have, and have read, everything up to these sequences; see `marks` for when.
    delivered_through bigint not null default 0,
    read_through bigint not null default 0,
    -- When one of both last moved, for replicas that missed the news.
    marked_at timestamptz,
    muted_until timestamptz,
    archived boolean not null default false,
    constraint members_pkey primary key (room_id, user_id),
    constraint members_read_is_delivered check (read_through <= delivered_through)
);

-- Somebody's rooms.
create index members_rooms on members (user_id, room_id) where left_at is null;
-- Whose receipts moved lately.
create index members_marked on members (room_id, marked_at);

create table messages (
    id uuid constraint messages_pkey primary key,
    number bigint not null generated always as identity constraint messages_number_key unique,
    room_id uuid not null constraint messages_room_id_fkey references rooms (id) on delete cascade,
    sequence bigint not null,
    -- The change that brought it, and the last one that was about it.
    sent_change bigint not null,
    change bigint not null,
    -- Null for notices of the platform.
    sender_id uuid,
    sender_number bigint,
    kind text not null,
    text text not null,
    media_id uuid,
    media_number bigint,
    waveform real[] not null default '{}',
    reply_to bigint,
    client_msg_id text,
    created_at timestamptz not null,
    edited_at timestamptz,
    deleted_at timestamptz,
    censored boolean not null default false,
    -- Punctuation parts words, or PostgreSQL would take prices, addresses and paths for single ones.
    searched tsvector not null generated always as (
        to_tsvector('simple', regexp_replace(plain(text), '[!-/:-@[-`{-~]+', ' ', 'g'))
    ) stored,
    constraint messages_sequence_key unique (room_id, sequence),
    -- One name, one message, however often it is sent.
    constraint messages_once_per_client_msg_id unique (room_id, sender_id, client_msg_id),
    constraint messages_kind_is_known check (kind in ('TEXT', 'IMAGE', 'FILE', 'VOICE', 'SYSTEM')),
    constraint messages_media_is_whole check ((media_id is null) = (media_number is null)),
    constraint messages_sender_is_whole check ((sender_id is null) = (sender_number is null)),
    constraint messages_of_nobody_are_notices check ((sender_id is null) = (kind = 'SYSTEM'))
);

-- The first sequence of a room that was not sent before this moment; one behind the last if all were. Times rise with
-- sequences, so that some twenty looks find it and no index has to be kept for it.
create function sequence_at(room uuid, moment timestamptz) returns bigint
    language sql stable strict parallel safe
    return (
        with recursive search (before, behind) as (
            select 0::bigint, last_sequence + 1 from rooms where id = room
            union all
            select case when m.created_at < moment then m.sequence else before end,
                case when m.created_at < moment then behind else m.sequence end
            from search join messages m on m.room_id = room and m.sequence = (before + behind) / 2
            where behind - before > 1
        )
        select min(behind) from search
    );

-- What a room has changed since somebody left: what was sent, and what else happened to messages.
create unique index messages_sent on messages (room_id, sent_change);
create index messages_changed on messages (room_id, change) where change > sent_change;
-- Words within rooms: both at once, so that a frequent word costs no more than its rooms.
create index messages_searched on messages using gin (room_id, searched);
-- What shows a file, when the file goes.
create index messages_media on messages (media_id) where media_id is not null;
-- What a message said before, for moderators.
create table versions (
    message_id uuid not null constraint versions_message_id_fkey references messages (id) on delete cascade,
    position integer not null,
    text text not null,
    cause text not null,
    replaced_at timestamptz not null,
    constraint versions_pkey primary key (message_id, position),
    constraint versions_cause_is_known check (cause in ('EDITED', 'CENSORED', 'DELETED', 'RESTORED'))
);

-- When somebody's watermarks moved: a message was delivered (read) at the time of the first mark that is not below it.
-- One row per movement, not per message and person.
create table marks (
    room_id uuid not null,
    user_id uuid not null,
    read boolean not null,
    through bigint not null,
    at timestamptz not null,
    constraint marks_pkey primary key (room_id, user_id, read, through),
    constraint marks_member_fkey foreign key (room_id, user_id) references members (room_id, user_id) on delete cascade
);

-- What moved since somebody left.
create index marks_at on marks (room_id, at);

-- Single messages that were read before those in front of them.
create table read_ahead (
    room_id uuid not null,
    user_id uuid not null,
    sequence bigint not null,
    at timestamptz not null,
    constraint read_ahead_pkey primary key (room_id, user_id, sequence),
    constraint read_ahead_member_fkey foreign key (room_id, user_id)
        references members (room_id, user_id) on delete cascade
);

create table blocks (
    blocker_id uuid not null,
    blocked_id uuid not null,
    blocked_number bigint not null,
    created_at timestamptz not null,
    constraint blocks_pkey primary key (blocker_id, blocked_id),
    constraint blocks_others check (blocker_id <> blocked_id)
);

create index blocks_blocked on blocks (blocked_id);

-- When people who are not here last were.
create table last_seen (
    user_id uuid constraint last_seen_pkey primary key,
    at timestamptz not null
);
