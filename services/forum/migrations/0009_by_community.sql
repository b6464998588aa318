-- What was in a deleted community is let go of by id, some at a time. With these a step reads what it lets go of, whatever
-- the community; the former ones brought all of it, to be sorted.
create index posts_of_community on posts (community_id, id);
drop index posts_community;
create index reported_of_community on reported (community_id, id);
drop index reported_community;
