-- All rooms of two people, by how their `pair` begins: a detail may be told in pieces in several of them. Its unique
-- index goes by the database's collation, in which a beginning is no range.
create index rooms_of_pair on rooms (pair text_pattern_ops) where pair is not null;
