-- Flat lists are counted to 10,000 and their pages are found from the index alone. The list of all comments leaves out
-- those below removed posts, so its index knows the post; with what tells a comment that is gone in a post's own index,
-- that one is never dearer than a filter over all comments, however large the post.
drop index comments_new;
create index comments_new on comments (created_at desc, id desc) include (post_id)
    where deleted_at is null and removed_at is null;
drop index comments_new_on_post;
create index comments_new_on_post on comments (post_id, created_at desc, id desc) include (deleted_at, removed_at);
