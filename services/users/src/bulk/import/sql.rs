//! What an import does, in the order in which it does it.

/// Where everything waits.
pub(super) const STAGE: &str = "
create temporary table import_persons (
    place bigint, number bigint, first_name text, last_name text, bio text, latitude double precision,
    longitude double precision, picture boolean, created_at timestamptz
) on commit drop;
create temporary table import_accounts (number bigint, id uuid, phone text, roles text[], state text) on commit drop;
";

/// Of two rows of one number the later counts. NaN is no latitude either: it sorts above every number. The copy of the
/// account is older than anything that `auth` may say.
pub(super) const PEOPLE: &str = "
with gone as (
    delete from import_persons a using import_persons b where a.number = b.number and a.place < b.place
    returning a.place
)
insert into import_counts select 'people', 'twice in the dump', count(distinct place) from gone;
analyze import_persons;
analyze import_accounts;
lock table people in share row exclusive mode;

create temporary table import_newcomers on commit drop as
    select p.*, a.id, a.phone, a.roles, a.state, length(p.bio) > 5000 as cut,
        coalesce(p.latitude between -90 and 90 and p.longitude between -180 and 180, false) as placed,
        case when a.id is null then 'their account is not imported'
            when h.id = a.id then 'there'
            when h.id is not null then 'conflict'
            else 'imported'
        end as outcome, h.id as here
    from import_persons p
    left join import_accounts a using (number)
    left join people h using (number);

insert into import_conflicts (what)
select format('person %s of the dump: here %s is the person %s', number, number, here)
from import_newcomers where outcome = 'conflict' order by number limit 1000;

insert into people (id, number, first_name, last_name, bio, latitude, longitude, phone, roles, state, account_version,
    created_at, updated_at)
select id, number, first_name, last_name, left(bio, 5000), case when placed then latitude end,
    case when placed then longitude end, phone, roles, state, 0, created_at, created_at
from import_newcomers where outcome = 'imported' order by number;

insert into import_counts select 'people', outcome, count(*) from import_newcomers group by outcome;
insert into import_notes
    select 'people are nowhere on the map, as their coordinates are no place', count(*)
    from import_newcomers where outcome = 'imported' and not placed and (latitude is not null or longitude is not null)
    union all
    select 'people have no picture, as theirs lies in the old storage', count(*)
    from import_newcomers where outcome = 'imported' and picture
    union all
    select 'people said more of themselves than the 5000 characters that are kept', count(*)
    from import_newcomers where outcome = 'imported' and cut;
";
