-- Whether any of a post's comments were removed, before its author moves it elsewhere.
create index comments_removed on comments (post_id) where removed_at is not null;
-- A post's own comments behind those that a token remembers, newest first.
create index comments_new_top on comments (post_id, created_at desc, id desc) where parent_id is null;
