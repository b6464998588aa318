-- Who came and went lately: replicas look, should the publication of it have been lost.
create index members_joined on members (joined_at);
create index members_left on members (left_at) where left_at is not null;
