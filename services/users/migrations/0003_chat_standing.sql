-- The standing's version that was copied from `chat` into `chat_infractions` and `chat_banned`; a smaller one is old news.
alter table people add column chat_version bigint not null default 0;
