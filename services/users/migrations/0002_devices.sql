-- Where push notifications go.
create table devices (
    -- SHA-256 of the token: a token may be longer than an index entry.
    hash bytea constraint devices_pkey primary key,
    person_id uuid not null constraint devices_person_id_fkey references people on delete cascade,
    token text not null,
    platform text not null,
    registered_at timestamptz not null,
    constraint devices_platform_is_known check (platform in ('WEB', 'ANDROID', 'IOS'))
);

-- A person's newest.
create index devices_person on devices (person_id, registered_at desc, hash);
