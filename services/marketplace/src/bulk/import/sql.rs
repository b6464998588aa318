//! What an import does, in the order in which it does it. Conditions on `outcome` read: null is still to be decided.

/// Where everything waits.
pub(super) const STAGE: &str = "
create temporary table import_categories (place bigint, id bigint, title text, description text) on commit drop;
create temporary table import_ads (
    place bigint, id bigint, name text collate \"C\", title text, description text, price bigint, category bigint,
    condition text, location_name text, latitude double precision, longitude double precision, main_image bigint,
    state text, created_at timestamptz, updated_at timestamptz
) on commit drop;
create temporary table import_pictures (place bigint, position bigint, number bigint) on commit drop;
create temporary table import_follows (
    place bigint, id bigint, follower text collate \"C\", following text collate \"C\", created_at timestamptz
) on commit drop;
";

/// Of two rows of one id the later counts.
pub(super) const GATHER: &str = "
with gone as (
    delete from import_categories a using import_categories b where a.id = b.id and a.place < b.place returning a.place
)
insert into import_counts select 'categories', 'twice in the dump', count(distinct place) from gone;
with gone as (
    delete from import_ads a using import_ads b where a.id = b.id and a.place < b.place returning a.place
)
insert into import_counts select 'ads', 'twice in the dump', count(distinct place) from gone;
delete from import_pictures p where not exists (select from import_ads a where a.place = p.place);
with gone as (
    delete from import_follows a using import_follows b where a.id = b.id and a.place < b.place returning a.place
)
insert into import_counts select 'follows', 'twice in the dump', count(distinct place) from gone;

insert into import_people (name)
    select name from (
        select name from import_ads union select follower from import_follows union select following from import_follows
    ) names where name is not null;
insert into import_files (number)
    select number from (select main_image as number from import_ads union select number from import_pictures) files
    where number is not null;
analyze import_ads;
analyze import_pictures;
analyze import_follows;
";

/// What becomes of categories and ads. A category is known by its name. One whose id is another's here gets one behind all
/// that are taken, and so does the one for ads that have none.
pub(super) const CHOICE: &str = "
lock table categories, ads, follows in share row exclusive mode;
analyze import_people;
analyze import_files;

create temporary table import_groups on commit drop as
    select c.id, left(c.title, 120) as title, left(c.description, 5000) as description, h.id as target,
        length(c.title) > 120 or length(c.description) > 5000 as cut,
        case when h.id = c.id then 'there' when h.id is not null then 'merged into one of this name' end as outcome
    from import_categories c left join categories h on h.name = left(c.title, 120);

update import_groups g set target = o.first, outcome = 'merged into one of this name'
from (select id, min(id) over (partition by title) as first from import_groups where outcome is null) o
where o.id = g.id and o.first <> g.id;

create temporary table import_free on commit drop as
    select greatest((select max(id) from categories), (select max(id) from import_categories), s.last_value) as id
    from categories_id_seq s;
update import_groups g set target = n.id
from (
    select g.id as old, f.id + row_number() over (order by g.id) as id
    from import_groups g join categories h on h.id = g.id cross join import_free f where g.outcome is null
) n where n.old = g.id;
update import_groups set target = coalesce(target, id), outcome = 'imported' where outcome is null;
-- Those that were merged into one with another id.
update import_groups g set target = o.target
from import_groups o where g.outcome = 'merged into one of this name' and o.id = g.target and o.outcome = 'imported'
    and o.title = g.title;

create temporary table import_offers on commit drop as
    select a.*, w.id as publisher_id, w.number as publisher_number, coalesce(g.target, k.id) as category_id,
        m.id as main_image_id,
        coalesce(a.latitude between -90 and 90 and a.longitude between -180 and 180, false) as placed,
        case when w.number is null then 'nobody knows their publisher'
            when h.publisher_number = w.number and h.created_at = a.created_at then 'there'
            when h.id is not null then 'conflict'
            when not w.here then 'their publisher has no account here'
            when a.price is null then 'of a price that is none'
            when a.price not between 0 and 999999999999 then 'of a negative price, or a too high one'
            when a.condition not in ('NEW', 'USED', 'SEMI_NEW') then 'of an unknown condition'
            when a.state not in ('ACTIVE', 'PAUSED', 'SOLD', 'ARCHIVED') then 'of an unknown status'
            else 'imported'
        end as outcome, h.publisher_number as here_publisher, h.created_at as here_at
    from import_ads a
    left join import_people w on w.name = a.name
    left join import_groups g on g.id = a.category
    -- The ids of those that every installation has are the same.
    left join categories k on k.id = a.category and not exists (select from import_groups)
    left join import_files m on m.number = a.main_image and m.content_type like 'image/%'
        and m.owner_id = w.id
    left join ads h on h.id = a.id;
";

/// `Otros` has one that is free, unless it is here or comes along.
pub(super) const CATEGORIES: &str = "
insert into categories (id, name, description) overriding system value
select target, title, description from import_groups where outcome = 'imported' order by target;

insert into categories (id, name) overriding system value
select greatest(f.id, (select max(id) from categories)) + 1, 'Otros' from import_free f
where exists (select from import_offers where outcome = 'imported' and category_id is null)
on conflict on constraint categories_name_key do nothing;

