create extension if not exists cube;

-- A place as a point on the unit sphere. Distances between such points grow with those on the ground, know neither
-- poles nor a date line, and the index of `cube` finds the nearest.
create function on_sphere(latitude double precision, longitude double precision) returns cube
    language sql immutable strict parallel safe
    return cube(array[
        cos(radians(latitude)) * cos(radians(longitude)),
        cos(radians(latitude)) * sin(radians(longitude)),
        sin(radians(latitude))
    ]);

create table ads (
    id bigint generated always as identity constraint ads_pkey primary key,
    publisher_id uuid not null,
    publisher_number bigint not null,
    title text not null,
    description text not null,
    -- Hundredths; nobody has ever stored a currency.
    price bigint not null constraint ads_price_has_12_digits check (price between 0 and 999999999999),
    -- A category that is used cannot be deleted.
    category_id bigint not null constraint ads_category_id_fkey references categories,
    condition text not null,
    location_name text,
    latitude double precision,
    longitude double precision,
    main_image_id uuid,
    secondary_image_ids uuid[] not null default '{}',
    state text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    place cube generated always as (on_sphere(latitude, longitude)) stored,
    constraint ads_condition_is_known check (condition in ('NEW', 'USED', 'SEMI_NEW')),
    constraint ads_place_is_whole check ((latitude is null) = (longitude is null)),
    -- Also keeps out NaN, which sorts above every number.
    constraint ads_place_is_on_earth check (latitude between -90 and 90 and longitude between -180 and 180),
    constraint ads_four_more_images check (cardinality(secondary_image_ids) <= 4),
    -- ORDERED is sold by an order, SOLD is sold by other means; nobody outside is told the difference.
    constraint ads_state_is_known check (state in ('ACTIVE', 'PAUSED', 'SOLD', 'ORDERED', 'ARCHIVED'))
);

-- Lists, by the orders they come in. Each is for the states that are read together, so that what is put away costs
-- nothing where it is not shown, and what is sold nothing among what is for sale.
create index ads_newest on ads (created_at desc, id desc) where state in ('ACTIVE', 'SOLD', 'ORDERED');
create index ads_newest_for_sale on ads (created_at desc, id desc) where state = 'ACTIVE';
create index ads_newest_sold on ads (created_at desc, id desc) where state in ('SOLD', 'ORDERED');
create index ads_newest_hidden on ads (created_at desc, id desc) where state in ('PAUSED', 'ARCHIVED');
create index ads_cheapest on ads (price, id) where state in ('ACTIVE', 'SOLD', 'ORDERED');
create index ads_newest_of_category on ads (category_id, created_at desc, id desc)
    where state in ('ACTIVE', 'SOLD', 'ORDERED');
create index ads_newest_of_category_and_state on ads (category_id, state, created_at desc, id desc);
create index ads_cheapest_of_category on ads (category_id, price, id) where state in ('ACTIVE', 'SOLD', 'ORDERED');
-- One's own ads, and somebody's.
create index ads_of_publisher on ads (publisher_number, created_at desc, id desc);
-- What those whom one follows have for sale.
create index ads_for_followers on ads (publisher_number, created_at desc, id desc) where state = 'ACTIVE';
-- What is for sale nearby.
create index ads_nearby on ads using gist (place) where state = 'ACTIVE' and place is not null;
-- Who shows a file that is gone.
create index ads_main_image on ads (main_image_id) where main_image_id is not null;
create index ads_secondary_images on ads using gin (secondary_image_ids) where secondary_image_ids <> '{}';
