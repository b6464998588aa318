-- Where the count of somebody's documents stood when their profile was deleted: it goes on with the next one, so that a
-- review of what was there before is not taken for one of what comes after.
alter table welcomed add column submission integer not null default 0;
