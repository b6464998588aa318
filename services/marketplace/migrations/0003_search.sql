create extension if not exists pg_trgm;
create extension if not exists unaccent;
create extension if not exists fuzzystrmatch;

-- Lower case without accents: `Ñandú` and `nandu` are the same word. `unaccent` calls itself stable because its
-- dictionary could be edited; nobody does here, and an index needs an immutable function.
create function plain(words text) returns text
    language sql immutable strict parallel safe
    return lower(unaccent('unaccent', words));

-- Words as they are written, without those that every text has (`de`, `para`).
create text search dictionary spanish_words (template = pg_catalog.simple, stopwords = spanish);
create text search configuration spanish_words (copy = pg_catalog.simple);
alter text search configuration spanish_words
    alter mapping for asciiword, word, asciihword, hword, hword_asciipart, hword_part with spanish_words;

-- What an ad is found by: each word by its stem, so that `vaca` finds `vacas`, and as it is written, so that it is
-- found by its beginning. The title counts more.
create function searched(title text, description text) returns tsvector
    language sql immutable parallel safe
    return setweight(to_tsvector('spanish', plain(title)) || to_tsvector('spanish_words', plain(title)), 'A')
        || setweight(to_tsvector('spanish', plain(description)) || to_tsvector('spanish_words', plain(description)), 'D');

alter table ads add search tsvector not null generated always as (searched(title, description)) stored;
create index ads_search on ads using gin (search);

-- What is meant by a typed term, which is `plain` already: words that begin with it, and other forms of it. More than
-- one word is a phrase. Null when there is no word in it.
create function meant(term text) returns tsquery
    language sql immutable strict parallel safe
    return case
        when to_tsvector('simple', term) = '' then null
        -- Asked before, because PostgreSQL remarks on every text without a stem.
        when to_tsvector('spanish', term) = '' then to_tsquery('simple', '''' || translate(term, '''\', '  ') || ''':*')
        -- A word that is its own stem is asked for once, or it would not be ranked.
        when phraseto_tsquery('spanish', term) = phraseto_tsquery('simple', term) then
            to_tsquery('simple', '''' || translate(term, '''\', '  ') || ''':*')
        else to_tsquery('simple', '''' || translate(term, '''\', '  ') || ''':*') || phraseto_tsquery('spanish', term)
    end;

-- Every word of any ad, by which a word that is misspelled finds those that are meant. Words are never taken away: one
-- that no ad has any more finds nothing.
create table words (
    word text collate "C" constraint words_pkey primary key
);

-- Words that contain some letters, or many of the same.
create index words_letters on words using gin (word gin_trgm_ops);
-- Words that begin alike and are about as long: short ones have too few letters to share.
create index words_size on words (left(word, 1), length(word));

create function note_words() returns trigger
    language plpgsql as $$
begin
    -- In order, so that two that note the same words wait for each other and never both.
    insert into words (word)
    select distinct noted.word
    from fresh cross join lateral unnest(tsvector_to_array(
        to_tsvector('spanish_words', plain(fresh.title || ' ' || fresh.description))
    )) as noted (word)
    where noted.word ~ '^[a-z0-9]{3,40}$'
    order by noted.word
    on conflict do nothing;
    return null;
end
$$;

create trigger ads_inserted after insert on ads
    referencing new table as fresh for each statement execute function note_words();
create trigger ads_updated after update on ads
    referencing new table as fresh for each statement execute function note_words();

-- The ads in some states that match. Null does not narrow. PostgreSQL inlines it, and drops what does not narrow where
-- it plans for given arguments.
create function matching_ads(
    in_states text[],
    of_category bigint,
    in_condition text,
    of_publisher bigint,
    from_price bigint,
    to_price bigint,
    from_time timestamptz,
    to_time timestamptz,
    query tsquery
) returns setof ads
    language sql stable parallel safe
begin atomic
    select *
    from ads
    where state = any(in_states)
        and (of_category is null or category_id = of_category)
        and (in_condition is null or condition = in_condition)
        and (of_publisher is null or publisher_number = of_publisher)
        and (from_price is null or price >= from_price)
        and (to_price is null or price <= to_price)
        and (from_time is null or created_at >= from_time)
        and (to_time is null or created_at <= to_time)
        and (query is null or search @@ query);
end;
