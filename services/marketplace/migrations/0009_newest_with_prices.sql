-- A price stands beside the keys of the newest too: how many there are since a time within some prices is otherwise
-- counted by rows, or by the index of prices with everything older, whichever statistics make look cheaper.
drop index ads_newest, ads_newest_of_category;
create index ads_newest on ads (created_at desc, id desc) include (price) where state in ('ACTIVE', 'SOLD', 'ORDERED');
create index ads_newest_of_category on ads (category_id, created_at desc, id desc) include (price)
    where state in ('ACTIVE', 'SOLD', 'ORDERED');
