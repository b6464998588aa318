create extension if not exists pg_trgm;
create extension if not exists unaccent;

-- Lower case without accents: `Ñandú` and `nandu` are the same word. `unaccent` calls itself stable because its
-- dictionary could be edited; nobody does here, and an index needs an immutable function.
create function plain(words text) returns text
    language sql immutable strict parallel safe
    return lower(unaccent('unaccent', words));

-- One table for the three kinds, so that one unique key says that nobody has two profiles, of whatever kinds.
create table profiles (
    id bigint generated always as identity constraint profiles_pkey primary key,
    user_id uuid not null constraint profiles_user_id_key unique,
    user_number bigint not null,
    kind text not null,
    -- The person's first name, a copy for searches; `users` has the truth, and its events bring it here.
    name text not null,
    -- A specialist's profession, a business's type.
    speciality text,
    -- A specialist's work images, a business's products: files in `media`, in order.
    gallery uuid[] not null default '{}',

    experience_years integer not null default 0,
    about_us text not null default '',
    can_give_consultations boolean not null default false,
    can_offer_online_services boolean not null default false,
    title_id uuid,
    student_card_id uuid,
    graduation_letter_id uuid,
    -- Where the review of the documents stands, numbered as in plaza.profiles.v1.VerificationState, which is the order
    -- of the list: 1 pending, 2 approved, 3 rejected. Null without documents.
    verification smallint,
    verification_reason text not null default '',
    -- Grows with every change of the documents: a review names what it has seen.
    submission integer not null default 0,
    submitted_at timestamptz,
    reviewed_at timestamptz,
    -- Sum and number of the rows in `ratings`, changed in the transactions that change those.
    point bigint not null default 0,
    ratings integer not null default 0,

    business_name text not null default '',
    descriptions text not null default '',
    contact text not null default '',
    offers_local_products boolean not null default true,

    created_at timestamptz not null,
    updated_at timestamptz not null,
    search text not null generated always as (plain(name || E'\n' || about_us || E'\n' || business_name)) stored,
    -- Every file that the profile refers to.
    media uuid[] not null generated always as
        (gallery || array_remove(array[title_id, student_card_id, graduation_letter_id], null)) stored,

    constraint profiles_kind_is_known check (kind in ('SPECIALIST', 'BUSINESSMAN', 'CONSUMER')),
    constraint profiles_speciality_fits check (case kind
        when 'SPECIALIST' then speciality in ('VETERINARIAN', 'AGRONOMIST', 'ZOOTECHNICIAN')
        when 'BUSINESSMAN' then speciality is not null and speciality in ('VETERINARY_SHOP', 'FARMING_COMPANY')
        else speciality is null
    end),
    constraint profiles_gallery_fits check (cardinality(gallery) <= case kind
        when 'SPECIALIST' then 50
        when 'BUSINESSMAN' then 200
        else 0
    end),
    constraint profiles_only_specialists_are_verified check (
        kind = 'SPECIALIST' or num_nonnulls(title_id, student_card_id, graduation_letter_id) = 0
    ),
    constraint profiles_verification_is_known check (verification between 1 and 3),
    constraint profiles_verification_has_documents check (
        (verification is null) = (num_nonnulls(title_id, student_card_id, graduation_letter_id) = 0)
    ),
    constraint profiles_only_specialists_are_rated check (kind = 'SPECIALIST' or ratings = 0),
    constraint profiles_ratings_fit_stars check (ratings >= 0 and point between ratings and 5 * ratings::bigint)
);

-- Lists of a kind, and of one profession or type in it, by id.
create index profiles_kind on profiles (kind, id);
create index profiles_speciality on profiles (kind, speciality, id);
-- Substrings of three characters and more.
create index profiles_search on profiles using gin (search gin_trgm_ops);
-- Who refers to a file, when it is deleted.
create index profiles_media on profiles using gin (media);
-- Administrators' list of documents.
create index profiles_verifications on profiles (verification, submitted_at, id) where verification is not null;

-- Stars, one row per person and specialist.
create table ratings (
    profile_id bigint not null constraint ratings_profile_id_fkey references profiles on delete cascade,
    rater_id uuid not null,
    stars smallint not null constraint ratings_stars_are_one_to_five check (stars between 1 and 5),
    rated_at timestamptz not null,
    constraint ratings_once_per_person primary key (profile_id, rater_id)
);

-- What somebody rated, when their account is deleted.
create index ratings_rater on ratings (rater_id);

-- Who decided what about whose documents, and when. Nothing here is ever changed.
create table reviews (
    id bigint generated always as identity constraint reviews_pkey primary key,
    user_id uuid not null,
    submission integer not null,
    documents uuid[] not null,
    approved boolean not null,
    reason text not null,
    reviewer_id uuid not null,
    reviewed_at timestamptz not null
);

-- The history of one person's documents, which goes when the account does.
create index reviews_user on reviews (user_id, id);

-- Accounts whose first profile was made, or was not needed. Registration and the event of it both want to make it, at
-- any distance in time, and in between the person may have removed it again.
create table welcomed (
    user_id uuid constraint welcomed_pkey primary key
);

-- Versions of what `auth` is told about roles.
create sequence hold_versions;

-- Whose role `auth` has yet to hear of: written with the profile that is made or removed, deleted when `auth` has
-- answered. What to say is read from `profiles` at that moment.
create table holds (
    user_id uuid constraint holds_pkey primary key,
    version bigint not null,
    -- The session that made the profile; a change of role ends the others.
    session_id uuid,
    attempts integer not null default 0,
    due_at timestamptz not null
);

create index holds_due on holds (due_at);
