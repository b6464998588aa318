//! What an import does, in the order in which it does it. Conditions on `outcome` read: null is still to be decided.

/// Where everything waits.
pub(super) const STAGE: &str = "
create temporary table import_communities (
    place bigint, id bigint, title text, slug text, short_description text, description text,
    cover_image text, avatar text, name text collate \"C\", created_at timestamptz
) on commit drop;
create temporary table import_participants (place bigint, community bigint, name text collate \"C\") on commit drop;
create temporary table import_posts (
    place bigint, id bigint, name text collate \"C\", community bigint, title text, content text, media bigint,
    views bigint, relevance double precision, created_at timestamptz, updated_at timestamptz
) on commit drop;
create temporary table import_comments (
    place bigint, id bigint, name text collate \"C\", post bigint, parent bigint, content text, media bigint,
    created_at timestamptz, updated_at timestamptz
) on commit drop;
create temporary table import_reactions (
    place bigint, id bigint, name text collate \"C\", kind text, on_what text, object bigint, created_at timestamptz
) on commit drop;
";

/// Of two rows of one id the later counts.
pub(super) const GATHER: &str = "
with gone as (
    delete from import_communities a using import_communities b where a.id = b.id and a.place < b.place returning a.place
)
insert into import_counts select 'communities', 'twice in the dump', count(distinct place) from gone;
delete from import_participants p where not exists (select from import_communities c where c.place = p.place);
with gone as (
    delete from import_posts a using import_posts b where a.id = b.id and a.place < b.place returning a.place
)
insert into import_counts select 'posts', 'twice in the dump', count(distinct place) from gone;
with gone as (
    delete from import_comments a using import_comments b where a.id = b.id and a.place < b.place returning a.place
)
insert into import_counts select 'comments', 'twice in the dump', count(distinct place) from gone;
with gone as (
    delete from import_reactions a using import_reactions b where a.id = b.id and a.place < b.place returning a.place
)
insert into import_counts select 'reactions', 'twice in the dump', count(distinct place) from gone;

insert into import_people (name)
    select name from (
        select name from import_communities union select name from import_participants union select name from import_posts
        union select name from import_comments union select name from import_reactions
    ) names where name is not null;
insert into import_files (number)
    select number from (
        select media as number from import_posts union select media from import_comments
    ) files where number is not null;
analyze import_posts;
analyze import_comments;
analyze import_reactions;
";

/// Old communities and which they are here.
pub(super) const COMMUNITIES: &str = "
lock table communities, memberships, posts, comments, reactions, interactions in share row exclusive mode;
analyze import_people;
analyze import_files;

create temporary table import_places on commit drop as
    select c.*, h.id as target, case when h.id is not null then 'there' end as outcome
    from import_communities c left join communities h on h.slug = c.slug;

-- Of several that are one here, the oldest becomes it.
update import_places p set target = o.oldest, outcome = 'merged into another'
from (select id, first_value(id) over (partition by slug order by created_at, id) as oldest
      from import_places where outcome is null) o
where o.id = p.id and o.oldest <> p.id;

with taken as (
    update import_places p set outcome = 'conflict', target = null
    from communities h where p.outcome is null and (h.id = p.id or h.name = p.title)
    returning p.id, p.slug, h.id as here, h.slug as here_slug
)
insert into import_conflicts (what)
select distinct on (id) format('community %s (%s) of the dump: its id or name is that of the community %s (%s) here',
    id, slug, here, here_slug) from taken order by id;

with twins as (
    update import_places p set outcome = 'conflict'
    where p.outcome is null and exists (
        select from import_places o where o.outcome is null and o.title = p.title and o.id < p.id
    )
    returning p.id, p.title
)
insert into import_conflicts (what)
select format('community %s of the dump has the name of another: %s', id, title) from twins order by id;

update import_places set target = id, outcome = 'imported' where outcome is null;
update import_places p set target = null, outcome = 'conflict'
where outcome = 'merged into another' and exists (
    select from import_places o where o.id = p.target and o.outcome = 'conflict'
);

insert into communities (id, name, slug, short_description, description, cover_image, avatar, created_by,
    created_by_number, created_at)
overriding system value
select p.id, p.title, p.slug, p.short_description, p.description, p.cover_image, p.avatar, w.id, w.number, p.created_at
from import_places p left join import_people w on w.name = p.name and w.number is not null
where p.outcome = 'imported' order by p.id;

-- Who left a community here does not come back by an import.
insert into memberships (community_id, user_id, user_number, role, joined_at)
select p.target, w.id, w.number, 'MEMBER', min(p.created_at)
from import_places p
join (
    select community as id, name from import_participants
    -- Who made a community is its member, as here.
    union select id, name from import_places where outcome = 'imported'
) m on m.id = p.id
join import_people w on w.name = m.name
where p.target is not null and w.here
    and not exists (select from bans b where b.community_id = p.target and b.user_id = w.id)
group by p.target, w.id, w.number
on conflict do nothing;

-- A community with members has an owner: who made it, or who came first.
update memberships m set role = 'OWNER'
from import_places p cross join lateral (
    select user_id from memberships o join communities c on c.id = o.community_id
    where o.community_id = p.id and o.left_at is null
    order by o.user_id is distinct from c.created_by, o.user_number limit 1
) first
where p.outcome = 'imported' and m.community_id = p.id and m.user_id = first.user_id;

update communities c set created_at = p.created_at
from (select target, min(created_at) as created_at from import_places where target is not null group by target) p
where p.target = c.id and p.created_at < c.created_at;

insert into import_counts select 'communities', outcome, count(*) from import_places group by outcome;
insert into import_notes select 'members of communities have no account here', count(*)
from import_participants m left join import_people w using (name) where w.here is not true;
create unique index on import_places (id);
";

pub(super) const POSTS: &str = "
create temporary table import_written on commit drop as
    select p.*, w.id as author_id, w.number as author_number, c.target, f.id as media_id,
        p.media is not null and f.id is null as file_missing,
        case when w.number is null then 'nobody knows their author'
            when h.author_number = w.number and h.created_at = p.created_at then 'there'
            when h.id is not null then 'conflict'
            when c.outcome = 'conflict' then 'their community is not imported'
            else 'imported'
        end as outcome, h.author_number as here_author, h.created_at as here_at
    from import_posts p
    left join import_people w on w.name = p.name
    left join import_places c on c.id = p.community
    left join import_files f on f.number = p.media and f.owner_id = w.id
    left join posts h on h.id = p.id;
create unique index on import_written (id);
analyze import_written;

insert into import_conflicts (what)
select format('post %s of the dump: here %s is a post of user %s of %s', id, id, here_author, here_at::date)
from import_written where outcome = 'conflict' order by id limit 1000;

insert into posts (id, author_id, author_number, community_id, title, content, media_id, views_count, relevance_score,
    created_at, updated_at, last_activity_at)
overriding system value
select id, author_id, author_number, target, title, content, media_id, views, relevance, created_at, updated_at, created_at
from import_written where outcome = 'imported' order by id;

insert into import_counts select 'posts', outcome, count(*) from import_written group by outcome;
insert into import_notes select 'posts stand in no community, as theirs is not in the dump', count(*)
from import_written where outcome = 'imported' and community is not null and target is null;
";

/// What answers what. `parent` becomes null where nothing can be answered.
pub(super) const PARENTS: &str = "
create temporary table import_answers on commit drop as
    select c.*, w.id as author_id, w.number as author_number, f.id as media_id,
        c.media is not null and f.id is null as file_missing, c.parent as answered, null::integer as depth,
        case when w.number is null then 'nobody knows their author'
            when p.id is null or p.outcome not in ('imported', 'there') then 'their post is not imported'
            when h.author_number = w.number and h.post_id = c.post and h.created_at = c.created_at then 'there'
            when h.id is not null then 'conflict'
            else 'imported'
        end as outcome, h.author_number as here_author, h.post_id as here_post
    from import_comments c
    left join import_people w on w.name = c.name
    left join import_written p on p.id = c.post
    left join import_files f on f.number = c.media and f.owner_id = w.id
    left join comments h on h.id = c.id;
create unique index on import_answers (id);
create index on import_answers (parent);
analyze import_answers;

insert into import_conflicts (what)
select format('comment %s of the dump: here %s is a comment of user %s on post %s', id, id, here_author, here_post)
from import_answers where outcome = 'conflict' order by id limit 1000;

update import_answers a set parent = null
where a.outcome = 'imported' and a.parent is not null and not exists (
    select from import_answers p where p.id = a.parent and p.post = a.post and p.outcome in ('imported', 'there')
);

-- From the top, and from what is there, downwards.
create function pg_temp.import_depths() returns bigint language plpgsql as $$
declare
    level integer := 1;
    reached bigint;
begin
    update import_answers set depth = null where outcome = 'imported';
    update import_answers a set depth = c.depth from comments c where c.id = a.id and a.outcome = 'there';
    update import_answers set depth = 1 where outcome = 'imported' and parent is null;
    update import_answers a set depth = p.depth + 1
    from import_answers p where a.outcome = 'imported' and p.id = a.parent and p.outcome = 'there';
    loop
        update import_answers a set depth = p.depth + 1
        from import_answers p where a.outcome = 'imported' and a.depth is null and p.id = a.parent and p.depth = level;
        get diagnostics reached = row_count;
        exit when reached = 0 and not exists (select from import_answers where depth > level);
        level := level + 1;
    end loop;
    return (select count(*) from import_answers where outcome = 'imported' and depth is null);
end $$;

-- What is not reached answers itself in the end: of each such circle the oldest is freed.
do $$
begin
    if pg_temp.import_depths() > 0 then
        with recursive above (id, at) as (
            select id, parent from import_answers where outcome = 'imported' and depth is null
            union
            select above.id, a.parent from above join import_answers a on a.id = above.at where above.at <> above.id
        ),
        circles as (
            select id, (select min(o.at) from above o where o.id = above.id) as first from above where at = id
        )
        update import_answers a set parent = null from circles c where c.id = a.id and c.first = a.id;
        perform pg_temp.import_depths();
    end if;
end $$;
drop function pg_temp.import_depths;
";

pub(super) const COMMENTS: &str = "
insert into comments (id, post_id, parent_id, depth, author_id, author_number, content, media_id, created_at, updated_at)
overriding system value
select id, post, parent, depth, author_id, author_number, content, media_id, created_at, updated_at
from import_answers where outcome = 'imported' order by id;

insert into import_counts select 'comments', outcome, count(*) from import_answers group by outcome;
insert into import_notes select 'comments answered nothing that is imported, or themselves, and stand at the top', count(*)
from import_answers where outcome = 'imported' and answered is distinct from parent;
insert into import_notes select 'posts and comments are shown without a file that is missing', count(*)
from (select file_missing, outcome from import_written union all select file_missing, outcome from import_answers) each
where outcome = 'imported' and file_missing;
";

/// One per person and thing: the latest.
pub(super) const REACTIONS: &str = "
create temporary table import_felt on commit drop as
    select r.id, w.id as user_id, w.number as user_number, upper(r.kind) as type, r.created_at,
        p.id as post_id, a.id as comment_id,
        case when w.number is null then 'nobody knows whose they are'
            when upper(r.kind) not in ('HEART', 'LIKE', 'DISLIKE') then 'of an unknown type'
            when r.on_what not in ('post', 'comment') then 'on an unknown content type'
            when p.id is null and a.id is null then 'what they are on is not imported'
            when h.user_number = w.number and h.post_id is not distinct from p.id
                and h.comment_id is not distinct from a.id then 'there'
        end as outcome, h.id as here, h.user_number as here_user
    from import_reactions r
    left join import_people w on w.name = r.name
    left join import_written p on r.on_what = 'post' and p.id = r.object and p.outcome in ('imported', 'there')
    left join import_answers a on r.on_what = 'comment' and a.id = r.object and a.outcome in ('imported', 'there')
    left join reactions h on h.id = r.id;

update import_felt f set outcome = 'followed by a later one of the same person'
from (
    select id, row_number() over (partition by user_number, post_id, comment_id order by created_at desc, id desc) as place
    from import_felt where outcome is null or outcome = 'there'
) o where o.id = f.id and o.place > 1 and f.outcome is null;

-- Whoever reacted here meanwhile has had the last word.
update import_felt f set outcome = 'there'
where f.outcome is null and f.post_id is not null
    and exists (select from reactions h where h.user_id = f.user_id and h.post_id = f.post_id);
update import_felt f set outcome = 'there'
where f.outcome is null and f.comment_id is not null
    and exists (select from reactions h where h.user_id = f.user_id and h.comment_id = f.comment_id);

with taken as (
    update import_felt set outcome = 'conflict' where outcome is null and here is not null returning id, here_user
)
insert into import_conflicts (what)
select format('reaction %s of the dump: here %s is a reaction of user %s to something else', id, id, here_user)
from taken order by id limit 1000;
update import_felt set outcome = 'imported' where outcome is null;

insert into reactions (id, user_id, user_number, post_id, comment_id, type, created_at) overriding system value
select id, user_id, user_number, post_id, comment_id, type, created_at
from import_felt where outcome = 'imported' order by id;

insert into import_counts select 'reactions', outcome, count(*) from import_felt group by outcome;
analyze import_felt;
";

/// Counters of everything that something new counts into; all else stays as it is. Grouped and joined: row by row it would
/// take as long as all the rest.
pub(super) const RECOUNT: &str = "
analyze posts;
analyze comments;
analyze reactions;

create temporary table import_counted on commit drop as
    select id from (
        select id from import_written where outcome = 'imported'
        union select post from import_answers where outcome = 'imported'
        union select post_id from import_felt where outcome = 'imported'
    ) each where id is not null;
analyze import_counted;

create temporary table import_post_counts on commit drop as
    select i.id, coalesce(c.count, 0) as comments, c.latest, coalesce(r.hearts, 0) as hearts,
        coalesce(r.likes, 0) as likes, coalesce(r.dislikes, 0) as dislikes
    from import_counted i
    left join (
        select post_id, count(*) filter (where deleted_at is null and removed_at is null) as count,
            max(created_at) as latest
        from comments where post_id in (select id from import_counted) group by post_id
    ) c on c.post_id = i.id
    left join (
        select post_id, count(*) filter (where type = 'HEART') as hearts, count(*) filter (where type = 'LIKE') as likes,
            count(*) filter (where type = 'DISLIKE') as dislikes
        from reactions where post_id in (select id from import_counted) group by post_id
    ) r on r.post_id = i.id;
analyze import_post_counts;

update posts p set comments_count = n.comments, hearts = n.hearts, likes = n.likes, dislikes = n.dislikes,
    last_activity_at = greatest(p.last_activity_at, n.latest)
from import_post_counts n
where p.id = n.id
    and (p.comments_count, p.hearts, p.likes, p.dislikes) is distinct from (n.comments, n.hearts, n.likes, n.dislikes);

create temporary table import_counted_comments on commit drop as
    select parent as id from import_answers where outcome = 'imported' and parent is not null
    union select comment_id from import_felt where outcome = 'imported' and comment_id is not null;
analyze import_counted_comments;

create temporary table import_comment_counts on commit drop as
    select i.id, coalesce(a.count, 0) as replies, coalesce(r.hearts, 0) as hearts, coalesce(r.likes, 0) as likes,
        coalesce(r.dislikes, 0) as dislikes
    from import_counted_comments i
    left join (
        select parent_id, count(*) filter (where deleted_at is null and removed_at is null) as count
        from comments where parent_id in (select id from import_counted_comments) group by parent_id
    ) a on a.parent_id = i.id
    left join (
        select comment_id, count(*) filter (where type = 'HEART') as hearts,
            count(*) filter (where type = 'LIKE') as likes, count(*) filter (where type = 'DISLIKE') as dislikes
        from reactions where comment_id in (select id from import_counted_comments) group by comment_id
    ) r on r.comment_id = i.id;
analyze import_comment_counts;

update comments c set replies_count = n.replies, hearts = n.hearts, likes = n.likes, dislikes = n.dislikes
from import_comment_counts n where c.id = n.id;

insert into interactions as i (user_id, author_id, comments, reactions)
select user_id, author_id, sum(comments), sum(reactions) from (
    select a.author_id as user_id, p.author_id, 1 as comments, 0 as reactions
    from import_answers a join posts p on p.id = a.post where a.outcome = 'imported'
    union all
    select f.user_id, p.author_id, 0, 1
    from import_felt f join posts p on p.id = f.post_id where f.outcome = 'imported'
) each
group by user_id, author_id
on conflict (user_id, author_id) do update
    set comments = i.comments + excluded.comments, reactions = i.reactions + excluded.reactions;

update communities c set
    posts_count = (select count(*) from posts p where p.community_id = c.id and p.removed_at is null),
    members_count = (select count(*) from memberships m where m.community_id = c.id and m.left_at is null)
where c.id in (select target from import_places union select target from import_written where outcome = 'imported');
";

pub(super) const NOTES: &str = "
insert into import_notes (what, count)
    select 'people in the forum have no account here', count(*) from import_people where number is not null and not here";

/// Nobody is given an id that a dump has. `setval` outlives a rollback, which only leaves ids out. The planner hears of
/// what is new.
pub(super) const SEQUENCES: &str = "
select setval(pg_get_serial_sequence('communities', 'id'), greatest(n.greatest, s.last_value))
from (select greatest((select max(id) from communities), (select max(id) from import_communities)) as greatest) n,
    communities_id_seq s where n.greatest is not null;
select setval(pg_get_serial_sequence('posts', 'id'), greatest(n.greatest, s.last_value))
from (select greatest((select max(id) from posts), (select max(id) from import_posts)) as greatest) n, posts_id_seq s
where n.greatest is not null;
select setval(pg_get_serial_sequence('comments', 'id'), greatest(n.greatest, s.last_value))
from (select greatest((select max(id) from comments), (select max(id) from import_comments)) as greatest) n,
    comments_id_seq s where n.greatest is not null;
select setval(pg_get_serial_sequence('reactions', 'id'), greatest(n.greatest, s.last_value))
from (select greatest((select max(id) from reactions), (select max(id) from import_reactions)) as greatest) n,
    reactions_id_seq s where n.greatest is not null;
analyze communities;
analyze memberships;
analyze posts;
analyze comments;
analyze reactions;
analyze interactions;
";
