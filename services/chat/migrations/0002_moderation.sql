-- How people stand who told contact details where they may not.
create table standings (
    user_id uuid constraint standings_pkey primary key,
    -- Those that count: since the last ban was lifted, and not taken back.
    infractions integer not null default 0,
    banned_until timestamptz,
    -- Counts the changes, for those who hear of them out of order.
    version bigint not null default 0,
    constraint standings_count_fits check (infractions >= 0)
);

-- Whose ban ends next.
create index standings_banned on standings (banned_until) where banned_until is not null;

create table infractions (
    id uuid constraint infractions_pkey primary key,
    user_id uuid not null,
    -- Absent when another channel noticed it, and when the message's room is gone. One message is one infraction.
    message_id uuid constraint infractions_once_per_message unique
        constraint infractions_message_id_fkey references messages (id) on delete set null,
    -- What makes another channel's repeat one.
    external_id text constraint infractions_once_per_external_id unique,
    reasons text[] not null,
    -- What was said when it was noticed.
    text text not null default '',
    verdict text not null default 'PENDING',
    -- Whether it is in the count of its sender's standing.
    counts boolean not null default true,
    -- Whether it led to a ban that is over, and never counts again.
    served boolean not null default false,
    created_at timestamptz not null,
    reviewed_by uuid,
    reviewed_at timestamptz,
    note text not null default '',
    constraint infractions_served_is_over check (not (counts and served)),
    constraint infractions_verdict_is_known check (verdict in ('PENDING', 'APPROVED', 'REJECTED', 'BLOCKED'))
);

create index infractions_newest on infractions (created_at desc, id desc);
create index infractions_of_user on infractions (user_id, created_at desc, id desc);
