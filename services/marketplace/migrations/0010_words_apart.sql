-- PostgreSQL's parser has ideas of its own about signs: `leche/queso` is a path, `finca.Tel` a host, and the number in
-- `XJ-200` is below zero, so none of them was found by its second half. Signs part words, here and in what is typed.
create function spoken(words text) returns text
    language sql immutable strict parallel safe
    return btrim(translate(plain(words), '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32)));

create or replace function searched(title text, description text) returns tsvector
    language sql immutable parallel safe
    return setweight(to_tsvector('spanish', spoken(title)) || to_tsvector('spanish_words', spoken(title)), 'A')
        || setweight(to_tsvector('spanish', spoken(description)) || to_tsvector('spanish_words', spoken(description)), 'D');

-- `meant` stays as it is: nothing that it takes away is left in what is `spoken`, and while replicas are replaced the older
-- ones ask it of terms that are not.

create or replace function note_words() returns trigger
    language plpgsql as $$
begin
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

-- What is searched is made anew, and its words are noted.
update ads set title = title;
