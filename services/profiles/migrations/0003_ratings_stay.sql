-- Stars are a person's, not a profile's: who deletes a profile and makes another one has them again. They go with the
-- account.
alter table ratings add column user_id uuid;
update ratings r set user_id = p.user_id from profiles p where p.id = r.profile_id;
alter table ratings
    alter column user_id set not null,
    drop constraint ratings_once_per_person,
    drop column profile_id,
    add constraint ratings_once_per_person primary key (user_id, rater_id);

-- What `user.updated` said of people who have no profile, and how often it said something: whoever asks `users` for a
-- name before locking the person sees here whether it changed in between.
create table heard_names (
    user_id uuid constraint heard_names_pkey primary key,
    name text not null,
    times bigint not null
);
