-- What somebody has put away stands in their own lists among what everybody sees. It is looked for at every look at a
-- list, by a plan that knows neither who looks nor how much is put away in a category.
create index ads_put_away on ads (publisher_number, created_at desc, id desc) include (category_id)
    where state in ('PAUSED', 'ARCHIVED');
