-- Every filter of a list stands in the index that brings its order, as a key where it is asked for by value, else beside
-- the keys: what does not match is passed over, and what matches is counted, without reading a row.
create index ads_newest_of_condition on ads (condition, created_at desc, id desc) include (state, price)
    where state in ('ACTIVE', 'SOLD', 'ORDERED');
create index ads_newest_of_category_and_condition on ads (category_id, condition, created_at desc, id desc)
    include (state, price) where state in ('ACTIVE', 'SOLD', 'ORDERED');

drop index ads_cheapest, ads_cheapest_of_category, ads_newest_hidden;
create index ads_cheapest on ads (price, id) include (state, condition, created_at)
    where state in ('ACTIVE', 'SOLD', 'ORDERED');
create index ads_cheapest_of_category on ads (category_id, price, id) include (state, condition, created_at)
    where state in ('ACTIVE', 'SOLD', 'ORDERED');
create index ads_newest_hidden on ads (created_at desc, id desc) include (state, category_id, condition, price)
    where state in ('PAUSED', 'ARCHIVED');

-- The newest of what a list is narrowed to, in that order: of what everybody sees, and of what is put away what the
-- viewer sees. At most `most` rows are read, whatever the caller looks for in them.
create function newest_ads(
    shown_states text[],
    hidden_states text[],
    viewer bigint,
    staff boolean,
    of_category bigint,
    in_condition text,
    of_publisher bigint,
    from_price bigint,
    to_price bigint,
    from_time timestamptz,
    to_time timestamptz,
    most bigint
) returns setof ads
    language sql stable parallel safe
begin atomic
    select *
    from (
        (select *
         from matching_ads(shown_states, of_category, in_condition, of_publisher, from_price, to_price, from_time,
             to_time, null)
         order by created_at desc, id desc limit most)
        union all
        (select *
         from matching_ads(hidden_states, of_category, in_condition, of_publisher, from_price, to_price, from_time,
             to_time, null)
         where staff or publisher_number = viewer
         order by created_at desc, id desc limit most)
    ) as found
    order by created_at desc, id desc limit most;
end;
