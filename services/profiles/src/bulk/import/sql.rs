//! What an import does, in the order in which it does it. Conditions on `outcome` read: null is still to be decided.

/// Where everything waits.
pub(super) const STAGE: &str = "
create temporary table import_profiles (
    place bigint, name text collate \"C\", kind text, speciality text, experience_years integer, about_us text,
    can_give_consultations boolean, can_offer_online_services boolean, title bigint, student_card bigint,
    graduation_letter bigint, business_name text, descriptions text, contact text, offers_local_products boolean
) on commit drop;
create temporary table import_pictures (place bigint, position bigint, number bigint) on commit drop;
create temporary table import_attached (name text collate \"C\", kind text, number bigint) on commit drop;
create temporary table import_roles (place bigint, number bigint, role text) on commit drop;
";

/// Of two rows of one kind and person the later counts.
pub(super) const GATHER: &str = "
with gone as (
    delete from import_profiles a using import_profiles b where a.kind = b.kind and a.name = b.name and a.place < b.place
    returning a.place
)
insert into import_counts select 'profiles', 'twice in the dump', count(distinct place) from gone;
delete from import_pictures p where not exists (select from import_profiles r where r.place = p.place);
-- Newest first, as they were shown.
insert into import_pictures (place, position, number)
    select r.place, 1000000 + row_number() over (partition by r.place order by a.number desc), a.number
    from import_attached a join import_profiles r using (name, kind);
delete from import_roles a using import_roles b where a.number = b.number and a.place < b.place;

insert into import_people (name) select distinct name from import_profiles;
insert into import_files (number) select distinct number from import_pictures;
insert into import_files (number, private)
    select number, true from (
        select title as number from import_profiles union select student_card from import_profiles
        union select graduation_letter from import_profiles
    ) documents where number is not null;
analyze import_profiles;
analyze import_pictures;
analyze import_roles;
";

/// Which profile of a person it is, and what can be shown in it. A number that is somebody else's file here is none of theirs. In the order
/// in which the service locks when it makes a profile.
pub(super) const CHOICE: &str = "
lock table welcomed, profiles, holds in share row exclusive mode;
analyze import_people;
analyze import_files;

create temporary table import_made on commit drop as
    select p.*, w.id as user_id, w.number as user_number, w.first_name, t.id as title_id, s.id as student_card_id,
        g.id as graduation_letter_id,
        case when w.number is null then 'nobody knows whose they are'
            when not w.here then 'whose person has no account here'
            when h.id is not null then 'there'
            when v.user_id is not null then 'removed here'
        end as outcome
    from import_profiles p
    left join import_people w on w.name = p.name
    left join profiles h on h.user_id = w.id
    left join welcomed v on v.user_id = w.id
    left join import_files t on t.private and t.number = p.title and t.owner_id = w.id
    left join import_files s on s.private and s.number = p.student_card and s.owner_id = w.id
    left join import_files g on g.private and g.number = p.graduation_letter and g.owner_id = w.id;

update import_made m set outcome = 'of a person with another'
from (
    select m.place, row_number() over (
        partition by m.user_id
        order by coalesce(m.kind = r.role, false) desc,
            array_position(array['SPECIALIST', 'BUSINESSMAN', 'CONSUMER'], m.kind), m.place desc
    ) as turn
    from import_made m left join import_roles r on r.number = m.user_number
    where m.outcome is null or m.outcome = 'there'
) o where o.place = m.place and o.turn > 1;

update import_made set outcome = 'imported' where outcome is null;
insert into import_counts select 'profiles', outcome, count(*) from import_made group by outcome;

-- Each once, where it stands first.
create temporary table import_shown on commit drop as
    select place, id, row_number() over (partition by place order by position) as turn
    from (
        select p.place, f.id, min(p.position) as position
        from import_pictures p join import_made m using (place) join import_files f on f.number = p.number
        where not f.private and f.content_type like 'image/%' and f.owner_id = m.user_id
        group by p.place, f.id
    ) each;
";

pub(super) const PROFILES: &str = "
insert into profiles (user_id, user_number, kind, name, speciality, gallery, experience_years, about_us,
    can_give_consultations, can_offer_online_services, title_id, student_card_id, graduation_letter_id, verification,
    submission, submitted_at, business_name, descriptions, contact, offers_local_products, created_at, updated_at)
select m.user_id, m.user_number, m.kind, m.first_name,
    case when m.kind = 'SPECIALIST' and m.speciality in ('VETERINARIAN', 'AGRONOMIST', 'ZOOTECHNICIAN') then m.speciality
        when m.kind = 'BUSINESSMAN' and m.speciality = 'FARMING_COMPANY' then m.speciality
        when m.kind = 'BUSINESSMAN' then 'VETERINARY_SHOP'
    end,
    coalesce(g.ids, '{}'), m.experience_years, left(m.about_us, 5000), m.can_give_consultations,
    m.can_offer_online_services, m.title_id, m.student_card_id, m.graduation_letter_id,
    case when d.documents > 0 then 1 end, case when d.documents > 0 then 1 else 0 end,
    case when d.documents > 0 then now() end, left(m.business_name, 255), left(m.descriptions, 5000),
    left(m.contact, 255), m.offers_local_products, now(), now()
from import_made m
cross join lateral (select num_nonnulls(m.title_id, m.student_card_id, m.graduation_letter_id) as documents) d
left join (
    select s.place, array_agg(s.id order by s.turn) as ids
    from import_shown s join import_made p using (place)
    where s.turn <= case p.kind when 'SPECIALIST' then 50 else 200 end
    group by s.place
) g on g.place = m.place
where m.outcome = 'imported' order by m.user_number;

insert into welcomed (user_id) select user_id from import_made where outcome = 'imported';

-- The service tells `auth`, as of every profile that is made.
insert into holds (user_id, version, due_at)
select user_id, nextval('hold_versions'), now() from import_made where outcome = 'imported';
";

pub(super) const NOTES: &str = "
insert into import_notes (what, count)
    select 'specialists wrote a profession that is none here, and have chosen none', count(*)
    from import_made where outcome = 'imported' and kind = 'SPECIALIST'
        and speciality not in ('', 'VETERINARIAN', 'AGRONOMIST', 'ZOOTECHNICIAN')
    union all
    select 'businesses are of a type that is none here, and are shops', count(*)
    from import_made where outcome = 'imported' and kind = 'BUSINESSMAN'
        and speciality not in ('', 'VETERINARY_SHOP', 'FARMING_COMPANY')
    union all
    select 'profiles said more than the 5000 characters that are kept', count(*)
    from import_made where outcome = 'imported' and greatest(length(about_us), length(descriptions)) > 5000
    union all
    select 'files of galleries are missing here or somebody else''s, or are no pictures that everybody sees', count(*)
    from import_pictures p join import_made m using (place)
    where m.outcome = 'imported' and not exists (
        select from import_files f
        where f.number = p.number and not f.private and f.content_type like 'image/%'
            and f.owner_id = m.user_id
    )
    union all
    select 'pictures are more than a gallery has', count(*)
    from import_shown s join import_made m using (place)
    where m.outcome = 'imported' and s.turn > case m.kind when 'SPECIALIST' then 50 else 200 end
    union all
    select 'documents are missing here, or are not private ones of their person',
        coalesce(sum(num_nonnulls(title, student_card, graduation_letter)
            - num_nonnulls(title_id, student_card_id, graduation_letter_id)), 0)
    from import_made where outcome = 'imported';
";
