-- A community may have a million posts and members, which no single statement lets go in time. So deleting takes its row,
-- and a job what referred to it, in steps; see src/communities/remains.rs. Foreign keys would do all of it at once. What
-- is written meanwhile locks the community first and does not find it, so nothing new refers to it.
alter table posts drop constraint posts_community_id_fkey;
alter table memberships drop constraint memberships_community_id_fkey;
alter table bans drop constraint bans_community_id_fkey;
alter table reported drop constraint reported_community_id_fkey;

-- Communities that are gone, and something may still refer to them.
create table deleted_communities (
    community_id bigint constraint deleted_communities_pkey primary key
);
