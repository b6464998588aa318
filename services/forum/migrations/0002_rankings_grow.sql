-- A ranking begins short and becomes longer when somebody pages on. What follows behind its last place: more of the
-- order, or the newest that it does not hold, or nothing.
alter table rankings add followed_by text not null default 'NEWEST'
    constraint rankings_followed_by_is_known check (followed_by in ('MORE', 'NEWEST', 'NOTHING'));
