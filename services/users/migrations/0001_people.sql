create extension if not exists pg_trgm;
create extension if not exists unaccent;

-- Lower case without accents: `Ñandú` and `nandu` are the same word. `unaccent` calls itself stable because its
-- dictionary could be edited; nobody does here, and an index needs an immutable function.
create function plain(words text) returns text
    language sql immutable strict parallel safe
    return lower(unaccent('unaccent', words));

-- What lists and searches look at. One line per field, so that words match inside a field and not across two. Roles
-- stand last, behind the only tab that counts: lists look there and searches do not, see src/search.rs.
create function searched(first_name text, last_name text, phone text, email text, roles text[]) returns text
    language sql immutable parallel safe
    return plain(
        first_name || ' ' || last_name || E'\n' || coalesce(phone, '') || E'\n' || coalesce(email, '') || E'\t'
        || array_to_string(roles, ' ')
    );

create table people (
    id uuid constraint people_pkey primary key,
    number bigint not null constraint people_number_key unique,
    first_name text not null default '',
    last_name text not null default '',
    bio text,
    -- Doubles give back what was written to 15 digits; both dialects use at most 10.
    latitude double precision,
    longitude double precision,
    address text,
    contact_phone text,
    avatar_media_id uuid,
    avatar_path text,
    -- The account's copy. Phone and email are not unique here: `auth` decides, and while two accounts swap an email
    -- the copies may pass through a state in which both have it.
    phone text,
    email text,
    roles text[] not null default '{}',
    state text not null,
    -- The account's version that was copied; a smaller one is old news.
    account_version bigint not null,
    chat_infractions integer not null default 0,
    chat_banned boolean not null default false,
    verified boolean not null default false,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    search text not null generated always as (searched(first_name, last_name, phone, email, roles)) stored,
    constraint people_place_is_whole check ((latitude is null) = (longitude is null)),
    -- Also keeps out NaN, which sorts above every number.
    constraint people_place_is_on_earth check (latitude between -90 and 90 and longitude between -180 and 180),
    constraint people_avatar_is_whole check ((avatar_media_id is null) = (avatar_path is null)),
    constraint people_state_is_known check (state in ('ACTIVE', 'BANNED', 'DELETED'))
);

-- The order "newest first"; "by number" has its index from the constraint.
create index people_newest on people (created_at desc, id);
-- Substrings of three characters and more, in lists and searches.
create index people_search on people using gin (search gin_trgm_ops);
-- Whose picture was it, when a file is deleted.
create index people_avatar on people (avatar_media_id) where avatar_media_id is not null;

-- Former pictures that `media` has yet to be told to delete. Written with the change that made them former, so none is
-- forgotten; a worker takes what is due and comes back to what failed.
create table discarded_media (
    media_id uuid constraint discarded_media_pkey primary key,
    attempts integer not null default 0,
    due_at timestamptz not null
);

create index discarded_media_due on discarded_media (due_at);
