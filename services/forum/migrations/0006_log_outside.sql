-- What staff did outside of communities, newest first. The index that begins with the community would serve it too, but
-- PostgreSQL sees in `is null` no equality that it could keep an order behind.
create index moderation_log_outside on moderation_log (created_at desc, id desc) where community_id is null;
