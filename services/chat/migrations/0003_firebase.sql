-- What the bridge to Firebase has to remember (see `src/firebase.rs`). While it is off, nothing is written here.

-- Where a room stands there.
create table firebase_rooms (
    room_id uuid constraint firebase_rooms_pkey primary key
        constraint firebase_rooms_room_id_fkey references rooms (id) on delete cascade,
    -- The chat document that Plaza's own messages go to: the one in which somebody wrote last, and when they did.
    chat_id text,
    wrote_at timestamptz,
    -- The last change that Firestore was told, and of both members, in their order, up to where they have read.
    through_change bigint not null default 0,
    read_first bigint not null default 0,
    read_second bigint not null default 0,
    -- What failed in this room alone, and when it is tried again.
    failures integer not null default 0,
    retry_at timestamptz
);

-- Chat documents. Without a room it is none of two people, or not yet, and is asked again at `ask_at`, a few times.
create table firebase_chats (
    chat_id text constraint firebase_chats_pkey primary key,
    room_id uuid constraint firebase_chats_room_id_fkey references rooms (id) on delete cascade,
    -- Whether everything that was said before we knew it has been read.
    complete boolean not null default false,
    asked integer not null default 0,
    ask_at timestamptz not null default now()
);

-- For rooms that go.
create index firebase_chats_room_id on firebase_chats (room_id);
-- What is still to be asked or read.
create index firebase_chats_open on firebase_chats (ask_at) where not complete;

-- A message's document, by its path. The name is chosen before the document is written, so that whoever tries again
-- after a crash chooses no other.
create table firebase_messages (
    message_id uuid constraint firebase_messages_pkey primary key
        constraint firebase_messages_message_id_fkey references messages (id) on delete cascade,
    name text not null constraint firebase_messages_name_key unique,
    written boolean not null
);

-- Conversations of the Realtime Database whose chat document exists, and up to where (in milliseconds) their messages
-- have been read.
create table firebase_conversations (
    conversation_id text constraint firebase_conversations_pkey primary key,
    bridged boolean not null default false,
    read_through bigint not null default 0
);

-- Up to where each way in has been read.
create table firebase_cursors (
    name text constraint firebase_cursors_pkey primary key,
    at timestamptz not null
);

-- Which version of somebody's standing is known there, and what it says.
create table firebase_standings (
    user_id uuid constraint firebase_standings_pkey primary key,
    version bigint not null,
    banned boolean not null
);