insert into import_counts select 'categories', outcome, count(*) from import_groups group by outcome;
";

/// Each picture once, where it stands first. A number that is somebody else's picture here is none of theirs. Triggers note the words that ads are found by.
pub(super) const ADS: &str = "
insert into import_conflicts (what)
select format('ad %s of the dump: here %s is an ad of user %s of %s', id, id, here_publisher, here_at::date)
from import_offers where outcome = 'conflict' order by id limit 1000;

create temporary table import_shown on commit drop as
    select place, id, row_number() over (partition by place order by position) as turn
    from (
        select p.place, f.id, min(p.position) as position
        from import_pictures p join import_offers o using (place) join import_files f on f.number = p.number
        where f.content_type like 'image/%' and f.owner_id = o.publisher_id
        group by p.place, f.id
    ) each;

insert into ads (id, publisher_id, publisher_number, title, description, price, category_id, condition, location_name,
    latitude, longitude, main_image_id, secondary_image_ids, state, created_at, updated_at)
overriding system value
select o.id, o.publisher_id, o.publisher_number, left(o.title, 200), left(o.description, 20000), o.price,
    coalesce(o.category_id, (select id from categories where name = 'Otros')), o.condition, left(o.location_name, 255),
    case when o.placed then o.latitude end, case when o.placed then o.longitude end, o.main_image_id,
    coalesce(s.ids, '{}'), o.state, o.created_at, o.updated_at
from import_offers o
left join (
    select place, array_agg(id order by turn) as ids from import_shown where turn <= 4 group by place
) s on s.place = o.place
where o.outcome = 'imported' order by o.id;

insert into import_counts select 'ads', outcome, count(*) from import_offers group by outcome;
";

/// One per pair: the first.
pub(super) const FOLLOWS: &str = "
create temporary table import_ties on commit drop as
    select f.id, f.created_at, a.id as follower_id, a.number as follower_number, b.id as following_id,
        b.number as following_number,
        case when a.number is null or b.number is null then 'nobody knows who follows whom'
            when a.number = b.number then 'of oneself'
            when h.id is not null then 'there'
            when not (a.here and b.here) then 'of people who have no account here'
        end as outcome
    from import_follows f
    left join import_people a on a.name = f.follower
    left join import_people b on b.name = f.following
    left join follows h on h.follower_number = a.number and h.following_number = b.number;

update import_ties t set outcome = 'of a pair that has one'
from (
    select id, row_number() over (partition by follower_number, following_number order by created_at, id) as turn
    from import_ties where outcome is null
) o where o.id = t.id and o.turn > 1;
update import_ties set outcome = 'imported' where outcome is null;

insert into follows (follower_id, follower_number, following_id, following_number, created_at)
select follower_id, follower_number, following_id, following_number, created_at
from import_ties where outcome = 'imported' order by id;

insert into import_counts select 'follows', outcome, count(*) from import_ties group by outcome;
";

pub(super) const NOTES: &str = "
insert into import_notes (what, count)
    select 'categories have another id here, as theirs is taken', count(*)
    from import_groups where outcome = 'imported' and target <> id
    union all
    select 'categories said more than the 120 and 5000 characters that are kept', count(*)
    from import_groups where outcome = 'imported' and cut
    union all
    select 'ads had no category, and are in Otros', count(*)
    from import_offers where outcome = 'imported' and category_id is null
    union all
    select 'ads are nowhere on the map, as their coordinates are no place', count(*)
    from import_offers where outcome = 'imported' and not placed and (latitude is not null or longitude is not null)
    union all
    select 'ads said more than the 200, 20000 and 255 characters that are kept', count(*)
    from import_offers where outcome = 'imported'
        and (length(title) > 200 or length(description) > 20000 or length(location_name) > 255)
    union all
    select 'ads are shown without a main picture, as it is missing here or somebody else''s', count(*)
    from import_offers where outcome = 'imported' and main_image is not null and main_image_id is null
    union all
    select 'secondary pictures of ads are missing here or somebody else''s', count(*)
    from import_pictures p join import_offers o using (place)
    where o.outcome = 'imported' and not exists (
        select from import_files f where f.number = p.number and f.content_type like 'image/%'
            and f.owner_id = o.publisher_id
    )
    union all
    select 'secondary pictures are more than an ad has', count(*)
    from import_shown s join import_offers o using (place) where o.outcome = 'imported' and s.turn > 4;
";

/// Nobody is given an id that a dump has. `setval` outlives a rollback, which only leaves ids out. The planner hears of
/// what is new.
pub(super) const SEQUENCES: &str = "
select setval(pg_get_serial_sequence('categories', 'id'), greatest(n.greatest, s.last_value))
from (select greatest((select max(id) from categories), (select max(id) from import_categories)) as greatest) n,
    categories_id_seq s where n.greatest is not null;
select setval(pg_get_serial_sequence('ads', 'id'), greatest(n.greatest, s.last_value))
from (select greatest((select max(id) from ads), (select max(id) from import_ads)) as greatest) n, ads_id_seq s
where n.greatest is not null;
analyze categories;
analyze ads;
analyze words;
analyze follows;
";
