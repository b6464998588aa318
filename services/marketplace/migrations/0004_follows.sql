create table follows (
    id bigint generated always as identity constraint follows_pkey primary key,
    follower_id uuid not null,
    follower_number bigint not null,
    following_id uuid not null,
    following_number bigint not null,
    created_at timestamptz not null,
    constraint follows_once unique (follower_number, following_number),
    constraint follows_not_oneself check (follower_number <> following_number)
);

-- Whom one follows, and who follows one, by id.
create index follows_of_follower on follows (follower_number, id);
create index follows_of_following on follows (following_number, id);
