-- Events leave through `outbox` in the transaction that made them true and enter through `inbox` in the transaction of
-- their effect. Every service's database has these tables; `kit` alone reads and writes them.

create table outbox (
    -- The order of one key's events. `publish` holds a lock on the key until commit, so it is also their commit order;
    -- across keys it is not, which is why the relay looks for unpublished rows and never pages by this number.
    position bigint generated always as identity primary key,
    id uuid not null constraint outbox_id_key unique,
    topic text not null,
    type text not null,
    key text not null,
    -- The whole envelope, as it goes to the broker.
    body jsonb not null,
    created_at timestamptz not null default now(),
    published_at timestamptz
);

-- The relay's only question: what is still to be published, in order.
create index outbox_unpublished on outbox (position) where published_at is null;
-- Published rows are kept for a while for replays, then removed by age.
create index outbox_published on outbox (published_at) where published_at is not null;

create function outbox_wake() returns trigger language plpgsql as $$
begin
    perform pg_notify('outbox', '');
    return null;
end $$;

create trigger outbox_wake after insert on outbox for each statement execute function outbox_wake();

create table inbox (
    consumer text not null,
    event_id uuid not null,
    handled_at timestamptz not null default now(),
    constraint inbox_once primary key (consumer, event_id)
);

create index inbox_handled_at on inbox (handled_at);

-- Events whose last retry failed, kept aside until somebody replays or drops them.
create table parked_events (
    consumer text not null,
    event_id uuid not null,
    topic text not null,
    type text not null,
    key text not null,
    body jsonb not null,
    error text not null,
    attempts integer not null,
    parked_at timestamptz not null default now(),
    constraint parked_events_once primary key (consumer, event_id)
);
