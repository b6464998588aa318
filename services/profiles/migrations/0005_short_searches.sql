-- The first letter of each word, and the first two. Signs part words.
create function word_beginnings(words text) returns text[]
    language sql immutable parallel safe
    return string_to_array(btrim(regexp_replace(
        plain(words), '[^[:alnum:]]*([[:alnum:]])([[:alnum:]]?)[[:alnum:]]*[^[:alnum:]]*', '\1 \1\2 ', 'g'
    )), ' ');

-- What words of one or two letters find, for which the index of trigrams would be read as a whole: beginnings of names,
-- the person's and the business's. The kind is one of them, in capitals as no beginning is, so that the index alone
-- tells who of a kind is found.
alter table profiles add column beginnings text[] not null
    generated always as (array_prepend(kind, word_beginnings(name || E'\n' || business_name))) stored;

create index profiles_beginnings on profiles using gin (beginnings);

-- Which beginnings are common decides how they are looked for.
analyze profiles;
