-- The list of all comments is counted to 10,000 leaving out those below removed posts: from the index alone, when it
-- knows the post.
drop index comments_new;
create index comments_new on comments (created_at desc, id desc) include (post_id)
    where deleted_at is null and removed_at is null;
