-- Whether the account is gone. What is under way of somebody, or is heard late, finds it under the person's lock, and
-- makes and keeps nothing: `auth` tells of an end and `users` of a name, and nothing orders the two. Such a row stays
-- for good, as nobody knows how late is too late; its id names nobody any more.
alter table welcomed add column gone boolean not null default false;

-- Names of people who were gone already may be among these, and nobody can tell which. The others are of use only while
-- somebody's profile is being made.
delete from heard_names;
