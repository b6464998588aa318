-- Somebody may have more ads and followers, and a picture be in more ads, than one transaction can let go of: each
-- event is a lock until the commit, and the server has only so many for everybody. So `user.deleted` and `media.deleted`
-- are noted, and a job takes what is left in steps; see src/remains.rs. Whoever takes several locks takes them in this
-- order, so that no two wait for each other:
--
--   gone, gone_files → ads → people (src/gone.rs) → orders → follows → words → the outbox
--
-- Two rows of one table are taken by id. Who notes that somebody is gone takes that person's lock
-- and then the row in gone, against the order: only who hears of it twice finds a row there.

-- Who is gone. The notes stay for ever: who writes something by or about somebody looks here first.
create table gone (
    user_id uuid constraint gone_pkey primary key,
    user_number bigint not null,
    at timestamptz not null,
    -- Null while something of theirs may be left.
    cleared_at timestamptz
);

-- Who has left something, longest ago first.
create index gone_uncleared on gone (at) where cleared_at is null;

-- Files that are gone, and ads may still show them.
create table gone_files (
    media_id uuid constraint gone_files_pkey primary key
);

-- What is called off when somebody is gone, and what a buyer has said, step after step.
create index orders_open_of_buyer on orders (buyer_number, ad_id) where state in ('AWAITING_PAYMENT', 'PLACED');
create index orders_open_of_seller on orders (seller_number, ad_id) where state in ('AWAITING_PAYMENT', 'PLACED');
create index orders_noted on orders (buyer_number, id) where note <> '';

-- Words of one size that begin alike, in their order: a search reads only those next to what was typed.
drop index words_size;
create index words_size on words (left(word, 1), length(word), word);

-- As before, but under a lock that who forgets words takes alone (src/words.rs): a word that is found here, and
-- therefore not noted, must not be one that is about to go.
create or replace function note_words() returns trigger
    language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(hashtext('words'));
    -- In order, so that two that note the same words wait for each other and never both.
    insert into words (word)
    select distinct noted.word
    from fresh cross join lateral unnest(tsvector_to_array(
        to_tsvector('spanish_words', spoken(fresh.title || ' ' || fresh.description))
    )) as noted (word)
    where noted.word ~ '^[a-z0-9]{3,40}$'
    order by noted.word
    on conflict do nothing;
    return null;
end
$$;
