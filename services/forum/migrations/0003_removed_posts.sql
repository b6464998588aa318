-- Of the few posts that moderators removed: a count of comments leaves out what stands below them.
create index posts_removed on posts (id) where removed_at is not null;
