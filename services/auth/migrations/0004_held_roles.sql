alter table accounts
    -- The role of the Agrovet profile that the person has, which the account's role must be; null without one.
    add column held_role text
        constraint accounts_held_role_known check (held_role in ('SPECIALIST', 'BUSINESSMAN', 'CONSUMER')),
    -- The version of what `profiles` said last; a smaller one is old news.
    add column held_version bigint not null default 0,
    -- Null is spelled out: `null = any ('{}')` is not null but false.
    add constraint accounts_held_role_is_had check (held_role is null or held_role = any (roles));
