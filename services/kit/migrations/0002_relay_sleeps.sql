-- Whoever notifies excludes, from shortly before its commit until that is on the disk, everybody else who does: commits
-- with a notification are as slow as one disk write after the other. So a relay that has something to do looks by
-- itself, and only one that says it sleeps is woken.
create table outbox_relay (
    -- There is one row.
    id boolean constraint outbox_relay_pkey primary key default true constraint outbox_relay_is_one check (id),
    asleep boolean not null
);

insert into outbox_relay (asleep) values (false);

create or replace function outbox_wake() returns trigger language plpgsql as $$
begin
    if (select asleep from outbox_relay) then
        perform pg_notify('outbox', '');
    end if;
    return null;
end $$;
