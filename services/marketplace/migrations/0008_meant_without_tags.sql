-- As before, but for what PostgreSQL's parser takes for a tag: `<sol'>` was no tag when it was looked at and one when it
-- was asked for, without its apostrophe, and asking for nothing is no question. Now both see the same words.
create or replace function meant(term text) returns tsquery
    language sql immutable strict parallel safe
    return (
        select case
            when to_tsvector('simple', words) = '' then null
            -- Asked before, because PostgreSQL remarks on every text without a stem.
            when to_tsvector('spanish', words) = '' then to_tsquery('simple', '''' || words || ''':*')
            -- A word that is its own stem is asked for once, or it would not be ranked.
            when phraseto_tsquery('spanish', words) = phraseto_tsquery('simple', words) then
                to_tsquery('simple', '''' || words || ''':*')
            else to_tsquery('simple', '''' || words || ''':*') || phraseto_tsquery('spanish', words)
        end
        from translate(term, '''\<>', '    ') as words
    );
